import assert from 'node:assert/strict';
import { LoadError } from '../../../src/machine/errors';
import type { MachineOptions } from '../../../src/machine/machine';
import { elf, multibootHeader } from './images';
import { enableInterrupts } from './scripted-engine';
import { build as buildMachine, LAPIC, MIB } from './scripted-machine';

const BIOS = { name: 'bios', data: new Uint8Array(0x20000).fill(0xea, 0x1fff0, 0x1fff5) };
const IOAPIC = 0xfec00000;
const HOST_BRIDGE = 0;
const ISA_BRIDGE = 1 << 3;
const POWER_MANAGEMENT = (1 << 3) | 3;
const RNG = 3 << 3;

function build(options: Partial<MachineOptions> = {}) {
    const { machine, engine } = buildMachine(options);
    const { bus, memory } = machine;
    const pci = (devfn: number, offset: number): void =>
        bus.write(0xcf8, 4, (0x80000000 | (devfn << 8) | (offset & 0xfc)) >>> 0);
    const readPci = (devfn: number, offset: number, size: number): number => {
        pci(devfn, offset);
        return bus.read(0xcfc + (offset & 3), size);
    };
    const writePci = (devfn: number, offset: number, size: number, value: number): void => {
        pci(devfn, offset);
        bus.write(0xcfc + (offset & 3), size, value);
    };
    const route = (pin: number, entry: number): void => {
        memory.write(IOAPIC, 4, 0x10 + 2 * pin);
        memory.write(IOAPIC + 0x10, 4, entry);
    };
    return { machine, engine, bus, memory, readPci, writePci, route };
}

describe('board', () => {
    it('has every device where PCs have it', () => {
        const { machine, memory, readPci } = build({ serial: [() => undefined, () => undefined] });
        const at = (ports: readonly { name: string; base: number }[], base: number) =>
            ports.find(port => port.base === base)?.name;
        const ports = machine.bus.list();
        for (const [base, name] of [
            [0x20, 'pic master'],
            [0x40, 'pit'],
            [0x60, 'i8042 data'],
            [0x61, 'system control B'],
            [0x70, 'rtc'],
            [0x92, 'system control A'],
            [0xb2, 'apm control'],
            [0xe9, 'debug console'],
            [0xf4, 'debug exit'],
            [0x2f8, 'serial1'],
            [0x3f8, 'serial0'],
            [0x510, 'fw_cfg'],
            [0x600, 'acpi-pm'],
            [0xcf8, 'pci configuration'],
        ] as const) {
            assert.equal(at(ports, base), name);
        }
        for (const [base, name] of [
            [LAPIC, 'local APIC'],
            [IOAPIC, 'ioapic'],
            [0xfed00000, 'hpet'],
        ] as const) {
            assert.equal(at(memory.list(), base), name);
        }
        assert.equal(memory.read(LAPIC + 0x30, 4) & 0xff, 0x14);
        assert.equal(memory.read(0xfed00004, 4), 10_000_000);
        assert.equal(readPci(HOST_BRIDGE, 0, 4), 0x12378086);
        assert.equal(readPci(2 << 3, 0, 4), 0xffffffff);
    });

    it('tells by CMOS what it is equipped with, under the checksum', () => {
        const { rtc } = build().machine.board;
        assert.equal(rtc.readCmos(0x14), 0x06);
        let sum = 0;
        for (let index = 0x10; index < 0x2e; index++) {
            sum += rtc.readCmos(index);
        }
        assert.equal((rtc.readCmos(0x2e) << 8) | rtc.readCmos(0x2f), sum);
    });

    it('has no serial port that nobody listens to', () => {
        const { bus } = build();
        assert.equal(bus.read(0x3f8 + 5, 1), 0xff);
    });

    it('leads the PIT to the PIC as IRQ 0 and to the IOAPIC as pin 2', () => {
        const { machine, engine, bus, memory, route } = build();
        memory.write(LAPIC + 0xf0, 4, 0x1ff);
        // Counter 0, rate generator, 1000 ticks. OUT rises already with the control word, while the pin is masked.
        bus.write(0x43, 1, 0x34);
        bus.write(0x40, 1, 1000 & 0xff);
        bus.write(0x40, 1, 1000 >> 8);
        route(2, 0x40);
        bus.write(0x21, 1, 0xff);
        engine.at(0, 0, enableInterrupts);
        engine.onInterrupt = () => memory.write(LAPIC + 0xb0, 4, 0);
        machine.run({ time: 5_000_000 });
        assert.equal(engine.interrupts.length, 5);
        assert.ok(engine.interrupts.every(text => text.startsWith('0: 64 ')));
        bus.write(0x20, 1, 0x0a);
        assert.equal(bus.read(0x20, 1) & 1, 1);
    });

    it('routes PCI interrupts by the ISA bridge, as the tables say, and without firmware to IRQ 10 and 11', () => {
        const { machine, readPci, writePci } = build();
        assert.equal(readPci(ISA_BRIDGE, 0x60, 4), 0x0b0b0a0a);
        assert.equal(machine.bus.read(0x4d0, 2), 0x0c00);
        // Slot 3 has INTA# on PIRQC#.
        assert.equal(readPci(RNG, 0x3c, 1), 11);
        writePci(ISA_BRIDGE, 0x62, 1, 5);
        assert.equal(machine.board.isaBridge.route(2), 5);
    });

    it('places BARs and ACPI registers where there is no firmware to do it, and leaves that to one', () => {
        const { readPci, bus } = build();
        assert.equal(readPci(RNG, 4, 2) & 3, 3);
        assert.equal(readPci(RNG, 0x10, 4), 0xc001);
        assert.equal(bus.list().find(({ base }) => base === 0xc000)?.name, 'virtio-rng BAR 0');
        assert.equal(readPci(POWER_MANAGEMENT, 0x40, 4), 0x601);
        const firmware = build({ firmware: BIOS, kernel: undefined });
        assert.equal(firmware.readPci(RNG, 4, 2) & 3, 0);
        assert.ok(!firmware.bus.list().some(({ name }) => name === 'acpi-pm'));
    });

    it('tells by the tables where firmware has placed the ACPI registers', () => {
        const { machine, bus, writePci } = build({ firmware: BIOS, kernel: undefined });
        const tables = (): DataView => {
            const file = machine.board.fwCfg.file('etc/acpi/tables')!;
            return new DataView(file.buffer, file.byteOffset, file.byteLength);
        };
        const before = tables();
        const at = Buffer.from(before.buffer, before.byteOffset, before.byteLength).indexOf('FACP');
        assert.equal(before.getUint32(at + 76, true), 0x608);
        writePci(POWER_MANAGEMENT, 0x40, 4, 0xb000);
        writePci(POWER_MANAGEMENT, 0x80, 1, 1);
        assert.equal(bus.list().find(({ name }) => name === 'acpi-pm')?.base, 0xb000);
        const after = tables();
        assert.equal(after.byteLength, before.byteLength);
        assert.equal(after.getUint32(at + 76, true), 0xb008);
        assert.equal(after.getUint32(at + 56, true), 0xb000);
        assert.equal(after.getUint32(at + 64, true), 0xb004);
        // The generic address of the timer, behind its four bytes of description.
        assert.equal(after.getBigUint64(at + 212, true), 0xb008n);
    });

    it('survives BARs on top of RAM, other devices and each other, and maps them when they move away', () => {
        const { machine, readPci, writePci, memory } = build();
        const before = memory.list().length;
        for (const address of [0x100000, LAPIC, IOAPIC, 0xfffff000]) {
            writePci(RNG, 0x14, 4, address);
            assert.ok(memory.list().length <= before);
        }
        writePci(RNG, 0x14, 4, 0xd0000000);
        assert.equal(memory.list().length, before);
        writePci(RNG, 0x20, 4, 0xd0000000);
        writePci(RNG, 0x14, 4, 0xd1000000);
        const bars = memory.list().filter(({ name }) => name.startsWith('virtio'));
        assert.deepEqual(
            bars.map(({ base }) => base),
            [0xd0000000, 0xd1000000],
        );
        assert.equal(readPci(RNG, 0x20, 4) & 0xfffffff0, 0xd0000000 | 0);
        machine.reset();
    });

    it('delivers message signalled interrupts to the local APIC, and other messages to memory', () => {
        const { machine, memory } = build();
        memory.write(LAPIC + 0xf0, 4, 0x1ff);
        const { apicBus } = machine.board;
        apicBus.sendMsi(0xfee00000, 0x55);
        assert.equal(machine.processors[0].interruptPending, true);
        assert.equal(machine.processors[0].acknowledgeInterrupt(), 0x55);
    });

    it('moves a local APIC with its base address, and hides it in x2APIC mode', () => {
        const { machine, memory } = build();
        const { cpu, apic } = machine.processors[0];
        const setBase = (value: number): void => {
            cpu.setLo(0x2f8, value);
            cpu.hooks.apic.baseChanged();
        };
        setBase(0xfe000900);
        assert.equal(memory.read(LAPIC + 0x30, 4), 0xffffffff);
        assert.equal(memory.read(0xfe000030, 4) & 0xff, 0x14);
        setBase(0xfe000d00);
        assert.ok(apic.x2apic);
        assert.equal(memory.read(0xfe000030, 4), 0xffffffff);
        assert.equal(cpu.hooks.apic.readX2apic(3, false) & 0xff, 0x14);
        assert.equal(cpu.hooks.apic.readX2apic(0x7f, false), -1);
    });

    it('knows when a TSC deadline comes, whatever the guest has set its TSC to', () => {
        const { machine, engine } = build();
        const { cpu, apic } = machine.processors[0];
        machine.memory.write(LAPIC + 0xf0, 4, 0x1ff);
        machine.memory.write(LAPIC + 0x320, 4, 0x40033);
        machine.run({ instructions: 1000 });
        const arm = (offset: bigint, deadline: bigint): void => {
            cpu.set64(0x2f0, BigInt.asUintN(64, offset));
            cpu.hooks.apic.tscMoved();
            cpu.hooks.apic.writeTscDeadline(Number(deadline & 0xffffffffn), Number(deadline >> 32n));
        };
        arm(0n, 1500n);
        assert.equal(machine.clock.nextDeadline(), 1500);
        arm(-1000n, 200n);
        assert.equal(machine.clock.nextDeadline(), 1200);
        arm(1_000_000n, 1_001_700n);
        assert.equal(machine.clock.nextDeadline(), 1700);
        arm(0n, 0xffff_ffff_ffff_ffffn);
        assert.equal(machine.clock.nextDeadline(), Infinity);
        arm(1_000_000n, 5n);
        machine.run({ instructions: 1 });
        assert.equal(apic.acknowledge(), 0x33);
        assert.equal(engine.retired(), 1001);
    });

    it('has the device of test suites for Multiboot kernels only', () => {
        const image = elf(32, MIB + 16, [{ address: MIB, bytes: multibootHeader(0), memorySize: 0x100 }]);
        const kernel = { kernel: { name: 'suite', data: image }, modules: [], commandLine: '' };
        const { machine, bus, memory, route } = build({ kernel });
        bus.write(0x21, 1, 0xff);
        bus.write(0xa1, 1, 0xff);
        memory.write(LAPIC + 0xf0, 4, 0x1ff);
        route(14, 0x76);
        route(17, 0x8077);
        const apic = machine.processors[0].apic;
        bus.write(0x200e, 1, 1);
        assert.equal(apic.acknowledge(), 0x76);
        memory.write(LAPIC + 0xb0, 4, 0);
        bus.write(0x2011, 1, 1);
        assert.equal(apic.acknowledge(), 0x77);
        bus.write(0xe0, 4, 0x12345678);
        assert.equal(bus.read(0xe2, 1), 0x34);
        memory.write(0xff000004, 4, 0x5a5a5a5a);
        assert.equal(memory.read(0xff000006, 2), 0x5a5a);

        const linux = build();
        linux.bus.write(0xe0, 4, 0x12345678);
        assert.equal(linux.bus.read(0xe2, 1), 0xff);
    });

    it('lets watchpoints see the message that a guest has a device write to RAM', () => {
        const { memory, readPci, writePci } = build();
        const seen: string[] = [];
        memory.dmaObserver = (address, size, write) =>
            seen.push(`${write ? 'write' : 'read'} ${size} at ${address.toString(16)}`);
        let msix = readPci(RNG, 0x34, 1);
        while (readPci(RNG, msix, 1) !== 0x11) {
            msix = readPci(RNG, msix + 1, 1);
        }
        const table = readPci(RNG, 0x14, 4);
        const modern = readPci(RNG, 0x20, 4) & ~0xf;
        writePci(RNG, 0x04, 2, 7);
        writePci(RNG, msix + 2, 2, 0x8000);
        memory.write(table, 4, 0x5000);
        memory.write(table + 8, 4, 0xcafe);
        memory.write(table + 12, 4, 0);
        const common = (offset: number, size: number, value: number): void =>
            memory.write((modern >>> 0) + offset, size, value);
        common(0x10, 2, 0);
        common(0x14, 1, 3);
        common(0x08, 4, 1);
        common(0x0c, 4, 1);
        common(0x14, 1, 0xb);
        common(0x18, 2, 1);
        common(0x28, 4, 0x2000);
        common(0x1c, 2, 1);
        common(0x14, 1, 0xf);
        // More available than the queue holds: the device asks for a reset, by its configuration's message.
        memory.write(0x2002, 2, 5);
        common(0x3000, 2, 0);
        assert.equal(memory.read(0x5000, 4), 0xcafe);
        assert.equal(seen.at(-1), 'write 4 at 5000');
    });

    it('has one A20 gate behind both its switches', () => {
        const { bus, memory } = build();
        memory.write(0x100500, 1, 7);
        bus.write(0x92, 1, 0);
        assert.ok(!memory.a20Open);
        bus.write(0x64, 1, 0xd1);
        bus.write(0x60, 1, 0xdf);
        assert.ok(memory.a20Open);
        assert.equal(memory.read(0x100500, 1), 7);
    });

    it('shadows the firmware in RAM by the host bridge', () => {
        const { memory, writePci } = build({ firmware: BIOS, kernel: undefined });
        assert.equal(memory.read(0xffff0, 1), 0xea);
        writePci(HOST_BRIDGE, 0x59, 1, 0x30);
        assert.equal(memory.read(0xffff0, 1), 0);
        memory.write(0xffff0, 1, 0x90);
        assert.equal(memory.read(0xffff0, 1), 0x90);
    });
});

describe('firmware and kernel', () => {
    it('meet through fw_cfg', () => {
        const { machine, bus } = build({ firmware: BIOS, cpus: 3 });
        const names = ['etc/e820', 'etc/acpi/tables', 'etc/acpi/rsdp', 'etc/table-loader', 'bootorder'];
        for (const name of names) {
            assert.ok((machine.board.fwCfg.file(name)?.length ?? 0) > 0, name);
        }
        const item = (key: number, length: number): number[] => {
            bus.write(0x510, 2, key);
            return Array.from({ length }, () => bus.read(0x511, 1));
        };
        assert.deepEqual(item(0, 4), [0x51, 0x45, 0x4d, 0x55]);
        assert.deepEqual(item(5, 2), [3, 0]);
        assert.deepEqual(item(3, 4), [0, 0, 0, 1]);
        assert.deepEqual(item(8, 4), [0, 0x30, 0, 0]);
        bus.write(0x70, 1, 0x5f);
        assert.equal(bus.read(0x71, 1), 2);
    });

    it('are refused together where the kernel needs the memory that the firmware works in', () => {
        const data = elf(32, 0x8000, [{ address: 0x8000, bytes: multibootHeader(0) }]);
        const kernel = { kernel: { name: 'mb.elf', data }, modules: [], commandLine: '' };
        assert.throws(
            () => build({ firmware: BIOS, kernel }),
            (error: Error) => error instanceof LoadError && /^mb.elf: .* leave the firmware out/.test(error.message),
        );
    });

    it('are refused together where the kernel reaches into what the firmware keeps at the top of RAM', () => {
        const kernelAt = (address: number) => {
            const data = elf(32, 0x100000, [
                { address: 0x100000, bytes: multibootHeader(0) },
                { address, bytes: Uint8Array.of(1) },
            ]);
            return { kernel: { name: 'mb.elf', data }, modules: [], commandLine: '' };
        };
        build({ firmware: BIOS, kernel: kernelAt(14 * MIB) });
        build({ kernel: kernelAt(15.5 * MIB) });
        assert.throws(
            () => build({ firmware: BIOS, kernel: kernelAt(15.5 * MIB) }),
            (error: Error) => error instanceof LoadError && /^mb.elf: .* more memory/.test(error.message),
        );
    });

    it('have no test device where the firmware covers its memory', () => {
        const data = elf(32, 0x100000, [{ address: 0x100000, bytes: multibootHeader(0) }]);
        const kernel = { kernel: { name: 'mb.elf', data }, modules: [], commandLine: '' };
        const hasTestDevice = (size: number): boolean => {
            const firmware = { name: 'bios', data: new Uint8Array(size).fill(0xea, size - 16, size - 11) };
            return build({ firmware, kernel })
                .bus.list()
                .some(({ name }) => name === 'test latch');
        };
        assert.deepEqual([hasTestDevice(16 * MIB - 0x10000), hasTestDevice(16 * MIB)], [true, false]);
    });
});
