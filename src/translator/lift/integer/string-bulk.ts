/**
 * The fast path of REP MOVS and REP STOS: as many elements as lie in the current pages of source and destination, moved
 * by one memory.copy or memory.fill. It changes nothing but speed: it is taken only for pages that the soft TLB lets
 * through (no MMIO, no code, no watchpoint), in flat segments, never beyond a page, and only where it equals the loop over
 * elements.
 */
import { Gpr } from '../../../isa/x86/instruction';
import { type Value } from '../../ir/function';
import { type LiftContext } from '../context';
import { type Width } from '../flags';
import { advance, indexOffset } from './string-operands';

const PAGE = 4096;

/** Fewer elements than this are cheaper one by one. */
const WORTHWHILE = 8;

/** The smaller of two unsigned i32 values. */
function smaller(c: LiftContext, x: Value, y: Value): Value {
    return c.ir.select(c.ir.op('i32.lt_u', x, y), x, y);
}

/** Whole elements from a linear address to the end of its page. */
function elementsInPage(c: LiftContext, linear: Value, shift: number): Value {
    const { ir } = c;
    const room = ir.op('i32.sub', ir.i32(PAGE), ir.op('i32.and', ir.wrap(linear), ir.i32(PAGE - 1)));
    return ir.op('i32.shr_u', room, ir.i32(shift));
}

/**
 * REP MOVS. `limit`: elements at most (i32, not zero); `forward`: DF is clear. Sets the variable `done` to the number of
 * elements moved, if any.
 */
export function copyBulk(c: LiftContext, bytes: number, forward: Value, limit: Value, done: Value): void {
    const { ir } = c;
    const shift = Math.log2(bytes);
    const source = indexOffset(c, Gpr.Rsi);
    const destination = indexOffset(c, Gpr.Rdi);
    const inPages = smaller(c, elementsInPage(c, source, shift), elementsInPage(c, destination, shift));
    const elements = smaller(c, limit, inPages);
    ir.if(ir.op('i32.and', forward, ir.op('i32.ge_u', elements, ir.i32(WORTHWHILE))), () => {
        const from = ir.hostAddress(source, false);
        const to = ir.hostAddress(destination, true);
        // Where the destination starts inside the source, elements would be read again after they were written. Such a
        // copy ends before that; being shorter than the distance it may be zero elements long. Two pages may be one in
        // memory, hence the host addresses. At distance zero nothing changes.
        const distance = ir.op('i32.sub', to, from);
        const apart = ir.op('i32.shr_u', ir.op('i32.sub', distance, ir.i32(1)), ir.i32(shift));
        const count = smaller(c, elements, apart);
        const present = ir.op('i32.and', ir.op('i32.ne', from, ir.i32(0)), ir.op('i32.ne', to, ir.i32(0)));
        ir.if(ir.op('i32.and', present, ir.op('i32.ge_u', count, ir.i32(WORTHWHILE))), () => {
            const size = ir.op('i32.shl', count, ir.i32(shift));
            ir.memoryCopy(to, from, size);
            advance(c, Gpr.Rsi, ir.extendU(size));
            advance(c, Gpr.Rdi, ir.extendU(size));
            ir.setVariable(done, count);
        });
    });
}

/** 1 if all bytes of the value are equal, as memory.fill wants it. */
export function isOneByteRepeated(c: LiftContext, width: Width, value: Value): Value {
    const { ir } = c;
    if (width === 64) {
        return ir.op('i64.eq', value, ir.op('i64.rotl', value, ir.i64(8)));
    }
    const whole = width === 16 ? ir.op('i32.or', value, ir.op('i32.shl', value, ir.i32(16))) : value;
    return width === 8 ? ir.i32(1) : ir.op('i32.eq', whole, ir.op('i32.rotl', whole, ir.i32(8)));
}

/** REP STOS of a value for which `fillable` (i32) holds: DF clear and all bytes equal. Otherwise as {@link copyBulk}. */
export function fillBulk(
    c: LiftContext,
    bytes: number,
    value: Value,
    fillable: Value,
    limit: Value,
    done: Value,
): void {
    const { ir } = c;
    const shift = Math.log2(bytes);
    const destination = indexOffset(c, Gpr.Rdi);
    const elements = smaller(c, limit, elementsInPage(c, destination, shift));
    ir.if(ir.op('i32.and', fillable, ir.op('i32.ge_u', elements, ir.i32(WORTHWHILE))), () => {
        const to = ir.hostAddress(destination, true);
        ir.if(to, () => {
            const size = ir.op('i32.shl', elements, ir.i32(shift));
            const byte = ir.op('i32.and', bytes === 8 ? ir.wrap(value) : value, ir.i32(0xff));
            ir.memoryFill(to, byte, size);
            advance(c, Gpr.Rdi, ir.extendU(size));
            ir.setVariable(done, elements);
        });
    });
}
