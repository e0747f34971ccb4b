/**
 * What a vCPU sees of guest physical memory. A "page" is the physical address of a 4 KiB page, an unsigned number
 * below 2^52. The A20 gate is applied behind this interface.
 */
export interface PhysicalMemory {
    /** Address in the shared WebAssembly memory (4 KiB aligned) of the page, or -1 if reads are not plain memory. */
    ramAddress(page: number): number;
    /** Whether stores to the page must go through {@link write} although reads are plain memory (ROM, shadow RAM). */
    isReadOnly(page: number): boolean;
    /** Reads 1, 2 or 4 bytes anywhere in the physical address space; unsigned. */
    read(address: number, size: number): number;
    /** Writes the low 1, 2 or 4 bytes of `value` anywhere in the physical address space. */
    write(address: number, size: number, value: number): void;
}

/** MAXPHYADDR, as CPUID 80000008h reports it. */
export const PHYSICAL_ADDRESS_BITS = 40;

/** Bits 32 and up of a physical address that MAXPHYADDR leaves usable. */
export const PHYSICAL_ADDRESS_HIGH_MASK = 2 ** (PHYSICAL_ADDRESS_BITS - 32) - 1;

const PAGE_MASK = 0xfff;

/** Single accesses to guest physical memory that go to RAM directly where they can. */
export class PhysicalPort {
    readonly physical: PhysicalMemory;
    private readonly bytes: Uint8Array;
    private readonly view: DataView;

    constructor(buffer: ArrayBufferLike, physical: PhysicalMemory) {
        this.physical = physical;
        this.bytes = new Uint8Array(buffer);
        this.view = new DataView(buffer);
    }

    /** Reads 1, 2 or 4 bytes that lie in one page; unsigned. */
    read(address: number, size: number): number {
        const offset = address & PAGE_MASK;
        const ram = this.physical.ramAddress(address - offset);
        if (ram < 0) return this.physical.read(address, size);
        const at = ram + offset;
        if (size === 4) return this.view.getUint32(at, true);
        return size === 1 ? this.bytes[at] : this.view.getUint16(at, true);
    }

    /** Writes 1, 2 or 4 bytes that lie in one page. Coherence of translated code is the caller's concern. */
    write(address: number, size: number, value: number): void {
        const offset = address & PAGE_MASK;
        const page = address - offset;
        const ram = this.physical.ramAddress(page);
        if (ram < 0 || this.physical.isReadOnly(page)) {
            this.physical.write(address, size, size === 4 ? value >>> 0 : value & (size === 1 ? 0xff : 0xffff));
            return;
        }
        const at = ram + offset;
        if (size === 4) this.view.setUint32(at, value, true);
        else if (size === 1) this.bytes[at] = value;
        else this.view.setUint16(at, value, true);
    }
}
