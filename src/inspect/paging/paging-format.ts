/**
 * The formats of paging structures (SDM Vol. 3, chapter 4): 32-bit, PAE, 4-level and 5-level. Linear addresses are
 * numbers of 4 KiB pages without sign extension here: exact as JavaScript numbers up to 57-bit addresses.
 */
import type { PagingMode, PagingStructure } from '../../messages/page-tables';
import type { SystemState } from '../../debug/inspection-source';
import { Cr0, Cr4, Efer } from '../../machine/cpu/cpu-state';

const HIGH = 0x100000000;

/** One level of the tables: what its entries are called, and what they can say. */
export interface Level {
    readonly structure: PagingStructure;
    /** What a table of such entries is called. */
    readonly table: string;
    readonly entries: number;
    /** Bytes of an entry. */
    readonly size: 4 | 8;
    /** Pages that an entry covers. */
    readonly pages: number;
    /** Whether an entry can map a page itself (at the last level it always does). */
    readonly large: boolean;
}

const WIDE: readonly Level[] = [
    { structure: 'pml5e', table: 'PML5', entries: 512, size: 8, pages: 2 ** 36, large: false },
    { structure: 'pml4e', table: 'PML4', entries: 512, size: 8, pages: 2 ** 27, large: false },
    { structure: 'pdpte', table: 'PDPT', entries: 512, size: 8, pages: 2 ** 18, large: true },
    { structure: 'pde', table: 'PD', entries: 512, size: 8, pages: 2 ** 9, large: true },
    { structure: 'pte', table: 'PT', entries: 512, size: 8, pages: 1, large: false },
];

const LEVELS: Readonly<Record<PagingMode, readonly Level[]>> = {
    none: [],
    '32-bit': [
        { structure: 'pde', table: 'PD', entries: 1024, size: 4, pages: 1024, large: true },
        { structure: 'pte', table: 'PT', entries: 1024, size: 4, pages: 1, large: false },
    ],
    pae: [{ ...WIDE[2], entries: 4, large: false }, WIDE[3], WIDE[4]],
    '4-level': WIDE.slice(1),
    '5-level': WIDE,
};

/** Bits of linear addresses. */
const LINEAR_BITS: Readonly<Record<PagingMode, number>> = {
    none: 32,
    '32-bit': 32,
    pae: 32,
    '4-level': 48,
    '5-level': 57,
};

/** Page tables with all that decides what their entries mean. */
export interface PageTables {
    readonly mode: PagingMode;
    readonly cr3: bigint;
    /** Physical address of the top table. */
    readonly root: number;
    readonly levels: readonly Level[];
    readonly linearBits: number;
    /** Pages in the linear address space. */
    readonly pages: number;
    readonly cr0: number;
    readonly cr4: number;
    readonly efer: number;
    readonly physicalBits: number;
    /** The PDPTE registers, if these are the tables in use. */
    readonly pdptes: readonly bigint[] | undefined;
}

/** The paging mode that CR0, CR4 and EFER select (SDM Vol. 3, 4.1.1). */
export function modeOf({ cr0, cr4, efer }: Pick<SystemState, 'cr0' | 'cr4' | 'efer'>): PagingMode {
    if ((cr0 & Cr0.PG) === 0) return 'none';
    if ((cr4 & Cr4.PAE) === 0) return '32-bit';
    if ((efer & Efer.LMA) === 0) return 'pae';
    return cr4 & Cr4.LA57 ? '5-level' : '4-level';
}

/** Bits of CR3 that hold the address of the top table (SDM Vol. 3, tables 4-3, 4-7, 4-12). */
function rootOf(cr3: bigint, mode: PagingMode, physicalBits: number): number {
    switch (mode) {
        case 'none':
            return 0;
        case '32-bit':
            return Number(cr3 & 0xfffff000n);
        case 'pae':
            return Number(cr3 & 0xffffffe0n);
        default:
            return Number(BigInt.asUintN(physicalBits, cr3) & ~0xfffn);
    }
}

/**
 * The page tables that a vCPU uses, or others.
 * @param cr3 default: that of the vCPU
 * @param mode default: the one that the vCPU is in
 */
export function pageTables(system: SystemState, cr3 = system.cr3, mode = modeOf(system)): PageTables {
    const linearBits = LINEAR_BITS[mode];
    const inUse = cr3 === system.cr3 && mode === modeOf(system);
    return {
        mode,
        cr3,
        root: rootOf(cr3, mode, system.physicalBits),
        levels: LEVELS[mode],
        linearBits,
        pages: 2 ** (linearBits - 12),
        cr0: system.cr0,
        cr4: system.cr4,
        efer: system.efer,
        physicalBits: system.physicalBits,
        pdptes: inUse ? system.pdptes : undefined,
    };
}

/** The linear address of a page, sign-extended as the mode has it. */
export function linearOf(tables: PageTables, page: number): bigint {
    const address = BigInt(page) << 12n;
    return tables.linearBits === 32
        ? BigInt.asUintN(32, address)
        : BigInt.asUintN(64, BigInt.asIntN(tables.linearBits, address));
}

/** The number of the page that a linear address lies in. */
export function pageOf(tables: PageTables, linear: bigint): number {
    return Number(BigInt.asUintN(tables.linearBits, linear) >> 12n);
}

export function isCanonical(tables: PageTables, linear: bigint): boolean {
    return linearOf(tables, pageOf(tables, linear)) === (linear & ~0xfffn);
}

/** Bits of an entry, low doubleword (SDM Vol. 3, tables 4-5 to 4-20). */
export const enum Bit {
    Present = 1 << 0,
    Writable = 1 << 1,
    User = 1 << 2,
    WriteThrough = 1 << 3,
    CacheDisable = 1 << 4,
    Accessed = 1 << 5,
    Dirty = 1 << 6,
    /** PAT in a PTE. */
    PageSize = 1 << 7,
    Global = 1 << 8,
    /** PAT in an entry of a large page. */
    LargePat = 1 << 12,
}

/** Bit 63, as a bit of the high doubleword. */
const NO_EXECUTE_HI = 0x80000000;

export type EntryKind = 'absent' | 'table' | 'page' | 'invalid';

/** An entry taken apart. One is used again and again: scanning takes many. */
export class Entry {
    lo = 0;
    hi = 0;
    kind: EntryKind = 'absent';
    /** Physical address of the page or table. */
    target = 0;
    /** Pages of 4 KiB that it maps: for `page`. */
    pages = 1;
    /** It forbids to execute: NX, where NXE makes it one. */
    noExecute = false;
    /** Bits that must be 0 and are not: why it is invalid. */
    reservedLo = 0;
    reservedHi = 0;

    get bits(): bigint {
        return compose(this.lo, this.hi);
    }

    get reserved(): bigint {
        return compose(this.reservedLo, this.reservedHi);
    }

    /** Bits 62–59. */
    get protectionKey(): number {
        return (this.hi >>> 27) & 15;
    }

    get pat(): boolean {
        return (this.lo & (this.pages > 1 ? Bit.LargePat : Bit.PageSize)) !== 0;
    }
}

function compose(lo: number, hi: number): bigint {
    return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
}

/** How the entries of one table level are decoded: the masks, worked out once. */
export class EntryDecoder {
    private readonly reservedHi: number;
    private readonly reservedLo: number;
    private readonly largeReservedLo: number;
    private readonly largePages: number;
    private readonly mayBeLarge: boolean;
    private readonly isLeaf: boolean;
    private readonly wide: boolean;
    private readonly addressHi: number;
    private readonly isPdpteOfPae: boolean;

    constructor(
        tables: PageTables,
        readonly level: Level,
    ) {
        const { mode, physicalBits, efer, cr4 } = tables;
        this.wide = level.size === 8;
        this.isLeaf = level.structure === 'pte';
        this.addressHi = 2 ** Math.max(0, Math.min(physicalBits, 52) - 32) - 1;
        this.isPdpteOfPae = mode === 'pae' && level.structure === 'pdpte';
        this.mayBeLarge = level.large && (this.wide || (cr4 & Cr4.PSE) !== 0);
        this.largePages = level.pages;
        const noNx = (efer & Efer.NXE) === 0 ? NO_EXECUTE_HI : 0;
        const aboveAddress = 0x000fffff & ~this.addressHi;
        if (!this.wide) {
            this.reservedHi = 0;
            this.reservedLo = 0;
            // PSE-36: bits 20–13 are address bits 39–32, as far as there are any (SDM Vol. 3, table 4-4).
            const usable = Math.max(0, Math.min(physicalBits, 40) - 32);
            this.largeReservedLo = 0x3fe000 & ~((2 ** usable - 1) << 13);
        } else if (this.isPdpteOfPae) {
            this.reservedHi = (0xfff00000 | aboveAddress) >>> 0;
            this.reservedLo = 0x1e6;
            this.largeReservedLo = 0;
        } else {
            this.reservedHi = (aboveAddress | noNx | (mode === 'pae' ? 0x7ff00000 : 0)) >>> 0;
            this.reservedLo = level.large || this.isLeaf ? 0 : Bit.PageSize;
            this.largeReservedLo = level.structure === 'pdpte' ? 0x3fffe000 : 0x001fe000;
        }
    }

    /** Takes entry number `index` of a table apart. */
    decode(table: Uint32Array, index: number, into: Entry): void {
        if (this.wide) {
            this.take(table[2 * index], table[2 * index + 1], into);
        } else {
            this.take(table[index], 0, into);
        }
    }

    take(lo: number, hi: number, into: Entry): void {
        into.lo = lo;
        into.hi = hi;
        into.reservedLo = 0;
        into.reservedHi = 0;
        into.pages = 1;
        if ((lo & Bit.Present) === 0) {
            into.kind = 'absent';
            into.target = 0;
            into.noExecute = false;
            return;
        }
        const large = this.mayBeLarge && (lo & Bit.PageSize) !== 0;
        into.noExecute = this.wide && (hi & NO_EXECUTE_HI) !== 0;
        into.reservedHi = hi & this.reservedHi;
        into.reservedLo = lo & (large ? this.largeReservedLo : this.reservedLo);
        if (large) {
            into.pages = this.largePages;
            into.target = this.wide
                ? (hi & this.addressHi) * HIGH + ((lo & 0xffe00000) >>> 0)
                : ((lo >>> 13) & 0xff) * HIGH + ((lo & 0xffc00000) >>> 0);
            into.target -= into.target % (this.largePages * 0x1000);
        } else {
            into.target = (hi & this.addressHi) * HIGH + ((lo & 0xfffff000) >>> 0);
        }
        into.kind =
            into.reservedLo !== 0 || into.reservedHi !== 0 ? 'invalid' : large || this.isLeaf ? 'page' : 'table';
    }

    /** Whether U/S, R/W and NX of the entry count: not in a PDPTE of PAE paging. */
    get restricts(): boolean {
        return !this.isPdpteOfPae;
    }

    /** Names of the bits that are set: `P RW US A D`. */
    describe(entry: Entry): string {
        const { lo, kind } = entry;
        if (kind === 'absent') {
            return entry.lo === 0 && entry.hi === 0 ? '' : 'not present';
        }
        const page = kind === 'page' || this.isLeaf || (this.mayBeLarge && (lo & Bit.PageSize) !== 0);
        const names: (string | false)[] = [
            'P',
            this.restricts && (lo & Bit.Writable) !== 0 && 'RW',
            this.restricts && (lo & Bit.User) !== 0 && 'US',
            (lo & Bit.WriteThrough) !== 0 && 'PWT',
            (lo & Bit.CacheDisable) !== 0 && 'PCD',
            !this.isPdpteOfPae && (lo & Bit.Accessed) !== 0 && 'A',
            page && (lo & Bit.Dirty) !== 0 && 'D',
            page && !this.isLeaf && 'PS',
            page && (lo & Bit.Global) !== 0 && 'G',
            page && entry.pat && 'PAT',
            entry.noExecute && 'NX',
            page && this.wide && entry.protectionKey !== 0 && `PK=${entry.protectionKey}`,
        ];
        return names.filter(name => name !== false).join(' ');
    }
}

/** The decoders of all levels, top first. */
export function decoders(tables: PageTables): EntryDecoder[] {
    return tables.levels.map(level => new EntryDecoder(tables, level));
}

export function describeReserved(entry: Entry): string {
    return `reserved bits 0x${entry.reserved.toString(16)} are set`;
}
