/**
 * Elementary functions in fixed point, precise enough that rounding their results to 64 bits is right in all but
 * about one of 2^80 cases. A fixed-point number here is a `bigint` in units of 2^-FRACTION_BITS.
 */

import { shiftBy } from './integerMath';

/** Fraction bits of every fixed-point number. */
export const FRACTION_BITS = 192;
const SHIFT = BigInt(FRACTION_BITS);
/** 1.0 */
export const FIXED_ONE = 1n << SHIFT;

/** A positive real, approximately `significand × 2^exponent`, with some 190 significant bits or more. */
export interface Magnitude {
    readonly exponent: number;
    readonly significand: bigint;
}

/** The product of two fixed-point numbers. */
export function fixedMultiply(a: bigint, b: bigint): bigint {
    return (a * b) >> SHIFT;
}

/**
 * `1 + z/3 + z²/5 + …`: with z = s² it is artanh(s)/s, with z = -s² arctan(s)/s.
 * @param z fixed point, |z| < 1 (and well below, or it takes long).
 */
export function inverseTangentSeries(z: bigint): bigint {
    let sum = FIXED_ONE;
    let power = FIXED_ONE;
    for (let divisor = 3n; ; divisor += 2n) {
        power = fixedMultiply(power, z);
        const term = power / divisor;
        if (term === 0n) {
            return sum;
        }
        sum += term;
    }
}

/**
 * `1 + z/(k(k+1)) + z²/(k(k+1)(k+2)(k+3)) + …`: with z = -x² and k = 2 it is sin(x)/x, with k = 1 it is cos(x).
 * @param z fixed point.
 */
export function circularSeries(z: bigint, k: 1n | 2n): bigint {
    let sum = FIXED_ONE;
    let term = FIXED_ONE;
    for (let divisor: bigint = k; ; divisor += 2n) {
        term = fixedMultiply(term, z) / (divisor * (divisor + 1n));
        if (term === 0n) {
            return sum;
        }
        sum += term;
    }
}

/** `(e^y - 1)/y` for fixed-point |y| < 1. */
export function exponentialSeries(y: bigint): bigint {
    let sum = FIXED_ONE;
    let term = FIXED_ONE;
    for (let divisor = 2n; ; divisor++) {
        term = fixedMultiply(term, y) / divisor;
        if (term === 0n) {
            return sum;
        }
        sum += term;
    }
}

/** Makes a factor that only tends to one stay below it where it is closer than fixed point can tell. */
export function belowOne(factor: bigint): bigint {
    return factor === FIXED_ONE ? FIXED_ONE - 1n : factor;
}

/** artanh(1/n) or, alternating, arctan(1/n). */
function inverseOf(n: bigint, alternating: boolean): bigint {
    const z = FIXED_ONE / (n * n);
    return inverseTangentSeries(alternating ? -z : z) / n;
}

/** π, by Machin's formula. */
export const FIXED_PI = 16n * inverseOf(5n, true) - 4n * inverseOf(239n, true);
/** ln 2 = 2 artanh(1/3). */
export const FIXED_LN2 = 2n * inverseOf(3n, false);
/** ln 10 = 3 ln 2 + ln(5/4). */
export const FIXED_LN10 = 3n * FIXED_LN2 + 2n * inverseOf(9n, false);
/** log₂ e */
export const FIXED_LOG2_E = (FIXED_ONE << SHIFT) / FIXED_LN2;

/** arctan(k/8) for k = 0 … 8, each from the one before by the addition theorem. */
const ARCTANGENTS: readonly bigint[] = (() => {
    const table = [0n];
    for (let k = 1n; k <= 8n; k++) {
        const step = (FIXED_ONE * 8n) / (64n + k * (k - 1n));
        table.push(table[Number(k) - 1]! + fixedMultiply(step, inverseTangentSeries(-fixedMultiply(step, step))));
    }
    return table;
})();

/** arctan of a ratio in [0, 1]. */
export function arctangent(ratio: Magnitude): Magnitude {
    const t = shiftBy(ratio.significand, ratio.exponent + FRACTION_BITS);
    const index = (t * 8n + (FIXED_ONE >> 1n)) >> SHIFT;
    if (index === 0n) {
        // Kept relative to the ratio, which may be tiny.
        const factor = belowOne(inverseTangentSeries(-fixedMultiply(t, t)));
        return { exponent: ratio.exponent - FRACTION_BITS, significand: ratio.significand * factor };
    }
    const offset = ((8n * t - index * FIXED_ONE) << SHIFT) / (8n * FIXED_ONE + index * t);
    const correction = fixedMultiply(offset, inverseTangentSeries(-fixedMultiply(offset, offset)));
    return { exponent: -FRACTION_BITS, significand: ARCTANGENTS[Number(index)]! + correction };
}
