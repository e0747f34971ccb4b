/** Two machines of one make, for {@link Lockstep}. */
import { performance } from 'node:perf_hooks';
import { Machine, type MachineOptions } from '../machine/machine';
import type { RunStop } from '../machine/engine';
import { KvmEngine, kvmArenaSize } from '../kvm/engine';
import { CODE_ARENA_SIZE, translatorEngine } from '../translator';
import { isEmulated } from '../kvm/host-trial';
import { hostFeatures } from './choose';
import { MachineEngine } from './switchable-engine';

export interface Pair {
    readonly translator: Machine;
    readonly kvm: Machine;
    readonly engine: KvmEngine;
}

/**
 * @param options of both machines; output goes nowhere
 * @param counted KVM counts instructions, as {@link Lockstep} needs; otherwise it runs freely
 * @throws HyperscopeError if KVM cannot be had, or the machine not be built
 */
export function buildPair(
    options: Omit<MachineOptions, 'engine' | 'engineArena' | 'features' | 'hostTime'>,
    counted = true,
): Pair {
    const features = hostFeatures();
    const cpus = options.cpus ?? 1;
    const now = (): number => performance.now();
    let engine: KvmEngine | undefined;
    const kvm = new Machine({
        ...options,
        slowCpuid: false,
        features,
        engineArena: CODE_ARENA_SIZE + kvmArenaSize(cpus),
        engine: memory => {
            const { base } = memory.layout.arena;
            const code = translatorEngine({ now, translate: false, arena: { base, size: CODE_ARENA_SIZE } })(memory);
            const arena = { base: base + CODE_ARENA_SIZE, size: kvmArenaSize(cpus) };
            const create = (executeElsewhere: (vcpu: number) => RunStop | undefined): KvmEngine => {
                engine = new KvmEngine({ memory, arena, executeElsewhere, counted, emulated: isEmulated() });
                return engine;
            };
            return new MachineEngine(memory, code, { create, features: hostFeatures }, 'kvm', { counted });
        },
    });
    try {
        const translator = new Machine({
            ...options,
            // KVM executes it without telling us.
            slowCpuid: false,
            features,
            engineArena: CODE_ARENA_SIZE + kvmArenaSize(cpus),
            engine: memory => {
                const { base } = memory.layout.arena;
                return translatorEngine({ now, arena: { base, size: CODE_ARENA_SIZE } })(memory);
            },
        });
        return { translator, kvm, engine: engine! };
    } catch (error) {
        engine?.dispose();
        throw error;
    }
}
