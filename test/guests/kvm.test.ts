/** Whole guests on /dev/kvm, and moving them between the engines while they run. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { chooseEngine } from '../../src/engines/choose';
import type { EngineName, SwitchableEngine } from '../../src/machine/engine';
import { Machine } from '../../src/machine/machine';
import { kvm, needs } from '../support/requirements';
import { SAMPLE_END, sampleElf, sampleOutput } from '../support/sample';
import { runCli } from './support/cli';

const MEMORY = 32;

const MOVES = 1000;
/** Instructions between two moves at most; KVM counts ticks of the guest's TSC. */
const LONGEST = { translator: 200, kvm: 1.5e5 };

class SampleMachine {
    output = '';
    readonly machine: Machine;

    constructor(engine: EngineName, cpus: number) {
        const chosen = chooseEngine({ choice: engine, cpus, translator: {} });
        this.machine = new Machine({
            memory: MEMORY * 0x100000,
            cpus,
            engine: chosen.factory,
            engineArena: chosen.arenaSize,
            features: chosen.features,
            kernel: {
                kernel: { name: sampleElf, data: readFileSync(sampleElf) },
                modules: [],
                commandLine: '',
            },
            serial: [byte => (this.output += String.fromCharCode(byte))],
        });
    }

    get engine(): SwitchableEngine {
        return this.machine.engine as SwitchableEngine;
    }

    dispose(): void {
        this.machine.engine.dispose?.();
    }
}

/** The same numbers on every run. */
function random(seed: number): () => number {
    let state = seed;
    return () => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return state / 2 ** 32;
    };
}

describe('guests on KVM', function () {
    this.timeout(120_000);
    before(function () {
        needs(this, kvm);
    });

    for (const [cpus, how] of [
        [1, []],
        [3, []],
        [3, ['--no-vcpu-threads']],
    ] as const) {
        it(`the sample guest prints what it always prints, with ${cpus} vCPUs ${how.join(' ')}`.trim(), async () => {
            const result = await runCli([
                ...['run', '--kernel', sampleElf, '--engine', 'kvm', ...how],
                ...['--memory', `${MEMORY}M`, '--cpus', String(cpus), '--timeout', '60'],
            ]);

            assert.equal(result.output, sampleOutput('pvh', { memory: MEMORY, cpus }) + SAMPLE_END, result.errors);
            assert.equal(result.status, 0);
        });
    }

    for (const [first, cpus] of [
        ['kvm', 1],
        ['translator', 1],
        ['kvm', 2],
    ] as const) {
        it(`a machine with ${cpus} vCPUs that starts on ${first} moves at random points, and ends the same`, () => {
            const guest = new SampleMachine(first, cpus);
            const next = random(cpus);
            const { engine, machine } = guest;
            let moves = 0;
            try {
                for (;;) {
                    const longest = moves < MOVES ? LONGEST[engine.active] : 1e7;
                    const stop = machine.run({ instructions: 1 + Math.floor(next() * longest), idleSkips: 1 });
                    if (stop.reason !== 'budget' && stop.reason !== 'idle') {
                        assert.equal(stop.reason, 'poweredOff', JSON.stringify(stop));
                        break;
                    }
                    if (moves < MOVES) {
                        engine.switchTo(engine.active === 'kvm' ? 'translator' : 'kvm');
                        moves++;
                    }
                }
            } finally {
                guest.dispose();
            }
            assert.equal(guest.output, sampleOutput('pvh', { memory: MEMORY, cpus }) + SAMPLE_END);
            assert.equal(moves, MOVES);
        });
    }
});
