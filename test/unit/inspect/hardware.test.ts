import assert from 'node:assert/strict';
import { MachineInspection } from '../../../src/debug/machine-inspection';
import { viewDevices } from '../../../src/inspect/devices/devices-view';
import { viewCapabilities } from '../../../src/inspect/devices/pci-view';
import { viewInterrupts } from '../../../src/inspect/interrupts-view';
import { Machine, type MachineOptions } from '../../../src/machine/machine';
import { Flag, StateOffset } from '../../../src/machine/state';
import { SymbolTable } from '../../../src/symbols/symbol-table';
import { bzImage } from '../machine/images';
import { ScriptedEngine } from '../machine/scripted-engine';
import { FakeSource } from './fake-source';

function pc(options: Partial<MachineOptions> = {}) {
    const engine = new ScriptedEngine();
    const machine = new Machine({
        memory: 16 * 2 ** 20,
        kernel: { kernel: { name: 'vmlinuz', data: bzImage() }, modules: [], commandLine: '' },
        serial: [() => undefined],
        ...options,
        engine: () => engine,
    });
    const look = (): MachineInspection => new MachineInspection(machine, new SymbolTable(), 0);
    return { machine, interrupts: () => viewInterrupts(look()), devices: () => viewDevices(look()) };
}

describe('interrupts view', () => {
    /** Programs the PIC as firmware does: vectors from 20h and 28h, everything but IRQ 4 and the cascade masked. */
    function programPic(machine: Machine): void {
        for (const [port, value] of [
            [0x20, 0x11],
            [0xa0, 0x11],
            [0x21, 0x20],
            [0xa1, 0x28],
            [0x21, 0x04],
            [0xa1, 0x02],
            [0x21, 0x01],
            [0xa1, 0x01],
            [0x21, 0xeb],
            [0xa1, 0xfe],
        ]) {
            machine.bus.write(port, 1, value);
        }
    }

    it('shows what waits in the PIC, which vector it would give, and what keeps it from the vCPU', () => {
        const { machine, interrupts } = pc();
        programPic(machine);
        assert.equal(interrupts().processors[0].text, 'nothing waits');
        machine.board.pic.line(4).set(true);
        machine.board.pic.line(3).set(true);
        const [master, slave] = interrupts().pic!;
        assert.equal(master.vectorBase, 0x20);
        assert.equal(slave.vectorBase, 0x28);
        assert.equal(master.mode, '8086 mode');
        assert.deepEqual([master.irr, master.imr, master.requesting], [0x18, 0xeb, true]);
        assert.deepEqual(
            { ...master.inputs[4] },
            { ir: 4, vector: 0x24, pending: true, inService: false, masked: false, level: false, source: 'serial0' },
        );
        assert.equal(master.inputs[3].masked, true);
        const waiting = interrupts().processors[0];
        assert.equal(waiting.text, 'vector 0x24 of the PIC waits: RFLAGS.IF is clear');
        assert.equal(waiting.next, undefined);
        const { cpu } = machine.processors[0];
        cpu.writeFlags(cpu.rflags | Flag.IF);
        assert.equal(interrupts().processors[0].text, 'vector 0x24 of the PIC would be delivered now');
        cpu.setLo(StateOffset.interruptShadow, 1);
        assert.match(interrupts().processors[0].text, /STI holds it off for one instruction/);
        cpu.setLo(StateOffset.interruptShadow, 0);
        assert.equal(machine.processors[0].acknowledgeInterrupt(), 0x24, 'the machine agrees');
        assert.equal(interrupts().pic![0].inputs[4].inService, true);
    });

    it('predicts the vector of the slave', () => {
        const { machine, interrupts } = pc();
        programPic(machine);
        machine.board.pic.line(8).set(true);
        const { cpu } = machine.processors[0];
        cpu.writeFlags(cpu.rflags | Flag.IF);
        assert.equal(interrupts().processors[0].next?.vector, 0x28);
        assert.equal(machine.processors[0].acknowledgeInterrupt(), 0x28);
    });

    it('orders what waits in a local APIC and tells why each one waits', () => {
        const { machine, interrupts } = pc({ cpus: 2 });
        const { cpu, apic } = machine.processors[0];
        const write = (offset: number, value: number): void => apic.mmio.write(offset, 4, value);
        write(0xf0, 0x1ff);
        write(0x350, 0x10000);
        write(0x320, 0x200ec);
        write(0x3e0, 0xb);
        for (const vector of [0x31, 0x61, 0x62]) write(0x300, 0x40000 | vector);
        cpu.writeFlags(cpu.rflags | Flag.IF);
        const text = (): string[] =>
            interrupts().processors[0].pending.map(({ vector, waitsFor }) => `${vector.toString(16)}: ${waitsFor}`);
        assert.deepEqual(text(), ['62: undefined', '61: 0x62 goes first', '31: 0x62 goes first']);
        assert.equal(machine.processors[0].acknowledgeInterrupt(), 0x62);
        assert.deepEqual(text(), [
            '61: its priority class 6 is not above 6, that of the interrupt in service',
            '31: its priority class 3 is not above 6, that of the interrupt in service',
        ]);
        const view = interrupts().processors[0];
        assert.deepEqual(
            view.inService.map(({ vector }) => vector),
            [0x62],
        );
        assert.deepEqual(
            [view.apic?.mode, view.apic?.softwareEnabled, view.apic?.spuriousVector],
            ['xAPIC', true, 0xff],
        );
        assert.deepEqual([view.apic?.irr, view.apic?.isr], [[0x31, 0x61], [0x62]]);
        assert.equal(view.apic?.lvt[0].text, 'periodic, vector 0xec');
        assert.equal(view.apic?.timer.divideBy, 1);
        write(0x3e0, 0x3);
        assert.equal(interrupts().processors[0].apic?.timer.divideBy, 16);
        assert.equal(interrupts().processors[1].activity, 'waits for SIPI');
    });

    it('decodes the redirection table of the I/O APIC', () => {
        const { machine, interrupts } = pc();
        const write = (index: number, value: number): void => {
            machine.memory.write(0xfec00000, 4, index);
            machine.memory.write(0xfec00010, 4, value);
        };
        write(0x10 + 2 * 9, 0xa931);
        write(0x11 + 2 * 9, 0x03000000);
        const pin = interrupts().ioApics[0].pins[9];
        assert.deepEqual(
            [pin.vector, pin.deliveryMode, pin.destinationMode, pin.destination, pin.trigger, pin.polarity, pin.masked],
            [0x31, 'lowest priority', 'logical', 3, 'level', 'low', false],
        );
        assert.equal(pin.source, 'ACPI (SCI)');
        assert.equal(pin.value, '0x30000000000a931');
    });

    it('says so where there are no controllers to be seen', () => {
        assert.match(viewInterrupts(new FakeSource()).problem ?? '', /only in a machine that Hyperscope itself runs/);
        assert.match(viewDevices(new FakeSource()).problem ?? '', /only in a machine/);
    });
});

describe('devices view', () => {
    it('shows PCI functions with classes, base addresses and capabilities', () => {
        const { devices } = pc();
        const { pci } = devices();
        assert.deepEqual(
            pci.map(({ address, title, className }) => `${address} ${title}: ${className}`),
            [
                '00:00.0 Intel 82441FX PCI and memory controller: host bridge',
                '00:01.0 Intel 82371SB (PIIX3) ISA bridge: ISA bridge',
                '00:01.3 Intel 82371AB (PIIX4) power management: bridge (other)',
                '00:03.0 Red Hat Virtio entropy source: unclassified device',
            ],
        );
        const rng = pci[3];
        assert.deepEqual(
            rng.bars.map(({ name, space, mapped, size }) => [name, space, mapped, size > 0]),
            rng.bars.map(({ name, space }) => [name, space, true, true]),
        );
        assert.equal(rng.bars[0].address, '0xc000');
        const names = rng.capabilities.map(({ name }) => name);
        assert.ok(names.includes('MSI-X') && names.includes('vendor specific'), names.join());
        assert.equal(rng.configuration.length, 512);
        assert.equal(rng.configuration.slice(0, 4), 'f41a');
    });

    it('survives capability lists that go round in circles or point into the header', () => {
        const bytes = new Uint8Array(256);
        bytes[6] = 0x10;
        bytes[0x34] = 0x50;
        bytes.set([0x05, 0x60], 0x50);
        bytes.set([0x11, 0x50], 0x60);
        assert.deepEqual(
            viewCapabilities(bytes).map(({ offset }) => offset),
            [0x50, 0x60],
        );
        bytes[0x34] = 0x04;
        assert.deepEqual(viewCapabilities(bytes), []);
        bytes[0x34] = 0xff;
        bytes[0xfc] = 0x09;
        assert.equal(viewCapabilities(bytes)[0].offset, 0xfc);
    });

    it('lists what answers at addresses and ports, and every chip by its name', () => {
        const { machine, devices } = pc({ cpus: 2 });
        const { memoryMap, portMap, chips } = devices();
        assert.deepEqual({ ...memoryMap[0] }, { name: 'low RAM', first: '0x0', last: '0x9ffff', kind: 'ram' });
        assert.ok(
            memoryMap.some(({ name, first, kind }) => name === 'ioapic' && first === '0xfec00000' && kind === 'device'),
        );
        assert.ok(portMap.some(({ name, first, last }) => name === 'serial0' && first === '0x3f8' && last === '0x3ff'));
        assert.deepEqual(
            chips.map(({ name }) => name),
            machine.devices.map(({ name }) => name),
        );
        assert.equal(chips.find(({ name }) => name === 'serial0')?.title, '16550A UART');
        assert.equal(chips.find(({ name }) => name === 'lapic1')?.title, 'local APIC');
        // Every name is known: a new chip needs a title.
        for (const { name, title } of chips) assert.notEqual(title, name, `the title of '${name}'`);
    });

    it('changes nothing', () => {
        const { machine, devices, interrupts } = pc({ cpus: 2 });
        const state = (): string =>
            JSON.stringify(
                machine.devices.map(device => device.save()),
                (_key, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value),
            );
        const before = [state(), machine.stateHash()];
        devices();
        interrupts();
        assert.deepEqual([state(), machine.stateHash()], before);
    });
});
