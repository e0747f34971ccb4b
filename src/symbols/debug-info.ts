/**
 * What the debugging information of one program tells, by address and by source line. Addresses are those that the
 * program was linked at, in the form of `Cursor.address`; whoever loads it elsewhere adds the difference.
 */
import type { SourceOpener } from './byte-source';
import { SectionFlag, type ElfFile } from './elf-file';
import type { Die } from './dwarf/die';
import { type Block, blocksAt, entryOf, UnitFunctions } from './dwarf/blocks';
import { At } from './dwarf/constants';
import { DwarfFile } from './dwarf/dwarf-file';
import { type LineTable, RowFlag } from './dwarf/line-table';
import { UnitMap } from './dwarf/ranges';
import { SourceIndex } from './dwarf/source-index';
import type { Unit } from './dwarf/unit';
import { SymbolFileError } from './errors';

/** Units whose functions are kept. */
const KEPT_UNITS = 64;
/** Instances of a line beyond which no more are looked for. */
const MOST_INSTANCES = 10_000;
/** Lines of a function that is inlined, at most. */
const LONGEST_INLINED = 500;
/** Optimised code can be stopped at its first instruction; in other code parameters have no values there yet. */
const OPTIMISED = /(?:^|\s)-O(?:[1-3sgz]|fast)\b/;

/** A place in a source file. */
export interface SourcePosition {
    /** As the debugging information has it, normalized. */
    readonly path: string;
    /** 1-based; 0 for code that belongs to no line. */
    readonly line: number;
    /** 1-based; 0 for the whole line. */
    readonly column: number;
}

/** Where a breakpoint on a line goes: every instance of its code. */
export interface LineLocation extends SourcePosition {
    readonly addresses: readonly number[];
}

/** A place in a range of lines, with one address of its code. */
export interface LinePlace {
    readonly line: number;
    readonly column: number;
    readonly address: number;
}

export class DebugInfo {
    readonly dwarf: DwarfFile;
    readonly sources: SourceIndex;
    private readonly unitMap: UnitMap;
    private readonly functions = new Map<Unit, UnitFunctions>();
    private knownCode: readonly { readonly low: number; readonly high: number }[] | undefined;

    constructor(
        readonly elf: ElfFile,
        opener?: SourceOpener,
    ) {
        this.dwarf = new DwarfFile(elf, opener);
        this.sources = new SourceIndex(this.dwarf);
        this.unitMap = new UnitMap(this.dwarf);
    }

    /** Whether there is anything at all. */
    get isPresent(): boolean {
        return this.dwarf.hasInfo || this.dwarf.sections.get('line') !== undefined;
    }

    /** Whether a section with code covers the address. */
    isCode(address: number): boolean {
        this.knownCode ??= this.elf.sections
            .filter(({ flags }) => (flags & SectionFlag.Alloc) !== 0 && (flags & SectionFlag.Execute) !== 0)
            .map(section => ({ low: section.address, high: section.address + section.size }));
        return this.knownCode.some(({ low, high }) => address >= low && address < high);
    }

    /** Sections are no longer loaded. */
    codeChanged(): void {
        this.knownCode = undefined;
    }

    unitAt(address: number): Unit | undefined {
        return this.isCode(address) ? this.unitMap.unitAt(address) : undefined;
    }

    /** The blocks that an address lies in, from the function inwards; none where nothing is known. */
    blocksAt(address: number): readonly Block[] {
        const unit = this.unitAt(address);
        const root = unit && this.functionsOf(unit).at(address);
        return root === undefined ? [] : blocksAt(root, address);
    }

    functionsOf(unit: Unit): UnitFunctions {
        let functions = this.functions.get(unit);
        if (functions === undefined) {
            functions = new UnitFunctions(unit);
            this.functions.set(unit, functions);
            if (this.functions.size > KEPT_UNITS) {
                this.functions.delete(this.functions.keys().next().value!);
            }
        }
        return functions;
    }

    /** The source line of an instruction. */
    positionAt(address: number): SourcePosition | undefined {
        const found = this.rowAt(address);
        if (found === undefined) {
            return undefined;
        }
        const { table } = found;
        let { row } = found;
        // Line 0 is code that no line has led to (DWARF 5, 6.2.2): what came before tells best where it belongs.
        while (row > 0 && table.lines[row] === 0 && !table.endsSequence(row - 1)) row--;
        const path = this.sources.pathOf(table.header, table.files[row]);
        return path === '' ? undefined : { path, line: table.lines[row], column: table.columns[row] };
    }

    /** The row of the line table that an instruction belongs to: of several, one at which a debugger should stop. */
    rowAt(address: number): { readonly table: LineTable; readonly row: number } | undefined {
        const unit = this.unitAt(address);
        const table = unit && this.sources.tableOf(unit);
        const row = table?.rowAt(address) ?? -1;
        return table === undefined || row < 0 ? undefined : { table, row: statementAt(table, row) };
    }

    /**
     * Where to stop for a line: the code of the line or, if it has none, of the next one that has some. All instances
     * of it: functions are inlined and templates instantiated in many places.
     * @param line 1-based
     * @param column 1-based: the code that begins there or next; without it the line's first
     * @returns one location for each file that the path can mean
     */
    locate(path: string, line: number, column?: number): LineLocation[] {
        const found: LineLocation[] = [];
        for (const { path: full, tables } of this.sources.matching(path)) {
            const candidates = this.rowsFrom(tables, line);
            if (candidates.length === 0) continue;
            const best = candidates.reduce((least, { table, row }) => Math.min(least, table.lines[row]), Infinity);
            let rows = candidates.filter(({ table, row }) => table.lines[row] === best);
            let bestColumn = 0;
            if (column !== undefined && best === line) {
                const columns = rows.map(({ table, row }) => table.columns[row]).filter(value => value >= column);
                if (columns.length > 0) {
                    bestColumn = Math.min(...columns);
                    rows = rows.filter(({ table, row }) => table.columns[row] === bestColumn);
                }
            }
            const addresses = this.instances(rows);
            if (addresses.length > 0) found.push({ path: full, line: best, column: bestColumn, addresses });
        }
        return found;
    }

    /** Lines of a file that have code, in a range, with the columns at which statements begin. */
    linesWithCode(path: string, first: number, last: number): LinePlace[] {
        const places = new Map<number, LinePlace>();
        for (const { tables } of this.sources.matching(path)) {
            for (const { header, files } of tables) {
                const table = this.sources.table(header);
                for (let row = 0; row < table.count; row++) {
                    const line = table.lines[row];
                    if (line < first || line > last || !files.includes(table.files[row])) continue;
                    if (!isPlace(table, row)) continue;
                    const key = line * 0x10000 + table.columns[row];
                    if (places.has(key)) continue;
                    places.set(key, { line, column: table.columns[row], address: table.addresses[row] });
                }
            }
        }
        return [...places].sort(([a], [b]) => a - b).map(([, place]) => place);
    }

    /** Rows at which a line of the files begins, the wanted one or a later one: the least line of each table. */
    private rowsFrom(
        tables: readonly { readonly header: number; readonly files: readonly number[] }[],
        wanted: number,
    ): { table: LineTable; row: number }[] {
        const found: { table: LineTable; row: number }[] = [];
        for (const { header, files } of tables) {
            const table = this.sources.table(header);
            const inFile = new Uint8Array(Math.max(table.header.fileNames.length, ...files) + 1);
            for (const file of files) inFile[file] = 1;
            let least = Infinity;
            let rows: number[] = [];
            for (let row = 0; row < table.count; row++) {
                const line = table.lines[row];
                if (line < wanted || line > least || inFile[table.files[row]] !== 1 || !isPlace(table, row)) continue;
                // Rows in a row of the same line are one place.
                if (row > 0 && table.lines[row - 1] === line && table.files[row - 1] === table.files[row]) {
                    const previous = table.flags[row - 1];
                    const goesOn = (previous & RowFlag.EndSequence) === 0 && (previous & RowFlag.Statement) !== 0;
                    if (goesOn && line === least) continue;
                }
                if (line < least) {
                    least = line;
                    rows = [];
                }
                rows.push(row);
            }
            for (const row of rows) {
                if (found.length < MOST_INSTANCES) found.push({ table, row });
            }
        }
        return found;
    }

    /** The addresses to stop at: one for each function and each inlined instance of it. */
    private instances(rows: readonly { readonly table: LineTable; readonly row: number }[]): number[] {
        const byBlock = new Map<Block | number, number>();
        for (const { table, row } of rows) {
            const address = table.addresses[row];
            if (!this.isCode(address)) continue; // left over from a function that the linker dropped
            const block = this.blocksOrNone(address)
                .filter(({ kind }) => kind !== 'lexical')
                .at(-1);
            const key = block ?? address;
            const stop = block === undefined ? address : this.afterPrologue(block, table, row);
            const known = byBlock.get(key);
            if (known === undefined || stop < known) byBlock.set(key, stop);
        }
        return [...new Set(byBlock.values())].sort((a, b) => a - b);
    }

    /**
     * Where copies of an inlined function begin.
     * @param die that declares it, with its name
     */
    inlinedCopies(die: Die): number[] {
        const name = die.effectiveName;
        const declared = this.placeOf(die, At.DeclFile, At.DeclLine);
        if (name === undefined || declared === undefined) return [];
        const entries = new Set<number>();
        for (const { tables } of this.sources.matching(declared.path)) {
            for (const { header, files } of tables) {
                const table = this.sources.table(header);
                for (let row = 0; row < table.count && entries.size < MOST_INSTANCES; row++) {
                    const line = table.lines[row];
                    if (line < declared.line || line > declared.line + LONGEST_INLINED) continue;
                    if (!files.includes(table.files[row]) || table.endsSequence(row)) continue;
                    for (const block of this.blocksOrNone(table.addresses[row])) {
                        const entry =
                            block.kind === 'inlined' && this.nameOf(block) === name ? entryOf(block) : undefined;
                        if (entry !== undefined && this.isCode(entry)) entries.add(entry);
                    }
                }
            }
        }
        return [...entries].sort((a, b) => a - b);
    }

    private blocksOrNone(address: number): readonly Block[] {
        try {
            return this.blocksAt(address);
        } catch (error) {
            if (!(error instanceof SymbolFileError)) throw error;
            return [];
        }
    }

    private afterPrologue(block: Block, table: LineTable, row: number): number {
        const address = table.addresses[row];
        return block.kind === 'function' && address === entryOf(block) && this.hasPrologue(block)
            ? this.behindPrologue(block, table, row)
            : address;
    }

    /** Where a function's arguments are in place: at once in optimised code. */
    bodyOf(block: Block): number | undefined {
        const entry = entryOf(block);
        const found = entry === undefined ? undefined : this.rowAt(entry);
        if (entry === undefined || found === undefined || !this.hasPrologue(block)) {
            return entry;
        }
        return this.behindPrologue(block, found.table, found.row);
    }

    private hasPrologue(block: Block): boolean {
        const { producer } = block.die.unit;
        return block.kind === 'function' && /GNU C|clang/.test(producer) && !OPTIMISED.test(producer);
    }

    private behindPrologue({ ranges }: Block, table: LineTable, row: number): number {
        const address = table.addresses[row];
        const end = ranges.find(({ low, high }) => address >= low && address < high)?.high ?? address;
        for (let next = row + 1; next < table.count && !table.endsSequence(next); next++) {
            const at = table.addresses[next];
            if (at >= end) break;
            if (at > address && table.isStatement(next)) return at;
        }
        return address;
    }

    /** Whether the frame's variables are described by location lists: then they have values everywhere. */
    isOptimised(unit: Unit): boolean {
        return OPTIMISED.test(unit.producer);
    }

    /** Name of a block's function as the source has it. */
    nameOf(block: Block): string | undefined {
        return block.die.effectiveName;
    }

    /** Where an inlined function was called. */
    callSiteOf({ die }: Block): SourcePosition | undefined {
        const place = this.placeOf(die, At.CallFile, At.CallLine);
        return place && { ...place, column: die.number(At.CallColumn) ?? 0 };
    }

    /** What two attributes say of a place in a source. */
    private placeOf(die: Die, fileAttribute: At, lineAttribute: At): Pick<SourcePosition, 'path' | 'line'> | undefined {
        const unit = die.unit.skeleton ?? die.unit;
        // Numbers of files are those of another table where the entry is in a file that programs share.
        const table = unit.file === this.dwarf ? this.sources.tableOf(unit) : undefined;
        const file = die.number(fileAttribute);
        const line = die.number(lineAttribute);
        if (table === undefined || file === undefined || line === undefined) {
            return undefined;
        }
        const path = this.sources.pathOf(table.header, file);
        return path === '' ? undefined : { path, line };
    }
}

/** Whether a debugger may stop at a row. */
function isPlace(table: LineTable, row: number): boolean {
    return (table.flags[row] & (RowFlag.Statement | RowFlag.EndSequence)) === RowFlag.Statement && table.lines[row] > 0;
}

/** Of the rows at one address, the one that begins a statement. */
function statementAt(table: LineTable, last: number): number {
    for (let row = last; row >= 0 && table.addresses[row] === table.addresses[last]; row--) {
        if (table.isStatement(row) && table.lines[row] !== 0) {
            return row;
        }
    }
    return last;
}
