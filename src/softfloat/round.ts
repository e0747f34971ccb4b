/**
 * Rounding an exact value into a format, with the exceptions that follow the computation (Intel SDM Vol. 1, 4.8.4
 * "Rounding", 4.9.1.4 "Numeric Overflow", 4.9.1.5 "Numeric Underflow", 4.9.1.6 "Inexact Result", 8.5.4, 8.5.5).
 */

import { type FloatEnvironment, OE, PE, RoundingMode, UE } from './environment';
import { type FloatFormat, indefinite } from './format';
import { bitLength, shiftBy } from './integerMath';

/** What x87 adds to (underflow) or subtracts from (overflow) the exponent of a result whose exception is unmasked. */
const EXPONENT_ADJUSTMENT = 24576;

/** A magnitude after dropping its low bits. */
interface Rounded {
    readonly magnitude: bigint;
    readonly inexact: boolean;
    readonly up: boolean;
}

/**
 * Divides a magnitude by 2^drop and rounds the quotient.
 * @param drop bits to drop; zero or negative shifts left and is exact.
 * @param sign of the value the magnitude belongs to, 0 or 1; directed modes need it.
 */
export function roundMagnitude(magnitude: bigint, drop: number, sign: number, mode: RoundingMode): Rounded {
    if (drop <= 0) {
        return { magnitude: shiftBy(magnitude, -drop), inexact: false, up: false };
    }
    const shift = BigInt(drop);
    const quotient = magnitude >> shift;
    const remainder = magnitude - (quotient << shift);
    if (remainder === 0n) {
        return { magnitude: quotient, inexact: false, up: false };
    }
    let up: boolean;
    if (mode === RoundingMode.nearestEven) {
        const half = 1n << (shift - 1n);
        up = remainder > half || (remainder === half && (quotient & 1n) !== 0n);
    } else {
        up = mode === (sign ? RoundingMode.down : RoundingMode.up);
    }
    return { magnitude: up ? quotient + 1n : quotient, inexact: true, up };
}

/** The number of significand bits that the basic operations round to. */
export function arithmeticPrecision<Bits>(format: FloatFormat<Bits>, environment: FloatEnvironment): number {
    return format.name === 'f80' ? environment.precision : format.precision;
}

/**
 * Rounds `(-1)^sign × significand × 2^exponent` and encodes it, raising OE, UE and PE as needed.
 *
 * `significand` is positive. It may stand for a value with more bits, as long as it keeps at least two bits below the
 * precision and its last bit is a sticky one.
 * @param precision bits to round to, at most the format's.
 */
export function roundAndPack<Bits>(
    format: FloatFormat<Bits>,
    environment: FloatEnvironment,
    sign: number,
    exponent: number,
    significand: bigint,
    precision = format.precision,
): Bits {
    const mode = environment.rounding;
    const length = bitLength(significand);
    const { magnitude: rounded, inexact, up } = roundMagnitude(significand, length - precision, sign, mode);
    let magnitude = rounded;
    let leading = exponent + length - 1;
    if (magnitude >> BigInt(precision)) {
        magnitude >>= 1n;
        leading++;
    }
    if (leading > format.maxExponent) {
        if (environment.masks & OE) {
            return overflow(format, environment, sign, precision);
        }
        environment.raiseAfter(OE);
        if (storesNothing(format, environment)) {
            return indefinite(format);
        }
        leading -= EXPONENT_ADJUSTMENT;
        if (leading > format.maxExponent) {
            environment.raiseAfter(PE);
            environment.roundedUp = true;
            return format.infinity(sign);
        }
    } else if (leading < format.minExponent) {
        // Tininess is judged after rounding, as if the exponent were unbounded.
        if (environment.masks & UE) {
            return underflow(format, environment, sign, exponent, significand, precision);
        }
        environment.raiseAfter(UE);
        if (storesNothing(format, environment)) {
            return indefinite(format);
        }
        leading += EXPONENT_ADJUSTMENT;
        if (leading < format.minExponent) {
            environment.raiseAfter(PE);
            environment.roundedUp = false;
            return format.zero(sign);
        }
    }
    environment.roundedUp = up;
    if (inexact) {
        environment.raiseAfter(PE);
    }
    if (environment.suppressed) {
        return indefinite(format);
    }
    return format.pack(sign, leading, magnitude << BigInt(format.precision - precision));
}

/** An x87 store to memory whose OE or UE is unmasked ends there, before it is known to be inexact. */
function storesNothing<Bits>(format: FloatFormat<Bits>, environment: FloatEnvironment): boolean {
    if (environment.unit !== 'x87' || format.name === 'f80') {
        return false;
    }
    environment.suppressed = true;
    environment.roundedUp = false;
    return true;
}

/** The masked response to overflow: infinity, or the largest number where the mode rounds towards zero. */
function overflow<Bits>(
    format: FloatFormat<Bits>,
    environment: FloatEnvironment,
    sign: number,
    precision: number,
): Bits {
    environment.raiseAfter(OE | PE);
    const mode = environment.rounding;
    const toInfinity = mode === RoundingMode.nearestEven || mode === (sign ? RoundingMode.down : RoundingMode.up);
    environment.roundedUp = toInfinity;
    if (toInfinity) {
        return format.infinity(sign);
    }
    const largest = ((1n << BigInt(precision)) - 1n) << BigInt(format.precision - precision);
    return format.pack(sign, format.maxExponent, largest);
}

/** The masked response to a tiny result: zero under FTZ, else a denormal; UE only if that is inexact. */
function underflow<Bits>(
    format: FloatFormat<Bits>,
    environment: FloatEnvironment,
    sign: number,
    exponent: number,
    significand: bigint,
    precision: number,
): Bits {
    if (environment.ftz && format.name !== 'f16') {
        environment.raiseAfter(UE | PE);
        return format.zero(sign);
    }
    const drop = format.minExponent - (precision - 1) - exponent;
    // A value far below the smallest denormal needs no more than its being there.
    const far = drop > 1000;
    const { magnitude, inexact, up } = roundMagnitude(
        far ? 1n : significand,
        far ? 2 : drop,
        sign,
        environment.rounding,
    );
    environment.roundedUp = up;
    if (inexact) {
        environment.raiseAfter(UE | PE);
    }
    return format.pack(sign, format.minExponent, magnitude << BigInt(format.precision - precision));
}
