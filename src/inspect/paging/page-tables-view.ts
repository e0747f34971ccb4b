/** Page tables as their view shows them: folded ranges of all that is mapped, or one table entry by entry. */
import type { InspectionSource } from '../../debug/inspection-source';
import { Cr4 } from '../../machine/cpu/cpu-state';
import type {
    PageRange,
    PageTableEntriesBody,
    PageTableEntry,
    PageTableReference,
    PageTablesBody,
} from '../../messages/page-tables';
import type { PagePermissions } from '../../messages/common';
import { InspectionError } from '../errors';
import { hex } from '../hex';
import type { GuestNaming, RegionName } from '../naming';
import {
    Bit,
    decoders,
    describeReserved,
    Entry,
    type EntryDecoder,
    linearOf,
    pageOf,
    type PageTables,
} from './paging-format';
import { flagsOf, type FoldedRange, foldRanges, halvesOf, permissionsOf, readTable } from './ranges';

const PAGE = 0x1000;

export interface RangesRequest {
    /** Linear addresses. */
    readonly first?: bigint;
    readonly last?: bigint;
    readonly contiguous?: boolean;
    readonly byUse?: boolean;
    readonly limit: number;
}

export function viewRanges(
    source: InspectionSource,
    tables: PageTables,
    request: RangesRequest,
    naming: GuestNaming = {},
): Omit<PageTablesBody, 'note'> {
    const folding = foldRanges(source, tables, {
        first: request.first === undefined ? 0 : pageOf(tables, request.first),
        last: request.last === undefined ? tables.pages - 1 : pageOf(tables, request.last),
        contiguous: request.contiguous,
        byUse: request.byUse,
        limit: request.limit,
    });
    const region = naming.regions?.(source, tables.root);
    return {
        cr3: hex(tables.cr3),
        mode: tables.mode,
        ranges: folding.ranges.map(range => presentRange(source, tables, range, region)),
        next: folding.next === undefined ? undefined : hex(linearOf(tables, folding.next)),
        tables: folding.tables,
        problems: folding.problems,
    };
}

function presentRange(
    source: InspectionSource,
    tables: PageTables,
    range: FoldedRange,
    region: RegionName | undefined,
): PageRange {
    const first = linearOf(tables, range.first);
    const lastPage = range.first + (range.repeats - 1) * range.every + range.pages - 1;
    const size = range.pages * PAGE;
    const largest = tables.mode === '32-bit' ? 0x400000 : 0x200000;
    return {
        first: hex(first),
        last: hex(linearOf(tables, lastPage) + 0xfffn),
        bytes: hex(size * range.repeats),
        physical: hex(range.physical),
        contiguous: range.contiguous,
        pages: [
            { size: PAGE, count: range.small },
            { size: largest, count: range.large },
            { size: 0x40000000, count: range.huge },
        ].filter(({ count }) => count > 0),
        permissions: permissionsOf(range.key),
        flags: flagsOf(range, (tables.cr4 & Cr4.PGE) !== 0),
        accessed: range.accessed,
        dirty: range.dirty,
        repeats:
            range.repeats === 1 ? undefined : { count: range.repeats, every: hex(range.every * PAGE), size: hex(size) },
        label: region?.(first, linearOf(tables, lastPage) + 0xfffn) ?? source.symbol(first),
        recursive: isRecursive(range) || undefined,
    };
}

function isRecursive({ key }: FoldedRange): boolean {
    return (key & (1 << 11)) !== 0;
}

const EVERYTHING: PagePermissions = { writable: true, user: true, executable: true };

/** The reference that stands for the top table. */
export function topTable(tables: PageTables): PageTableReference {
    return {
        address: hex(tables.root),
        structure: tables.levels[0].structure,
        linear: '0x0',
        permissions: EVERYTHING,
    };
}

/**
 * The entries of one table.
 * @throws InspectionError for a reference that these page tables cannot have given out
 */
export function viewEntries(
    source: InspectionSource,
    tables: PageTables,
    reference: PageTableReference | undefined,
    absent: boolean,
    naming: GuestNaming = {},
): PageTableEntriesBody {
    if (tables.levels.length === 0) {
        throw new InspectionError('paging is off: there are no page tables');
    }
    const table = reference ?? topTable(tables);
    const depth = tables.levels.findIndex(({ structure }) => structure === table.structure);
    if (depth < 0) {
        throw new InspectionError(
            `${tables.mode} paging has no ${table.structure}: it has the levels ${levelNames(tables)}`,
        );
    }
    const address = Number(BigInt(table.address));
    const base = pageOf(tables, BigInt(table.linear));
    const isRegisters = depth === 0 && tables.mode === 'pae' && tables.pdptes !== undefined;
    const words = isRegisters
        ? Uint32Array.from(tables.pdptes!.flatMap(halvesOf))
        : Number.isSafeInteger(address) && address % 4 === 0
          ? readTable(source, address)
          : undefined;
    const whole = { cr3: hex(tables.cr3), mode: tables.mode, table };
    if (words === undefined) {
        return { ...whole, entries: [], problem: `the table at ${table.address} is not in memory` };
    }
    const decoder = decoders(tables)[depth];
    const entries: PageTableEntry[] = [];
    const entry = new Entry();
    const region = naming.regions?.(source, tables.root);
    for (let index = 0; index < decoder.level.entries; index++) {
        decoder.decode(words, index, entry);
        const last = entries.at(-1);
        if (!absent && entry.kind === 'absent' && last?.kind === 'absent' && BigInt(last.entry) === entry.bits) {
            entries[entries.length - 1] = {
                ...last,
                count: last.count + 1,
                last: hex(linearOf(tables, base + (index + 1) * decoder.level.pages - 1) + 0xfffn),
            };
            continue;
        }
        const place = isRegisters ? undefined : address + index * decoder.level.size;
        entries.push(presentEntry(source, tables, decoder, entry, index, base, table.permissions, place, region));
    }
    return { ...whole, entries };
}

function levelNames(tables: PageTables): string {
    return tables.levels.map(({ structure }) => structure).join(', ');
}

/** What an entry leaves of what the levels above it allow. */
export function restrict(above: PagePermissions, decoder: EntryDecoder, entry: Entry): PagePermissions {
    if (!decoder.restricts) {
        return above;
    }
    return {
        writable: above.writable && (entry.lo & Bit.Writable) !== 0,
        user: above.user && (entry.lo & Bit.User) !== 0,
        executable: above.executable && !entry.noExecute,
    };
}

function presentEntry(
    source: InspectionSource,
    tables: PageTables,
    decoder: EntryDecoder,
    entry: Entry,
    index: number,
    base: number,
    above: PagePermissions,
    address: number | undefined,
    region: RegionName | undefined,
): PageTableEntry {
    const { level } = decoder;
    const first = linearOf(tables, base + index * level.pages);
    const { kind } = entry;
    const permissions = restrict(above, decoder, entry);
    const points = kind === 'page' || kind === 'table';
    const last = linearOf(tables, base + (index + 1) * level.pages - 1) + 0xfffn;
    const next = tables.levels[tables.levels.indexOf(level) + 1];
    return {
        structure: level.structure,
        index,
        count: 1,
        address: address === undefined ? undefined : hex(address),
        entry: hex(entry.bits),
        kind,
        first: hex(first),
        last: hex(last),
        bits: decoder.describe(entry),
        target: points ? hex(entry.target) : undefined,
        pageSize: kind === 'page' ? entry.pages * PAGE : undefined,
        permissions: points ? permissions : undefined,
        table:
            kind === 'table'
                ? { address: hex(entry.target), structure: next.structure, linear: hex(first), permissions }
                : undefined,
        label: kind === 'absent' ? undefined : (source.symbol(first) ?? region?.(first, last)),
        problem: kind === 'invalid' ? describeReserved(entry) : undefined,
    };
}
