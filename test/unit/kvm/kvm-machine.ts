/** Machines on KVM that execute a few bytes of code. */
import { chooseEngine } from '../../../src/engines/choose';
import type { MachineEngine } from '../../../src/engines/switchable-engine';
import { Machine } from '../../../src/machine/machine';
import type { MachineStop } from '../../../src/machine/stop';
import { kvm, needs } from '../../support/requirements';
import { ENTRY, tinyKernel } from './kernel';

export interface KvmMachine {
    readonly machine: Machine;
    readonly engine: MachineEngine;
}

/** @param code bytes in hexadecimal, as {@link tinyKernel} takes them */
export function kvmMachine(code: string, cpus = 1): KvmMachine {
    const chosen = chooseEngine({ choice: 'kvm', cpus, translator: {} });
    const machine = new Machine({
        memory: 16 << 20,
        cpus,
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

/** For a suite whose tests have a machine each: returns what makes it. It goes with its test. */
export function kvmMachineForTests(): typeof kvmMachine {
    let machine: Machine | undefined;
    before(function () {
        needs(this, kvm);
    });
    afterEach(() => {
        machine?.engine.dispose?.();
        machine = undefined;
    });
    return (code, cpus) => {
        const built = kvmMachine(code, cpus);
        ({ machine } = built);
        return built;
    };
}

/**
 * Writes 32-bit interrupt gates, and what LIDT takes.
 * @param idt physical address, below 64 KiB, as `pointer`
 * @param handlers offset in the machine's code for each vector
 */
export function writeIdt(
    machine: Machine,
    idt: number,
    pointer: number,
    handlers: Readonly<Record<number, number>>,
): void {
    const { memory, processors } = machine;
    for (const [vector, handler] of Object.entries(handlers)) {
        const bytes = new DataView(new ArrayBuffer(8));
        bytes.setUint16(0, (ENTRY + handler) & 0xffff, true);
        bytes.setUint16(2, processors[0].cpu.selector(1), true);
        bytes.setUint16(4, 0x8e00, true);
        bytes.setUint16(6, (ENTRY + handler) >>> 16, true);
        memory.writeBytes(idt + Number(vector) * 8, new Uint8Array(bytes.buffer));
    }
    memory.writeBytes(pointer, Uint8Array.of(0xff, 7, idt & 0xff, idt >> 8, 0, 0));
}
