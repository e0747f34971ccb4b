import type { Decompressors } from './boot-context';
import { type ImageFile, ImageReader } from './image';

/** Compressed streams that Linux unpacks (lib/decompress.c names the same magic numbers). */
const COMPRESSED: readonly (readonly [string, readonly number[]])[] = [
    ['gzip', [0x1f, 0x8b]],
    ['gzip', [0x1f, 0x9e]],
    ['bzip2', [0x42, 0x5a, 0x68]],
    ['lzma', [0x5d, 0x00, 0x00]],
    ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
    ['lzo', [0x89, 0x4c, 0x5a, 0x4f]],
    ['lz4', [0x02, 0x21, 0x4c, 0x18]],
    ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
];

/** File systems that may be the whole RAM disk: offset and magic (init/do_mounts_rd.c). */
const FILE_SYSTEMS: readonly (readonly [string, number, readonly number[]])[] = [
    ['romfs', 0, [0x2d, 0x72, 0x6f, 0x6d, 0x31, 0x66, 0x73, 0x2d]],
    ['cramfs', 0, [0x45, 0x3d, 0xcd, 0x28]],
    ['squashfs', 0, [0x68, 0x73, 0x71, 0x73]],
    ['cramfs', 512, [0x45, 0x3d, 0xcd, 0x28]],
    ['minix', 0x410, [0x7f, 0x13]],
    ['minix', 0x410, [0x8f, 0x13]],
    ['ext2', 0x438, [0x53, 0xef]],
];

const CPIO_HEADER = 110;
const CPIO_TRAILER = 'TRAILER!!!';

/** What an initrd is: `cpio`, a compression or a file system. */
export type InitrdKind = string;

/**
 * Refuses an initrd that no kernel could unpack, before the guest finds out with a panic that says much less: unknown
 * formats and archives that end too early. Compressed streams are recognized, and looked into
 * where the host can unpack them.
 * @throws LoadError
 */
export function checkInitrd(file: ImageFile, decompressors: Decompressors = {}): InitrdKind[] {
    const reader = new ImageReader(file);
    if (reader.size === 0) {
        throw reader.error('empty: not an initrd');
    }
    const fileSystem = FILE_SYSTEMS.find(([, offset, magic]) => startsWith(reader.data, offset, magic));
    if (fileSystem !== undefined) {
        return [fileSystem[0]];
    }
    const kinds: InitrdKind[] = [];
    // An initramfs may be several archives one after the other: microcode, then the real one, compressed or not.
    let at = 0;
    while (at < reader.size) {
        if (reader.data[at] === 0) {
            at++;
            continue;
        }
        if (isCpio(reader, at)) {
            kinds.push('cpio');
            at = cpioEnd(reader, at);
            continue;
        }
        const compression = COMPRESSED.find(([, magic]) => startsWith(reader.data, at, magic));
        if (compression === undefined) {
            break;
        }
        // Where a compressed stream ends is only known to who unpacks it: what follows goes unseen.
        kinds.push(compression[0]);
        const inner = unpacked(reader, at, compression[0], decompressors);
        return inner === undefined ? kinds : [...kinds, ...checkInitrd({ name: file.name, data: inner })];
    }
    if (kinds.length === 0) {
        throw reader.error('not an initrd: neither a cpio archive, nor compressed, nor a known file system');
    }
    if (at < reader.size) {
        throw reader.error(`corrupt: no archive follows the one that ends at byte ${at}`);
    }
    return kinds;
}

function unpacked(
    reader: ImageReader,
    at: number,
    compression: string,
    decompressors: Decompressors,
): Uint8Array | undefined {
    try {
        return decompressors[compression]?.(reader.data.subarray(at));
    } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        throw reader.error(`truncated or corrupt: its ${compression} stream cannot be unpacked (${reason})`);
    }
}

/** The "newc" formats (Linux Documentation/driver-api/early-userspace/buffer-format.rst). */
function isCpio(reader: ImageReader, at: number): boolean {
    return (
        startsWith(reader.data, at, [0x30, 0x37, 0x30, 0x37, 0x30, 0x31]) ||
        startsWith(reader.data, at, [0x30, 0x37, 0x30, 0x37, 0x30, 0x32])
    );
}

function cpioEnd(reader: ImageReader, start: number): number {
    for (let at = start; ;) {
        if (at + CPIO_HEADER > reader.size) {
            throw reader.truncated('a cpio entry', at + CPIO_HEADER);
        }
        if (!isCpio(reader, at)) {
            throw reader.error(`corrupt: no cpio entry at byte ${at}`);
        }
        const fileSize = hexField(reader, at, 6);
        const nameSize = hexField(reader, at, 11);
        const data = start + align4(at - start + CPIO_HEADER + nameSize);
        const next = start + align4(data - start + fileSize);
        if (data > reader.size || data + fileSize > reader.size) {
            throw reader.truncated('a cpio entry', data + fileSize);
        }
        if (nameSize === CPIO_TRAILER.length + 1 && reader.text(at + CPIO_HEADER, nameSize - 1) === CPIO_TRAILER) {
            return next;
        }
        at = next;
    }
}

/** Field `index` of a cpio header: eight hexadecimal digits. */
function hexField(reader: ImageReader, header: number, index: number): number {
    const text = reader.text(header + 6 + 8 * index, 8);
    if (!/^[0-9a-f]{8}$/i.test(text)) {
        throw reader.error(`corrupt: a cpio header at byte ${header} holds '${printable(text)}'`);
    }
    return parseInt(text, 16);
}

function printable(text: string): string {
    return text.replace(/[^ -~]/g, '.');
}

function startsWith(data: Uint8Array, offset: number, magic: readonly number[]): boolean {
    return magic.every((byte, index) => data[offset + index] === byte);
}

function align4(value: number): number {
    return Math.ceil(value / 4) * 4;
}
