/** SIMD operations of the evaluator, after the WebAssembly core specification, section 4.3. A v128 is its 16 bytes. */

import { type Scalar, SCALAR_OPERATIONS } from './evaluate-scalar';
import { type PureOperation, PURE_OPERATIONS, Type } from './opcodes';

type Operand = Scalar | Uint8Array;

/** A SIMD operation: operands as they stand in the IR, and the lane number where there is one. */
export type VectorOperation = (operands: readonly Operand[], lane: number) => Operand;

// --- lanes ---------------------------------------------------------------------------------------------------------------

/** Lanes: integers of up to 32 bits sign-extended, i64 unsigned, floats as bits. */
interface Shape {
    readonly lanes: number;
    readonly bits: number;
    read(vector: Operand, lane: number): Scalar;
    write(vector: Uint8Array, lane: number, value: Scalar): void;
}

const viewOf = (vector: Operand): DataView => {
    const bytes = vector as Uint8Array;
    return new DataView(bytes.buffer, bytes.byteOffset, 16);
};

const NARROW: Shape = {
    lanes: 16,
    bits: 8,
    read: (vector, lane) => viewOf(vector).getInt8(lane),
    write: (vector, lane, value) => viewOf(vector).setInt8(lane, Number(value)),
};
const HALF: Shape = {
    lanes: 8,
    bits: 16,
    read: (vector, lane) => viewOf(vector).getInt16(2 * lane, true),
    write: (vector, lane, value) => viewOf(vector).setInt16(2 * lane, Number(value), true),
};
const WORD: Shape = {
    lanes: 4,
    bits: 32,
    read: (vector, lane) => viewOf(vector).getInt32(4 * lane, true),
    write: (vector, lane, value) => viewOf(vector).setInt32(4 * lane, Number(value), true),
};
const LONG: Shape = {
    lanes: 2,
    bits: 64,
    read: (vector, lane) => viewOf(vector).getBigUint64(8 * lane, true),
    write: (vector, lane, value) => viewOf(vector).setBigUint64(8 * lane, BigInt.asUintN(64, BigInt(value)), true),
};
const SHAPES: Readonly<Record<string, Shape>> = {
    i8x16: NARROW,
    i16x8: HALF,
    i32x4: WORD,
    i64x2: LONG,
    f32x4: WORD,
    f64x2: LONG,
};

/** A vector made lane by lane. */
function build(shape: Shape, compute: (lane: number) => Scalar): Uint8Array {
    const result = new Uint8Array(16);
    for (let lane = 0; lane < shape.lanes; lane++) {
        shape.write(result, lane, compute(lane));
    }
    return result;
}

const unsigned = (value: Scalar, bits: number): number => Number(BigInt.asUintN(bits, BigInt(value)));
/** A lane's value as the suffix of an operation asks for it. */
const extended = (value: Scalar, bits: number, suffix: string): Scalar =>
    suffix === 's' ? BigInt.asIntN(bits, BigInt(value)) : BigInt.asUintN(bits, BigInt(value));
const clamp = (value: number, low: number, high: number): number => Math.min(Math.max(value, low), high);

/** A scalar operation applied to values that are of its types. */
function scalar(name: string): (a: Scalar, b?: Scalar) => Scalar {
    const operation = SCALAR_OPERATIONS.get(name);
    if (operation === undefined) {
        throw new Error(`the evaluator lacks ${name}`);
    }
    return operation as (a: Scalar, b?: Scalar) => Scalar;
}

// --- families of operations ----------------------------------------------------------------------------------------------

/** On 8- and 16-bit lanes, which no scalar type has. Operands are sign-extended; results are cut to the lane. */
function narrowOperation(name: string, bits: number): (a: number, b: number) => number {
    const top = 2 ** (bits - 1);
    const u = (value: number): number => unsigned(value, bits);
    switch (name) {
        case 'add':
            return (a, b) => a + b;
        case 'sub':
            return (a, b) => a - b;
        case 'mul':
            return Math.imul;
        case 'neg':
            return a => -a;
        case 'abs':
            return Math.abs;
        case 'popcnt':
            return a => u(a).toString(2).replaceAll('0', '').length;
        case 'add_sat_s':
            return (a, b) => clamp(a + b, -top, top - 1);
        case 'add_sat_u':
            return (a, b) => clamp(u(a) + u(b), 0, 2 * top - 1);
        case 'sub_sat_s':
            return (a, b) => clamp(a - b, -top, top - 1);
        case 'sub_sat_u':
            return (a, b) => clamp(u(a) - u(b), 0, 2 * top - 1);
        case 'min_s':
            return Math.min;
        case 'min_u':
            return (a, b) => Math.min(u(a), u(b));
        case 'max_s':
            return Math.max;
        case 'max_u':
            return (a, b) => Math.max(u(a), u(b));
        case 'avgr_u':
            return (a, b) => (u(a) + u(b) + 1) >> 1;
        case 'q15mulr_sat_s':
            return (a, b) => clamp((a * b + 0x4000) >> 15, -top, top - 1);
    }
    throw new Error(`the evaluator lacks ${name} of ${bits}-bit lanes`);
}

/** Lane by lane, of one or two vectors. */
function lanewise(shapeName: string, name: string, unary: boolean): VectorOperation {
    const shape = SHAPES[shapeName];
    const type = shapeName.split('x')[0];
    const compute = (shape.bits < 32 ? narrowOperation(name, shape.bits) : scalar(`${type}.${name}`)) as (
        a: Scalar,
        b?: Scalar,
    ) => Scalar;
    return unary
        ? ([a]) => build(shape, lane => compute(shape.read(a, lane), shape.read(a, lane)))
        : ([a, b]) => build(shape, lane => compute(shape.read(a, lane), shape.read(b, lane)));
}

function comparison(shapeName: string, name: string): VectorOperation {
    const shape = SHAPES[shapeName];
    // Sign extension keeps both orders of narrow lanes.
    const compare = scalar(`${shape.bits < 32 ? 'i32' : shapeName.split('x')[0]}.${name}`);
    return ([a, b]) => build(shape, lane => (compare(shape.read(a, lane), shape.read(b, lane)) !== 0 ? -1 : 0));
}

function shift(shape: Shape, name: string): VectorOperation {
    return ([a, count]) => {
        const by = BigInt(unsigned(count as number, 32) % shape.bits);
        return build(shape, lane => {
            const value = extended(shape.read(a, lane), shape.bits, name === 'shr_s' ? 's' : 'u') as bigint;
            const result = name === 'shl' ? value << by : value >> by;
            return shape.bits === 64 ? BigInt.asUintN(64, result) : BigInt.asIntN(shape.bits, result);
        });
    };
}

/** Operations between shapes: `to` is the result's. */
function widening(to: Shape, name: string): VectorOperation | undefined {
    const match = /^(extend|extmul|extadd_pairwise)(?:_(low|high))?_(\w+)_([su])$/.exec(name);
    if (match === null) {
        return undefined;
    }
    const [, kind, half, fromName, suffix] = match;
    const from = SHAPES[fromName];
    const first = half === 'high' ? to.lanes : 0;
    const lane = (vector: Operand, i: number): bigint => extended(from.read(vector, i), from.bits, suffix) as bigint;
    const result = (value: bigint): Scalar =>
        to.bits === 64 ? BigInt.asUintN(64, value) : BigInt.asIntN(to.bits, value);
    switch (kind) {
        case 'extend':
            return ([a]) => build(to, i => result(lane(a, first + i)));
        case 'extmul':
            return ([a, b]) => build(to, i => result(lane(a, first + i) * lane(b, first + i)));
        default:
            return ([a]) => build(to, i => result(lane(a, 2 * i) + lane(a, 2 * i + 1)));
    }
}

function narrowing(to: Shape, suffix: string): VectorOperation {
    const from = to === NARROW ? HALF : WORD;
    const top = 2 ** (to.bits - 1);
    const [low, high] = suffix === 's' ? [-top, top - 1] : [0, 2 * top - 1];
    return ([a, b]) =>
        build(to, i => clamp(Number(i < from.lanes ? from.read(a, i) : from.read(b, i - from.lanes)), low, high));
}

/** What does not fit a family. */
const SINGULAR: Readonly<Record<string, VectorOperation>> = {
    'v128.not': ([a]) => (a as Uint8Array).map(byte => ~byte),
    'v128.and': ([a, b]) => (a as Uint8Array).map((byte, i) => byte & (b as Uint8Array)[i]),
    'v128.andnot': ([a, b]) => (a as Uint8Array).map((byte, i) => byte & ~(b as Uint8Array)[i]),
    'v128.or': ([a, b]) => (a as Uint8Array).map((byte, i) => byte | (b as Uint8Array)[i]),
    'v128.xor': ([a, b]) => (a as Uint8Array).map((byte, i) => byte ^ (b as Uint8Array)[i]),
    'v128.bitselect': ([a, b, mask]) =>
        (mask as Uint8Array).map((bits, i) => ((a as Uint8Array)[i] & bits) | ((b as Uint8Array)[i] & ~bits)),
    'v128.any_true': ([a]) => ((a as Uint8Array).some(byte => byte !== 0) ? 1 : 0),
    'i8x16.swizzle': ([a, indices]) => (indices as Uint8Array).map(i => (i < 16 ? (a as Uint8Array)[i] : 0)),
    'i32x4.dot_i16x8_s': ([a, b]) =>
        build(WORD, i => {
            const product = (lane: number): number => Number(HALF.read(a, lane)) * Number(HALF.read(b, lane));
            return (product(2 * i) + product(2 * i + 1)) | 0;
        }),
    'f32x4.demote_f64x2_zero': ([a]) => build(WORD, i => (i < 2 ? scalar('f32.demote_f64')(LONG.read(a, i)) : 0)),
    'f64x2.promote_low_f32x4': ([a]) => build(LONG, i => scalar('f64.promote_f32')(WORD.read(a, i))),
    'i32x4.trunc_sat_f32x4_s': ([a]) => build(WORD, i => scalar('i32.trunc_sat_f32_s')(WORD.read(a, i))),
    'i32x4.trunc_sat_f32x4_u': ([a]) => build(WORD, i => scalar('i32.trunc_sat_f32_u')(WORD.read(a, i))),
    'i32x4.trunc_sat_f64x2_s_zero': ([a]) =>
        build(WORD, i => (i < 2 ? scalar('i32.trunc_sat_f64_s')(LONG.read(a, i)) : 0)),
    'i32x4.trunc_sat_f64x2_u_zero': ([a]) =>
        build(WORD, i => (i < 2 ? scalar('i32.trunc_sat_f64_u')(LONG.read(a, i)) : 0)),
    'f32x4.convert_i32x4_s': ([a]) => build(WORD, i => scalar('f32.convert_i32_s')(WORD.read(a, i))),
    'f32x4.convert_i32x4_u': ([a]) => build(WORD, i => scalar('f32.convert_i32_u')(WORD.read(a, i))),
    'f64x2.convert_low_i32x4_s': ([a]) => build(LONG, i => scalar('f64.convert_i32_s')(WORD.read(a, i))),
    'f64x2.convert_low_i32x4_u': ([a]) => build(LONG, i => scalar('f64.convert_i32_u')(WORD.read(a, i))),
};

const COMPARISON = /^(eq|ne|[lg][te](_[su])?)$/;

function resolve({ name: fullName, operands }: PureOperation): VectorOperation {
    if (fullName in SINGULAR) {
        return SINGULAR[fullName];
    }
    const [shapeName, name] = fullName.split('.');
    const shape = SHAPES[shapeName];
    const cut = (value: Scalar): Scalar => (shape.bits === 64 ? value : BigInt.asIntN(shape.bits, BigInt(value)));
    switch (name) {
        case 'splat':
            return ([a]) => build(shape, () => cut(a as Scalar));
        case 'extract_lane':
        case 'extract_lane_s':
            return ([a], lane) => shape.read(a, lane);
        case 'extract_lane_u':
            return ([a], lane) => unsigned(shape.read(a, lane), shape.bits);
        case 'replace_lane':
            return ([a, value], lane) => build(shape, i => (i === lane ? cut(value as Scalar) : shape.read(a, i)));
        case 'all_true':
            return ([a]) => (indices(shape).every(i => BigInt(shape.read(a, i)) !== 0n) ? 1 : 0);
        case 'bitmask':
            return ([a]) =>
                indices(shape).reduce(
                    (mask, i) => mask | (BigInt.asIntN(shape.bits, BigInt(shape.read(a, i))) < 0n ? 1 << i : 0),
                    0,
                );
        case 'shl':
        case 'shr_s':
        case 'shr_u':
            return shift(shape, name);
    }
    if (COMPARISON.test(name)) {
        return comparison(shapeName, name);
    }
    if (name.startsWith('narrow_')) {
        return narrowing(shape, name.slice(-1));
    }
    return widening(shape, name) ?? lanewise(shapeName, name, operands.length === 1);
}

function indices(shape: Shape): number[] {
    return Array.from({ length: shape.lanes }, (_, i) => i);
}

/** Operations with a vector as operand or result, by WebAssembly name. */
export const VECTOR_OPERATIONS: ReadonlyMap<string, VectorOperation> = new Map(
    PURE_OPERATIONS.filter(({ operands, result }) => [...operands, result].includes(Type.V128)).map(
        (operation): [string, VectorOperation] => [operation.name, resolve(operation)],
    ),
);
