/** Addresses that the views offer a menu for. */
import type { Hex } from '../messages/common';

/** A place in the guest's memory. */
export interface AddressTarget {
    readonly space: 'linear' | 'physical';
    readonly address: Hex;
    /** What it is called. */
    readonly symbol?: string;
}

const REFERENCE = /^(phys:)?(0x[0-9a-f]{1,16})$/i;

/** What a DAP memory reference of the adapter's names; undefined for anything else. */
export function readReference(reference: string | undefined, symbol?: string): AddressTarget | undefined {
    const match = reference === undefined ? null : REFERENCE.exec(reference);
    return match === null
        ? undefined
        : { space: match[1] === undefined ? 'linear' : 'physical', address: match[2].toLowerCase(), symbol };
}

/** As expressions and DAP's memory references write it. */
export function formatReference({ space, address }: AddressTarget): string {
    return space === 'physical' ? `phys:${address}` : address;
}

/** `0xffffffff81000000` with all 16 digits, or 12 for a physical address: columns line up. */
export function padAddress(address: Hex, digits = 16): string {
    return address.replace(/^0x/, '').padStart(digits, '0');
}
