/** A bound for the young generation of V8's heap, whose default is meant for programs with more to forget. */
import { PerformanceObserver } from 'node:perf_hooks';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';

/** Bytes of both semi-spaces. `npm run bench -- memory` and `-- boot`: with 128 MB, V8's own bound, a boot is no faster. */
const ENOUGH = 32 * 1024 * 1024;

/**
 * Lets the young generation grow to 32 MB, as `node --max-semi-space-size=16` does, from within: V8 takes sizes only at
 * its start, but looks at the factor by which the space grows each time. Worker threads that start later are left with
 * the smallest space, so this is for programs whose threads allocate nothing.
 */
export function boundYoungGeneration(): void {
    const observer = new PerformanceObserver(() => {
        const young = getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space');
        if (young === undefined || young.space_size < ENOUGH) return;
        setFlagsFromString('--semi-space-growth-factor=1');
        observer.disconnect();
    });
    observer.observe({ entryTypes: ['gc'] });
}
