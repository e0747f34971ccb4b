/** CRC32 (SDM Vol. 2): the Castagnoli polynomial 11EDC6F41, bits reflected, one byte of input after the other. */
import { type Value } from '../../ir/function';
import { type LiftContext } from '../context';
import { type SemanticTable } from '../semantics';

const REFLECTED_POLYNOMIAL = 0x82f63b78;

/** Divides eight bits out of the remainder. */
function divideByte(c: LiftContext, remainder: Value): Value {
    const { ir } = c;
    let rest = remainder;
    for (let bit = 0; bit < 8; bit++) {
        const subtrahend = ir.op(
            'i32.and',
            ir.op('i32.sub', ir.i32(0), ir.op('i32.and', rest, ir.i32(1))),
            ir.i32(REFLECTED_POLYNOMIAL),
        );
        rest = ir.op('i32.xor', ir.op('i32.shr_u', rest, ir.i32(1)), subtrahend);
    }
    return rest;
}

/** The remainder after `bytes` (1, 2 or 4) more bytes, given in the low bits of an i32. */
function accumulate(c: LiftContext, remainder: Value, data: Value, bytes: number): Value {
    const { ir } = c;
    const start = ir.op('i32.xor', remainder, data);
    if (bytes === 1) {
        return divideByte(c, start);
    }
    const rest = ir.variable(start);
    const left = ir.variable(ir.i32(bytes));
    ir.loop(() => {
        ir.setVariable(rest, divideByte(c, ir.getVariable(rest)));
        const next = ir.op('i32.sub', ir.getVariable(left), ir.i32(1));
        ir.setVariable(left, next);
        return next;
    });
    return ir.getVariable(rest);
}

function crc32(c: LiftContext): void {
    const { ir } = c;
    const width = c.widthOf(1);
    const data = c.read(1);
    let remainder = c.resizeUnsigned(c.read(0), c.widthOf(0), 32);
    if (width === 64) {
        remainder = accumulate(c, remainder, ir.wrap(data), 4);
        remainder = accumulate(c, remainder, ir.wrap(ir.op('i64.shr_u', data, ir.i64(32))), 4);
    } else {
        remainder = accumulate(c, remainder, data, width / 8);
    }
    c.write(0, c.resizeUnsigned(remainder, 32, c.widthOf(0)));
}

export const CHECKSUM: SemanticTable = { CRC32: crc32 };
