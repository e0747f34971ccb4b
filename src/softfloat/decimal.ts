/** Packed decimal (FBLD, FBSTP; Intel SDM Vol. 1, 4.7 "BCD and Packed BCD Integers"). */

import { convertFromInteger, convertToInteger } from './convert';
import { type FloatEnvironment, IE } from './environment';
import { type Extended, float80 } from './format';

/** Eighteen digits of four bits, low digit in bits 3:0; the sign is bit 79 and bits 78:72 are ignored. */
const DIGITS = 18;
const LIMIT = 10n ** BigInt(DIGITS);
const SIGN_BIT = 1n << 79n;
/** The packed BCD indefinite that FBSTP stores when the value does not fit (SDM Vol. 1, 4.7). */
export const DECIMAL_INDEFINITE = 0xffffc000000000000000n;

/** FBLD: converts an 80-bit packed decimal exactly. Digits above 9, which the manual leaves open, count as such. */
export function loadDecimal(packed: bigint, environment: FloatEnvironment): Extended {
    let magnitude = 0n;
    for (let digit = DIGITS - 1; digit >= 0; digit--) {
        magnitude = magnitude * 10n + ((packed >> BigInt(4 * digit)) & 0xfn);
    }
    const sign = packed & SIGN_BIT ? 1 : 0;
    return magnitude === 0n
        ? float80.zero(sign)
        : convertFromInteger(float80, sign ? -magnitude : magnitude, environment);
}

/** FBSTP: rounds to an integer and packs it; NaNs, infinities and numbers of more digits raise IE. */
export function storeDecimal(value: Extended, environment: FloatEnvironment): bigint {
    const flags = environment.flags;
    const integer = convertToInteger(float80, value, { width: 64 }, environment);
    const magnitude = integer < 0n ? -integer : integer;
    if (magnitude >= LIMIT) {
        environment.flags = flags;
        environment.roundedUp = false;
        environment.raiseBefore(IE);
        return DECIMAL_INDEFINITE;
    }
    let packed = value.signExponent & 0x8000 ? SIGN_BIT : 0n;
    let rest = magnitude;
    for (let digit = 0; digit < DIGITS; digit++) {
        packed |= (rest % 10n) << BigInt(4 * digit);
        rest /= 10n;
    }
    return packed;
}
