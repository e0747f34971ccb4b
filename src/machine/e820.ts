import { HIGH_RAM_BASE, type MemoryLayout } from './layout';

/** Range types of INT 15h AX=E820h (ACPI 6.5, table 15.2). */
export const enum MemoryType {
    Ram = 1,
    Reserved = 2,
    /** ACPI tables, usable after the OS has read them. */
    AcpiReclaimable = 3,
}

export interface MemoryMapEntry {
    readonly base: number;
    readonly size: number;
    readonly type: MemoryType;
}

/** Where the extended BIOS data area begins: the last KiB of conventional memory. */
export const EBDA_BASE = 0x9fc00;
const CONVENTIONAL_END = 0xa0000;
/** The system BIOS area, where operating systems look for the RSDP and the MP floating pointer. */
export const BIOS_AREA_BASE = 0xf0000;
const FIRST_MEGABYTE = 0x100000;

/**
 * The physical memory map of a machine without firmware, as the boot protocols hand it over.
 * @param tables bytes at the top of low RAM that hold ACPI tables
 */
export function memoryMap(layout: MemoryLayout, tables: number): MemoryMapEntry[] {
    const map: MemoryMapEntry[] = [
        { base: 0, size: EBDA_BASE, type: MemoryType.Ram },
        { base: EBDA_BASE, size: CONVENTIONAL_END - EBDA_BASE, type: MemoryType.Reserved },
        { base: BIOS_AREA_BASE, size: FIRST_MEGABYTE - BIOS_AREA_BASE, type: MemoryType.Reserved },
    ];
    const top = layout.lowRam - tables;
    if (top > FIRST_MEGABYTE) {
        map.push({ base: FIRST_MEGABYTE, size: top - FIRST_MEGABYTE, type: MemoryType.Ram });
        map.push({ base: top, size: tables, type: MemoryType.AcpiReclaimable });
    }
    if (layout.highRam > 0) {
        map.push({ base: HIGH_RAM_BASE, size: layout.highRam, type: MemoryType.Ram });
    }
    return map;
}

/** The map as the 20-byte entries of INT 15h AX=E820h: base, length, type. */
export function encodeE820(map: readonly MemoryMapEntry[]): Uint8Array {
    const bytes = new Uint8Array(map.length * 20);
    const view = new DataView(bytes.buffer);
    map.forEach(({ base, size, type }, index) => {
        view.setBigUint64(index * 20, BigInt(base), true);
        view.setBigUint64(index * 20 + 8, BigInt(size), true);
        view.setUint32(index * 20 + 16, type, true);
    });
    return bytes;
}
