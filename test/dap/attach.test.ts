/** Sessions on guests behind gdb stubs. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { DebugProtocol } from '@vscode/debugprotocol';
import type { RegistersBody } from '../../src/messages/registers';
import { needs, tool } from '../support/requirements';
import { sampleElf } from '../support/sample';
import { guestImage } from './guest';
import { InProcessClient } from './in-process';
import { type StubGuest, startStub, type StubKind } from './stub-guests';

type Frame = DebugProtocol.StackFrame;

async function attach(port: number, attributes: object = {}): Promise<InProcessClient> {
    const client = new InProcessClient();
    await client.request('initialize', { adapterID: 'hyperscope' });
    const initialized = client.next('initialized');
    await client.request('attach', { target: `127.0.0.1:${port}`, symbols: [sampleElf], ...attributes });
    await initialized;
    return client;
}

/** Attached, stopped, with breakpoints at functions. */
async function attachStopped(port: number, functions: readonly string[] = []): Promise<InProcessClient> {
    const client = await attach(port, { stopOnEntry: true });
    await breakAt(client, functions);
    await client.run('configurationDone');
    return client;
}

async function breakAt(client: InProcessClient, functions: readonly string[]): Promise<void> {
    await client.request('setFunctionBreakpoints', { breakpoints: functions.map(name => ({ name })) });
}

async function frames(client: InProcessClient, threadId = 1): Promise<Frame[]> {
    return (await client.request<{ stackFrames: Frame[] }>('stackTrace', { threadId })).stackFrames;
}

async function functions(client: InProcessClient): Promise<string[]> {
    return (await frames(client)).map(({ name }) => name.replace(/\+.*/, ''));
}

async function value(client: InProcessClient, expression: string, context = 'watch'): Promise<string> {
    const { result } = await client.request<{ result: string }>('evaluate', { expression, frameId: 1, context });
    return result;
}

for (const kind of ['our own server', 'QEMU'] as const satisfies readonly StubKind[]) {
    describe(`a session attached to ${kind}`, function () {
        this.timeout(60_000);
        let guest: StubGuest | undefined;
        let client: InProcessClient | undefined;

        let folder: string | undefined;

        before(function () {
            if (kind === 'QEMU') needs(this, tool('qemu-system-x86_64'));
            folder = mkdtempSync(path.join(os.tmpdir(), 'hyperscope-attach-'));
            writeFileSync(path.join(folder, 'spin.elf'), guestImage('spin'));
        });

        after(() => {
            if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
        });

        afterEach(async () => {
            await client?.close();
            await guest?.kill();
            client = guest = undefined;
        });

        const start = async (more: { cpus?: number } = {}): Promise<StubGuest> =>
            (guest = await startStub(kind, sampleElf, more));

        it('runs to a function, and steps by lines into, over and out', async () => {
            client = await attachStopped((await start()).port, ['run_workload']);
            assert.equal((await client.run('continue')).reason, 'function breakpoint');
            const [innermost, caller] = await frames(client);
            assert.deepEqual([innermost.name, innermost.source?.name], ['run_workload', 'workload.c']);
            assert.equal(caller.name.replace(/\+.*/, ''), 'kernel_main');
            await client.run('next');
            await client.run('next');
            await client.run('stepIn');
            assert.deepEqual((await functions(client)).slice(0, 2), ['run_recursion', 'run_workload']);
            await client.run('stepOut');
            assert.deepEqual((await functions(client)).slice(0, 1), ['run_workload']);
            const before = BigInt((await frames(client))[0].instructionPointerReference!);
            await client.run('stepIn', { threadId: 1, granularity: 'instruction' });
            assert.notEqual(BigInt((await frames(client))[0].instructionPointerReference!), before);
        });

        it('shows registers, variables and memory, and changes them', async () => {
            client = await attachStopped((await start()).port, ['run_workload']);
            await client.run('continue');
            assert.match(await value(client, 'rip'), /<run_workload>/);
            assert.equal(await value(client, 'rbx = 0x1234', 'repl'), '0x1234 (4660)');
            assert.equal(await value(client, 'bx'), '0x1234 (4660)');
            await value(client, 'u64[rsp - 64] = 0x1122334455667788', 'repl');
            assert.equal(await value(client, 'u32[rsp - 60]'), '0x11223344 (287454020)');
            // An assignment whose memory has to be fetched first is made once.
            await value(client, 'r12 = 1', 'repl');
            await value(client, 'r12 = r12 + u8[run_workload] - u8[run_workload]', 'repl');
            assert.equal(await value(client, 'r12'), '0x1');
            await client.request('setExpression', { expression: 'u8[rsp - 64]', value: '0x42', frameId: 1 });
            assert.equal(await value(client, 'u16[rsp - 64]'), '0x7742 (30530)');
            const { groups } = await client.request<RegistersBody>('hyperscope/registers');
            const all = groups.flatMap(({ registers }) => registers);
            assert.equal(all.find(({ name }) => name === 'cr0')?.value, '0x80010011');
            assert.match(all.find(({ name }) => name === 'cs')?.description ?? '', /code 64-bit .* ring 0/);
            const unknown = all.find(({ name }) => name === 'xcr0');
            assert.match(unknown?.problem ?? '', /does not tell/);
            assert.match(
                await client.refusal('hyperscope/setRegister', { name: 'xcr0', value: '1' }),
                /cannot be written/,
            );
            assert.match(await client.refusal('evaluate', { expression: 'xcr0', frameId: 1 }), /does not tell/);
        });

        it('stops at conditions and watchpoints, and logs', async () => {
            client = await attachStopped((await start()).port);
            await client.request('setFunctionBreakpoints', {
                breakpoints: [
                    { name: 'allocate_page', hitCondition: '3' },
                    { name: 'console_write', logMessage: 'writes {u8[rdi]}' },
                    { name: 'run_workload', condition: 'rip == run_workload && 0 == 1' },
                ],
            });
            const { hitBreakpointIds } = await client.run('continue');
            assert.equal((hitBreakpointIds as number[]).length, 1);
            assert.deepEqual((await functions(client)).slice(0, 1), ['allocate_page']);
            await breakAt(client, ['run_workload']);
            await client.run('continue');
            assert.match(
                client
                    .said('output')
                    .map(({ output }) => output)
                    .join(''),
                /writes 0x[0-9a-f]+/,
            );
            const dataId = (
                await client.request<{ dataId: string }>('dataBreakpointInfo', {
                    name: 'rsp - 8',
                    asAddress: true,
                    bytes: 8,
                    frameId: 1,
                })
            ).dataId;
            const { breakpoints } = await client.request<{ breakpoints: DebugProtocol.Breakpoint[] }>(
                'setDataBreakpoints',
                { breakpoints: [{ dataId, accessType: 'write' }] },
            );
            assert.equal(breakpoints[0].verified, true, breakpoints[0].message);
            const stop = await client.run('continue');
            assert.equal(stop.reason, 'data breakpoint');
            assert.match(String(stop.text), /write of 8 bytes at 0xffffffff8010[0-9a-f]+: 0x[0-9a-f]+ → 0x[0-9a-f]+/);
        });

        it('shows page tables, descriptor tables and physical memory', async () => {
            client = await attachStopped((await start()).port, ['run_workload']);
            await client.run('continue');
            const walk = await client.request<{ mode: string }>('hyperscope/pageWalk', {
                vcpu: 0,
                address: 'run_workload',
            });
            assert.equal(walk.mode, '4-level');
            const linear = await client.request<{ data: string }>('readMemory', {
                memoryReference: (await value(client, 'rip')).split(' ')[0],
                count: 16,
            });
            const translated = await client.request<{ mapping: { physical: string } }>('hyperscope/translateAddress', {
                address: 'run_workload',
            });
            const physical = await client.request<{ data: string }>('readMemory', {
                memoryReference: `phys:${translated.mapping.physical}`,
                count: 16,
            });
            assert.equal(physical.data, linear.data);
            const tables = await client.request<{ gdt: { entries: { text: string }[] } }>(
                'hyperscope/descriptorTables',
                {
                    vcpu: 0,
                },
            );
            assert.match(JSON.stringify(tables.gdt), /code/);
        });

        it('pauses a guest that runs, also for those who want to look, and takes breakpoints meanwhile', async () => {
            const spin = path.join(folder!, 'spin.elf');
            guest = await startStub(kind, spin);
            client = await attach(guest.port, { stopOnEntry: false, symbols: [spin] });
            await client.request('configurationDone');
            // Whoever looks stops the guest for a moment only.
            assert.match(await value(client, 'rip'), /^0x/);
            assert.match(await value(client, 'cr0'), /^0x/);
            assert.equal(client.said('stopped').length, 0);
            const stopped = client.next('stopped');
            await breakAt(client, ['spin']);
            assert.equal((await stopped).body.reason, 'function breakpoint');
            await breakAt(client, []);
            await client.request('continue', { threadId: 1 });
            assert.equal((await client.run('pause')).reason, 'pause');
        });

        it('has a thread a vCPU', async () => {
            client = await attachStopped((await start({ cpus: 2 })).port, ['run_workload']);
            const { threads } = await client.request<{ threads: DebugProtocol.Thread[] }>('threads');
            assert.equal(threads.length, 2);
            await client.run('continue');
            const [first] = await frames(client, 1);
            const [second] = await frames(client, 2);
            assert.notEqual(first.instructionPointerReference, second.instructionPointerReference);
        });

        it('leaves the guest running or stopped, and another session attaches', async () => {
            const { port } = await start();
            client = await attachStopped(port, ['run_workload']);
            await client.run('continue');
            const place = await value(client, 'rip');
            await client.send('disconnect', { terminateDebuggee: false, suspendDebuggee: true }).answer;
            client = await attachStopped(port);
            assert.equal(await value(client, 'rip'), place);
            // A host that has other things to do may not have come to the guest before the next debugger does.
            let now = place;
            for (let tries = 0; now === place && tries < 50; tries++) {
                await client.send('disconnect', { terminateDebuggee: false }).answer;
                client = await attachStopped(port);
                now = await value(client, 'rip');
            }
            assert.notEqual(now, place);
        });

        it('ends the guest when asked to', async () => {
            const { port, ended } = await start();
            client = await attachStopped(port);
            await client.send('disconnect', { terminateDebuggee: true }).answer;
            await ended;
        });

        it('says that the guest has vanished, and finds it again', async () => {
            const { port, kill } = await start();
            client = await attachStopped(port, ['run_workload']);
            const lost = client.next('stopped');
            await kill();
            assert.match(JSON.stringify((await lost).body), /restart the session to connect again/);
            assert.match(await client.refusal('stackTrace', { threadId: 1 }), /connect again/);
            assert.match(await client.refusal('restart'), /nobody listens there/);
            guest = await startStub(kind, sampleElf, { port });
            await client.run('restart');
            assert.equal((await client.run('continue')).reason, 'function breakpoint');
            assert.deepEqual((await functions(client)).slice(0, 1), ['run_workload']);
        });

        it('tells VS Code, too, that the guest has vanished, and takes it for no defect', async () => {
            const { port, kill } = await start();
            client = new InProcessClient();
            await client.request('initialize', { adapterID: 'hyperscope', clientID: 'vscode' });
            await client.request('attach', { target: `127.0.0.1:${port}`, stopOnEntry: true });
            await breakAt(client, ['0xfffff00000']);
            await client.run('configurationDone');
            const lost = client.next('stopped');
            await kill();
            assert.match(JSON.stringify((await lost).body), /restart the session to connect again/);
            const { threads } = await client.request<DebugProtocol.ThreadsResponse['body']>('threads');
            assert.deepEqual(threads, [{ id: 1, name: 'vCPU 0' }]);
            assert.doesNotMatch(JSON.stringify(client.said('output')), /defect/);
        });

        it('resets the guest', async () => {
            client = await attachStopped((await start()).port, ['run_workload']);
            await client.run('continue');
            assert.equal((await client.run('restart')).reason, 'entry');
            assert.doesNotMatch(await value(client, 'rip'), /run_workload/);
            assert.equal((await client.run('continue')).reason, 'function breakpoint');
        });
    });
}

describe('attaching', function () {
    this.timeout(60_000);

    it('to two guests at once leaves each to its own session', async () => {
        const guests = await Promise.all([
            startStub('our own server', sampleElf),
            startStub('our own server', sampleElf, { cpus: 2 }),
        ]);
        const clients: InProcessClient[] = [];
        try {
            for (const { port } of guests) clients.push(await attachStopped(port, ['run_workload']));
            const [first, second] = clients;
            await Promise.all(clients.map(client => client.run('continue')));
            // What one changes, sets and steps is no matter of the other.
            await value(first, 'rbx = 0x1234', 'repl');
            await value(second, 'rbx = 0x5678', 'repl');
            await breakAt(first, ['run_recursion']);
            await breakAt(second, ['run_threads']);
            await Promise.all([first.run('next'), second.run('stepIn', { threadId: 1, granularity: 'instruction' })]);
            assert.match(await value(second, 'rbx'), /^0x5678 /);
            const stops = await Promise.all(clients.map(client => client.run('continue')));
            assert.deepEqual(
                stops.map(({ reason }) => reason),
                ['function breakpoint', 'function breakpoint'],
            );
            assert.deepEqual((await functions(first))[0], 'run_recursion');
            assert.deepEqual((await functions(second))[0], 'run_threads');
            const threads = clients.map(client => client.request<{ threads: unknown[] }>('threads'));
            assert.deepEqual(
                (await Promise.all(threads)).map(body => body.threads.length),
                [1, 2],
            );
            // A stub has one debugger at a time.
            const third = new InProcessClient();
            clients.push(third);
            await third.request('initialize', { adapterID: 'hyperscope' });
            const target = `127.0.0.1:${guests[0].port}`;
            assert.match(await third.refusal('attach', { target }), /is another debugger attached to it/);
            // The end of one guest is not that of the other.
            const lost = first.next('stopped');
            await guests[0].kill();
            assert.match(JSON.stringify((await lost).body), /connection lost|connect again/);
            assert.match(await value(second, 'rip'), /run_threads/);
        } finally {
            for (const client of clients) await client.close();
            for (const { kill } of guests) await kill();
        }
    });

    it('to nobody is refused in words', async () => {
        const client = new InProcessClient();
        await client.request('initialize', { adapterID: 'hyperscope' });
        assert.match(
            await client.refusal('attach', { target: '127.0.0.1:1' }),
            /no gdb stub at 127\.0\.0\.1:1: nobody/,
        );
        assert.match(await client.refusal('attach', { target: 'nowhere' }), /target: takes the port or HOST:PORT/);
        await client.close();
    });
});
