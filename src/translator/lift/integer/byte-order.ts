/** Reversing the bytes of a register (SDM Vol. 2: BSWAP, MOVBE). */
import { type Value } from '../../ir/function';
import { type LiftContext } from '../context';
import { type Width } from '../flags';
import { type SemanticTable } from '../semantics';

/** The bytes of a value of guest width (16, 32 or 64) in reverse order. */
function reverseBytes(c: LiftContext, width: Width, value: Value): Value {
    const { ir } = c;
    if (width === 16) {
        const swapped = ir.op('i32.or', ir.op('i32.shl', value, ir.i32(8)), ir.op('i32.shr_u', value, ir.i32(8)));
        return c.truncate(16, swapped);
    }
    if (width === 32) {
        const even = ir.op('i32.and', ir.op('i32.rotl', value, ir.i32(8)), ir.i32(0x00ff00ff));
        const odd = ir.op('i32.and', ir.op('i32.rotr', value, ir.i32(8)), ir.i32(0xff00ff00));
        return ir.op('i32.or', even, odd);
    }
    // Swap bytes within words, then words within doublewords, then the doublewords.
    const swapPairs = (from: Value, distance: number, mask: number): Value => {
        const even = ir.op('i64.shl', ir.op('i64.and', from, ir.i64(mask, mask)), ir.i64(distance));
        const odd = ir.op('i64.and', ir.op('i64.shr_u', from, ir.i64(distance)), ir.i64(mask, mask));
        return ir.op('i64.or', even, odd);
    };
    return ir.op('i64.rotl', swapPairs(swapPairs(value, 8, 0x00ff00ff), 16, 0x0000ffff), ir.i64(32));
}

function byteSwap(c: LiftContext): void {
    const width = c.widthOf(0);
    // With a 16-bit register the result is undefined; CPUs clear it.
    c.write(0, width === 16 ? c.constant(16, 0) : reverseBytes(c, width, c.read(0)));
}

function moveReversed(c: LiftContext): void {
    c.write(0, reverseBytes(c, c.widthOf(0), c.read(1)));
}

export const BYTE_ORDER: SemanticTable = { BSWAP: byteSwap, MOVBE: moveReversed };
