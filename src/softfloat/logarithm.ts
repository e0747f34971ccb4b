/** FYL2X and FYL2XP1 (Intel SDM Vol. 2). */

import { DE, type FloatEnvironment, PE, UE, ZE } from './environment';
import { type Extended, Kind, type Operand, float80, indefinite } from './format';
import {
    FIXED_LOG2_E,
    FIXED_ONE,
    FRACTION_BITS,
    type Magnitude,
    fixedMultiply,
    inverseTangentSeries,
} from './fixedPoint';
import { bitLength, shiftBy } from './integerMath';
import { invalidOperation, propagateNaN2 } from './nan';
import { roundAndPack } from './round';
import { roundIrrational } from './transcendental';

/** A real number that is zero, or known exactly, or approximately. */
interface Logarithm extends Magnitude {
    readonly sign: number;
    readonly exact: boolean;
}

/** `y × log₂ x` (y in ST(1), x in ST(0)). */
export function yLog2X(y: Extended, x: Extended, environment: FloatEnvironment): Extended {
    const a = float80.unpack(x);
    const b = float80.unpack(y);
    if (a.kind >= Kind.quietNaN || b.kind >= Kind.quietNaN) {
        return propagateNaN2(float80, environment, a, b);
    }
    if (a.sign && a.kind !== Kind.zero) {
        return invalidOperation(float80, environment);
    }
    if (a.kind === Kind.zero || a.kind === Kind.infinity) {
        if (b.kind === Kind.zero) {
            return invalidOperation(float80, environment);
        }
        // As in a division by zero, ZE wins over DE.
        const divisionByZero = a.kind === Kind.zero && b.kind === Kind.finite;
        const flags = divisionByZero ? ZE : b.denormal ? DE : 0;
        return flags && environment.raiseBefore(flags)
            ? indefinite(float80)
            : float80.infinity(b.sign ^ (a.kind === Kind.zero ? 1 : 0));
    }
    return multiplyLogarithm(b, logarithm(a.significand, a.exponent), a.denormal, environment);
}

/**
 * `y × log₂(x + 1)`, precise also where x is tiny. The manual promises nothing outside ±(1 - √½); for x > -1 the
 * true value is returned, for the others x itself, as AMD's processors do.
 */
export function yLog2XPlusOne(y: Extended, x: Extended, environment: FloatEnvironment): Extended {
    const a = float80.unpack(x);
    const b = float80.unpack(y);
    if (a.kind >= Kind.quietNaN || b.kind >= Kind.quietNaN) {
        return propagateNaN2(float80, environment, a, b);
    }
    if (a.kind === Kind.infinity) {
        if (a.sign || b.kind === Kind.zero) {
            return invalidOperation(float80, environment);
        }
        return b.denormal && environment.raiseBefore(DE) ? indefinite(float80) : float80.infinity(b.sign);
    }
    if (a.kind === Kind.zero) {
        if (b.kind === Kind.infinity) {
            return invalidOperation(float80, environment);
        }
        return b.denormal && environment.raiseBefore(DE) ? indefinite(float80) : float80.zero(a.sign ^ b.sign);
    }
    const value = logarithmPlusOne(a);
    if (value !== undefined) {
        return multiplyLogarithm(b, value, a.denormal, environment);
    }
    if (b.kind !== Kind.finite) {
        return b.kind === Kind.zero ? float80.zero(b.sign ^ 1) : float80.infinity(b.sign ^ 1);
    }
    if (b.denormal && environment.raiseBefore(DE)) {
        return indefinite(float80);
    }
    environment.raiseAfter(PE);
    return x;
}

/** `y × log`, where the log comes from a finite operand. */
function multiplyLogarithm(y: Operand, log: Logarithm, denormal: boolean, environment: FloatEnvironment): Extended {
    const sign = y.sign ^ log.sign;
    if (y.kind === Kind.infinity && log.significand === 0n) {
        return invalidOperation(float80, environment);
    }
    if ((denormal || y.denormal) && environment.raiseBefore(DE)) {
        return indefinite(float80);
    }
    if (y.kind === Kind.infinity) {
        return float80.infinity(sign);
    }
    if (y.kind === Kind.zero || log.significand === 0n) {
        return float80.zero(sign);
    }
    const exponent = y.exponent + log.exponent;
    const significand = y.significand * log.significand;
    if (!log.exact) {
        return roundIrrational(environment, sign, { exponent, significand });
    }
    // The FPU does not notice that the logarithm of a power of two is exact.
    const result = roundAndPack(float80, environment, sign, exponent, significand);
    const tiny = (result.signExponent & 0x7fff) === 0;
    environment.raiseAfter(tiny ? PE | UE : PE);
    return result;
}

/** √2 in units of 2^-64: beyond it the next power of two is closer. */
const ROOT_TWO = 0x16a09e667f3bcc908n;

/** log₂ of `significand × 2^exponent`; exact, and possibly zero, for powers of two. */
function logarithm(significand: bigint, exponent: number): Logarithm {
    const length = bitLength(significand);
    let power = exponent + length - 1;
    let unit = 1n << BigInt(length - 1);
    if (significand === unit) {
        return { sign: power < 0 ? 1 : 0, exponent: 0, significand: BigInt(Math.abs(power)), exact: true };
    }
    if (significand << 64n > ROOT_TWO * unit) {
        unit <<= 1n;
        power++;
    }
    const below = significand < unit;
    const part = scaledArtanh(below ? unit - significand : significand - unit, significand + unit);
    if (power === 0) {
        return { sign: below ? 1 : 0, ...part, exact: false };
    }
    const fixed = shiftBy(part.significand, part.exponent + FRACTION_BITS);
    const sum = BigInt(power) * FIXED_ONE + (below ? -fixed : fixed);
    return { sign: sum < 0n ? 1 : 0, exponent: -FRACTION_BITS, significand: sum < 0n ? -sum : sum, exact: false };
}

/** log₂(1 + x); undefined for x ≤ -1. */
function logarithmPlusOne(x: Operand): Logarithm | undefined {
    const leading = x.exponent + bitLength(x.significand);
    if (leading > 0 && x.sign) {
        return undefined;
    }
    if (leading < -FRACTION_BITS) {
        // 1 + x and 2 + x are 1 and 2 as far as can be told.
        const significand = x.significand * FIXED_LOG2_E;
        return { sign: x.sign, exponent: x.exponent - FRACTION_BITS, significand, exact: false };
    }
    if (leading > 2 * FRACTION_BITS) {
        return logarithm(x.significand, x.exponent);
    }
    const unit = x.exponent < 0 ? 1n << BigInt(-x.exponent) : 1n;
    const magnitude = x.exponent < 0 ? x.significand : shiftBy(x.significand, x.exponent);
    const signed = x.sign ? -magnitude : magnitude;
    if (leading >= -1) {
        return logarithm(unit + signed, Math.min(x.exponent, 0));
    }
    return { sign: x.sign, ...scaledArtanh(magnitude, 2n * unit + signed), exact: false };
}

/** `2 log₂e × artanh(numerator / denominator)`, for quotients below 0.18; the precision is relative. */
function scaledArtanh(numerator: bigint, denominator: bigint): Magnitude {
    const shift = Math.max(0, FRACTION_BITS + bitLength(denominator) - bitLength(numerator));
    const quotient = shiftBy(numerator, shift) / denominator;
    const fixed = shiftBy(quotient, FRACTION_BITS - shift);
    const factor = fixedMultiply(inverseTangentSeries(fixedMultiply(fixed, fixed)), FIXED_LOG2_E);
    return { exponent: 1 - shift - FRACTION_BITS, significand: quotient * factor };
}
