/** Addition and subtraction (ADDSS/ADDSD, SUBSS/SUBSD, FADD, FSUB, FSUBR). */

import { DE, type FloatEnvironment, RoundingMode } from './environment';
import { type FloatFormat, Kind, type Operand, indefinite, readOperand } from './format';
import { invalidOperation, propagateNaN2 } from './nan';
import { arithmeticPrecision, roundAndPack } from './round';

/** `a + b`. */
export function add<Bits>(format: FloatFormat<Bits>, a: Bits, b: Bits, environment: FloatEnvironment): Bits {
    return addOperands(format, readOperand(format, a, environment), readOperand(format, b, environment), environment);
}

/** `a - b`. */
export function subtract<Bits>(format: FloatFormat<Bits>, a: Bits, b: Bits, environment: FloatEnvironment): Bits {
    return subtractOperands(
        format,
        readOperand(format, a, environment),
        readOperand(format, b, environment),
        environment,
    );
}

/** `a + b` of operands that may come from different formats (FADD m32fp, FIADD). */
export function addOperands<Bits>(
    format: FloatFormat<Bits>,
    a: Operand,
    b: Operand,
    environment: FloatEnvironment,
): Bits {
    return sum(format, a, b, b.sign, environment);
}

/** `a - b` of operands that may come from different formats. */
export function subtractOperands<Bits>(
    format: FloatFormat<Bits>,
    a: Operand,
    b: Operand,
    environment: FloatEnvironment,
): Bits {
    return sum(format, a, b, b.sign ^ 1, environment);
}

/** Adds `b` with its sign replaced; a NaN keeps its own sign, which is why the caller cannot replace it. */
function sum<Bits>(
    format: FloatFormat<Bits>,
    a: Operand,
    b: Operand,
    signB: number,
    environment: FloatEnvironment,
): Bits {
    if (a.kind >= Kind.quietNaN || b.kind >= Kind.quietNaN) {
        return propagateNaN2(format, environment, a, b);
    }
    if (a.kind === Kind.infinity && b.kind === Kind.infinity && a.sign !== signB) {
        return invalidOperation(format, environment);
    }
    if ((a.denormal || b.denormal) && environment.raiseBefore(DE)) {
        return indefinite(format);
    }
    if (a.kind === Kind.infinity) {
        return format.infinity(a.sign);
    }
    if (b.kind === Kind.infinity) {
        return format.infinity(signB);
    }
    const exact = addExactly(a.sign, a.exponent, a.significand, signB, b.exponent, b.significand, environment.rounding);
    if (exact.significand === 0n) {
        return format.zero(exact.sign);
    }
    const precision = arithmeticPrecision(format, environment);
    return roundAndPack(format, environment, exact.sign, exact.exponent, exact.significand, precision);
}

/** More bits than any rounding looks at, so that an addend this far below another is only a sticky bit. */
const FAR = 200;

/**
 * Adds two signed magnitudes of at most 128 bits. The result is exact, or has a sticky last bit where the exponents
 * lie far apart. An exact zero has the sign that the rounding mode gives it (SDM Vol. 1, 4.8.3.1).
 */
export function addExactly(
    signA: number,
    exponentA: number,
    significandA: bigint,
    signB: number,
    exponentB: number,
    significandB: bigint,
    rounding: RoundingMode,
): { sign: number; exponent: number; significand: bigint } {
    if (significandA === 0n || significandB === 0n) {
        if (significandA !== 0n) {
            return { sign: signA, exponent: exponentA, significand: significandA };
        }
        if (significandB !== 0n) {
            return { sign: signB, exponent: exponentB, significand: significandB };
        }
        return { sign: signA === signB ? signA : zeroSign(rounding), exponent: 0, significand: 0n };
    }
    let [signHigh, exponentHigh, high] = [signA, exponentA, significandA];
    let [signLow, exponentLow, low] = [signB, exponentB, significandB];
    if (exponentHigh < exponentLow) {
        [signHigh, exponentHigh, high] = [signB, exponentB, significandB];
        [signLow, exponentLow, low] = [signA, exponentA, significandA];
    }
    let distance = exponentHigh - exponentLow;
    if (distance > FAR) {
        distance = FAR;
        exponentLow = exponentHigh - FAR;
        low = 1n;
    }
    high <<= BigInt(distance);
    if (signHigh === signLow) {
        return { sign: signHigh, exponent: exponentLow, significand: high + low };
    }
    const difference = high - low;
    if (difference === 0n) {
        return { sign: zeroSign(rounding), exponent: 0, significand: 0n };
    }
    return difference > 0n
        ? { sign: signHigh, exponent: exponentLow, significand: difference }
        : { sign: signLow, exponent: exponentLow, significand: -difference };
}

function zeroSign(rounding: RoundingMode): number {
    return rounding === RoundingMode.down ? 1 : 0;
}
