import {
    type Aml,
    and,
    arg,
    byteFields,
    call,
    concat,
    createDWordField,
    device,
    eisaId,
    ifTrue,
    integer,
    method,
    name,
    operationRegion,
    orInto,
    pack,
    path,
    RegionSpace,
    returns,
    scope,
    store,
    string,
} from './aml';
import { BoardMap } from '../board/board-map';
import {
    busNumbers,
    fixedMemory,
    ioWindow,
    isaInterrupt,
    memoryWindow,
    ports,
    resources,
    SHARED_INTERRUPT_NUMBER,
    sharedInterrupt,
} from './resources';

/** What of the machine the DSDT describes. */
export interface DsdtOptions {
    readonly cpus: number;
    /** UARTs by number: 0 is COM1. */
    readonly serialPorts: readonly number[];
    /** 32-bit PCI memory window. */
    readonly pciMemory: { readonly first: number; readonly last: number };
    /** I/O port of the power management registers. */
    readonly powerManagement: number;
}

/** SLP_TYP of S3, as QEMU's `pc` has it. */
export const SUSPEND_TYPE = 1;

const PCI_SLOTS = 32;
const PCI_PINS = 4;
/** Interrupts that a PIRQ link may be routed to. */
const LINK_INTERRUPTS = [5, 10, 11];
/** PIRQ route control: bit 7 disables the routing (PIIX4 datasheet, 4.1.10). */
const PIRQ_DISABLED = 0x80;
const STA_PRESENT_ENABLED = 0x0b;
const STA_PRESENT_DISABLED = 0x09;

/** Which of the four PIRQ lines (0–3) pin `pin` (0–3) of the device in `slot` is wired to. */
export function pirqOf(slot: number, pin: number): number {
    return (slot + pin + PCI_PINS - 1) % PCI_PINS;
}

/** The definition block of the DSDT, without its table header. */
export function dsdt(options: DsdtOptions): Aml {
    return concat(
        scope(
            '\\_SB',
            device(
                'PCI0',
                name('_HID', eisaId('PNP0A03')),
                name('_UID', integer(0)),
                name('_BBN', integer(0)),
                name('_CRS', rootBridgeResources(options)),
                name('_PRT', interruptRouting()),
                isaBridge(options),
            ),
            ...[0, 1, 2, 3].map(linkDevice),
            linkStatus(),
            linkResources(),
            timerDevice(),
            ...Array.from({ length: options.cpus }, (_, index) =>
                device(
                    `C${index.toString(16).toUpperCase().padStart(3, '0')}`,
                    name('_HID', string('ACPI0007')),
                    name('_UID', integer(index)),
                ),
            ),
        ),
        // SLP_TYP of suspend to RAM and of soft-off for PM1a and PM1b (section 7.4.2).
        name('\\_S3', pack(integer(SUSPEND_TYPE), integer(SUSPEND_TYPE), integer(0), integer(0))),
        name('\\_S5', pack(integer(0), integer(0), integer(0), integer(0))),
    );
}

function rootBridgeResources({ pciMemory }: DsdtOptions): Aml {
    return resources(
        busNumbers(0, 0xff),
        ports(0xcf8, 8),
        ioWindow(0, 0xcf7),
        ioWindow(0xd00, 0xffff),
        memoryWindow(0xa0000, 0xbffff, true),
        memoryWindow(pciMemory.first, pciMemory.last),
    );
}

/** _PRT: device address, pin, link device, index into the link's resources (section 6.2.13). */
function interruptRouting(): Aml {
    const entries: Aml[] = [];
    for (let slot = 0; slot < PCI_SLOTS; slot++) {
        for (let pin = 0; pin < PCI_PINS; pin++) {
            const link = path(linkName(pirqOf(slot, pin)));
            entries.push(pack(integer(slot * 0x10000 + 0xffff), integer(pin), link, integer(0)));
        }
    }
    return pack(...entries);
}

function linkName(pirq: number): string {
    return `\\_SB.LNK${'ABCD'[pirq]}`;
}

function routeRegister(pirq: number): string {
    return `\\_SB.PCI0.ISA.PRQ${pirq}`;
}

/** A PCI interrupt link over the PIRQ route control registers of the ISA bridge. */
function linkDevice(pirq: number): Aml {
    const route = path(routeRegister(pirq));
    return device(
        linkName(pirq).slice(-4),
        name('_HID', eisaId('PNP0C0F')),
        name('_UID', integer(pirq + 1)),
        name('_PRS', resources(sharedInterrupt(...LINK_INTERRUPTS))),
        method('_STA', 0, returns(call('\\_SB.IQST', route))),
        method('_DIS', 0, orInto(route, integer(PIRQ_DISABLED), route)),
        method('_CRS', 0, returns(call('\\_SB.IQCR', route))),
        method('_SRS', 1, createDWordField(arg(0), SHARED_INTERRUPT_NUMBER, 'PRRI'), store(path('PRRI'), route)),
    );
}

function linkStatus(): Aml {
    return method(
        'IQST',
        1,
        ifTrue(and(arg(0), integer(PIRQ_DISABLED)), returns(integer(STA_PRESENT_DISABLED))),
        returns(integer(STA_PRESENT_ENABLED)),
    );
}

/** The resource that a route register stands for: a template with one interrupt number to fill in. */
function linkResources(): Aml {
    return concat(
        name('PRR0', resources(sharedInterrupt(0))),
        createDWordField(path('PRR0'), SHARED_INTERRUPT_NUMBER, 'PRRI'),
        method('IQCR', 1, store(and(arg(0), integer(0x0f)), path('PRRI')), returns(path('PRR0'))),
    );
}

function isaBridge({ serialPorts, powerManagement }: DsdtOptions): Aml {
    return device(
        'ISA',
        name('_ADR', integer(BoardMap.isaBridgeSlot * 0x10000)),
        operationRegion('P40C', RegionSpace.PciConfig, 0x60, 4),
        byteFields('P40C', 'PRQ0', 'PRQ1', 'PRQ2', 'PRQ3'),
        isaDevice('RTC', 'PNP0B00', ports(BoardMap.rtc, 2), isaInterrupt(8)),
        isaDevice('KBD', 'PNP0303', ports(0x60, 1), ports(0x64, 1), isaInterrupt(1)),
        isaDevice('MOU', 'PNP0F13', isaInterrupt(12)),
        // Motherboard resources: what no driver may take.
        isaDevice(
            'MBRD',
            'PNP0C02',
            ports(powerManagement, BoardMap.powerManagementSize),
            ports(BoardMap.apmControl, 2),
            ports(BoardMap.fwCfg, 12),
        ),
        ...serialPorts.map(index =>
            device(
                `COM${index + 1}`,
                name('_HID', eisaId('PNP0501')),
                name('_UID', integer(index + 1)),
                name('_STA', integer(0x0f)),
                name(
                    '_CRS',
                    resources(ports(BoardMap.serial[index].port, 8), isaInterrupt(BoardMap.serial[index].irq)),
                ),
            ),
        ),
    );
}

function isaDevice(text: string, id: string, ...descriptors: readonly Uint8Array[]): Aml {
    return device(text, name('_HID', eisaId(id)), name('_CRS', resources(...descriptors)));
}

function timerDevice(): Aml {
    return device(
        'HPET',
        name('_HID', eisaId('PNP0103')),
        name('_UID', integer(0)),
        name('_CRS', resources(fixedMemory(BoardMap.hpet, BoardMap.hpetSize, false))),
    );
}
