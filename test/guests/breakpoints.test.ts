/** Breakpoints in a small kernel that goes through all modes: where they bind, what they ask, and that they leave no trace. */
import assert from 'node:assert/strict';
import type { BreakpointRequest } from '../../src/debug/breakpoints';
import { assembledForSuite } from './support/assemble';
import { Debuggee, type DebuggeeOptions } from './support/debuggee';

const ROUNDS = 20_000n;
const COPY = 0x200000n;
const MAPPED = 0x40000000n;
const TOP = 0xffffffff80000000n;
const REAL = 0x8000n;

/** Length of MOV EDX, imm32: where the INC EDX of the copied code is. */
const COPIED_INC = 5n;

describe('breakpoints', function () {
    this.timeout(30_000);
    const kernel = assembledForSuite('debuggee');

    const tiers: readonly [name: string, options: DebuggeeOptions][] = [
        ['in the interpreter tier', { translate: false }],
        ['in regions', { hotThreshold: 20 }],
    ];

    const unwatched = async (options: DebuggeeOptions): Promise<Debuggee['outcome']> => {
        const debuggee = new Debuggee(kernel(), options);
        await debuggee.resume();
        return debuggee.outcome;
    };
    const start = async (
        options: DebuggeeOptions,
        requests: (at: (name: string) => bigint) => readonly Omit<BreakpointRequest, 'id'>[],
    ): Promise<Debuggee> => {
        const debuggee = new Debuggee(kernel(), options);
        const breakpoints = requests(name => debuggee.at(name)).map((request, index) => ({
            id: index + 1,
            ...request,
        }));
        for (const { problem } of await debuggee.target.setBreakpoints(breakpoints)) {
            assert.equal(problem, undefined);
        }
        return debuggee;
    };

    for (const [tier, options] of tiers) {
        describe(tier, () => {
            it('stop where conditions over registers, flags and memory hold, and nowhere else', async () => {
                const debuggee = await start(options, at => [
                    { address: at('count'), condition: 'ecx == 12345 && zf == 0 && u32[counter] == ecx' },
                    {
                        address: at('count'),
                        condition: 'u32[esp] == again + 5 && (ecx ^ 0x4000) == 3 && -1 < (i32)ecx',
                    },
                    { address: at('again'), condition: '(ecx & 0xff) != 0 && u16[counter + 1] / (ecx & 0xff) == 18' },
                ]);
                const seen = await debuggee.runToEnd(
                    'breakpoint',
                    async ({ breakpoints }) => `${breakpoints?.join()} at ${await debuggee.value('ecx')}`,
                );
                const third = Array.from({ length: Number(ROUNDS) }, (_, ecx) => ecx)
                    .filter(ecx => (ecx & 0xff) !== 0 && Math.trunc((ecx >> 8) / (ecx & 0xff)) === 18)
                    .map(ecx => `3 at ${ecx}`);
                assert.deepEqual(seen.sort(), ['1 at 12345', '2 at 16387', ...third].sort());
                assert.deepEqual(debuggee.outcome, await unwatched(options));
            });

            it('count hits whether or not translated code decides', async () => {
                const debuggee = await start(options, at => [
                    { address: at('count'), hitCondition: '% 5000' },
                    { address: at('count'), condition: 'ecx & 1', hitCondition: '>= 9999' },
                    // Only the evaluator reads physical memory.
                    { address: at('count'), condition: 'u32[phys:counter] & 1', hitCondition: '10000' },
                    { address: at('count'), condition: '0', hitCondition: '>= 0' },
                ]);
                const seen = await debuggee.runToEnd(
                    'breakpoint',
                    async ({ breakpoints }) => `${breakpoints?.join()} at ${await debuggee.value('ecx')}`,
                );
                assert.deepEqual(seen, ['1 at 4999', '1 at 9999', '1 at 14999', '2 at 19997', '1,2,3 at 19999']);
                assert.deepEqual(debuggee.outcome, await unwatched(options));
            });

            it('keep their counts while others come and go', async () => {
                const debuggee = await start(options, at => [{ address: at('count'), hitCondition: '5000' }]);
                const hot = { id: 1, address: debuggee.at('count'), hitCondition: '5000' };
                const others = { address: debuggee.at('again'), hitCondition: '% 999' };
                let id = 2;
                await debuggee.target.setBreakpoints([hot, { id, ...others }]);
                for (;;) {
                    const stop = await debuggee.resume();
                    assert.equal(stop.reason, 'breakpoint');
                    if (stop.breakpoints?.includes(1)) break;
                    id++;
                    await debuggee.target.setBreakpoints([{ id, ...others }, hot]);
                }
                assert.equal(await debuggee.value('ecx'), 4999n);
                assert.ok(id > 5);
                await debuggee.target.setBreakpoints([]);
                assert.equal((await debuggee.resume()).reason, 'debugExit');
                assert.deepEqual(debuggee.outcome, await unwatched(options));
            });

            it('bind by themselves: copied, patched and mapped later, in every mode, at linear and physical addresses', async () => {
                const debuggee = await start(options, at => [
                    { address: COPY + COPIED_INC },
                    { address: at('patched') },
                    { address: MAPPED + COPIED_INC },
                    { address: TOP + at('high') },
                    { address: REAL + at('real_inc') - at('real') },
                    { space: 'physical', address: COPY + COPIED_INC },
                    { space: 'physical', address: at('high') },
                ]);
                const seen = await debuggee.runToEnd('breakpoint', async ({ breakpoints }) => {
                    if (breakpoints?.includes(5)) {
                        assert.equal(await debuggee.value('cr0 & 1'), 0n);
                        assert.equal(await debuggee.value('bx'), 1n);
                    }
                    return `${breakpoints?.join()} at 0x${(await debuggee.value('pc')).toString(16)}`;
                });
                const hex = (address: bigint): string => `0x${address.toString(16)}`;
                assert.deepEqual(seen, [
                    `1,6 at ${hex(COPY + COPIED_INC)}`,
                    `2 at ${hex(debuggee.at('patched'))}`,
                    `2 at ${hex(debuggee.at('patched'))}`,
                    `3,6 at ${hex(MAPPED + COPIED_INC)}`,
                    `4,7 at ${hex(TOP + debuggee.at('high'))}`,
                    `5 at ${hex(REAL + debuggee.at('real_inc') - debuggee.at('real'))}`,
                ]);
                assert.deepEqual(debuggee.outcome, await unwatched(options));
            });

            it('are met before the page fault of an instruction that cannot be fetched, if asked to', async () => {
                const beyond = 0x50000000n;
                const goTo = async (request: Partial<BreakpointRequest>): Promise<string> => {
                    const debuggee = await start(options, at => [
                        { address: at('paged') },
                        { address: beyond, ...request },
                    ]);
                    await debuggee.resume();
                    await debuggee.step();
                    await debuggee.target.writeRegister(0, 'eax', beyond); // which is called next
                    const stop = await debuggee.resume();
                    return `${stop.reason} ${'breakpoints' in stop ? stop.breakpoints?.join() : ''}`.trim();
                };
                assert.equal(await goTo({ beforeFault: true }), 'breakpoint 2');
                assert.equal(await goTo({ beforeFault: true, condition: 'pc == 0x50000000' }), 'breakpoint 2');
                assert.equal(await goTo({ beforeFault: true, condition: 'pc == 0' }), 'exception');
                assert.equal(await goTo({}), 'exception');
            });

            it('leave no trace, wherever they are and whatever they log', async () => {
                const debuggee = await start(options, at => [
                    ...['again', 'count', 'patched', 'paged', 'long', 'compat', 'real'].map(name => ({
                        address: at(name),
                        condition: 'ecx == -1',
                    })),
                    // In the middle of blocks, and in the middle of an instruction.
                    ...[1n, 2n, 3n, 6n].map(offset => ({ address: at('count') + offset, hitCondition: '1000000' })),
                    { address: at('count'), condition: 'ecx % 7000 == 1', logMessage: 'round {ecx}' },
                ]);
                assert.equal((await debuggee.resume()).reason, 'debugExit');
                assert.deepEqual(debuggee.logged, ['round 0x1', 'round 0x1b59', 'round 0x36b1']);
                assert.deepEqual(debuggee.outcome, await unwatched(options));
            });

            it('let steps and stops at every instruction pass', async () => {
                const debuggee = await start(options, at => [
                    { address: at('count'), condition: 'ecx == 3' },
                    { address: at('count') + 6n, condition: 'ecx == 3' },
                ]);
                await debuggee.resume();
                assert.equal(await debuggee.value('pc'), debuggee.at('count'));
                const second = await debuggee.step();
                assert.equal(second.reason, 'step');
                assert.equal(await debuggee.value('pc'), debuggee.at('count') + 6n);
                // Stepped on to: it does not stop again what goes on from there.
                assert.equal((await debuggee.resume()).reason, 'debugExit');
                assert.deepEqual(debuggee.outcome, await unwatched(options));
            });
        });
    }

    it('say what is wrong with them, and work without those that are', async () => {
        const debuggee = new Debuggee(kernel());
        const address = debuggee.at('patched');
        const statuses = await debuggee.target.setBreakpoints([
            { id: 1, address, condition: 'eax =' },
            { id: 2, address, hitCondition: 'often' },
            { id: 3, address, logMessage: '{nowhere' },
            { id: 4, address, condition: 'edx = 1' },
            { id: 5, address },
        ]);
        assert.deepEqual(
            statuses.map(({ problem }) => problem === undefined),
            [false, false, true, false, true],
        );
        assert.deepEqual(await debuggee.resume(), {
            reason: 'breakpoint',
            vcpu: 0,
            breakpoints: [5],
        });
    });
});
