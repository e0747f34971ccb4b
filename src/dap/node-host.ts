/** What Node lends a target that runs in this process. */
import { performance } from 'node:perf_hooks';
import type { TargetHost } from '../debug/machine-runner';

export const NODE_HOST: TargetHost = {
    now: () => performance.now(),
    yield: () => new Promise(resolve => setImmediate(resolve)),
    sleep: milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds)),
};
