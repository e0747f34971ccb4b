/** F2XM1 (Intel SDM Vol. 2). */

import { DE, type FloatEnvironment, PE } from './environment';
import { EXTENDED_ONE } from './extended';
import { type Extended, Kind, float80, indefinite } from './format';
import { FIXED_LN2, FRACTION_BITS, exponentialSeries, fixedMultiply } from './fixedPoint';
import { bitLength, shiftBy } from './integerMath';
import { propagateNaN } from './nan';
import { roundIrrational } from './transcendental';

/** -1/2 */
const MINUS_HALF: Extended = float80.pack(1, -1, 1n << 63n);

/**
 * `2^x - 1` for -1 ≤ x ≤ 1. Beyond that range the manual promises nothing, and
 * the operand is returned, as AMD's processors do.
 */
export function exponentialMinusOne(x: Extended, environment: FloatEnvironment): Extended {
    const operand = float80.unpack(x);
    if (operand.kind >= Kind.quietNaN) {
        return propagateNaN(float80, environment, operand);
    }
    if (operand.kind === Kind.zero) {
        return x;
    }
    if (operand.kind === Kind.infinity) {
        return operand.sign ? float80.pack(1, 0, 1n << 63n) : x;
    }
    if (operand.denormal && environment.raiseBefore(DE)) {
        return indefinite(float80);
    }
    const leading = operand.exponent + bitLength(operand.significand) - 1;
    if (leading >= 0) {
        const one = leading === 0 && operand.significand === 1n << 63n;
        // Even ±1, whose results are exact; the FPU does not notice.
        environment.raiseAfter(PE);
        return !one ? x : operand.sign ? MINUS_HALF : EXTENDED_ONE;
    }
    const fixed = shiftBy(operand.significand, operand.exponent + FRACTION_BITS);
    const y = fixedMultiply(operand.sign ? -fixed : fixed, FIXED_LN2);
    const significand = operand.significand * fixedMultiply(FIXED_LN2, exponentialSeries(y));
    return roundIrrational(environment, operand.sign, { exponent: operand.exponent - FRACTION_BITS, significand });
}
