import { MemoryType } from '../e820';
import { hex } from '../format';
import type { BootContext } from './boot-context';
import { type ElfImage, SegmentType } from './elf';
import type { ImageReader } from './image';

/** A piece of a kernel and where it goes; zeros follow up to `size`. */
export interface Piece {
    readonly address: number;
    readonly size: number;
    readonly bytes: Uint8Array;
}

/** The loadable segments of an ELF image, by physical address. */
export function elfPieces(reader: ImageReader, image: ElfImage): Piece[] {
    const pieces = image.segments
        .filter(segment => segment.type === SegmentType.Load && segment.memorySize > 0)
        .map(segment => ({
            address: segment.physical,
            size: segment.memorySize,
            bytes: reader.bytes(segment.offset, segment.fileSize, 'a segment'),
        }));
    if (pieces.length === 0) {
        throw reader.error('an ELF file without loadable segments, not a kernel');
    }
    return pieces;
}

/**
 * Writes the pieces of a kernel; returns the end of the highest one.
 * @throws LoadError if one does not lie in RAM
 */
export function writePieces(reader: ImageReader, pieces: readonly Piece[], context: BootContext): number {
    for (const { address, size } of pieces) {
        const home = context.memoryMap.find(
            range =>
                range.type === MemoryType.Ram && address >= range.base && address + size <= range.base + range.size,
        );
        if (home === undefined) {
            throw reader.error(
                `wants to be loaded to ${hex(address)}–${hex(address + size - 1)}, where this machine has no RAM: ` +
                    `give it more memory`,
            );
        }
    }
    for (const { address, size, bytes } of pieces) {
        context.write(address, bytes);
        // RAM holds whatever ran before a reset: clear what the file does not fill.
        for (let at = bytes.length; at < size; at += ZEROS.length) {
            context.write(address + at, ZEROS.subarray(0, Math.min(ZEROS.length, size - at)));
        }
    }
    return Math.max(...pieces.map(({ address, size }) => address + size));
}

const ZEROS = new Uint8Array(0x10000);
