/**
 * Comparison (UCOMISS/COMISS, CMPSS; FCOM, FUCOM, FCOMI, FTST) and the SSE minimum and maximum (Intel SDM Vol. 1,
 * 8.3.6 "Comparison and Classification Instructions"; Vol. 2 MINSS, MAXSS).
 */

import { DE, type FloatEnvironment, IE } from './environment';
import { type FloatFormat, Kind, type Operand, readOperand } from './format';

/** How the first operand relates to the second. */
export type Relation = 'less' | 'equal' | 'greater' | 'unordered';

/** Compares without complaint about quiet NaNs (UCOMISS, FUCOM). */
export function compareQuiet<Bits>(
    format: FloatFormat<Bits>,
    a: Bits,
    b: Bits,
    environment: FloatEnvironment,
): Relation {
    return compareOperands(
        readOperand(format, a, environment),
        readOperand(format, b, environment),
        environment,
        false,
    );
}

/** Compares, raising IE for any NaN (COMISS, FCOM). */
export function compareSignalling<Bits>(
    format: FloatFormat<Bits>,
    a: Bits,
    b: Bits,
    environment: FloatEnvironment,
): Relation {
    return compareOperands(readOperand(format, a, environment), readOperand(format, b, environment), environment, true);
}

/** Compares operands that may come from different formats (FCOM m32fp, FICOM). */
export function compareOperands(a: Operand, b: Operand, environment: FloatEnvironment, signalling: boolean): Relation {
    if (a.kind >= Kind.quietNaN || b.kind >= Kind.quietNaN) {
        if (signalling || a.kind >= Kind.signallingNaN || b.kind >= Kind.signallingNaN) {
            environment.raiseBefore(IE);
        }
        return 'unordered';
    }
    if (a.denormal || b.denormal) {
        environment.raiseBefore(DE);
    }
    return order(a, b);
}

/** MINSS/MINSD: the second operand if either is a NaN (which raises IE) or both are zeros. */
export function minimum<Bits>(format: FloatFormat<Bits>, a: Bits, b: Bits, environment: FloatEnvironment): Bits {
    return select(format, a, b, environment, 'less');
}

/** MAXSS/MAXSD: the second operand if either is a NaN (which raises IE) or both are zeros. */
export function maximum<Bits>(format: FloatFormat<Bits>, a: Bits, b: Bits, environment: FloatEnvironment): Bits {
    return select(format, a, b, environment, 'greater');
}

function select<Bits>(
    format: FloatFormat<Bits>,
    a: Bits,
    b: Bits,
    environment: FloatEnvironment,
    wanted: Relation,
): Bits {
    const x = readOperand(format, a, environment);
    const y = readOperand(format, b, environment);
    const first = compareOperands(x, y, environment, true) === wanted;
    const chosen = first ? x : y;
    // Under DAZ it is the zero that is returned, not the denormal it was read from.
    return chosen.kind === Kind.zero ? format.zero(chosen.sign) : first ? a : b;
}

/** Orders two operands that are no NaNs. */
function order(a: Operand, b: Operand): Relation {
    if (a.kind === Kind.zero && b.kind === Kind.zero) {
        return 'equal';
    }
    const signA = a.kind === Kind.zero ? 0 : a.sign ? -1 : 1;
    const signB = b.kind === Kind.zero ? 0 : b.sign ? -1 : 1;
    if (signA !== signB) {
        return signA < signB ? 'less' : 'greater';
    }
    const magnitude = orderMagnitudes(a, b);
    if (magnitude === 0) {
        return 'equal';
    }
    return magnitude * signA < 0 ? 'less' : 'greater';
}

/** Negative, zero or positive as |a| is below, equal to or above |b|, neither being zero. */
function orderMagnitudes(a: Operand, b: Operand): number {
    if (a.kind === Kind.infinity || b.kind === Kind.infinity) {
        return a.kind === b.kind ? 0 : a.kind === Kind.infinity ? 1 : -1;
    }
    const distance = a.exponent - b.exponent;
    // Significands have at most 64 bits: beyond that distance the exponents decide.
    if (distance > 64 || distance < -64) {
        return distance;
    }
    const x = distance > 0 ? a.significand << BigInt(distance) : a.significand;
    const y = distance < 0 ? b.significand << BigInt(-distance) : b.significand;
    return x === y ? 0 : x > y ? 1 : -1;
}
