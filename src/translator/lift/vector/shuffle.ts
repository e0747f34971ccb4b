/** Rearranging lanes: unpacks, packs, shuffles, alignment, extension (SDM Vol. 1, 9.4.3–9.4.4, 11.4.2, 12.5, 12.10). */
import { type IrBuilder } from '../../ir/builder';
import { type Value } from '../../ir/function';
import { type Semantic, type SemanticTable } from '../semantics';
import {
    byteNumbers,
    dwords,
    everyDword,
    immediateByte,
    isMmx,
    lowQword,
    readVector,
    words,
    writeVector,
    zeroVector,
} from './operands';

/** PUNPCKxxx, UNPCKxPx: lanes of `bytes` of the low or high halves alternate, the destination's first. */
function unpack(bytes: number, half: 'low' | 'high'): Semantic {
    const interleave = (first: number): number[] =>
        Array.from({ length: 16 }, (_, i) => {
            const lane = Math.floor(i / bytes);
            return (lane & 1) * 16 + first + (lane >> 1) * bytes + (i % bytes);
        });
    const ofXmm = interleave(half === 'low' ? 0 : 8);
    const ofMmx = interleave(half === 'low' ? 0 : 4);
    return c => {
        const b = readVector(c, 1);
        writeVector(c, 0, c.ir.shuffle(readVector(c, 0), b, isMmx(c, 0) ? ofMmx : ofXmm));
    };
}

/** PACKxxxx: the destination's lanes, then the source's, each made half as wide with saturation. */
function pack(operation: string): Semantic {
    return c => {
        const ir = c.ir;
        const b = readVector(c, 1);
        const a = readVector(c, 0);
        if (isMmx(c, 0)) {
            const both = ir.shuffle(a, b, [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23]);
            writeVector(c, 0, ir.op(operation, both, both));
        } else {
            writeVector(c, 0, ir.op(operation, a, b));
        }
    };
}

/** PSHUFB: WebAssembly's swizzle yields zero for all indices above 15, x86 only looks at bit 7. */
const shuffleBytes: Semantic = c => {
    const ir = c.ir;
    const index = readVector(c, 1);
    const used = ir.op('v128.and', index, everyDword(ir, isMmx(c, 0) ? 0x87878787 | 0 : 0x8f8f8f8f | 0));
    writeVector(c, 0, ir.op('i8x16.swizzle', readVector(c, 0), used));
};

/** Byte numbers for 32-bit lanes chosen by four 2-bit fields. */
function dwordLanes(immediate: number): number[] {
    return Array.from({ length: 16 }, (_, i) => ((immediate >> (2 * (i >> 2))) & 3) * 4 + (i & 3));
}

/** The same as a swizzle index for an immediate that is not known yet. */
function dwordIndex(ir: IrBuilder, immediate: Value): Value {
    // Multiplication moves each lane's field to bits 7:6.
    const moved = ir.op('i32x4.mul', ir.op('i32x4.splat', immediate), dwords(ir, 64, 16, 4, 1));
    const lane = ir.op('v128.and', ir.op('i32x4.shr_u', moved, ir.i32(6)), everyDword(ir, 3));
    return ir.op('i32x4.add', ir.op('i32x4.mul', lane, everyDword(ir, 0x04040404)), everyDword(ir, 0x03020100));
}

const shuffleDwords: Semantic = c => {
    const ir = c.ir;
    const { value, constant } = immediateByte(c);
    const x = readVector(c, 1);
    c.write(
        0,
        constant === undefined
            ? ir.op('i8x16.swizzle', x, dwordIndex(ir, value))
            : ir.shuffle(x, x, dwordLanes(constant)),
    );
};

/** PSHUFLW, PSHUFHW, PSHUFW: the words of one half; the other is copied. */
function shuffleWords(half: 0 | 1): Semantic {
    return c => {
        const ir = c.ir;
        const { value, constant } = immediateByte(c);
        const x = readVector(c, 1);
        if (constant !== undefined) {
            const lanes = Array.from({ length: 16 }, (_, i) =>
                i >> 3 === half ? half * 8 + ((constant >> (2 * ((i >> 1) & 3))) & 3) * 2 + (i & 1) : i,
            );
            writeVector(c, 0, ir.shuffle(x, x, lanes));
            return;
        }
        // Multiplication moves each lane's field to bits 7:6; by zero in the half that stays.
        const factors = half === 0 ? [64, 16, 4, 1, 0, 0, 0, 0] : [0, 0, 0, 0, 64, 16, 4, 1];
        const identity = [0x0100, 0x0302, 0x0504, 0x0706, 0x0908, 0x0b0a, 0x0d0c, 0x0f0e];
        const first = identity.map((word, lane) => (lane >> 2 === half ? identity[half * 4] : word));
        const moved = ir.op('i16x8.mul', ir.op('i16x8.splat', value), words(ir, ...factors));
        const lane = ir.op('v128.and', ir.op('i16x8.shr_u', moved, ir.i32(6)), everyDword(ir, 0x00030003));
        const offset = ir.op('i16x8.mul', lane, everyDword(ir, 0x02020202));
        writeVector(c, 0, ir.op('i8x16.swizzle', x, ir.op('i16x8.add', offset, words(ir, ...first))));
    };
}

/** SHUFPS: two lanes chosen from the destination, then two from the source. */
const shuffleSingles: Semantic = c => {
    const ir = c.ir;
    const { value, constant } = immediateByte(c);
    const b = readVector(c, 1);
    const a = c.read(0);
    if (constant !== undefined) {
        const lanes = dwordLanes(constant).map((byte, i) => (i < 8 ? byte : byte + 16));
        c.write(0, ir.shuffle(a, b, lanes));
        return;
    }
    const index = dwordIndex(ir, value);
    const fromA = ir.op('i8x16.swizzle', a, index);
    const fromB = ir.op('i8x16.swizzle', b, index);
    c.write(0, ir.shuffle(fromA, fromB, [0, 1, 2, 3, 4, 5, 6, 7, 24, 25, 26, 27, 28, 29, 30, 31]));
};

/** SHUFPD: one lane chosen from the destination, one from the source. */
const shuffleDoubles: Semantic = c => {
    const ir = c.ir;
    const { value, constant } = immediateByte(c);
    const b = readVector(c, 1);
    const a = c.read(0);
    const halves = (low: number, high: number): number[] =>
        Array.from({ length: 16 }, (_, i) => (i < 8 ? low * 8 + i : 16 + high * 8 + i - 8));
    if (constant !== undefined) {
        c.write(0, ir.shuffle(a, b, halves(constant & 1, (constant >> 1) & 1)));
        return;
    }
    const withLow = (high: 0 | 1): Value =>
        ir.select(
            ir.op('i32.and', value, ir.i32(1)),
            ir.shuffle(a, b, halves(1, high)),
            ir.shuffle(a, b, halves(0, high)),
        );
    c.write(0, ir.select(ir.op('i32.and', value, ir.i32(2)), withLow(1), withLow(0)));
};

/** PALIGNR: destination and source side by side, shifted right by bytes. */
const align: Semantic = c => {
    const ir = c.ir;
    const { value, constant } = immediateByte(c);
    let b = readVector(c, 1);
    let a = readVector(c, 0);
    if (isMmx(c, 0)) {
        // Destination and source fill one vector, and nothing stands above.
        b = ir.lane('i64x2.replace_lane', b, 1, lowQword(ir, a));
        a = zeroVector(ir);
    }
    if (constant !== undefined && constant <= 16) {
        writeVector(
            c,
            0,
            ir.shuffle(
                b,
                a,
                Array.from({ length: 16 }, (_, i) => i + constant),
            ),
        );
        return;
    }
    // Swizzle yields zero for indices above 15, so each half contributes where the index falls into it.
    const limit = ir.i32(32);
    const count = ir.select(ir.op('i32.lt_u', value, limit), value, limit);
    const index = ir.op('i8x16.add', byteNumbers(ir), ir.op('i8x16.splat', count));
    const high = ir.op('i8x16.sub', index, everyDword(ir, 0x10101010));
    const low = ir.op('i8x16.swizzle', b, index);
    writeVector(c, 0, ir.op('v128.or', low, ir.op('i8x16.swizzle', a, high)));
};

/** PMOVSXxx, PMOVZXxx: `steps` doublings of the lanes from `from` bits on. */
function extend(sign: 's' | 'u', from: 8 | 16 | 32, steps: number): Semantic {
    const shapes = ['i8x16', 'i16x8', 'i32x4', 'i64x2'];
    return c => {
        const ir = c.ir;
        let value = readVector(c, 1);
        const first = from === 8 ? 0 : from === 16 ? 1 : 2;
        for (let step = first; step < first + steps; step++) {
            value = ir.op(`${shapes[step + 1]}.extend_low_${shapes[step]}_${sign}`, value);
        }
        c.write(0, value);
    };
}

export const SHUFFLES: SemanticTable = {
    PUNPCKLBW: unpack(1, 'low'),
    PUNPCKLWD: unpack(2, 'low'),
    PUNPCKLDQ: unpack(4, 'low'),
    PUNPCKLQDQ: unpack(8, 'low'),
    PUNPCKHBW: unpack(1, 'high'),
    PUNPCKHWD: unpack(2, 'high'),
    PUNPCKHDQ: unpack(4, 'high'),
    PUNPCKHQDQ: unpack(8, 'high'),
    UNPCKLPS: unpack(4, 'low'),
    UNPCKLPD: unpack(8, 'low'),
    UNPCKHPS: unpack(4, 'high'),
    UNPCKHPD: unpack(8, 'high'),
    PACKSSWB: pack('i8x16.narrow_i16x8_s'),
    PACKUSWB: pack('i8x16.narrow_i16x8_u'),
    PACKSSDW: pack('i16x8.narrow_i32x4_s'),
    PACKUSDW: pack('i16x8.narrow_i32x4_u'),
    PSHUFB: shuffleBytes,
    PSHUFD: shuffleDwords,
    PSHUFW: shuffleWords(0),
    PSHUFLW: shuffleWords(0),
    PSHUFHW: shuffleWords(1),
    SHUFPS: shuffleSingles,
    SHUFPD: shuffleDoubles,
    PALIGNR: align,
    PMOVSXBW: extend('s', 8, 1),
    PMOVSXBD: extend('s', 8, 2),
    PMOVSXBQ: extend('s', 8, 3),
    PMOVSXWD: extend('s', 16, 1),
    PMOVSXWQ: extend('s', 16, 2),
    PMOVSXDQ: extend('s', 32, 1),
    PMOVZXBW: extend('u', 8, 1),
    PMOVZXBD: extend('u', 8, 2),
    PMOVZXBQ: extend('u', 8, 3),
    PMOVZXWD: extend('u', 16, 1),
    PMOVZXWQ: extend('u', 16, 2),
    PMOVZXDQ: extend('u', 32, 1),
};
