/** Debugging information in a file of its own, as distributions ship it (gdb manual, "Separate Debug Files"). */
import { type ByteSource, type SourceOpener } from './byte-source';
import { decodeText } from './cursor';
import { ElfFile, hexadecimal, SectionType } from './elf-file';
import { SymbolFileError } from './errors';

/** Where distributions put debugging information. */
const GLOBAL_DIRECTORY = '/usr/lib/debug';
/** Checksums of larger files take too long; build-ids tell there. */
const LARGEST_CHECKED = 128 * 2 ** 20;
/** A path and a checksum are no longer. */
const LARGEST_LINK = 0x10000;

/**
 * The file with the debugging information of one that was stripped: by its build-id, or by the name that
 * `.gnu_debuglink` gives.
 * @returns undefined if it has its own, or none can be found
 */
export function openSeparateDebugFile(elf: ElfFile, opener: SourceOpener, problems: string[]): ElfFile | undefined {
    if (elf.section('.debug_info') !== undefined || elf.section('.zdebug_info') !== undefined) {
        return undefined;
    }
    const { buildId } = elf;
    const debugLink = debugLinkOf(elf);
    if (buildId !== undefined && buildId.length > 2) {
        for (const folder of [...(opener.directories ?? []), GLOBAL_DIRECTORY]) {
            const found = open(buildIdPath(folder, buildId), elf, opener, problems);
            if (found?.buildId === buildId) return found;
        }
    }
    if (debugLink === undefined || debugLink.file.includes('/')) {
        return undefined;
    }
    const directory = elf.name.slice(0, elf.name.lastIndexOf('/') + 1);
    const known = problems.length;
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
    if (problems.length === known) {
        problems.push(`${elf.name}: ${debugLink.file}, which has its debugging information, is missing`);
    }
    return undefined;
}

/**
 * What several programs have in common, which `dwz -m` has moved to a file of its own.
 * @returns undefined if it uses none, or it cannot be found
 */
export function openSharedDebugFile(elf: ElfFile, opener: SourceOpener, problems: string[]): ElfFile | undefined {
    const link = sharedLinkOf(elf);
    if (link === undefined) {
        return undefined;
    }
    const { file, buildId } = link;
    const paths = [file.startsWith('/') ? file : `${elf.name.slice(0, elf.name.lastIndexOf('/') + 1)}${file}`];
    if (buildId.length > 2) {
        for (const folder of [...(opener.directories ?? []), GLOBAL_DIRECTORY]) {
            paths.push(buildIdPath(folder, buildId));
        }
    }
    for (const path of paths) {
        const found = path === elf.name ? undefined : open(path, elf, opener, problems);
        if (found?.buildId === buildId) return found;
    }
    problems.push(`${elf.name}: ${file} is missing: what it shares with other programs is not known`);
    return undefined;
}

/** File name and checksum of the separate debugging information that `.gnu_debuglink` names. */
function debugLinkOf(elf: ElfFile): { readonly file: string; readonly crc: number } | undefined {
    const link = linkIn(elf, '.gnu_debuglink');
    const at = link && (link.end + 4) & ~3;
    if (link === undefined || at === undefined || at + 4 > link.bytes.length) {
        return undefined;
    }
    const crc = new DataView(link.bytes.buffer, link.bytes.byteOffset).getUint32(at, true);
    return { file: link.file, crc };
}

/** File name and build-id of the file that several programs share, as `.gnu_debugaltlink` names it. */
function sharedLinkOf(elf: ElfFile): { readonly file: string; readonly buildId: string } | undefined {
    const link = linkIn(elf, '.gnu_debugaltlink');
    return link && { file: link.file, buildId: hexadecimal(link.bytes.subarray(link.end + 1)) };
}

/** A section that begins with the name of a file. */
function linkIn(elf: ElfFile, name: string): { file: string; end: number; bytes: Uint8Array } | undefined {
    const section = elf.section(name);
    if (section === undefined || section.type === (SectionType.NoBits as number) || section.size > LARGEST_LINK) {
        return undefined;
    }
    const bytes = elf.content(section);
    const end = bytes.indexOf(0);
    return end <= 0 ? undefined : { file: decodeText(bytes, 0, end), end, bytes };
}

function buildIdPath(folder: string, buildId: string): string {
    return `${folder}/.build-id/${buildId.slice(0, 2)}/${buildId.slice(2)}.debug`;
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
