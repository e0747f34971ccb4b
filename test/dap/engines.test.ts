import assert from 'node:assert/strict';
import { VcpuThread } from '../../src/kvm/vcpu-thread';
import type { EngineBody, SwitchEngineBody } from '../../src/messages/engine';
import type { MemoryBody } from '../../src/messages/memory';
import { kvm, needs } from '../support/requirements';
import { SAMPLE_END, sampleElf, sampleOutput } from '../support/sample';
import { InProcessClient } from './in-process';

describe('the engines of a session', function () {
    this.timeout(60_000);
    let client: InProcessClient | undefined;
    before(function () {
        needs(this, kvm);
    });
    afterEach(async () => {
        await client?.close();
        client = undefined;
    });

    const launch = async (attributes: object): Promise<InProcessClient> => {
        client = new InProcessClient();
        await client.launch({ kernel: sampleElf, append: 'nosyscall', memory: '32M', ...attributes });
        await client.request('setFunctionBreakpoints', { breakpoints: [{ name: 'collatz' }] });
        await client.run('configurationDone', {});
        return client;
    };
    const output = (of: InProcessClient): string =>
        of.events
            .filter(({ event, body }) => event === 'output' && body.category === 'stdout')
            .map(({ body }) => String(body.output))
            .join('');

    it('are told, and changed where the guest has stopped', async () => {
        const session = await launch({ engine: 'kvm' });
        const before = await session.request<EngineBody>('hyperscope/engine');
        assert.equal(before.engine, 'kvm');
        assert.deepEqual(
            before.engines.map(({ name, active, problem }) => [name, active, problem]),
            [
                ['translator', false, undefined],
                ['kvm', true, undefined],
            ],
        );
        assert.deepEqual(await session.request<SwitchEngineBody>('hyperscope/switchEngine', { engine: 'translator' }), {
            engine: 'translator',
        });
        assert.match(await session.refusal('hyperscope/switchEngine', { engine: 'bochs' }), /translator/);
        await session.request('setFunctionBreakpoints', { breakpoints: [] });
        const ended = session.next('terminated');
        await session.request('hyperscope/switchEngine', { engine: 'kvm', resume: true });
        await ended;
        assert.equal(output(session), sampleOutput('pvh', { memory: 32 }) + SAMPLE_END);
    });

    it('stop at what KVM passes: the translator stands in as long as it is asked for', async () => {
        const session = await launch({ engine: 'kvm' });
        const standIn = async (): Promise<unknown> => {
            const { engine, engines } = await session.request<EngineBody>('hyperscope/engine');
            return [engine, engines.find(({ name }) => name === 'kvm')?.standIn];
        };
        await session.request('setFunctionBreakpoints', { breakpoints: [] });
        assert.deepEqual(
            await session.request('setExceptionBreakpoints', {
                filters: ['cr3Write'],
                filterOptions: [{ filterId: 'cpuid', condition: 'leaf == 1' }],
            }),
            { breakpoints: [{ verified: true }, { verified: true }] },
        );
        const { reason, text } = await session.run('continue');
        assert.equal(reason, 'machine event');
        assert.match(String(text), /CR3|CPUID/);
        const why = 'the processor does what is to be stopped at by itself';
        assert.deepEqual(await standIn(), ['kvm', why]);
        assert.match(
            session.events.map(({ body }) => String(body?.output ?? '')).join(''),
            new RegExp(`the translator executes the guest in KVM's place: ${why}\n`),
        );
        await session.request('setExceptionBreakpoints', { filters: [] });
        const ended = session.next('terminated');
        await session.request('continue', { threadId: 1 });
        await ended;
        assert.deepEqual(await standIn(), ['kvm', undefined]);
        assert.equal(output(session), sampleOutput('pvh', { memory: 32 }) + SAMPLE_END);
    });

    it('stop at the same exceptions on KVM as on the translator, in the same words', async () => {
        const stops = async (engine: string): Promise<string[]> => {
            const session = await launch({ engine });
            await session.request('setFunctionBreakpoints', { breakpoints: [{ name: 'touch_lazy_memory' }] });
            await session.run('continue');
            await session.request('setFunctionBreakpoints', { breakpoints: [] });
            await session.request('setExceptionBreakpoints', {
                filters: ['gp', 'ud'],
                filterOptions: [{ filterId: 'pf', condition: 'address >= 0xffffc9000000d000 || error & 4' }],
            });
            const seen: string[] = [];
            while (seen.length < 6) {
                const { reason, text } = await session.run('continue');
                const { result } = await session.request<{ result: string }>('evaluate', { expression: 'pc' });
                seen.push(`${reason} ${text} ${result}`);
            }
            const { engines } = await session.request<EngineBody>('hyperscope/engine');
            assert.equal(engines.find(({ active }) => active)?.standIn, undefined);
            await session.close();
            return seen;
        };
        const expected = await stops('translator');
        assert.ok(expected.some(text => text.includes('#PF page fault: user code writing')));
        assert.deepEqual(await stops('kvm'), expected);
    });

    it('stop at physical addresses, and at memory that is written, on KVM', async () => {
        const session = await launch({ engine: 'kvm' });
        assert.equal((await session.run('continue')).reason, 'function breakpoint');
        await session.request('setFunctionBreakpoints', { breakpoints: [] });
        const {
            mapping: { physical },
        } = await session.request<{ mapping: { physical: string } }>('hyperscope/translateAddress', {
            address: 'collatz',
        });
        await session.request('setInstructionBreakpoints', {
            breakpoints: [{ instructionReference: `phys:${physical}` }],
        });
        assert.equal((await session.run('continue')).reason, 'instruction breakpoint');
        await session.request('setInstructionBreakpoints', { breakpoints: [] });
        const { dataId } = await session.request<{ dataId: string }>('dataBreakpointInfo', {
            name: 'memory_statistics.faults_handled',
        });
        await session.request('setDataBreakpoints', { breakpoints: [{ dataId, accessType: 'write' }] });
        const { reason, text } = await session.run('continue');
        assert.equal(reason, 'data breakpoint');
        assert.match(String(text), /^write of \d bytes at .*, by the instruction at 0x/);
        await session.request('setDataBreakpoints', { breakpoints: [] });
    });

    it('tell in the console which pages the guest writes on KVM, and what KVM counts', async () => {
        const session = await launch({ engine: 'kvm' });
        const says = async (line: string): Promise<string> =>
            (await session.request<{ result: string }>('evaluate', { expression: line, context: 'repl' })).result;
        const fails = (line: string): Promise<string> =>
            session.refusal('evaluate', { expression: line, context: 'repl' });
        assert.match(await fails('kvm dirty'), /written pages are not noted: start that first/);
        assert.match(await says('kvm log'), /kvm dirty lists them/);
        await says('kvm dirty');
        assert.equal(await says('kvm dirty'), '0 pages written since the last look');
        assert.equal((await session.run('continue')).reason, 'function breakpoint');
        assert.match(
            await says('kvm dirty'),
            /^\d+ pages? written since the last look\nphysical +pages\n0x[0-9a-f]{9}-0x[0-9a-f]{6}fff +\d+(\n|$)/,
        );
        // At the next stop, what has been written since then.
        const pageOf = async (address: string): Promise<{ readonly physical: string; readonly written?: true }> => {
            const { pages } = await session.request<MemoryBody>('hyperscope/memory', { address, count: 1 });
            return pages[0] as { readonly physical: string; readonly written?: true };
        };
        assert.equal((await session.run('continue')).reason, 'function breakpoint');
        const [stack, code] = [await pageOf('rsp'), await pageOf('rip')];
        assert.deepEqual([stack.written, code.written], [true, undefined]);
        assert.match(await says('kvm dirty'), /^[1-9]\d* pages? written since the last look\n/);
        assert.equal((await pageOf('rsp')).written, true);
        await session.run('stepIn', { threadId: 1, granularity: 'instruction' });
        assert.equal((await pageOf('rip')).written, undefined);
        assert.match(await says('kvm counters'), /^counter +value\nkvmIo +\d+\n/);
        await says('kvm unlog');
        assert.match(await fails('kvm dirty'), /not noted/);
        await session.request('hyperscope/switchEngine', { engine: 'translator' });
        assert.match(await fails('kvm log'), /the translator executes this guest/);
        assert.match(await says('help'), /^kvm +tells what KVM knows/m);
    });

    for (const vcpuThreads of [true, false]) {
        it(`run vCPUs ${vcpuThreads ? 'on a thread each unless' : 'in turn where'} the configuration says so`, async () => {
            const { begun } = VcpuThread.prototype;
            const threads = new Set<number>();
            VcpuThread.prototype.begun = function () {
                begun.call(this);
                threads.add(this.vcpu);
            };
            try {
                const session = await launch({ engine: 'kvm', cpus: 2, ...(vcpuThreads ? {} : { vcpuThreads }) });
                assert.equal((await session.run('continue')).reason, 'function breakpoint');
                await session.request('setFunctionBreakpoints', { breakpoints: [] });
                const ended = session.next('terminated');
                await session.request('continue', { threadId: 1 });
                await ended;
                assert.equal(output(session), sampleOutput('pvh', { memory: 32, cpus: 2 }) + SAMPLE_END);
                assert.deepEqual([...threads].sort(), vcpuThreads ? [0, 1] : []);
            } finally {
                VcpuThread.prototype.begun = begun;
            }
        });
    }

    it('change at the first breakpoint where the configuration says so', async () => {
        const session = await launch({ engine: 'kvm', thenTranslate: true });
        const moved = session.next('hyperscope/engine');
        const stop = await session.run('continue');
        assert.equal(stop.reason, 'function breakpoint');
        assert.deepEqual((await moved).body, {
            engine: 'translator',
            reason: 'the guest has reached its first breakpoint',
        });
        assert.equal((await session.request<EngineBody>('hyperscope/engine')).engine, 'translator');
    });
});
