/**
 * Whether an arithmetic result that WebAssembly rounded to nearest is exact, by a few more operations: what lets programs
 * that compute with integers in floating point, and so never raise PE, stay out of the helper. The operands are normal or
 * zero, the result is finite and not tiny. "No" may also mean that it is not easy to tell.
 */
import { type IrBuilder } from '../../ir/builder';
import { type Value } from '../../ir/function';
import { FloatOperation } from './floatOperation';
import { type FloatShape } from './floatShape';

/** Bits of a double's significand. */
const DOUBLE_PRECISION = 53;
/** High word of its hidden bit. */
const HIDDEN_BIT_HIGH = 1 << 20;

/** i32 truth: `result` is a (operation) b exactly. */
export function isExact(
    ir: IrBuilder,
    shape: FloatShape,
    operation: FloatOperation,
    a: Value,
    b: Value,
    result: Value,
): Value {
    switch (operation) {
        case FloatOperation.Add:
        case FloatOperation.AddSubtract:
        case FloatOperation.Subtract:
            return isExactSum(ir, shape, operation === FloatOperation.Subtract, a, b, result);
        case FloatOperation.Multiply:
            return isExactProduct(ir, shape, a, b, result);
        case FloatOperation.Divide:
            return isExactProduct(ir, shape, result, b, a);
    }
    return ir.i32(0);
}

/** Knuth's TwoSum: the error term (a − (sum − c)) + (b − c), where c = sum − a, is zero. */
function isExactSum(ir: IrBuilder, shape: FloatShape, subtract: boolean, a: Value, b: Value, sum: Value): Value {
    const op = (name: string, x: Value, y: Value): Value => ir.op(`${shape.number}.${name}`, x, y);
    const other = op('sub', sum, a);
    const lost = op('sub', a, op('sub', sum, other));
    const surplus = subtract ? op('add', other, b) : op('sub', other, b);
    return ir.not(shape.any(ir, op('ne', lost, surplus)));
}

/** x × y = product. Packed numbers are left to the helper. */
function isExactProduct(ir: IrBuilder, shape: FloatShape, x: Value, y: Value, product: Value): Value {
    if (shape.lanes > 1) {
        return ir.i32(0);
    }
    if (!shape.isDouble) {
        // 24 bits times 24 bits fit into a double.
        const wide = (single: Value): Value => ir.op('f64.promote_f32', single);
        return ir.op('f64.eq', ir.op('f64.mul', wide(x), wide(y)), wide(product));
    }
    // A product of significands of m and n bits fits if m + n ≤ 53: if the zeros below them add up to 53 or more.
    const zeros = (double: Value): Value => {
        const bits = ir.op('i64.or', ir.op('i64.reinterpret_f64', double), ir.i64(0, HIDDEN_BIT_HIGH));
        return ir.op('i64.ctz', bits);
    };
    const short = ir.op('i64.ge_u', ir.op('i64.add', zeros(x), zeros(y)), ir.i64(DOUBLE_PRECISION));
    return ir.op('i32.and', short, ir.op('f64.eq', ir.op('f64.mul', x, y), product));
}
