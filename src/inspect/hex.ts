/** Numbers as messages carry them. */
import type { Hex } from '../messages/common';

export function hex(value: bigint | number): Hex {
    return `0x${value.toString(16)}`;
}

/** Bytes in memory order: `48 8b 05`. */
export function hexBytes(bytes: Uint8Array, separator = ' '): string {
    return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join(separator);
}

/** The names of the bits that are set, in the order given. */
export function bitNames(value: number | bigint, names: ReadonlyArray<readonly [name: string, bit: number]>): string {
    const bits = BigInt(value);
    return names
        .filter(([, bit]) => (bits >> BigInt(bit)) & 1n)
        .map(([name]) => name)
        .join(' ');
}
