import { littleEndian } from './aml';

/** Offsets in the header that every table begins with (ACPI 6.5, section 5.2.6). */
const HEADER_SIZE = 36;
const LENGTH_OFFSET = 4;
const CHECKSUM_OFFSET = 9;

const OEM_ID = 'HYPERS';
const OEM_TABLE_ID = 'HYPERSCP';
const CREATOR_ID = 'HYPS';

/** A pointer inside the set: `size` bytes at `offset` hold the offset of a table until the set has an address. */
export interface TablePointer {
    readonly offset: number;
    readonly size: 4 | 8;
}

/** A byte that makes `length` bytes from `start` on add up to 0. */
export interface TableChecksum {
    readonly offset: number;
    readonly start: number;
    readonly length: number;
}

/**
 * ACPI tables one after the other, before anyone knows where they will lie: pointers between them are offsets, and
 * checksums that depend on pointers are open. The set is resolved for a fixed address, or handed to a firmware as a
 * script that does the same.
 */
export class TableSet {
    readonly pointers: TablePointer[] = [];
    readonly checksums: TableChecksum[] = [];
    private bytes = new Uint8Array(0x1000);
    private used = 0;

    get size(): number {
        return this.used;
    }

    /** The set as it is: offsets for pointers, checksums of 0. */
    raw(): Uint8Array {
        return this.bytes.slice(0, this.used);
    }

    /** Adds a table with header and checksum; returns its offset. `pointers` are relative to the table. */
    addTable(signature: string, revision: number, body: Uint8Array, pointers: readonly TablePointer[] = []): number {
        const table = new Uint8Array(HEADER_SIZE + body.length);
        table.set(text(signature, 4));
        table.set(littleEndian(table.length, 4), LENGTH_OFFSET);
        table[8] = revision;
        table.set(text(OEM_ID, 6), 10);
        table.set(text(OEM_TABLE_ID, 8), 16);
        table.set(littleEndian(1, 4), 24);
        table.set(text(CREATOR_ID, 4), 28);
        table.set(littleEndian(1, 4), 32);
        table.set(body, HEADER_SIZE);
        const offset = this.addBytes(table, 16);
        this.pointers.push(...pointers.map(pointer => ({ ...pointer, offset: offset + pointer.offset })));
        this.checksums.push({ offset: offset + CHECKSUM_OFFSET, start: offset, length: table.length });
        return offset;
    }

    /** Adds a structure without the common header. */
    addBytes(content: Uint8Array, alignment: number): number {
        const offset = Math.ceil(this.used / alignment) * alignment;
        const end = offset + content.length;
        if (end > this.bytes.length) {
            const larger = new Uint8Array(Math.max(end, 2 * this.bytes.length));
            larger.set(this.bytes);
            this.bytes = larger;
        }
        this.bytes.set(content, offset);
        this.used = end;
        return offset;
    }

    /** The set for being placed at physical address `base`. */
    resolve(base: number): Uint8Array {
        const bytes = this.raw();
        for (const { offset, size } of this.pointers) {
            const target = bytes.subarray(offset, offset + 4).reduceRight((value, byte) => value * 256 + byte, 0);
            bytes.set(littleEndian(target + base, size), offset);
        }
        for (const checksum of this.checksums) {
            applyChecksum(bytes, checksum);
        }
        return bytes;
    }
}

export function applyChecksum(bytes: Uint8Array, { offset, start, length }: TableChecksum): void {
    bytes[offset] = 0;
    bytes[offset] = -bytes.subarray(start, start + length).reduce((sum, byte) => sum + byte, 0) & 0xff;
}

/** ASCII text, padded with spaces to `length` bytes. */
export function text(value: string, length: number): Uint8Array {
    return new TextEncoder().encode(value.padEnd(length).slice(0, length));
}
