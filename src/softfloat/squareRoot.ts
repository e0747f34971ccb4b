/** Square root (SQRTSS/SQRTSD, FSQRT). */

import { DE, type FloatEnvironment } from './environment';
import { type FloatFormat, Kind, indefinite, readOperand } from './format';
import { bitLength, integerSquareRoot, shiftBy } from './integerMath';
import { invalidOperation, propagateNaN } from './nan';
import { arithmeticPrecision, roundAndPack } from './round';

/** Radicand bits: twice the widest precision and its guard bit. */
const RADICAND_BITS = 132;

/** `√a`; `√-0` is `-0`. */
export function squareRoot<Bits>(format: FloatFormat<Bits>, a: Bits, environment: FloatEnvironment): Bits {
    const operand = readOperand(format, a, environment);
    if (operand.kind >= Kind.quietNaN) {
        return propagateNaN(format, environment, operand);
    }
    if (operand.kind === Kind.zero) {
        return format.zero(operand.sign);
    }
    if (operand.sign) {
        return invalidOperation(format, environment);
    }
    if (operand.kind === Kind.infinity) {
        return format.infinity(0);
    }
    if (operand.denormal && environment.raiseBefore(DE)) {
        return indefinite(format);
    }
    let shift = RADICAND_BITS - bitLength(operand.significand);
    if ((operand.exponent - shift) % 2 !== 0) {
        shift++;
    }
    const radicand = shiftBy(operand.significand, shift);
    const root = integerSquareRoot(radicand);
    const sticky = root * root === radicand ? 0n : 1n;
    const exponent = (operand.exponent - shift) / 2 - 1;
    const precision = arithmeticPrecision(format, environment);
    return roundAndPack(format, environment, 0, exponent, (root << 1n) | sticky, precision);
}
