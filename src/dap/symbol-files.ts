/** Symbol files on disk: opened, and read piece by piece. */
import { closeSync, existsSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import path from 'node:path';
import type { ByteSource, SourceOpener } from '../symbols/byte-source';
import { whatIsReadable } from '../debug/source/program-lines';
import { isElf } from '../symbols/elf';
import { SymbolFileError } from '../symbols/errors';
import { Program, ProgramSet } from '../symbols/program';
import { type PlainSymbols, readPlainSymbols } from '../symbols/plain-symbols';
import { type SymbolSource, SymbolTable } from '../symbols/symbol-table';
import { BackgroundIndex } from './background-index';
import { RequestError } from './request-error';
import { programProblem, whyWithoutSymbols } from './symbol-problems';

/** A file of the guest, and what it tells. */
export interface GuestModule {
    readonly path: string;
    /** The program, if the file is one with code. */
    readonly program?: Program;
    readonly symbols?: SymbolSource;
}

/** @throws SymbolFileError if there is no such file, or it cannot be read */
export function openFile(name: string): ByteSource & { close(): void } {
    let descriptor: number;
    try {
        descriptor = openSync(name, 'r');
    } catch (error) {
        throw new SymbolFileError(`${name}: ${describe(error)}`);
    }
    const stat = fstatSync(descriptor);
    if (!stat.isFile()) {
        closeSync(descriptor);
        throw new SymbolFileError(`${name}: is no file`);
    }
    let open = true;
    return {
        name,
        size: stat.size,
        read(offset, length) {
            if (!open) {
                throw new SymbolFileError(`${name}: has been closed`);
            }
            const wanted = Math.max(0, Math.min(length, stat.size - offset));
            const bytes = Buffer.allocUnsafeSlow(wanted);
            try {
                let done = 0;
                while (done < wanted) {
                    const count = readSync(descriptor, bytes, done, wanted - done, offset + done);
                    if (count === 0) break;
                    done += count;
                }
                return new Uint8Array(bytes.buffer, 0, done);
            } catch (error) {
                throw new SymbolFileError(`${name}: ${describe(error)}`);
            }
        },
        close() {
            if (open) {
                open = false;
                closeSync(descriptor);
            }
        },
    };
}

function describe(error: unknown): string {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'ENOENT' ? 'no such file' : code === 'EISDIR' ? 'is a directory' : `cannot be read (${code})`;
}

/** The symbol files of a guest; their files stay open while it lives. */
export class SymbolFiles {
    readonly table = new SymbolTable();
    readonly programs = new ProgramSet();
    /** Lists of symbols without anything else. */
    readonly plain: PlainSymbols[] = [];
    readonly modules: GuestModule[] = [];
    /** What users should know of the files that they have named. */
    readonly notes: string[] = [];
    /** Programs whose names are being read. */
    readonly indexing: BackgroundIndex[] = [];
    /** Folders with files of modules, and of separate debugging information. */
    readonly directories: string[] = [];
    private readonly opened: { close(): void }[] = [];
    readonly opener: SourceOpener = {
        open: name => (existsSync(name) ? this.track(openFile(name)) : undefined),
        directories: this.directories,
    };

    /**
     * Reads the symbols of a file, which may be ELF, or text as `nm` writes it; another one has none. What is in a folder
     * is read when the guest has loaded it.
     * @param attribute of the launch configuration that names it
     * @throws HyperscopeError if the file cannot be read, or is corrupt
     */
    add(attribute: string, name: string): void {
        if (this.modules.some(module => path.resolve(module.path) === path.resolve(name))) {
            return;
        }
        if (statSync(name, { throwIfNoEntry: false })?.isDirectory() === true) {
            this.directories.push(path.resolve(name));
            return;
        }
        let source: ByteSource;
        try {
            source = this.track(openFile(name));
        } catch (error) {
            const from = path.isAbsolute(name) ? '' : ` (looked for in ${process.cwd()})`;
            throw new RequestError(`${attribute}: ${(error as Error).message}${from}`);
        }
        if (!isElf(source.read(0, 16))) {
            const plain = readPlainSymbols(source);
            if (plain !== undefined) {
                this.table.addSource(plain.symbols);
                this.plain.push(plain);
            } else if (attribute === 'symbols') {
                this.notes.push(whyWithoutSymbols(source));
            }
            this.modules.push({ path: name, symbols: plain?.symbols });
            return;
        }
        const program = new Program(source, this.opener);
        if (attribute === 'symbols') whatIsReadable(() => program.info.dwarf.openFirstSplit());
        const problem = attribute === 'symbols' ? programProblem(program) : undefined;
        if (problem !== undefined) this.notes.push(problem.startsWith(name) ? problem : `${name}: ${problem}`);
        this.modules.push({ path: name, program, symbols: program.symbols });
        this.addProgram(program);
    }

    /** A program that is loaded, with its symbols. */
    addProgram(program: Program): void {
        this.table.addSource(program.symbols);
        this.programs.programs.push(program);
        const indexing = BackgroundIndex.start(program, this.directories);
        if (indexing !== undefined) this.indexing.push(indexing);
    }

    /** It is no longer loaded. */
    removeProgram(program: Program): void {
        this.table.removeSource(program.symbols);
        const { programs } = this.programs;
        if (programs.includes(program)) programs.splice(programs.indexOf(program), 1);
        const indexing = this.indexing.findIndex(index => index.program === program);
        if (indexing >= 0) this.indexing.splice(indexing, 1)[0].cancel();
    }

    close(): void {
        for (const indexing of this.indexing.splice(0)) indexing.cancel();
        for (const file of this.opened.splice(0)) file.close();
    }

    private track<T extends { close(): void }>(file: T): T {
        this.opened.push(file);
        return file;
    }
}
