/** Packed integer arithmetic (SDM Vol. 1, 9.4, 11.4.2, 12.5, 12.10). */
import { type IrBuilder } from '../../ir/builder';
import { NONE, type Value } from '../../ir/function';
import { type Semantic, type SemanticTable } from '../semantics';
import {
    binary,
    everyDword,
    everyQword,
    immediateByte,
    isMmx,
    lanewise,
    readVector,
    signMask,
    unary,
    writeVector,
    zeroVector,
} from './operands';

/** High halves of the 16-bit products. */
function multiplyHigh(sign: 's' | 'u'): Semantic {
    return binary((ir, a, b) => {
        const low = ir.op(`i32x4.extmul_low_i16x8_${sign}`, a, b);
        const high = ir.op(`i32x4.extmul_high_i16x8_${sign}`, a, b);
        return ir.shuffle(low, high, [2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31]);
    });
}

/** PMULHRSW. WebAssembly saturates the one product that overflows, -1 × -1; x86 lets it wrap. */
function multiplyRounded(ir: IrBuilder, a: Value, b: Value): Value {
    const lowest = everyDword(ir, 0x80008000 | 0);
    const both = ir.op('v128.and', ir.op('i16x8.eq', a, lowest), ir.op('i16x8.eq', b, lowest));
    return ir.op('v128.xor', ir.op('i16x8.q15mulr_sat_s', a, b), both);
}

/** PMULUDQ, PMULDQ: 64-bit products of the even 32-bit lanes. */
function multiplyEven(sign: 's' | 'u'): Semantic {
    const even = [0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11];
    return binary((ir, a, b) =>
        ir.op(`i64x2.extmul_low_i32x4_${sign}`, ir.shuffle(a, a, even), ir.shuffle(b, b, even)),
    );
}

/** PMADDUBSW: unsigned bytes of the destination times signed bytes of the source, pairs added with saturation. */
function multiplyAddBytes(ir: IrBuilder, a: Value, b: Value): Value {
    const eight = ir.i32(8);
    const evenA = ir.op('v128.and', a, everyDword(ir, 0x00ff00ff));
    const evenB = ir.op('i16x8.shr_s', ir.op('i16x8.shl', b, eight), eight);
    const oddA = ir.op('i16x8.shr_u', a, eight);
    const oddB = ir.op('i16x8.shr_s', b, eight);
    return ir.op('i16x8.add_sat_s', ir.op('i16x8.mul', evenA, evenB), ir.op('i16x8.mul', oddA, oddB));
}

function absoluteDifference(ir: IrBuilder, a: Value, b: Value): Value {
    return ir.op('v128.or', ir.op('i8x16.sub_sat_u', a, b), ir.op('i8x16.sub_sat_u', b, a));
}

/** PSADBW: sum of the absolute differences of the eight bytes in each half. */
function sumOfDifferences(ir: IrBuilder, a: Value, b: Value): Value {
    const pairs = ir.op('i16x8.extadd_pairwise_i8x16_u', absoluteDifference(ir, a, b));
    const quads = ir.op('i32x4.extadd_pairwise_i16x8_u', pairs);
    const sums = ir.op('i64x2.add', quads, ir.op('i64x2.shr_u', quads, ir.i32(32)));
    return ir.op('v128.and', sums, everyQword(ir, -1, 0));
}

/**
 * MPSADBW: four bytes of the source, chosen by immediate bits 1:0, against eight overlapping groups of four in the
 * destination, which begin at byte 0 or 4 by bit 2.
 */
const multipleSumsOfDifferences: Semantic = c => {
    const ir = c.ir;
    const { value } = immediateByte(c);
    const source = readVector(c, 1);
    const destination = c.read(0);
    const fromFour = Array.from({ length: 16 }, (_, i) => (i < 12 ? i + 4 : 15));
    const shifted = ir.shuffle(destination, destination, fromFour);
    const groups = ir.select(ir.op('i32.and', value, ir.i32(4)), shifted, destination);
    const firstByte = ir.op('i32.shl', ir.op('i32.and', value, ir.i32(3)), ir.i32(2));
    let sum = NONE;
    for (let k = 0; k < 4; k++) {
        const index = ir.op('i8x16.splat', ir.op('i32.add', firstByte, ir.i32(k)));
        const bytes = ir.op('i8x16.swizzle', source, index);
        const window = Array.from({ length: 16 }, (_, i) => Math.min(i + k, 15));
        const difference = absoluteDifference(ir, k === 0 ? groups : ir.shuffle(groups, groups, window), bytes);
        const wide = ir.op('i16x8.extend_low_i8x16_u', difference);
        sum = sum === NONE ? wide : ir.op('i16x8.add', sum, wide);
    }
    c.write(0, sum);
};

/** PHMINPOSUW: the smallest word and its position. */
function minimumPosition(ir: IrBuilder, x: Value): Value {
    // The position below the value makes one comparison find both, and the first of equals.
    const withPosition = (half: 'low' | 'high', first: number): Value => {
        const values = ir.op('i32x4.shl', ir.op(`i32x4.extend_${half}_i16x8_u`, x), ir.i32(16));
        const positions = Int32Array.of(first, first + 1, first + 2, first + 3);
        return ir.op('v128.or', values, ir.v128(new Uint8Array(positions.buffer)));
    };
    let least = ir.op('i32x4.min_u', withPosition('low', 0), withPosition('high', 4));
    for (const distance of [8, 4]) {
        const rotated = ir.shuffle(
            least,
            least,
            Array.from({ length: 16 }, (_, i) => (i + distance) & 15),
        );
        least = ir.op('i32x4.min_u', least, rotated);
    }
    const found = ir.op('i32.rotl', ir.lane('i32x4.extract_lane', least, 0), ir.i32(16));
    return ir.lane('i32x4.replace_lane', zeroVector(ir), 0, found);
}

/** PSIGNx: the destination negated, kept or made zero by the sign of the source. */
function sign(shape: string): Semantic {
    return binary((ir, a, b) => {
        const negative = signMask(ir, shape, b);
        const negated = ir.op(`${shape}.sub`, ir.op('v128.xor', a, negative), negative);
        return ir.op('v128.andnot', negated, ir.op(`${shape}.eq`, b, zeroVector(ir)));
    });
}

/** PHADDx, PHSUBx: neighbours of the destination, then of the source. */
function horizontal(shape: 'i16x8' | 'i32x4', operation: string): Semantic {
    const bytes = shape === 'i16x8' ? 2 : 4;
    // Byte `i` of the even or odd lanes of two vectors one after the other.
    const lanes = (odd: 0 | 1, half: number): number[] =>
        Array.from({ length: 16 }, (_, i) => {
            const lane = Math.floor(i / bytes);
            const perSource = half / bytes / 2;
            const source = Math.floor(lane / perSource) & 1;
            return 16 * source + ((lane % perSource) * 2 + odd) * bytes + (i % bytes);
        });
    return c => {
        const ir = c.ir;
        const b = readVector(c, 1);
        const a = readVector(c, 0);
        const width = isMmx(c, 0) ? 8 : 16;
        const even = ir.shuffle(a, b, lanes(0, width));
        const odd = ir.shuffle(a, b, lanes(1, width));
        writeVector(c, 0, ir.op(`${shape}.${operation}`, even, odd));
    };
}

const compareEqual = (shape: string): Semantic => lanewise(`${shape}.eq`);
const compareGreater = (shape: string): Semantic => lanewise(`${shape}.gt_s`);
const absolute = (shape: string): Semantic => unary((ir, x) => ir.op(`${shape}.abs`, x));

export const INTEGER: SemanticTable = {
    PADDB: lanewise('i8x16.add'),
    PADDW: lanewise('i16x8.add'),
    PADDD: lanewise('i32x4.add'),
    PADDQ: lanewise('i64x2.add'),
    PADDSB: lanewise('i8x16.add_sat_s'),
    PADDSW: lanewise('i16x8.add_sat_s'),
    PADDUSB: lanewise('i8x16.add_sat_u'),
    PADDUSW: lanewise('i16x8.add_sat_u'),
    PSUBB: lanewise('i8x16.sub'),
    PSUBW: lanewise('i16x8.sub'),
    PSUBD: lanewise('i32x4.sub'),
    PSUBQ: lanewise('i64x2.sub'),
    PSUBSB: lanewise('i8x16.sub_sat_s'),
    PSUBSW: lanewise('i16x8.sub_sat_s'),
    PSUBUSB: lanewise('i8x16.sub_sat_u'),
    PSUBUSW: lanewise('i16x8.sub_sat_u'),
    PHADDW: horizontal('i16x8', 'add'),
    PHADDD: horizontal('i32x4', 'add'),
    PHADDSW: horizontal('i16x8', 'add_sat_s'),
    PHSUBW: horizontal('i16x8', 'sub'),
    PHSUBD: horizontal('i32x4', 'sub'),
    PHSUBSW: horizontal('i16x8', 'sub_sat_s'),
    PAVGB: lanewise('i8x16.avgr_u'),
    PAVGW: lanewise('i16x8.avgr_u'),
    PMULLW: lanewise('i16x8.mul'),
    PMULLD: lanewise('i32x4.mul'),
    PMULHW: multiplyHigh('s'),
    PMULHUW: multiplyHigh('u'),
    PMULHRSW: binary(multiplyRounded),
    PMULUDQ: multiplyEven('u'),
    PMULDQ: multiplyEven('s'),
    PMADDWD: lanewise('i32x4.dot_i16x8_s'),
    PMADDUBSW: binary(multiplyAddBytes),
    PSADBW: binary(sumOfDifferences),
    MPSADBW: multipleSumsOfDifferences,
    PHMINPOSUW: unary(minimumPosition),
    PABSB: absolute('i8x16'),
    PABSW: absolute('i16x8'),
    PABSD: absolute('i32x4'),
    PSIGNB: sign('i8x16'),
    PSIGNW: sign('i16x8'),
    PSIGND: sign('i32x4'),
    PCMPEQB: compareEqual('i8x16'),
    PCMPEQW: compareEqual('i16x8'),
    PCMPEQD: compareEqual('i32x4'),
    PCMPEQQ: compareEqual('i64x2'),
    PCMPGTB: compareGreater('i8x16'),
    PCMPGTW: compareGreater('i16x8'),
    PCMPGTD: compareGreater('i32x4'),
    PCMPGTQ: compareGreater('i64x2'),
    PMINSB: lanewise('i8x16.min_s'),
    PMINSW: lanewise('i16x8.min_s'),
    PMINSD: lanewise('i32x4.min_s'),
    PMINUB: lanewise('i8x16.min_u'),
    PMINUW: lanewise('i16x8.min_u'),
    PMINUD: lanewise('i32x4.min_u'),
    PMAXSB: lanewise('i8x16.max_s'),
    PMAXSW: lanewise('i16x8.max_s'),
    PMAXSD: lanewise('i32x4.max_s'),
    PMAXUB: lanewise('i8x16.max_u'),
    PMAXUW: lanewise('i16x8.max_u'),
    PMAXUD: lanewise('i32x4.max_u'),
};
