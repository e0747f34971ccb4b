/**
 * Conversion between floating-point formats (CVTSS2SD, CVTSD2SS; FLD m32fp/m64fp, FST m32fp/m64fp) and between these
 * and integers (CVTSI2SS, CVTSS2SI, CVTTSS2SI and kin; FILD, FIST, FISTTP).
 */

import { DE, type FloatEnvironment, IE, PE, RoundingMode } from './environment';
import { type FloatFormat, Kind, type Operand, indefinite, integerOperand, readOperand } from './format';
import { bitLength } from './integerMath';
import { propagateNaN } from './nan';
import { roundAndPack, roundMagnitude } from './round';

/**
 * Converts between formats. A load raises DE for a denormal, and delivers it even if DE is unmasked; the store of an f80
 * register raises none, it only rounds (SDM Vol. 2, FLD and FST). A store whose OE or UE is unmasked writes nothing:
 * `environment.suppressed`. Half precision knows neither DAZ nor DE when read and no FTZ when written (SDM Vol. 1,
 * 14.4.1).
 */
export function convert<From, To>(
    from: FloatFormat<From>,
    to: FloatFormat<To>,
    bits: From,
    environment: FloatEnvironment,
): To {
    const half = from.name === 'f16';
    const operand = half ? from.unpack(bits) : readOperand(from, bits, environment);
    if (operand.kind >= Kind.quietNaN) {
        return propagateNaN(to, environment, operand);
    }
    if (operand.kind === Kind.infinity) {
        return to.infinity(operand.sign);
    }
    if (operand.kind === Kind.zero) {
        return to.zero(operand.sign);
    }
    if (operand.denormal && from.name !== 'f80' && !half) {
        if (environment.unit === 'x87') {
            environment.flags |= DE;
        } else if (environment.raiseBefore(DE)) {
            return indefinite(to);
        }
    }
    return roundAndPack(to, environment, operand.sign, operand.exponent, operand.significand);
}

/** How a conversion to an integer rounds and what fits. */
export interface IntegerConversion {
    /** Bits of the destination, 1 to 64. */
    readonly width: number;
    /** Whether the destination is unsigned (VCVTSS2USI); default signed. */
    readonly unsigned?: boolean;
    /** Truncate whatever RC says (CVTTSS2SI, FISTTP). */
    readonly truncate?: boolean;
}

/**
 * Converts to an integer. NaNs, infinities and values that do not fit raise IE and give the integer indefinite
 * (SDM Vol. 1, 4.2.1.2 and Table 11-1): the most negative signed or the largest unsigned number.
 */
export function convertToInteger<Bits>(
    format: FloatFormat<Bits>,
    bits: Bits,
    conversion: IntegerConversion,
    environment: FloatEnvironment,
): bigint {
    const { width, unsigned = false } = conversion;
    const operand = readOperand(format, bits, environment);
    const mode = conversion.truncate ? RoundingMode.towardZero : environment.rounding;
    const rounded = roundOperand(operand, mode);
    if (rounded !== undefined) {
        const limit = 1n << BigInt(unsigned ? width : width - 1);
        const value = operand.sign ? -rounded.magnitude : rounded.magnitude;
        if (value < limit && value >= (unsigned ? 0n : -limit)) {
            environment.roundedUp = rounded.up;
            if (rounded.inexact) {
                environment.raiseAfter(PE);
            }
            return value;
        }
    }
    environment.raiseBefore(IE);
    return unsigned ? (1n << BigInt(width)) - 1n : -(1n << BigInt(width - 1));
}

/** Converts an integer of at most 64 bits; raises PE if the format cannot hold it. */
export function convertFromInteger<Bits>(
    format: FloatFormat<Bits>,
    value: bigint,
    environment: FloatEnvironment,
): Bits {
    if (value === 0n) {
        return format.zero(0);
    }
    const operand = integerOperand(value < 0n ? 1 : 0, value < 0n ? -value : value);
    return roundAndPack(format, environment, operand.sign, 0, operand.significand);
}

/** Rounds a finite operand below 2^66 to an integer magnitude; undefined for everything else. */
function roundOperand(operand: Operand, mode: RoundingMode): ReturnType<typeof roundMagnitude> | undefined {
    if (operand.kind >= Kind.infinity) {
        return undefined;
    }
    const leading = operand.exponent + bitLength(operand.significand);
    if (leading > 66) {
        return undefined;
    }
    return roundToInteger(operand, leading, mode);
}

/**
 * Rounds a finite operand to an integer magnitude.
 * @param leading exponent above that of the leading bit; a value far below one is only a sticky bit.
 */
export function roundToInteger(
    operand: Operand,
    leading: number,
    mode: RoundingMode,
): ReturnType<typeof roundMagnitude> {
    return leading < -1 && operand.kind === Kind.finite
        ? roundMagnitude(1n, 2, operand.sign, mode)
        : roundMagnitude(operand.significand, -operand.exponent, operand.sign, mode);
}
