import { LoadError } from '../errors';
import { type BootContext, type BootRequest, KERNEL_MINIMUM } from './boot-context';
import { checkedCommandLine, fillHeader, linuxLowMemory, type LinuxLowMemory, placeLinux, theInitrd } from './linux';
import type { LinuxKernel } from './linux-header';
import {
    buildOptionRom,
    DmaControl,
    dword,
    FIRMWARE_RESERVE,
    LOAD_DATA_SEGMENTS,
    type OptionRom,
    word,
} from './option-rom';

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

/** Heap and stack that setup code needs at least. */
const SETUP_HEAP = 0x1000;
/** A zImage begins here, and has room up to where its setup code is. */
const ZIMAGE_BASE = 0x10000;

/**
 * Builds the ROM and the items for a kernel that starts from its 16-bit entry, which calls the BIOS. The items are those
 * by which QEMU offers a kernel, for firmware that loads them by itself.
 * @throws LoadError
 */
export function linuxOptionRom(kernel: LinuxKernel, request: BootRequest, context: BootContext): OptionRom {
    const low = linuxLowMemory(kernel);
    if (!kernel.loadedHigh && ZIMAGE_BASE + kernel.system.length > low.base) {
        throw new LoadError(kernel.name, `a zImage of ${kernel.system.length} bytes: at most 512 KiB fit below 1 MiB`);
    }
    if (kernel.setup.length > low.heapEnd - SETUP_HEAP) {
        throw new LoadError(kernel.name, `its setup code has ${kernel.setup.length} bytes, too many for real mode`);
    }
    const commandLine = checkedCommandLine(kernel, request.commandLine);
    const initrd = theInitrd(kernel, request);
    const ramEnd = context.ramEnd - FIRMWARE_RESERVE;
    const system = kernel.loadedHigh ? kernel.rest : kernel.system;
    const initSize = Math.max(kernel.initSize, system.length);
    // From its 16-bit entry a bzImage goes on at 1 MiB, as its header says; it moves itself to where it wants to be.
    // Firmware that loads the items by itself relies on that.
    const place = {
        ...placeLinux({ ...kernel, initSize }, initrd?.data.length, { ...context, ramEnd }, initrd?.name),
        kernel: kernel.loadedHigh ? KERNEL_MINIMUM : ZIMAGE_BASE,
    };

    const setup = Uint8Array.from(kernel.setup);
    const view = new DataView(setup.buffer);
    fillHeader(view, kernel, place, initrd?.data.length ?? 0);

    const pieces: [Item, number, Uint8Array][] = [
        [Item.setupData, low.base, setup],
        [Item.commandLineData, low.commandLine, commandLine],
        [Item.kernelData, place.kernel, system],
    ];
    if (initrd !== undefined && place.initrd !== undefined) {
        pieces.push([Item.initrdData, place.initrd, initrd.data]);
    }
    const items: [number, Uint8Array][] = pieces.map(([item, , bytes]) => [item, bytes]);
    const bytesOf = (value: number): Uint8Array => Uint8Array.from(dword(value));
    for (const [item, address, size] of SIZE_ITEMS) {
        const piece = pieces.find(([key]) => key === item);
        items.push([address, bytesOf(piece?.[1] ?? 0)], [size, bytesOf(piece?.[2].length ?? 0)]);
    }
    const transfers = pieces.map(([item, address, bytes]) => ({
        control: item * 0x10000 + DmaControl.select + DmaControl.read,
        length: bytes.length,
        address,
    }));
    return { rom: buildOptionRom(kernel.name, 'Linux kernel', transfers, () => enterSetup(low)), items };
}

/** Real-mode code: enters the setup code (boot.rst, "Running the Kernel"). */
function enterSetup({ base, heapEnd }: LinuxLowMemory): readonly number[] {
    const segment = base >> 4;
    // prettier-ignore
    return [
        0xb8, ...word(segment),              // mov  ax, segment
        ...LOAD_DATA_SEGMENTS,
        0xbc, ...word(heapEnd),              // mov  sp, heapEnd
        0xea, 0, 0, ...word(segment + 0x20), // jmp  segment+20h:0
    ];
}
