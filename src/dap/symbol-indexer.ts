/** A worker thread that reads all names of a program, and keeps them on disk for the next session. */
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { ElfFile } from '../symbols/elf-file';
import { DwarfFile } from '../symbols/dwarf/dwarf-file';
import { encodeIndex, makeFileTable } from '../symbols/dwarf/index-file';
import { NameCollector } from '../symbols/dwarf/name-index';
import { SourceIndex } from '../symbols/dwarf/source-index';
import { openFile } from './symbol-files';

export interface IndexerTask {
    /** The file with the debugging information. */
    readonly file: string;
    /** Folders in which files that it shares with others may be. */
    readonly directories: readonly string[];
    /** Where to keep the result. */
    readonly cache: string | undefined;
}

export type IndexerMessage =
    | { readonly kind: 'progress'; readonly share: number }
    | { readonly kind: 'done'; readonly index: Uint8Array }
    | { readonly kind: 'failed'; readonly problem: string };

/** Units between two words on how far it is. */
const UNITS_A_REPORT = 64;

function index({ file, directories, cache }: IndexerTask, tell: (message: IndexerMessage) => void): void {
    const opener = { open: (name: string) => (existsSync(name) ? openFile(name) : undefined), directories };
    const dwarf = new DwarfFile(new ElfFile(openFile(file)), opener);
    const collector = new NameCollector(dwarf);
    const { units } = dwarf;
    units.forEach((unit, number) => {
        collector.add(unit);
        if (number % UNITS_A_REPORT === 0) tell({ kind: 'progress', share: number / units.length });
    });
    const files = makeFileTable(new SourceIndex(dwarf).namesToHeaders());
    const bytes = encodeIndex({ names: collector.table, files });
    // What is missing of other files may be there the next time.
    const usesOthers = dwarf.isSplit || dwarf.elf.section('.gnu_debugaltlink') !== undefined;
    const isWhole = !usesOthers || dwarf.problems.length === 0;
    if (cache !== undefined && isWhole) keep(cache, bytes);
    tell({ kind: 'done', index: bytes });
}

/** Never half a file, and never a reason to fail: the index is made anew where it cannot be kept. */
function keep(cache: string, bytes: Uint8Array): void {
    try {
        mkdirSync(path.dirname(cache), { recursive: true });
        const temporary = `${cache}.${process.pid}.new`;
        writeFileSync(temporary, bytes);
        renameSync(temporary, cache);
    } catch {
        // A read-only home, a full disk.
    }
}

if (!isMainThread && parentPort !== null) {
    const port = parentPort;
    try {
        index(workerData as IndexerTask, message => port.postMessage(message));
    } catch (error) {
        port.postMessage({ kind: 'failed', problem: (error as Error).message } satisfies IndexerMessage);
    }
}
