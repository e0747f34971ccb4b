/** FSIN, FCOS, FSINCOS and FPTAN (Intel SDM Vol. 1, 8.3.7, 8.3.8; Vol. 2, the instructions' own pages). */

import { DE, type FloatEnvironment } from './environment';
import { type Extended, Kind, type Operand, float80 } from './format';
import { EXTENDED_ONE } from './extended';
import { FRACTION_BITS, type Magnitude, belowOne, circularSeries, fixedMultiply } from './fixedPoint';
import { bitLength, shiftBy } from './integerMath';
import { invalidOperation, propagateNaN } from './nan';
import { roundIrrational } from './transcendental';

/** A result of an instruction that may refuse its operand. */
export interface Trigonometric {
    /** C2: |operand| ≥ 2^63; nothing was computed, `value` is the operand, and FPTAN and FSINCOS push nothing. */
    readonly outOfRange: boolean;
    readonly value: Extended;
}

/** FSINCOS: the sine replaces ST(0), then the cosine is pushed. */
export interface SineCosine {
    readonly outOfRange: boolean;
    readonly sine: Extended;
    readonly cosine: Extended;
}

/** The x87's π for argument reduction: 66 bits, in units of 2^-66 (SDM Vol. 1, 8.3.8 "Approximation of Pi"). */
const REDUCTION_PI = 0xc90fdaa22168c234cn;
const REDUCTION_UNIT = -66;
const REDUCTION_LIMIT = 63;

/** FSIN. */
export function sine(x: Extended, environment: FloatEnvironment): Trigonometric {
    return evaluate(x, environment, x, reduced => ofQuadrant(reduced, 0, environment));
}

/** FCOS. */
export function cosine(x: Extended, environment: FloatEnvironment): Trigonometric {
    return evaluate(x, environment, EXTENDED_ONE, reduced => ofQuadrant(reduced, 1, environment));
}

/** FSINCOS. C1 tells of the cosine, which is rounded last. */
export function sineCosine(x: Extended, environment: FloatEnvironment): SineCosine {
    const first = sine(x, environment);
    const second = first.outOfRange || environment.suppressed ? first : cosine(x, environment);
    return { outOfRange: first.outOfRange, sine: first.value, cosine: second.value };
}

/** FPTAN, which pushes 1.0 after its result unless C2. */
export function tangent(x: Extended, environment: FloatEnvironment): Trigonometric {
    return evaluate(x, environment, x, reduced => {
        const [s, c] = [sineOf(reduced), cosineOf(reduced)];
        const [numerator, denominator] = reduced.quadrant & 1 ? [c, s] : [s, c];
        const shift = FRACTION_BITS + 64 + bitLength(denominator.significand) - bitLength(numerator.significand);
        const significand = shiftBy(numerator.significand, shift) / denominator.significand;
        const exponent = numerator.exponent - denominator.exponent - shift;
        const sign = reduced.sign ^ (reduced.quadrant & 1);
        return roundIrrational(environment, sign, { exponent, significand });
    });
}

/** x = quadrant × π/2 ± magnitude, the magnitude at most π/4 and exact. */
interface Reduced extends Magnitude {
    readonly quadrant: number;
    readonly sign: number;
}

/** Handles special operands; @param atZero the function's value at zero. */
function evaluate(
    x: Extended,
    environment: FloatEnvironment,
    atZero: Extended,
    compute: (reduced: Reduced) => Extended,
): Trigonometric {
    const operand = float80.unpack(x);
    if (operand.kind >= Kind.quietNaN) {
        return { outOfRange: false, value: propagateNaN(float80, environment, operand) };
    }
    if (operand.kind === Kind.infinity) {
        return { outOfRange: false, value: invalidOperation(float80, environment) };
    }
    if (operand.kind === Kind.zero) {
        return { outOfRange: false, value: atZero };
    }
    if (operand.exponent + bitLength(operand.significand) > REDUCTION_LIMIT) {
        return { outOfRange: true, value: x };
    }
    if (operand.denormal && environment.raiseBefore(DE)) {
        return { outOfRange: false, value: x };
    }
    return { outOfRange: false, value: compute(reduce(operand)) };
}

/** Subtracts the nearest multiple of π/2. */
function reduce(x: Operand): Reduced {
    if (x.exponent + bitLength(x.significand) < 0) {
        return { quadrant: 0, sign: x.sign, exponent: x.exponent, significand: x.significand };
    }
    // In units of half the unit of π, or finer where x is.
    const exponent = Math.min(x.exponent, REDUCTION_UNIT - 1);
    const value = x.significand << BigInt(x.exponent - exponent);
    const halfPi = REDUCTION_PI << BigInt(REDUCTION_UNIT - 1 - exponent);
    const count = (2n * value + halfPi) / (2n * halfPi);
    const rest = value - count * halfPi;
    const negative = rest < 0n ? 1 : 0;
    const quadrant = Number(count & 3n);
    return {
        quadrant: x.sign ? (4 - quadrant) & 3 : quadrant,
        sign: x.sign ^ negative,
        exponent,
        significand: negative ? -rest : rest,
    };
}

/** sin(x + shift × π/2), rounded. */
function ofQuadrant(reduced: Reduced, shift: number, environment: FloatEnvironment): Extended {
    const quadrant = (reduced.quadrant + shift) & 3;
    const negative = quadrant >> 1;
    return quadrant & 1
        ? roundIrrational(environment, negative, cosineOf(reduced))
        : roundIrrational(environment, negative ^ reduced.sign, sineOf(reduced));
}

function squareOf(x: Magnitude): bigint {
    const fixed = shiftBy(x.significand, x.exponent + FRACTION_BITS);
    return fixedMultiply(fixed, fixed);
}

/** sin of a magnitude up to π/4. */
function sineOf(x: Magnitude): Magnitude {
    const factor = belowOne(circularSeries(-squareOf(x), 2n));
    return { exponent: x.exponent - FRACTION_BITS, significand: x.significand * factor };
}

function cosineOf(x: Magnitude): Magnitude {
    return { exponent: -FRACTION_BITS, significand: belowOne(circularSeries(-squareOf(x), 1n)) };
}
