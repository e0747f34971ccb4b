/**
 * The Page tables view.
 *
 * `hyperscope/addressSpaces`    {@link VcpuArguments} → {@link AddressSpacesBody}: page tables that can be chosen
 * `hyperscope/pageTables`       {@link PageTablesArguments} → {@link PageTablesBody}: all that is mapped, folded
 * `hyperscope/pageTableEntries` {@link PageTableEntriesArguments} → {@link PageTableEntriesBody}: one table, level by level
 * `hyperscope/pageWalk`         {@link PageWalkArguments} → {@link PageWalkBody}: one address, step by step
 */
import type { Hex, PagePermissions, VcpuArguments } from './common';

export type PagingMode = 'none' | '32-bit' | 'pae' | '4-level' | '5-level';
export type PagingStructure = 'pml5e' | 'pml4e' | 'pdpte' | 'pde' | 'pte';

/** Which page tables; without a CR3, those in use. */
export interface PageTablesChoice extends VcpuArguments {
    /** A value of CR3. */
    readonly cr3?: string;
    /** Default: the mode that the vCPU is in. */
    readonly mode?: PagingMode;
}

export interface AddressSpacesBody {
    readonly spaces: readonly AddressSpaceItem[];
}

export interface AddressSpaceItem {
    readonly cr3: Hex;
    readonly mode: PagingMode;
    /** `vCPU 0`, `vCPU 0, user half (page table isolation)`, `init (1)`. */
    readonly label: string;
    /** In use by the vCPU that was asked about. */
    readonly current: boolean;
}

export interface PageTablesArguments extends PageTablesChoice {
    /** Only what lies in here; default: everything. */
    readonly first?: string;
    readonly last?: string;
    /** Default: equal permissions and flags make a range. True: pages in one range are also physically contiguous. */
    readonly contiguous?: boolean;
    /** Pages that were accessed or written make ranges of their own, too. */
    readonly byUse?: boolean;
    /** Ranges to return, default 4,096, at most 65,536. */
    readonly limit?: number;
}

export interface PageTablesBody {
    readonly cr3: Hex;
    readonly mode: PagingMode;
    /** `kernel half (page table isolation); user half: 0x1a31000`. */
    readonly note?: string;
    readonly ranges: readonly PageRange[];
    /** Linear address to go on from as `first`; absent when that is all. */
    readonly next?: Hex;
    /** Tables visited. */
    readonly tables: number;
    /** What is wrong with the tables, such as reserved bits; at most 100. */
    readonly problems: readonly PageTableProblem[];
}

export interface PageTableProblem {
    readonly linear: Hex;
    readonly structure: PagingStructure;
    readonly entry: Hex;
    /** `reserved bits 0x8000000000000 are set`, `the table at 0x… is not RAM`. */
    readonly text: string;
}

/** Neighbouring pages with the same attributes. */
export interface PageRange {
    readonly first: Hex;
    /** Inclusive. */
    readonly last: Hex;
    readonly bytes: Hex;
    /** Physical address of the first byte. */
    readonly physical: Hex;
    /** The physical addresses follow each other too. */
    readonly contiguous: boolean;
    /** Pages by their size in bytes. */
    readonly pages: readonly { readonly size: number; readonly count: number }[];
    readonly permissions: PagePermissions;
    /** `accessed` and `dirty`: whether any page is. */
    readonly flags: PageFlags;
    /** Pages (of whatever size) that have been accessed and written. */
    readonly accessed: number;
    readonly dirty: number;
    /**
     * The same physical memory is mapped again and again: `count` ranges of `size` bytes like the one at `first`, one
     * every `every` bytes. `bytes` is their sum; `last` the end of the last one.
     */
    readonly repeats?: { readonly count: number; readonly every: Hex; readonly size: Hex };
    /** What is known to be there: a symbol, a region of the kernel. */
    readonly label?: string;
    /** Reached through a table that is one of its own ancestors: what is mapped here are the page tables. */
    readonly recursive?: boolean;
}

/** Bits of the entry that maps a page, beside its permissions. */
export interface PageFlags {
    readonly accessed: boolean;
    readonly dirty: boolean;
    readonly global: boolean;
    /** Page-level write-through and cache disable, and the PAT bit. */
    readonly pwt: boolean;
    readonly pcd: boolean;
    readonly pat: boolean;
    /** Protection key, bits 62–59. */
    readonly protectionKey: number;
}

/** One paging structure; as given out in {@link PageTableEntry.table}. */
export interface PageTableReference {
    /** Physical address. */
    readonly address: Hex;
    readonly structure: PagingStructure;
    /** Linear address that its first entry is about. */
    readonly linear: Hex;
    /** What the levels above allow. */
    readonly permissions: PagePermissions;
}

export interface PageTableEntriesArguments extends PageTablesChoice {
    /** Default: the top. */
    readonly table?: PageTableReference;
    /** List absent entries one by one, too: without it runs of them are folded. */
    readonly absent?: boolean;
}

export interface PageTableEntriesBody {
    readonly cr3: Hex;
    readonly mode: PagingMode;
    readonly table: PageTableReference;
    readonly entries: readonly PageTableEntry[];
    readonly problem?: string;
}

export interface PageTableEntry {
    readonly structure: PagingStructure;
    readonly index: number;
    /** How many entries this stands for: more than 1 for folded absent ones. */
    readonly count: number;
    /** Physical address of the entry; absent for a PDPTE register. */
    readonly address?: Hex;
    readonly entry: Hex;
    readonly kind: 'table' | 'page' | 'absent' | 'invalid';
    /** Linear addresses that it covers. */
    readonly first: Hex;
    readonly last: Hex;
    /** Names of the bits that are set: `P RW US A D G NX PK=3`. */
    readonly bits: string;
    /** Physical address of the page or table. */
    readonly target?: Hex;
    readonly pageSize?: number;
    /** With what the levels above allow. */
    readonly permissions?: PagePermissions;
    /** To descend. */
    readonly table?: PageTableReference;
    readonly label?: string;
    readonly problem?: string;
}

export type PageAccess = 'read' | 'write' | 'execute';

export interface PageWalkArguments extends PageTablesChoice {
    /** A number or an expression. */
    readonly address: string;
    /** Default `read`. */
    readonly access?: PageAccess;
    /** By user code; default: as the vCPU's privilege is. */
    readonly user?: boolean;
}

export interface PageWalkBody {
    readonly linear: Hex;
    readonly cr3: Hex;
    readonly mode: PagingMode;
    readonly access: PageAccess;
    readonly user: boolean;
    readonly symbol?: string;
    readonly steps: readonly PageWalkStep[];
    /** Where the address leads, whether or not the access is allowed. */
    readonly mapping?: PageWalkMapping;
    /** Present where the access would fault. */
    readonly fault?: PageWalkFault;
    /** In one line: `PML4[511] → PDPT[510] → PD[8] 2M → 0x107a1c2`. */
    readonly summary: string;
}

export interface PageWalkStep {
    readonly structure: PagingStructure;
    readonly index: number;
    readonly address?: Hex;
    readonly entry: Hex;
    readonly bits: string;
    /** Physical address that it points to. */
    readonly target?: Hex;
    readonly problem?: string;
    /** The table that the entry is in. */
    readonly table?: PageTableReference;
}

export interface PageWalkMapping {
    readonly physical: Hex;
    readonly pageSize: number;
    readonly permissions: PagePermissions;
    readonly flags: PageFlags;
    /** What the board has there. */
    readonly region?: string;
}

export interface PageWalkFault {
    /** `#PF`, `#GP` or `#SS` (an address that is not canonical). */
    readonly name: string;
    readonly errorCode: number;
    /** `W U P`: names of the error code's bits. */
    readonly errorCodeBits: string;
    /** `supervisor code may not execute user pages: CR4.SMEP is set`. */
    readonly reason: string;
}
