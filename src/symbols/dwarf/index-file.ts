/** The indices of a program as bytes: kept on disk, so that the next session has them at once. */
import { Cursor } from '../cursor';
import { SymbolFileError } from '../errors';
import type { NameTable } from './name-index';

/** Which line tables name a source file, by the file's base name. */
export interface FileTable {
    readonly names: readonly string[];
    /** How many line tables each name has, and the offsets of all of them one after the other. */
    readonly counts: Uint32Array;
    readonly headers: Float64Array;
}

export interface ProgramIndex {
    readonly names: NameTable;
    readonly files: FileTable;
}

/** "HSIX", and the version of what follows: another version is read anew from the program. */
const MAGIC = 0x58495348;
const VERSION = 2;
const MOST_NAMES = 1 << 26;

export function makeFileTable(headersByName: ReadonlyMap<string, readonly number[]>): FileTable {
    return {
        names: [...headersByName.keys()],
        counts: Uint32Array.from(headersByName.values(), headers => headers.length),
        headers: Float64Array.from([...headersByName.values()].flat()),
    };
}

export function encodeIndex({ names, files }: ProgramIndex): Uint8Array {
    const encoder = new TextEncoder();
    const nameText = encoder.encode(names.names.join('\n'));
    const fileText = encoder.encode(files.names.join('\n'));
    const parts: Uint8Array[] = [
        bytesOf(
            Uint32Array.of(
                ...[MAGIC, VERSION, names.names.length, nameText.length],
                ...[files.names.length, fileText.length, files.headers.length, 0],
            ),
        ),
        bytesOf(names.offsets),
        bytesOf(files.headers),
        bytesOf(files.counts),
        names.kinds,
        nameText,
        fileText,
    ];
    const whole = new Uint8Array(parts.reduce((size, { length }) => size + length, 0));
    let at = 0;
    for (const part of parts) {
        whole.set(part, at);
        at += part.length;
    }
    return whole;
}

/** @returns undefined for bytes that are no index, or of another version, or damaged */
export function decodeIndex(bytes: Uint8Array): ProgramIndex | undefined {
    try {
        // Not as what Node reads files into, whose slices are no copies.
        const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        const cursor = new Cursor(plain, 'an index');
        if (cursor.u32() !== MAGIC || cursor.u32() !== VERSION) {
            return undefined;
        }
        const [nameCount, nameBytes, fileCount, fileBytes, headerCount] = Array.from({ length: 5 }, () => cursor.u32());
        cursor.skip(4);
        if (Math.max(nameCount, fileCount, headerCount) > MOST_NAMES) {
            return undefined;
        }
        // Copies: typed arrays need their own alignment.
        const offsets = new Float64Array(cursor.block(nameCount * 8).slice().buffer);
        const headers = new Float64Array(cursor.block(headerCount * 8).slice().buffer);
        const counts = new Uint32Array(cursor.block(fileCount * 4).slice().buffer);
        const kinds = cursor.block(nameCount).slice();
        const nameText = cursor.block(nameBytes);
        const files = split(new TextDecoder().decode(cursor.block(fileBytes)));
        const total = counts.reduce((sum, count) => sum + count, 0);
        const fits = linesIn(nameText) === nameCount && files.length === fileCount && total === headerCount;
        return fits && cursor.left === 0
            ? { names: new KeptNames(nameText, kinds, offsets), files: { names: files, counts, headers } }
            : undefined;
    } catch (error) {
        if (error instanceof SymbolFileError) return undefined;
        throw error;
    }
}

/** A line's breakpoint needs no names: they stay bytes until somebody asks for one. */
class KeptNames implements NameTable {
    private known: readonly string[] | undefined;

    constructor(
        private readonly text: Uint8Array,
        readonly kinds: Uint8Array,
        readonly offsets: Float64Array,
    ) {}

    get names(): readonly string[] {
        return (this.known ??= split(new TextDecoder().decode(this.text)));
    }
}

function linesIn(text: Uint8Array): number {
    let count = text.length === 0 ? 0 : 1;
    for (let at = 0; at < text.length; at++) {
        if (text[at] === NEWLINE) count++;
    }
    return count;
}

const NEWLINE = 0x0a;

function split(text: string): string[] {
    return text === '' ? [] : text.split('\n');
}

function bytesOf(array: Uint32Array | Float64Array): Uint8Array {
    return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** Finds line tables by base name. */
export class FileIndex {
    private readonly ranges = new Map<string, readonly [start: number, end: number]>();

    constructor(private readonly table: FileTable) {
        let at = 0;
        table.names.forEach((name, index) => {
            this.ranges.set(name, [at, (at += table.counts[index])]);
        });
    }

    headersOf(name: string): readonly number[] {
        const range = this.ranges.get(name);
        return range === undefined ? [] : Array.from(this.table.headers.subarray(...range));
    }
}
