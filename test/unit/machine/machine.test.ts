import assert from 'node:assert/strict';
import { ConfigurationError } from '../../../src/machine/errors';
import { ActivityState, MonitorState, StateOffset } from '../../../src/machine/state';
import { enableInterrupts, halt } from './scripted-engine';
import { build, LAPIC, MIB, timerGuest } from './scripted-machine';

const ICR_LOW = LAPIC + 0x300;
const ICR_HIGH = LAPIC + 0x310;

describe('machine', () => {
    it('starts a kernel in the state that its boot protocol promises', () => {
        const { machine } = build();
        const { cpu } = machine.processors[0];
        assert.equal(cpu.get64(StateOffset.rip), 0x200200n);
        assert.equal(cpu.longMode, true);
        assert.equal(machine.memory.read(0xf0000, 4), 0x20445352, 'RSD PTR');
        assert.equal(machine.memory.read(0xf0100, 4), 0x5f504d5f, '_MP_');
    });

    it('starts a firmware at the reset vector, with the ROM below 1 MiB and at the top of 4 GiB', () => {
        const data = new Uint8Array(0x40000).fill(0xea, 0x3fff0, 0x3fff5);
        const { machine } = build({ kernel: undefined, firmware: { name: 'bios', data } });
        const { cpu } = machine.processors[0];
        assert.equal(cpu.get64(StateOffset.rip), 0xfff0n);
        assert.equal(machine.memory.read(0xfffffff0, 1), 0xea);
        assert.equal(machine.memory.read(0xffff0, 1), 0xea);
        assert.equal(machine.memory.read(0xdffff, 1), 0xff);
    });

    for (const [what, options, problem] of [
        ['nothing to start', { kernel: undefined }, /kernel or a firmware/],
        ['no processors', { cpus: 0 }, /0 processors/],
        ['too many processors', { cpus: 1000 }, /1000 processors/],
        ['more memory than there can be', { memory: 8192 * MIB }, /cannot be had/],
        ['a kernel that does not fit', { memory: MIB }, /^vmlinuz: needs RAM/],
    ] as const) {
        it(`refuses ${what}`, () => {
            assert.throws(
                () => build(options),
                (error: Error) => error instanceof ConfigurationError && problem.test(error.message),
            );
        });
    }

    it('stops when the guest powers off, at that instruction', () => {
        const { machine, engine, out } = build();
        engine.at(0, 500, out(0x604, 2, 0x2000));
        assert.deepEqual(machine.run(), { reason: 'poweredOff' });
        assert.equal(engine.retired(), 501);
        assert.deepEqual(machine.run(), { reason: 'poweredOff' }, 'and stays off');
    });

    it('gives the debug exit status as QEMU does', () => {
        const { machine, engine, out } = build();
        engine.at(0, 7, out(0xf4, 4, 0x10));
        assert.deepEqual(machine.run(), { reason: 'debugExit', status: 33 });
    });

    it('reports a triple fault', () => {
        const { machine, engine } = build();
        engine.at(0, 9, ({ cpu }) => {
            cpu.activity = ActivityState.Shutdown;
        });
        const stop = machine.run();
        assert.equal(stop.reason, 'tripleFault');
        assert.equal(machine.run(), stop);
    });

    for (const [how, port, size, value] of [
        ['the reset control register', 0xcf9, 1, 6],
        ['the keyboard controller', 0x64, 1, 0xfe],
        ['port 0x92', 0x92, 1, 3],
    ] as const) {
        it(`is reset by ${how} and boots again`, () => {
            const { machine, engine, out } = build();
            engine.at(0, 10, out(port, size, value));
            engine.at(0, 9, ({ cpu }) => cpu.set64(StateOffset.rip, 0x1234n));
            assert.deepEqual(machine.run({ instructions: 11 }), { reason: 'budget' });
            engine.scripts[0].clear();
            machine.run({ instructions: 10 });
            assert.equal(machine.processors[0].cpu.get64(StateOffset.rip), 0x200200n);
        });
    }

    it('tells the engine of every vCPU that a reset has changed', () => {
        const { machine, engine, out } = build({ cpus: 3 });
        const told = () => [...new Set(engine.replaced.splice(0))].sort();
        told();
        engine.at(0, 10, out(0x64, 1, 0xfe));
        machine.run({ instructions: 11 });
        assert.deepEqual(told(), [0, 1, 2]);
        machine.reset();
        assert.deepEqual(told(), [0, 1, 2]);
    });

    it('goes on after a reset where the guest wants to, but not after one by the user', () => {
        const { machine, engine, out } = build();
        engine.at(0, 8, out(0x70, 1, 0x8f));
        engine.at(0, 9, out(0x71, 1, 0x0a));
        engine.at(0, 10, out(0x64, 1, 0xfe));
        machine.memory.write(0x9000, 4, 0x12345678);
        machine.run({ instructions: 12 });
        const { cpu } = machine.processors[0];
        assert.deepEqual([cpu.get64(StateOffset.rip), cpu.segmentBase(1)], [0xfff0n, 0xffff0000]);
        assert.equal(machine.memory.read(0xfffffff0, 1), 0xe9, 'code at the reset vector');
        assert.equal(machine.memory.read(0x9000, 4), 0x12345678);
        machine.reset();
        assert.equal(cpu.get64(StateOffset.rip), 0x200200n);
    });

    it('stops instead of resetting when told so', () => {
        const { machine, engine, out } = build({ stopOnReset: true });
        engine.at(0, 10, out(0xcf9, 1, 6));
        assert.deepEqual(machine.run(), { reason: 'reset' });
    });

    it('stops on request, and at the limits it is given', () => {
        const { machine, engine } = build();
        engine.at(0, 50, () => machine.requestStop());
        assert.deepEqual(machine.run(), { reason: 'stopRequested' });
        assert.deepEqual(machine.run({ instructions: 100 }), { reason: 'budget' });
        assert.equal(engine.retired(), 151);
        assert.deepEqual(machine.run({ time: 1000 }), { reason: 'budget' });
        assert.equal(machine.clock.now(), 1000);
    });

    it('sends characters of the guest to its serial port and those of the user back, with an interrupt', () => {
        const sent: number[] = [];
        const { machine, engine, out } = build({ serial: [byte => sent.push(byte)] });
        engine.at(0, 0, enableInterrupts);
        // PIC: vectors from 0x20, IRQ 4 open; UART: 115200 baud, received-data interrupt.
        [
            [0x20, 0x11],
            [0x21, 0x20],
            [0x21, 4],
            [0x21, 1],
            [0x21, 0xef],
            [0x3fb, 0x83],
            [0x3f8, 1],
            [0x3f9, 0],
            [0x3fb, 3],
            [0x3f9, 1],
            [0x3f8, 0x41],
        ].forEach(([port, value], index) => engine.at(0, 1 + index, out(port, 1, value)));
        let received = -1;
        engine.onInterrupt = (_, vector) => {
            assert.equal(vector, 0x24);
            received = machine.bus.read(0x3f8, 1);
            machine.bus.write(0x20, 1, 0x20);
        };
        machine.run({ instructions: 1000 });
        assert.deepEqual(sent, [0x41]);
        machine.sendSerial(0, Uint8Array.of(0x62));
        machine.run({ instructions: 200_000 });
        assert.equal(received, 0x62);
    });
});

describe('idle time', () => {
    it('is skipped to the next alarm when every vCPU is halted', () => {
        const { machine, engine, woken } = timerGuest();
        machine.run({ instructions: 1000 });
        assert.equal(engine.retired(), 1000);
        assert.equal(woken.length, 9);
        assert.ok(machine.clock.now() >= 90_000);
        const periods = woken.slice(1).map((time, index) => time - woken[index]);
        assert.ok(
            periods.every(period => period === 10_000),
            periods.join(),
        );
    });

    it('is reported when nothing can ever happen', () => {
        const { machine, engine } = build();
        engine.at(0, 10, halt);
        assert.deepEqual(machine.run(), { reason: 'idle', deadline: undefined });
    });

    it('ends a run that has skipped it often enough', () => {
        const { machine } = timerGuest();
        assert.deepEqual(machine.run({ idleSkips: 3 }), { reason: 'budget' });
        assert.ok(machine.clock.now() < 50_000);
    });

    it('is left to the host in real-time mode', () => {
        let host = 5_000_000;
        const { machine, woken } = timerGuest({ hostTime: () => host });
        const stop = machine.run();
        assert.equal(stop.reason, 'idle');
        const { deadline } = stop as { deadline: number };
        assert.ok(deadline > 9_000 && deadline < 11_000);
        assert.equal(machine.run().reason, 'idle', 'still too early');
        assert.equal(woken.length, 0);
        host += deadline;
        machine.run();
        assert.equal(woken.length, 1);
    });
});

describe('port accesses', () => {
    it('take time, so that polling a timer needs few instructions', () => {
        const { machine, engine } = build();
        // PIT counter 2, one-shot mode, gated by port 0x61: 1193 ticks are a millisecond.
        const { bus } = machine;
        const ports = machine.processors[0].cpu.hooks.ports;
        engine.at(0, 0, () => {
            bus.write(0x61, 1, 0);
            bus.write(0x43, 1, 0xb0);
            bus.write(0x42, 1, 1193 & 0xff);
            bus.write(0x42, 1, 1193 >> 8);
            bus.write(0x61, 1, 1);
        });
        let done = 0;
        for (let count = 1; count < 5000; count++) {
            engine.at(0, count, () => {
                const out = ports.read(0x61, 1) & 0x20;
                done ||= out !== 0 ? count : 0;
            });
        }
        const tsc = machine.processors[0].cpu.get64(StateOffset.tscAtSliceEnd);
        machine.run({ instructions: 5000 });
        assert.equal(machine.processors[0].cpu.get64(StateOffset.tscAtSliceEnd) - tsc, BigInt(500 * 4999));
        assert.ok(done > 1900 && done < 2100, `done after ${done} accesses`);
    });

    for (const due of [2_250, 450_250]) {
        it(`do not let an alarm at ${due} ns come late`, () => {
            const { machine, engine } = build();
            const fired: number[] = [];
            machine.clock.alarm('test', () => fired.push(machine.clock.now())).arm(due);
            // None in the last moments: the alarm has to be on time to the nanosecond.
            for (let count = 0; 501 * (count + 1) < due - 100; count++) {
                engine.at(0, count, ({ cpu }) => cpu.hooks.ports.read(0x80, 1));
            }
            machine.run({ instructions: 500_000 });
            assert.deepEqual(fired, [due]);
        });
    }
});

describe('several processors', () => {
    it('wait for INIT and start-up IPIs, then take turns of a quantum', () => {
        const { machine, engine, write } = build({ cpus: 2, quantum: 1000 });
        engine.at(0, 10, write(ICR_HIGH, 0x01000000));
        engine.at(0, 11, write(ICR_LOW, 0x4500));
        engine.at(0, 12, write(ICR_HIGH, 0x01000000));
        engine.at(0, 13, write(ICR_LOW, 0x4608));
        machine.run({ instructions: 10_000 });
        assert.equal(machine.processors[1].cpu.activity, ActivityState.Active);
        assert.equal(machine.processors[1].cpu.segmentBase(1), 0x8000);
        assert.deepEqual([engine.count(0), engine.count(1)], [5000, 5000]);
        const long = engine.slices.filter(slice => Number(slice.slice(2)) > 100);
        assert.deepEqual(long.slice(0, 4), ['0+1000', '1+1000', '0+1000', '1+1000']);
    });

    it('see their own local APIC at the same address', () => {
        const { machine, engine } = build({ cpus: 2, quantum: 100 });
        const ids: number[] = [];
        machine.processors[1].cpu.activity = ActivityState.Active;
        for (const vcpu of [0, 1]) {
            engine.at(vcpu, 3, () => ids.push(machine.memory.read(LAPIC + 0x20, 4) >>> 24));
        }
        machine.run({ instructions: 200 });
        assert.deepEqual(ids, [0, 1]);
    });

    it('end an MWAIT after another one has run, but not by themselves', () => {
        const { machine, engine } = build({ cpus: 2, quantum: 100 });
        const [first, second] = machine.processors;
        second.cpu.activity = ActivityState.Active;
        for (let count = 5; count < 1000; count += 10) {
            engine.at(1, count, ({ cpu }) => {
                cpu.activity = ActivityState.Halted;
                cpu.setLo(StateOffset.monitor, MonitorState.Waiting);
            });
        }
        engine.at(0, 350, halt);
        machine.run({ instructions: 100 + 6 + 50 });
        assert.deepEqual([engine.count(1), second.cpu.activity], [6, ActivityState.Halted]);
        machine.run({ instructions: 51 });
        assert.deepEqual([engine.count(1), second.cpu.activity], [7, ActivityState.Active]);
        assert.deepEqual(machine.run(), { reason: 'idle', deadline: undefined });
        assert.deepEqual([engine.count(0), first.cpu.activity], [351, ActivityState.Halted]);
    });
});
