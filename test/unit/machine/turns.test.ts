/** How vCPUs that wait for each other share the machine's one thread. */
import assert from 'node:assert/strict';
import type { Machine } from '../../../src/machine/machine';
import { StateOffset } from '../../../src/machine/state';
import { rom, romMachine } from '../../support/rom-machine';

/** Two vCPUs hand a byte over 1000 times, each waiting for the other in a loop of `wait` (2 bytes). */
function handingOver(wait: string, cpus = 2): Machine {
    return romMachine(
        rom(
            '66b91b000000 0f32 f6c401 7445', // mov ecx, 1bh; rdmsr; test ah, 1; jz second
            '80cc0c 0f30', // or ah, 0ch; wrmsr: x2APIC mode
            '66b90f080000 66b8ff010000 6631d2 0f30', // mov ecx, 80fh; mov eax, 1ffh; xor edx, edx; wrmsr: APIC enabled
            '66b930080000 66b800450c00 0f30 66b8f0460c00 0f30', // INIT and start-up at F0000h to the others, by the ICR
            '31c0 8ed8 b9e803', // xor ax, ax; mov ds, ax; mov cx, 1000
            `c606000501 ${wait} 803e000500 75f7 e2f0`, // next: mov [500h], 1; again: cmp [500h], 0; jne again; loop next
            'e6f4', // out 0f4h, al
            `31c0 8ed8 ${wait} 803e000501 75f7 c606000500 ebf0`, // second: again: cmp [500h], 1; jne again; mov [500h], 0
        ),
        { cpus },
    );
}

const PAUSE = 'f390';
const NO_OPERATION = '8bc0'; // mov ax, ax

describe('vCPUs that wait for each other', () => {
    it('let the other have its turn when they PAUSE', () => {
        const machine = handingOver(PAUSE);
        assert.equal(machine.run({ instructions: 4_000_000 }).reason, 'debugExit');
    });

    it('use their turns up otherwise', () => {
        const machine = handingOver(NO_OPERATION);
        assert.equal(machine.run({ instructions: 4_000_000 }).reason, 'budget');
    });

    it('wait in the same way however far the machine runs at a time', () => {
        const whole = handingOver(PAUSE);
        whole.run({ instructions: 100_000 });
        const pieces = handingOver(PAUSE);
        while (pieces.engine.retired() < 100_000) {
            pieces.run({ instructions: Math.min(777, 100_000 - pieces.engine.retired()) });
        }
        assert.equal(pieces.stateHash(), whole.stateHash());
    });

    it('are left in the same state where a run ends with a turn', () => {
        const stepped = handingOver(PAUSE);
        const turnEnds: number[] = [];
        let [position, turn] = [stepped.processors.map(({ cpu }) => cpu.lo(StateOffset.rip)), -1];
        while (turnEnds.length < 4 && stepped.engine.retired() < 10_000) {
            stepped.run({ instructions: 1 });
            const now = stepped.processors.map(({ cpu }) => cpu.lo(StateOffset.rip));
            const moved = now.findIndex((rip, index) => rip !== position[index]);
            if (moved >= 0 && turn >= 0 && moved !== turn) turnEnds.push(stepped.engine.retired() - 1);
            [position, turn] = [now, moved];
        }
        assert.equal(turnEnds.length, 4);
        for (const instructions of turnEnds) {
            const [whole, pieces] = [handingOver(PAUSE), handingOver(PAUSE)];
            whole.run({ instructions });
            pieces.run({ instructions: instructions - 3 });
            pieces.run({ instructions: 3 });
            assert.equal(pieces.stateHash(), whole.stateHash());
        }
    });

    it('wait in the same way after a save', () => {
        const whole = handingOver(PAUSE);
        whole.run({ instructions: 50_000 });
        const state = Buffer.concat([...whole.saveState()]);
        whole.run({ instructions: 50_000 });
        const restored = handingOver(PAUSE);
        restored.restoreState(state);
        restored.run({ instructions: 50_000 });
        assert.equal(restored.stateHash(), whole.stateHash());
    });
});
