import { StateOffset } from '../state';
import type { Cpu } from './cpu';
import { Cr0, Cr4, Efer, type CpuState } from './cpu-state';
import {
    Entry,
    ENTRY_NO_EXECUTE_HI,
    levelIndex,
    RESERVED_1G,
    RESERVED_2M,
    RESERVED_4M,
    RESERVED_ADDRESS_HI,
    RESERVED_PAE_HI,
} from './paging';
import { PHYSICAL_ADDRESS_HIGH_MASK, type PhysicalPort } from './physical';

export type PagingMode = 'none' | '32-bit' | 'pae' | '4-level' | '5-level';

/** The paging mode that CR0, CR4 and EFER select (SDM Vol. 3, 4.1.1). */
export function pagingMode(state: CpuState): PagingMode {
    if ((state.cr0 & Cr0.PG) === 0) return 'none';
    if ((state.cr4 & Cr4.PAE) === 0) return '32-bit';
    if ((state.efer & Efer.LMA) === 0) return 'pae';
    return state.cr4 & Cr4.LA57 ? '5-level' : '4-level';
}

export type PagingStructure = 'pml5e' | 'pml4e' | 'pdpte' | 'pde' | 'pte';

/** One step of a page walk. */
export interface PageWalkLevel {
    readonly structure: PagingStructure;
    /** Index of the entry in its table. */
    readonly index: number;
    /** Physical address of the entry; undefined for a PDPTE register of PAE paging. */
    readonly address: number | undefined;
    readonly entry: bigint;
    /** Bits that must be 0 and are not. */
    readonly reserved: bigint;
}

export interface PageWalk {
    readonly mode: PagingMode;
    readonly levels: readonly PageWalkLevel[];
    /** Where the address leads, if every level is present and well-formed; the rights may still forbid the access. */
    readonly mapping: PageMapping | undefined;
}

export interface PageMapping {
    readonly physical: number;
    /** Bytes: 4 KiB, 2 MiB, 4 MiB or 1 GiB. */
    readonly pageSize: number;
    readonly writable: boolean;
    readonly user: boolean;
    readonly executable: boolean;
    readonly global: boolean;
    readonly accessed: boolean;
    readonly dirty: boolean;
}

const STRUCTURES: readonly PagingStructure[] = ['pte', 'pte', 'pde', 'pdpte', 'pml4e', 'pml5e'];

/**
 * Walks the page tables for the debugger: the same path as `Mmu.translate`, every level reported, nothing changed and
 * no access permission asked. Device registers are not read: a table outside RAM reads as ones.
 */
export function walkPages(state: CpuState, port: PhysicalPort, lo: number, hi: number): PageWalk {
    const mode = pagingMode(state);
    switch (mode) {
        case 'none':
            return { mode, levels: [], mapping: unpaged(lo) };
        case '32-bit':
            return walk32(state, port, lo);
        case 'pae':
            return walkPae(state, port, lo, hi);
        default: {
            const table = (state.cr3Hi & PHYSICAL_ADDRESS_HIGH_MASK) * 0x100000000 + ((state.cr3Lo & 0xfffff000) >>> 0);
            return walkWide(state, port, lo, hi, mode, [], table, mode === '5-level' ? 5 : 4, RESERVED_ADDRESS_HI);
        }
    }
}

/** Where a linear address leads, whatever the rights; undefined where it is not canonical or nothing is mapped. */
export function mappingAt(cpu: Cpu, linear: bigint): PageMapping | undefined {
    const [lo, hi] = [Number(linear & 0xffffffffn), Number((linear >> 32n) & 0xffffffffn)];
    return cpu.memory.isCanonical(lo, hi) ? walkPages(cpu, cpu.port, lo, hi).mapping : undefined;
}

function unpaged(lo: number): PageMapping {
    return {
        physical: lo,
        pageSize: 0x1000,
        writable: true,
        user: true,
        executable: true,
        global: false,
        accessed: true,
        dirty: true,
    };
}

function readEntry(port: PhysicalPort, address: number): number {
    const page = address - (address & 0xfff);
    return port.physical.ramAddress(page) < 0 ? 0xffffffff : port.read(address, 4);
}

function compose(lo: number, hi: number): bigint {
    return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
}

function walkWide(
    state: CpuState,
    port: PhysicalPort,
    lo: number,
    hi: number,
    mode: PagingMode,
    levels: PageWalkLevel[],
    table: number,
    top: number,
    reservedHi: number,
): PageWalk {
    const noNx = (state.efer & Efer.NXE) === 0;
    let rights = Entry.Writable | Entry.User;
    let noExecute = false;
    for (let level = top; level > 0; level--) {
        const index = levelIndex(lo, hi, level);
        const address = table + index * 8;
        const entryLo = readEntry(port, address);
        const entryHi = readEntry(port, address + 4);
        const present = (entryLo & Entry.Present) !== 0;
        const large = level !== 1 && (entryLo & Entry.PageSize) !== 0;
        let wrongLo = 0;
        if (large) {
            wrongLo = entryLo & (level === 2 ? RESERVED_2M : level === 3 ? RESERVED_1G : Entry.PageSize);
        }
        const wrongHi = (entryHi & reservedHi) | (noNx ? entryHi & ENTRY_NO_EXECUTE_HI : 0);
        const reserved = present ? compose(wrongLo, wrongHi) : 0n;
        levels.push({ structure: STRUCTURES[level], index, address, entry: compose(entryLo, entryHi), reserved });
        if (!present || reserved !== 0n) break;
        rights &= entryLo;
        noExecute ||= (entryHi & ENTRY_NO_EXECUTE_HI) !== 0;
        const target = (entryHi & PHYSICAL_ADDRESS_HIGH_MASK) * 0x100000000 + ((entryLo & 0xfffff000) >>> 0);
        if (large || level === 1) {
            const pageSize = level === 1 ? 0x1000 : level === 2 ? 0x200000 : 0x40000000;
            const physical = target - (target % pageSize) + (lo % pageSize);
            return { mode, levels, mapping: mapped(state, entryLo, rights, noExecute, physical, pageSize) };
        }
        table = target;
    }
    return { mode, levels, mapping: undefined };
}

function walkPae(state: CpuState, port: PhysicalPort, lo: number, hi: number): PageWalk {
    const index = lo >>> 30;
    const register = StateOffset.pdpte + index * 8;
    const level: PageWalkLevel = {
        structure: 'pdpte',
        index,
        address: undefined,
        entry: state.get64(register),
        reserved: 0n,
    };
    if ((state.lo(register) & Entry.Present) === 0) return { mode: 'pae', levels: [level], mapping: undefined };
    const table =
        (state.hi(register) & PHYSICAL_ADDRESS_HIGH_MASK) * 0x100000000 + ((state.lo(register) & 0xfffff000) >>> 0);
    return walkWide(state, port, lo, hi, 'pae', [level], table, 2, RESERVED_PAE_HI);
}

function walk32(state: CpuState, port: PhysicalPort, lo: number): PageWalk {
    const mode = '32-bit';
    const levels: PageWalkLevel[] = [];
    const pdeIndex = lo >>> 22;
    const pdeAddress = ((state.cr3Lo & 0xfffff000) >>> 0) + pdeIndex * 4;
    const pde = readEntry(port, pdeAddress);
    const large = (pde & Entry.PageSize) !== 0 && (state.cr4 & Cr4.PSE) !== 0;
    const present = (pde & Entry.Present) !== 0;
    const reserved = present && large ? BigInt(pde & RESERVED_4M) : 0n;
    levels.push({ structure: 'pde', index: pdeIndex, address: pdeAddress, entry: BigInt(pde), reserved });
    if (!present || reserved !== 0n) return { mode, levels, mapping: undefined };
    if (large) {
        const physical = ((pde >>> 13) & 0xff) * 0x100000000 + (((pde & 0xffc00000) | (lo & 0x3fffff)) >>> 0);
        return { mode, levels, mapping: mapped(state, pde, pde, false, physical, 0x400000) };
    }
    const pteIndex = (lo >>> 12) & 0x3ff;
    const pteAddress = ((pde & 0xfffff000) >>> 0) + pteIndex * 4;
    const pte = readEntry(port, pteAddress);
    levels.push({ structure: 'pte', index: pteIndex, address: pteAddress, entry: BigInt(pte), reserved: 0n });
    if ((pte & Entry.Present) === 0) return { mode, levels, mapping: undefined };
    const physical = ((pte & 0xfffff000) >>> 0) + (lo & 0xfff);
    return { mode, levels, mapping: mapped(state, pte, pde & pte, false, physical, 0x1000) };
}

function mapped(
    state: CpuState,
    leaf: number,
    rights: number,
    noExecute: boolean,
    physical: number,
    pageSize: number,
): PageMapping {
    return {
        physical,
        pageSize,
        writable: (rights & Entry.Writable) !== 0,
        user: (rights & Entry.User) !== 0,
        executable: !noExecute,
        global: (leaf & Entry.Global) !== 0 && (state.cr4 & Cr4.PGE) !== 0,
        accessed: (leaf & Entry.Accessed) !== 0,
        dirty: (leaf & Entry.Dirty) !== 0,
    };
}
