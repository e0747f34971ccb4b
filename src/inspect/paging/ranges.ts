/** Everything that page tables map, folded into ranges of pages with the same attributes. */
import type { InspectionSource } from '../../debug/inspection-source';
import type { PageFlags, PageRange, PageTableProblem } from '../../messages/page-tables';
import { hex } from '../hex';
import { Bit, decoders, describeReserved, Entry, type EntryDecoder, linearOf, type PageTables } from './paging-format';

const PAGE = 0x1000;

/** Tables to visit in one go: hostile ones contain themselves, and would go on for 2^36 pages. */
const MOST_TABLES = 0x4000;
const MOST_PROBLEMS = 100;

/** Attributes of a page as one number: equal numbers make a range. */
export const enum Key {
    Writable = 1 << 0,
    User = 1 << 1,
    Executable = 1 << 2,
    Global = 1 << 3,
    WriteThrough = 1 << 4,
    CacheDisable = 1 << 5,
    Pat = 1 << 6,
    ProtectionKeyShift = 7,
    Recursive = 1 << 11,
    Accessed = 1 << 12,
    Dirty = 1 << 13,
}

export interface RangeOptions {
    /** First and last page to look at. */
    readonly first: number;
    readonly last: number;
    readonly contiguous?: boolean;
    readonly byUse?: boolean;
    readonly limit: number;
}

/** A range in numbers: 4 KiB pages, physical addresses. */
export interface FoldedRange {
    readonly first: number;
    /** 4 KiB pages of one repetition. */
    readonly pages: number;
    readonly physical: number;
    readonly contiguous: boolean;
    /** {@link Key} bits. */
    readonly key: number;
    readonly accessed: number;
    readonly dirty: number;
    /** Entries of each size: 4 KiB, 2 (or 4) MiB, 1 GiB. */
    readonly small: number;
    readonly large: number;
    readonly huge: number;
    /** Equal ranges on the same physical memory, and pages between the beginnings of two. */
    repeats: number;
    every: number;
}

export interface Folding {
    readonly ranges: FoldedRange[];
    readonly problems: PageTableProblem[];
    readonly tables: number;
    /** Page to go on from. */
    readonly next: number | undefined;
}

/** Folds pages as they come, in ascending order. */
class Folder {
    readonly ranges: FoldedRange[] = [];
    /** First page that there was no room for. */
    overflow: number | undefined;
    private first = -1;
    private end = -1;
    private physical = 0;
    private physicalEnd = 0;
    private contiguous = true;
    private key = 0;
    private accessed = 0;
    private dirty = 0;
    private small = 0;
    private large = 0;
    private huge = 0;

    constructor(private readonly options: RangeOptions) {}

    add(page: number, pages: number, physical: number, key: number, accessed: boolean, dirty: boolean): void {
        if (this.overflow !== undefined) {
            return;
        }
        const follows = physical === this.physicalEnd;
        if (page !== this.end || key !== this.key || (!follows && this.options.contiguous === true)) {
            this.flush();
            if (this.overflow !== undefined) return;
            this.first = page;
            this.physical = physical;
            this.key = key;
            this.contiguous = true;
            this.accessed = this.dirty = this.small = this.large = this.huge = 0;
        } else if (!follows) {
            this.contiguous = false;
        }
        this.end = page + pages;
        this.physicalEnd = physical + pages * PAGE;
        if (accessed) this.accessed++;
        if (dirty) this.dirty++;
        if (pages === 1) this.small++;
        else if (pages <= 1024) this.large++;
        else this.huge++;
    }

    flush(): void {
        if (this.first < 0) {
            return;
        }
        const pages = this.end - this.first;
        if (this.repeatsLast(pages)) {
            this.first = -1;
        } else if (this.ranges.length >= this.options.limit) {
            this.overflow = this.first;
        } else {
            this.ranges.push({
                first: this.first,
                pages,
                physical: this.physical,
                contiguous: this.contiguous,
                key: this.key,
                accessed: this.accessed,
                dirty: this.dirty,
                small: this.small,
                large: this.large,
                huge: this.huge,
                repeats: 1,
                every: 0,
            });
            this.first = -1;
        }
    }

    /** The same memory once more, as far from the last time as that was from the time before. */
    private repeatsLast(pages: number): boolean {
        const last = this.ranges.at(-1);
        if (
            last === undefined ||
            last.physical !== this.physical ||
            last.pages !== pages ||
            last.key !== this.key ||
            !last.contiguous ||
            !this.contiguous ||
            this.options.contiguous === true
        ) {
            return false;
        }
        const every = this.first - last.first - (last.repeats - 1) * last.every;
        if (last.repeats > 1 && every !== last.every) {
            return false;
        }
        last.every = every;
        last.repeats++;
        return true;
    }
}

class Scan {
    readonly problems: PageTableProblem[] = [];
    tables = 0;
    next: number | undefined;
    private readonly folder: Folder;
    private readonly decoders: readonly EntryDecoder[];
    private readonly entries: readonly Entry[];
    /** Physical addresses of the tables above. */
    private readonly path: number[] = [];

    constructor(
        private readonly source: Pick<InspectionSource, 'page'>,
        private readonly pageTables: PageTables,
        private readonly options: RangeOptions,
    ) {
        this.folder = new Folder(options);
        this.decoders = decoders(pageTables);
        this.entries = this.decoders.map(() => new Entry());
    }

    run(): Folding {
        const { pageTables, folder } = this;
        if (pageTables.levels.length > 0) {
            this.visit(0, pageTables.root, 0, Key.Writable | Key.User | Key.Executable);
        }
        folder.flush();
        this.next = folder.overflow ?? this.next;
        return { ranges: folder.ranges, problems: this.problems, tables: this.tables, next: this.next };
    }

    /** @returns false to end the scan */
    private visit(depth: number, address: number, base: number, rights: number): boolean {
        const decoder = this.decoders[depth];
        const { level } = decoder;
        const table = this.table(depth, address, base);
        if (table === undefined) {
            return true;
        }
        if (this.tables >= MOST_TABLES) {
            this.next = Math.max(base, this.options.first);
            return false;
        }
        this.tables++;
        const recursive = this.path.includes(address) ? Key.Recursive : 0;
        this.path.push(address);
        const { first, last } = this.options;
        const entry = this.entries[depth];
        const from = first <= base ? 0 : Math.floor((first - base) / level.pages);
        const to = Math.min(level.entries - 1, Math.floor((last - base) / level.pages));
        const step = level.size / 4;
        let goesOn = true;
        for (let index = from; index <= to && goesOn; index++) {
            if ((table[index * step] & Bit.Present) === 0) continue;
            decoder.decode(table, index, entry);
            const page = base + index * level.pages;
            let allowed = rights | recursive;
            if (decoder.restricts) {
                if ((entry.lo & Bit.Writable) === 0) allowed &= ~Key.Writable;
                if ((entry.lo & Bit.User) === 0) allowed &= ~Key.User;
                if (entry.noExecute) allowed &= ~Key.Executable;
            }
            if (entry.kind === 'page') {
                this.mapped(page, entry, allowed);
                goesOn = this.folder.overflow === undefined;
            } else if (entry.kind === 'table') {
                goesOn = this.visit(depth + 1, entry.target, page, allowed);
            } else if (this.problems.length < MOST_PROBLEMS) {
                this.problem(page, level.structure, entry.bits, describeReserved(entry));
            }
        }
        this.path.pop();
        return goesOn;
    }

    private mapped(page: number, entry: Entry, allowed: number): void {
        const { lo } = entry;
        let key = allowed;
        if ((lo & Bit.Global) !== 0) key |= Key.Global;
        if ((lo & Bit.WriteThrough) !== 0) key |= Key.WriteThrough;
        if ((lo & Bit.CacheDisable) !== 0) key |= Key.CacheDisable;
        if (entry.pat) key |= Key.Pat;
        key |= entry.protectionKey << Key.ProtectionKeyShift;
        const accessed = (lo & Bit.Accessed) !== 0;
        const dirty = (lo & Bit.Dirty) !== 0;
        if (this.options.byUse === true) {
            if (accessed) key |= Key.Accessed;
            if (dirty) key |= Key.Dirty;
        }
        const { first, last } = this.options;
        if (page >= first && page + entry.pages - 1 <= last) {
            this.folder.add(page, entry.pages, entry.target, key, accessed, dirty);
            return;
        }
        // A large page of which a part was asked for.
        const from = Math.max(page, first);
        const pages = Math.min(page + entry.pages - 1, last) - from + 1;
        this.folder.add(from, pages, entry.target + (from - page) * PAGE, key, accessed, dirty);
    }

    private table(depth: number, address: number, base: number): Uint32Array | undefined {
        const { pageTables, decoders, entries } = this;
        if (depth === 0 && pageTables.pdptes !== undefined && pageTables.mode === 'pae') {
            return Uint32Array.from(pageTables.pdptes.flatMap(halvesOf));
        }
        const table = readTable(this.source, address);
        if (table === undefined && this.problems.length < MOST_PROBLEMS) {
            const above = Math.max(0, depth - 1);
            const entry = depth === 0 ? pageTables.cr3 : entries[above].bits;
            this.problem(base, decoders[above].level.structure, entry, `the table at ${hex(address)} is not in memory`);
        }
        return table;
    }

    private problem(page: number, structure: PageTableProblem['structure'], entry: bigint, text: string): void {
        this.problems.push({ linear: hex(linearOf(this.pageTables, page)), structure, entry: hex(entry), text });
    }
}

export function halvesOf(value: bigint): [lo: number, hi: number] {
    return [Number(value & 0xffffffffn), Number(value >> 32n)];
}

/** The page that holds a table as doublewords; a PDPT of PAE paging may begin inside it. */
export function readTable(source: Pick<InspectionSource, 'page'>, address: number): Uint32Array | undefined {
    const offset = address % PAGE;
    const page = source.page(address - offset);
    return page && new Uint32Array(page.buffer, page.byteOffset + offset, (PAGE - offset) / 4);
}

export function foldRanges(
    source: Pick<InspectionSource, 'page'>,
    tables: PageTables,
    options: Partial<RangeOptions> & Pick<RangeOptions, 'limit'>,
): Folding {
    return new Scan(source, tables, { first: 0, last: tables.pages - 1, ...options }).run();
}

/** What the key's bits allow. */
export function permissionsOf(key: number): PageRange['permissions'] {
    return {
        writable: (key & Key.Writable) !== 0,
        user: (key & Key.User) !== 0,
        executable: (key & Key.Executable) !== 0,
    };
}

export function flagsOf(range: FoldedRange, globalPages: boolean): PageFlags {
    const { key } = range;
    return {
        accessed: range.accessed > 0,
        dirty: range.dirty > 0,
        global: globalPages && (key & Key.Global) !== 0,
        pwt: (key & Key.WriteThrough) !== 0,
        pcd: (key & Key.CacheDisable) !== 0,
        pat: (key & Key.Pat) !== 0,
        protectionKey: (key >> Key.ProtectionKeyShift) & 15,
    };
}
