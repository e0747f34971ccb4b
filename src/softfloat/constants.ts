/** The constants that x87 loads (FLD1, FLDZ, FLDPI, FLDL2E, FLDLG2, FLDLN2, FLDL2T; Intel SDM Vol. 1, 8.3.4). */

import { type FloatEnvironment } from './environment';
import { EXTENDED_ONE } from './extended';
import { type Extended, float80 } from './format';
import { FIXED_LN10, FIXED_LN2, FIXED_LOG2_E, FIXED_ONE, FIXED_PI, FRACTION_BITS } from './fixedPoint';
import { bitLength } from './integerMath';
import { roundMagnitude } from './round';

const VALUES = {
    pi: FIXED_PI,
    log2e: FIXED_LOG2_E,
    log10of2: (FIXED_LN2 * FIXED_ONE) / FIXED_LN10,
    ln2: FIXED_LN2,
    log2of10: (FIXED_LN10 * FIXED_ONE) / FIXED_LN2,
};

/** Names of the constants: FLD1, FLDZ, FLDPI, FLDL2E, FLDLG2, FLDLN2, FLDL2T. */
export type ConstantName = 'one' | 'zero' | keyof typeof VALUES;

/** The constant rounded as RC says. Raises nothing, PE included. */
export function loadConstant(name: ConstantName, environment: FloatEnvironment): Extended {
    if (name === 'one') {
        return EXTENDED_ONE;
    }
    if (name === 'zero') {
        return float80.zero(0);
    }
    const value = VALUES[name];
    const length = bitLength(value);
    const { magnitude } = roundMagnitude(value, length - 64, 0, environment.rounding);
    return float80.pack(0, length - 1 - FRACTION_BITS, magnitude);
}
