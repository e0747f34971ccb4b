/** Exact helpers over non-negative `bigint`s. */

const scratch = new DataView(new ArrayBuffer(8));

/** Number of bits up to the leading one; 0 for 0. The value must be below 2^1023. */
export function bitLength(value: bigint): number {
    if (value === 0n) {
        return 0;
    }
    scratch.setFloat64(0, Number(value));
    const exponent = (scratch.getUint16(0) >> 4) - 1023;
    // The conversion rounds, and may have rounded up to the next power of two.
    return value >> BigInt(exponent) === 0n ? exponent : exponent + 1;
}

/** A mask of the low `bits` bits. */
export function lowMask(bits: number): bigint {
    return (1n << BigInt(bits)) - 1n;
}

/** `value × 2^shift`, truncating when `shift` is negative. */
export function shiftBy(value: bigint, shift: number): bigint {
    return shift >= 0 ? value << BigInt(shift) : value >> BigInt(-shift);
}

/** Largest integer whose square does not exceed `value`, which must be below 2^1023. */
export function integerSquareRoot(value: bigint): bigint {
    if (value === 0n) {
        return 0n;
    }
    let root = BigInt(Math.floor(Math.sqrt(Number(value))));
    for (;;) {
        // Newton's step from either side lands at or above the root, and then descends to it.
        const next = (root + value / root) >> 1n;
        const distance = next - root;
        root = next;
        if (distance >= -1n && distance <= 1n) {
            break;
        }
    }
    while (root * root > value) {
        root--;
    }
    while ((root + 1n) * (root + 1n) <= value) {
        root++;
    }
    return root;
}
