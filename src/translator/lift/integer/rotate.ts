/**
 * Rotates (SDM Vol. 2: ROL, ROR, RCL, RCR).
 *
 * The count is cut to 5 bits, 6 for 64-bit operands; a count of zero keeps the flags. OF, defined for a count of 1 only,
 * follows the same formula for all counts, as AMD CPUs have it.
 */
import { type Value } from '../../ir/function';
import { type LiftContext } from '../context';
import { type Width } from '../flags';
import { type Semantic, type SemanticTable } from '../semantics';
import { setCarryAndOverflow, setFlagsWhen } from './partial-flags';
import { asAmount, bitBelowSign, lowBit, shiftCount } from './shift';

function finish(c: LiftContext, count: Value, result: Value, carry: Value, overflow: Value): void {
    c.write(0, result);
    setFlagsWhen(c, count, () => setCarryAndOverflow(c, carry, overflow));
}

/** Rotates within the width: narrow values are repeated to fill 32 bits first. */
function rotated(c: LiftContext, operation: 'rotl' | 'rotr', width: Width, value: Value, count: Value): Value {
    const { ir } = c;
    switch (width) {
        case 8:
            return c.truncate(8, ir.op(`i32.${operation}`, ir.op('i32.mul', value, ir.i32(0x01010101)), count));
        case 16: {
            const twice = ir.op('i32.or', value, ir.op('i32.shl', value, ir.i32(16)));
            return c.truncate(16, ir.op(`i32.${operation}`, twice, count));
        }
    }
    return c.integer(width, operation, value, asAmount(c, width, count));
}

function rotateLeft(c: LiftContext): void {
    const width = c.widthOf(0);
    const value = c.readForWrite(0);
    const count = shiftCount(c, 1, width);
    const result = rotated(c, 'rotl', width, value, count);
    const carry = lowBit(c, width, result);
    finish(c, count, result, carry, c.ir.op('i32.xor', c.signBit(width, result), carry));
}

function rotateRight(c: LiftContext): void {
    const width = c.widthOf(0);
    const value = c.readForWrite(0);
    const count = shiftCount(c, 1, width);
    const result = rotated(c, 'rotr', width, value, count);
    const carry = c.signBit(width, result);
    finish(c, count, result, carry, c.ir.op('i32.xor', carry, bitBelowSign(c, width, result)));
}

/** What a rotate through CF computes. */
interface ThroughCarry {
    readonly result: Value;
    readonly carry: Value;
}

/** 8, 16 and 32 bits: CF and the value form one number of width + 1 bits, which is rotated left by count ≤ width. */
function rotateJoined(c: LiftContext, width: 8 | 16 | 32, value: Value, carry: Value, left: Value): ThroughCarry {
    const { ir } = c;
    const joined = ir.op('i64.or', ir.extendU(value), ir.op('i64.shl', ir.extendU(carry), ir.i64(width)));
    const right = ir.op('i32.sub', ir.i32(width + 1), left);
    const turned = ir.op(
        'i64.or',
        ir.op('i64.shl', joined, ir.extendU(left)),
        ir.op('i64.shr_u', joined, ir.extendU(right)),
    );
    return {
        result: c.truncate(width, ir.wrap(turned)),
        carry: lowBit(c, 64, ir.op('i64.shr_u', turned, ir.i64(width))),
    };
}

/** 64 bits, count < 64: the parts are shifted into place in two steps, as a shift by 64 would be one by zero. */
function rotateWide(c: LiftContext, left: boolean, value: Value, carry: Value, count: Value): ThroughCarry {
    const { ir } = c;
    const near = left ? 'i64.shl' : 'i64.shr_u';
    const far = left ? 'i64.shr_u' : 'i64.shl';
    const amount = ir.extendU(count);
    const inverse = ir.op('i64.sub', ir.i64(0), amount);
    const oneLess = ir.op('i64.sub', amount, ir.i64(1));
    const carryPlace = left ? oneLess : inverse;
    const entering = ir.op('i64.shl', ir.extendU(carry), carryPlace);
    const around = ir.op(far, ir.op(far, value, ir.i64(1)), inverse);
    const turned = ir.op('i64.or', ir.op('i64.or', ir.op(near, value, amount), entering), around);
    const leaving = lowBit(c, 64, ir.op('i64.shr_u', value, left ? inverse : oneLess));
    return { result: ir.select(count, turned, value), carry: ir.select(count, leaving, carry) };
}

function throughCarry(left: boolean): Semantic {
    return c => {
        const { ir } = c;
        const width = c.widthOf(0);
        const value = c.readForWrite(0);
        const count = shiftCount(c, 1, width);
        const carryIn = c.carry();
        let turned: ThroughCarry;
        if (width === 64) {
            turned = rotateWide(c, left, value, carryIn, count);
        } else {
            const amount = width === 32 ? count : remainder(c, count, width + 1);
            const leftAmount = left ? amount : ir.op('i32.sub', ir.i32(width + 1), amount);
            turned = rotateJoined(c, width, value, carryIn, leftAmount);
        }
        const { result, carry } = turned;
        const other = left ? carry : bitBelowSign(c, width, result);
        finish(c, count, result, carry, ir.op('i32.xor', c.signBit(width, result), other));
    };
}

function remainder(c: LiftContext, count: Value, divisor: number): Value {
    const { ir } = c;
    return ir.isConst(count) ? ir.i32(ir.constLow(count) % divisor) : ir.op('i32.rem_u', count, ir.i32(divisor));
}

export const ROTATE: SemanticTable = {
    ROL: rotateLeft,
    ROR: rotateRight,
    RCL: throughCarry(true),
    RCR: throughCarry(false),
};
