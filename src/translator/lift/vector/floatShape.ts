/**
 * The four shapes of SSE floating-point operands, scalar and packed, single and double, behind one set of words.
 *
 * A *number* is f32 or f64 for scalars and v128 for packed operands. Scalars are taken out of their register as floating
 * point, not as integers: that costs nothing where a way through the host's general registers would cost several cycles.
 * A *mask* is i32 0/1 for scalars and all ones in a lane for packed numbers. *Twice* is a number's bits shifted left by
 * one, that is the magnitude without its sign, convenient to compare.
 */
import { type IrBuilder } from '../../ir/builder';
import { type Value } from '../../ir/function';
import { StateAccess } from '../../ir/opcodes';
import { type LiftContext } from '../context';
import { everyDword, everyQword, readVector, zeroVector } from './operands';

export interface FloatShape {
    /** Prefix of the WebAssembly operations on numbers. */
    readonly number: 'f32' | 'f64' | 'f32x4' | 'f64x2';
    /** Prefix of the operations on whole vectors of this format. */
    readonly vector: 'f32x4' | 'f64x2';
    readonly isDouble: boolean;
    readonly lanes: number;
    /** How a number is kept in the state. */
    readonly access: StateAccess;
    /** Operand i. */
    read(c: LiftContext, i: number): Value;
    /** The number in the lowest lanes of a vector. */
    lowest(ir: IrBuilder, vector: Value): Value;
    /** The number in all lanes of a vector. */
    splat(ir: IrBuilder, number: Value): Value;
    /** The vector with its lowest lanes replaced by the number. */
    replace(ir: IrBuilder, vector: Value, number: Value): Value;
    twice(ir: IrBuilder, number: Value): Value;
    /** Mask of the denormals among numbers given by their twice. */
    isDenormal(ir: IrBuilder, twice: Value): Value;
    isZero(ir: IrBuilder, twice: Value): Value;
    /**
     * Mask of the finite numbers above the smallest normal one. That one itself is left out: it may be the rounded form
     * of a tiny result.
     */
    isOrdinary(ir: IrBuilder, twice: Value): Value;
    and(ir: IrBuilder, x: Value, y: Value): Value;
    or(ir: IrBuilder, x: Value, y: Value): Value;
    not(ir: IrBuilder, x: Value): Value;
    /** i32 truth: any lane of the mask. */
    any(ir: IrBuilder, mask: Value): Value;
}

/** Twice the smallest normal number, as the high word of 64 bits (double) and as 32 bits (single). */
const DOUBLE_NORMAL_HIGH = 0x00200000;
const SINGLE_NORMAL = 0x01000000;
/** From twice the smallest normal number + 1 to twice infinity. */
const DOUBLE_RANGE_HIGH = 0xffbfffff | 0;
const SINGLE_RANGE = 0xfdffffff | 0;
const TOP_BIT = 0x80000000 | 0;

const scalarMasks = {
    and: (ir: IrBuilder, x: Value, y: Value) => ir.op('i32.and', x, y),
    or: (ir: IrBuilder, x: Value, y: Value) => ir.op('i32.or', x, y),
    not: (ir: IrBuilder, x: Value) => ir.not(x),
    any: (_: IrBuilder, mask: Value) => mask,
};

const packedMasks = {
    and: (ir: IrBuilder, x: Value, y: Value) => ir.op('v128.and', x, y),
    or: (ir: IrBuilder, x: Value, y: Value) => ir.op('v128.or', x, y),
    not: (ir: IrBuilder, x: Value) => ir.op('v128.not', x),
    any: (ir: IrBuilder, mask: Value) => ir.op('v128.any_true', mask),
};

const packedNumbers = {
    access: StateAccess.V128,
    read: readVector,
    lowest: (_: IrBuilder, vector: Value) => vector,
    splat: (_: IrBuilder, number: Value) => number,
    replace: (_: IrBuilder, __: Value, number: Value) => number,
};

/** Operand i as a scalar: the lowest lane of a register, or memory. */
function readScalar(c: LiftContext, i: number, extract: string, reinterpret: string): Value {
    const value = c.read(i);
    return c.isMemory(i) ? c.ir.op(reinterpret, value) : c.ir.lane(extract, value, 0);
}

export const SCALAR_SINGLE: FloatShape = {
    number: 'f32',
    vector: 'f32x4',
    isDouble: false,
    lanes: 1,
    access: StateAccess.F32,
    read: (c, i) => readScalar(c, i, 'f32x4.extract_lane', 'f32.reinterpret_i32'),
    lowest: (ir, vector) => ir.lane('f32x4.extract_lane', vector, 0),
    splat: (ir, number) => ir.op('f32x4.splat', number),
    replace: (ir, vector, number) => ir.lane('f32x4.replace_lane', vector, 0, number),
    twice: (ir, number) => ir.op('i32.shl', ir.op('i32.reinterpret_f32', number), ir.i32(1)),
    isDenormal: (ir, twice) => ir.op('i32.lt_u', ir.op('i32.sub', twice, ir.i32(1)), ir.i32(SINGLE_NORMAL - 1)),
    isZero: (ir, twice) => ir.op('i32.eqz', twice),
    isOrdinary: (ir, twice) =>
        ir.op('i32.lt_u', ir.op('i32.sub', twice, ir.i32(SINGLE_NORMAL + 1)), ir.i32(SINGLE_RANGE)),
    ...scalarMasks,
};

export const SCALAR_DOUBLE: FloatShape = {
    number: 'f64',
    vector: 'f64x2',
    isDouble: true,
    lanes: 1,
    access: StateAccess.F64,
    read: (c, i) => readScalar(c, i, 'f64x2.extract_lane', 'f64.reinterpret_i64'),
    lowest: (ir, vector) => ir.lane('f64x2.extract_lane', vector, 0),
    splat: (ir, number) => ir.op('f64x2.splat', number),
    replace: (ir, vector, number) => ir.lane('f64x2.replace_lane', vector, 0, number),
    twice: (ir, number) => ir.op('i64.shl', ir.op('i64.reinterpret_f64', number), ir.i64(1)),
    isDenormal: (ir, twice) =>
        ir.op('i64.lt_u', ir.op('i64.sub', twice, ir.i64(1)), ir.i64(-1, DOUBLE_NORMAL_HIGH - 1)),
    isZero: (ir, twice) => ir.op('i64.eqz', twice),
    isOrdinary: (ir, twice) =>
        ir.op('i64.lt_u', ir.op('i64.sub', twice, ir.i64(1, DOUBLE_NORMAL_HIGH)), ir.i64(-1, DOUBLE_RANGE_HIGH)),
    ...scalarMasks,
};

export const PACKED_SINGLE: FloatShape = {
    ...packedNumbers,
    number: 'f32x4',
    vector: 'f32x4',
    isDouble: false,
    lanes: 4,
    twice: (ir, number) => ir.op('i32x4.add', number, number),
    isDenormal: (ir, twice) =>
        ir.op('i32x4.lt_u', ir.op('i32x4.sub', twice, everyDword(ir, 1)), everyDword(ir, SINGLE_NORMAL - 1)),
    isZero: (ir, twice) => ir.op('i32x4.eq', twice, zeroVector(ir)),
    isOrdinary: (ir, twice) =>
        ir.op('i32x4.lt_u', ir.op('i32x4.sub', twice, everyDword(ir, SINGLE_NORMAL + 1)), everyDword(ir, SINGLE_RANGE)),
    ...packedMasks,
};

/** WebAssembly compares 64-bit lanes signed only, so both sides have their top bit flipped. */
export const PACKED_DOUBLE: FloatShape = {
    ...packedNumbers,
    number: 'f64x2',
    vector: 'f64x2',
    isDouble: true,
    lanes: 2,
    twice: (ir, number) => ir.op('i64x2.add', number, number),
    isDenormal: (ir, twice) =>
        ir.op(
            'i64x2.lt_s',
            ir.op('i64x2.sub', twice, everyQword(ir, 1, TOP_BIT)),
            everyQword(ir, -1, (DOUBLE_NORMAL_HIGH - 1) ^ TOP_BIT),
        ),
    isZero: (ir, twice) => ir.op('i64x2.eq', twice, zeroVector(ir)),
    isOrdinary: (ir, twice) =>
        ir.op(
            'i64x2.lt_s',
            ir.op('i64x2.sub', twice, everyQword(ir, 1, DOUBLE_NORMAL_HIGH ^ TOP_BIT)),
            everyQword(ir, -1, DOUBLE_RANGE_HIGH ^ TOP_BIT),
        ),
    ...packedMasks,
};

/** The shape of a mnemonic's suffix: PS, PD, SS or SD. */
export const SHAPES = { PS: PACKED_SINGLE, PD: PACKED_DOUBLE, SS: SCALAR_SINGLE, SD: SCALAR_DOUBLE } as const;
