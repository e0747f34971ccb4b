/** Conversions between floating-point formats and integers (SDM Vol. 1, 10.4.3, 11.4.1.6). */
import { type IrBuilder } from '../../ir/builder';
import { type Value } from '../../ir/function';
import { StateAccess } from '../../ir/opcodes';
import { type LiftContext } from '../context';
import { type Semantic, type SemanticTable } from '../semantics';
import { isSpecial } from './floatArithmetic';
import { FloatOperation } from './floatOperation';
import { type FloatShape, PACKED_DOUBLE, PACKED_SINGLE, SCALAR_DOUBLE, SCALAR_SINGLE } from './floatShape';
import { fastOrExact, inexactIsFree, operandsOf, truncationIsFree } from './floatSlowPath';
import { everyDword, everyQword, lowQword, readQword, readVector, writeVector } from './operands';

const TWO_TO_24 = 1 << 24;
/** High words of doubles. */
const DOUBLE_2_31 = 0x41e00000;
const DOUBLE_2_63 = 0x43e00000;
const SINGLE_2_31 = 0x4f000000;

/** Two lanes in the low half of a vector. */
const TWO_SINGLES = { isDouble: false, lanes: 2 };
const TWO_DOUBLES = { isDouble: true, lanes: 2 };

function allLanes(ir: IrBuilder, mask: Value): Value {
    return ir.not(ir.op('v128.any_true', ir.op('v128.not', mask)));
}

// --- integers to floating point ------------------------------------------------------------------------------------

/** CVTSI2SS, CVTSI2SD. */
function fromInteger(shape: FloatShape): Semantic {
    return c => {
        const ir = c.ir;
        const source = c.read(1);
        const type = c.widthOf(1) === 64 ? 'i64' : 'i32';
        let number = ir.op(`${shape.number}.convert_${type}_s`, source);
        if (type === 'i64' || !shape.isDouble) {
            const constant = (low: number, high: number): Value => (type === 'i64' ? ir.i64(low, high) : ir.i32(low));
            // Integers of no more bits than the significand are exact: -limit ≤ x ≤ limit.
            const [limit, range] = shape.isDouble
                ? [constant(0, 1 << 21), constant(0, 1 << 22)]
                : [constant(TWO_TO_24, 0), constant(2 * TWO_TO_24, 0)];
            const exact = ir.op(`${type}.le_u`, ir.op(`${type}.add`, source, limit), range);
            number = fastOrExact(c, {
                isFast: ir.op('i32.or', exact, inexactIsFree(c)),
                fast: number,
                operation: type === 'i64' ? FloatOperation.FromInt64 : FloatOperation.FromInt32,
                shape,
                operands: [{ bits: source, access: type === 'i64' ? StateAccess.I64 : StateAccess.I32 }],
                access: shape.access,
            });
        }
        c.write(0, shape.replace(ir, c.read(0), number));
    };
}

/** Packed 32-bit integers to singles: CVTDQ2PS, CVTPI2PS. */
function toSingles(c: LiftContext, source: Value, lanes: number): Value {
    const ir = c.ir;
    const shifted = ir.op('i32x4.add', source, everyDword(ir, TWO_TO_24));
    const exact = ir.not(ir.op('v128.any_true', ir.op('i32x4.gt_u', shifted, everyDword(ir, 2 * TWO_TO_24))));
    return fastOrExact(c, {
        isFast: ir.op('i32.or', exact, inexactIsFree(c)),
        fast: ir.op('f32x4.convert_i32x4_s', source),
        operation: FloatOperation.FromInt32,
        shape: { isDouble: false, lanes },
        operands: operandsOf(PACKED_SINGLE, source),
        access: StateAccess.V128,
    });
}

const dwordsToSingles: Semantic = c => c.write(0, toSingles(c, readVector(c, 1), 4));

const mmxToSingles: Semantic = c => {
    const ir = c.ir;
    const singles = toSingles(c, ir.op('i64x2.splat', readQword(c, 1)), 2);
    c.write(0, ir.lane('i64x2.replace_lane', c.read(0), 0, lowQword(ir, singles)));
};

/** CVTDQ2PD, CVTPI2PD: always exact. */
const dwordsToDoubles: Semantic = c => c.write(0, c.ir.op('f64x2.convert_low_i32x4_s', readVector(c, 1)));

// --- floating point to integers --------------------------------------------------------------------------------------

/** CVTSx2SI, CVTTSx2SI. Denormals round like any small number; DAZ only changes whether that is inexact. */
function toInteger(shape: FloatShape, truncate: boolean): Semantic {
    return c => {
        const ir = c.ir;
        const number = shape.read(c, 1);
        // In double, 2^31 and 2^63 are exact and every single is, so that the comparisons below tell the truth.
        const source = shape.isDouble ? number : ir.op('f64.promote_f32', number);
        const rounded = ir.op(truncate ? 'f64.trunc' : 'f64.nearest', source);
        const isWide = c.widthOf(0) === 64;
        const limit = ir.op('f64.reinterpret_i64', ir.i64(0, isWide ? DOUBLE_2_63 : DOUBLE_2_31));
        const inRange = ir.op('f64.lt', ir.op('f64.abs', rounded), limit);
        const exact = ir.op('f64.eq', rounded, source);
        const free = truncate ? truncationIsFree(c) : inexactIsFree(c);
        const result = fastOrExact(c, {
            isFast: ir.op('i32.and', inRange, ir.op('i32.or', exact, free)),
            fast: ir.op(`${isWide ? 'i64' : 'i32'}.trunc_sat_f64_s`, rounded),
            operation: isWide ? FloatOperation.ToInt64 : FloatOperation.ToInt32,
            shape,
            operands: operandsOf(shape, number),
            access: isWide ? StateAccess.I64 : StateAccess.I32,
            detail: ir.i32(truncate ? 1 : 0),
        });
        c.write(0, result);
    };
}

/** Packed singles to 32-bit integers; lanes beyond `lanes` repeat others. */
function singlesToInteger(c: LiftContext, source: Value, lanes: number, truncate: boolean): Value {
    const ir = c.ir;
    const rounded = ir.op(truncate ? 'f32x4.trunc' : 'f32x4.nearest', source);
    const inRange = allLanes(ir, ir.op('f32x4.lt', ir.op('f32x4.abs', rounded), everyDword(ir, SINGLE_2_31)));
    const exact = allLanes(ir, ir.op('f32x4.eq', rounded, source));
    const free = truncate ? truncationIsFree(c) : inexactIsFree(c);
    return fastOrExact(c, {
        isFast: ir.op('i32.and', inRange, ir.op('i32.or', exact, free)),
        fast: ir.op('i32x4.trunc_sat_f32x4_s', rounded),
        operation: FloatOperation.ToInt32,
        shape: { isDouble: false, lanes },
        operands: operandsOf(PACKED_SINGLE, source),
        access: StateAccess.V128,
        detail: ir.i32(truncate ? 1 : 0),
    });
}

const singlesToDwords =
    (truncate: boolean): Semantic =>
    c =>
        c.write(0, singlesToInteger(c, readVector(c, 1), 4, truncate));

const singlesToMmx =
    (truncate: boolean): Semantic =>
    c =>
        writeVector(c, 0, singlesToInteger(c, c.ir.op('i64x2.splat', readQword(c, 1)), 2, truncate));

/** CVTPD2DQ, CVTPD2PI and the truncating forms: an XMM destination's upper half becomes zero. */
const doublesToDwords =
    (truncate: boolean): Semantic =>
    c => {
        const ir = c.ir;
        const source = readVector(c, 1);
        const rounded = ir.op(truncate ? 'f64x2.trunc' : 'f64x2.nearest', source);
        const inRange = allLanes(ir, ir.op('f64x2.lt', ir.op('f64x2.abs', rounded), everyQword(ir, 0, DOUBLE_2_31)));
        const exact = allLanes(ir, ir.op('f64x2.eq', rounded, source));
        const free = truncate ? truncationIsFree(c) : inexactIsFree(c);
        const result = fastOrExact(c, {
            isFast: ir.op('i32.and', inRange, ir.op('i32.or', exact, free)),
            fast: ir.op('i32x4.trunc_sat_f64x2_s_zero', rounded),
            operation: FloatOperation.ToInt32,
            shape: TWO_DOUBLES,
            operands: operandsOf(PACKED_DOUBLE, source),
            access: StateAccess.V128,
            detail: ir.i32(truncate ? 1 : 0),
        });
        writeVector(c, 0, result);
    };

// --- between the formats ---------------------------------------------------------------------------------------------

/** CVTSS2SD: exact but for NaNs and denormals. */
const singleToDouble: Semantic = c => {
    const ir = c.ir;
    const shape = SCALAR_SINGLE;
    const number = shape.read(c, 1);
    const result = fastOrExact(c, {
        isFast: ir.not(isSpecial(ir, shape, number)),
        fast: ir.op('f64.promote_f32', number),
        operation: FloatOperation.Convert,
        shape,
        operands: operandsOf(shape, number),
        access: SCALAR_DOUBLE.access,
    });
    c.write(0, SCALAR_DOUBLE.replace(ir, c.read(0), result));
};

const singlesToDoubles: Semantic = c => {
    const ir = c.ir;
    const source = ir.op('i64x2.splat', readQword(c, 1));
    const result = fastOrExact(c, {
        isFast: ir.not(ir.op('v128.any_true', isSpecial(ir, PACKED_SINGLE, source))),
        fast: ir.op('f64x2.promote_low_f32x4', source),
        operation: FloatOperation.Convert,
        shape: TWO_SINGLES,
        operands: operandsOf(PACKED_SINGLE, source),
        access: StateAccess.V128,
    });
    c.write(0, result);
};

/** The largest single and the smallest normal one, as doubles. */
const SINGLE_MAXIMUM = [0xe0000000 | 0, 0x47efffff] as const;
const SINGLE_NORMAL = [0, 0x38100000] as const;

/** CVTSD2SS: fast for zeros and what is well inside the range of normal singles. */
const doubleToSingle: Semantic = c => {
    const ir = c.ir;
    const shape = SCALAR_DOUBLE;
    const number = shape.read(c, 1);
    const double = ([low, high]: readonly [number, number]): Value => ir.op('f64.reinterpret_i64', ir.i64(low, high));
    const magnitude = ir.op('f64.abs', number);
    const inRange = ir.op(
        'i32.and',
        ir.op('f64.le', magnitude, double(SINGLE_MAXIMUM)),
        ir.op('f64.gt', magnitude, double(SINGLE_NORMAL)),
    );
    const plain = ir.op('i32.or', inRange, shape.isZero(ir, shape.twice(ir, number)));
    const single = ir.op('f32.demote_f64', number);
    const exact = ir.op('f64.eq', ir.op('f64.promote_f32', single), number);
    const result = fastOrExact(c, {
        isFast: ir.op('i32.and', plain, ir.op('i32.or', exact, inexactIsFree(c))),
        fast: single,
        operation: FloatOperation.Convert,
        shape,
        operands: operandsOf(shape, number),
        access: SCALAR_SINGLE.access,
    });
    c.write(0, SCALAR_SINGLE.replace(ir, c.read(0), result));
};

const doublesToSingles: Semantic = c => {
    const ir = c.ir;
    const shape = PACKED_DOUBLE;
    const source = readVector(c, 1);
    const magnitude = ir.op('f64x2.abs', source);
    const inRange = ir.op(
        'v128.and',
        ir.op('f64x2.le', magnitude, everyQword(ir, ...SINGLE_MAXIMUM)),
        ir.op('f64x2.gt', magnitude, everyQword(ir, ...SINGLE_NORMAL)),
    );
    const plain = allLanes(ir, ir.op('v128.or', inRange, shape.isZero(ir, shape.twice(ir, source))));
    const singles = ir.op('f32x4.demote_f64x2_zero', source);
    const exact = allLanes(ir, ir.op('f64x2.eq', ir.op('f64x2.promote_low_f32x4', singles), source));
    const result = fastOrExact(c, {
        isFast: ir.op('i32.and', plain, ir.op('i32.or', exact, inexactIsFree(c))),
        fast: singles,
        operation: FloatOperation.Convert,
        shape: TWO_DOUBLES,
        operands: operandsOf(shape, source),
        access: StateAccess.V128,
    });
    c.write(0, result);
};

export const FLOAT_CONVERT: SemanticTable = {
    CVTSI2SS: fromInteger(SCALAR_SINGLE),
    CVTSI2SD: fromInteger(SCALAR_DOUBLE),
    CVTDQ2PS: dwordsToSingles,
    CVTPI2PS: mmxToSingles,
    CVTDQ2PD: dwordsToDoubles,
    CVTPI2PD: dwordsToDoubles,
    CVTSS2SI: toInteger(SCALAR_SINGLE, false),
    CVTTSS2SI: toInteger(SCALAR_SINGLE, true),
    CVTSD2SI: toInteger(SCALAR_DOUBLE, false),
    CVTTSD2SI: toInteger(SCALAR_DOUBLE, true),
    CVTPS2DQ: singlesToDwords(false),
    CVTTPS2DQ: singlesToDwords(true),
    CVTPS2PI: singlesToMmx(false),
    CVTTPS2PI: singlesToMmx(true),
    CVTPD2DQ: doublesToDwords(false),
    CVTTPD2DQ: doublesToDwords(true),
    CVTPD2PI: doublesToDwords(false),
    CVTTPD2PI: doublesToDwords(true),
    CVTSS2SD: singleToDouble,
    CVTPS2PD: singlesToDoubles,
    CVTSD2SS: doubleToSingle,
    CVTPD2PS: doublesToSingles,
};
