import assert from 'node:assert/strict';
import type { Machine, MachineOptions } from '../../../src/machine/machine';
import { ActivityState, StateOffset } from '../../../src/machine/state';
import { build } from './scripted-machine';

describe('a machine in S3', () => {
    const SUSPEND = 0x2401;
    /** A guest that has an address in its FACS and suspends. */
    const suspended = (vector: number, extended: number, options: Partial<MachineOptions> = {}) => {
        const guest = build({ cpus: 2, ...options });
        const { machine, engine, out } = guest;
        const base = machine.memory.layout.lowRam - 0x10000;
        const tables = new Uint8Array(0x10000);
        machine.memory.readBytes(base, tables);
        const facs = base + Buffer.from(tables.buffer).indexOf('FACS');
        machine.memory.write(facs + 12, 4, vector);
        machine.memory.write(facs + 24, 4, extended);
        machine.processors[1].cpu.activity = ActivityState.Active;
        engine.at(0, 100, out(0x604, 2, SUSPEND));
        engine.replaced.length = 0;
        assert.deepEqual(machine.run(), { reason: 'idle', deadline: undefined });
        assert.equal(engine.count(0), 101);
        assert.deepEqual(engine.replaced, [0, 1], 'the engine knows that both were reset');
        return guest;
    };
    const start = (machine: Machine) => {
        const { cpu } = machine.processors[0];
        return [cpu.segmentBase(1), Number(cpu.get64(StateOffset.rip)), cpu.lo(StateOffset.cr0) & 1];
    };

    it('nothing runs until the power button is pressed, and the guest goes on in real mode', () => {
        const { machine, engine } = suspended(0x9a123, 0);
        const before = engine.count(1);
        machine.pressPowerButton();
        machine.run({ instructions: 5 });
        assert.deepEqual(start(machine), [0x9a120, 3, 0]);
        assert.deepEqual([engine.count(0), engine.count(1)], [106, before]);
        assert.equal(machine.processors[1].cpu.activity, ActivityState.WaitForSipi);
        assert.equal(machine.bus.read(0x600, 2), 0x8100, 'woken by the power button');
        assert.equal(machine.memory.read(0xf0000, 4), 0x20445352, 'RSD PTR');
    });

    it('a key wakes it, and it may go on in protected mode', () => {
        const { machine } = suspended(0x9a123, 0x123456);
        machine.sendKey('KeyA', true);
        machine.run({ instructions: 5 });
        assert.deepEqual(start(machine), [0, 0x123456, 1]);
    });

    it('a character at a serial port wakes it', () => {
        const { machine } = suspended(0x9a123, 0, { serial: [() => undefined] });
        machine.sendSerial(0, Uint8Array.of(13));
        machine.run({ instructions: 5 });
        assert.deepEqual(start(machine), [0x9a120, 3, 0]);
        assert.equal(machine.bus.read(0x600, 2), 0x8000, 'for none of the reasons that have an event');
    });

    it('without an address to go on at it starts anew', () => {
        const { machine } = suspended(0, 0);
        machine.pressPowerButton();
        machine.run({ instructions: 5 });
        assert.equal(machine.processors[0].cpu.get64(StateOffset.rip), 0x200200n);
        assert.equal(machine.bus.read(0x600, 2), 0);
    });

    it('the alarm of the real-time clock wakes it', () => {
        const guest = build();
        const { machine, engine, out } = guest;
        const cmos = (index: number, value: number) => () => {
            machine.bus.write(0x70, 1, index);
            machine.bus.write(0x71, 1, value);
        };
        // Any hour and minute, at the next second 7.
        [cmos(5, 0xff), cmos(3, 0xff), cmos(1, 7), cmos(0x0b, 0x22)].forEach((write, n) => engine.at(0, n, write));
        engine.at(0, 50, out(0x602, 2, 0x400));
        engine.at(0, 100, out(0x604, 2, SUSPEND));
        machine.run({ instructions: 101 });
        const asleep = machine.board.acpiPm.asleep;
        machine.run({ instructions: 5 });
        assert.deepEqual([asleep, machine.board.acpiPm.asleep], [true, false]);
        assert.ok(machine.clock.now() > 6.9e9 && machine.clock.now() < 7.1e9, `${machine.clock.now()}`);
    });

    it('a firmware learns of it at the reset vector', () => {
        const data = new Uint8Array(0x40000).fill(0xea, 0x3fff0, 0x3fff5);
        const { machine, engine, out } = build({ kernel: undefined, firmware: { name: 'bios', data } });
        // Power management at port 600h, RAM in the place of the BIOS.
        const pci = (register: number, size: number, value: number, devfn: number) => () => {
            machine.bus.write(0xcf8, 4, 0x80000000 + (devfn << 8) + (register & 0xfc));
            machine.bus.write(0xcfc + (register & 3), size, value);
        };
        engine.at(0, 0, pci(0x40, 4, 0x601, 0x0b));
        engine.at(0, 1, pci(0x80, 1, 1, 0x0b));
        engine.at(0, 2, pci(0x59, 1, 0x30, 0));
        engine.at(0, 3, () => machine.memory.write(0xf1234, 1, 0x5a));
        engine.at(0, 4, ({ cpu }) => cpu.set64(StateOffset.rip, 0x1234n));
        engine.at(0, 5, out(0x604, 2, SUSPEND));
        machine.run();
        assert.equal(engine.count(0), 6);
        engine.replaced.length = 0;
        machine.pressPowerButton();
        machine.run({ instructions: 1 });
        assert.deepEqual(engine.replaced, [0]);
        assert.deepEqual(start(machine), [0xffff0000, 0xfff0, 0]);
        assert.equal(machine.board.rtc.readCmos(0x0f), 0xfe);
        assert.equal(machine.memory.read(0xf1234, 1), 0x5a);
    });
});
