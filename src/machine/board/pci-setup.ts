import { ConfigRegister, PciCommand } from '../../devices/pci/configuration-space';
import type { PciBus } from '../../devices/pci/pci-bus';
import { pirqOf } from '../acpi/dsdt';
import { BoardMap } from './board-map';

const BARS = 6;
const IO_BAR = 1;
const MEMORY_64 = 0x06;
const WIDE = 0x04;
const HOST_BRIDGE_CLASS = 0x0600;
const PAGE = 0x1000;

/** PIRQ route control registers of the ISA bridge. */
const PIRQ_ROUTES = 0x60;

/**
 * What a PC firmware does with PCI before it boots anything: routes interrupts, gives every BAR an address and lets
 * functions decode them.
 * @param memoryBase first physical address for memory BARs
 */
export function setUpPci(bus: PciBus, memoryBase: number): void {
    const isaBridge = BoardMap.isaBridgeSlot << 3;
    BoardMap.pciIrqs.forEach((irq, pirq) => bus.writeConfiguration(isaBridge, PIRQ_ROUTES + pirq, 1, irq));

    let nextPort: number = BoardMap.pciPorts;
    let nextMemory = memoryBase;
    const take = (size: number, io: boolean): number => {
        const step = io ? size : Math.max(size, PAGE);
        const base = Math.ceil((io ? nextPort : nextMemory) / step) * step;
        if (io) {
            nextPort = base + step;
        } else {
            nextMemory = base + step;
        }
        return base;
    };
    for (const { devfn } of bus.functions()) {
        if (bus.readConfiguration(devfn, ConfigRegister.classCode + 1, 2) === HOST_BRIDGE_CLASS) {
            continue;
        }
        for (let index = 0; index < BARS; index++) {
            index += assignBar(bus, devfn, ConfigRegister.bar0 + 4 * index, take);
        }
        const pin = bus.readConfiguration(devfn, ConfigRegister.interruptPin, 1);
        // The power management function's interrupt is wired to the SCI, and says so.
        if (pin !== 0 && bus.readConfiguration(devfn, ConfigRegister.interruptLine, 1) === 0) {
            const irq = BoardMap.pciIrqs[pirqOf(devfn >> 3, pin - 1)];
            bus.writeConfiguration(devfn, ConfigRegister.interruptLine, 1, irq);
        }
        const command = bus.readConfiguration(devfn, ConfigRegister.command, 2);
        bus.writeConfiguration(devfn, ConfigRegister.command, 2, command | PciCommand.io | PciCommand.memory);
    }
}

/** Sizes a BAR (PCI 3.0, 6.2.5.1) and gives it an address. Returns how many further registers it takes. */
function assignBar(bus: PciBus, devfn: number, offset: number, take: (size: number, io: boolean) => number): number {
    bus.writeConfiguration(devfn, offset, 4, 0xffffffff);
    const sizing = bus.readConfiguration(devfn, offset, 4);
    if (sizing === 0) {
        return 0;
    }
    const io = (sizing & IO_BAR) !== 0;
    const wide = !io && (sizing & MEMORY_64) === WIDE;
    const size = -(sizing & (io ? 0xfffffffc : 0xfffffff0)) >>> 0;
    bus.writeConfiguration(devfn, offset, 4, take(io ? size & 0xffff : size, io));
    if (wide) {
        bus.writeConfiguration(devfn, offset + 4, 4, 0);
    }
    return wide ? 1 : 0;
}
