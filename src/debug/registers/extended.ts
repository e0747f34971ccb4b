/** Double-extended numbers (SDM Vol. 1, 4.2.2) as text, and text as such numbers. */

const SIGN = 0x8000;
const BIAS = 16383;
const ALL_ONES = 0x7fff;
/** Of doubles. */
const LEAST_POWER = -1074;
const INTEGER_BIT = 1n << 63n;

const scratch = new DataView(new ArrayBuffer(8));

/** Decimal digits, as precisely as a double shows them; numbers beyond its range with a power of two. */
export function formatExtended(significand: bigint, signAndExponent: number): string {
    const sign = signAndExponent & SIGN ? '-' : '';
    const exponent = signAndExponent & ALL_ONES;
    if (exponent === ALL_ONES) {
        if ((significand & INTEGER_BIT) === 0n) return 'unsupported';
        return BigInt.asUintN(63, significand) === 0n ? `${sign}Infinity` : 'NaN';
    }
    if (significand === 0n) {
        return `${sign}0`;
    }
    const fraction = Number(significand) / 2 ** 63;
    const power = Math.max(exponent, 1) - BIAS;
    const number = power < LEAST_POWER ? Infinity : fraction * 2 ** power;
    return Number.isFinite(number) ? `${sign}${number}` : `${sign}${fraction} * 2^${power}`;
}

/** The number that a decimal text gives, as 80 bits; undefined if it is none. */
export function parseExtended(text: string): bigint | undefined {
    const number = parseFloating(text);
    if (number === undefined) {
        return undefined;
    }
    scratch.setFloat64(0, number);
    const bits = scratch.getBigUint64(0);
    const sign = bits >> 63n ? BigInt(SIGN) << 64n : 0n;
    const exponent = Number((bits >> 52n) & 0x7ffn);
    const fraction = bits & 0xfffffffffffffn;
    if (exponent === 0x7ff) {
        return sign | (BigInt(ALL_ONES) << 64n) | INTEGER_BIT | (fraction << 11n);
    }
    if (exponent === 0 && fraction === 0n) {
        return sign;
    }
    // A subnormal double is a normal number here: its first bit has to move up.
    let significand = exponent === 0 ? fraction << 12n : INTEGER_BIT | (fraction << 11n);
    let power = exponent === 0 ? -1023 : exponent - 1023;
    while ((significand & INTEGER_BIT) === 0n) {
        significand <<= 1n;
        power--;
    }
    return sign | (BigInt(power + BIAS) << 64n) | significand;
}

/** A decimal number, `inf` or `nan` with an optional sign; undefined for anything else, such as a hexadecimal one. */
export function parseFloating(text: string): number | undefined {
    const match = /^\s*([+-]?)(?:(inf(?:inity)?)|(nan)|((?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?))\s*$/i.exec(text);
    if (match === null) {
        return undefined;
    }
    const magnitude = match[2] !== undefined ? Infinity : match[3] !== undefined ? NaN : Number(match[4]);
    return match[1] === '-' ? -magnitude : magnitude;
}
