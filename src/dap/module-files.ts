/** Files of kernel modules in folders that the user names, found by the module's name. */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import type { ByteSource } from '../symbols/byte-source';
import { openCompressed } from '../symbols/compressed-file';
import { SymbolFileError } from '../symbols/errors';
import { openFile } from './symbol-files';

/** Entries of folders that are looked at: a built kernel tree has some 100,000. */
const MOST_ENTRIES = 500_000;
const MODULE = /^(.+)\.ko(\.debug)?(\.gz|\.zst|\.xz)?$/;

export class ModuleFiles {
    private known: Map<string, string[]> | undefined;

    constructor(private readonly directories: readonly string[]) {}

    /** Whether there are any folders to look in. */
    get areThere(): boolean {
        return this.directories.length > 0;
    }

    /**
     * Files of a module, those with code before those with debugging information alone.
     * @param name as the kernel has it: with underscores, where file names may have dashes
     */
    of(name: string): readonly string[] {
        this.known ??= this.collect();
        return this.known.get(name) ?? [];
    }

    private collect(): Map<string, string[]> {
        const found = new Map<string, string[]>();
        let left = MOST_ENTRIES;
        const folders = [...this.directories];
        for (let folder = folders.shift(); folder !== undefined && left > 0; folder = folders.shift()) {
            for (const entry of entriesOf(folder)) {
                left--;
                const full = path.join(folder, entry.name);
                if (entry.isDirectory()) {
                    folders.push(full);
                    continue;
                }
                const match = MODULE.exec(entry.name);
                if (match === null) continue;
                const name = match[1].replace(/-/g, '_');
                const files = found.get(name) ?? [];
                found.set(name, match[2] === undefined ? [full, ...files] : [...files, full]);
            }
        }
        return found;
    }
}

/** Links to folders are not followed: they lead out, or round and round. */
function entriesOf(folder: string): { name: string; isDirectory(): boolean }[] {
    try {
        return readdirSync(folder, { withFileTypes: true });
    } catch {
        return [];
    }
}

/** A module's file, decompressed in memory if it is compressed. @throws SymbolFileError */
export function openModule(file: string): ByteSource & { close?(): void } {
    const compression = MODULE.exec(path.basename(file))?.[3];
    if (compression === undefined) {
        return openFile(file);
    }
    if (compression === '.xz') {
        throw new SymbolFileError(`${file}: is compressed with xz, which cannot be read: unpack it`);
    }
    const source = openFile(file);
    try {
        return openCompressed(source, compression === '.gz' ? 'gzip' : 'zstd');
    } finally {
        source.close();
    }
}
