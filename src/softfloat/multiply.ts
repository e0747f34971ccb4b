/** Multiplication (MULSS/MULSD, FMUL). */

import { DE, type FloatEnvironment } from './environment';
import { type FloatFormat, Kind, type Operand, indefinite, readOperand } from './format';
import { invalidOperation, propagateNaN2 } from './nan';
import { arithmeticPrecision, roundAndPack } from './round';

/** `a × b`. */
export function multiply<Bits>(format: FloatFormat<Bits>, a: Bits, b: Bits, environment: FloatEnvironment): Bits {
    return multiplyOperands(
        format,
        readOperand(format, a, environment),
        readOperand(format, b, environment),
        environment,
    );
}

/** `a × b` of operands that may come from different formats (FMUL m32fp, FIMUL). */
export function multiplyOperands<Bits>(
    format: FloatFormat<Bits>,
    a: Operand,
    b: Operand,
    environment: FloatEnvironment,
): Bits {
    if (a.kind >= Kind.quietNaN || b.kind >= Kind.quietNaN) {
        return propagateNaN2(format, environment, a, b);
    }
    const sign = a.sign ^ b.sign;
    const infinite = a.kind === Kind.infinity || b.kind === Kind.infinity;
    const zero = a.kind === Kind.zero || b.kind === Kind.zero;
    if (infinite && zero) {
        return invalidOperation(format, environment);
    }
    if ((a.denormal || b.denormal) && environment.raiseBefore(DE)) {
        return indefinite(format);
    }
    if (infinite) {
        return format.infinity(sign);
    }
    if (zero) {
        return format.zero(sign);
    }
    const precision = arithmeticPrecision(format, environment);
    const product = a.significand * b.significand;
    return roundAndPack(format, environment, sign, a.exponent + b.exponent, product, precision);
}
