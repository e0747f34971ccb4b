import type { GuestMemory } from '../memory';
import { type ImageFile, ImageReader } from './image';

/** Flash blocks: images of 64 KiB blocks are usual, but the code of OVMF's 4 MiB build ends at none. */
const UNIT = 0x1000;
const LARGEST = 16 * 0x100000;
const FOUR_GIB = 0x1_0000_0000;
const ONE_MIB = 0x100000;
/** As much of the image's end as a PC shows below 1 MiB. */
const LEGACY_WINDOW = 0x20000;
/** The reset vector and what a jump from it takes (SDM Vol. 3, 10.1.4). */
const RESET_VECTOR_SIZE = 16;

/**
 * Checks a ROM image: whole 4 KiB blocks with code at the reset vector.
 * @throws LoadError
 */
export function checkFirmware(file: ImageFile): void {
    const reader = new ImageReader(file);
    if (reader.size === 0) {
        throw reader.error('empty: not a ROM image');
    }
    if (reader.size > LARGEST) {
        throw reader.error('too large for a ROM image: at most 16 MiB fit below 4 GiB');
    }
    if (reader.size % UNIT !== 0) {
        throw reader.error(`truncated or not a ROM image: ${reader.size} bytes are no multiple of 4 KiB`);
    }
    const vector = reader.bytes(reader.size - RESET_VECTOR_SIZE, RESET_VECTOR_SIZE, 'the reset vector');
    if (vector.every(byte => byte === vector[0])) {
        throw reader.error('corrupt or not a ROM image: no code at the reset vector');
    }
}

/**
 * Maps the ROM to the top of 4 GiB, where the CPU starts, and its last 128 KiB below 1 MiB, where the chipset's PAM
 * registers choose between it and the RAM beneath.
 * @throws LoadError
 */
export function mapFirmware(file: ImageFile, memory: GuestMemory): void {
    checkFirmware(file);
    const size = file.data.length;
    const address = memory.addRom(file.data);
    memory.mapRom('firmware ROM', FOUR_GIB - size, size, address);
    const mirrored = Math.min(size, LEGACY_WINDOW);
    memory.mapRom('firmware ROM below 1 MiB', ONE_MIB - mirrored, mirrored, address + size - mirrored);
}
