/** Files that are compressed as a whole, as distributions ship modules: read into memory, since nothing can be found in them otherwise. */
import { gunzipSync } from 'fflate';
import { decompress as unzstd } from 'fzstd';
import { type ByteSource, memorySource, readExactly } from './byte-source';
import { SymbolFileError } from './errors';

/** What files of debugging information for one module stay below. */
const LARGEST = 2 ** 28;

/** @throws SymbolFileError */
export function openCompressed(source: ByteSource, format: 'gzip' | 'zstd'): ByteSource {
    const { name, size } = source;
    if (size > LARGEST) {
        throw new SymbolFileError(`${name}: has ${size} bytes, too many to decompress in memory`);
    }
    const bytes = readExactly(source, 0, size, 'the file');
    try {
        return memorySource(name, format === 'gzip' ? gunzipSync(bytes) : unzstd(bytes));
    } catch (error) {
        throw new SymbolFileError(`${name}: cannot be decompressed: ${(error as Error).message}`);
    }
}
