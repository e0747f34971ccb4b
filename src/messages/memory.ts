/**
 * The Memory inspector.
 *
 * `hyperscope/memory`       {@link MemoryArguments} → {@link MemoryBody}: bytes, what the pages are, what they point to
 * `hyperscope/searchMemory` {@link SearchMemoryArguments} → {@link SearchMemoryBody}
 * `hyperscope/saveMemory`   {@link SaveMemoryArguments} → {@link SaveMemoryBody}: a range to a file of the client's choice
 * `hyperscope/loadMemory`   {@link LoadMemoryArguments} → {@link LoadMemoryBody}: a file into memory
 * `hyperscope/pageMappings` {@link PageMappingsArguments} → {@link PageMappingsBody}: who maps a physical page
 *
 * Memory is written with DAP's `writeMemory`.
 */
import type { Hex, MemorySpace, PagePermissions, VcpuArguments } from './common';

/** A place in memory, as the user says it. */
export interface MemoryPlace extends VcpuArguments {
    /** A number, a memory reference (`phys:0x1000`) or any expression: `rsp`, `jiffies_64`, `rip + 8`. */
    readonly address: string;
    /** Bytes to be added. */
    readonly offset?: number;
    /** Default `linear`; an address that says `phys:` is physical whatever this says. */
    readonly space?: MemorySpace;
    /** For `virtual`: the segment, `cs ds ss es fs gs`. Default `ds`. */
    readonly segment?: string;
}

export interface MemoryArguments extends MemoryPlace {
    /** Bytes, at most 1 MiB. */
    readonly count: number;
    /** Also look for values that are addresses of something with a name. */
    readonly annotate?: boolean;
}

export interface MemoryBody {
    readonly space: MemorySpace;
    /** What the expression gave, offset included: in that space. */
    readonly address: Hex;
    /** The linear address of the same byte; absent for `physical`. */
    readonly linear?: Hex;
    /** What the first byte is called. */
    readonly symbol?: string;
    /** DAP memory reference of the first byte, for `writeMemory`. */
    readonly memoryReference: string;
    /** Base64; unreadable bytes are zero, see `pages`. */
    readonly data: string;
    /** Every page that the range touches, in order. */
    readonly pages: readonly MemoryPage[];
    readonly annotations: readonly MemoryAnnotation[];
}

/** The part of one page (4 KiB) that lies in a range. */
export interface MemoryPage {
    /** First byte, from the beginning of the data. */
    readonly offset: number;
    readonly length: number;
    /** Physical address of the first byte; absent where nothing is mapped. */
    readonly physical?: Hex;
    /** Whether the data is what is there. */
    readonly readable: boolean;
    readonly kind: 'ram' | 'rom' | 'device' | 'nothing' | 'unmapped';
    /** What the board has at that physical address: `extended RAM`, `ioapic`. */
    readonly region?: string;
    /** The guest has written to it on KVM since the stop before; only while that is noted (`kvm log`). */
    readonly written?: true;
    /** What the guest's kernel has there: `stack of sh (12)`. */
    readonly use?: string;
    /** Absent for physical memory and without paging. */
    readonly permissions?: PagePermissions;
    /** Bytes of the mapping: 4 KiB, 2 MiB, 4 MiB or 1 GiB. */
    readonly pageSize?: number;
    /** Why it cannot be read: `pte[0x1f0] = 0x0 is not present`. */
    readonly problem?: string;
}

/** An aligned value that is the address of something with a name. */
export interface MemoryAnnotation {
    /** From the beginning of the data. */
    readonly offset: number;
    /** Bytes: 4 or 8. */
    readonly size: number;
    readonly value: Hex;
    readonly symbol: string;
}

export interface SearchMemoryArguments extends VcpuArguments {
    /** Default `linear`: what the page tables map. */
    readonly space?: 'linear' | 'physical';
    /**
     * `48 8b ?? c3`, `4? 8b` (`?`: any digit), `"text"`, `L"UTF-16 text"`, `u64 = 0x1000` (u8–u64, i8–i64; the number
     * may be an expression), `f64 = 1.5`, `f32 = 1.5`. Texts know `\n \t \r \0 \\ \" \xNN`.
     */
    readonly pattern: string;
    /** Texts: letters of either case match. */
    readonly ignoreCase?: boolean;
    /** Only matches at multiples of this; default 1, for `uN = …` the size of the number. */
    readonly alignment?: number;
    /** First and last address to look at; default: all. Numbers or expressions. */
    readonly first?: string;
    readonly last?: string;
    /** Matches to return, at most 10,000; default 1,000. */
    readonly limit?: number;
    /**
     * Host milliseconds after which the search comes back unfinished, with `next` to go on from; default: it searches
     * to the end or to the limit. DAP's `cancel` ends it, and progress events tell how far it is.
     */
    readonly budget?: number;
}

export interface SearchMemoryBody {
    readonly matches: readonly MemoryMatch[];
    /** Where to go on; absent when everything has been searched. */
    readonly next?: Hex;
    /** Bytes looked at now, and how many remain. */
    readonly searched: number;
    readonly remaining: number;
    /** Length of a match. */
    readonly length: number;
}

export interface MemoryMatch {
    readonly address: Hex;
    readonly physical: Hex;
    readonly memoryReference: string;
    /** What the place is called. */
    readonly symbol?: string;
    /** The bytes from the match on, hexadecimal with spaces, up to 16. */
    readonly bytes: string;
}

export interface SaveMemoryArguments extends MemoryPlace {
    /** Bytes. */
    readonly count: number;
    /** Absolute path; an existing file is replaced. */
    readonly file: string;
}

export interface SaveMemoryBody {
    readonly bytes: number;
    /** Bytes of pages that could not be read: the file has zeros there. */
    readonly unreadable: number;
}

export interface LoadMemoryArguments extends MemoryPlace {
    /** Absolute path. */
    readonly file: string;
    /** First byte of the file, and how many; default: all of it. */
    readonly fileOffset?: number;
    readonly count?: number;
}

export interface LoadMemoryBody {
    readonly bytes: number;
}

export interface PageMappingsArguments extends VcpuArguments {
    /** Which page; a linear address stands for the page that it is mapped to. */
    readonly place: MemoryPlace;
    /** Page tables to look through (values of CR3); default: that of the vCPU, and what else is known. */
    readonly cr3s?: readonly string[];
    /** Mappings to return, default 256, at most 4,096. */
    readonly limit?: number;
}

export interface PageMappingsBody {
    /** Physical address of the 4 KiB page. */
    readonly physical: Hex;
    readonly mappings: readonly PageMappingItem[];
    /** There are more. */
    readonly more: boolean;
    /** The page holds a paging structure of these page tables: `page table of linear 0x…`. */
    readonly usedAs: readonly string[];
}

export interface PageMappingItem {
    readonly cr3: Hex;
    readonly linear: Hex;
    readonly pageSize: number;
    readonly permissions: PagePermissions;
    readonly symbol?: string;
    /** The address space's name, such as that of its process. */
    readonly label?: string;
}
