/** Fused multiply-add with one rounding (VFMADDxxx, VFMSUBxxx, VFNMADDxxx, VFNMSUBxxx; Intel SDM Vol. 1, 14.5). */

import { addExactly } from './add';
import { DE, type FloatEnvironment } from './environment';
import { type FloatFormat, Kind, indefinite, readOperand } from './format';
import { invalidOperation, propagateNaN3 } from './nan';
import { roundAndPack } from './round';

/** Which signs the variants of the instruction flip before adding. */
export interface FusedSigns {
    readonly negateProduct?: boolean;
    readonly negateAddend?: boolean;
}

/**
 * `a × b + c`. The NaN returned is the first of a, b, c: pass the operands of the 132, 213 and 231 forms in the
 * order in which the mnemonic numbers them, that is multiplicands first.
 */
export function fusedMultiplyAdd<Bits>(
    format: FloatFormat<Bits>,
    a: Bits,
    b: Bits,
    c: Bits,
    environment: FloatEnvironment,
    signs: FusedSigns = {},
): Bits {
    const x = readOperand(format, a, environment);
    const y = readOperand(format, b, environment);
    const z = readOperand(format, c, environment);
    if (x.kind >= Kind.quietNaN || y.kind >= Kind.quietNaN || z.kind >= Kind.quietNaN) {
        return propagateNaN3(format, environment, x, y, z);
    }
    const productSign = x.sign ^ y.sign ^ (signs.negateProduct ? 1 : 0);
    const addendSign = z.sign ^ (signs.negateAddend ? 1 : 0);
    const infiniteProduct = x.kind === Kind.infinity || y.kind === Kind.infinity;
    const zeroProduct = x.kind === Kind.zero || y.kind === Kind.zero;
    if (infiniteProduct && (zeroProduct || (z.kind === Kind.infinity && productSign !== addendSign))) {
        return invalidOperation(format, environment);
    }
    if ((x.denormal || y.denormal || z.denormal) && environment.raiseBefore(DE)) {
        return indefinite(format);
    }
    if (infiniteProduct) {
        return format.infinity(productSign);
    }
    if (z.kind === Kind.infinity) {
        return format.infinity(addendSign);
    }
    const exact = addExactly(
        productSign,
        x.exponent + y.exponent,
        x.significand * y.significand,
        addendSign,
        z.exponent,
        z.significand,
        environment.rounding,
    );
    if (exact.significand === 0n) {
        return format.zero(exact.sign);
    }
    return roundAndPack(format, environment, exact.sign, exact.exponent, exact.significand);
}
