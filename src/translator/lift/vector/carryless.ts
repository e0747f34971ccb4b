/**
 * PCLMULQDQ (SDM Vol. 2), inline: carry-less multiplication by integer multiplication. Each operand is split into four
 * with three zero bits above each kept one, so that the at most 16 ones which meet in a column of the low half cannot
 * carry into the next kept column.
 */
import { type IrBuilder } from '../../ir/builder';
import { type Value } from '../../ir/function';
import { type Semantic, type SemanticTable } from '../semantics';
import { immediateByte, readVector } from './operands';

/** Every fourth bit, from bit 0, 1, 2 and 3 on. */
const QUARTERS = [0x11111111, 0x22222222, 0x44444444, 0x88888888 | 0];

/** Low 64 bits of the carry-less product. */
function lowProduct(ir: IrBuilder, x: Value, y: Value): Value {
    const masks = QUARTERS.map(mask => ir.i64(mask, mask));
    const xs = masks.map(mask => ir.op('i64.and', x, mask));
    const ys = masks.map(mask => ir.op('i64.and', y, mask));
    const columns = masks.map((mask, column) => {
        const products = xs.map((part, i) => ir.op('i64.mul', part, ys[(column - i + 4) & 3]));
        return ir.op(
            'i64.and',
            products.reduce((sum, product) => ir.op('i64.xor', sum, product)),
            mask,
        );
    });
    return columns.reduce((sum, column) => ir.op('i64.or', sum, column));
}

/** The bits in reverse order. */
function reverse(ir: IrBuilder, x: Value): Value {
    let value = x;
    for (const [distance, mask] of [
        [1, 0x55555555],
        [2, 0x33333333],
        [4, 0x0f0f0f0f],
        [8, 0x00ff00ff],
        [16, 0x0000ffff],
    ]) {
        const kept = ir.i64(mask, mask);
        const by = ir.i64(distance);
        const up = ir.op('i64.shl', ir.op('i64.and', value, kept), by);
        value = ir.op('i64.or', up, ir.op('i64.and', ir.op('i64.shr_u', value, by), kept));
    }
    return ir.op('i64.rotl', value, ir.i64(32));
}

/** The quadword of a vector that the bit `half` (i32, zero or not) chooses. */
function chosenQword(ir: IrBuilder, vector: Value, half: Value): Value {
    return ir.select(half, ir.lane('i64x2.extract_lane', vector, 1), ir.lane('i64x2.extract_lane', vector, 0));
}

const carrylessMultiply: Semantic = c => {
    const ir = c.ir;
    const { value } = immediateByte(c);
    const source = readVector(c, 1);
    const x = chosenQword(ir, c.read(0), ir.op('i32.and', value, ir.i32(1)));
    const y = chosenQword(ir, source, ir.op('i32.and', value, ir.i32(16)));
    const low = lowProduct(ir, x, y);
    // Reversed operands give the reversed product, whose low half holds bits 126:63 of this one.
    const reversed = lowProduct(ir, reverse(ir, x), reverse(ir, y));
    const high = ir.op('i64.shr_u', reverse(ir, reversed), ir.i64(1));
    c.write(0, ir.lane('i64x2.replace_lane', ir.op('i64x2.splat', low), 1, high));
};

export const CARRYLESS: SemanticTable = { PCLMULQDQ: carrylessMultiply };
