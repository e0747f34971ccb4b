/** What the transcendental x87 instructions share (Intel SDM Vol. 1, 8.3.7, 8.3.9, 8.3.10). */

import { type FloatEnvironment } from './environment';
import { type Extended, float80 } from './format';
import { type Magnitude } from './fixedPoint';
import { roundAndPack } from './round';

/** Rounds an irrational result to 64 bits; the bits that were not computed make it inexact. */
export function roundIrrational(environment: FloatEnvironment, sign: number, value: Magnitude): Extended {
    return roundAndPack(float80, environment, sign, value.exponent - 1, (value.significand << 1n) | 1n);
}
