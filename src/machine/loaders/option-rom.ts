import { LoadError } from '../errors';

/**
 * Kernels for a machine with a firmware wait in fw_cfg, with an option ROM that registers itself as a boot device (Plug
 * and Play BIOS 1.0A, section 3.2), fetches them by fw_cfg's DMA and enters them, as QEMU has it.
 */
export interface OptionRom {
    readonly rom: Uint8Array;
    /** Items by their fw_cfg selector. */
    readonly items: readonly (readonly [number, Uint8Array])[];
}

/** Name under which SeaBIOS finds the ROM among the fw_cfg files, and its line in `bootorder`. */
export const OPTION_ROM_FILE = 'genroms/hyperscope-kernel.rom';
export const OPTION_ROM_BOOT_PATH = '/rom@genroms/hyperscope-kernel.rom';

/** What the control word of a transfer asks for; the item to select is in its upper half. */
export const enum DmaControl {
    read = 0x02,
    skip = 0x04,
    select = 0x08,
}

/** A transfer by fw_cfg's DMA: FWCfgDmaAccess of QEMU's docs/specs/fw_cfg.rst. */
export interface Transfer {
    readonly control: number;
    readonly length: number;
    readonly address: number;
}

/** The firmware puts its tables to the top of RAM: bytes that are not for kernels. */
export const FIRMWARE_RESERVE = 0x100000;

const DMA_PORT = 0x514;
const TRANSFER_SIZE = 16;
const ROM_UNIT = 512;
const LARGEST_ROM = 0x8000;
const PNP_OFFSET = 0x1c;
const PNP_SIZE = 0x20;
const NAME_OFFSET = PNP_OFFSET + PNP_SIZE;
const CODE_OFFSET = 0x50;

/** The bytes of a word, for real-mode code. */
export function word(value: number): [number, number] {
    return [value & 0xff, (value >> 8) & 0xff];
}

/** The bytes of a double word. */
export function dword(value: number): [number, number, number, number] {
    return [...word(value), ...word(value >>> 16)];
}

/** Code of any width: loads the data segment registers and SS from AX. */
// prettier-ignore
export const LOAD_DATA_SEGMENTS: readonly number[] = [
    0x8e, 0xd8,                                     // mov  ds, ax
    0x8e, 0xc0,                                     // mov  es, ax
    0x8e, 0xe0,                                     // mov  fs, ax
    0x8e, 0xe8,                                     // mov  gs, ax
    0x8e, 0xd0,                                     // mov  ss, ax
];

/**
 * Builds a ROM whose boot code carries out the transfers and then does the rest.
 * @param kernel the kernel's file
 * @param name in the firmware's boot menu: at most 17 characters
 * @param rest real-mode code that does not come back, for being placed at an offset of the ROM
 * @throws LoadError if there are too many transfers
 */
export function buildOptionRom(
    kernel: string,
    name: string,
    transfers: readonly Transfer[],
    rest: (offset: number) => readonly number[],
): Uint8Array {
    const fetch = (table: number): readonly number[] => fetchCode(table, transfers.length);
    const restOffset = CODE_OFFSET + fetch(0).length;
    const table = Math.ceil((restOffset + rest(restOffset).length) / TRANSFER_SIZE) * TRANSFER_SIZE;
    // The last byte makes the checksum right.
    const size = Math.ceil((table + transfers.length * TRANSFER_SIZE + 1) / ROM_UNIT) * ROM_UNIT;
    if (size > LARGEST_ROM) {
        throw new LoadError(kernel, 'has too many segments and modules to be started by a firmware: leave that out');
    }
    const rom = new Uint8Array(size);
    const view = new DataView(rom.buffer);
    const text = (offset: number, value: string): void => rom.set(new TextEncoder().encode(value), offset);

    view.setUint16(0, 0xaa55, true);
    rom[2] = rom.length / ROM_UNIT;
    rom[3] = 0xcb; // Initialization: far return.
    view.setUint16(0x1a, PNP_OFFSET, true);

    text(PNP_OFFSET, '$PnP');
    rom[PNP_OFFSET + 4] = 1;
    rom[PNP_OFFSET + 5] = PNP_SIZE / 16;
    view.setUint16(PNP_OFFSET + 0x10, NAME_OFFSET, true);
    // Device indicators: an initial program load device. Bootstrap entry vector below.
    rom[PNP_OFFSET + 0x15] = 0x14;
    view.setUint16(PNP_OFFSET + 0x1a, CODE_OFFSET, true);
    text(NAME_OFFSET, `${name}\0`);

    rom.set([...fetch(table), ...rest(restOffset)], CODE_OFFSET);
    transfers.forEach(({ control, length, address }, index) => {
        // Big-endian.
        const at = table + TRANSFER_SIZE * index;
        view.setUint32(at, control);
        view.setUint32(at + 4, length);
        view.setBigUint64(at + 8, BigInt(address));
    });
    setChecksum(rom.subarray(PNP_OFFSET, PNP_OFFSET + PNP_SIZE), 9);
    setChecksum(rom, rom.length - 1);
    return rom;
}

/** Real-mode code: carries out the transfers of the table at an offset of the ROM. */
function fetchCode(table: number, count: number): readonly number[] {
    // prettier-ignore
    return [
        0xfa,                                       // cli
        0xfc,                                       // cld
        0x66, 0x31, 0xc0,                           // xor  eax, eax
        0xba, ...word(DMA_PORT),                    // mov  dx, DMA_PORT
        0x66, 0xef,                                 // out  dx, eax          ; address bits 63:32
        0x8c, 0xc8,                                 // mov  ax, cs
        0x66, 0xc1, 0xe0, 0x04,                     // shl  eax, 4
        0x66, 0x05, ...dword(table),                // add  eax, table
        0x66, 0x89, 0xc3,                           // mov  ebx, eax
        0xb9, ...word(count),                       // mov  cx, count
        0xba, ...word(DMA_PORT + 4),                // mov  dx, DMA_PORT + 4
        0x66, 0x89, 0xd8,                           // next: mov eax, ebx
        0x66, 0x0f, 0xc8,                           // bswap eax
        0x66, 0xef,                                 // out  dx, eax          ; starts the transfer
        0x66, 0x83, 0xc3, TRANSFER_SIZE,            // add  ebx, TRANSFER_SIZE
        0xe2, 0xf2,                                 // loop next
    ];
}

/** Makes the bytes add up to 0 modulo 256. */
function setChecksum(bytes: Uint8Array, at: number): void {
    bytes[at] = 0;
    bytes[at] = -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
}
