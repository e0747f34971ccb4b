import { FwCfgKey } from '../../devices/fw-cfg';
import { SUSPEND_TYPE } from '../acpi/dsdt';
import { acpiFiles, LOADER_FILE, RSDP_FILE, TABLES_FILE } from '../acpi/table-loader';
import type { AcpiTables } from '../acpi/tables';
import { encodeE820, type MemoryMapEntry, MemoryType } from '../e820';
import { HIGH_RAM_BASE, type MemoryLayout } from '../layout';
import { type OptionRom, OPTION_ROM_BOOT_PATH, OPTION_ROM_FILE } from '../loaders/option-rom';
import type { Board } from './board';

/** CMOS registers that firmware reads (QEMU's `pc`; Ralf Brown's CMOS list). */
const enum Cmos {
    Equipment = 0x14,
    /** Boot order: low nibble of 38h is flags, high nibble the third device; 3Dh holds the first two. */
    BootFlags = 0x38,
    BootOrder = 0x3d,
    /** Processors beside the first. */
    OtherCpus = 0x5f,
}

/** A coprocessor and a pointing device; no floppy disk, no display. */
const EQUIPMENT = 0x06;

const enum BootDevice {
    Floppy = 1,
    HardDisk = 2,
    CdRom = 3,
}

const SKIP_FLOPPY_SIGNATURE = 1;

/**
 * `etc/system-states`: bit 7 says that the sleeping state S0–S5 exists, the rest is its SLP_TYP. S0, S3 and S5 do.
 */
const SYSTEM_STATES = Uint8Array.of(0x80, 0, 0, 0x80 | SUSPEND_TYPE, 2, 0x80);

/** Tells firmware what it is running on: CMOS and fw_cfg (QEMU docs/specs/fw_cfg.rst). */
export function describeToFirmware(board: Board, layout: MemoryLayout, cpus: number, tables: AcpiTables): void {
    const { rtc, fwCfg } = board;
    rtc.writeCmos(Cmos.Equipment, EQUIPMENT);
    rtc.setMemorySize(layout.lowRam, layout.highRam);
    rtc.writeCmos(Cmos.OtherCpus, cpus - 1);
    rtc.writeCmos(Cmos.BootOrder, (BootDevice.Floppy << 4) | BootDevice.HardDisk);
    rtc.writeCmos(Cmos.BootFlags, (BootDevice.CdRom << 4) | SKIP_FLOPPY_SIGNATURE);

    fwCfg.setNumber(FwCfgKey.ramSize, layout.ram.size, 8);
    fwCfg.setNumber(FwCfgKey.cpuCount, cpus, 2);
    fwCfg.setNumber(FwCfgKey.maxCpus, cpus, 2);
    fwCfg.setNumber(FwCfgKey.noGraphic, 1, 2);
    fwCfg.setNumber(FwCfgKey.bootMenu, 0, 2);
    // IRQ 0 reaches the IOAPIC at pin 2.
    fwCfg.setNumber(FwCfgKey.x86Irq0Override, 1, 4);

    const ram: MemoryMapEntry[] = [{ base: 0, size: layout.lowRam, type: MemoryType.Ram }];
    if (layout.highRam > 0) {
        ram.push({ base: HIGH_RAM_BASE, size: layout.highRam, type: MemoryType.Ram });
    }
    fwCfg.addFile('etc/e820', encodeE820(ram));
    fwCfg.addFile('etc/system-states', SYSTEM_STATES);

    const files = acpiFiles(tables);
    fwCfg.addFile(TABLES_FILE, files.tables);
    fwCfg.addFile(RSDP_FILE, files.rsdp);
    fwCfg.addFile(LOADER_FILE, files.loader);
}

/** Has firmware that reads the tables from now on get these, of the same size. */
export function replaceTables(board: Board, tables: AcpiTables): void {
    board.fwCfg.addFile(TABLES_FILE, acpiFiles(tables).tables);
}

/** Offers a kernel to the firmware as the first device to boot from. */
export function offerKernel(board: Board, kernel: OptionRom): void {
    for (const [key, content] of kernel.items) {
        board.fwCfg.setItem(key, content);
    }
    board.fwCfg.addFile(OPTION_ROM_FILE, kernel.rom);
    board.fwCfg.addFile('bootorder', new TextEncoder().encode(`${OPTION_ROM_BOOT_PATH}\0`));
}
