/** A handler whose first instruction faults again: the guest goes nowhere for ever, and executes nothing meanwhile. */
import assert from 'node:assert/strict';
import { rom, romMachine } from '../../support/rom-machine';

const ENDLESS = rom(
    'b8 0020 8ed0', // mov ax, 2000h; mov ss, ax: a stack that wraps beside everything else
    'c706 1800 1100', // mov word [6 * 4], 17
    'c706 1a00 00f0', // mov word [6 * 4 + 2], 0f000h
    '0f0b', // 17: ud2
);

describe('endless faults', () => {
    it('end no run for ever', () => {
        const machine = romMachine(ENDLESS);
        assert.deepEqual(machine.run({ instructions: 1_000_000 }), { reason: 'budget' });
        assert.equal(machine.engine.retired(), 5, 'with the jump from the reset vector');
        assert.deepEqual(machine.run({ instructions: 1_000_000 }), { reason: 'budget' });
        assert.equal(machine.engine.retired(), 5);
    });

    it('end no single step for ever', () => {
        const machine = romMachine(ENDLESS);
        machine.run({ instructions: 5 });
        assert.deepEqual(machine.loop.single(0), { reason: 'faulting' });
    });

    it('let time pass, alarms come and other vCPUs have their turn', () => {
        const machine = romMachine(ENDLESS, { cpus: 2 });
        let alarms = 0;
        machine.clock.alarm('test', () => alarms++).arm(1_000_000);
        for (let runs = 0; machine.clock.now() < 2_000_000; runs++) {
            assert.ok(runs < 100, `${machine.clock.now()} ns after 100 runs`);
            machine.run({ time: 2_000_000 });
        }
        assert.equal(alarms, 1);
    });

    it('are the same again', () => {
        const [first, second] = [3_000_000, 700_000].map(step => {
            const machine = romMachine(ENDLESS);
            while (machine.clock.now() < 2_100_000) {
                machine.run({ time: Math.min(machine.clock.now() + step, 2_100_000) });
            }
            return machine.stateHash();
        });
        assert.equal(first, second);
    });
});
