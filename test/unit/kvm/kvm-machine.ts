/** Machines on KVM that execute a few bytes of code. */
import { chooseEngine } from '../../../src/engines/choose';
import type { MachineEngine } from '../../../src/engines/switchable-engine';
import { Machine } from '../../../src/machine/machine';
import type { MachineStop } from '../../../src/machine/stop';
import { tinyKernel } from './kernel';

export interface KvmMachine {
    readonly machine: Machine;
    readonly engine: MachineEngine;
}

/** @param code bytes in hexadecimal, as {@link tinyKernel} takes them */
export function kvmMachine(code: string): KvmMachine {
    const chosen = chooseEngine({ choice: 'kvm', cpus: 1, translator: {} });
    const machine = new Machine({
        memory: 16 << 20,
        engine: chosen.factory,
        engineArena: chosen.arenaSize,
        features: chosen.features,
        kernel: { kernel: { name: 'kernel', data: tinyKernel(code) }, modules: [], commandLine: '' },
    });
    return { machine, engine: machine.engine as MachineEngine };
}

/** Runs to the next stop that is one. */
export function nextStop(machine: Machine): MachineStop {
    for (;;) {
        const stop = machine.run({ instructions: 1e7 });
        if (stop.reason !== 'budget') return stop;
    }
}
