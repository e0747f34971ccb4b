import { concat, littleEndian } from './acpi/aml';
import { applyChecksum, text } from './acpi/table-set';
import { pirqOf } from './acpi/dsdt';
import { BoardMap } from './board/board-map';

/** MultiProcessor Specification 1.4, chapter 4. */
export interface MpOptions {
    readonly apicIds: readonly number[];
    readonly ioApicId: number;
    /** CPUID.1 EAX and EDX. */
    readonly signature: number;
    readonly features: number;
    /** PCI slots that may raise interrupts. */
    readonly pciSlots: readonly number[];
}

const SPECIFICATION = 4;
const LOCAL_APIC_VERSION = 0x14;
const IO_APIC_VERSION = 0x11;
const PCI_BUS = 0;
const ISA_BUS = 1;
const CPU_ENABLED = 1;
const CPU_BOOTSTRAP = 2;
const IO_APIC_USABLE = 1;
const ALL_LOCAL_APICS = 0xff;

const enum Entry {
    Processor = 0,
    Bus = 1,
    IoApic = 2,
    IoInterrupt = 3,
    LocalInterrupt = 4,
}

const enum InterruptType {
    Vectored = 0,
    Nmi = 1,
    ExtInt = 3,
}

/** Interrupt flags (table 4-10). */
const CONFORMS = 0;
const ACTIVE_HIGH_LEVEL = 0x0d;

const FLOATING_POINTER_SIZE = 16;
const HEADER_SIZE = 44;

/**
 * The floating pointer structure with the configuration table right behind it, for physical address `base` (16-byte
 * aligned, in the BIOS area or the EBDA).
 */
export function mpTable(options: MpOptions, base: number): Uint8Array {
    const entries = tableEntries(options);
    const body = concat(...entries);
    const table = concat(
        text('PCMP', 4),
        littleEndian(HEADER_SIZE + body.length, 2),
        [SPECIFICATION, 0],
        text('HYPERS', 8),
        text('HYPERSCOPE', 12),
        littleEndian(0, 4),
        littleEndian(0, 2),
        littleEndian(entries.length, 2),
        littleEndian(BoardMap.localApic, 4),
        littleEndian(0, 2),
        [0, 0],
        body,
    );
    applyChecksum(table, { offset: 7, start: 0, length: table.length });
    const pointer = concat(
        text('_MP_', 4),
        littleEndian(base + FLOATING_POINTER_SIZE, 4),
        [1, SPECIFICATION, 0],
        // Feature bytes: a configuration table is present; virtual wire mode, no IMCR.
        [0, 0, 0, 0, 0],
    );
    applyChecksum(pointer, { offset: 10, start: 0, length: pointer.length });
    return concat(pointer, table);
}

function tableEntries(options: MpOptions): Uint8Array[] {
    const { apicIds, ioApicId, signature, features, pciSlots } = options;
    const entry = (type: Entry, ...fields: readonly (Uint8Array | readonly number[])[]): Uint8Array =>
        concat([type], ...fields);
    const interrupt = (irqBus: number, irq: number, pin: number, flags: number): Uint8Array =>
        entry(Entry.IoInterrupt, [InterruptType.Vectored], littleEndian(flags, 2), [irqBus, irq, ioApicId, pin]);
    const pci = new Set<number>(BoardMap.pciIrqs);
    // IRQ 2 is the cascade; the PIT is where the override says.
    const isa = [...Array(16).keys()].filter(irq => irq !== 2 && !pci.has(irq));
    return [
        ...apicIds
            .slice(0, 0xff)
            .map((id, index) =>
                entry(
                    Entry.Processor,
                    [id, LOCAL_APIC_VERSION, index === 0 ? CPU_ENABLED | CPU_BOOTSTRAP : CPU_ENABLED],
                    littleEndian(signature, 4),
                    littleEndian(features, 4),
                    littleEndian(0, 8),
                ),
            ),
        entry(Entry.Bus, [PCI_BUS], text('PCI', 6)),
        entry(Entry.Bus, [ISA_BUS], text('ISA', 6)),
        entry(Entry.IoApic, [ioApicId, IO_APIC_VERSION, IO_APIC_USABLE], littleEndian(BoardMap.ioApic, 4)),
        ...pciSlots.flatMap(slot =>
            [0, 1, 2, 3].map(pin =>
                interrupt(PCI_BUS, (slot << 2) | pin, BoardMap.pciIrqs[pirqOf(slot, pin)], ACTIVE_HIGH_LEVEL),
            ),
        ),
        ...isa.map(irq =>
            interrupt(
                ISA_BUS,
                irq,
                irq === 0 ? BoardMap.timerPin : irq,
                irq === BoardMap.sci ? ACTIVE_HIGH_LEVEL : CONFORMS,
            ),
        ),
        entry(Entry.LocalInterrupt, [InterruptType.ExtInt], littleEndian(CONFORMS, 2), [
            ISA_BUS,
            0,
            ALL_LOCAL_APICS,
            0,
        ]),
        entry(Entry.LocalInterrupt, [InterruptType.Nmi], littleEndian(CONFORMS, 2), [ISA_BUS, 0, ALL_LOCAL_APICS, 1]),
    ];
}
