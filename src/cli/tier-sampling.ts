/** How the time of a run divides among the tiers of the translator: samples, taken by a thread of its own. */
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Machine } from '../machine/machine';
import { StateOffset, Tier } from '../machine/state';

/** What the thread is given. */
export interface SamplerTask {
    /** The machine's shared memory. */
    readonly memory: ArrayBufferLike;
    /** Addresses of the vCPUs' `StateOffset.tier`. */
    readonly cells: readonly number[];
    /** A count for each {@link Tier}. */
    readonly counts: Uint32Array;
}

/** Shares of the time of a run; their sum is 1. */
export interface TierShares {
    readonly interpreter: number;
    readonly regions: number;
    /** Everything else: devices, faults, system instructions, translating, waiting. */
    readonly outside: number;
    readonly samples: number;
}

export class TierSampling {
    private readonly counts = new Uint32Array(new SharedArrayBuffer(3 * Uint32Array.BYTES_PER_ELEMENT));
    private readonly worker: Worker;

    constructor(machine: Machine) {
        const workerData: SamplerTask = {
            memory: machine.memory.memory.buffer,
            cells: machine.processors.map(({ cpu }) => cpu.base + StateOffset.tier),
            counts: this.counts,
        };
        this.worker = new Worker(path.join(__dirname, 'tier-sampler.js'), {
            workerData,
            // It allocates nothing: let it not add to what the statistics tell of the machine's memory.
            resourceLimits: { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 8 },
        });
        this.worker.unref();
        // Statistics are not worth a run: without the thread there are no samples.
        this.worker.on('error', () => undefined);
    }

    /** Ends the thread, so that it is not counted among what the machine takes. Undefined for a run too short to tell. */
    async end(): Promise<TierShares | undefined> {
        const [none, interpreter, region] = [Tier.None, Tier.Interpreter, Tier.Region].map(tier => this.counts[tier]);
        await this.worker.terminate();
        const samples = none + interpreter + region;
        return samples === 0
            ? undefined
            : {
                  interpreter: interpreter / samples,
                  regions: region / samples,
                  outside: none / samples,
                  samples,
              };
    }
}
