import { MemorySizeError } from './errors';
import { byteSize } from './format';
import { CpuArea } from './state';

const WASM_PAGE = 0x10000;
const GUEST_PAGE = 0x1000;
const LARGE_PAGE = 0x200000;
/** A wasm32 memory addresses 4 GiB. */
const ADDRESS_SPACE = 0x1_0000_0000;

/** Below this address null-ish offsets of a broken translation hit nothing that matters. */
const RESERVED = 0x10000;

/** RAM above this physical address moves above 4 GiB, to leave room for PCI and the chipset (as QEMU's `pc` does). */
export const LOW_RAM_LIMIT = 0xc000_0000;
export const HIGH_RAM_BASE = 0x1_0000_0000;

/** Sizes that decide the layout. */
export interface LayoutRequest {
    /** Guest RAM in bytes, a multiple of 4 KiB. */
    readonly ramSize: number;
    readonly cpus: number;
    /** Bytes that the engine wants for code records. */
    readonly arenaSize?: number;
    /** Bytes for all ROM images together, each rounded up to 4 KiB. */
    readonly romSize?: number;
}

/** A block of the shared memory. */
export interface Block {
    readonly base: number;
    readonly size: number;
}

/** Where everything lives in the one shared WebAssembly memory. All figures are byte addresses in it. */
export interface MemoryLayout {
    /** Base of each vCPU's area, page aligned (see `CpuArea`). */
    readonly cpus: readonly number[];
    readonly arena: Block;
    readonly rom: Block;
    /** Guest RAM, 2 MiB aligned so that the host can back it with large pages. */
    readonly ram: Block;
    /** Guest RAM below and above 4 GiB, in bytes. */
    readonly lowRam: number;
    readonly highRam: number;
    /** Size of the whole memory, a multiple of 64 KiB. */
    readonly size: number;
}

function alignUp(value: number, alignment: number): number {
    return Math.ceil(value / alignment) * alignment;
}

/**
 * Lays out the shared memory.
 * @throws MemorySizeError if it does not fit into 4 GiB or the size is not one that a PC can have
 */
export function layOut(request: LayoutRequest): MemoryLayout {
    const { ramSize } = request;
    if (!(ramSize >= 0x100000) || ramSize % GUEST_PAGE !== 0) {
        throw new MemorySizeError(
            `memory size ${byteSize(ramSize)} is not usable: it must be at least 1 MiB and a multiple of 4 KiB`,
        );
    }
    let next = RESERVED;
    const take = (size: number, alignment: number): Block => {
        const base = alignUp(next, alignment);
        next = base + size;
        return { base, size };
    };
    const cpus = Array.from({ length: request.cpus }, () => take(CpuArea.size, GUEST_PAGE).base);
    const arena = take(request.arenaSize ?? 0, WASM_PAGE);
    const rom = take(alignUp(request.romSize ?? 0, GUEST_PAGE), GUEST_PAGE);
    const ram = take(ramSize, LARGE_PAGE);
    if (ram.base + ramSize > ADDRESS_SPACE) {
        const most = Math.floor((ADDRESS_SPACE - ram.base) / 0x100000);
        throw new MemorySizeError(
            `memory size ${byteSize(ramSize)} cannot be had: guest memory and the machine's own tables share 4 GiB, ` +
                `which leaves the guest at most ${most} MiB`,
        );
    }
    const lowRam = Math.min(ramSize, LOW_RAM_LIMIT);
    return { cpus, arena, rom, ram, lowRam, highRam: ramSize - lowRam, size: alignUp(next, WASM_PAGE) };
}

/**
 * Gets the memory from the host. It is reserved whole but backed by the host only as it is touched.
 * @throws MemorySizeError if the host refuses
 */
export function allocate(layout: MemoryLayout): WebAssembly.Memory {
    const pages = layout.size / WASM_PAGE;
    try {
        return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        throw new MemorySizeError(`memory size ${byteSize(layout.ram.size)} cannot be had from the host: ${reason}`);
    }
}
