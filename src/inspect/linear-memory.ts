/** Linear memory as a look sees it: through the page tables, without side effects. */
import type { InspectionSource } from '../debug/inspection-source';
import { isCanonical, type PageTables, pageTables } from './paging/paging-format';
import { walk } from './paging/walk';

const PAGE = 0x1000;

export class LinearMemory {
    /** Pages by their linear address; where nothing can be read, the reason. */
    private readonly pages = new Map<bigint, Uint8Array | string>();

    constructor(
        private readonly source: InspectionSource,
        private readonly tables: PageTables = pageTables(source.system),
    ) {}

    /** As many of `length` bytes as can be read without a gap, and why not more. */
    read(address: bigint, length: number): { bytes: Uint8Array; problem?: string } {
        const bytes = new Uint8Array(length);
        for (let done = 0; done < length;) {
            const at = this.wrap(address + BigInt(done));
            const inPage = Number(at & 0xfffn);
            const page = this.page(at - BigInt(inPage));
            if (typeof page === 'string') {
                return { bytes: bytes.slice(0, done), problem: `0x${at.toString(16)} cannot be read: ${page}` };
            }
            const count = Math.min(PAGE - inPage, length - done);
            bytes.set(page.subarray(inPage, inPage + count), done);
            done += count;
        }
        return { bytes };
    }

    /** An unsigned little-endian number, or undefined if it cannot be read. */
    number(address: bigint, size: 1 | 2 | 4 | 8): bigint | undefined {
        const { bytes } = this.read(address, size);
        return bytes.length < size ? undefined : littleEndian(bytes, 0, size);
    }

    /** Where a linear address is mapped to; undefined if nowhere. */
    physical(address: bigint): number | undefined {
        const { tables, source } = this;
        const at = this.wrap(address);
        if (tables.mode === 'none') {
            return Number(at);
        }
        return isCanonical(tables, at) ? walk(source, tables, at).mapping?.physical : undefined;
    }

    /** Whether code at a linear address could be executed. */
    isExecutable(address: bigint): boolean {
        const { tables, source } = this;
        const at = this.wrap(address);
        return (
            tables.mode === 'none' ||
            (isCanonical(tables, at) && walk(source, tables, at).mapping?.permissions.executable === true)
        );
    }

    /** Whether user code could be executed there: see `MemoryView.isUserCode`. */
    isUserCode(address: bigint): boolean {
        const { tables, source } = this;
        const at = this.wrap(address);
        const mapping =
            tables.mode === 'none' || !isCanonical(tables, at) ? undefined : walk(source, tables, at).mapping;
        return mapping !== undefined && mapping.permissions.user && !mapping.leaf.noExecute;
    }

    private wrap(address: bigint): bigint {
        return BigInt.asUintN(this.tables.linearBits === 32 ? 32 : 64, address);
    }

    private page(address: bigint): Uint8Array | string {
        let page = this.pages.get(address);
        if (page === undefined) {
            page = this.find(address);
            this.pages.set(address, page);
        }
        return page;
    }

    private find(address: bigint): Uint8Array | string {
        const { tables, source } = this;
        let physical = Number(address);
        if (tables.mode !== 'none') {
            if (!isCanonical(tables, address)) {
                return 'the address is not canonical';
            }
            const { mapping, problem } = walk(source, tables, address);
            if (mapping === undefined) {
                return problem ?? 'not mapped';
            }
            physical = mapping.physical;
        }
        return source.page(physical) ?? `there is no memory at physical 0x${physical.toString(16)}`;
    }
}

export function littleEndian(bytes: Uint8Array, offset: number, size: number): bigint {
    let value = 0n;
    for (let index = size - 1; index >= 0; index--) {
        value = (value << 8n) | BigInt(bytes[offset + index]);
    }
    return value;
}
