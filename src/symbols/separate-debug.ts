/** Debugging information in a file of its own, as distributions ship it (gdb manual, "Separate Debug Files"). */
import { type ByteSource, type SourceOpener } from './byte-source';
import { ElfFile } from './elf-file';
import { SymbolFileError } from './errors';

/** Where distributions put debugging information. */
const GLOBAL_DIRECTORY = '/usr/lib/debug';
/** Checksums of larger files take too long; build-ids tell there. */
const LARGEST_CHECKED = 128 * 2 ** 20;

/**
 * The file with the debugging information of one that was stripped: by its build-id, or by the name that
 * `.gnu_debuglink` gives.
 * @returns undefined if it has its own, or none can be found
 */
export function openSeparateDebugFile(elf: ElfFile, opener: SourceOpener, problems: string[]): ElfFile | undefined {
    if (elf.section('.debug_info') !== undefined || elf.section('.zdebug_info') !== undefined) {
        return undefined;
    }
    const { buildId, debugLink } = elf;
    if (buildId !== undefined && buildId.length > 2) {
        for (const folder of [...(opener.directories ?? []), GLOBAL_DIRECTORY]) {
            const path = `${folder}/.build-id/${buildId.slice(0, 2)}/${buildId.slice(2)}.debug`;
            const found = open(path, elf, opener, problems);
            if (found?.buildId === buildId) return found;
        }
    }
    if (debugLink === undefined || debugLink.file.includes('/')) {
        return undefined;
    }
    const directory = elf.name.slice(0, elf.name.lastIndexOf('/') + 1);
    for (const folder of [directory, `${directory}.debug/`, `${GLOBAL_DIRECTORY}${directory}`]) {
        const path = `${folder}${debugLink.file}`;
        const found = path === elf.name ? undefined : open(path, elf, opener, problems);
        if (found === undefined) continue;
        const belongs =
            buildId !== undefined && found.buildId !== undefined
                ? buildId === found.buildId
                : found.source.size > LARGEST_CHECKED || crc32(found.source) === debugLink.crc;
        if (belongs) return found;
        problems.push(`${path}: does not belong to ${elf.name}: it is of another build`);
    }
    return undefined;
}

/** @param of the program, whose sections lie where those of its debugging information are said to be */
function open(path: string, of: ElfFile, opener: SourceOpener, problems: string[]): ElfFile | undefined {
    try {
        const source = opener.open(path);
        return source && new ElfFile(source, of.placement);
    } catch (error) {
        if (!(error instanceof SymbolFileError)) throw error;
        problems.push(error.message);
        return undefined;
    }
}

const TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
    let value = index;
    for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ ((value & 1) * 0xedb88320);
    return value;
});

const CHUNK = 2 ** 20;

/** The checksum of `.gnu_debuglink`: CRC-32 as in zlib. */
export function crc32(source: ByteSource): number {
    let crc = 0xffffffff;
    for (let offset = 0; offset < source.size; offset += CHUNK) {
        for (const byte of source.read(offset, CHUNK)) crc = (crc >>> 8) ^ TABLE[(crc ^ byte) & 0xff];
    }
    return ~crc >>> 0;
}
