/** The string comparisons of SSE4.2, step by step as SDM Vol. 2, 4.1.2–4.1.6 describes them. */
import { Flag } from '../../../machine/state';

/** Where the results go, relative to the operands' address. */
export const STRING_RESULT = { mask: 32, index: 48 } as const;

const enum Aggregation {
    EqualAny,
    Ranges,
    EqualEach,
    EqualOrdered,
}

/** Fields of the immediate. */
const enum Control {
    Words = 1,
    Signed = 2,
    /** Negate the aggregated bits; with {@link Masked} only those within the second string. */
    Negate = 0x10,
    Masked = 0x20,
    /** Index: the most significant set bit rather than the least. Mask: whole elements rather than bits. */
    Most = 0x40,
}

/** Position of the immediate's {@link Aggregation}. */
const AGGREGATION_SHIFT = 2;

/** Scratch copies of the elements; the helper runs to its end before it is called again. */
const first = new Int32Array(16);
const second = new Int32Array(16);

/**
 * @param bytes the shared memory.
 * @param at address of the first string, the second follows at +16.
 * @param lengths in elements, or negative to end each string at its first zero element.
 * @returns CF, ZF, SF and OF in their RFLAGS positions.
 */
export function compareStrings(
    bytes: Uint8Array,
    at: number,
    control: number,
    firstLength: number,
    secondLength: number,
): number {
    const count = control & Control.Words ? 8 : 16;
    load(bytes, at, control, count, first);
    load(bytes, at + 16, control, count, second);
    const lengthA = firstLength < 0 ? implicitLength(first, count) : Math.min(firstLength, count);
    const lengthB = secondLength < 0 ? implicitLength(second, count) : Math.min(secondLength, count);

    let result = aggregate((control >> AGGREGATION_SHIFT) & 3, count, lengthA, lengthB);
    const all = (1 << count) - 1;
    if (control & Control.Negate) {
        result ^= control & Control.Masked ? (1 << lengthB) - 1 : all;
    }
    writeResults(bytes, at, control, count, result);
    return (
        (result !== 0 ? Flag.CF : 0) |
        (lengthB < count ? Flag.ZF : 0) |
        (lengthA < count ? Flag.SF : 0) |
        (result & 1 ? Flag.OF : 0)
    );
}

function load(bytes: Uint8Array, at: number, control: number, count: number, elements: Int32Array): void {
    const words = (control & Control.Words) !== 0;
    const unusedBits = words ? 16 : 24;
    const signed = (control & Control.Signed) !== 0;
    for (let i = 0; i < count; i++) {
        const value = words ? bytes[at + 2 * i] | (bytes[at + 2 * i + 1] << 8) : bytes[at + i];
        elements[i] = signed ? (value << unusedBits) >> unusedBits : value;
    }
}

function implicitLength(elements: Int32Array, count: number): number {
    for (let i = 0; i < count; i++) {
        if (elements[i] === 0) {
            return i;
        }
    }
    return count;
}

/** IntRes1: a bit for each element of the second string. Elements beyond the lengths compare as Table 4-4 overrides. */
function aggregate(aggregation: Aggregation, count: number, lengthA: number, lengthB: number): number {
    let result = 0;
    for (let j = 0; j < count; j++) {
        if (elementMatches(aggregation, j, count, lengthA, lengthB)) {
            result |= 1 << j;
        }
    }
    return result;
}

function elementMatches(aggregation: Aggregation, j: number, count: number, lengthA: number, lengthB: number): boolean {
    switch (aggregation) {
        case Aggregation.EqualAny:
            for (let i = 0; i < lengthA && j < lengthB; i++) {
                if (first[i] === second[j]) {
                    return true;
                }
            }
            return false;
        case Aggregation.Ranges:
            for (let i = 0; i + 1 < lengthA && j < lengthB; i += 2) {
                if (second[j] >= first[i] && second[j] <= first[i + 1]) {
                    return true;
                }
            }
            return false;
        case Aggregation.EqualEach:
            return j < lengthA && j < lengthB ? first[j] === second[j] : j >= lengthA && j >= lengthB;
        case Aggregation.EqualOrdered:
            // The first string begins at j, as far as the second one reaches within the register.
            for (let i = 0; i < lengthA && i + j < count; i++) {
                if (i + j >= lengthB || first[i] !== second[i + j]) {
                    return false;
                }
            }
            return true;
    }
}

function writeResults(bytes: Uint8Array, at: number, control: number, count: number, result: number): void {
    let index = count;
    if (result !== 0) {
        index = control & Control.Most ? 31 - Math.clz32(result) : 31 - Math.clz32(result & -result);
    }
    bytes[at + STRING_RESULT.index] = index;
    bytes.fill(0, at + STRING_RESULT.index + 1, at + STRING_RESULT.index + 4);
    const mask = at + STRING_RESULT.mask;
    if ((control & Control.Most) === 0) {
        bytes.fill(0, mask, mask + 16);
        bytes[mask] = result;
        bytes[mask + 1] = result >> 8;
        return;
    }
    const size = 16 / count;
    for (let i = 0; i < count; i++) {
        bytes.fill((result >> i) & 1 ? 0xff : 0, mask + i * size, mask + (i + 1) * size);
    }
}
