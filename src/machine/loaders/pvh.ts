import { hex } from '../format';
import { LoadError } from '../errors';
import {
    alignUp,
    type BootContext,
    type BootModule,
    type BootRequest,
    encodeCommandLine,
    KERNEL_MINIMUM,
    LowMemory,
} from './boot-context';
import { type ElfImage, readElf, readNotes } from './elf';
import type { FirmwareAnswers } from './entry-option-rom';
import { type ImageFile, ImageReader } from './image';
import { flatGdt, Gpr, type InitialCpuState, protectedModeState } from './initial-state';
import { elfPieces, writePieces } from './kernel-image';

/** XEN_ELFNOTE_PHYS32_ENTRY (Xen public/elfnote.h). */
const NOTE_NAME = 'Xen';
const NOTE_PHYS32_ENTRY = 18;

/** hvm_start_info version 1 (Xen public/arch-x86/hvm/start_info.h). */
const START_MAGIC = 0x336ec578;
const START_VERSION = 1;
const START_INFO_SIZE = 56;
/** The GDT comes first. */
const START_INFO_OFFSET = 0x40;
const MODULE_ENTRY_SIZE = 32;
const MEMORY_ENTRY_SIZE = 24;

/** Where hvm_start_info has what a firmware tells. */
export const PVH_ANSWERS: FirmwareAnswers = {
    mapPointer: 40,
    entryPrefix: 0,
    mapLength: 48,
    lengthUnit: 1,
    rootPointer: 32,
};

/** Entry point of an ELF kernel that boots by PVH, or undefined if it carries no such note. */
export function pvhEntry(reader: ImageReader, image: ElfImage): number | undefined {
    const note = readNotes(reader, image).find(({ name, type }) => name === NOTE_NAME && type === NOTE_PHYS32_ENTRY);
    if (note === undefined) {
        return undefined;
    }
    const { descriptor } = note;
    if (descriptor.length !== 4 && descriptor.length !== 8) {
        throw reader.error(`corrupt: the PVH entry note holds ${descriptor.length} bytes`);
    }
    return new DataView(descriptor.buffer, descriptor.byteOffset).getUint32(0, true);
}

/**
 * Loads an ELF kernel by the PVH boot protocol (Xen docs/misc/pvh.pandoc): 32-bit protected mode, paging off, EBX
 * holds the physical address of hvm_start_info.
 * @throws LoadError
 */
export function loadPvh(request: BootRequest, context: BootContext): InitialCpuState {
    const reader = new ImageReader(request.kernel);
    const image = readElf(reader);
    const entry = pvhEntry(reader, image);
    if (entry === undefined) {
        throw reader.error('an ELF file without a PVH entry note');
    }
    const pieces = elfPieces(reader, image);
    if (!pieces.some(({ address, size }) => entry >= address && entry < address + size)) {
        throw reader.error(`corrupt: the PVH entry point ${hex(entry)} lies outside of the kernel`);
    }
    const end = writePieces(reader, pieces, context);
    const modules = placeModules(request.modules, end, context);
    // As with Multiboot: out of the way of kernels in conventional memory.
    const low = pieces.every(({ address }) => address >= KERNEL_MINIMUM);
    const last = modules.at(-1);
    const behind = last === undefined ? end : last.address + last.file.data.length;
    const base = low ? LowMemory.bootParams : alignUp(Math.max(behind, KERNEL_MINIMUM), 0x1000);
    const bytes = startInfoBlock(base, request, modules, context);
    if (base + bytes.length > (low ? LowMemory.end : context.ramEnd)) {
        throw reader.error('its command line and module list do not fit into memory');
    }
    context.write(base, bytes);
    return protectedModeState(entry, [[Gpr.Rbx, base + START_INFO_OFFSET]], base);
}

/** A module in guest memory. */
export interface PlacedModule {
    readonly file: ImageFile;
    readonly address: number;
}

/**
 * Puts modules behind the kernel, each on a page of its own.
 * @throws LoadError for the first one that does not fit
 */
export function placeModules(modules: readonly BootModule[], from: number, context: BootContext): PlacedModule[] {
    let next = alignUp(Math.max(from, 0x100000), 0x1000);
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

/** hvm_start_info behind a GDT, with everything that it points to, for being written to physical address `base`. */
function startInfoBlock(
    base: number,
    request: BootRequest,
    modules: readonly PlacedModule[],
    context: BootContext,
): Uint8Array {
    const map = context.memoryMap;
    const commandLine = encodeCommandLine(request.commandLine);
    const modulesAt = START_INFO_OFFSET + START_INFO_SIZE;
    const mapAt = modulesAt + modules.length * MODULE_ENTRY_SIZE;
    const commandLineAt = mapAt + map.length * MEMORY_ENTRY_SIZE;
    const bytes = new Uint8Array(commandLineAt + commandLine.length);
    const view = new DataView(bytes.buffer);
    const u32 = (offset: number, value: number): void => view.setUint32(offset, value, true);
    const u64 = (offset: number, value: number): void => view.setBigUint64(offset, BigInt(value), true);
    u32(START_INFO_OFFSET, START_MAGIC);
    u32(START_INFO_OFFSET + 4, START_VERSION);
    u32(START_INFO_OFFSET + 12, modules.length);
    u64(START_INFO_OFFSET + 16, modules.length === 0 ? 0 : base + modulesAt);
    u64(START_INFO_OFFSET + 24, base + commandLineAt);
    u64(START_INFO_OFFSET + 32, context.rsdp);
    u64(START_INFO_OFFSET + 40, base + mapAt);
    u32(START_INFO_OFFSET + 48, map.length);
    modules.forEach(({ file, address }, index) => {
        u64(modulesAt + index * MODULE_ENTRY_SIZE, address);
        u64(modulesAt + index * MODULE_ENTRY_SIZE + 8, file.data.length);
    });
    map.forEach((entry, index) => {
        // The types are E820's.
        u64(mapAt + index * MEMORY_ENTRY_SIZE, entry.base);
        u64(mapAt + index * MEMORY_ENTRY_SIZE + 8, entry.size);
        u32(mapAt + index * MEMORY_ENTRY_SIZE + 16, entry.type);
    });
    bytes.set(flatGdt(32));
    bytes.set(commandLine, commandLineAt);
    return bytes;
}
