/** Shifts of packed integers and of whole registers (SDM Vol. 1, 9.4.7, 11.4.2; Vol. 2, PSLLW and following). */
import { OperandKind } from '../../../isa/x86/instruction';
import { type Value } from '../../ir/function';
import { type LiftContext } from '../context';
import { type Semantic, type SemanticTable } from '../semantics';
import {
    byteNumbers,
    checkAlignment,
    immediateByte,
    kindOf,
    readQword,
    readVector,
    writeVector,
    zeroVector,
} from './operands';

type Shape = 'i16x8' | 'i32x4' | 'i64x2';
const LANE_BITS: Readonly<Record<Shape, number>> = { i16x8: 16, i32x4: 32, i64x2: 64 };

/** The shift count as an i32 below 256; counts above are as good as 255. */
function shiftCount(c: LiftContext): Value {
    if (kindOf(c, 1) === OperandKind.Immediate) {
        return immediateByte(c).value;
    }
    const ir = c.ir;
    checkAlignment(c, false);
    const count = readQword(c, 1);
    return ir.select(ir.op('i64.gt_u', count, ir.i64(0xff)), ir.i32(0xff), ir.wrap(count));
}

/** Logical shifts: a count of the lane's width or more leaves nothing. WebAssembly would take it modulo the width. */
function logical(shape: Shape, operation: 'shl' | 'shr_u'): Semantic {
    return c => {
        const ir = c.ir;
        const count = shiftCount(c);
        const shifted = ir.op(`${shape}.${operation}`, readVector(c, 0), count);
        const within = ir.op('i32.lt_u', count, ir.i32(LANE_BITS[shape]));
        if (ir.isConst(count)) {
            writeVector(c, 0, ir.constLow(count) < LANE_BITS[shape] ? shifted : zeroVector(ir));
        } else {
            writeVector(c, 0, ir.select(within, shifted, zeroVector(ir)));
        }
    };
}

/** Arithmetic shifts: larger counts leave copies of the sign. */
function arithmetic(shape: 'i16x8' | 'i32x4'): Semantic {
    return c => {
        const ir = c.ir;
        const count = shiftCount(c);
        const most = ir.i32(LANE_BITS[shape] - 1);
        const limited = ir.select(ir.op('i32.lt_u', count, most), count, most);
        writeVector(c, 0, ir.op(`${shape}.shr_s`, readVector(c, 0), limited));
    };
}

/** PSLLDQ, PSRLDQ: by bytes; 16 or more leave nothing. */
function wholeRegister(direction: 'left' | 'right'): Semantic {
    return c => {
        const ir = c.ir;
        const { value, constant } = immediateByte(c);
        const x = c.read(0);
        if (constant !== undefined) {
            const count = Math.min(constant, 16);
            // Lanes 16–31 are those of the zero vector.
            const from = (i: number): number => {
                const source = direction === 'left' ? i - count : i + count;
                return source >= 0 && source < 16 ? source : 16;
            };
            c.write(
                0,
                ir.shuffle(
                    x,
                    zeroVector(ir),
                    Array.from({ length: 16 }, (_, i) => from(i)),
                ),
            );
            return;
        }
        const sixteen = ir.i32(16);
        const count = ir.select(ir.op('i32.lt_u', value, sixteen), value, sixteen);
        // Swizzle yields zero for any index above 15, negative ones included.
        const operation = direction === 'left' ? 'i8x16.sub' : 'i8x16.add';
        c.write(0, ir.op('i8x16.swizzle', x, ir.op(operation, byteNumbers(ir), ir.op('i8x16.splat', count))));
    };
}

export const SHIFTS: SemanticTable = {
    PSLLW: logical('i16x8', 'shl'),
    PSLLD: logical('i32x4', 'shl'),
    PSLLQ: logical('i64x2', 'shl'),
    PSRLW: logical('i16x8', 'shr_u'),
    PSRLD: logical('i32x4', 'shr_u'),
    PSRLQ: logical('i64x2', 'shr_u'),
    PSRAW: arithmetic('i16x8'),
    PSRAD: arithmetic('i32x4'),
    PSLLDQ: wholeRegister('left'),
    PSRLDQ: wholeRegister('right'),
};
