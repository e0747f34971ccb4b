/** The text format's names of instructions, by opcode (WebAssembly specification 2.0, appendix "Index of Instructions"). */

/** Opcodes 45h to C4h: numeric instructions without immediates, in their order. */
const NUMERIC = `
    i32.eqz i32.eq i32.ne i32.lt_s i32.lt_u i32.gt_s i32.gt_u i32.le_s i32.le_u i32.ge_s i32.ge_u
    i64.eqz i64.eq i64.ne i64.lt_s i64.lt_u i64.gt_s i64.gt_u i64.le_s i64.le_u i64.ge_s i64.ge_u
    f32.eq f32.ne f32.lt f32.gt f32.le f32.ge f64.eq f64.ne f64.lt f64.gt f64.le f64.ge
    i32.clz i32.ctz i32.popcnt i32.add i32.sub i32.mul i32.div_s i32.div_u i32.rem_s i32.rem_u i32.and i32.or i32.xor
    i32.shl i32.shr_s i32.shr_u i32.rotl i32.rotr
    i64.clz i64.ctz i64.popcnt i64.add i64.sub i64.mul i64.div_s i64.div_u i64.rem_s i64.rem_u i64.and i64.or i64.xor
    i64.shl i64.shr_s i64.shr_u i64.rotl i64.rotr
    f32.abs f32.neg f32.ceil f32.floor f32.trunc f32.nearest f32.sqrt f32.add f32.sub f32.mul f32.div f32.min f32.max
    f32.copysign
    f64.abs f64.neg f64.ceil f64.floor f64.trunc f64.nearest f64.sqrt f64.add f64.sub f64.mul f64.div f64.min f64.max
    f64.copysign
    i32.wrap_i64 i32.trunc_f32_s i32.trunc_f32_u i32.trunc_f64_s i32.trunc_f64_u
    i64.extend_i32_s i64.extend_i32_u i64.trunc_f32_s i64.trunc_f32_u i64.trunc_f64_s i64.trunc_f64_u
    f32.convert_i32_s f32.convert_i32_u f32.convert_i64_s f32.convert_i64_u f32.demote_f64
    f64.convert_i32_s f64.convert_i32_u f64.convert_i64_s f64.convert_i64_u f64.promote_f32
    i32.reinterpret_f32 i64.reinterpret_f64 f32.reinterpret_i32 f64.reinterpret_i64
    i32.extend8_s i32.extend16_s i64.extend8_s i64.extend16_s i64.extend32_s`;

/** Opcodes 28h to 3Eh: loads and stores. */
const MEMORY = `
    i32.load i64.load f32.load f64.load i32.load8_s i32.load8_u i32.load16_s i32.load16_u
    i64.load8_s i64.load8_u i64.load16_s i64.load16_u i64.load32_s i64.load32_u
    i32.store i64.store f32.store f64.store i32.store8 i32.store16 i64.store8 i64.store16 i64.store32`;

const SATURATING = `
    i32.trunc_sat_f32_s i32.trunc_sat_f32_u i32.trunc_sat_f64_s i32.trunc_sat_f64_u
    i64.trunc_sat_f32_s i64.trunc_sat_f32_u i64.trunc_sat_f64_s i64.trunc_sat_f64_u`;

const INTEGER_COMPARISONS = 'eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u';
const FLOAT_COMPARISONS = 'eq ne lt gt le ge';
const FLOAT_ARITHMETIC = 'sqrt add sub mul div min max pmin pmax';

/** After prefix FDh, from each number on; `-` leaves a gap. */
const VECTOR: ReadonlyArray<readonly [first: number, names: string, prefix?: string]> = [
    [0, 'load load8x8_s load8x8_u load16x4_s load16x4_u load32x2_s load32x2_u load8_splat load16_splat', 'v128'],
    [9, 'load32_splat load64_splat store const', 'v128'],
    [13, 'i8x16.shuffle i8x16.swizzle i8x16.splat i16x8.splat i32x4.splat i64x2.splat f32x4.splat f64x2.splat'],
    [21, 'i8x16.extract_lane_s i8x16.extract_lane_u i8x16.replace_lane'],
    [24, 'i16x8.extract_lane_s i16x8.extract_lane_u i16x8.replace_lane i32x4.extract_lane i32x4.replace_lane'],
    [29, 'i64x2.extract_lane i64x2.replace_lane f32x4.extract_lane f32x4.replace_lane f64x2.extract_lane'],
    [34, 'f64x2.replace_lane'],
    [35, INTEGER_COMPARISONS, 'i8x16'],
    [45, INTEGER_COMPARISONS, 'i16x8'],
    [55, INTEGER_COMPARISONS, 'i32x4'],
    [65, FLOAT_COMPARISONS, 'f32x4'],
    [71, FLOAT_COMPARISONS, 'f64x2'],
    [77, 'not and andnot or xor bitselect any_true load8_lane load16_lane load32_lane load64_lane', 'v128'],
    [88, 'store8_lane store16_lane store32_lane store64_lane load32_zero load64_zero', 'v128'],
    [94, 'f32x4.demote_f64x2_zero f64x2.promote_low_f32x4'],
    [96, 'abs neg popcnt all_true bitmask narrow_i16x8_s narrow_i16x8_u', 'i8x16'],
    [103, 'ceil floor trunc nearest', 'f32x4'],
    [107, 'shl shr_s shr_u add add_sat_s add_sat_u sub sub_sat_s sub_sat_u', 'i8x16'],
    [116, 'f64x2.ceil f64x2.floor i8x16.min_s i8x16.min_u i8x16.max_s i8x16.max_u f64x2.trunc i8x16.avgr_u'],
    [124, 'i16x8.extadd_pairwise_i8x16_s i16x8.extadd_pairwise_i8x16_u'],
    [126, 'i32x4.extadd_pairwise_i16x8_s i32x4.extadd_pairwise_i16x8_u'],
    [128, 'abs neg q15mulr_sat_s all_true bitmask narrow_i32x4_s narrow_i32x4_u', 'i16x8'],
    [135, 'extend_low_i8x16_s extend_high_i8x16_s extend_low_i8x16_u extend_high_i8x16_u', 'i16x8'],
    [139, 'shl shr_s shr_u add add_sat_s add_sat_u sub sub_sat_s sub_sat_u', 'i16x8'],
    [148, 'f64x2.nearest i16x8.mul i16x8.min_s i16x8.min_u i16x8.max_s i16x8.max_u - i16x8.avgr_u'],
    [156, 'extmul_low_i8x16_s extmul_high_i8x16_s extmul_low_i8x16_u extmul_high_i8x16_u', 'i16x8'],
    [160, 'abs neg - all_true bitmask', 'i32x4'],
    [167, 'extend_low_i16x8_s extend_high_i16x8_s extend_low_i16x8_u extend_high_i16x8_u', 'i32x4'],
    [171, 'shl shr_s shr_u add - - sub - - - mul min_s min_u max_s max_u dot_i16x8_s', 'i32x4'],
    [188, 'extmul_low_i16x8_s extmul_high_i16x8_s extmul_low_i16x8_u extmul_high_i16x8_u', 'i32x4'],
    [192, 'abs neg - all_true bitmask', 'i64x2'],
    [199, 'extend_low_i32x4_s extend_high_i32x4_s extend_low_i32x4_u extend_high_i32x4_u', 'i64x2'],
    [203, 'shl shr_s shr_u add - - sub - - - mul eq ne lt_s gt_s le_s ge_s', 'i64x2'],
    [220, 'extmul_low_i32x4_s extmul_high_i32x4_s extmul_low_i32x4_u extmul_high_i32x4_u', 'i64x2'],
    [224, 'abs neg', 'f32x4'],
    [227, FLOAT_ARITHMETIC, 'f32x4'],
    [236, 'abs neg', 'f64x2'],
    [239, FLOAT_ARITHMETIC, 'f64x2'],
    [248, 'i32x4.trunc_sat_f32x4_s i32x4.trunc_sat_f32x4_u f32x4.convert_i32x4_s f32x4.convert_i32x4_u'],
    [252, 'i32x4.trunc_sat_f64x2_s_zero i32x4.trunc_sat_f64x2_u_zero'],
    [254, 'f64x2.convert_low_i32x4_s f64x2.convert_low_i32x4_u'],
];

function words(text: string): string[] {
    return text.trim().split(/\s+/);
}

function numbered(first: number, text: string): [number, string][] {
    return words(text).map((name, index) => [first + index, name]);
}

/** Single-byte opcodes with no immediate. */
export const PLAIN_NAMES: ReadonlyMap<number, string> = new Map([
    [0x00, 'unreachable'],
    [0x01, 'nop'],
    [0x0f, 'return'],
    [0x1a, 'drop'],
    [0x1b, 'select'],
    ...numbered(0x45, NUMERIC),
]);

export const MEMORY_NAMES: ReadonlyMap<number, string> = new Map(numbered(0x28, MEMORY));

export const SATURATING_NAMES: ReadonlyMap<number, string> = new Map(numbered(0, SATURATING));

export const VECTOR_NAMES: ReadonlyMap<number, string> = new Map(
    VECTOR.flatMap(([first, names, prefix]) =>
        words(names).flatMap((name, index): [number, string][] =>
            name === '-' ? [] : [[first + index, prefix === undefined ? name : `${prefix}.${name}`]],
        ),
    ),
);
