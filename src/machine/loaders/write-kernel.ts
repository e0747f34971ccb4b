import { LoadError } from '../errors';
import { alignUp, type BootContext, type BootModule, KERNEL_MINIMUM, LowMemory } from './boot-context';
import type { ImageFile, ImageReader } from './image';
import { type Piece, writePieces } from './kernel-image';

/** A module in guest memory. */
export interface PlacedModule {
    readonly file: ImageFile;
    readonly address: number;
}

/**
 * Writes a kernel, its modules behind it, and what the boot loader has to tell it, out of the way of both.
 * @param tell that information, for being written to physical address `base`
 * @returns where the information lies
 * @throws LoadError for what does not fit
 */
export function writeKernel(
    reader: ImageReader,
    pieces: readonly Piece[],
    modules: readonly BootModule[],
    context: BootContext,
    tell: (base: number, modules: readonly PlacedModule[]) => Uint8Array,
): number {
    const end = writePieces(reader, pieces, context);
    const placed = placeModules(modules, end, context);
    // Conventional memory may be the kernel's own.
    const low = pieces.every(({ address }) => address >= KERNEL_MINIMUM);
    const last = placed.at(-1);
    const behind = last === undefined ? end : last.address + last.file.data.length;
    const base = low ? LowMemory.bootParams : alignUp(Math.max(behind, KERNEL_MINIMUM), 0x1000);
    const bytes = tell(base, placed);
    if (base + bytes.length > (low ? LowMemory.end : context.ramEnd)) {
        throw reader.error('its command lines and module list do not fit into memory');
    }
    context.write(base, bytes);
    return base;
}

/**
 * Puts modules behind the kernel, each on a page of its own.
 * @throws LoadError for the first one that does not fit
 */
function placeModules(modules: readonly BootModule[], from: number, context: BootContext): PlacedModule[] {
    let next = alignUp(Math.max(from, KERNEL_MINIMUM), 0x1000);
    return modules.map(file => {
        const address = next;
        next = alignUp(address + file.data.length, 0x1000);
        if (next > context.ramEnd) {
            throw new LoadError(file.name, 'does not fit into memory behind the kernel: give the machine more memory');
        }
        context.write(address, file.data);
        return { file, address };
    });
}
