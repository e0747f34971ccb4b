import assert from 'node:assert/strict';
import { SnapshotError } from '../../../src/common/errors';
import type { Machine } from '../../../src/machine/machine';
import { ActivityState } from '../../../src/machine/state';
import type { RunLimits } from '../../../src/machine/stop';
import { halt } from './scripted-engine';
import { build, MIB, timerGuest } from './scripted-machine';

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
