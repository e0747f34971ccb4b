/** The ORC tables of a running kernel (arch/x86/kernel/unwind_orc.c), as they lie in its memory. */
import { ORC_ENTRY_SIZE, type OrcLayout, type OrcTables } from '../symbols/orc';

const IP_SIZE = 4;
/** Bits of an entry's last byte that tell its type: 2 until Linux 6.3, 3 since 6.4. */
const OLD_TYPE = 3;
const NEW_TYPE = 7;
/** The type of the most frequent entries, those of ordinary calls. */
const OLD_CALL = 0;
const NEW_CALL = 2;

/** Where the tables begin and end. */
export interface OrcPlaces {
    readonly ips: bigint;
    readonly ipsEnd: bigint;
    readonly entries: bigint;
    readonly entriesEnd: bigint;
}

/**
 * A copy of the tables.
 * @param read all of so many bytes of linear memory, or undefined
 * @returns undefined if they are not there, or cannot be what they should be.
 */
export function readOrcTables(
    read: (address: bigint, length: number) => Uint8Array | undefined,
    places: OrcPlaces,
): OrcTables | undefined {
    const count = Number(places.ipsEnd - places.ips) / IP_SIZE;
    const size = Number(places.entriesEnd - places.entries);
    if (!Number.isInteger(count) || count < 1 || size !== count * ORC_ENTRY_SIZE) {
        return undefined;
    }
    const ips = read(places.ips, count * IP_SIZE);
    const entries = read(places.entries, size);
    if (ips === undefined || entries === undefined) {
        return undefined;
    }
    const tables = sorted({ ips, entries });
    const part = (bytes: Uint8Array, width: number, first: number, many: number): Uint8Array | undefined =>
        first >= 0 && first + many <= count ? bytes.subarray(first * width, (first + many) * width) : undefined;
    return {
        layout: layoutOf(entries),
        count,
        ipTable: () => places.ips,
        readIps: (first, many) => part(tables.ips, IP_SIZE, first, many),
        readEntries: (first, many) => part(tables.entries, ORC_ENTRY_SIZE, first, many),
    };
}

interface Tables {
    readonly ips: Uint8Array;
    readonly entries: Uint8Array;
}

/** By address: kernels before 5.6 bring them into that order only when they boot. */
function sorted(tables: Tables): Tables {
    const { ips, entries } = tables;
    const view = new DataView(ips.buffer, ips.byteOffset, ips.byteLength);
    const count = ips.length / IP_SIZE;
    // An address is relative to its own place in the table.
    const address = (index: number): number => view.getInt32(index * IP_SIZE, true) + index * IP_SIZE;
    let isSorted = true;
    for (let index = 1; index < count && isSorted; index++) isSorted = address(index - 1) <= address(index);
    if (isSorted) {
        return tables;
    }
    const order = Array.from({ length: count }, (_, index) => index).sort((a, b) => address(a) - address(b));
    const result = { ips: new Uint8Array(ips.length), entries: new Uint8Array(entries.length) };
    const out = new DataView(result.ips.buffer);
    order.forEach((from, to) => {
        out.setInt32(to * IP_SIZE, address(from) - to * IP_SIZE, true);
        result.entries.set(entries.subarray(from * ORC_ENTRY_SIZE, (from + 1) * ORC_ENTRY_SIZE), to * ORC_ENTRY_SIZE);
    });
    return result;
}

/** Which of the two layouts makes more entries those of calls. */
function layoutOf(entries: Uint8Array): OrcLayout {
    let old = 0;
    let typed = 0;
    for (let at = ORC_ENTRY_SIZE - 1; at < entries.length; at += ORC_ENTRY_SIZE) {
        if ((entries[at] & OLD_TYPE) === OLD_CALL) old++;
        if ((entries[at] & NEW_TYPE) === NEW_CALL) typed++;
    }
    return typed > old ? 'typed' : 'classic';
}
