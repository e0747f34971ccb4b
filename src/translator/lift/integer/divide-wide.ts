/** Unsigned division of 128 by 64 bits on i64 operations. */
import { type Value } from '../../ir/function';
import { type LiftContext } from '../context';

/**
 * Divides high:low by divisor, given high < divisor (so that the quotient fits 64 bits), and sets the two i64 variables.
 *
 * Long division with digits of 32 bits: Knuth, The Art of Computer Programming Vol. 2, 4.3.1, algorithm D. The divisor is
 * shifted until its top bit is set; then a digit estimated from the divisor's upper half is at most 2 too large.
 */
export function divideWide(
    c: LiftContext,
    high: Value,
    low: Value,
    divisor: Value,
    quotient: Value,
    remainder: Value,
): void {
    const { ir } = c;
    const binary = (name: string) => (x: Value, y: Value) => ir.op(`i64.${name}`, x, y);
    const [add, sub, mul, shl, shr] = ['add', 'sub', 'mul', 'shl', 'shr_u'].map(binary);
    const upper = (value: Value): Value => shr(value, ir.i64(32));
    const lower = (value: Value): Value => ir.op('i64.and', value, ir.i64(-1, 0));

    const shift = ir.op('i64.clz', divisor);
    const scaled = shl(divisor, shift);
    const scaledUpper = upper(scaled);
    const scaledLower = lower(scaled);
    // In two steps, as a shift by 64 would be one by zero.
    const carried = shr(shr(low, ir.i64(1)), sub(ir.i64(63), shift));
    const top = ir.op('i64.or', shl(high, shift), carried);
    const rest = shl(low, shift);

    /** Next digit of (part × 2^32 + next) ÷ scaled, for part < scaled. */
    const digitOf = (part: Value, next: Value): Value => {
        const digit = ir.variable(ir.op('i64.div_u', part, scaledUpper));
        const left = ir.variable(ir.op('i64.rem_u', part, scaledUpper));
        ir.loop(() => {
            const estimate = ir.getVariable(digit);
            const leftOver = ir.getVariable(left);
            const tooLarge = ir.op(
                'i32.or',
                ir.op('i64.ne', upper(estimate), ir.i64(0)),
                ir.op('i64.gt_u', mul(estimate, scaledLower), ir.op('i64.or', shl(leftOver, ir.i64(32)), next)),
            );
            ir.setVariable(digit, sub(estimate, ir.extendU(tooLarge)));
            const corrected = add(leftOver, ir.select(tooLarge, scaledUpper, ir.i64(0)));
            ir.setVariable(left, corrected);
            return ir.op('i32.and', tooLarge, ir.op('i64.eqz', upper(corrected)));
        });
        return ir.getVariable(digit);
    };
    /** part × 2^32 + next − digit × scaled; the true value fits 64 bits, whatever overflows on the way. */
    const reduce = (part: Value, next: Value, digit: Value): Value =>
        sub(add(shl(part, ir.i64(32)), next), mul(digit, scaled));

    const firstNext = upper(rest);
    const first = digitOf(top, firstNext);
    const middle = reduce(top, firstNext, first);
    const secondNext = lower(rest);
    const second = digitOf(middle, secondNext);
    ir.setVariable(quotient, add(shl(first, ir.i64(32)), second));
    ir.setVariable(remainder, shr(reduce(middle, secondNext, second), shift));
}
