/** Floating-point arithmetic (SDM Vol. 1, 10.4.1.2, 11.4.1.2, 12.3.3–12.3.4, 12.10.3). */
import { type IrBuilder } from '../../ir/builder';
import { type Value } from '../../ir/function';
import { type LiftContext } from '../context';
import { type Semantic, type SemanticTable } from '../semantics';
import { isExact } from './floatExactness';
import { FloatOperation } from './floatOperation';
import { type FloatShape, SHAPES } from './floatShape';
import { callFloatHelper, fastOrExact, floatResult, inexactIsFree, operandsOf, roundsToNearest } from './floatSlowPath';
import { dwords, immediateByte } from './operands';

const OPERATION_NAME: Readonly<Partial<Record<FloatOperation, string>>> = {
    [FloatOperation.Add]: 'add',
    [FloatOperation.Subtract]: 'sub',
    [FloatOperation.Multiply]: 'mul',
    [FloatOperation.Divide]: 'div',
    [FloatOperation.AddSubtract]: 'add',
};

/** i32 truth: the result of an operation on these operands is x86's and raises nothing but perhaps PE. */
function isOrdinaryResult(
    ir: IrBuilder,
    shape: FloatShape,
    operation: FloatOperation,
    a: Value,
    b: Value,
    result: Value,
): Value {
    const twiceA = shape.twice(ir, a);
    const twiceB = shape.twice(ir, b);
    const twiceResult = shape.twice(ir, result);
    let zero = shape.isZero(ir, twiceResult);
    if (operation === FloatOperation.Multiply) {
        zero = shape.and(ir, zero, shape.or(ir, shape.isZero(ir, twiceA), shape.isZero(ir, twiceB)));
    } else if (operation === FloatOperation.Divide) {
        zero = shape.and(ir, zero, shape.isZero(ir, twiceA));
    }
    const good = shape.or(ir, shape.isOrdinary(ir, twiceResult), zero);
    const denormal = shape.or(ir, shape.isDenormal(ir, twiceA), shape.isDenormal(ir, twiceB));
    return ir.not(shape.any(ir, shape.or(ir, denormal, shape.not(ir, good))));
}

/** The operation on numbers, fast or exact. */
function compute(c: LiftContext, shape: FloatShape, operation: FloatOperation, a: Value, b: Value): Value {
    const ir = c.ir;
    // x + (-y) is x - y, rounding and signs of zero included; NaNs take the slow path.
    const addend = operation === FloatOperation.AddSubtract ? ir.op('v128.xor', b, evenSigns(ir, shape)) : b;
    const name = `${shape.number}.${OPERATION_NAME[operation]}`;
    const fast = ir.op(name, a, addend);
    const ordinary = isOrdinaryResult(ir, shape, operation, a, b, fast);
    return fastOrExact(c, {
        operation,
        shape,
        operands: operandsOf(shape, a, b),
        fast,
        isFast: ir.op('i32.and', ordinary, inexactIsFree(c)),
        isFastAfterAll: () =>
            ir.op(
                'i32.and',
                ir.op('i32.and', ordinary, roundsToNearest(c)),
                isExact(ir, shape, operation, a, addend, fast),
            ),
        access: shape.access,
    });
}

/** Sign bits of the even lanes. */
function evenSigns(ir: IrBuilder, shape: FloatShape): Value {
    const sign = 0x80000000 | 0;
    return shape.isDouble ? dwords(ir, 0, sign, 0, 0) : dwords(ir, sign, 0, sign, 0);
}

function arithmetic(shape: FloatShape, operation: FloatOperation): Semantic {
    return c => {
        const ir = c.ir;
        const b = shape.read(c, 1);
        const destination = c.read(0);
        const result = compute(c, shape, operation, shape.lowest(ir, destination), b);
        c.write(0, shape.replace(ir, destination, result));
    };
}

/** MINxx, MAXxx: a comparison and a choice, so MXCSR does not matter unless an operand is a NaN or a denormal. */
function extremum(shape: FloatShape, operation: FloatOperation.Minimum | FloatOperation.Maximum): Semantic {
    const isMinimum = operation === FloatOperation.Minimum;
    return c => {
        const ir = c.ir;
        const b = shape.read(c, 1);
        const destination = c.read(0);
        const a = shape.lowest(ir, destination);
        // pmin(x, y) is y < x ? y : x. The source wins ties and NaNs, as on x86.
        const name = `${shape.vector}.${isMinimum ? 'pmin' : 'pmax'}`;
        const fast = shape.lowest(ir, ir.op(name, shape.splat(ir, b), destination));
        const result = fastOrExact(c, {
            isFast: isPlainPair(ir, shape, a, b),
            fast,
            operation,
            shape,
            operands: operandsOf(shape, a, b),
            access: shape.access,
        });
        c.write(0, shape.replace(ir, destination, result));
    };
}

/** i32 truth: no operand is a NaN or a denormal in any lane. */
export function isPlainPair(ir: IrBuilder, shape: FloatShape, a: Value, b: Value): Value {
    return ir.not(shape.any(ir, shape.or(ir, isSpecial(ir, shape, a), isSpecial(ir, shape, b))));
}

/** Mask of NaNs and denormals. */
export function isSpecial(ir: IrBuilder, shape: FloatShape, number: Value): Value {
    return shape.or(ir, ir.op(`${shape.number}.ne`, number, number), shape.isDenormal(ir, shape.twice(ir, number)));
}

function squareRoot(shape: FloatShape): Semantic {
    return c => {
        const ir = c.ir;
        const source = shape.read(c, 1);
        const fast = ir.op(`${shape.number}.sqrt`, source);
        const twice = shape.twice(ir, source);
        const twiceResult = shape.twice(ir, fast);
        // Roots are zero for zeros only, and never near the ends of the exponent range.
        const good = shape.or(ir, shape.isOrdinary(ir, twiceResult), shape.isZero(ir, twiceResult));
        const bad = shape.or(ir, shape.isDenormal(ir, twice), shape.not(ir, good));
        const isFast = ir.op('i32.and', ir.not(shape.any(ir, bad)), inexactIsFree(c));
        const result = fastOrExact(c, {
            isFast,
            fast,
            operation: FloatOperation.SquareRoot,
            shape,
            operands: operandsOf(shape, source),
            access: shape.access,
        });
        c.write(0, shape.replace(ir, shape.lanes === 1 ? c.read(0) : source, result));
    };
}

/** HADDPx, HSUBPx: neighbours of the destination, then of the source. */
function horizontal(shape: FloatShape, operation: FloatOperation.Add | FloatOperation.Subtract): Semantic {
    const even = shape.isDouble ? [0, 2] : [0, 2, 4, 6];
    const bytes = shape.isDouble ? 8 : 4;
    const shuffleOf = (lanes: readonly number[]): number[] =>
        lanes.flatMap(lane => Array.from({ length: bytes }, (_, i) => lane * bytes + i));
    return c => {
        const ir = c.ir;
        const b = shape.read(c, 1);
        const a = c.read(0);
        const first = ir.shuffle(a, b, shuffleOf(even));
        const second = ir.shuffle(a, b, shuffleOf(even.map(lane => lane + 1)));
        c.write(0, compute(c, shape, operation, first, second));
    };
}

/** DPPS, DPPD: rare enough to be left to the helper. */
function dotProduct(shape: FloatShape): Semantic {
    return c => {
        const b = shape.read(c, 1);
        const operands = operandsOf(shape, c.read(0), b);
        callFloatHelper(c, FloatOperation.DotProduct, shape, operands, immediateByte(c).value);
        c.write(0, floatResult(c, shape.access));
    };
}

/** RCPxS, RSQRTxS raise nothing and do not look at MXCSR. */
function approximation(
    shape: FloatShape,
    operation: FloatOperation.Reciprocal | FloatOperation.ReciprocalSquareRoot,
): Semantic {
    return c => {
        const source = shape.read(c, 1);
        callFloatHelper(c, operation, shape, operandsOf(shape, source), c.ir.i32(0));
        const result = floatResult(c, shape.access);
        c.write(0, shape.replace(c.ir, shape.lanes === 1 ? c.read(0) : result, result));
    };
}

/** One entry for each of the suffixes PS, PD, SS and SD. */
function everyShape(name: string, semantic: (shape: FloatShape) => Semantic): Record<string, Semantic> {
    return Object.fromEntries(Object.entries(SHAPES).map(([suffix, shape]) => [name + suffix, semantic(shape)]));
}

export const FLOAT_ARITHMETIC: SemanticTable = {
    ...everyShape('ADD', shape => arithmetic(shape, FloatOperation.Add)),
    ...everyShape('SUB', shape => arithmetic(shape, FloatOperation.Subtract)),
    ...everyShape('MUL', shape => arithmetic(shape, FloatOperation.Multiply)),
    ...everyShape('DIV', shape => arithmetic(shape, FloatOperation.Divide)),
    ...everyShape('MIN', shape => extremum(shape, FloatOperation.Minimum)),
    ...everyShape('MAX', shape => extremum(shape, FloatOperation.Maximum)),
    ...everyShape('SQRT', squareRoot),
    ADDSUBPS: arithmetic(SHAPES.PS, FloatOperation.AddSubtract),
    ADDSUBPD: arithmetic(SHAPES.PD, FloatOperation.AddSubtract),
    HADDPS: horizontal(SHAPES.PS, FloatOperation.Add),
    HADDPD: horizontal(SHAPES.PD, FloatOperation.Add),
    HSUBPS: horizontal(SHAPES.PS, FloatOperation.Subtract),
    HSUBPD: horizontal(SHAPES.PD, FloatOperation.Subtract),
    DPPS: dotProduct(SHAPES.PS),
    DPPD: dotProduct(SHAPES.PD),
    RCPPS: approximation(SHAPES.PS, FloatOperation.Reciprocal),
    RCPSS: approximation(SHAPES.SS, FloatOperation.Reciprocal),
    RSQRTPS: approximation(SHAPES.PS, FloatOperation.ReciprocalSquareRoot),
    RSQRTSS: approximation(SHAPES.SS, FloatOperation.ReciprocalSquareRoot),
};
