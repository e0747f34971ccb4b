import assert from 'node:assert/strict';
import { SnapshotError } from '../../../src/common/errors';
import { ConfigurationError } from '../../../src/machine/errors';
import { Machine, type MachineOptions } from '../../../src/machine/machine';
import { ActivityState, MonitorState, StateOffset } from '../../../src/machine/state';
import type { RunLimits } from '../../../src/machine/stop';
import { bzImage } from './images';
import { enableInterrupts, halt, ScriptedEngine } from './scripted-engine';

const MIB = 0x100000;
const KERNEL = { kernel: { name: 'vmlinuz', data: bzImage() }, modules: [], commandLine: '' };

/** Local APIC registers, at their usual address. */
const LAPIC = 0xfee00000;
const TIMER_LVT = LAPIC + 0x320;
const TIMER_COUNT = LAPIC + 0x380;
const TIMER_DIVIDE = LAPIC + 0x3e0;
const EOI = LAPIC + 0xb0;
const ICR_LOW = LAPIC + 0x300;
const ICR_HIGH = LAPIC + 0x310;

function build(options: Partial<MachineOptions> = {}) {
    const engine = new ScriptedEngine();
    const machine = new Machine({
        memory: 16 * MIB,
        kernel: KERNEL,
        ...options,
        engine: () => engine,
    });
    const write = (address: number, value: number) => () => machine.memory.write(address, 4, value);
    const out = (port: number, size: number, value: number) => () => machine.bus.write(port, size, value);
    return { machine, engine, write, out };
}

/** A guest that starts the local APIC's timer and halts over and over; returns the times at which it woke. */
function timerGuest(options: Partial<MachineOptions> = {}) {
    const guest = build(options);
    const { engine, machine, write } = guest;
    engine.at(0, 0, enableInterrupts);
    engine.at(0, 1, write(TIMER_DIVIDE, 0xb));
    engine.at(0, 2, write(TIMER_LVT, 0x20030));
    engine.at(0, 3, write(TIMER_COUNT, 10_000));
    for (let count = 100; count < 5000; count += 100) {
        engine.at(0, count, halt);
    }
    const woken: number[] = [];
    engine.onInterrupt = () => {
        woken.push(machine.clock.now());
        machine.memory.write(EOI, 4, 0);
    };
    return { ...guest, woken };
}

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

    describe('in S3', () => {
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
            assert.deepEqual(machine.run(), { reason: 'idle', deadline: undefined });
            assert.equal(engine.count(0), 101);
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
            machine.pressPowerButton();
            machine.run({ instructions: 1 });
            assert.deepEqual(start(machine), [0xffff0000, 0xfff0, 0]);
            assert.equal(machine.board.rtc.readCmos(0x0f), 0xfe);
            assert.equal(machine.memory.read(0xf1234, 1), 0x5a);
        });
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

describe('determinism', () => {
    const run = (limits: RunLimits) => {
        const { machine, engine, woken } = timerGuest({ cpus: 2, quantum: 700 });
        machine.processors[1].cpu.activity = ActivityState.Active;
        for (let count = 0; count < 3; count++) {
            engine.at(1, 333 + 500 * count, halt);
        }
        for (let count = 47; count < 3000; count += 10) {
            engine.at(1, count, ({ cpu }) => cpu.hooks.ports.read(0x40, 1));
        }
        while (engine.retired() < 4000) {
            const left = 4000 - engine.retired();
            machine.run({ ...limits, instructions: Math.min(left, limits.instructions ?? Infinity) });
        }
        return { hash: machine.stateHash(), interrupts: engine.interrupts, woken, now: machine.clock.now() };
    };

    it('gives the same state however the caller cuts the run', () => {
        const whole = run({});
        assert.ok(whole.interrupts.length > 10);
        for (const instructions of [1, 7, 100, 701]) {
            assert.deepEqual(run({ instructions }), whole);
        }
        assert.deepEqual(run({ idleSkips: 1 }), whole);
    });

    it('replays recorded input to the same state', () => {
        const record = (() => {
            const { machine } = timerGuest({ serial: [() => undefined] });
            const inputs = machine.queue.startRecording();
            machine.run({ instructions: 150 });
            machine.sendSerial(0, Uint8Array.of(1, 2, 3));
            machine.run({ instructions: 333 });
            machine.sendKey('KeyA', true);
            machine.run({ instructions: 1000 });
            machine.pressPowerButton();
            machine.run({ instructions: 500 });
            return { inputs, hash: machine.stateHash(), retired: machine.engine.retired() };
        })();
        assert.equal(record.inputs.length, 3);
        const { machine } = timerGuest({ serial: [() => undefined] });
        machine.queue.startReplay(record.inputs);
        machine.run({ instructions: record.retired });
        assert.equal(machine.stateHash(), record.hash);
        const without = timerGuest({ serial: [() => undefined] }).machine;
        without.run({ instructions: record.retired });
        assert.notEqual(without.stateHash(), record.hash);
    });

    it('replays a real-time run', () => {
        let host = 0;
        const hostTime = () => (host += 1234);
        const { machine } = timerGuest({ hostTime });
        const inputs = machine.queue.startRecording();
        while (machine.engine.retired() < 1500) {
            machine.run({ instructions: 1500 - machine.engine.retired() });
        }
        const hash = machine.stateHash();
        const again = timerGuest({ hostTime: () => 0 }).machine;
        again.queue.startReplay(inputs);
        while (again.engine.retired() < 1500) {
            again.run({ instructions: 1500 - again.engine.retired() });
        }
        assert.equal(again.stateHash(), hash);
    });
});

describe('saved machine state', () => {
    const save = (machine: Machine): Uint8Array => Uint8Array.from(Buffer.concat([...machine.saveState()]));

    it('goes on exactly where it was, in another machine', () => {
        const first = timerGuest({ cpus: 2 });
        first.machine.run({ instructions: 777 });
        first.machine.memory.write(0x500000, 4, 0xcafe);
        const file = save(first.machine);
        const second = timerGuest({ cpus: 2 });
        second.machine.restoreState(file);
        assert.equal(second.machine.stateHash(), first.machine.stateHash());
        for (const { machine } of [first, second]) {
            machine.run({ instructions: 1000 });
        }
        assert.equal(second.machine.stateHash(), first.machine.stateHash());
        assert.equal(second.machine.clock.now(), first.machine.clock.now());
    });

    it('brings a machine back that has gone on meanwhile', () => {
        const { machine } = timerGuest();
        machine.run({ instructions: 500 });
        const file = save(machine);
        const hash = machine.stateHash();
        machine.run({ instructions: 700 });
        machine.memory.write(0x300000, 4, 1);
        assert.notEqual(machine.stateHash(), hash);
        machine.restoreState(file);
        assert.equal(machine.stateHash(), hash);
    });

    it('is that of a machine with the same firmware, whatever the ROM of one without any holds', () => {
        const file = save(build().machine);
        const { machine } = build();
        machine.memory.bytes[machine.memory.layout.rom.base] ^= 1;
        machine.restoreState(file);
        const firmware = (byte: number) => {
            const data = new Uint8Array(0x10000).fill(0xea, 0xfff0, 0xfff5);
            data[0] = byte;
            return { name: 'bios', data };
        };
        const other = save(build({ firmware: firmware(1) }).machine);
        for (const options of [{ firmware: firmware(2) }, {}]) {
            assert.throws(() => build(options).machine.restoreState(other), /other firmware/);
        }
        build({ firmware: firmware(1) }).machine.restoreState(other);
    });

    it('goes on with the reset that the guest has asked for', () => {
        const first = build().machine;
        first.bus.write(0xcf9, 1, 6);
        const second = build().machine;
        second.restoreState(save(first));
        for (const machine of [first, second]) {
            machine.memory.write(0x200000, 4, 0);
            machine.run({ instructions: 1 });
            assert.notEqual(machine.memory.read(0x200000, 4), 0, 'the kernel is loaded anew');
        }
        assert.equal(second.stateHash(), first.stateHash());
    });

    it('is refused where input waits that nobody can have sent', () => {
        for (const [channel, data] of [
            ['serial0', 5],
            ['keyboard', null],
            ['keyboard', { key: 5, pressed: true }],
            ['mouse', null],
            ['mouse', { right: NaN, down: 0, wheel: 0 }],
            ['mouse-buttons', 'left'],
            ['host-time', Infinity],
        ] as const) {
            const { machine } = build({ serial: [() => undefined] });
            machine.queue.push(channel, data);
            const file = save(machine);
            assert.throws(
                () => build({ serial: [() => undefined] }).machine.restoreState(file),
                SnapshotError,
                channel,
            );
        }
        const { machine } = build({ serial: [() => undefined] });
        machine.sendSerial(0, Uint8Array.of(1));
        machine.sendKey('KeyA', true);
        machine.moveMouse(1, 2);
        machine.setMouseButtons(1);
        machine.pressPowerButton();
        const { machine: restored } = build({ serial: [() => undefined] });
        restored.restoreState(save(machine));
        assert.equal(restored.stateHash(), machine.stateHash());
    });

    it('is refused by a machine that is built differently, before anything changes', () => {
        const file = save(build().machine);
        for (const options of [{ memory: 32 * MIB }, { cpus: 2 }, { serial: [() => undefined] }]) {
            const { machine } = build(options);
            const hash = machine.stateHash();
            assert.throws(() => machine.restoreState(file), SnapshotError);
            assert.equal(machine.stateHash(), hash);
        }
        assert.throws(() => build().machine.restoreState(new Uint8Array(100)), SnapshotError);
    });
});
