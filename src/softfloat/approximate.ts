/**
 * RCPSS/RCPPS and RSQRTSS/RSQRTPS (Intel SDM Vol. 2): approximations whose relative error is at most 1.5 × 2^-12.
 *
 * No two families of processors return the same bits: Intel's and AMD's tables differ, and neither returns 1 for 1. Here
 * the exact result is rounded to 12 bits, which errs by at most 2^-12. Software that depends on more than the bound has
 * never been portable. Neither instruction raises exceptions or obeys MXCSR.
 */

import { FloatEnvironment } from './environment';
import { float32, Kind, QUIET_BIT, indefinite } from './format';
import { bitLength, integerSquareRoot } from './integerMath';
import { roundAndPack } from './round';

/** Significant bits of a result. */
const APPROXIMATE_BITS = 12;

/** ≈ 1/a; denormals count as zeros, and tiny results are flushed to zero. @param a f32 pattern. */
export function approximateReciprocal(a: number): number {
    const operand = float32.unpack(a);
    if (operand.kind >= Kind.quietNaN) {
        return float32.nan(operand.sign, operand.significand | QUIET_BIT);
    }
    if (operand.kind === Kind.infinity) {
        return float32.zero(operand.sign);
    }
    if (operand.kind === Kind.zero || operand.denormal) {
        return float32.infinity(operand.sign);
    }
    // Normal operands have 24-bit significands.
    const quotient = (1n << 64n) / operand.significand;
    return pack(operand.sign, -operand.exponent - 64, quotient);
}

/** ≈ 1/√a; denormals count as zeros. @param a f32 pattern. */
export function approximateReciprocalSquareRoot(a: number): number {
    const operand = float32.unpack(a);
    if (operand.kind >= Kind.quietNaN) {
        return float32.nan(operand.sign, operand.significand | QUIET_BIT);
    }
    if (operand.kind === Kind.zero || operand.denormal) {
        return float32.infinity(operand.sign);
    }
    if (operand.sign) {
        return indefinite(float32);
    }
    if (operand.kind === Kind.infinity) {
        return float32.zero(0);
    }
    const odd = operand.exponent & 1;
    const radicand = (1n << 96n) / (odd ? operand.significand << 1n : operand.significand);
    return pack(0, -(operand.exponent - odd) / 2 - 48, integerSquareRoot(radicand));
}

function pack(sign: number, exponent: number, significand: bigint): number {
    const environment = new FloatEnvironment('sse');
    environment.ftz = true;
    const drop = BigInt(bitLength(significand) - APPROXIMATE_BITS);
    const rounded = (significand + (1n << (drop - 1n))) >> drop;
    return roundAndPack(float32, environment, sign, exponent + Number(drop), rounded);
}
