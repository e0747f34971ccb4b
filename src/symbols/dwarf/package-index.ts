/** The index of a package of split DWARF, `.debug_cu_index` (DWARF 5, 7.3.5; GNU's version 2 before). */
import { SymbolFileError } from '../errors';
import type { DwarfSections } from './sections';
import type { Contributions, UnitHeader } from './unit';

export type { Contributions } from './unit';

interface PackageRow {
    /** Offset of the unit in `.debug_info.dwo`. */
    readonly info: number;
    readonly contributions: Contributions;
}

/** Columns: DW_SECT_*, in the numbering of each version. */
const COLUMNS: Readonly<Record<number, Readonly<Record<number, keyof Contributions | 'info'>>>> = {
    2: { 1: 'info', 3: 'abbrev', 4: 'line', 5: 'loclists', 6: 'strOffsets' },
    5: { 1: 'info', 3: 'abbrev', 4: 'line', 5: 'loclists', 6: 'strOffsets', 8: 'rnglists' },
};

const MOST_ROWS = 1 << 24;

const known = new WeakMap<DwarfSections, Map<bigint, PackageRow>>();

/** Units by their dwo id; undefined if the file is no package. */
export function readPackageIndex(sections: DwarfSections): ReadonlyMap<bigint, PackageRow> | undefined {
    const section = sections.get('cu_index');
    if (section === undefined) {
        return undefined;
    }
    let rows = known.get(sections);
    if (rows === undefined) {
        rows = new Map();
        known.set(sections, rows);
        const cursor = section.cursor();
        const version = cursor.u32() & 0xffff;
        const columns = COLUMNS[version];
        const columnCount = cursor.u32();
        const unitCount = cursor.u32();
        const slots = cursor.u32();
        if (columns === undefined || columnCount > 16 || unitCount > MOST_ROWS || slots > MOST_ROWS) {
            throw new SymbolFileError(`${section.what}: corrupt, or of version ${version}: 2 and 5 can be read`);
        }
        const signatures = Array.from({ length: slots }, () => cursor.u64());
        const indices = Array.from({ length: slots }, () => cursor.u32());
        const kinds = Array.from({ length: columnCount }, () => cursor.u32());
        const offsets = Array.from({ length: unitCount }, () => kinds.map(() => cursor.u32()));
        signatures.forEach((signature, slot) => {
            const row = offsets.at(indices[slot] - 1);
            if (indices[slot] === 0 || row === undefined) return;
            const found = { info: 0, abbrev: 0, line: 0, loclists: 0, strOffsets: 0, rnglists: 0 };
            kinds.forEach((kind, column) => {
                const name = columns[kind];
                if (name !== undefined) found[name] = row[column];
            });
            const { info, ...contributions } = found;
            rows!.set(signature, { info, contributions });
        });
    }
    return rows;
}

/** What a package's index says of the unit with this header. */
export function contributionsOf(sections: DwarfSections, { offset }: UnitHeader): Contributions | undefined {
    const index = readPackageIndex(sections);
    if (index === undefined) {
        return undefined;
    }
    for (const row of index.values()) {
        if (row.info === offset) return row.contributions;
    }
    return undefined;
}
