/**
 * Shifts (SDM Vol. 2: SHL, SAL, SHR, SAR, SHLD, SHRD).
 *
 * The count is cut to 5 bits, 6 for 64-bit operands. A count of zero keeps the flags; a 32-bit register is still
 * zero-extended. AF is undefined and set by AMD CPUs; OF, defined for a count of 1 only, follows the same formula for all.
 */
import { type Value } from '../../ir/function';
import { type LiftContext } from '../context';
import { type Width } from '../flags';
import { type SemanticTable } from '../semantics';
import { setFlagsWhen } from './partial-flags';

/** The masked count in operand i, as i32. */
export function shiftCount(c: LiftContext, i: number, width: Width): Value {
    return c.ir.op('i32.and', c.read(i), c.ir.i32(width === 64 ? 63 : 31));
}

/** An i32 as the second operand of a shift at guest width. */
export function asAmount(c: LiftContext, width: Width, count: Value): Value {
    return width === 64 ? c.ir.extendU(count) : count;
}

/** Bit 0 of a value of guest width, as i32. */
export function lowBit(c: LiftContext, width: Width, value: Value): Value {
    return c.ir.op('i32.and', width === 64 ? c.ir.wrap(value) : value, c.ir.i32(1));
}

/** Bit below the top bit of a value of guest width, as i32 0/1. */
export function bitBelowSign(c: LiftContext, width: Width, value: Value): Value {
    const type = width === 64 ? 'i64' : 'i32';
    return lowBit(c, width, c.ir.op(`${type}.shr_u`, value, c.constant(width, width - 2)));
}

function finish(c: LiftContext, width: Width, count: Value, result: Value, carry: Value, overflow: Value): void {
    c.write(0, result);
    setFlagsWhen(c, count, () => c.setFlagsParts(width, result, carry, overflow, c.ir.i32(1)));
}

/** CF: the last bit shifted out of the top. OF: for a count of 1, whether the sign changed. */
function finishLeft(c: LiftContext, width: Width, count: Value, value: Value, result: Value): void {
    const { ir } = c;
    // Of 8 and 16 bits it is still in the i32, or zero where the count exceeds the width.
    const carry =
        width === 8 || width === 16
            ? lowBit(c, 32, ir.op('i32.shr_u', ir.op('i32.shl', value, count), ir.i32(width)))
            : bitAt(c, width, value, ir.op('i32.sub', ir.i32(width), count));
    finish(c, width, count, result, carry, ir.op('i32.xor', c.signBit(width, result), carry));
}

/** CF: the last bit shifted out of the bottom. OF: for a count of 1, whether the sign changed. */
function finishRight(c: LiftContext, width: Width, count: Value, value: Value, result: Value): void {
    const { ir } = c;
    const carry = bitAt(c, width, value, ir.op('i32.sub', count, ir.i32(1)));
    const overflow = ir.op('i32.xor', c.signBit(width, result), bitBelowSign(c, width, result));
    finish(c, width, count, result, carry, overflow);
}

/** Bit `position` (i32, modulo the width of the type) of a value, as i32 0/1. */
function bitAt(c: LiftContext, width: Width, value: Value, position: Value): Value {
    const type = width === 64 ? 'i64' : 'i32';
    return lowBit(c, width, c.ir.op(`${type}.shr_u`, value, asAmount(c, width, position)));
}

function shiftLeft(c: LiftContext): void {
    const width = c.widthOf(0);
    const value = c.readForWrite(0);
    const count = shiftCount(c, 1, width);
    finishLeft(c, width, count, value, c.integer(width, 'shl', value, asAmount(c, width, count)));
}

function shiftRight(c: LiftContext): void {
    const width = c.widthOf(0);
    const value = c.readForWrite(0);
    const count = shiftCount(c, 1, width);
    finishRight(c, width, count, value, c.integer(width, 'shr_u', value, asAmount(c, width, count)));
}

function shiftRightSigned(c: LiftContext): void {
    const { ir } = c;
    const width = c.widthOf(0);
    const value = c.signed(width, c.readForWrite(0));
    const count = shiftCount(c, 1, width);
    const result = c.truncate(width, c.integer(width, 'shr_s', value, asAmount(c, width, count)));
    const carry = bitAt(c, width, value, ir.op('i32.sub', count, ir.i32(1)));
    finish(c, width, count, result, carry, ir.i32(0));
}

function doubleLeft(c: LiftContext, width: Width, value: Value, filler: Value, count: Value): Value {
    const { ir } = c;
    if (width === 16) {
        // Counts above 16 are undefined; AMD CPUs go on with the filler again.
        const shifted = ir.op('i64.shl', concatenate(c, value, filler, filler), ir.extendU(count));
        return c.truncate(16, ir.wrap(ir.op('i64.shr_u', shifted, ir.i64(32))));
    }
    const type = width === 64 ? 'i64' : 'i32';
    // Shifted in two steps, as a shift by the whole width would be one by zero.
    const inverse = asAmount(c, width, ir.op('i32.xor', count, ir.i32(width - 1)));
    const entering = ir.op(`${type}.shr_u`, ir.op(`${type}.shr_u`, filler, c.constant(width, 1)), inverse);
    return ir.op(`${type}.or`, ir.op(`${type}.shl`, value, asAmount(c, width, count)), entering);
}

function doubleRight(c: LiftContext, width: Width, value: Value, filler: Value, count: Value): Value {
    const { ir } = c;
    if (width === 16) {
        const chain = concatenate(c, filler, filler, value);
        return c.truncate(16, ir.wrap(ir.op('i64.shr_u', chain, ir.extendU(count))));
    }
    const type = width === 64 ? 'i64' : 'i32';
    const inverse = asAmount(c, width, ir.op('i32.xor', count, ir.i32(width - 1)));
    const entering = ir.op(`${type}.shl`, ir.op(`${type}.shl`, filler, c.constant(width, 1)), inverse);
    return ir.op(`${type}.or`, ir.op(`${type}.shr_u`, value, asAmount(c, width, count)), entering);
}

/** Three words as an i64, the highest first. */
function concatenate(c: LiftContext, high: Value, middle: Value, low: Value): Value {
    const { ir } = c;
    const lower = ir.op('i32.or', ir.op('i32.shl', middle, ir.i32(16)), low);
    return ir.op('i64.or', ir.op('i64.shl', ir.extendU(high), ir.i64(32)), ir.extendU(lower));
}

function shiftLeftDouble(c: LiftContext): void {
    const width = c.widthOf(0);
    const value = c.readForWrite(0);
    const filler = c.read(1);
    const count = shiftCount(c, 2, width);
    finishLeft(c, width, count, value, doubleLeft(c, width, value, filler, count));
}

function shiftRightDouble(c: LiftContext): void {
    const width = c.widthOf(0);
    const value = c.readForWrite(0);
    const filler = c.read(1);
    const count = shiftCount(c, 2, width);
    finishRight(c, width, count, value, doubleRight(c, width, value, filler, count));
}

export const SHIFT: SemanticTable = {
    SHL: shiftLeft,
    SAL: shiftLeft,
    SHR: shiftRight,
    SAR: shiftRightSigned,
    SHLD: shiftLeftDouble,
    SHRD: shiftRightDouble,
};
