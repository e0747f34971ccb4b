/** Which engine a machine is to have: what the user asks for, and what this host offers. */
import { performance } from 'node:perf_hooks';
import type { FeatureWords } from '../machine/cpu/cpuid';
import type { EngineFactory, EngineName } from '../machine/engine';
import { KvmEngine, kvmArenaSize } from '../kvm/engine';
import { supportedFeatures } from '../kvm/cpuid';
import { KvmUnavailableError } from '../kvm/errors';
import { closeDescriptor } from '../kvm/libc';
import { isEmulated } from '../kvm/host-trial';
import { kvmProblem, openKvm } from '../kvm/probe';
import { CODE_ARENA_SIZE, type TranslatorOptions, translatorEngine } from '../translator';
import { MachineEngine } from './switchable-engine';

export type EngineChoice = EngineName | 'auto';

export interface ChosenEngine {
    readonly name: EngineName;
    readonly factory: EngineFactory;
    /** For `MachineOptions.engineArena`. */
    readonly arenaSize: number;
    /** For `MachineOptions.features`. */
    readonly features: FeatureWords | undefined;
    /** One line on the choice, where the user left it to us. */
    readonly note?: string;
}

export interface EngineRequest {
    readonly choice: EngineChoice;
    readonly cpus: number;
    /** On KVM, vCPUs run at the same time, a thread each (default), or in turn. */
    readonly vcpuThreads?: boolean;
    readonly translator: Omit<TranslatorOptions, 'now' | 'arena'>;
}

/** @throws KvmUnavailableError if KVM is asked for and cannot be had; the message says what to do */
export function chooseEngine({ choice, cpus, translator, vcpuThreads = true }: EngineRequest): ChosenEngine {
    let name: EngineName = choice === 'kvm' ? 'kvm' : 'translator';
    let note: string | undefined;
    if (choice === 'kvm') {
        const problem = kvmProblem();
        if (problem !== undefined) throw new KvmUnavailableError(`engine 'kvm': ${problem}`);
    }
    if (choice === 'auto') {
        const problem = kvmProblem() ?? slownessProblem();
        if (problem === undefined) {
            name = 'kvm';
        } else {
            note = `engine: translator, since ${problem}`;
        }
    }
    const arenaSize = CODE_ARENA_SIZE + kvmArenaSize(cpus);
    return {
        name,
        arenaSize,
        note,
        features: name === 'kvm' ? hostFeatures() : undefined,
        factory: memory => {
            const { base } = memory.layout.arena;
            const codeArena = { base, size: CODE_ARENA_SIZE };
            const kvmArena = { base: base + CODE_ARENA_SIZE, size: kvmArenaSize(cpus) };
            return new MachineEngine(
                memory,
                translatorEngine({ now: () => performance.now(), ...translator, arena: codeArena })(memory),
                {
                    create: executeElsewhere =>
                        new KvmEngine({
                            ...{ memory, arena: kvmArena, executeElsewhere },
                            ...{ emulated: isEmulated(), parallel: vcpuThreads },
                        }),
                    features: hostFeatures,
                },
                name,
            );
        },
    };
}

let offered: FeatureWords | undefined;

/** @throws KvmUnavailableError */
export function hostFeatures(): FeatureWords {
    if (offered === undefined) {
        const { fd } = openKvm();
        try {
            offered = supportedFeatures(fd);
        } finally {
            closeDescriptor(fd);
        }
    }
    return offered;
}

function slownessProblem(): string | undefined {
    return isEmulated() ? "this host's KVM has no VT-x or AMD-V beneath it, which makes it slow" : undefined;
}
