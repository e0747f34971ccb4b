/** Which line tables know a source file, and where a line's code is. */
import { SymbolFileError } from '../errors';
import { baseName, commonTail, isAbsolute, joinPath, normalizePath } from '../paths';
import { At } from './constants';
import type { DwarfFile } from './dwarf-file';
import type { FileIndex } from './index-file';
import { type LineHeader, readLineHeader, StringCache } from './line-header';
import { type LineTable, runLineProgram } from './line-table';
import type { Unit } from './unit';

/** Line tables that are kept. */
const KEPT_TABLES = 64;

/** A source file as the debugging information names it. */
export interface SourceFile {
    /** Absolute if the compiler told where it ran; normalized. */
    readonly path: string;
    /** The line tables with code of it, and its numbers in them. */
    readonly tables: readonly { readonly header: number; readonly files: readonly number[] }[];
}

/** A row of a line table that stands for a line. */
export interface LineRow {
    readonly table: LineTable;
    readonly row: number;
}

export class SourceIndex {
    private readonly strings: StringCache;
    private readonly tables = new Map<number, LineTable>();
    private readonly found = new Map<string, SourceFile[]>();
    private directories: ReadonlyMap<number, string> | undefined;

    /** Knows line tables by the base names of their files, without reading all headers. */
    private known: Pick<FileIndex, 'headersOf'> | undefined;

    constructor(private readonly file: DwarfFile) {
        this.strings = new StringCache(file.sections);
    }

    adopt(known: Pick<FileIndex, 'headersOf'>): void {
        this.known = known;
    }

    /**
     * Files that a path can mean: those with as many of its last components as any has, but its base name at least. A
     * relative path has to match as a whole.
     */
    matching(path: string): SourceFile[] {
        const wanted = normalizePath(path);
        const name = baseName(wanted);
        const least = isAbsolute(wanted) ? 1 : wanted.split('/').length;
        const candidates = this.named(name).map(file => ({ file, common: commonTail(file.path, wanted) }));
        const most = candidates.reduce((best, { common }) => Math.max(best, common), least);
        return candidates.filter(({ common }) => common === most).map(({ file }) => file);
    }

    /** The line table at an offset of `.debug_line`, run. @throws SymbolFileError */
    table(offset: number, addressSize: number = this.file.elf.addressSize): LineTable {
        let table = this.tables.get(offset);
        if (table === undefined) {
            const header = this.header(offset, addressSize);
            const { program, end } = header;
            table = runLineProgram(header, this.section!.cursor(program, end - program));
            this.tables.set(offset, table);
            if (this.tables.size > KEPT_TABLES) {
                this.tables.delete(this.tables.keys().next().value!);
            }
        }
        return table;
    }

    /** The line table of a unit; undefined if it has none. */
    tableOf(unit: Unit): LineTable | undefined {
        const offset = unit.root.number(At.StmtList);
        return offset === undefined || this.section === undefined
            ? undefined
            : this.table(offset, unit.format.addressSize);
    }

    /** The path of a file by its number in a table. */
    pathOf(header: LineHeader, file: number, directory = this.directoryOf(header)): string {
        const name = header.fileNames[file] as string | undefined;
        if (name === undefined || name === '') {
            return '';
        }
        return normalizePath(
            joinPath(directory, joinPath(header.directories[header.fileDirectories[file]] ?? '', name)),
        );
    }

    /** All headers in the section, in its order. What cannot be read is left out. */
    *headers(): Generator<LineHeader> {
        const { section } = this;
        if (section === undefined) {
            return;
        }
        for (let offset = 0; offset < section.size;) {
            let header: LineHeader;
            try {
                header = this.header(offset, this.file.elf.addressSize);
            } catch (error) {
                if (!(error instanceof SymbolFileError)) throw error;
                this.file.problems.push(error.message);
                const end = this.endOf(offset);
                if (end === undefined) return;
                offset = end;
                continue;
            }
            yield header;
            offset = header.end;
        }
    }

    /** Paths of all files that line tables name. */
    paths(): Set<string> {
        const found = new Set<string>();
        for (const header of this.headers()) {
            const directory = this.directoryOf(header);
            header.fileNames.forEach((_, number) => {
                const path = this.pathOf(header, number, directory);
                if (path !== '') found.add(path);
            });
        }
        return found;
    }

    /** Base names of all files with the headers that list them. */
    namesToHeaders(): Map<string, number[]> {
        const found = new Map<string, number[]>();
        for (const { offset, fileNames } of this.headers()) {
            for (const fileName of fileNames) {
                const name = baseName(fileName);
                const offsets = found.get(name);
                if (offsets === undefined) found.set(name, [offset]);
                else if (offsets.at(-1) !== offset) offsets.push(offset);
            }
        }
        return found;
    }

    private get section(): ReturnType<DwarfFile['sections']['get']> {
        return this.file.sections.get('line');
    }

    private header(offset: number, addressSize: number): LineHeader {
        const section = this.section;
        if (section === undefined) {
            throw new SymbolFileError(`${this.file.elf.name}: .debug_line is missing`);
        }
        const header = section.scan(offset, cursor => readLineHeader(cursor, offset, addressSize, this.strings));
        if (header.end > section.size) {
            throw new SymbolFileError(`${section.what}: truncated: the line table at 0x${offset.toString(16)}`);
        }
        return header;
    }

    /** Where the next header is, if this one tells that much. */
    private endOf(offset: number): number | undefined {
        try {
            const section = this.section!;
            const cursor = section.cursor(offset, Math.min(12, section.size - offset));
            const { length } = cursor.initialLength();
            const end = offset + cursor.at + length;
            return end <= section.size ? end : undefined;
        } catch (error) {
            if (error instanceof SymbolFileError) return undefined;
            throw error;
        }
    }

    /** Before version 5 only the unit knows where the compiler ran; version 5 may say it relative to nothing. */
    private directoryOf(header: LineHeader): string {
        const own = header.directories.at(0) ?? '';
        if (own !== '') {
            return own;
        }
        this.directories ??= new Map(
            this.file.units.map(unit => [unit.root.number(At.StmtList) ?? -1, unit.compilationDirectory]),
        );
        return this.directories.get(header.offset) ?? '';
    }

    private named(name: string): SourceFile[] {
        let files = this.found.get(name);
        if (files === undefined) {
            files = this.search(name);
            this.found.set(name, files);
        }
        return files;
    }

    private search(name: string): SourceFile[] {
        const byPath = new Map<string, { header: number; files: number[] }[]>();
        for (const header of this.headersNaming(name)) {
            header.fileNames.forEach((fileName, number) => {
                if (!fileName.endsWith(name) || baseName(fileName) !== name) return;
                const path = this.pathOf(header, number);
                const tables = byPath.get(path);
                if (tables === undefined) {
                    byPath.set(path, [{ header: header.offset, files: [number] }]);
                } else if (tables.at(-1)!.header === header.offset) {
                    tables.at(-1)!.files.push(number);
                } else {
                    tables.push({ header: header.offset, files: [number] });
                }
            });
        }
        return [...byPath].map(([path, tables]) => ({ path, tables }));
    }

    private *headersNaming(name: string): Generator<LineHeader> {
        const offsets = this.known?.headersOf(name);
        if (offsets === undefined) {
            yield* this.headers();
            return;
        }
        for (const offset of offsets) yield this.header(offset, this.file.elf.addressSize);
    }
}
