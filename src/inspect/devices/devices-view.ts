/** The board: PCI functions, what answers where, and each chip's registers. */
import type { InspectionSource } from '../../debug/inspection-source';
import type { DeviceRegister } from '../../devices/device';
import type { AddressMapItem, ChipItem, ChipRegister, DevicesBody } from '../../messages/devices';
import { hex } from '../hex';
import { deviceName } from './pci-names';
import { register, viewPciFunction } from './pci-view';

/** What the chips are, by the names that the board gives them; a number at the end is left out. */
const TITLES: Readonly<Record<string, string>> = {
    keyboard: 'PS/2 keyboard',
    mouse: 'PS/2 mouse',
    i8042: '8042 keyboard controller',
    port92: 'system control port A',
    pit: '8254 interval timer',
    pit8254: '8254 interval timer',
    rtc: 'MC146818 real-time clock and CMOS',
    rtc146818: 'MC146818 real-time clock and CMOS',
    hpet: 'high precision event timer',
    'acpi-pm': 'ACPI power management',
    serial: '16550A UART',
    'fw-cfg': 'firmware configuration (QEMU fw_cfg)',
    dma8237: '8237A DMA controllers',
    'debug-console': 'debug console',
    'debug-exit': 'debug exit',
    'post-code': 'POST code',
    'pci-configuration': 'PCI configuration ports',
    pic: '8259A interrupt controllers',
    ioapic: '82093AA I/O APIC',
    lapic: 'local APIC',
};

/** Registers of one chip that are shown: an RTC has 128 bytes, a firmware interface some 100 files. */
const MOST_REGISTERS = 1024;

export function viewDevices(source: InspectionSource): DevicesBody {
    const { machine } = source;
    const memoryMap = (source.regions ?? []).map((region): AddressMapItem => ({
        name: region.name,
        first: hex(region.first),
        last: hex(region.last),
        kind: region.kind,
    }));
    if (machine === undefined) {
        const problem = 'devices can be seen only in a machine that Hyperscope itself runs';
        return { pci: [], memoryMap, portMap: [], chips: [], problem };
    }
    const functions = [...machine.board.pciBus.functions()];
    const pciTitles = new Map(
        functions.map(({ function: { name, configuration } }) => [
            name,
            deviceName(configuration.get(0, 2), configuration.get(2, 2)),
        ]),
    );
    return {
        pci: functions.map(({ devfn, function: plugged }) => viewPciFunction(devfn, plugged)),
        memoryMap,
        portMap: machine.bus.list().map(({ name, base, size }) => ({
            name,
            first: hex(base),
            last: hex(base + size - 1),
            kind: 'port',
        })),
        chips: machine.devices.map((device): ChipItem => ({
            name: device.name,
            title: pciTitles.get(device.name) ?? titleOf(device.name),
            registers: device.inspect().slice(0, MOST_REGISTERS).map(viewRegister),
        })),
    };
}

function titleOf(name: string): string {
    return TITLES[name] ?? TITLES[name.replace(/\d+$/, '')] ?? name;
}

function viewRegister({ name, value, width, description }: DeviceRegister): ChipRegister {
    if (typeof value === 'string') {
        return { name, text: value, description };
    }
    if (width === undefined) {
        return { name, text: value.toString(), value: hex(value), description };
    }
    return register(name, value, width, description);
}
