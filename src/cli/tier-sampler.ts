/** The thread of `tier-sampling.ts`: looks every millisecond at what the vCPUs note. */
import { workerData } from 'node:worker_threads';
import { Tier } from '../machine/state';
import type { SamplerTask } from './tier-sampling';

const PERIOD_MILLISECONDS = 1;

const { memory, cells, counts } = workerData as SamplerTask;
const words = new Int32Array(memory);
const never = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
for (;;) {
    Atomics.wait(never, 0, 0, PERIOD_MILLISECONDS);
    // vCPUs take turns: at most one of them is in translated code.
    let tier: number = Tier.None;
    for (const cell of cells) {
        tier = Math.max(tier, Atomics.load(words, cell >>> 2));
    }
    Atomics.add(counts, tier, 1);
}
