/** Rounding to an integer that stays in its format (FRNDINT, ROUNDSS/ROUNDSD). */

import { roundToInteger } from './convert';
import { DE, type FloatEnvironment, PE, type RoundingMode } from './environment';
import { type FloatFormat, Kind, indefinite, readOperand } from './format';
import { bitLength } from './integerMath';
import { propagateNaN } from './nan';

/** What ROUNDSS takes from its immediate (SDM Vol. 2, ROUNDPD, Table 4-17). */
export interface IntegralRounding {
    /** Replaces RC. */
    readonly mode?: RoundingMode;
    /** Leaves PE alone (immediate bit 3). */
    readonly suppressPrecision?: boolean;
}

/** Rounds to an integral value of the same format, keeping the sign of zero. */
export function roundToIntegral<Bits>(
    format: FloatFormat<Bits>,
    bits: Bits,
    environment: FloatEnvironment,
    { mode = environment.rounding, suppressPrecision = false }: IntegralRounding = {},
): Bits {
    const operand = readOperand(format, bits, environment);
    if (operand.kind >= Kind.quietNaN) {
        return propagateNaN(format, environment, operand);
    }
    if (operand.kind === Kind.zero) {
        return format.zero(operand.sign);
    }
    if (operand.denormal && environment.unit === 'x87' && environment.raiseBefore(DE)) {
        return indefinite(format);
    }
    if (operand.kind === Kind.infinity || operand.exponent >= 0) {
        return bits;
    }
    const leading = operand.exponent + bitLength(operand.significand);
    const { magnitude, inexact, up } = roundToInteger(operand, leading, mode);
    environment.roundedUp = up;
    if (inexact && !suppressPrecision) {
        environment.raiseAfter(PE);
    }
    if (magnitude === 0n) {
        return format.zero(operand.sign);
    }
    const length = bitLength(magnitude);
    return format.pack(operand.sign, length - 1, magnitude << BigInt(format.precision - length));
}
