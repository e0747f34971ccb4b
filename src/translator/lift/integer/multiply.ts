/**
 * Multiplication (SDM Vol. 2: MUL, IMUL, MULX). CF and OF tell that the upper half is significant; the other flags are
 * undefined and kept, as AMD CPUs do.
 */
import { Gpr } from '../../../isa/x86/instruction';
import { type Value } from '../../ir/function';
import { type LiftContext } from '../context';
import { type Width } from '../flags';
import { type SemanticTable } from '../semantics';
import { setCarryAndOverflow } from './partial-flags';

/** Upper 64 bits of the unsigned product of two i64 values, from four products of 32-bit halves. */
function highUnsigned(c: LiftContext, x: Value, y: Value): Value {
    const { ir } = c;
    const low = (value: Value): Value => ir.op('i64.and', value, ir.i64(-1, 0));
    const high = (value: Value): Value => ir.op('i64.shr_u', value, ir.i64(32));
    const xLow = low(x);
    const xHigh = high(x);
    const yLow = low(y);
    const yHigh = high(y);
    const cross = ir.op('i64.mul', xLow, yHigh);
    // Cannot overflow: (2^32 − 1)² + 2 (2^32 − 1) = 2^64 − 1.
    const middle = ir.op(
        'i64.add',
        ir.op('i64.add', high(ir.op('i64.mul', xLow, yLow)), low(cross)),
        ir.op('i64.mul', xHigh, yLow),
    );
    return ir.op('i64.add', ir.op('i64.add', ir.op('i64.mul', xHigh, yHigh), high(cross)), high(middle));
}

/** Upper 64 bits of the signed product: each negative factor took the other 2^64 times too often. */
function highSigned(c: LiftContext, x: Value, y: Value): Value {
    const { ir } = c;
    const whereNegative = (factor: Value, other: Value): Value =>
        ir.op('i64.and', ir.op('i64.shr_s', factor, ir.i64(63)), other);
    const excess = ir.op('i64.add', whereNegative(x, y), whereNegative(y, x));
    return ir.op('i64.sub', highUnsigned(c, x, y), excess);
}

/** Writes the halves of a product to rDX:rAX, or AX where they are bytes. */
function writeProduct(c: LiftContext, width: Width, low: Value, high: Value): void {
    if (width === 8) {
        c.setGpr(Gpr.Rax, 16, c.ir.op('i32.or', low, c.ir.op('i32.shl', high, c.ir.i32(8))));
    } else {
        c.setGpr(Gpr.Rax, width, low);
        c.setGpr(Gpr.Rdx, width, high);
    }
}

/** Lower and upper half of a product of guest width. */
interface Product {
    readonly low: Value;
    readonly high: Value;
}

function multiplyUnsigned(c: LiftContext, width: Width, x: Value, y: Value): Product {
    const { ir } = c;
    switch (width) {
        case 64:
            return { low: ir.op('i64.mul', x, y), high: highUnsigned(c, x, y) };
        case 32:
            return halves(c, ir.op('i64.mul', ir.extendU(x), ir.extendU(y)));
    }
    const product = ir.op('i32.mul', x, y);
    return { low: c.truncate(width, product), high: ir.op('i32.shr_u', product, ir.i32(width)) };
}

function multiplySigned(c: LiftContext, width: Width, x: Value, y: Value): Product {
    const { ir } = c;
    switch (width) {
        case 64:
            return { low: ir.op('i64.mul', x, y), high: highSigned(c, x, y) };
        case 32:
            return halves(c, ir.op('i64.mul', ir.extendS(x), ir.extendS(y)));
    }
    const product = ir.op('i32.mul', c.signed(width, x), c.signed(width, y));
    return {
        low: c.truncate(width, product),
        high: c.truncate(width, ir.op('i32.shr_u', product, ir.i32(width))),
    };
}

function halves(c: LiftContext, product: Value): Product {
    return { low: c.ir.wrap(product), high: c.ir.wrap(c.ir.op('i64.shr_u', product, c.ir.i64(32))) };
}

function setOverflowed(c: LiftContext, overflowed: Value): void {
    setCarryAndOverflow(c, overflowed, overflowed);
}

function multiply(c: LiftContext): void {
    const width = c.widthOf(0);
    const { low, high } = multiplyUnsigned(c, width, c.gpr(Gpr.Rax, width), c.read(0));
    writeProduct(c, width, low, high);
    setOverflowed(c, c.ir.not(c.isZero(width, high)));
}

/** 1 unless the upper half of a signed product only repeats the sign of the lower one. */
function isSignificant(c: LiftContext, width: Width, { low, high }: Product): Value {
    const { ir } = c;
    if (width === 64) {
        return ir.op('i64.ne', high, ir.op('i64.shr_s', low, ir.i64(63)));
    }
    return ir.op('i32.ne', c.signed(width, high), ir.op('i32.shr_s', c.signed(width, low), ir.i32(31)));
}

/** With one operand as MUL; with two or three the lower half of a product goes to the first. */
function multiplySignedForms(c: LiftContext): void {
    const width = c.widthOf(0);
    const count = c.instruction.operands.length;
    const first = count === 1 ? c.gpr(Gpr.Rax, width) : c.read(count - 2);
    const product = multiplySigned(c, width, first, c.read(count - 1));
    if (count === 1) {
        writeProduct(c, width, product.low, product.high);
    } else {
        c.write(0, product.low);
    }
    setOverflowed(c, isSignificant(c, width, product));
}

/** MULX high,low,source: rDX times the source, no flags. Of two equal destinations the upper half stays. */
function multiplyWithoutFlags(c: LiftContext): void {
    const width = c.widthOf(0);
    const { low, high } = multiplyUnsigned(c, width, c.gpr(Gpr.Rdx, width), c.read(2));
    c.write(1, low);
    c.write(0, high);
}

export const MULTIPLY: SemanticTable = {
    MUL: multiply,
    IMUL: multiplySignedForms,
    MULX: multiplyWithoutFlags,
};
