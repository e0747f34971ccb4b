/**
 * Floating point of SSE: WebAssembly's own operations where they cannot differ from x86's in result or flags, else the
 * exact helper.
 *
 * WebAssembly rounds to nearest and reports nothing. What it computes is x86's result, and no flag changes, if
 * - no operand is a NaN or a denormal (IE, DE, and the payload that WebAssembly leaves open),
 * - the result is finite and above the smallest normal number, or an exact zero (OE, UE, ZE; this also makes DAZ and FTZ
 *   irrelevant),
 * - the operation is exact, or MXCSR rounds to nearest, masks the precision exception and has its flag set already.
 * The helper decides the last point itself with a few operations on doubles, see `floatHelper.ts`.
 */
import { StateOffset } from '../../../machine/state';
import { type Helper, type Value } from '../../ir/function';
import { StateAccess, Type } from '../../ir/opcodes';
import { type LiftContext, Vector } from '../context';
import { type FloatOperation, FloatScratch, Mxcsr, floatCode } from './floatOperation';
import { enterMmxState, usesMmx } from './operands';

/**
 * sseFloat(operation word, detail): operands and result in the scratch area, flags into MXCSR. Returns 0, or the vector
 * of the exception to raise (#XM, or #UD without CR4.OSXMMEXCPT); then there is no result.
 */
export const FLOAT_HELPER: Helper = { name: 'sseFloat', parameters: [Type.I32, Type.I32], result: Type.I32 };

/** i32 truth: MXCSR is such that an inexact result rounded to nearest has no further effect. */
export function inexactIsFree(c: LiftContext): Value {
    const ir = c.ir;
    const relevant = ir.op(
        'i32.and',
        ir.get(StateOffset.mxcsr, StateAccess.I32),
        ir.i32(Mxcsr.RoundingMask | Mxcsr.PM | Mxcsr.PE),
    );
    return ir.op('i32.eq', relevant, ir.i32(Mxcsr.PM | Mxcsr.PE));
}

/** The same for operations that do not round by MXCSR (truncation). */
export function truncationIsFree(c: LiftContext): Value {
    const ir = c.ir;
    const bits = ir.i32(Mxcsr.PM | Mxcsr.PE);
    return ir.op('i32.eq', ir.op('i32.and', ir.get(StateOffset.mxcsr, StateAccess.I32), bits), bits);
}

export function roundsToNearest(c: LiftContext): Value {
    const ir = c.ir;
    return ir.not(ir.op('i32.and', ir.get(StateOffset.mxcsr, StateAccess.I32), ir.i32(Mxcsr.RoundingMask)));
}

/** An operand of the helper, kept at its own width. */
export interface FloatOperand {
    readonly bits: Value;
    readonly access: StateAccess;
}

/** Calls the helper and raises what it found. The result is in the scratch area afterwards. */
export function callFloatHelper(
    c: LiftContext,
    operation: FloatOperation,
    shape: { readonly isDouble: boolean; readonly lanes: number },
    operands: readonly FloatOperand[],
    detail: Value,
): void {
    const ir = c.ir;
    operands.forEach(({ bits, access }, i) => {
        ir.set(StateOffset.scratch + (i === 0 ? FloatScratch.a : FloatScratch.b), access, bits);
    });
    const code = ir.i32(floatCode(operation, shape.isDouble, shape.lanes));
    const vector = c.call(FLOAT_HELPER, [code, detail]);
    ir.if(vector, () => {
        if (usesMmx(c)) {
            // CPUs have left x87 state by the time a conversion to or from MMX raises #XM.
            enterMmxState(c);
        }
        ir.if(ir.op('i32.eq', vector, ir.i32(Vector.UD)), () => c.raise(Vector.UD));
        c.raise(Vector.XM);
    });
}

export function floatResult(c: LiftContext, access: StateAccess, place = 0): Value {
    return c.ir.get(StateOffset.scratch + FloatScratch.result + place, access);
}

/** Operands of one shape. */
export function operandsOf(shape: { readonly access: StateAccess }, ...bits: readonly Value[]): FloatOperand[] {
    return bits.map(value => ({ bits: value, access: shape.access }));
}

/** An operation that WebAssembly may have done already. */
export interface Attempt {
    readonly operation: FloatOperation;
    /** Format and lanes, as the helper wants them. */
    readonly shape: { readonly isDouble: boolean; readonly lanes: number };
    readonly operands: readonly FloatOperand[];
    readonly detail?: Value;
    /** What WebAssembly computed. */
    readonly fast: Value;
    /** i32 truth: `fast` is the result. */
    readonly isFast: Value;
    /** Emits a second, dearer test, run where the first fails. */
    readonly isFastAfterAll?: () => Value;
    /** How the helper's result is read: the type of `fast`. */
    readonly access: StateAccess;
}

/** What WebAssembly computed if that is x86's result, else what the helper makes of the operands. */
export function fastOrExact(c: LiftContext, attempt: Attempt): Value {
    const ir = c.ir;
    const { operation, shape, operands, detail = ir.i32(0), fast, isFast, isFastAfterAll, access } = attempt;
    const variable = ir.variable(fast);
    const exact = (): void => {
        callFloatHelper(c, operation, shape, operands, detail);
        ir.setVariable(variable, floatResult(c, access));
    };
    ir.if(ir.not(isFast), () => {
        if (isFastAfterAll === undefined) {
            exact();
        } else {
            ir.if(ir.not(isFastAfterAll()), exact);
        }
    });
    return ir.getVariable(variable);
}
