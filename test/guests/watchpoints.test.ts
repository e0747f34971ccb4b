/** Watchpoints in a small kernel in long mode: every kind of access, precisely, and without a trace. */
import assert from 'node:assert/strict';
import type { WatchpointRequest } from '../../src/debug/watchpoints';
import { assembledForSuite } from './support/assemble';
import { Debuggee, type DebuggeeOptions } from './support/debuggee';

const DATA = 0x200000n;
const WORD = DATA + 0x100n;
const EDGE = DATA + 0xffen;
const ALIAS = 0x40000000n;
const OWN = DATA + 0x3200n;
const FIELD = DATA + 0x10000n;

describe('watchpoints', function () {
    this.timeout(30_000);
    const kernel = assembledForSuite('watched');

    const start = async (options: DebuggeeOptions, watchpoints: readonly WatchpointRequest[]): Promise<Debuggee> => {
        const debuggee = new Debuggee(kernel(), options);
        for (const { problem } of await debuggee.target.setWatchpoints(watchpoints)) {
            assert.equal(problem, undefined);
        }
        return debuggee;
    };
    const unwatched = async (options: DebuggeeOptions): Promise<Debuggee['outcome']> => {
        const debuggee = new Debuggee(kernel(), options);
        await debuggee.resume();
        return debuggee.outcome;
    };
    /** `label kind ids size@address`, for each stop. */
    const accesses = (debuggee: Debuggee): Promise<string[]> =>
        debuggee.runToEnd('watchpoint', async ({ watch = [] }) =>
            watch
                .map(({ id, reads, writes, address, size, instruction }) => {
                    const kind = `${reads ? 'r' : ''}${writes ? 'w' : ''}`;
                    const place = `${size}@${address.offset.toString(16)}`;
                    return `${debuggee.label(instruction ?? 0n)} ${kind}${id} ${place}`;
                })
                .join(', '),
        );

    const tiers: readonly [name: string, options: DebuggeeOptions][] = [
        ['in the interpreter tier', { translate: false }],
        ['in regions', { hotThreshold: 5 }],
    ];

    for (const [tier, options] of tiers) {
        describe(tier, () => {
            it('meet every access that touches them and no other, reads and writes', async () => {
                const debuggee = await start(options, [
                    { id: 1, space: 'linear', address: WORD, length: 4, kind: 'readWrite' },
                ]);
                assert.deepEqual(await accesses(debuggee), [
                    'write w1 4@200100',
                    'read r1 4@200100',
                    'modify rw1 4@200100',
                    'locked rw1 4@200100',
                    'swap rw1 4@200100',
                    'edge+0x6 r1 16@200100',
                    'sse w1 16@2000f8',
                    'x87 w1 8@200100',
                    'push w1 8@2000fc',
                    'middle w1 4@200100',
                    ...['100', '101', '102', '103'].map(at => `string w1 1@200${at}`),
                    'faulty r1 4@200100',
                    ...Array.from({ length: 5 }, () => 'hot w1 4@200100'),
                ]);
                assert.deepEqual(debuggee.outcome, await unwatched(options));
            });

            it('meet reads alone, also those of instructions that write', async () => {
                const debuggee = await start(options, [
                    { id: 1, space: 'linear', address: WORD + 1n, length: 1, kind: 'read' },
                ]);
                assert.deepEqual(await accesses(debuggee), [
                    'read r1 4@200100',
                    'modify r1 4@200100',
                    'locked r1 4@200100',
                    'swap r1 4@200100',
                    'edge+0x6 r1 16@200100',
                    'faulty r1 4@200100',
                ]);
                assert.deepEqual(debuggee.outcome, await unwatched(options));
            });

            it('meet physical memory through any mapping, several at once, over the end of a page', async () => {
                const debuggee = await start(options, [
                    { id: 1, space: 'physical', address: WORD, length: 4, kind: 'write' },
                    { id: 2, space: 'linear', address: ALIAS + 0x100n, length: 1, kind: 'write' },
                    { id: 3, space: 'linear', address: EDGE + 3n, length: 1, kind: 'write' },
                    { id: 4, space: 'physical', address: EDGE - 8n, length: 9, kind: 'write' },
                    { id: 5, space: 'linear', address: FIELD - 8n, length: 9, kind: 'read' },
                ]);
                const seen = await accesses(debuggee);
                assert.deepEqual(
                    seen.filter(text => !text.startsWith('hot') && !text.startsWith('string w1')),
                    [
                        'write w1 4@200100',
                        'modify w1 4@200100',
                        'locked w1 4@200100',
                        'swap w1 4@200100',
                        'edge w3 4@200ffe, edge w4 4@200ffe',
                        'sse w1 16@2000f8',
                        'x87 w1 8@200100',
                        'alias w1 4@40000100, alias w2 4@40000100',
                        'push w1 8@2000fc',
                        'middle w1 4@200100',
                        'string r5 1@210000',
                    ],
                );
                assert.deepEqual(debuggee.outcome, await unwatched(options));
            });

            it('stop right after the instruction, also in the middle of a block or a string', async () => {
                const debuggee = await start(options, [
                    { id: 1, space: 'linear', address: WORD, length: 4, kind: 'write' },
                    { id: 2, space: 'linear', address: FIELD + 4n * 2000n, length: 2, kind: 'write' },
                ]);
                const states: string[] = [];
                await debuggee.runToEnd('watchpoint', async ({ watch }) => {
                    const [{ instruction = 0n, old, now }] = watch!;
                    const label = debuggee.label(instruction);
                    const values = `${old?.toString(16)}>${now?.toString(16)}`;
                    const where = `${debuggee.label(await debuggee.value('rip'))} rcx ${await debuggee.value('rcx')}`;
                    states.push(`${label} ${values} ${where}`);
                    return '';
                });
                const by = (label: string): string[] => states.filter(state => state.startsWith(`${label} `));
                assert.deepEqual(by('write'), [`write 0>1 read rcx 3221225600`]);
                assert.deepEqual(by('modify'), [`modify 1>2 locked rcx 3221225600`]);
                assert.deepEqual(by('swap'), [`swap 4>9 swap+0x2 rcx 3221225600`]);
                assert.deepEqual(by('middle'), [`middle 0>8 middle+0x6 rcx 0`]);
                // REP MOVSB of zeros: the byte, and how many are left.
                assert.deepEqual(by('string'), [
                    'string 8>0 string rcx 15',
                    'string 0>0 string rcx 14',
                    'string 0>0 string rcx 13',
                    'string 0>0 string rcx 12',
                ]);
                assert.deepEqual(by('fill'), ['fill 0>1234 fill rcx 2999']);
                assert.deepEqual(by('again'), ['again 1234>7d0 again+0x3 rcx 2000']);
                assert.equal(by('hot').length, 5);
                assert.deepEqual(debuggee.outcome, await unwatched(options));
            });

            it('ask conditions with the old and the new value, count and log', async () => {
                const debuggee = await start(options, [
                    { id: 1, space: 'linear', address: WORD, length: 4, kind: 'write', condition: 'now == old + 1' },
                    { id: 2, space: 'physical', address: WORD, length: 4, kind: 'write', hitCondition: '3' },
                    {
                        id: 3,
                        space: 'linear',
                        address: WORD,
                        length: 4,
                        kind: 'write',
                        condition: 'now >= 1024 && now < 4096 && rcx == now',
                        logMessage: '{old} to {now}',
                    },
                ]);
                const seen = await accesses(debuggee);
                assert.deepEqual(seen, ['write w1 4@200100', 'modify w1 4@200100', 'locked w2 4@200100']);
                assert.deepEqual(debuggee.logged, ['0x0 to 0x400', '0x400 to 0x800', '0x800 to 0xc00']);
                assert.deepEqual(debuggee.outcome, await unwatched(options));
            });

            it('leave the guest its own data breakpoints, which trap right after the instruction', async () => {
                const watchpoint = { id: 1, space: 'linear', address: OWN, length: 4, kind: 'readWrite' } as const;
                for (const watchpoints of [[], [watchpoint]]) {
                    const debuggee = await start(options, watchpoints);
                    await debuggee.target.setBreakpoints([{ id: 9, address: debuggee.at('finish') }]);
                    const stops: string[] = [];
                    for (let stop = await debuggee.resume(); stop.reason === 'watchpoint';) {
                        stops.push(debuggee.label(stop.watch![0].instruction!));
                        stop = await debuggee.resume();
                    }
                    assert.equal(stops.length, watchpoints.length === 0 ? 0 : 4, stops.join());
                    // One store, one element of the string; nothing once DR7 is clear.
                    assert.equal(await debuggee.value('u32[notes]'), 2n);
                    assert.equal(await debuggee.value('u64[notes + 8]'), debuggee.at('trapped'));
                    assert.equal(await debuggee.value('u64[notes + 16]'), 0n);
                    await debuggee.target.setBreakpoints([]);
                    assert.equal((await debuggee.resume()).reason, 'debugExit');
                    assert.deepEqual(debuggee.outcome, await unwatched(options));
                }
            });

            it('leave no trace over long ranges and whole pages', async () => {
                const debuggee = await start(options, [
                    { id: 1, space: 'linear', address: 0n, length: 2 ** 47, kind: 'readWrite', condition: '0' },
                    { id: 2, space: 'physical', address: FIELD, length: 0x4000, kind: 'write', hitCondition: '100000' },
                ]);
                assert.equal((await debuggee.resume()).reason, 'debugExit');
                assert.deepEqual(debuggee.outcome, await unwatched(options));
            });
        });
    }

    it('report steps over accesses, and are silent about the debugger’s own', async () => {
        const debuggee = await start({}, [{ id: 7, space: 'linear', address: WORD, length: 4, kind: 'readWrite' }]);
        await debuggee.target.setBreakpoints([{ id: 1, address: debuggee.at('write') }]);
        await debuggee.resume();
        await debuggee.target.writeMemory(0, { space: 'linear', offset: WORD }, Uint8Array.of(5));
        await debuggee.target.readMemory(0, { space: 'physical', offset: WORD }, 4);
        const { reason, breakpoints, note } = await debuggee.step();
        assert.deepEqual({ reason, breakpoints }, { reason: 'watchpoint', breakpoints: [7] });
        assert.match(note ?? '', /^write of 4 bytes at 0x200100: 0x5 → 0x1, by the instruction at 0x/);
        assert.equal(await debuggee.value('rip'), debuggee.at('read'));
    });

    it('meet what devices write by themselves', async () => {
        const debuggee = await start({}, [{ id: 3, space: 'physical', address: WORD, length: 4, kind: 'write' }]);
        await debuggee.target.setBreakpoints([{ id: 1, address: debuggee.at('write') }]);
        await debuggee.resume();
        debuggee.machine.memory.dma.write(Number(WORD) - 2, Uint8Array.of(1, 2, 3));
        debuggee.machine.memory.dma.read(Number(WORD), new Uint8Array(4));
        const stop = await debuggee.resume();
        assert.equal(stop.reason, 'watchpoint');
        assert.match(stop.note ?? '', /^write of 3 bytes at phys:0x2000fe: .*0x0 → 0x3, by a device$/);
        assert.equal(await debuggee.value('rip'), debuggee.at('write'));
    });

    it('say what is wrong with them', async () => {
        const debuggee = new Debuggee(kernel());
        const common = { space: 'linear', address: WORD, length: 4, kind: 'write' } as const;
        const statuses = await debuggee.target.setWatchpoints([
            { ...common, id: 1, length: 0 },
            { ...common, id: 2, address: 2n ** 64n - 2n },
            { ...common, id: 3, space: 'physical', address: 2n ** 60n },
            { ...common, id: 4, condition: 'rax = 2' },
            { ...common, id: 5 },
        ]);
        assert.deepEqual(
            statuses.map(({ problem }) => problem?.replace(/\n.*/s, '')),
            [
                '0 bytes cannot be watched: 1 to 2^48 can',
                'the range goes beyond the end of the linear address space',
                'the range goes beyond the end of the physical address space',
                "a condition must not change anything: '==' compares",
                undefined,
            ],
        );
    });
});
