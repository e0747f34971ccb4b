import { MemoryType } from '../e820';
import { hex } from '../format';
import { alignUp, type BootContext, type BootRequest, KERNEL_MINIMUM } from './boot-context';
import { isElf, readElf, SegmentType } from './elf';
import type { FirmwareAnswers } from './entry-option-rom';
import { ImageReader } from './image';
import { flatGdt, Gpr, type InitialCpuState, protectedModeState } from './initial-state';
import { elfPieces, type Piece } from './kernel-image';
import { type PlacedModule, writeKernel } from './write-kernel';

/** Multiboot 0.6.96, sections 3.1 (header) and 3.2 (machine state). */
const HEADER_MAGIC = 0x1badb002;
const HEADER_SEARCH = 8192;
const BOOTLOADER_MAGIC = 0x2badb002;
const LOADER_NAME = 'Hyperscope';

const enum HeaderFlag {
    PageAlign = 1 << 0,
    MemoryInfo = 1 << 1,
    /**
     * "Information about the video mode table must be available". Without a display there is none, and boot loaders go
     * on without: bits 11 and 12 of the information's flags stay 0, and kernels look at those.
     */
    VideoMode = 1 << 2,
    /** Bits 0–15 are demands: a loader that does not know one must refuse. */
    Demands = 0xffff,
    /** The address fields are valid ("a.out kludge"). */
    Addresses = 1 << 16,
}

/** Section 3.3: which parts of the information structure are valid. */
const enum InfoFlag {
    Memory = 1 << 0,
    CommandLine = 1 << 2,
    Modules = 1 << 3,
    MemoryMap = 1 << 6,
    LoaderName = 1 << 9,
}

const HIGHEST_ENTRY = 0xffff_ffff;

const INFO_SIZE = 116;
/** A GDT follows. */
const GDT_OFFSET = alignUp(INFO_SIZE, 8);
const MODULE_SIZE = 16;
const MAP_ENTRY_SIZE = 24;

/** Offset of the Multiboot header, or undefined if there is none. */
export function multibootHeader(reader: ImageReader): number | undefined {
    const end = Math.min(reader.size, HEADER_SEARCH) - 12;
    for (let at = 0; at <= end; at += 4) {
        if (reader.u32(at) === HEADER_MAGIC && (reader.u32(at + 4) + reader.u32(at + 8) + HEADER_MAGIC) >>> 0 === 0) {
            return at;
        }
    }
    return undefined;
}

/** Where the information has what a firmware tells (section 3.3). */
export const MULTIBOOT_ANSWERS: FirmwareAnswers = {
    mapPointer: 48,
    entryPrefix: 4,
    mapLength: 44,
    lengthUnit: MAP_ENTRY_SIZE,
    memorySizes: 4,
};

/** One entry of a module list. */
export interface ModuleSpecification {
    readonly file: string;
    /** The module's string: the file with its arguments. */
    readonly commandLine: string;
}

/** Splits `file arg,file arg`; a doubled comma stands for one inside an entry. */
export function parseModuleList(text: string): ModuleSpecification[] {
    return (text.match(/(?:[^,]|,,)+/g) ?? [])
        .map(entry => entry.replaceAll(',,', ',').trim())
        .filter(entry => entry !== '')
        .map(entry => ({ file: entry.replace(/\s[^]*$/, ''), commandLine: entry }));
}

/**
 * Loads a Multiboot kernel with its modules.
 * @throws LoadError
 */
export function loadMultiboot(request: BootRequest, context: BootContext): InitialCpuState {
    const reader = new ImageReader(request.kernel);
    const header = multibootHeader(reader);
    if (header === undefined) {
        throw reader.error('no Multiboot header');
    }
    const flags = reader.u32(header + 4);
    const unknown = flags & HeaderFlag.Demands & ~(HeaderFlag.PageAlign | HeaderFlag.MemoryInfo | HeaderFlag.VideoMode);
    if (unknown !== 0) {
        throw reader.error(`demands Multiboot features ${hex(unknown)}, which do not exist`);
    }
    const { pieces, entry } =
        (flags & HeaderFlag.Addresses) !== 0 ? kludgePieces(reader, header) : elfKernel(reader, header);
    const base = writeKernel(reader, pieces, request.modules, context, (at, modules) =>
        new InfoBlock(request, modules, context).build(at),
    );
    return protectedModeState(
        entry,
        [
            [Gpr.Rax, BOOTLOADER_MAGIC],
            [Gpr.Rbx, base],
        ],
        base + GDT_OFFSET,
    );
}

interface LoadedKernel {
    readonly pieces: Piece[];
    readonly entry: number;
}

function elfKernel(reader: ImageReader, header: number): LoadedKernel {
    if (!isElf(reader)) {
        throw reader.error(`has a Multiboot header at byte ${header}, but neither load addresses nor an ELF header`);
    }
    // The file may be of 64 bits, as of GNU Mach or of kernels that GRUB starts: it is entered in 32-bit code all the same.
    const image = readElf(reader);
    const pieces = elfPieces(reader, image);
    // The entry point is linear, as GRUB and QEMU take it: where its segment was loaded, physically. Kernels that are
    // linked to the upper half often give a physical one instead.
    const home = image.segments.find(
        ({ type, virtual, memorySize }) =>
            type === SegmentType.Load && image.entry >= virtual && image.entry < virtual + BigInt(memorySize),
    );
    const entry = home === undefined ? Number(image.entry) : Number(image.entry - home.virtual) + home.physical;
    if (!pieces.some(({ address, size }) => entry >= address && entry < address + size)) {
        throw reader.error(`corrupt: the entry point ${hex(image.entry)} lies outside of the kernel`);
    }
    if (entry > HIGHEST_ENTRY) {
        throw reader.error(`its entry point ${hex(entry)} lies beyond 4 GiB, where 32-bit code cannot be`);
    }
    return { pieces, entry };
}

/** Section 3.1.3: where the loader finds addresses for images that are not ELF files. */
function kludgePieces(reader: ImageReader, header: number): LoadedKernel {
    const headerAddress = reader.u32(header + 12);
    const loadAddress = reader.u32(header + 16);
    const loadEnd = reader.u32(header + 20);
    const bssEnd = reader.u32(header + 24);
    const entry = reader.u32(header + 28);
    const offset = header - (headerAddress - loadAddress);
    if (headerAddress < loadAddress || offset < 0) {
        throw reader.error(
            `corrupt: the Multiboot header claims to lie at ${hex(headerAddress)} of a kernel at ${hex(loadAddress)}`,
        );
    }
    const length = loadEnd === 0 ? reader.size - offset : loadEnd - loadAddress;
    if (length <= 0) {
        throw reader.error(`corrupt: the Multiboot header ends the kernel at ${hex(loadEnd)}, before it starts`);
    }
    const bytes = reader.bytes(offset, length, 'the kernel');
    const size = Math.max(length, bssEnd === 0 ? 0 : bssEnd - loadAddress);
    return { pieces: [{ address: loadAddress, size, bytes }], entry };
}

/** The information structure (section 3.3) with everything that it points to. */
class InfoBlock {
    private readonly modulesOffset: number;
    private readonly mapOffset: number;
    private readonly strings: Uint8Array[] = [];
    private next: number;

    constructor(
        private readonly request: BootRequest,
        private readonly modules: readonly PlacedModule[],
        private readonly context: BootContext,
    ) {
        this.modulesOffset = GDT_OFFSET + 5 * 8;
        this.mapOffset = this.modulesOffset + modules.length * MODULE_SIZE;
        this.next = this.mapOffset + context.memoryMap.length * MAP_ENTRY_SIZE;
    }

    /** The bytes, for being written to physical address `base`. */
    build(base: number): Uint8Array {
        const { request, modules } = this;
        const map = this.context.memoryMap;
        const commandLine = base + this.string(`${request.kernel.name} ${request.commandLine}`.trimEnd());
        const loaderName = base + this.string(LOADER_NAME);
        const names = modules.map((_, index) => {
            const { commandLine: text, name } = request.modules[index];
            return base + this.string(text ?? name);
        });

        const bytes = new Uint8Array(this.next);
        const view = new DataView(bytes.buffer);
        const u32 = (offset: number, value: number): void => view.setUint32(offset, value, true);
        const extended = map.find(entry => entry.base === KERNEL_MINIMUM && entry.type === MemoryType.Ram);
        u32(0, InfoFlag.Memory | InfoFlag.CommandLine | InfoFlag.Modules | InfoFlag.MemoryMap | InfoFlag.LoaderName);
        u32(4, Math.floor((map.find(entry => entry.base === 0)?.size ?? 0) / 1024));
        u32(8, Math.floor((extended?.size ?? 0) / 1024));
        u32(16, commandLine);
        u32(20, modules.length);
        u32(24, base + this.modulesOffset);
        u32(44, map.length * MAP_ENTRY_SIZE);
        u32(48, base + this.mapOffset);
        u32(64, loaderName);
        bytes.set(flatGdt(32), GDT_OFFSET);
        modules.forEach(({ file, address }, index) => {
            const at = this.modulesOffset + index * MODULE_SIZE;
            u32(at, address);
            u32(at + 4, address + file.data.length);
            u32(at + 8, names[index]);
        });
        map.forEach((entry, index) => {
            const at = this.mapOffset + index * MAP_ENTRY_SIZE;
            // The size field does not count itself.
            u32(at, MAP_ENTRY_SIZE - 4);
            view.setBigUint64(at + 4, BigInt(entry.base), true);
            view.setBigUint64(at + 12, BigInt(entry.size), true);
            u32(at + 20, entry.type);
        });
        let at = bytes.length;
        for (const text of this.strings.reverse()) {
            at -= text.length;
            bytes.set(text, at);
        }
        return bytes;
    }

    /** Adds a NUL-terminated string; returns its offset. */
    private string(text: string): number {
        const bytes = new TextEncoder().encode(`${text}\0`);
        this.strings.push(bytes);
        const offset = this.next;
        this.next += bytes.length;
        return offset;
    }
}
