import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { DebugProtocol } from '@vscode/debugprotocol';
import type { BreakOnExitResponse, VmExitRecord, VmExitsRecording, VmExitsResponse } from '../../src/messages/vm-exits';
import { engines } from '../support/engines';
import { needs } from '../support/requirements';
import { sampleElf, sampleRom } from '../support/sample';
import { TestClient } from './client';
import { GoldenLog } from './golden-log';
import { InProcessClient } from './in-process';

/** KVM without hardware beneath it does not know SYSCALL. */
const SAMPLE = { kernel: sampleElf, memory: '64M', append: 'nosyscall' };

for (const engine of engines()) {
    describe(`machine events in a session, ${engine.name}`, function () {
        this.timeout(60_000);
        let client: TestClient | undefined;
        let session: InProcessClient | undefined;
        let folder: string;

        before(function () {
            needs(this, ...engine.requirements);
            folder = mkdtempSync(path.join(os.tmpdir(), 'hyperscope-events-'));
        });

        after(() => {
            if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
        });

        afterEach(async () => {
            await client?.stop();
            await session?.close();
            client = undefined;
            session = undefined;
        });

        const launch = async (attributes: object = {}): Promise<InProcessClient> => {
            session = new InProcessClient();
            await session.launch({ ...SAMPLE, engine: engine.name, ...attributes });
            return session;
        };

        /** Starts the guest, which stops at its entry. */
        const begin = async (): Promise<InProcessClient> => {
            const started = await launch();
            await started.run('configurationDone', {});
            return started;
        };

        const runToEnd = async (running: InProcessClient): Promise<void> => {
            const ended = running.next('terminated');
            await running.request('continue', { threadId: 1 });
            await ended;
        };

        // From the reset vector the guest takes SYSCALL, and how far it is at an interrupt depends on its time.
        const itOnTranslator = engine.name === 'translator' ? it : () => undefined;
        itOnTranslator('stop the guest where filters say, and tell what happened', async () => {
            const log = new GoldenLog('machine-events');
            log.scrub(sampleRom, '<rom>');
            log.scrub(sampleElf, '<elf>');
            client = new TestClient(log);
            await client.launch({ firmware: sampleRom, symbols: sampleElf, memory: '64M' });
            await client.request('setExceptionBreakpoints', {
                filters: ['tripleFault', 'modeSwitch'],
                filterOptions: [
                    { filterId: 'msrWrite', condition: 'msr == 0xc0000080' },
                    { filterId: 'cr3Write' },
                    { filterId: 'cr4Write', condition: 'value & 0x100000000' },
                    { filterId: 'portOut', condition: 'prot == 3' },
                    { filterId: 'portIn', condition: '0x60, 0x64-' },
                    { filterId: 'pf', condition: 'error & 4 && cpl == 3' },
                    { filterId: 'mmioWrite', condition: '0xfee00300' },
                ],
            });
            await client.run('configurationDone', {});
            for (let stops = 0; stops < 5; stops++) {
                await client.run('continue');
                await client.request('exceptionInfo', { threadId: 1 });
            }
            for (const filterOptions of [
                [{ filterId: 'externalInterrupt', condition: '0x20-0xfe' }],
                [{ filterId: 'pf', condition: 'address < 0x1000' }],
                [{ filterId: 'powerOff' }],
            ]) {
                await client.request('setExceptionBreakpoints', { filterOptions });
                await client.run('continue');
                await client.request('exceptionInfo', { threadId: 1 });
            }
            await client.runToEnd('continue');
            log.check();
        });

        it('offer a filter with a condition for every kind that the view breaks on', async () => {
            session = new InProcessClient();
            const capabilities = await session.request<DebugProtocol.Capabilities>('initialize', { adapterID: 'x' });
            const filters = capabilities.exceptionBreakpointFilters!;
            assert.equal(new Set(filters.map(({ filter }) => filter)).size, filters.length);
            assert.ok(filters.every(({ filter, supportsCondition }) => filter === 'tripleFault' || supportsCondition));
            await session.request('launch', SAMPLE);
            const { kinds } = await session.request<VmExitsResponse>('hyperscope/vmExits', { kinds: true });
            const ids = new Set(filters.map(({ filter }) => filter));
            for (const { kind, filter } of kinds!) {
                const own = kind === 'exception' || kind === 'crWrite' || kind === 'tripleFault';
                assert.ok(own ? filter === undefined : ids.has(filter!), kind);
            }
        });

        it('are counted by kind and cause, and spread over time', async () => {
            const running = await begin();
            await runToEnd(running);
            const { summary, timeline, total, now } = await running.request<VmExitsResponse>('hyperscope/vmExits', {
                summary: { group: 'kind' },
                timeline: { buckets: 20 },
            });
            const portOut = summary!.rows.find(({ kind }) => kind === 'portOut')!;
            assert.equal(portOut.label, 'I/O out');
            assert.equal(
                summary!.rows.reduce((sum, { count }) => sum + count, 0),
                total,
            );
            assert.ok(timeline!.from === 0 && timeline!.to >= now);
            const counted = Object.values(timeline!.counts).flat();
            assert.equal(
                counted.reduce((sum, count) => sum + count, 0),
                total,
            );
            const query = { summary: { filter: { text: 'SERIAL0' }, sort: 'count', limit: 1 } };
            const { summary: serial } = await running.request<VmExitsResponse>('hyperscope/vmExits', query);
            const [row] = serial!.rows;
            assert.deepEqual(
                [row.kind, row.cause, row.causeText, row.device],
                ['portOut', '0x3f8', '0x3f8 serial0', 'serial0'],
            );
            assert.match(row.last!.symbol!, /^\w+\+0x/);
            assert.ok(serial!.totalRows > 1);
        });

        it('are kept one by one while somebody watches', async () => {
            const running = await begin();
            await running.request('hyperscope/vmExitsWatch', { watch: true, capacity: 100 });
            await runToEnd(running);
            const { records, watching } = await running.request<VmExitsResponse>('hyperscope/vmExits', {
                records: { count: 3 },
            });
            assert.equal(watching, true);
            assert.equal(records!.records.length, 3);
            assert.ok(records!.kept === 100 && records!.dropped > 100 && records!.matching === 100);
            const [last, before] = records!.records;
            assert.deepEqual([last.kind, last.text], ['powerOff', '']);
            assert.equal(before.sequence + 1, last.sequence);
            assert.ok(before.hostTime! > 0 && before.rip.startsWith('0xffffffff'));

            const filtered = await running.request<VmExitsResponse>('hyperscope/vmExits', {
                records: { filter: { kinds: ['portOut'], causes: ['0x3f8'] }, order: 'oldest', count: 5000 },
            });
            const text = filtered.records!.records.map(({ value }) => String.fromCharCode(Number(value))).join('');
            // Ends of slices are exits on KVM: they may push out some of it.
            const end = 'power off\r\n';
            assert.ok(text.length > 1 && (text.endsWith(end) || end.endsWith(text)), JSON.stringify(text));
            const none = await running.request<VmExitsResponse>('hyperscope/vmExits', {
                records: { filter: { from: 0, to: 10 } },
            });
            assert.equal(none.records!.matching, 0);
            await running.request('hyperscope/vmExitsWatch', { watch: false, clear: true });
            const { total, records: gone } = await running.request<VmExitsResponse>('hyperscope/vmExits', {
                records: {},
            });
            assert.deepEqual([total, gone!.kept], [0, 0]);
        });

        it('stop at the row of the view that asks for it', async () => {
            const running = await begin();
            const added = await running.request<BreakOnExitResponse>('hyperscope/breakOnExit', {
                kind: 'portOut',
                cause: '0x3f8',
                condition: 'value == 0x6c && vcpu == 0',
                enabled: true,
            });
            assert.equal(added.breaks.length, 1);
            const stop = await running.run('continue');
            assert.match(String(stop.text), /^I\/O out: 0x3f8 ← 0x6c 'l' at \w+/);
            // Exception filters come and go beside it.
            await running.request('setExceptionBreakpoints', { filters: [] });
            assert.match(String((await running.run('continue')).text), /^I\/O out: 0x3f8/);
            const { summary } = await running.request<VmExitsResponse>('hyperscope/vmExits', { summary: {} });
            assert.deepEqual(
                summary!.rows.filter(({ breaks }) => breaks).map(({ cause }) => cause),
                ['0x3f8'],
            );
            await running.request('hyperscope/breakOnExit', { kind: 'crWrite', cause: 'cr3', enabled: true });
            const gone = await running.request<BreakOnExitResponse>('hyperscope/breakOnExit', {
                kind: 'portOut',
                cause: '0x3f8',
                enabled: false,
            });
            assert.deepEqual(gone.breaks, [{ kind: 'crWrite', cause: 'cr3' }]);
            assert.match(String((await running.run('continue')).text), /^CR3 write: 0x/);
        });

        for (const format of ['text', 'json'] as const) {
            it(`are written to a file as ${format}`, async () => {
                const running = await begin();
                const file = path.join(folder, `exits.${format}`);
                await running.request('hyperscope/vmExitsRecord', {
                    action: 'start',
                    path: file,
                    format,
                    kinds: ['portOut'],
                });
                await runToEnd(running);
                const { recording } = await running.request<VmExitsResponse>('hyperscope/vmExits');
                const done = await running.request<VmExitsRecording>('hyperscope/vmExitsRecord', { action: 'stop' });
                assert.ok(recording!.active && !done.active && done.records === recording!.records);
                assert.equal(done.bytes, statSync(file).size);
                const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
                assert.equal(lines.length, done.records + (format === 'text' ? 1 : 0));
                if (format === 'json') {
                    const records = lines.map(line => JSON.parse(line) as VmExitRecord);
                    assert.ok(records.every(({ kind, rip }) => kind === 'portOut' && rip.startsWith('0x')));
                    // All but the last one, which switches the machine off before it ends.
                    assert.ok(records.slice(0, -1).every(({ hostTime }) => hostTime! > 0));
                } else {
                    assert.match(lines[0], /^# Hyperscope VM exits/);
                    assert.ok(lines.slice(1).every(line => /^\d+ {2}\d+\.\d{9} {2}\d {2}I\/O out {2}0x/.test(line)));
                }
            });
        }

        it('leave a file that has reached its limit at that', async () => {
            const running = await begin();
            const file = path.join(folder, 'limited');
            await running.request('hyperscope/vmExitsRecord', { action: 'start', path: file, limit: 0x1000 });
            await runToEnd(running);
            const done = await running.request<VmExitsRecording>('hyperscope/vmExitsRecord', { action: 'stop' });
            assert.ok(done.dropped > 100 && done.bytes <= 0x1000);
            assert.match(done.problem!, /limit of 4096 bytes/);
            assert.ok(statSync(file).size <= 0x1000);
        });

        it('refuse what makes no sense, and say why', async () => {
            const running = await begin();
            const refusals = async (command: string, ...all: readonly object[]): Promise<string[]> => {
                const texts: string[] = [];
                for (const args of all) texts.push((await running.refusal(command, args)).split('\n')[0]);
                return texts;
            };
            assert.deepEqual(
                await refusals(
                    'hyperscope/breakOnExit',
                    {},
                    { kind: 'nonsense', enabled: true },
                    { kind: 'portOut', cause: 'cr3', enabled: true },
                    { kind: 'portOut', cause: '0x80', condition: 'value =', enabled: true },
                ),
                [
                    'kind has to be a string',
                    "kind: there is no kind of exit 'nonsense' (" +
                        'portIn, portOut, mmioRead, mmioWrite, msrRead, msrWrite, crWrite, cpuid, hlt, mwait, exception, ' +
                        'softwareInterrupt, externalInterrupt, nmi, ipi, modeSwitch, reset, tripleFault, powerOff, debug, ' +
                        'internalError, failEntry, interrupted, other)',
                    "'cr3' is no cause of such an exit",
                    (
                        await refusals('hyperscope/breakOnExit', {
                            kind: 'portOut',
                            cause: '0x80',
                            condition: 'value =',
                            enabled: true,
                        })
                    )[0],
                ],
            );
            assert.deepEqual(
                await refusals(
                    'hyperscope/vmExitsRecord',
                    {},
                    { action: 'explode' },
                    { action: 'stop' },
                    { action: 'start', path: '' },
                    { action: 'start', path: path.join(folder, 'missing', 'file') },
                    { action: 'start', path: path.join(folder, 'x'), limit: 1 },
                ),
                [
                    'path has to be a string',
                    "action has to be one of start, stop, not 'explode'",
                    'nothing is being recorded',
                    'path has to name a file',
                    (
                        await refusals('hyperscope/vmExitsRecord', {
                            action: 'start',
                            path: path.join(folder, 'missing', 'file'),
                        })
                    )[0],
                    'limit has to be from 4096 to 1099511627776',
                ],
            );
            assert.deepEqual(
                await refusals(
                    'hyperscope/vmExits',
                    { records: { count: 1e9 } },
                    { records: [] },
                    { summary: { group: 'size' } },
                    { timeline: { buckets: 0 } },
                    { records: { filter: { kinds: 'portOut' } } },
                ),
                [
                    'records.count has to be from 0 to 5000',
                    'records has to be an object',
                    "group has to be one of cause, kind, not 'size'",
                    'timeline.buckets has to be from 1 to 2000',
                    'records.filter.kinds has to be an array of strings',
                ],
            );
            assert.match(
                await running.refusal('hyperscope/vmExitsWatch', { watch: true, capacity: 1e12 }),
                /^capacity/,
            );
        });
    });
}
