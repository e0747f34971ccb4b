/**
 * The four shapes of SSE floating-point operands, scalar and packed, single and double, behind one set of words.
 *
 * A value's *bits* are what registers hold: i32 or i64 for scalars, v128 for packed ones. Its *number* is what
 * WebAssembly computes with: f32, f64, v128. A *mask* is i32 0/1 for scalars and all ones in a lane for packed values.
 * *Twice* is the bits shifted left by one: the magnitude without its sign, convenient to compare.
 */
import { type IrBuilder } from '../../ir/builder';
import { type Value } from '../../ir/function';
import { StateAccess } from '../../ir/opcodes';
import { type LiftContext } from '../context';
import { everyDword, everyQword, readDword, readQword, readVector, zeroVector } from './operands';

export interface FloatShape {
    /** Prefix of the WebAssembly operations on numbers. */
    readonly number: 'f32' | 'f64' | 'f32x4' | 'f64x2';
    readonly isDouble: boolean;
    readonly lanes: number;
    /** How bits are kept in the state. */
    readonly access: StateAccess;
    /** Bits of operand i. */
    read(c: LiftContext, i: number): Value;
    /** Bits of the lowest lanes of a vector. */
    bitsOf(ir: IrBuilder, vector: Value): Value;
    /** The vector with its lowest lanes replaced by bits. */
    replace(ir: IrBuilder, vector: Value, bits: Value): Value;
    toNumber(ir: IrBuilder, bits: Value): Value;
    toBits(ir: IrBuilder, number: Value): Value;
    twice(ir: IrBuilder, bits: Value): Value;
    /** Mask of the denormals among values given by their twice. */
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

const packedBits = {
    access: StateAccess.V128,
    read: readVector,
    bitsOf: (_: IrBuilder, vector: Value) => vector,
    replace: (_: IrBuilder, __: Value, bits: Value) => bits,
    toNumber: (_: IrBuilder, bits: Value) => bits,
    toBits: (_: IrBuilder, number: Value) => number,
};

export const SCALAR_SINGLE: FloatShape = {
    number: 'f32',
    isDouble: false,
    lanes: 1,
    access: StateAccess.I32,
    read: readDword,
    bitsOf: (ir, vector) => ir.lane('i32x4.extract_lane', vector, 0),
    replace: (ir, vector, bits) => ir.lane('i32x4.replace_lane', vector, 0, bits),
    toNumber: (ir, bits) => ir.op('f32.reinterpret_i32', bits),
    toBits: (ir, number) => ir.op('i32.reinterpret_f32', number),
    twice: (ir, bits) => ir.op('i32.shl', bits, ir.i32(1)),
    isDenormal: (ir, twice) => ir.op('i32.lt_u', ir.op('i32.sub', twice, ir.i32(1)), ir.i32(SINGLE_NORMAL - 1)),
    isZero: (ir, twice) => ir.op('i32.eqz', twice),
    isOrdinary: (ir, twice) =>
        ir.op('i32.lt_u', ir.op('i32.sub', twice, ir.i32(SINGLE_NORMAL + 1)), ir.i32(SINGLE_RANGE)),
    ...scalarMasks,
};

export const SCALAR_DOUBLE: FloatShape = {
    number: 'f64',
    isDouble: true,
    lanes: 1,
    access: StateAccess.I64,
    read: readQword,
    bitsOf: (ir, vector) => ir.lane('i64x2.extract_lane', vector, 0),
    replace: (ir, vector, bits) => ir.lane('i64x2.replace_lane', vector, 0, bits),
    toNumber: (ir, bits) => ir.op('f64.reinterpret_i64', bits),
    toBits: (ir, number) => ir.op('i64.reinterpret_f64', number),
    twice: (ir, bits) => ir.op('i64.shl', bits, ir.i64(1)),
    isDenormal: (ir, twice) =>
        ir.op('i64.lt_u', ir.op('i64.sub', twice, ir.i64(1)), ir.i64(-1, DOUBLE_NORMAL_HIGH - 1)),
    isZero: (ir, twice) => ir.op('i64.eqz', twice),
    isOrdinary: (ir, twice) =>
        ir.op('i64.lt_u', ir.op('i64.sub', twice, ir.i64(1, DOUBLE_NORMAL_HIGH)), ir.i64(-1, DOUBLE_RANGE_HIGH)),
    ...scalarMasks,
};

export const PACKED_SINGLE: FloatShape = {
    ...packedBits,
    number: 'f32x4',
    isDouble: false,
    lanes: 4,
    twice: (ir, bits) => ir.op('i32x4.add', bits, bits),
    isDenormal: (ir, twice) =>
        ir.op('i32x4.lt_u', ir.op('i32x4.sub', twice, everyDword(ir, 1)), everyDword(ir, SINGLE_NORMAL - 1)),
    isZero: (ir, twice) => ir.op('i32x4.eq', twice, zeroVector(ir)),
    isOrdinary: (ir, twice) =>
        ir.op('i32x4.lt_u', ir.op('i32x4.sub', twice, everyDword(ir, SINGLE_NORMAL + 1)), everyDword(ir, SINGLE_RANGE)),
    ...packedMasks,
};

/** WebAssembly compares 64-bit lanes signed only, so both sides have their top bit flipped. */
export const PACKED_DOUBLE: FloatShape = {
    ...packedBits,
    number: 'f64x2',
    isDouble: true,
    lanes: 2,
    twice: (ir, bits) => ir.op('i64x2.add', bits, bits),
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
