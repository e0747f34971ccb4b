/**
 * Scalar operations of the evaluator, after the WebAssembly core specification, section 4.3.
 *
 * Values by type: i32 a signed number, i64 a bigint below 2^64, f32 and f64 their bits as i32 and i64. An arithmetic NaN
 * result is the canonical one, where WebAssembly leaves the payload open: what depends on it shows.
 */

/** A value of one of the scalar types. */
export type Scalar = number | bigint;

const view = new DataView(new ArrayBuffer(8));

export function float32(bits: number): number {
    view.setInt32(0, bits);
    return view.getFloat32(0);
}

/** Bits of a number rounded to f32. */
export function bits32(value: number): number {
    if (Number.isNaN(value)) {
        return 0x7fc00000;
    }
    view.setFloat32(0, value);
    return view.getInt32(0);
}

export function float64(bits: bigint): number {
    view.setBigUint64(0, bits);
    return view.getFloat64(0);
}

export function bits64(value: number): bigint {
    if (Number.isNaN(value)) {
        return 0x7ff8000000000000n;
    }
    view.setFloat64(0, value);
    return view.getBigUint64(0);
}

const u64 = (value: bigint): bigint => BigInt.asUintN(64, value);
const s64 = (value: bigint): bigint => BigInt.asIntN(64, value);
const truth = (condition: boolean): number => (condition ? 1 : 0);

/** To the nearest integer, ties to even. */
function nearest(value: number): number {
    const floor = Math.floor(value);
    const fraction = value - floor;
    if (!Number.isFinite(value) || fraction === 0) {
        return value;
    }
    const up = fraction > 0.5 || (fraction === 0.5 && floor % 2 !== 0);
    const result = up ? floor + 1 : floor;
    return result === 0 && value < 0 ? -0 : result;
}

/** The number nearest to an integer of up to 64 bits among the f32. */
function integerToFloat32(value: bigint): number {
    const magnitude = value < 0n ? -value : value;
    if (magnitude < 1n << 53n) {
        return bits32(Number(value));
    }
    // Rounding twice is exact if the first time is to odd, with at least two bits to spare.
    const sticky = (magnitude & 0xfffn) !== 0n ? 1n : 0n;
    const rounded = Number((magnitude >> 12n) | sticky) * 4096;
    return bits32(value < 0n ? -rounded : rounded);
}

function saturate(value: number, low: bigint, high: bigint): bigint {
    if (Number.isNaN(value)) {
        return 0n;
    }
    if (value <= Number(low)) {
        return low;
    }
    return value >= Number(high) ? high : BigInt(Math.trunc(value));
}

const saturateS32 = (value: number): number => Number(saturate(value, -0x80000000n, 0x7fffffffn));
const saturateU32 = (value: number): number => Number(saturate(value, 0n, 0xffffffffn)) | 0;
const saturateS64 = (value: number): bigint => u64(saturate(value, -(1n << 63n), (1n << 63n) - 1n));
const saturateU64 = (value: number): bigint => saturate(value, 0n, (1n << 64n) - 1n);

function populationCount(value: bigint): number {
    let count = 0;
    for (let rest = value; rest !== 0n; rest &= rest - 1n) {
        count++;
    }
    return count;
}

function leadingZeros(value: bigint): bigint {
    return value === 0n ? 64n : BigInt(64 - value.toString(2).length);
}

type Operation<T extends Scalar> = (a: T, b: T) => Scalar;

const I32: Readonly<Record<string, Operation<number>>> = {
    eqz: a => truth(a === 0),
    eq: (a, b) => truth(a === b),
    ne: (a, b) => truth(a !== b),
    lt_s: (a, b) => truth(a < b),
    lt_u: (a, b) => truth(a >>> 0 < b >>> 0),
    gt_s: (a, b) => truth(a > b),
    gt_u: (a, b) => truth(a >>> 0 > b >>> 0),
    le_s: (a, b) => truth(a <= b),
    le_u: (a, b) => truth(a >>> 0 <= b >>> 0),
    ge_s: (a, b) => truth(a >= b),
    ge_u: (a, b) => truth(a >>> 0 >= b >>> 0),
    clz: a => Math.clz32(a),
    ctz: a => (a === 0 ? 32 : 31 - Math.clz32(a & -a)),
    popcnt: a => populationCount(BigInt(a >>> 0)),
    add: (a, b) => (a + b) | 0,
    sub: (a, b) => (a - b) | 0,
    mul: (a, b) => Math.imul(a, b),
    div_s: (a, b) => (a / b) | 0,
    div_u: (a, b) => ((a >>> 0) / (b >>> 0)) | 0,
    rem_s: (a, b) => (a % b) | 0,
    rem_u: (a, b) => ((a >>> 0) % (b >>> 0)) | 0,
    and: (a, b) => a & b,
    or: (a, b) => a | b,
    xor: (a, b) => a ^ b,
    shl: (a, b) => a << b,
    shr_s: (a, b) => a >> b,
    shr_u: (a, b) => (a >>> b) | 0,
    rotl: (a, b) => (a << b) | (a >>> (-b & 31)),
    rotr: (a, b) => (a >>> b) | (a << (-b & 31)),
    extend8_s: a => (a << 24) >> 24,
    extend16_s: a => (a << 16) >> 16,
    min_s: (a, b) => Math.min(a, b),
    min_u: (a, b) => (a >>> 0 < b >>> 0 ? a : b),
    max_s: (a, b) => Math.max(a, b),
    max_u: (a, b) => (a >>> 0 > b >>> 0 ? a : b),
    neg: a => -a | 0,
    abs: a => Math.abs(a) | 0,
};

const I64: Readonly<Record<string, Operation<bigint>>> = {
    eqz: a => truth(a === 0n),
    eq: (a, b) => truth(a === b),
    ne: (a, b) => truth(a !== b),
    lt_s: (a, b) => truth(s64(a) < s64(b)),
    lt_u: (a, b) => truth(a < b),
    gt_s: (a, b) => truth(s64(a) > s64(b)),
    gt_u: (a, b) => truth(a > b),
    le_s: (a, b) => truth(s64(a) <= s64(b)),
    le_u: (a, b) => truth(a <= b),
    ge_s: (a, b) => truth(s64(a) >= s64(b)),
    ge_u: (a, b) => truth(a >= b),
    clz: a => leadingZeros(a),
    ctz: a => (a === 0n ? 64n : 63n - leadingZeros(a & -a)),
    popcnt: a => BigInt(populationCount(a)),
    add: (a, b) => u64(a + b),
    sub: (a, b) => u64(a - b),
    mul: (a, b) => u64(a * b),
    div_s: (a, b) => u64(s64(a) / s64(b)),
    div_u: (a, b) => a / b,
    rem_s: (a, b) => u64(s64(a) % s64(b)),
    rem_u: (a, b) => a % b,
    and: (a, b) => a & b,
    or: (a, b) => a | b,
    xor: (a, b) => a ^ b,
    shl: (a, b) => u64(a << (b & 63n)),
    shr_s: (a, b) => u64(s64(a) >> (b & 63n)),
    shr_u: (a, b) => a >> (b & 63n),
    rotl: (a, b) => u64((a << (b & 63n)) | (a >> (-b & 63n))),
    rotr: (a, b) => u64((a >> (b & 63n)) | (a << (-b & 63n))),
    extend8_s: a => u64(BigInt.asIntN(8, a)),
    extend16_s: a => u64(BigInt.asIntN(16, a)),
    extend32_s: a => u64(BigInt.asIntN(32, a)),
    neg: a => u64(-a),
    abs: a => u64(s64(a) < 0n ? -a : a),
};

/** Of both float types, on numbers; the result is rounded to the type. */
const FLOAT: Readonly<Record<string, (a: number, b: number) => number>> = {
    ceil: Math.ceil,
    floor: Math.floor,
    trunc: Math.trunc,
    nearest,
    sqrt: Math.sqrt,
    add: (a, b) => a + b,
    sub: (a, b) => a - b,
    mul: (a, b) => a * b,
    div: (a, b) => a / b,
    // Unlike Math.min on integers, these order the zeros and propagate NaN just as WebAssembly's do.
    min: Math.min,
    max: Math.max,
};

const FLOAT_COMPARISON: Readonly<Record<string, (a: number, b: number) => boolean>> = {
    eq: (a, b) => a === b,
    ne: (a, b) => a !== b,
    lt: (a, b) => a < b,
    gt: (a, b) => a > b,
    le: (a, b) => a <= b,
    ge: (a, b) => a >= b,
};

const SIGN32 = -0x80000000;
const SIGN64 = 1n << 63n;

/** Of bits, without regard to what they mean. */
const F32_BITS: Readonly<Record<string, Operation<number>>> = {
    abs: a => a & ~SIGN32,
    neg: a => a ^ SIGN32,
    copysign: (a, b) => (a & ~SIGN32) | (b & SIGN32),
    // Of SIMD only.
    pmin: (a, b) => (float32(b) < float32(a) ? b : a),
    pmax: (a, b) => (float32(a) < float32(b) ? b : a),
};
const F64_BITS: Readonly<Record<string, Operation<bigint>>> = {
    abs: a => a & ~SIGN64,
    neg: a => a ^ SIGN64,
    copysign: (a, b) => (a & ~SIGN64) | (b & SIGN64),
    pmin: (a, b) => (float64(b) < float64(a) ? b : a),
    pmax: (a, b) => (float64(a) < float64(b) ? b : a),
};

const CONVERSIONS = {
    'i32.wrap_i64': (a: bigint) => Number(BigInt.asIntN(32, a)),
    'i64.extend_i32_s': (a: number) => u64(BigInt(a)),
    'i64.extend_i32_u': (a: number) => BigInt(a >>> 0),
    'f32.convert_i32_s': (a: number) => bits32(a),
    'f32.convert_i32_u': (a: number) => bits32(a >>> 0),
    'f32.convert_i64_s': (a: bigint) => integerToFloat32(s64(a)),
    'f32.convert_i64_u': (a: bigint) => integerToFloat32(a),
    'f32.demote_f64': (a: bigint) => bits32(float64(a)),
    'f64.convert_i32_s': (a: number) => bits64(a),
    'f64.convert_i32_u': (a: number) => bits64(a >>> 0),
    'f64.convert_i64_s': (a: bigint) => bits64(Number(s64(a))),
    'f64.convert_i64_u': (a: bigint) => bits64(Number(a)),
    'f64.promote_f32': (a: number) => bits64(float32(a)),
    'i32.reinterpret_f32': (a: number) => a,
    'i64.reinterpret_f64': (a: bigint) => a,
    'f32.reinterpret_i32': (a: number) => a,
    'f64.reinterpret_i64': (a: bigint) => a,
    'i32.trunc_sat_f32_s': (a: number) => saturateS32(float32(a)),
    'i32.trunc_sat_f32_u': (a: number) => saturateU32(float32(a)),
    'i32.trunc_sat_f64_s': (a: bigint) => saturateS32(float64(a)),
    'i32.trunc_sat_f64_u': (a: bigint) => saturateU32(float64(a)),
    'i64.trunc_sat_f32_s': (a: number) => saturateS64(float32(a)),
    'i64.trunc_sat_f32_u': (a: number) => saturateU64(float32(a)),
    'i64.trunc_sat_f64_s': (a: bigint) => saturateS64(float64(a)),
    'i64.trunc_sat_f64_u': (a: bigint) => saturateU64(float64(a)),
} as const;

/** A scalar operation on values of unknown type: the caller's IR is well-typed. */
export type ScalarOperation = (a: never, b: never) => Scalar;

/** Scalar operations by WebAssembly name, and those (min, abs…) that SIMD lanes have besides. */
export const SCALAR_OPERATIONS: ReadonlyMap<string, ScalarOperation> = new Map<string, ScalarOperation>([
    ...Object.entries(I32).map(([name, operation]): [string, ScalarOperation] => [`i32.${name}`, operation]),
    ...Object.entries(I64).map(([name, operation]): [string, ScalarOperation] => [`i64.${name}`, operation]),
    ...Object.entries(FLOAT).flatMap(([name, operation]): [string, ScalarOperation][] => [
        [`f32.${name}`, (a: number, b = a) => bits32(operation(float32(a), float32(b)))],
        [`f64.${name}`, (a: bigint, b = a) => bits64(operation(float64(a), float64(b)))],
    ]),
    ...Object.entries(FLOAT_COMPARISON).flatMap(([name, holds]): [string, ScalarOperation][] => [
        [`f32.${name}`, (a: number, b: number) => truth(holds(float32(a), float32(b)))],
        [`f64.${name}`, (a: bigint, b: bigint) => truth(holds(float64(a), float64(b)))],
    ]),
    ...Object.entries(F32_BITS).map(([name, operation]): [string, ScalarOperation] => [`f32.${name}`, operation]),
    ...Object.entries(F64_BITS).map(([name, operation]): [string, ScalarOperation] => [`f64.${name}`, operation]),
    ...Object.entries(CONVERSIONS),
]);
