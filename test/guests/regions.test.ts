/** Regions that go beyond a page: they notice when another page is mapped, patched, or left in an unusual way. */
import assert from 'node:assert/strict';
import { assembledForSuite } from './support/assemble';
import { Debuggee, type DebuggeeOptions } from './support/debuggee';

const ROUNDS = 200_000;

/** What `programs/far-calls.S` adds up, part by part. */
function expected(): number[] {
    const rounds = Array.from({ length: ROUNDS }, (_, index) => ROUNDS - index);
    const sum = (of: (count: number) => number): number => rounds.reduce((total, count) => total + of(count), 0);
    return [
        ...[1, 0x100, 1, 0x100, 1, 3].map(value => value * ROUNDS),
        // 3 until the first change.
        sum(count => (count > (ROUNDS & ~0x3fff) ? 3 : Math.ceil(count / 0x4000))),
        sum(count => 1 - (count & 1)),
        sum(count => 2 * (2 + 0x10) + (count & 1)),
    ];
}

describe('regions', function () {
    this.timeout(30_000);
    const kernel = assembledForSuite('far-calls');

    async function run(options: DebuggeeOptions): Promise<{ results: number[]; debuggee: Debuggee }> {
        const debuggee = new Debuggee(kernel(), options);
        assert.equal((await debuggee.resume()).reason, 'debugExit');
        const results: number[] = [];
        for (let index = 0; index < expected().length; index++) {
            const value = await debuggee.value(`*(u32*)(${debuggee.at('results')} + ${4 * index})`);
            results.push(Number(value));
        }
        return { results, debuggee };
    }

    for (const hotThreshold of [2, 20, 500]) {
        it(`follow calls to other pages and back, hot after ${hotThreshold}`, async () => {
            const { results, debuggee } = await run({ hotThreshold });
            assert.deepEqual(results, expected());
            const interpreted = await run({ translate: false });
            assert.deepEqual(interpreted.results, expected());
            assert.deepEqual(debuggee.outcome, interpreted.debuggee.outcome);
            // The loop's region holds the function that it calls, in another page.
            const blocks = debuggee.machine.engine as unknown as {
                readonly cache: { readonly blocks: readonly { readonly region?: { readonly offsets: number[] } }[] };
            };
            const far = blocks.cache.blocks.filter(({ region }) => region?.offsets.some(offset => offset >= 0x1000));
            assert.ok(far.length > 0);
        });
    }
});
