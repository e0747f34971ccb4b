import { isElf, readElf } from './elf';
import { type ImageFile, ImageReader } from './image';
import { isLinux } from './linux-header';
import { multibootHeader } from './multiboot';
import { pvhEntry } from './pvh';

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
        throw reader.error('an ELF file with neither a PVH entry note nor a Multiboot header: not a bootable kernel');
    }
    throw reader.error('not a kernel: neither a Linux bzImage, nor Multiboot, nor an ELF file with a PVH entry note');
}
