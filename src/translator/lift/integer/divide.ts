/**
 * Division (SDM Vol. 2: DIV, IDIV). #DE comes before any register changes. All flags are undefined and kept.
 */
import { Gpr } from '../../../isa/x86/instruction';
import { type Value } from '../../ir/function';
import { type LiftContext, Vector } from '../context';
import { type Width } from '../flags';
import { type SemanticTable } from '../semantics';
import { divideWide } from './divide-wide';

/** Quotient and remainder, of guest width. */
export interface Division {
    readonly quotient: Value;
    readonly remainder: Value;
}

function raiseIf(c: LiftContext, condition: Value): void {
    c.ir.if(condition, () => c.raise(Vector.DE));
}

/** The dividend of an 8- or 16-bit division, as i32: AX or DX:AX. */
function narrowDividend(c: LiftContext, width: 8 | 16): Value {
    const { ir } = c;
    if (width === 8) {
        return c.gpr(Gpr.Rax, 16);
    }
    return ir.op('i32.or', ir.op('i32.shl', c.gpr(Gpr.Rdx, 16), ir.i32(16)), c.gpr(Gpr.Rax, 16));
}

/** EDX:EAX as i64. */
function wideDividend(c: LiftContext): Value {
    const { ir } = c;
    const high = ir.op('i64.shl', ir.extendU(c.gpr(Gpr.Rdx, 32)), ir.i64(32));
    return ir.op('i64.or', high, ir.extendU(c.gpr(Gpr.Rax, 32)));
}

function writeDivision(c: LiftContext, width: Width, { quotient, remainder }: Division): void {
    if (width === 8) {
        const high = c.ir.op('i32.shl', c.truncate(8, remainder), c.ir.i32(8));
        c.setGpr(Gpr.Rax, 16, c.ir.op('i32.or', c.truncate(8, quotient), high));
    } else {
        c.setGpr(Gpr.Rax, width, c.truncate(width, quotient));
        c.setGpr(Gpr.Rdx, width, c.truncate(width, remainder));
    }
}

function divideUnsigned(c: LiftContext): void {
    const { ir } = c;
    const width = c.widthOf(0);
    const divisor = c.read(0);
    raiseIf(c, c.isZero(width, divisor));
    switch (width) {
        case 64:
            writeDivision(c, 64, divide128(c, divisor));
            return;
        case 32: {
            const dividend = wideDividend(c);
            const wideDivisor = ir.extendU(divisor);
            const quotient = ir.op('i64.div_u', dividend, wideDivisor);
            raiseIf(c, ir.op('i64.gt_u', quotient, ir.i64(-1, 0)));
            const remainder = ir.wrap(ir.op('i64.rem_u', dividend, wideDivisor));
            writeDivision(c, 32, { quotient: ir.wrap(quotient), remainder });
            return;
        }
    }
    const dividend = narrowDividend(c, width);
    const quotient = ir.op('i32.div_u', dividend, divisor);
    raiseIf(c, ir.op('i32.gt_u', quotient, c.constant(width, -1)));
    writeDivision(c, width, { quotient, remainder: ir.op('i32.rem_u', dividend, divisor) });
}

function divideSigned(c: LiftContext): void {
    const { ir } = c;
    const width = c.widthOf(0);
    const divisor = c.read(0);
    raiseIf(c, c.isZero(width, divisor));
    if (width === 64) {
        writeDivision(c, 64, divide128Signed(c, divisor));
        return;
    }
    // Of the i64 dividends only the smallest can overflow the i64 quotient; WebAssembly would trap.
    const dividend =
        width === 32 ? wideDividend(c) : ir.extendS(c.signed(width === 8 ? 16 : 32, narrowDividend(c, width)));
    const wideDivisor = ir.extendS(c.signed(width, divisor));
    if (width === 32) {
        raiseIf(c, overflows(c, dividend, wideDivisor));
    }
    const quotient = ir.op('i64.div_s', dividend, wideDivisor);
    const low = ir.wrap(quotient);
    raiseIf(c, ir.op('i64.ne', quotient, ir.extendS(c.signed(width, low))));
    writeDivision(c, width, { quotient: low, remainder: ir.wrap(ir.op('i64.rem_s', dividend, wideDivisor)) });
}

/** 1 for −2^63 ÷ −1. */
function overflows(c: LiftContext, dividend: Value, divisor: Value): Value {
    const { ir } = c;
    return ir.op('i32.and', ir.op('i64.eq', dividend, ir.i64(0, -0x80000000)), ir.op('i64.eq', divisor, ir.i64(-1)));
}

/** RDX:RAX by a divisor that is not zero. */
function divide128(c: LiftContext, divisor: Value): Division {
    const { ir } = c;
    const high = c.gpr(Gpr.Rdx, 64);
    const low = c.gpr(Gpr.Rax, 64);
    const quotient = ir.variable(ir.i64(0));
    const remainder = ir.variable(ir.i64(0));
    ir.if(
        ir.op('i64.eqz', high),
        () => {
            ir.setVariable(quotient, ir.op('i64.div_u', low, divisor));
            ir.setVariable(remainder, ir.op('i64.rem_u', low, divisor));
        },
        () => {
            raiseIf(c, ir.op('i64.ge_u', high, divisor));
            divideWide(c, high, low, divisor, quotient, remainder);
        },
    );
    return { quotient: ir.getVariable(quotient), remainder: ir.getVariable(remainder) };
}

/** RDX:RAX, signed, by a divisor that is not zero: on absolute values unless RAX alone holds the dividend. */
function divide128Signed(c: LiftContext, divisor: Value): Division {
    const { ir } = c;
    const high = c.gpr(Gpr.Rdx, 64);
    const low = c.gpr(Gpr.Rax, 64);
    const quotient = ir.variable(ir.i64(0));
    const remainder = ir.variable(ir.i64(0));
    ir.if(
        ir.op('i64.eq', high, ir.op('i64.shr_s', low, ir.i64(63))),
        () => {
            raiseIf(c, overflows(c, low, divisor));
            ir.setVariable(quotient, ir.op('i64.div_s', low, divisor));
            ir.setVariable(remainder, ir.op('i64.rem_s', low, divisor));
        },
        () => {
            const sign = ir.op('i64.shr_s', high, ir.i64(63));
            const divisorSign = ir.op('i64.shr_s', divisor, ir.i64(63));
            const quotientSign = ir.op('i64.xor', sign, divisorSign);
            // value ^ s − s negates where s is −1.
            const negateWhere = (s: Value, value: Value): Value => ir.op('i64.sub', ir.op('i64.xor', value, s), s);
            const lowMagnitude = negateWhere(sign, low);
            // The upper half takes the borrow only if the lower half became zero.
            const carry = ir.op('i64.and', sign, ir.extendU(ir.op('i64.eqz', low)));
            const highMagnitude = ir.op('i64.add', ir.op('i64.xor', high, sign), carry);
            const divisorMagnitude = negateWhere(divisorSign, divisor);
            raiseIf(c, ir.op('i64.ge_u', highMagnitude, divisorMagnitude));
            divideWide(c, highMagnitude, lowMagnitude, divisorMagnitude, quotient, remainder);
            // At most 2^63 − 1, or 2^63 if it is to be negative.
            const magnitude = ir.getVariable(quotient);
            const largest = ir.op('i64.sub', ir.i64(-1, 0x7fffffff), quotientSign);
            raiseIf(c, ir.op('i64.gt_u', magnitude, largest));
            ir.setVariable(quotient, negateWhere(quotientSign, magnitude));
            ir.setVariable(remainder, negateWhere(sign, ir.getVariable(remainder)));
        },
    );
    return { quotient: ir.getVariable(quotient), remainder: ir.getVariable(remainder) };
}

export const DIVIDE: SemanticTable = { DIV: divideUnsigned, IDIV: divideSigned };
