/** What stands above instructions in a listing: the source lines that they were compiled from. */
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import type { DebugTarget } from '../debug/target';

/** Files whose lines are kept at hand. */
const KEPT_FILES = 16;
/** Longer files are no sources. */
const LARGEST_FILE = 4 * 2 ** 20;
/** Characters of a source line that are shown. */
const LONGEST_LINE = 160;

/** Lines of the source files of this machine. */
export class SourceText {
    private readonly files = new Map<string, readonly string[]>();

    /** @param isAllowed whether files that debugging information names may be read: not for clients on other machines */
    constructor(private readonly isAllowed: () => boolean) {}

    /** A line (from 1) without the white space around it; undefined where there is no such file, or line. */
    line(file: string, line: number): string | undefined {
        if (!this.isAllowed()) {
            return undefined;
        }
        let lines = this.files.get(file);
        if (lines === undefined) {
            lines = readLines(file);
            this.files.set(file, lines);
            if (this.files.size > KEPT_FILES) {
                this.files.delete(this.files.keys().next().value!);
            }
        }
        const text = lines
            .at(line - 1)
            ?.replace(/\s+/g, ' ')
            .replace(/\p{C}/gu, '')
            .trim();
        return text === undefined || text.length <= LONGEST_LINE ? text : `${text.slice(0, LONGEST_LINE)}…`;
    }
}

function readLines(file: string): readonly string[] {
    try {
        const found = statSync(file);
        return found.isFile() && found.size <= LARGEST_FILE ? readFileSync(file, 'utf8').split('\n') : [];
    } catch {
        return [];
    }
}

/**
 * By address of an instruction: the comment above it, where another line's code begins. Code of inlined functions is
 * named in its own source, with the place of the call.
 */
export async function sourceHeadings(
    target: DebugTarget,
    addresses: readonly bigint[],
    text: SourceText,
): Promise<ReadonlyMap<bigint, string>> {
    const headings = new Map<bigint, string>();
    const { sourceLines } = target;
    if (sourceLines === undefined) {
        return headings;
    }
    const names = new FileNames();
    let last: string | undefined;
    for (const address of addresses) {
        const place = await sourceLines.lineAt(address);
        if (place === undefined) {
            last = undefined;
            continue;
        }
        const call = (await sourceLines.inlinedAt(address)).at(0);
        const key = `${place.path}:${place.line} ${call?.name}:${call?.line}`;
        if (key === last) continue;
        last = key;
        const parts = [`; ${names.of(place.path)}:${place.line}`, text.line(place.path, place.line)];
        if (call !== undefined) {
            const at = call.path === undefined ? '' : ` at ${names.of(call.path)}:${call.line ?? '?'}`;
            parts.push(`[${call.name ?? 'a function'}, inlined${at}]`);
        }
        headings.set(address, parts.filter(part => part !== undefined && part !== '').join('  '));
    }
    return headings;
}

/** Each file with its whole path once, then with its last component while that is no other's. */
class FileNames {
    private readonly known = new Map<string, string>();

    of(file: string): string {
        const short = path.posix.basename(file);
        const known = this.known.get(short);
        if (known === file) {
            return short;
        }
        if (known === undefined) this.known.set(short, file);
        return file;
    }
}
