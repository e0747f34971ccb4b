import { LoadError } from '../errors';
import { encodeE820 } from '../e820';
import { byteSize } from '../format';
import {
    alignDown,
    alignUp,
    type BootContext,
    type BootRequest,
    encodeCommandLine,
    KERNEL_MINIMUM,
    LowMemory,
} from './boot-context';
import { checkInitrd } from './initrd';
import {
    flatGdt,
    Gpr,
    identityPageTables,
    type InitialCpuState,
    longModeState,
    protectedModeState,
} from './initial-state';
import {
    CAN_USE_HEAP,
    type LinuxEntry,
    type LinuxKernel,
    Setup,
    TYPE_OF_LOADER,
    VIDEO_MODE_NORMAL,
} from './linux-header';

/** boot_params (Linux Documentation/arch/x86/zero-page.rst). */
const enum ZeroPage {
    extMemK = 0x002,
    acpiRsdpAddr = 0x070,
    altMemK = 0x1e0,
    e820Entries = 0x1e8,
    e820Table = 0x2d0,
    size = 0x1000,
}

/** `heap_end_ptr` is counted from behind the boot sector. */
const HEAP_END_BIAS = 0x200;

const E820_MAX = 128;
const E820_RAM = 1;
/** The 64-bit entry point lies behind the 32-bit one (boot.rst, "64-bit Boot Protocol"). */
const ENTRY_64_OFFSET = 0x200;

/** Kernels of before version 2.02 find their command line by a magic number, near the place where their setup has to be. */
const FIRST_WITH_COMMAND_LINE_POINTER = 0x202;
const OLD_COMMAND_LINE = { magicAt: 0x20, offsetAt: 0x22, magic: 0xa33f } as const;

/** Where setup code or boot_params and the command line go (boot.rst, "Sample Boot Configuration"). */
export interface LinuxLowMemory {
    readonly base: number;
    /** Where the setup code's heap and stack end, from the base. */
    readonly heapEnd: number;
    readonly commandLine: number;
}
const NEW_LOW_MEMORY: LinuxLowMemory = {
    base: LowMemory.bootParams,
    heapEnd: 0xe000,
    commandLine: LowMemory.commandLine,
};
const OLD_LOW_MEMORY: LinuxLowMemory = { base: 0x90000, heapEnd: 0x9800, commandLine: 0x99800 };

export function linuxLowMemory({ protocol, loadedHigh }: LinuxKernel): LinuxLowMemory {
    // A zImage lies where newer kernels could have their setup.
    return loadedHigh && protocol >= FIRST_WITH_COMMAND_LINE_POINTER ? NEW_LOW_MEMORY : OLD_LOW_MEMORY;
}

/** Where the pieces of a kernel go. */
export interface LinuxPlacement {
    readonly kernel: number;
    /** Absent without an initrd. */
    readonly initrd?: number;
}

/**
 * Picks the entry point: the best one offered, or the one asked for.
 * @throws LoadError if the kernel does not offer it
 */
export function chooseEntry(kernel: LinuxKernel, wanted?: LinuxEntry): LinuxEntry {
    if (wanted !== undefined && !kernel.entries.includes(wanted)) {
        throw new LoadError(kernel.name, `offers no ${wanted} entry, only ${kernel.entries.join(' and ')}`);
    }
    return wanted ?? kernel.entries[0];
}

/**
 * Loads a kernel by the 32-bit or 64-bit boot protocol.
 * @throws LoadError if it does not fit into memory or a limit of the protocol is exceeded
 */
export function loadLinux(
    kernel: LinuxKernel,
    entry: Exclude<LinuxEntry, '16-bit'>,
    request: BootRequest,
    context: BootContext,
): InitialCpuState {
    const commandLine = checkedCommandLine(kernel, request.commandLine);
    const initrd = theInitrd(kernel, request);
    const place = placeLinux(kernel, initrd?.data.length, context, initrd?.name);

    context.write(place.kernel, kernel.system);
    if (initrd !== undefined && place.initrd !== undefined) {
        context.write(place.initrd, initrd.data);
    }
    const low = linuxLowMemory(kernel);
    context.write(low.commandLine, commandLine);
    context.write(low.base, bootParams(kernel, place, initrd?.data.length ?? 0, context));

    const gprs = [[Gpr.Rsi, low.base]] as const;
    if (entry === '32-bit') {
        context.write(LowMemory.gdt, flatGdt(32));
        return protectedModeState(place.kernel, gprs, LowMemory.gdt);
    }
    context.write(LowMemory.gdt, flatGdt(64));
    context.write(LowMemory.pageTables, identityPageTables(LowMemory.pageTables));
    return longModeState(place.kernel + ENTRY_64_OFFSET, gprs, LowMemory.gdt, LowMemory.pageTables);
}

/** The single initrd of a request; for Linux checked to be one. */
export function theInitrd(kernel: LinuxKernel, request: BootRequest): BootRequest['modules'][number] | undefined {
    const [initrd, second] = request.modules;
    if (second !== undefined) {
        throw new LoadError(second.name, 'a Linux kernel takes one initrd only');
    }
    if (initrd !== undefined && !kernel.foreign) {
        checkInitrd(initrd, request.decompressors);
    }
    return initrd;
}

/** @throws LoadError if the kernel would cut the line off */
export function checkedCommandLine(kernel: LinuxKernel, text: string): Uint8Array {
    const bytes = encodeCommandLine(text);
    const limit = Math.min(kernel.commandLineSize, LowMemory.end - LowMemory.commandLine - 1);
    if (bytes.length - 1 > limit) {
        throw new LoadError(
            kernel.name,
            `takes a command line of at most ${limit} bytes, this one has ${bytes.length - 1}`,
        );
    }
    return bytes;
}

/**
 * Finds room for kernel and initrd: the kernel at its preferred address (or the first one it can be moved to), the
 * initrd as high as the kernel can reach it.
 */
export function placeLinux(
    kernel: LinuxKernel,
    initrdSize: number | undefined,
    context: BootContext,
    initrdName = 'initrd',
): LinuxPlacement {
    const address = kernel.relocatable ? alignUp(kernel.preferredAddress, kernel.alignment) : kernel.preferredAddress;
    const end = address + kernel.initSize;
    if (address < KERNEL_MINIMUM || end > context.ramEnd) {
        throw new LoadError(
            kernel.name,
            `needs RAM up to ${byteSize(alignUp(end, 0x100000))} to start: give the machine more memory`,
        );
    }
    if (initrdSize === undefined) {
        return { kernel: address };
    }
    const limit = Math.min(kernel.initrdMax + 1, context.ramEnd);
    const initrd = alignDown(limit - initrdSize, 0x1000);
    if (initrd < end) {
        throw new LoadError(
            initrdName,
            `${byteSize(alignUp(initrdSize, 0x100000))} do not fit into memory beside the kernel: ` +
                `give the machine more memory`,
        );
    }
    return { kernel: address, initrd };
}

/** Fills in the header fields that every protocol version wants from the loader, in a copy of setup or boot_params. */
export function fillHeader(view: DataView, kernel: LinuxKernel, place: LinuxPlacement, initrdSize: number): void {
    const low = linuxLowMemory(kernel);
    view.setUint16(Setup.vidMode, VIDEO_MODE_NORMAL, true);
    view.setUint8(Setup.typeOfLoader, TYPE_OF_LOADER);
    if (kernel.protocol >= 0x201) {
        view.setUint8(Setup.loadFlags, view.getUint8(Setup.loadFlags) | CAN_USE_HEAP);
        view.setUint16(Setup.heapEndPtr, low.heapEnd - HEAP_END_BIAS, true);
    }
    view.setUint32(Setup.ramdiskImage, place.initrd ?? 0, true);
    view.setUint32(Setup.ramdiskSize, initrdSize, true);
    if (kernel.protocol >= FIRST_WITH_COMMAND_LINE_POINTER) {
        view.setUint32(Setup.cmdLinePtr, low.commandLine, true);
    } else {
        view.setUint16(OLD_COMMAND_LINE.magicAt, OLD_COMMAND_LINE.magic, true);
        view.setUint16(OLD_COMMAND_LINE.offsetAt, low.commandLine - low.base, true);
    }
}

function bootParams(kernel: LinuxKernel, place: LinuxPlacement, initrdSize: number, context: BootContext): Uint8Array {
    const page = new Uint8Array(ZeroPage.size);
    const view = new DataView(page.buffer);
    page.set(kernel.setup.subarray(Setup.setupSects, kernel.headerEnd), Setup.setupSects);
    fillHeader(view, kernel, place, initrdSize);
    view.setUint32(Setup.code32Start, place.kernel, true);
    if (kernel.protocol >= 0x209) {
        view.setBigUint64(Setup.setupData, 0n, true);
    }
    if (kernel.protocol >= 0x20e) {
        view.setBigUint64(ZeroPage.acpiRsdpAddr, BigInt(context.rsdp), true);
    }
    const map = context.memoryMap.slice(0, E820_MAX);
    page[ZeroPage.e820Entries] = map.length;
    page.set(encodeE820(map), ZeroPage.e820Table);

    // Kernels from before E820 count extended memory in KiB, from 1 MiB up.
    const extended = context.memoryMap.find(entry => entry.base === KERNEL_MINIMUM && entry.type === E820_RAM);
    const kib = Math.floor((extended?.size ?? 0) / 1024);
    view.setUint16(ZeroPage.extMemK, Math.min(kib, 0xffff), true);
    view.setUint32(ZeroPage.altMemK, kib, true);
    return page;
}
