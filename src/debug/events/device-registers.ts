/** Names of the memory-mapped registers that kernels use all the time. */

/** Local APIC: SDM Vol. 3, table 10-1; with MSR 800h + offset / 16 in x2APIC mode (table 10-6). */
const LOCAL_APIC: Readonly<Record<number, string>> = {
    0x20: 'ID',
    0x30: 'version',
    0x80: 'TPR',
    0x90: 'APR',
    0xa0: 'PPR',
    0xb0: 'EOI',
    0xd0: 'LDR',
    0xe0: 'DFR',
    0xf0: 'SVR',
    0x280: 'ESR',
    0x2f0: 'LVT CMCI',
    0x300: 'ICR',
    0x310: 'ICR high',
    0x320: 'LVT timer',
    0x330: 'LVT thermal',
    0x340: 'LVT performance',
    0x350: 'LVT LINT0',
    0x360: 'LVT LINT1',
    0x370: 'LVT error',
    0x380: 'timer initial count',
    0x390: 'timer current count',
    0x3e0: 'timer divide',
    0x3f0: 'self IPI',
};
/** Eight registers each. */
const LOCAL_APIC_ARRAYS: readonly (readonly [offset: number, name: string])[] = [
    [0x100, 'ISR'],
    [0x180, 'TMR'],
    [0x200, 'IRR'],
];

/** Intel 82093AA, section 3.1; the EOI register of version 20h. */
const IO_APIC: Readonly<Record<number, string>> = { 0x00: 'IOREGSEL', 0x10: 'IOWIN', 0x40: 'EOI' };

/** IA-PC HPET specification 1.0a, section 2.3.1. */
const HPET: Readonly<Record<number, string>> = {
    0x00: 'capabilities',
    0x10: 'configuration',
    0x20: 'interrupt status',
    0xf0: 'main counter',
};
const HPET_TIMERS = 0x100;
const HPET_TIMER_REGISTERS: Readonly<Record<number, string>> = {
    0x00: 'configuration',
    0x08: 'comparator',
    0x10: 'FSB route',
};

/** The register of a device at a physical address; undefined where none is known. */
export function registerName(device: string | undefined, address: number): string | undefined {
    switch (device) {
        case 'local APIC':
            return localApicRegister(address & 0xff0);
        case 'ioapic':
            return IO_APIC[address & 0xff0];
        case 'hpet':
            return hpetRegister(address & 0x3f8);
        default:
            return undefined;
    }
}

/** The register behind an x2APIC MSR. */
export function x2apicRegister(msr: number): string | undefined {
    return localApicRegister((msr & 0xff) << 4);
}

function localApicRegister(offset: number): string | undefined {
    const array = LOCAL_APIC_ARRAYS.find(([first]) => offset >= first && offset < first + 0x80);
    return array === undefined ? LOCAL_APIC[offset] : `${array[1]}${(offset - array[0]) >> 4}`;
}

function hpetRegister(offset: number): string | undefined {
    if (offset < HPET_TIMERS) {
        return HPET[offset];
    }
    const register = HPET_TIMER_REGISTERS[offset & 0x18];
    return register === undefined ? undefined : `timer ${(offset - HPET_TIMERS) >> 5} ${register}`;
}
