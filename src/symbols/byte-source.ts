/** Where symbol files come from: random reads of a file that may be much larger than memory should hold. */
import { SymbolFileError } from './errors';

/** A file, read piece by piece. Reads are synchronous: a breakpoint's condition is evaluated in the middle of a run. */
export interface ByteSource {
    /** The file's path, for messages. */
    readonly name: string;
    /** Bytes. */
    readonly size: number;
    /**
     * `length` bytes from `offset`, fewer at the end of the file. The caller may keep the array but not change it.
     * @throws SymbolFileError if the file cannot be read any more
     */
    read(offset: number, length: number): Uint8Array;
    /** The source is of no more use. */
    close?(): void;
}

/** A file that is in memory as a whole. */
export function memorySource(name: string, data: Uint8Array): ByteSource {
    return {
        name,
        size: data.length,
        read: (offset, length) => data.subarray(offset, Math.min(data.length, offset + length)),
    };
}

/** Opens files that belong to a symbol file by name: separate debug information, split DWARF. */
export interface SourceOpener {
    /** Undefined if there is no such file. */
    open(path: string): ByteSource | undefined;
    /** Folders of separate debugging information, besides the system's own. */
    readonly directories?: readonly string[];
}

/** Exactly `length` bytes. @throws SymbolFileError saying what is cut off */
export function readExactly(source: ByteSource, offset: number, length: number, what: string): Uint8Array {
    if (!(offset >= 0 && length >= 0 && offset + length <= source.size)) {
        throw new SymbolFileError(
            `${source.name}: truncated: ${what} ends at byte ${offset + length}, the file has ${source.size}`,
        );
    }
    const bytes = source.read(offset, length);
    if (bytes.length < length) {
        throw new SymbolFileError(`${source.name}: ${what} cannot be read: the file has changed`);
    }
    return bytes;
}
