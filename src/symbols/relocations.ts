/**
 * Relocation of debugging sections in files that were not linked (kernel modules, object files). Those of a linked
 * kernel that still carries `.rela.debug_*` (--emit-relocs) have been applied already.
 */
import { Cursor } from './cursor';
import { SymbolFileError } from './errors';

const EM_386 = 3;
const EM_X86_64 = 62;

/** Bytes that a relocation writes, by type (psABI, "Relocation Types"): only those that refer to no place. */
const ABSOLUTE: Readonly<Record<number, Readonly<Record<number, 4 | 8>>>> = {
    [EM_X86_64]: { 1: 8, 10: 4, 11: 4, 17: 8, 21: 4 },
    [EM_386]: { 1: 4, 32: 4 },
};
/** Place-relative ones: `.eh_frame` has them. */
const RELATIVE: Readonly<Record<number, Readonly<Record<number, 4 | 8>>>> = {
    [EM_X86_64]: { 2: 4, 24: 8 },
    [EM_386]: { 2: 4 },
};
const NONE = 0;

export interface RelocationJob {
    /** For messages. */
    readonly what: string;
    readonly is64: boolean;
    readonly machine: number;
    /** RELA, not REL. */
    readonly explicitAddend: boolean;
    /** Changed in place, and returned. */
    readonly target: Uint8Array;
    /** Where it is loaded: place-relative values count from there. */
    readonly targetAddress: number;
    readonly relocations: Uint8Array;
    readonly symbols: Uint8Array;
    sectionAddress(index: number): number;
}

/** @throws SymbolFileError for entries that cannot be */
export function applyRelocations(job: RelocationJob): Uint8Array {
    const { is64, target, machine, explicitAddend } = job;
    const absolute = ABSOLUTE[machine] ?? {};
    const relative = RELATIVE[machine] ?? {};
    const entrySize = (is64 ? 16 : 8) + (explicitAddend ? (is64 ? 8 : 4) : 0);
    const cursor = new Cursor(job.relocations, job.what);
    const view = new DataView(target.buffer, target.byteOffset, target.byteLength);
    const symbolAddress = symbolReader(job);
    while (cursor.left >= entrySize) {
        const offset = is64 ? cursor.offset64() : cursor.u32();
        let type = cursor.u32();
        let symbol = type >>> 8;
        if (is64) {
            symbol = cursor.u32();
        } else {
            type &= 0xff;
        }
        const explicit = explicitAddend ? (is64 ? cursor.address(8) : cursor.u32() | 0) : undefined;
        if (type === NONE) continue;
        const size = absolute[type] ?? relative[type];
        if (size === undefined) {
            throw new SymbolFileError(`${job.what}: relocation type ${type} is not known in debugging sections`);
        }
        if (offset + size > target.length) {
            throw new SymbolFileError(`${job.what}: corrupt: a relocation at 0x${offset.toString(16)}, past the end`);
        }
        const addend = explicit ?? (size === 8 ? Number(view.getBigInt64(offset, true)) : view.getInt32(offset, true));
        const place = absolute[type] === undefined ? job.targetAddress + offset : 0;
        const value = symbolAddress(symbol) + addend - place;
        view.setUint32(offset, value % 0x100000000, true);
        if (size === 8) {
            view.setUint32(offset + 4, Math.floor(value / 0x100000000), true);
        }
    }
    return target;
}

function symbolReader({ is64, symbols, what, sectionAddress }: RelocationJob): (index: number) => number {
    const entrySize = is64 ? 24 : 16;
    return index => {
        const cursor = new Cursor(symbols, what, Math.min(symbols.length, index * entrySize));
        if (is64) {
            cursor.skip(6);
            const section = cursor.u16();
            return cursor.address(8) + baseOf(section, sectionAddress);
        }
        cursor.skip(4);
        const value = cursor.u32();
        cursor.skip(6);
        return value + baseOf(cursor.u16(), sectionAddress);
    };
}

/** SHN_UNDEF and the reserved indices have no section. */
function baseOf(section: number, sectionAddress: (index: number) => number): number {
    return section === 0 || section >= 0xff00 ? 0 : sectionAddress(section);
}
