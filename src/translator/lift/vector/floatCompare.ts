/** Floating-point comparisons and rounding to integral values (SDM Vol. 2, CMPPS, COMISS, UCOMISS, ROUNDPS). */
import { StateOffset } from '../../../machine/state';
import { type Value } from '../../ir/function';
import { StateAccess } from '../../ir/opcodes';
import { type LiftContext } from '../context';
import { type Semantic, type SemanticTable } from '../semantics';
import { isPlainPair, isSpecial } from './floatArithmetic';
import { FloatOperation, Mxcsr } from './floatOperation';
import { type FloatShape, SHAPES } from './floatShape';
import { callFloatHelper, fastOrExact, floatResult, operandsOf, truncationIsFree } from './floatSlowPath';
import { immediateByte, zeroVector } from './operands';

/** WebAssembly comparisons for predicates EQ, LT, LE, UNORD, NEQ, NLT, NLE, ORD where no operand is a NaN. */
const PREDICATES = ['eq', 'lt', 'le', undefined, 'ne', 'ge', 'gt', undefined];

/** The comparison of vectors of operands that are no NaNs, as masks. */
function ordered(c: LiftContext, shape: FloatShape, a: Value, b: Value): Value {
    const ir = c.ir;
    const { value, constant } = immediateByte(c);
    const compare = (name: string): Value => ir.op(`${shape.vector}.${name}`, a, b);
    const none = zeroVector(ir);
    const all = (): Value => ir.op('v128.not', none);
    if (constant !== undefined) {
        const name = PREDICATES[constant & 7];
        return name !== undefined ? compare(name) : (constant & 4) !== 0 ? all() : none;
    }
    const bit = (number: number): Value => ir.op('i32.and', value, ir.i32(number));
    const positive = ir.select(
        bit(2),
        ir.select(bit(1), none, compare('le')),
        ir.select(bit(1), compare('lt'), compare('eq')),
    );
    return ir.op('v128.xor', positive, ir.select(bit(4), all(), none));
}

function compareToMask(shape: FloatShape): Semantic {
    return c => {
        const ir = c.ir;
        const b = shape.read(c, 1);
        const destination = c.read(0);
        const a = shape.lowest(ir, destination);
        const predicate = ir.op('i32.and', immediateByte(c).value, ir.i32(7));
        const result = fastOrExact(c, {
            isFast: isPlainPair(ir, shape, a, b),
            fast: shape.lowest(ir, ordered(c, shape, destination, shape.splat(ir, b))),
            operation: FloatOperation.Compare,
            shape,
            operands: operandsOf(shape, a, b),
            access: shape.access,
            detail: predicate,
        });
        c.write(0, shape.replace(ir, destination, result));
    };
}

/**
 * COMISx, UCOMISx: greater, less, equal and unordered are ZF PF CF = 000, 001, 100, 111. Kept as flagResult 1 or 0 (ZF)
 * and flagAux: CF and OF = 0 in bits 31:30, and for "equal" a parity correction, since 0 has even parity.
 */
function compareToFlags(shape: FloatShape, signalling: boolean): Semantic {
    return c => {
        const ir = c.ir;
        const b = shape.read(c, 1);
        const a = shape.lowest(ir, c.read(0));
        const equal = ir.op(`${shape.number}.eq`, a, b);
        const less = ir.op(`${shape.number}.lt`, a, b);
        const borrows = ir.op('i32.and', ir.op('i32.sub', ir.i32(0), less), ir.i32(0xc0000000 | 0));
        const result = ir.variable(ir.not(equal));
        const aux = ir.variable(ir.op('i32.or', borrows, ir.op('i32.shl', equal, ir.i32(8))));
        ir.if(ir.not(isPlainPair(ir, shape, a, b)), () => {
            const detail = ir.i32(signalling ? 1 : 0);
            callFloatHelper(c, FloatOperation.CompareFlags, shape, operandsOf(shape, a, b), detail);
            ir.setVariable(result, floatResult(c, StateAccess.I32));
            ir.setVariable(aux, floatResult(c, StateAccess.I32, 4));
        });
        c.setFlagsRaw(ir.extendU(ir.getVariable(result)), ir.getVariable(aux));
    };
}

/** WebAssembly operations by rounding control. */
const ROUNDING = ['nearest', 'floor', 'ceil', 'trunc'];

/** ROUNDxx: immediate bits 1:0 are the rounding mode, bit 2 takes MXCSR's instead, bit 3 suppresses PE. */
function round(shape: FloatShape): Semantic {
    return c => {
        const ir = c.ir;
        const { value, constant } = immediateByte(c);
        const source = shape.read(c, 1);
        const rounded = (mode: number): Value => ir.op(`${shape.number}.${ROUNDING[mode]}`, source);
        let result: Value;
        if (constant !== undefined && (constant & 4) === 0) {
            result = rounded(constant & 3);
        } else {
            const control = ir.op(
                'i32.and',
                ir.op('i32.shr_u', ir.get(StateOffset.mxcsr, StateAccess.I32), ir.i32(Mxcsr.RoundingShift)),
                ir.i32(3),
            );
            const mode = ir.select(ir.op('i32.and', value, ir.i32(4)), control, value);
            const low = ir.op('i32.and', mode, ir.i32(1));
            result = ir.select(
                ir.op('i32.and', mode, ir.i32(2)),
                ir.select(low, rounded(3), rounded(2)),
                ir.select(low, rounded(1), rounded(0)),
            );
        }
        const inexact = shape.any(ir, ir.op(`${shape.number}.ne`, result, source));
        const suppressed = ir.op('i32.and', value, ir.i32(8));
        const silent = ir.op('i32.or', suppressed, ir.op('i32.or', ir.not(inexact), truncationIsFree(c)));
        const plain = ir.not(shape.any(ir, isSpecial(ir, shape, source)));
        const number = fastOrExact(c, {
            isFast: ir.select(silent, plain, ir.i32(0)),
            fast: result,
            operation: FloatOperation.Round,
            shape,
            operands: operandsOf(shape, source),
            access: shape.access,
            detail: value,
        });
        c.write(0, shape.replace(ir, shape.lanes === 1 ? c.read(0) : number, number));
    };
}

export const FLOAT_COMPARE: SemanticTable = {
    CMPPS: compareToMask(SHAPES.PS),
    CMPPD: compareToMask(SHAPES.PD),
    CMPSS: compareToMask(SHAPES.SS),
    CMPSD: compareToMask(SHAPES.SD),
    COMISS: compareToFlags(SHAPES.SS, true),
    COMISD: compareToFlags(SHAPES.SD, true),
    UCOMISS: compareToFlags(SHAPES.SS, false),
    UCOMISD: compareToFlags(SHAPES.SD, false),
    ROUNDPS: round(SHAPES.PS),
    ROUNDPD: round(SHAPES.PD),
    ROUNDSS: round(SHAPES.SS),
    ROUNDSD: round(SHAPES.SD),
};
