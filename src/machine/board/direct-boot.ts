import { rootPointer, type AcpiTables } from '../acpi/tables';
import type { PortBus } from '../bus';
import { Segment } from '../../isa/x86/instruction';
import { REAL_MODE_CODE } from '../cpu/cpu-state';
import { cpuidLeaf } from '../cpu/cpuid';
import { BIOS_AREA_BASE, EBDA_BASE, memoryMap } from '../e820';
import type { BootContext } from '../loaders/boot-context';
import { applyInitialState, protectedModeState } from '../loaders/initial-state';
import type { GuestMemory } from '../memory';
import { mpTable } from '../mp-table';
import type { Processor } from '../processor';
import { writeBiosCalls } from './bios-calls';
import type { Board } from './board';
import { BoardMap } from './board-map';
import { setUpPci } from './pci-setup';

/** PAM0–PAM6 of the host bridge, and what makes their windows RAM for reads and writes. */
const PAM0 = 0x59;
const PAM_COUNT = 7;
const PAM0_RAM = 0x30;
const PAM_RAM = 0x33;

/** BIOS data area (IBM PC AT Technical Reference): segment of the EBDA, KiB of conventional memory, serial ports. */
const BDA_SERIAL_PORTS = 0x400;
const BDA_EBDA_SEGMENT = 0x40e;
const BDA_MEMORY_KIB = 0x413;

/** The root pointer and the MP floating pointer begin at multiples of 16. */
const RSDP_ADDRESS = BIOS_AREA_BASE;
const MP_ADDRESS = BIOS_AREA_BASE + 0x100;

/** Firmware and extended firmware waking vector of the FACS (section 5.2.10). */
const FACS_VECTOR = 12;
const FACS_EXTENDED_VECTOR = 24;

const FIRST_MEGABYTE = 0x100000;
const TABLES_ALIGNMENT = 0x10000;

/** The machine as {@link prepareDirectBoot} needs it. */
export interface DirectBootTarget {
    readonly memory: GuestMemory;
    readonly bus: PortBus;
    readonly board: Board;
    readonly processors: readonly Processor[];
    readonly tables: AcpiTables;
    readonly pciMemoryBase: number;
}

/**
 * Does what a firmware would have done before it starts an operating system, as far as one can tell afterwards: chipset
 * and PCI set up, tables in memory. Returns what a loader needs to know.
 */
export function prepareDirectBoot(target: DirectBootTarget): BootContext {
    const { memory, tables } = target;
    setUpChipset(target);
    writeBiosData(target);
    writeBiosCalls((address, bytes) => memory.writeBytes(address, bytes));

    const { reserved, base, room } = placeTables(target);
    if (room) {
        memory.writeBytes(base, tables.set.resolve(base));
        memory.writeBytes(RSDP_ADDRESS, rootPointer(tables, base));
        memory.writeBytes(MP_ADDRESS, mpTable(mpOptions(target), MP_ADDRESS));
    }
    return {
        write: (address, bytes) => memory.writeBytes(address, bytes),
        memoryMap: memoryMap(memory.layout, reserved),
        ramEnd: room ? base : FIRST_MEGABYTE,
        rsdp: room ? RSDP_ADDRESS : 0,
    };
}

/** Where the tables lie. A machine too small has no room above the first megabyte, and no guest that would read them. */
function placeTables({ memory, tables }: DirectBootTarget) {
    const reserved = Math.ceil(tables.set.size / TABLES_ALIGNMENT) * TABLES_ALIGNMENT;
    const base = memory.layout.lowRam - reserved;
    return { reserved, base, room: base > FIRST_MEGABYTE };
}

function setUpChipset({ bus, board, processors, pciMemoryBase }: DirectBootTarget): void {
    for (let index = 0; index < PAM_COUNT; index++) {
        board.hostBridge.writeConfiguration(PAM0 + index, 1, index === 0 ? PAM0_RAM : PAM_RAM);
    }
    setUpPci(board.pciBus, pciMemoryBase);
    const levels = BoardMap.pciIrqs.reduce((mask, irq) => mask | (1 << irq), 0);
    bus.write(BoardMap.elcr, 2, levels);
    processors[0].apic.configureVirtualWire();
}

/**
 * Does what a firmware does when the machine leaves S3 (ACPI 6.5, section 16.3.2): sets the chipset up again and has the
 * first processor go on where the operating system's FACS says. Returns whether it says so.
 */
export function resumeDirectBoot(target: DirectBootTarget): boolean {
    const { memory, processors, tables } = target;
    const { base, room } = placeTables(target);
    if (!room) {
        return false;
    }
    setUpChipset(target);
    const facs = base + tables.facs;
    const extended = memory.read(facs + FACS_EXTENDED_VECTOR, 4);
    const vector = memory.read(facs + FACS_VECTOR, 4);
    const { cpu } = processors[0];
    if (extended !== 0 && memory.read(facs + FACS_EXTENDED_VECTOR + 4, 4) === 0) {
        applyInitialState(memory.view, cpu.base, protectedModeState(extended, [], 0));
    } else if (vector !== 0 && vector < FIRST_MEGABYTE) {
        cpu.setSegment(Segment.Cs, vector >>> 4, vector & ~15, 0, 0xffff, REAL_MODE_CODE);
        cpu.setRip(vector & 15, 0);
    } else {
        return false;
    }
    cpu.stateReplaced();
    return true;
}

function mpOptions({ board, processors }: DirectBootTarget) {
    const [signature, , , features] = cpuidLeaf(processors[0].cpu, 1, 0);
    const slots = new Set([...board.pciBus.functions()].map(({ devfn }) => devfn >> 3));
    return {
        apicIds: processors.map(({ index }) => index),
        ioApicId: processors.length,
        signature,
        features,
        pciSlots: [...slots].filter(slot => slot >= BoardMap.firstFreeSlot),
    };
}

function writeBiosData({ memory, board }: DirectBootTarget): void {
    board.uarts.forEach((_, index) => memory.write(BDA_SERIAL_PORTS + 2 * index, 2, BoardMap.serial[index].port));
    memory.write(BDA_EBDA_SEGMENT, 2, EBDA_BASE >> 4);
    memory.write(BDA_MEMORY_KIB, 2, EBDA_BASE >> 10);
    // The EBDA begins with its own size in KiB.
    memory.write(EBDA_BASE, 1, 1);
}
