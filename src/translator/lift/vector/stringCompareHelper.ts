/** The string comparisons of SSE4.2, step by step as SDM Vol. 2, 4.1.2–4.1.6 describes them. */
import { Flag } from '../../../machine/state';

const enum Aggregation {
    EqualAny,
    Ranges,
    EqualEach,
    EqualOrdered,
}

/** Fields of the immediate. */
export const enum StringControl {
    Words = 1,
    Signed = 2,
    AggregationMask = 0x0c,
    /** Negate the aggregated bits; with {@link Masked} only those within the second string. */
    Negate = 0x10,
    Masked = 0x20,
    /** Index: the most significant set bit rather than the least. Mask: whole elements rather than bits. */
    Most = 0x40,
}

const AGGREGATION_SHIFT = 2;
/** Where the bits for the elements of the second string (IntRes2) stand in the returned word, above the flags. */
export const STRING_RESULT_SHIFT = 16;

/** Scratch copies of the elements; the helper runs to its end before it is called again. */
const first = new Int32Array(16);
const second = new Int32Array(16);

/**
 * @param bytes the shared memory.
 * @param at address of the first string, the second follows at +16.
 * @param lengths in elements, or negative to end each string at its first zero element.
 * @returns CF, ZF, SF and OF in their RFLAGS positions, and IntRes2 from bit {@link STRING_RESULT_SHIFT} on.
 */
export function compareStrings(
    bytes: Uint8Array,
    at: number,
    control: number,
    firstLength: number,
    secondLength: number,
): number {
    const count = control & StringControl.Words ? 8 : 16;
    load(bytes, at, control, count, first);
    load(bytes, at + 16, control, count, second);
    const lengthA = firstLength < 0 ? implicitLength(first, count) : Math.min(firstLength, count);
    const lengthB = secondLength < 0 ? implicitLength(second, count) : Math.min(secondLength, count);

    let result = aggregate(control, count, lengthA, lengthB);
    const all = (1 << count) - 1;
    if (control & StringControl.Negate) {
        result ^= control & StringControl.Masked ? (1 << lengthB) - 1 : all;
    }
    return (
        (result << STRING_RESULT_SHIFT) |
        (result !== 0 ? Flag.CF : 0) |
        (lengthB < count ? Flag.ZF : 0) |
        (lengthA < count ? Flag.SF : 0) |
        (result & 1 ? Flag.OF : 0)
    );
}

function load(bytes: Uint8Array, at: number, control: number, count: number, elements: Int32Array): void {
    const words = (control & StringControl.Words) !== 0;
    const unusedBits = (control & StringControl.Signed) === 0 ? 0 : words ? 16 : 24;
    for (let i = 0; i < count; i++) {
        const value = words ? bytes[at + 2 * i] | (bytes[at + 2 * i + 1] << 8) : bytes[at + i];
        elements[i] = (value << unusedBits) >> unusedBits;
    }
}

function implicitLength(elements: Int32Array, count: number): number {
    let length = 0;
    while (length < count && elements[length] !== 0) {
        length++;
    }
    return length;
}

/** IntRes1: a bit for each element of the second string. Elements beyond the lengths compare as Table 4-4 overrides. */
function aggregate(control: number, count: number, lengthA: number, lengthB: number): number {
    switch ((control & StringControl.AggregationMask) >> AGGREGATION_SHIFT) {
        case Aggregation.EqualAny:
            return equalAny(lengthA, lengthB);
        case Aggregation.Ranges:
            return ranges(lengthA, lengthB);
        case Aggregation.EqualEach:
            return equalEach(count, lengthA, lengthB);
        default:
            return equalOrdered(count, lengthA, lengthB);
    }
}

function equalAny(lengthA: number, lengthB: number): number {
    let result = 0;
    for (let j = 0; j < lengthB; j++) {
        for (let i = 0; i < lengthA; i++) {
            if (first[i] === second[j]) {
                result |= 1 << j;
                break;
            }
        }
    }
    return result;
}

/** The first string holds pairs of limits; an incomplete pair matches nothing. */
function ranges(lengthA: number, lengthB: number): number {
    let result = 0;
    for (let j = 0; j < lengthB; j++) {
        for (let i = 0; i + 1 < lengthA; i += 2) {
            if (second[j] >= first[i] && second[j] <= first[i + 1]) {
                result |= 1 << j;
                break;
            }
        }
    }
    return result;
}

/** Elements beyond both strings are equal. */
function equalEach(count: number, lengthA: number, lengthB: number): number {
    const longer = Math.max(lengthA, lengthB);
    const shorter = Math.min(lengthA, lengthB);
    let result = ((1 << count) - 1) & ~((1 << longer) - 1);
    for (let j = 0; j < shorter; j++) {
        result |= first[j] === second[j] ? 1 << j : 0;
    }
    return result;
}

/** Where the first string begins in the second, as far as the register tells. */
function equalOrdered(count: number, lengthA: number, lengthB: number): number {
    let result = 0;
    for (let j = 0; j < count; j++) {
        const compared = Math.min(lengthA, count - j);
        let i = 0;
        while (i < compared && i + j < lengthB && first[i] === second[i + j]) {
            i++;
        }
        result |= i === compared ? 1 << j : 0;
    }
    return result;
}
