import { isElf, readElf } from './elf';
import { type ImageFile, ImageReader } from './image';
import { isLinux } from './linux-header';
import { multibootHeader } from './multiboot';
import { pvhEntry } from './pvh';

/** Multiboot 2 specification, section 3.1.1: magic, architecture, length and checksum in the first 32 KiB. */
const MULTIBOOT2_MAGIC = 0xe85250d6;
const MULTIBOOT2_SEARCH = 0x8000;
/** "MZ", and "PE" where the double word at 3CH says (PE format, "MS-DOS Stub"). */
const MZ = 0x5a4d;
const PE_POINTER = 0x3c;
const PE = 0x4550;
/** What a BIOS wants to see at the end of a disk's first sector. */
const BOOT_SIGNATURE = 0xaa55;
const BOOT_SIGNATURE_AT = 0x1fe;

export type KernelKind = 'linux' | 'multiboot' | 'pvh';

/**
 * Which loader a kernel needs. The order matters: a bzImage may be an EFI executable too, and an ELF kernel with both
 * a Multiboot header and a PVH note is meant for Multiboot loaders first.
 * @throws LoadError for anything that no loader takes
 */
export function detectKernel(file: ImageFile): KernelKind {
    const reader = new ImageReader(file);
    if (reader.size === 0) {
        throw reader.error('empty: not a kernel');
    }
    if (isLinux(reader)) {
        return 'linux';
    }
    if (multibootHeader(reader) !== undefined) {
        return 'multiboot';
    }
    if (isElf(reader)) {
        if (pvhEntry(reader, readElf(reader)) !== undefined) {
            return 'pvh';
        }
        if (hasMultiboot2Header(reader)) {
            throw reader.error('a Multiboot 2 kernel: only Multiboot 1 and PVH are supported, and Linux');
        }
        throw reader.error('an ELF file with neither a PVH entry note nor a Multiboot header: not a bootable kernel');
    }
    if (isPortableExecutable(reader)) {
        throw reader.error('an EFI program: only an EFI firmware can start it');
    }
    if (reader.size >= BOOT_SIGNATURE_AT + 2 && reader.u16(BOOT_SIGNATURE_AT) === BOOT_SIGNATURE) {
        throw reader.error(
            "a boot sector or disk image, not a kernel: a BIOS as firmware starts it with SYSLINUX' memdisk as kernel, " +
                'and this file as initrd',
        );
    }
    throw reader.error('not a kernel: neither a Linux bzImage, nor Multiboot, nor an ELF file with a PVH entry note');
}

function hasMultiboot2Header(reader: ImageReader): boolean {
    const end = Math.min(reader.size, MULTIBOOT2_SEARCH) - 16;
    for (let at = 0; at <= end; at += 8) {
        if (reader.u32(at) === MULTIBOOT2_MAGIC) {
            const sum = [0, 4, 8, 12].reduce((total, offset) => total + reader.u32(at + offset), 0);
            if (sum % 2 ** 32 === 0) {
                return true;
            }
        }
    }
    return false;
}

function isPortableExecutable(reader: ImageReader): boolean {
    if (reader.size < PE_POINTER + 4 || reader.u16(0) !== MZ) {
        return false;
    }
    const header = reader.u32(PE_POINTER);
    return header + 4 <= reader.size && reader.u32(header) === PE;
}
