/** Exceptions of instructions that the translator executes in KVM's place, one by one: without KVM. */
import assert from 'node:assert/strict';
import { MachineEngine } from '../../../src/engines/switchable-engine';
import type { KvmEngine } from '../../../src/kvm/engine';
import { ALL_FEATURES } from '../../../src/machine/cpu/cpuid';
import { EVENT_STOP, type RunStop, WATCH_STOP } from '../../../src/machine/engine';
import { Machine } from '../../../src/machine/machine';
import { MachineEventKind } from '../../../src/machine/observation/kinds';
import { CODE_ARENA_SIZE, translatorEngine } from '../../../src/translator';
import { ENTRY, tinyKernel } from './kernel';

const WATCHED = 0x5000;
const DS = 3;
const GENERAL_PROTECTION = 13;

/** What KVM would be, if the translator had to execute every instruction for it. */
function helpless(executeElsewhere: (vcpu: number) => RunStop | undefined): KvmEngine {
    const nothing = (): undefined => undefined;
    const no = (): boolean => false;
    return {
        run: (vcpu: number) => executeElsewhere(vcpu) ?? { reason: 'failed', problem: 'nothing was executed' },
        retired: () => 0,
        ...{ attention: nothing, modeChanged: nothing, retiredBy: () => 0 },
        ...{ addProcessor: nothing, setWatchpoints: nothing, setStopWishes: nothing, stateChanged: nothing },
        ...{ mapChanged: nothing, requestExit: nothing, synchronize: nothing, watchProblem: nothing },
        ...{ misses: no, missesExceptions: no, missesUserCode: no },
    } as unknown as KvmEngine;
}

describe("exceptions of instructions executed in KVM's place", () => {
    it('are told where the same instruction has stopped the guest at a watchpoint before', () => {
        const code = tinyKernel('a3 00 50 00 00'); // mov [WATCHED], eax
        const machine = new Machine({
            memory: 16 << 20,
            engineArena: CODE_ARENA_SIZE,
            engine: memory => {
                const arena = { base: memory.layout.arena.base, size: CODE_ARENA_SIZE };
                const translator = translatorEngine({ now: () => performance.now(), arena })(memory);
                return new MachineEngine(memory, translator, { create: helpless, features: () => ALL_FEATURES }, 'kvm');
            },
            kernel: { kernel: { name: 'kernel', data: code }, modules: [], commandLine: '' },
        });
        const engine = machine.engine as MachineEngine;
        engine.setWatchpoints([{ id: 1, space: 'linear', lo: WATCHED, hi: 0, length: 4, reads: false, writes: true }]);
        engine.accessObserver = { accessed: () => undefined, completed: () => true, abandoned: () => false };
        machine.observation.setStopKinds([MachineEventKind.Exception]);
        const told: number[] = [];
        machine.observation.onEvent = ({ cause }) => {
            told.push(cause);
            return true;
        };

        const watched = machine.run({});
        assert.deepEqual(watched, { reason: 'breakpoint', vcpu: 0, id: WATCH_STOP });

        const { cpu } = machine.processors[0];
        cpu.setRip(ENTRY, 0);
        cpu.setSegment(DS, cpu.selector(DS), 0, 0, WATCHED - 1, cpu.segmentAttributes(DS));
        const event = machine.run({});
        assert.deepEqual(event, { reason: 'breakpoint', vcpu: 0, id: EVENT_STOP });
        assert.deepEqual(told, [GENERAL_PROTECTION]);
    });
});
