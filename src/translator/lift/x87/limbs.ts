/**
 * Normal 80-bit numbers in 32-bit limbs, for the arithmetic, comparisons and conversions that nearly all x87 code stays
 * with: rounding to nearest, neither overflow nor underflow. It needs none of softfloat's bigints. Everything else (zeros,
 * denormals, special values, directed rounding) is refused, and softfloat does it.
 */

import { RoundingMode } from '../../../softfloat';

/** A normal number, or the result of an operation. Mutable: the helpers reuse theirs. */
export class Limbs {
    sign: 0 | 1 = 0;
    /** Biased by {@link EXPONENT_BIAS}. */
    exponent = 0;
    /** In a typed array, because in fields V8 would allocate numbers of 2^31 and more anew. */
    private readonly significand = new Uint32Array(2);

    /** Halves of the significand, unsigned. Bit 31 of `high` is set. */
    get high(): number {
        return this.significand[1];
    }

    get low(): number {
        return this.significand[0];
    }

    set(high: number, low: number): void {
        this.significand[1] = high;
        this.significand[0] = low;
    }
}

/** What an operation did besides computing: PE and C1. */
export interface Rounding {
    inexact: boolean;
    up: boolean;
}

/** Of the 80-bit format. */
export const EXPONENT_BIAS = 0x3fff;
export const DOUBLE_BIAS = 0x3ff;
export const SINGLE_BIAS = 0x7f;
const LARGEST_EXPONENT = 0x7ffe;
/** Makes the exponent of an exact zero one to refuse. */
const ZERO_DISTANCE = 0x10000;
const TWO_32 = 0x100000000;

const ROUNDING_CONTROL = 0xc00;
const PRECISION_CONTROL = 0x300;
const SINGLE_PRECISION = 0;
const DOUBLE_PRECISION = 0x200;

/** Whether the control word asks for what this file can do. */
export function roundsToNearest(controlWord: number): boolean {
    return (controlWord & ROUNDING_CONTROL) === 0;
}

export function newRounding(): Rounding {
    return { inexact: false, up: false };
}

/** Fills `limbs` with an 80-bit number. @returns false if it is not a normal one. */
export function setLimbs(limbs: Limbs, signExponent: number, high: number, low: number): boolean {
    limbs.sign = signExponent & 0x8000 ? 1 : 0;
    limbs.exponent = signExponent & 0x7fff;
    limbs.set(high, low);
    return limbs.exponent !== 0 && limbs.exponent !== 0x7fff && (high | 0) < 0;
}

/** Fills `limbs` with a single-precision number. @returns false if it is not a normal one. */
export function setSingle(limbs: Limbs, bits: number): boolean {
    const exponent = (bits >>> 23) & 0xff;
    limbs.sign = bits < 0 ? 1 : 0;
    limbs.exponent = exponent - SINGLE_BIAS + EXPONENT_BIAS;
    limbs.set((bits << 8) | 0x80000000, 0);
    return exponent !== 0 && exponent !== 0xff;
}

/** Fills `limbs` with a double-precision number. @returns false if it is not a normal one. */
export function setDouble(limbs: Limbs, bitsLow: number, bitsHigh: number): boolean {
    const exponent = (bitsHigh >>> 20) & 0x7ff;
    limbs.sign = bitsHigh < 0 ? 1 : 0;
    limbs.exponent = exponent - DOUBLE_BIAS + EXPONENT_BIAS;
    limbs.set((bitsHigh << 11) | (bitsLow >>> 21) | 0x80000000, bitsLow << 11);
    return exponent !== 0 && exponent !== 0x7ff;
}

/** Sign of a − b as −1, 0 or 1. */
export function compareLimbs(a: Limbs, b: Limbs): number {
    const sign = a.sign === 0 ? 1 : -1;
    if (a.sign !== b.sign) {
        return sign;
    }
    const difference = a.exponent - b.exponent || a.high - b.high || a.low - b.low;
    return Math.sign(difference) * sign;
}

/**
 * The result so far: 64 bits of significand in HIGH and LOW and, below them, REST, whose lowest bit is a sticky one. (Typed
 * for the same reason as {@link Limbs}.)
 */
const work = new Uint32Array(3);
const HIGH = 0;
const LOW = 1;
const REST = 2;

/** result = a + b. @returns false if refused. */
export function addLimbs(a: Limbs, b: Limbs, controlWord: number, result: Limbs, rounding: Rounding): boolean {
    return sum(a, b, b.sign, controlWord, result, rounding);
}

/** result = a − b. @returns false if refused. */
export function subtractLimbs(a: Limbs, b: Limbs, controlWord: number, result: Limbs, rounding: Rounding): boolean {
    return sum(a, b, b.sign === 0 ? 1 : 0, controlWord, result, rounding);
}

/** result = a × b. @returns false if refused. */
export function multiplyLimbs(a: Limbs, b: Limbs, controlWord: number, result: Limbs, rounding: Rounding): boolean {
    const topHigh = highProduct(a.high, b.high);
    const topLow = Math.imul(a.high, b.high) >>> 0;
    const crossHigh = highProduct(a.high, b.low);
    const crossLow = Math.imul(a.high, b.low) >>> 0;
    const otherHigh = highProduct(a.low, b.high);
    const otherLow = Math.imul(a.low, b.high) >>> 0;
    const bottomHigh = highProduct(a.low, b.low);
    const bottomLow = Math.imul(a.low, b.low);
    // The four 32-bit columns of the product, from the right; sums stay far below 2^53.
    const third = bottomHigh + crossLow + otherLow;
    const second = topLow + crossHigh + otherHigh + Math.floor(third / TWO_32);
    work[REST] = third | (bottomLow !== 0 ? 1 : 0);
    work[LOW] = second;
    work[HIGH] = topHigh + Math.floor(second / TWO_32);
    let exponent = a.exponent + b.exponent - EXPONENT_BIAS + 1;
    if (work[HIGH] < 0x80000000) {
        shiftLeft(1);
        exponent--;
    }
    return finish(a.sign === b.sign ? 0 : 1, exponent, controlWord, result, rounding);
}

/** Adds b with its sign replaced. */
function sum(a: Limbs, b: Limbs, signOfB: 0 | 1, controlWord: number, result: Limbs, rounding: Rounding): boolean {
    let larger = a;
    let smaller = b;
    let sign = a.sign;
    const same = a.sign === signOfB;
    if (
        b.exponent > a.exponent ||
        (b.exponent === a.exponent && (b.high > a.high || (b.high === a.high && b.low > a.low)))
    ) {
        larger = b;
        smaller = a;
        sign = signOfB;
    }
    work[HIGH] = smaller.high;
    work[LOW] = smaller.low;
    work[REST] = 0;
    shiftRight(larger.exponent - smaller.exponent);
    let { exponent } = larger;
    if (same) {
        const low = larger.low + work[LOW];
        const high = larger.high + work[HIGH] + (low >= TWO_32 ? 1 : 0);
        work[LOW] = low;
        work[HIGH] = high;
        if (high >= TWO_32) {
            shiftRight(1);
            work[HIGH] |= 0x80000000;
            exponent++;
        }
        return finish(sign, exponent, controlWord, result, rounding);
    }
    const low = larger.low - work[LOW] - (work[REST] !== 0 ? 1 : 0);
    work[HIGH] = larger.high - work[HIGH] - (low < 0 ? 1 : 0);
    work[LOW] = low;
    work[REST] = -work[REST];
    return finish(sign, exponent - normalize(), controlWord, result, rounding);
}

/** Moves the leading one to the top. @returns by how many bits: more than any exponent if there is none. */
function normalize(): number {
    let distance = 0;
    while (work[HIGH] === 0 && distance < 96) {
        work[HIGH] = work[LOW];
        work[LOW] = work[REST];
        work[REST] = 0;
        distance += 32;
    }
    const zeros = work[HIGH] === 0 ? ZERO_DISTANCE : Math.clz32(work[HIGH]);
    if (zeros > 0 && zeros < 32) {
        shiftLeft(zeros);
    }
    return distance + zeros;
}

/** @param bits 1 to 31 */
function shiftLeft(bits: number): void {
    work[HIGH] = (work[HIGH] << bits) | (work[LOW] >>> (32 - bits));
    work[LOW] = (work[LOW] << bits) | (work[REST] >>> (32 - bits));
    work[REST] <<= bits;
}

/** Shifts right by any distance; bits that leave REST stick. */
function shiftRight(distance: number): void {
    if (distance >= 96) {
        work[REST] = 1;
        work[LOW] = 0;
        work[HIGH] = 0;
        return;
    }
    for (; distance >= 32; distance -= 32) {
        work[REST] = work[LOW] | (work[REST] !== 0 ? 1 : 0);
        work[LOW] = work[HIGH];
        work[HIGH] = 0;
    }
    if (distance > 0) {
        const lost = work[REST] << (32 - distance);
        work[REST] = (work[LOW] << (32 - distance)) | (work[REST] >>> distance) | (lost !== 0 ? 1 : 0);
        work[LOW] = (work[HIGH] << (32 - distance)) | (work[LOW] >>> distance);
        work[HIGH] >>>= distance;
    }
}

/** Upper half of the 64-bit product of two unsigned numbers. */
function highProduct(a: number, b: number): number {
    const aHigh = a >>> 16;
    const aLow = a & 0xffff;
    const bHigh = b >>> 16;
    const bLow = b & 0xffff;
    // None of the sums reaches 2^32.
    const middle = (Math.imul(aHigh, bLow) + (Math.imul(aLow, bLow) >>> 16)) >>> 0;
    const other = (Math.imul(aLow, bHigh) + (middle & 0xffff)) >>> 0;
    return (Math.imul(aHigh, bHigh) + (middle >>> 16) + (other >>> 16)) >>> 0;
}

/** Rounds to what the precision control says. @returns false if the result is not a normal number. */
function finish(sign: 0 | 1, exponent: number, controlWord: number, result: Limbs, rounding: Rounding): boolean {
    result.sign = sign;
    result.exponent = exponent;
    const precision = controlWord & PRECISION_CONTROL;
    round(precision === SINGLE_PRECISION ? 24 : precision === DOUBLE_PRECISION ? 53 : 64, result, rounding);
    return result.exponent > 0 && result.exponent <= LARGEST_EXPONENT;
}

/** result = a rounded to fewer bits; its exponent stays unbounded. */
export function roundLimbs(a: Limbs, precision: 24 | 53, result: Limbs, rounding: Rounding): void {
    work[HIGH] = a.high;
    work[LOW] = a.low;
    work[REST] = 0;
    result.sign = a.sign;
    result.exponent = a.exponent;
    round(precision, result, rounding);
}

/** Rounds the significand to nearest, ties to even, and completes `result`, which has sign and exponent already. */
function round(precision: 24 | 53 | 64, result: Limbs, rounding: Rounding): void {
    let high = work[HIGH];
    let low = work[LOW];
    const rest = work[REST];
    let up: boolean;
    if (precision === 64) {
        rounding.inexact = rest !== 0;
        up = rest > 0x80000000 || (rest === 0x80000000 && (low & 1) !== 0);
        low += up ? 1 : 0;
    } else if (precision === 53) {
        const dropped = low & 0x7ff;
        rounding.inexact = (dropped | rest) !== 0;
        up = dropped > 0x400 || (dropped === 0x400 && (rest !== 0 || (low & 0x800) !== 0));
        low = ((low & ~0x7ff) >>> 0) + (up ? 0x800 : 0);
    } else {
        const dropped = high & 0xff;
        const below = low | rest;
        rounding.inexact = (dropped | below) !== 0;
        up = dropped > 0x80 || (dropped === 0x80 && (below !== 0 || (high & 0x100) !== 0));
        high = ((high & ~0xff) >>> 0) + (up ? 0x100 : 0);
        low = 0;
    }
    rounding.up = up;
    if (low >= TWO_32) {
        low = 0;
        high++;
    }
    if (high >= TWO_32) {
        high = 0x80000000;
        result.exponent++;
    }
    result.set(high, low);
}

/**
 * The magnitude of `a` as an integer. @param mode as the control word's RC spells it.
 * @returns undefined if refused: below 1, or 2^31 and more.
 */
export function integerMagnitude(a: Limbs, mode: number, rounding: Rounding): number | undefined {
    const shift = a.exponent - EXPONENT_BIAS;
    if (shift < 0 || shift > 30) {
        return undefined;
    }
    const integer = a.high >>> (31 - shift);
    const fraction = (a.high << (shift + 1)) >>> 0;
    rounding.inexact = (fraction | a.low) !== 0;
    rounding.up =
        mode === RoundingMode.nearestEven
            ? fraction > 0x80000000 || (fraction === 0x80000000 && (a.low !== 0 || (integer & 1) !== 0))
            : rounding.inexact && mode === (a.sign ? RoundingMode.down : RoundingMode.up);
    return rounding.up ? integer + 1 : integer;
}
