/** Division (DIVSS/DIVSD, FDIV, FDIVR). */

import { DE, type FloatEnvironment, ZE } from './environment';
import { type FloatFormat, Kind, type Operand, indefinite, readOperand } from './format';
import { bitLength, shiftBy } from './integerMath';
import { invalidOperation, propagateNaN2 } from './nan';
import { arithmeticPrecision, roundAndPack } from './round';

/** Quotient bits computed before the sticky bit: the widest precision, a guard bit and one for normalisation. */
const QUOTIENT_BITS = 66;

/** `a / b`. */
export function divide<Bits>(format: FloatFormat<Bits>, a: Bits, b: Bits, environment: FloatEnvironment): Bits {
    return divideOperands(
        format,
        readOperand(format, a, environment),
        readOperand(format, b, environment),
        environment,
    );
}

/** `a / b` of operands that may come from different formats (FDIV m32fp, FIDIV). */
export function divideOperands<Bits>(
    format: FloatFormat<Bits>,
    a: Operand,
    b: Operand,
    environment: FloatEnvironment,
): Bits {
    if (a.kind >= Kind.quietNaN || b.kind >= Kind.quietNaN) {
        return propagateNaN2(format, environment, a, b);
    }
    const sign = a.sign ^ b.sign;
    if (a.kind === b.kind && a.kind !== Kind.finite) {
        return invalidOperation(format, environment);
    }
    // A denormal divided by zero raises ZE alone.
    const divisionByZero = b.kind === Kind.zero && a.kind === Kind.finite;
    const flags = divisionByZero ? ZE : a.denormal || b.denormal ? DE : 0;
    if (flags && environment.raiseBefore(flags)) {
        return indefinite(format);
    }
    if (a.kind === Kind.infinity || b.kind === Kind.zero) {
        return format.infinity(sign);
    }
    if (a.kind === Kind.zero || b.kind === Kind.infinity) {
        return format.zero(sign);
    }
    const shift = Math.max(0, QUOTIENT_BITS + bitLength(b.significand) - bitLength(a.significand));
    const dividend = shiftBy(a.significand, shift);
    const quotient = dividend / b.significand;
    const sticky = quotient * b.significand === dividend ? 0n : 1n;
    const precision = arithmeticPrecision(format, environment);
    const exponent = a.exponent - b.exponent - shift - 1;
    return roundAndPack(format, environment, sign, exponent, (quotient << 1n) | sticky, precision);
}
