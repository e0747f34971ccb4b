/**
 * Which NaN an operation returns (Intel SDM Vol. 1, 4.8.3.5 "Operating on SNaNs and QNaNs", Table 4-7; for SSE also
 * 11.5.2.1). Every function here expects at least one operand of kind `quietNaN` or above.
 */

import { type FloatEnvironment, IE } from './environment';
import { type FloatFormat, INDEFINITE_SIGNIFICAND, Kind, type Operand, QUIET_BIT, indefinite } from './format';

/** Raises IE and returns the default NaN: the masked response to an invalid operation. */
export function invalidOperation<Bits>(format: FloatFormat<Bits>, environment: FloatEnvironment): Bits {
    environment.raiseBefore(IE);
    return indefinite(format);
}

/** Returns the NaN operand made quiet; raises IE if it was signalling or no supported encoding. */
export function propagateNaN<Bits>(format: FloatFormat<Bits>, environment: FloatEnvironment, operand: Operand): Bits {
    if (operand.kind !== Kind.quietNaN) {
        environment.raiseBefore(IE);
    }
    return operand.kind === Kind.unsupported
        ? indefinite(format)
        : format.nan(operand.sign, operand.significand | QUIET_BIT);
}

/** Returns the NaN that an operation on `a` (first source, destination) and `b` delivers. */
export function propagateNaN2<Bits>(
    format: FloatFormat<Bits>,
    environment: FloatEnvironment,
    a: Operand,
    b: Operand,
): Bits {
    if (a.kind >= Kind.signallingNaN || b.kind >= Kind.signallingNaN) {
        environment.raiseBefore(IE);
    }
    if (a.kind === Kind.unsupported || b.kind === Kind.unsupported) {
        return format.nan(1, INDEFINITE_SIGNIFICAND);
    }
    const chosen = environment.unit === 'sse' ? firstNaN(a, b) : largerNaN(a, b);
    return format.nan(chosen.sign, chosen.significand | QUIET_BIT);
}

/** Returns the first NaN among the three sources of a fused multiply-add, in the order a, b, c. */
export function propagateNaN3<Bits>(
    format: FloatFormat<Bits>,
    environment: FloatEnvironment,
    a: Operand,
    b: Operand,
    c: Operand,
): Bits {
    if (a.kind === Kind.signallingNaN || b.kind === Kind.signallingNaN || c.kind === Kind.signallingNaN) {
        environment.raiseBefore(IE);
    }
    const chosen = firstNaN(a, firstNaN(b, c));
    return format.nan(chosen.sign, chosen.significand | QUIET_BIT);
}

function firstNaN(a: Operand, b: Operand): Operand {
    return a.kind >= Kind.quietNaN ? a : b;
}

/** x87's choice: a quiet NaN before a signalling one, then the larger significand, then the positive one. */
function largerNaN(a: Operand, b: Operand): Operand {
    if (b.kind < Kind.quietNaN) {
        return a;
    }
    if (a.kind < Kind.quietNaN) {
        return b;
    }
    if (a.significand !== b.significand) {
        return a.significand > b.significand ? a : b;
    }
    return a.sign === 0 ? a : b;
}
