/** Partial remainders (FPREM, FPREM1; Intel SDM Vol. 2, the instructions' own pages). */

import { DE, type FloatEnvironment } from './environment';
import { type Extended, Kind, float80, indefinite } from './format';
import { bitLength } from './integerMath';
import { invalidOperation, propagateNaN2 } from './nan';
import { roundAndPack } from './round';

/** What FPREM leaves behind. */
export interface PartialRemainder {
    readonly value: Extended;
    /** C2: the reduction is incomplete and the instruction is to be repeated. */
    readonly incomplete: boolean;
    /** The quotient's bits 2:0, for C0 (bit 2), C3 (bit 1) and C1 (bit 0); 0 when incomplete. */
    readonly quotient: number;
}

/** Exponent differences from which on one instruction does not finish. */
const COMPLETE_LIMIT = 64;

/** FPREM: `dividend - divisor × trunc(dividend / divisor)`. */
export function remainder(dividend: Extended, divisor: Extended, environment: FloatEnvironment): PartialRemainder {
    return reduce(dividend, divisor, environment, false);
}

/** FPREM1: as IEEE 754's remainder, the quotient rounded to nearest even. */
export function remainderNearest(
    dividend: Extended,
    divisor: Extended,
    environment: FloatEnvironment,
): PartialRemainder {
    return reduce(dividend, divisor, environment, true);
}

function reduce(
    dividend: Extended,
    divisor: Extended,
    environment: FloatEnvironment,
    nearest: boolean,
): PartialRemainder {
    const complete = (value: Extended): PartialRemainder => ({ value, incomplete: false, quotient: 0 });
    const a = float80.unpack(dividend);
    const b = float80.unpack(divisor);
    if (a.kind >= Kind.quietNaN || b.kind >= Kind.quietNaN) {
        return complete(propagateNaN2(float80, environment, a, b));
    }
    if (a.kind === Kind.infinity || b.kind === Kind.zero) {
        return complete(invalidOperation(float80, environment));
    }
    if ((a.denormal || b.denormal) && environment.raiseBefore(DE)) {
        return complete(indefinite(float80));
    }
    if (a.kind === Kind.zero) {
        return complete(dividend);
    }
    if (b.kind === Kind.infinity) {
        return complete(roundAndPack(float80, environment, a.sign, a.exponent, a.significand));
    }
    const lengthA = bitLength(a.significand);
    const lengthB = bitLength(b.significand);
    const distance = a.exponent + lengthA - (b.exponent + lengthB);
    if (distance >= COMPLETE_LIMIT) {
        return reducePartially(a.sign, a.significand << BigInt(64 - lengthA), b, lengthB, distance, environment);
    }
    if (distance < -1) {
        return complete(roundAndPack(float80, environment, a.sign, a.exponent, a.significand));
    }
    const exponent = Math.min(a.exponent, b.exponent);
    const x = a.significand << BigInt(a.exponent - exponent);
    const y = b.significand << BigInt(b.exponent - exponent);
    let quotient = x / y;
    let rest = x - quotient * y;
    let sign = a.sign;
    if (nearest && (2n * rest > y || (2n * rest === y && quotient & 1n))) {
        quotient++;
        rest = y - rest;
        sign ^= 1;
    }
    return {
        value: rest === 0n ? float80.zero(a.sign) : roundAndPack(float80, environment, sign, exponent, rest),
        incomplete: false,
        quotient: Number(quotient & 7n),
    };
}

/** Lowers the exponent difference by 32 to 63, as much as keeps the distance that is left a multiple of 32. */
function reducePartially(
    sign: number,
    significandA: bigint,
    b: { exponent: number; significand: bigint },
    lengthB: number,
    distance: number,
    environment: FloatEnvironment,
): PartialRemainder {
    const step = 32 + (distance % 32);
    const significandB = b.significand << BigInt(64 - lengthB);
    const rest = (significandA << BigInt(step)) % significandB;
    const exponent = b.exponent + lengthB - 64 + distance - step;
    return {
        value: rest === 0n ? float80.zero(sign) : roundAndPack(float80, environment, sign, exponent, rest),
        incomplete: true,
        quotient: 0,
    };
}
