/** Where source files are on this machine: by `sourceMap`, and beside the program that was compiled from them. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { PathMapping } from '../debug/source/program-lines';
import { isAbsolute, normalizePath } from '../symbols/paths';

/** Folders above a program's own in which relative paths are looked for. */
const FOLDERS_ABOVE = 3;

export class SourceMap implements PathMapping {
    /** Longest prefix first: it says the most. */
    private readonly entries: readonly { readonly from: string; readonly to: string }[];
    private readonly known = new Map<string, string>();

    /**
     * @param map prefixes of paths as the compiler wrote them down, and what stands for them here
     * @param programs files with debugging information
     */
    constructor(
        map: Readonly<Record<string, string>>,
        private readonly programs: readonly string[],
    ) {
        this.entries = Object.entries(map)
            .map(([from, to]) => ({ from: normalizePath(from), to: normalizePath(to) }))
            .sort((a, b) => b.from.length - a.from.length);
    }

    toLocal(compiled: string): string {
        let local = this.known.get(compiled);
        if (local === undefined) {
            local = this.find(compiled);
            this.known.set(compiled, local);
        }
        return local;
    }

    toCompiled(local: string): readonly string[] {
        const wanted = normalizePath(local);
        const mapped = this.entries
            .map(({ from, to }) => replacePrefix(wanted, to, from))
            .filter(candidate => candidate !== undefined);
        return [...mapped, local];
    }

    private find(compiled: string): string {
        for (const { from, to } of this.entries) {
            const mapped = replacePrefix(compiled, from, to);
            if (mapped !== undefined) return mapped;
        }
        if (isAbsolute(compiled)) {
            return compiled;
        }
        // Builds that can be reproduced leave out where they were made.
        for (const program of this.programs) {
            let folder = path.dirname(path.resolve(program));
            for (let level = 0; level <= FOLDERS_ABOVE; level++) {
                const candidate = path.join(folder, compiled);
                if (existsSync(candidate)) return candidate;
                folder = path.dirname(folder);
            }
        }
        return compiled;
    }
}

/** A path whose first components are replaced; undefined if it does not begin with them. `.` is every relative path. */
function replacePrefix(whole: string, from: string, to: string): string | undefined {
    if (from === '' || from === '.') {
        return isAbsolute(whole) ? undefined : `${to}/${whole}`;
    }
    const prefix = from.endsWith('/') ? from : `${from}/`;
    if (!whole.startsWith(prefix)) {
        return whole === from ? to : undefined;
    }
    const rest = whole.slice(prefix.length);
    return to === '' || to === '.' ? rest : `${to.endsWith('/') ? to : `${to}/`}${rest}`;
}
