/** Values of guest widths: 64 bits are i64; 8, 16 and 32 bits are i32, zero-extended. */
import { type IrBuilder } from '../ir/builder';
import { NONE, type Value } from '../ir/function';
import { type Width } from './flags';

export abstract class ValueContext {
    constructor(readonly ir: IrBuilder) {}

    /** A constant of guest width w (small, sign-extended then cut to the width). */
    constant(width: Width, number: number): Value {
        if (width === 64) {
            return this.ir.i64(number);
        }
        return this.ir.i32(width === 32 ? number : number & ((1 << width) - 1));
    }

    /** An integer operation at guest width: `integer(16, 'add', x, y)`; the result is cut to the width where needed. */
    integer(width: Width, operation: string, x: Value, y: Value = NONE): Value {
        if (width === 64) {
            return this.ir.op(`i64.${operation}`, x, y);
        }
        const result = this.ir.op(`i32.${operation}`, x, y);
        switch (operation) {
            case 'add': case 'sub': case 'mul': case 'shl':
                return this.truncate(width, result);
        } // prettier-ignore
        return result;
    }

    /** Cuts an i32 value to 8 or 16 bits; others are returned as they are. */
    truncate(width: Width, value: Value): Value {
        return width === 8 || width === 16 ? this.ir.op('i32.and', value, this.ir.i32((1 << width) - 1)) : value;
    }

    /** i32 sign extension of an 8- or 16-bit value; wider values are returned as they are. */
    signed(width: Width, value: Value): Value {
        if (width === 8) {
            return this.ir.op('i32.extend8_s', value);
        }
        return width === 16 ? this.ir.op('i32.extend16_s', value) : value;
    }

    /** Zero extension from `from` to `to` bits (from ≤ to), or truncation (from > to). */
    resizeUnsigned(value: Value, from: Width, to: Width): Value {
        if (from === to) {
            return value;
        }
        if (to === 64) {
            return this.ir.extendU(value);
        }
        const low = from === 64 ? this.ir.wrap(value) : value;
        return from > to ? this.truncate(to, low) : low;
    }

    /** Sign extension from `from` to `to` bits (from ≤ to). */
    resizeSigned(value: Value, from: Width, to: Width): Value {
        if (from === to) {
            return value;
        }
        const extended = this.signed(from, value);
        return to === 64 ? this.ir.extendS(extended) : this.truncate(to, extended);
    }

    /** 1 if the value of guest width is zero, else 0. */
    isZero(width: Width, value: Value): Value {
        return this.ir.op(width === 64 ? 'i64.eqz' : 'i32.eqz', value);
    }

    /** Top bit of a value of guest width, as i32 0/1. */
    signBit(width: Width, value: Value): Value {
        if (width === 64) {
            return this.ir.wrap(this.ir.op('i64.shr_u', value, this.ir.i64(63)));
        }
        const bit = this.ir.op('i32.shr_u', value, this.ir.i32(width - 1));
        return width === 32 ? bit : this.ir.op('i32.and', bit, this.ir.i32(1));
    }
}
