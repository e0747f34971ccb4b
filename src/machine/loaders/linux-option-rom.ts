import { LoadError } from '../errors';
import { type BootContext, type BootRequest, KERNEL_MINIMUM, LowMemory } from './boot-context';
import { checkedCommandLine, fillHeader, placeLinux, theInitrd } from './linux';
import type { LinuxKernel } from './linux-header';

/**
 * A kernel's 16-bit entry calls the BIOS, so it can only be started by one. What we give the firmware is what QEMU
 * gives it: the pieces of the kernel as fw_cfg items, and an option ROM that registers itself as a boot device (Plug
 * and Play BIOS 1.0A, section 3.2), fetches them by fw_cfg's DMA and jumps into the kernel's setup code.
 */
export interface LinuxOptionRom {
    readonly rom: Uint8Array;
    /** Items by their fw_cfg selector. */
    readonly items: readonly (readonly [number, Uint8Array])[];
}

/** Name under which SeaBIOS finds the ROM among the fw_cfg files, and its line in `bootorder`. */
export const OPTION_ROM_FILE = 'genroms/hyperscope-linux.rom';
export const OPTION_ROM_BOOT_PATH = '/rom@genroms/hyperscope-linux.rom';

/** Selectors that QEMU's interface reserves for these (docs/specs/fw_cfg.rst and its headers). */
const enum Item {
    kernelData = 0x11,
    initrdData = 0x12,
    commandLineData = 0x15,
    setupData = 0x18,
}

/** Items that hold the sizes and addresses of those above. */
const SIZE_ITEMS: readonly (readonly [item: Item, address: number, size: number])[] = [
    [Item.kernelData, 0x07, 0x08],
    [Item.initrdData, 0x0a, 0x0b],
    [Item.commandLineData, 0x13, 0x14],
    [Item.setupData, 0x16, 0x17],
];

const DMA_READ = 0x02;
const DMA_SELECT = 0x08;
const DMA_PORT = 0x514;

/** Setup code with its heap and stack (boot.rst, "Sample Boot Configuration"). */
const SETUP_BASE = LowMemory.bootParams;
const SETUP_SEGMENT = SETUP_BASE >> 4;
const HEAP_END = 0xe000;

const ROM_UNIT = 512;
const PNP_OFFSET = 0x1c;
const PNP_SIZE = 0x20;
const NAME_OFFSET = PNP_OFFSET + PNP_SIZE;
const CODE_OFFSET = 0x50;
const TABLE_OFFSET = 0x100;
/** The firmware puts its tables to the top of RAM. */
const FIRMWARE_RESERVE = 0x100000;

/**
 * Builds the ROM and the items for a kernel.
 * @throws LoadError
 */
export function linuxOptionRom(kernel: LinuxKernel, request: BootRequest, context: BootContext): LinuxOptionRom {
    if (!kernel.loadedHigh) {
        throw new LoadError(kernel.name, 'a zImage, which loads below 1 MiB: only bzImages are supported');
    }
    const commandLine = checkedCommandLine(kernel, request.commandLine);
    const initrd = theInitrd(kernel, request);
    const ramEnd = context.ramEnd - FIRMWARE_RESERVE;
    // From its 16-bit entry a bzImage goes on at 1 MiB, as its header says; it moves itself to where it wants to be.
    // Firmware that loads the items by itself relies on that.
    const place = {
        ...placeLinux(kernel, initrd?.data.length, { ...context, ramEnd }, initrd?.name),
        kernel: KERNEL_MINIMUM,
    };

    const setup = Uint8Array.from(kernel.setup);
    const view = new DataView(setup.buffer);
    fillHeader(view, kernel, place, initrd?.data.length ?? 0, HEAP_END - 0x200);

    const pieces: [Item, number, Uint8Array][] = [
        [Item.setupData, SETUP_BASE, setup],
        [Item.commandLineData, LowMemory.commandLine, commandLine],
        [Item.kernelData, place.kernel, kernel.system],
    ];
    if (initrd !== undefined && place.initrd !== undefined) {
        pieces.push([Item.initrdData, place.initrd, initrd.data]);
    }
    const items: [number, Uint8Array][] = pieces.map(([item, , bytes]) => [item, bytes]);
    for (const [item, address, size] of SIZE_ITEMS) {
        const piece = pieces.find(([key]) => key === item);
        items.push([address, littleEndian32(piece?.[1] ?? 0)], [size, littleEndian32(piece?.[2].length ?? 0)]);
    }
    return { rom: buildRom(pieces), items };
}

function buildRom(pieces: readonly [Item, number, Uint8Array][]): Uint8Array {
    const rom = new Uint8Array(ROM_UNIT);
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
    text(NAME_OFFSET, 'Linux kernel\0');

    rom.set(bootCode(pieces.length), CODE_OFFSET);
    // FWCfgDmaAccess, big-endian: control, length, address.
    pieces.forEach(([item, address, bytes], index) => {
        const at = TABLE_OFFSET + 16 * index;
        view.setUint32(at, item * 0x10000 + DMA_SELECT + DMA_READ);
        view.setUint32(at + 4, bytes.length);
        view.setBigUint64(at + 8, BigInt(address));
    });
    setChecksum(rom.subarray(PNP_OFFSET, PNP_OFFSET + PNP_SIZE), 9);
    setChecksum(rom, rom.length - 1);
    return rom;
}

/** Real-mode code: fetch every item of the table, then enter the setup code (boot.rst, "Running the Kernel"). */
function bootCode(items: number): Uint8Array {
    const low = (value: number): number => value & 0xff;
    const high = (value: number): number => (value >> 8) & 0xff;
    const entry = SETUP_SEGMENT + 0x20;
    // prettier-ignore
    return Uint8Array.of(
        0xfa,                                                   // cli
        0xfc,                                                   // cld
        0x66, 0x31, 0xc0,                                       // xor  eax, eax
        0xba, low(DMA_PORT), high(DMA_PORT),                    // mov  dx, DMA_PORT
        0x66, 0xef,                                             // out  dx, eax          ; address bits 63:32
        0x8c, 0xc8,                                             // mov  ax, cs
        0x66, 0xc1, 0xe0, 0x04,                                 // shl  eax, 4
        0x66, 0x05, low(TABLE_OFFSET), high(TABLE_OFFSET), 0, 0, // add  eax, TABLE_OFFSET
        0x66, 0x89, 0xc3,                                       // mov  ebx, eax
        0xb9, low(items), high(items),                          // mov  cx, items
        0xba, low(DMA_PORT + 4), high(DMA_PORT + 4),            // mov  dx, DMA_PORT + 4
        0x66, 0x89, 0xd8,                                       // next: mov eax, ebx
        0x66, 0x0f, 0xc8,                                       // bswap eax
        0x66, 0xef,                                             // out  dx, eax          ; starts the transfer
        0x66, 0x83, 0xc3, 0x10,                                 // add  ebx, 16
        0xe2, 0xf2,                                             // loop next
        0xb8, low(SETUP_SEGMENT), high(SETUP_SEGMENT),          // mov  ax, SETUP_SEGMENT
        0x8e, 0xd8,                                             // mov  ds, ax
        0x8e, 0xc0,                                             // mov  es, ax
        0x8e, 0xe0,                                             // mov  fs, ax
        0x8e, 0xe8,                                             // mov  gs, ax
        0x8e, 0xd0,                                             // mov  ss, ax
        0xbc, low(HEAP_END), high(HEAP_END),                    // mov  sp, HEAP_END
        0xea, 0, 0, low(entry), high(entry),                    // jmp  SETUP_SEGMENT+20h:0
    );
}

/** Makes the bytes add up to 0 modulo 256. */
function setChecksum(bytes: Uint8Array, at: number): void {
    bytes[at] = 0;
    bytes[at] = -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
}

function littleEndian32(value: number): Uint8Array {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value, true);
    return bytes;
}
