import { BoardMap } from '../board/board-map';
import { concat, littleEndian } from './aml';
import { dsdt, type DsdtOptions } from './dsdt';
import { applyChecksum, TableSet, text, type TablePointer } from './table-set';

export interface AcpiOptions extends DsdtOptions {
    /** APIC ids of the vCPUs, in order. */
    readonly apicIds: readonly number[];
    readonly ioApicId: number;
    /** Low doubleword of the HPET's capabilities register. */
    readonly hpetCapabilities: number;
}

/** All tables, with offsets of the two roots and of the FACS in the set. */
export interface AcpiTables {
    readonly set: TableSet;
    readonly rsdt: number;
    readonly xsdt: number;
    readonly facs: number;
}

const HEADER = 36;
const LOCAL_APIC_ENABLED = 1;
const PCAT_COMPATIBLE = 1;
/** MPS INTI flags (section 5.2.12.5): active high, level triggered. */
const ACTIVE_HIGH_LEVEL = 0x0d;
const CONFORMS = 0;

/** Generic address structures (section 5.2.3.2). */
const SYSTEM_MEMORY = 0;
const SYSTEM_IO = 1;

/** FADT feature flags (table 5.10). */
const enum FixedFeature {
    Wbinvd = 1 << 0,
    C1Supported = 1 << 2,
    /** No fixed sleep button. */
    SleepButtonAbsent = 1 << 5,
    ResetRegister = 1 << 10,
}

/** IA-PC boot architecture (table 5.11). */
const enum BootArchitecture {
    LegacyDevices = 1 << 0,
    KeyboardController = 1 << 1,
    VgaNotPresent = 1 << 2,
}

/** Values that switch ACPI mode on and off through SMI_CMD, as on a PIIX4. */
export const ACPI_ENABLE = 0xf1;
export const ACPI_DISABLE = 0xf0;

/** Value that makes the reset control register reset the machine. */
const RESET_VALUE = 0x06;

/** Layout of the power management registers, relative to their base (PIIX4 datasheet, chapter 7.2). */
const PM_EVENT = 0x00;
const PM_CONTROL = 0x04;
const PM_TIMER = 0x08;
const GPE0 = 0x0c;

/** CMOS register of the century, where the FADT's readers look for it. */
const CENTURY = 0x32;

export function buildAcpiTables(options: AcpiOptions): AcpiTables {
    const set = new TableSet();
    // The FACS has to be aligned to 64 bytes; everything else follows.
    const facs = set.addBytes(facsTable(), 64);
    const definition = set.addTable('DSDT', 2, dsdt(options));
    const tables = [
        set.addTable('FACP', 3, fixedDescription(facs, definition, options.powerManagement), [
            { offset: 36, size: 4 },
            { offset: 40, size: 4 },
            { offset: 140, size: 8 },
        ]),
        set.addTable('APIC', 3, multipleApics(options)),
        set.addTable('HPET', 1, hpetTable(options)),
    ];
    return { set, rsdt: addRoot(set, 'RSDT', 4, tables), xsdt: addRoot(set, 'XSDT', 8, tables), facs };
}

/** The root pointer, version 2 (section 5.2.5.3), for tables at `base`. */
export function rootPointer(tables: AcpiTables, base: number): Uint8Array {
    const { bytes, checksums } = rawRootPointer(tables);
    bytes.set(littleEndian(tables.rsdt + base, 4), RSDP_RSDT);
    bytes.set(littleEndian(tables.xsdt + base, 8), RSDP_XSDT);
    for (const checksum of checksums) {
        applyChecksum(bytes, checksum);
    }
    return bytes;
}

const RSDP_RSDT = 16;
const RSDP_XSDT = 24;

/** The root pointer with offsets for addresses, as a firmware's loader script wants it. */
export function rawRootPointer(tables: AcpiTables) {
    const bytes = new Uint8Array(36);
    bytes.set(text('RSD PTR ', 8));
    bytes.set(text('HYPERS', 6), 9);
    bytes[15] = 2;
    bytes.set(littleEndian(tables.rsdt, 4), RSDP_RSDT);
    bytes.set(littleEndian(bytes.length, 4), 20);
    bytes.set(littleEndian(tables.xsdt, 8), RSDP_XSDT);
    return {
        bytes,
        pointers: [
            { offset: RSDP_RSDT, size: 4 },
            { offset: RSDP_XSDT, size: 8 },
        ] as TablePointer[],
        checksums: [
            { offset: 8, start: 0, length: 20 },
            { offset: 32, start: 0, length: 36 },
        ],
    };
}

function addRoot(set: TableSet, signature: 'RSDT' | 'XSDT', size: 4 | 8, tables: readonly number[]): number {
    const body = concat(...tables.map(offset => littleEndian(offset, size)));
    return set.addTable(
        signature,
        1,
        body,
        tables.map((_, index) => ({ offset: HEADER + index * size, size })),
    );
}

/** Firmware ACPI control structure (section 5.2.10). */
function facsTable(): Uint8Array {
    const facs = new Uint8Array(64);
    facs.set(text('FACS', 4));
    facs.set(littleEndian(facs.length, 4), 4);
    facs[32] = 1;
    return facs;
}

/** Fixed ACPI description table, revision 3 (ACPI 2.0; section 5.2.9), without the header. */
function fixedDescription(facs: number, definition: number, base: number): Uint8Array {
    const body = new Uint8Array(244 - HEADER);
    const put = (offset: number, size: number, value: number): void =>
        body.set(littleEndian(value, size), offset - HEADER);
    put(36, 4, facs);
    put(40, 4, definition);
    put(46, 2, BoardMap.sci);
    put(48, 4, BoardMap.apmControl);
    put(52, 1, ACPI_ENABLE);
    put(53, 1, ACPI_DISABLE);
    put(56, 4, base + PM_EVENT);
    put(64, 4, base + PM_CONTROL);
    put(76, 4, base + PM_TIMER);
    put(80, 4, base + GPE0);
    put(88, 1, 4);
    put(89, 1, 2);
    put(91, 1, 4);
    put(92, 1, 4);
    // C2 and C3 are not supported: latencies above 100 µs and 1000 µs.
    put(96, 2, 0xfff);
    put(98, 2, 0xfff);
    put(108, 1, CENTURY);
    put(109, 2, BootArchitecture.LegacyDevices | BootArchitecture.KeyboardController | BootArchitecture.VgaNotPresent);
    put(
        112,
        4,
        FixedFeature.Wbinvd | FixedFeature.C1Supported | FixedFeature.SleepButtonAbsent | FixedFeature.ResetRegister,
    );
    body.set(genericAddress(SYSTEM_IO, 8, BoardMap.resetControl), 116 - HEADER);
    put(128, 1, RESET_VALUE);
    // X_FIRMWARE_CTRL stays 0: only one of the two may name the FACS, and ours lies below 4 GiB.
    put(140, 8, definition);
    body.set(genericAddress(SYSTEM_IO, 32, base + PM_EVENT), 148 - HEADER);
    body.set(genericAddress(SYSTEM_IO, 16, base + PM_CONTROL), 172 - HEADER);
    body.set(genericAddress(SYSTEM_IO, 32, base + PM_TIMER), 208 - HEADER);
    body.set(genericAddress(SYSTEM_IO, 32, base + GPE0), 220 - HEADER);
    return body;
}

function genericAddress(space: number, bits: number, address: number): Uint8Array {
    return Uint8Array.of(space, bits, 0, 0, ...littleEndian(address, 8));
}

/** Multiple APIC description table (section 5.2.12), without the header. */
function multipleApics({ apicIds, ioApicId }: AcpiOptions): Uint8Array {
    const override = (irq: number, gsi: number, flags: number): number[] => [
        2,
        10,
        0,
        irq,
        ...littleEndian(gsi, 4),
        ...littleEndian(flags, 2),
    ];
    const levelTriggered = [...new Set([5, BoardMap.sci, ...BoardMap.pciIrqs])];
    return concat(
        littleEndian(BoardMap.localApic, 4),
        littleEndian(PCAT_COMPATIBLE, 4),
        ...apicIds.map((id, index) =>
            id < 0xff
                ? [0, 8, index, id, ...littleEndian(LOCAL_APIC_ENABLED, 4)]
                : [
                      9,
                      16,
                      0,
                      0,
                      ...littleEndian(id, 4),
                      ...littleEndian(LOCAL_APIC_ENABLED, 4),
                      ...littleEndian(index, 4),
                  ],
        ),
        [1, 12, ioApicId, 0, ...littleEndian(BoardMap.ioApic, 4), ...littleEndian(0, 4)],
        override(0, BoardMap.timerPin, CONFORMS),
        ...levelTriggered.map(irq => override(irq, irq, ACTIVE_HIGH_LEVEL)),
        // NMI on LINT1 of every processor.
        [4, 6, 0xff, ...littleEndian(CONFORMS, 2), 1],
    );
}

/** IA-PC HPET description table (IA-PC HPET specification 1.0a, section 3.2.4), without the header. */
function hpetTable({ hpetCapabilities }: AcpiOptions): Uint8Array {
    const MINIMUM_TICK = 100;
    return concat(
        littleEndian(hpetCapabilities, 4),
        genericAddress(SYSTEM_MEMORY, 64, BoardMap.hpet),
        [0],
        littleEndian(MINIMUM_TICK, 2),
        [0],
    );
}
