import { hex } from '../format';
import { type BootContext, type BootRequest, encodeCommandLine } from './boot-context';
import { type ElfImage, readElf, readNotes } from './elf';
import type { FirmwareAnswers } from './entry-option-rom';
import { ImageReader } from './image';
import { flatGdt, Gpr, type InitialCpuState, protectedModeState } from './initial-state';
import { elfPieces } from './kernel-image';
import { type PlacedModule, writeKernel } from './write-kernel';

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
    const base = writeKernel(reader, pieces, request.modules, context, (at, modules) =>
        startInfoBlock(at, request, modules, context),
    );
    return protectedModeState(entry, [[Gpr.Rbx, base + START_INFO_OFFSET]], base);
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
