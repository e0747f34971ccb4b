/** Who maps a physical page: all page tables that are asked about, searched for it. */
import type { InspectionSource } from '../../debug/inspection-source';
import type { PagePermissions } from '../../messages/common';
import { hex } from '../hex';
import { Bit, decoders, Entry, linearOf, type PageTables } from './paging-format';
import { halvesOf, permissionsOf, readTable, Key } from './ranges';

const PAGE = 0x1000;
/** As for ranges: page tables that contain themselves have no end. */
const MOST_TABLES = 0x4000;
const MOST_USES = 16;

export interface ReverseMapping {
    readonly linear: bigint;
    readonly pageSize: number;
    readonly permissions: PagePermissions;
}

export interface ReverseMap {
    readonly mappings: readonly ReverseMapping[];
    readonly more: boolean;
    /** The page is one of these tables: `PT of 0x400000`. */
    readonly usedAs: readonly string[];
}

class Search {
    readonly mappings: ReverseMapping[] = [];
    readonly usedAs: string[] = [];
    more = false;
    private tables = 0;
    private readonly decoders;
    private readonly entries;
    /** Tables (with their depth) that have been found not to lead to the page: shared ones are looked at once. */
    private readonly barren = new Set<number>();

    constructor(
        private readonly source: Pick<InspectionSource, 'page'>,
        private readonly pageTables: PageTables,
        private readonly physical: number,
        private readonly limit: number,
    ) {
        this.decoders = decoders(pageTables);
        this.entries = this.decoders.map(() => new Entry());
    }

    run(): ReverseMap {
        if (this.decoders.length > 0) {
            this.visit(0, this.pageTables.root, 0, Key.Writable | Key.User | Key.Executable);
        }
        return { mappings: this.mappings, more: this.more, usedAs: this.usedAs };
    }

    /** @returns whether anything was found below */
    private visit(depth: number, address: number, base: number, rights: number): boolean {
        const decoder = this.decoders[depth];
        const { level } = decoder;
        let found = false;
        if (address - (address % PAGE) === this.physical) {
            found = true;
            if (this.usedAs.length < MOST_USES) {
                this.usedAs.push(`${level.table} of ${hex(linearOf(this.pageTables, base))}`);
            }
        }
        const id = address * 8 + depth;
        if (this.barren.has(id)) {
            return false;
        }
        if (this.tables >= MOST_TABLES || this.mappings.length >= this.limit) {
            this.more = true;
            return true;
        }
        this.tables++;
        const registers = depth === 0 && this.pageTables.mode === 'pae' ? this.pageTables.pdptes : undefined;
        const table =
            registers === undefined ? readTable(this.source, address) : Uint32Array.from(registers.flatMap(halvesOf));
        if (table === undefined) {
            return found;
        }
        const entry = this.entries[depth];
        const step = level.size / 4;
        for (let index = 0; index < level.entries; index++) {
            if ((table[index * step] & Bit.Present) === 0) continue;
            decoder.decode(table, index, entry);
            if (entry.kind === 'invalid') continue;
            let allowed = rights;
            if (decoder.restricts) {
                if ((entry.lo & Bit.Writable) === 0) allowed &= ~Key.Writable;
                if ((entry.lo & Bit.User) === 0) allowed &= ~Key.User;
                if (entry.noExecute) allowed &= ~Key.Executable;
            }
            const page = base + index * level.pages;
            if (entry.kind === 'table') {
                if (this.visit(depth + 1, entry.target, page, allowed)) found = true;
            } else if (this.physical >= entry.target && this.physical < entry.target + entry.pages * PAGE) {
                found = true;
                if (this.mappings.length >= this.limit) {
                    this.more = true;
                    break;
                }
                const offset = BigInt(this.physical - entry.target);
                this.mappings.push({
                    linear: linearOf(this.pageTables, page) + offset,
                    pageSize: entry.pages * PAGE,
                    permissions: permissionsOf(allowed),
                });
            }
        }
        if (!found) {
            this.barren.add(id);
        }
        return found;
    }
}

/** @param physical address of a 4 KiB page */
export function reverseMap(
    source: Pick<InspectionSource, 'page'>,
    tables: PageTables,
    physical: number,
    limit: number,
): ReverseMap {
    return new Search(source, tables, physical, limit).run();
}
