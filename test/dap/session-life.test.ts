import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { createGuest } from '../../src/dap/guest';
import { GuestRegistry } from '../../src/dap/guest-registry';
import { projectRoot } from '../support/project';
import { type ENDINGS } from './guest';
import { guestFolder } from './guest-folder';
import { InProcessClient } from './in-process';

describe('the life of a session', () => {
    const at = guestFolder();
    let clients: InProcessClient[] = [];
    const kernel = (ending: keyof typeof ENDINGS): string => at(`${ending}.elf`);
    const connect = (...args: ConstructorParameters<typeof InProcessClient>): InProcessClient => {
        const client = new InProcessClient(...args);
        clients.push(client);
        return client;
    };

    afterEach(async () => {
        await Promise.all(clients.map(client => client.close()));
        clients = [];
    });

    it('announces the process, its modules and its vCPUs, and takes them back', async () => {
        const client = connect();
        await client.launch({ kernel: kernel('spin'), cpus: 2, memory: '16M' });
        assert.deepEqual(client.said('process'), [
            { name: 'spin.elf', isLocalProcess: true, startMethod: 'launch', pointerSize: 64 },
        ]);
        assert.deepEqual(
            client.said('module').map(({ reason, module }) => [reason, (module as DebugProtocol.Module).name]),
            [['new', 'spin.elf']],
        );
        assert.deepEqual(client.said('thread'), [
            { reason: 'started', threadId: 1 },
            { reason: 'started', threadId: 2 },
        ]);
        const terminated = client.next('terminated');
        await client.request('terminate');
        await terminated;
        assert.deepEqual(client.said('thread').slice(2), [
            { reason: 'exited', threadId: 1 },
            { reason: 'exited', threadId: 2 },
        ]);
        assert.deepEqual(client.said('module').at(-1)?.reason, 'removed');
    });

    it('restarts with an edited configuration, keeps its breakpoints and says that the guest runs', async () => {
        const client = connect();
        await client.launch({ kernel: kernel('exit') });
        await client.request('setFunctionBreakpoints', { breakpoints: [{ name: 'print' }] });
        await client.run('configurationDone', {});
        const first = await client.run('continue');
        assert.deepEqual(first.hitBreakpointIds, [1]);
        const again = client.next('continued');
        const stop = await client.run('restart', {
            arguments: { kernel: kernel('spin'), memory: '2M', stopOnEntry: false },
        });
        assert.deepEqual((await again).body, { threadId: 1, allThreadsContinued: true });
        assert.deepEqual(stop.hitBreakpointIds, [1]);
        const { modules } = await client.request<DebugProtocol.ModulesResponse['body']>('modules', {});
        assert.deepEqual(
            modules.map(({ name }) => name),
            ['spin.elf'],
        );
        // A configuration that cannot be leaves the guest that there is.
        assert.match(await client.refusal('restart', { arguments: { kernel: 'missing' } }), /no such file/);
        const { stackFrames } = await client.request<DebugProtocol.StackTraceResponse['body']>('stackTrace', {
            threadId: 1,
        });
        assert.equal(stackFrames[0].name, 'print');
    });

    it('leaves a guest running for another session to attach to', async () => {
        const registry = new GuestRegistry();
        const first = connect({ registry });
        const { supportTerminateDebuggee } = await first.request<DebugProtocol.Capabilities>('initialize', {});
        assert.equal(supportTerminateDebuggee, true);
        await first.launch({ kernel: kernel('spin'), stopOnEntry: false });
        await first.request('configurationDone');
        await first.request('disconnect', { terminateDebuggee: false });

        const second = connect({ registry });
        await second.request('initialize', {});
        assert.match(
            await second.refusal('attach', { guest: 'other.elf' }),
            /there is no 'other.elf': there are spin.elf/,
        );
        await second.request('attach', { stopOnEntry: true });
        assert.equal(second.said('process')[0].startMethod, 'attach');
        const stop = await second.run('configurationDone', {});
        assert.equal(stop.reason, 'pause');
        const { result } = await second.request<{ result: string }>('evaluate', { expression: 'ebx' });
        assert.notEqual(BigInt(result.split(' ')[0]), 0n);
        // Attached to, it outlives this session too, stopped as it is.
        await second.request('disconnect', { suspendDebuggee: true });

        const third = connect({ registry });
        await third.request('initialize', {});
        await third.request('attach', { guest: 'spin.elf' });
        assert.equal((await third.run('configurationDone', {})).reason, 'entry');
        const now = await third.request<{ result: string }>('evaluate', { expression: 'ebx' });
        assert.equal(now.result, result);
        await third.request('disconnect', { terminateDebuggee: true });

        const fourth = connect({ registry });
        assert.match(await fourth.refusal('attach', {}), /nothing to attach to/);
    });

    it('leaves nothing behind that would stop the guest', async () => {
        const registry = new GuestRegistry();
        const first = connect({ registry });
        await first.launch({ kernel: kernel('spin') });
        await first.request('setDataBreakpoints', { breakpoints: [{ dataId: '0x70000:4', accessType: 'write' }] });
        await first.request('setExceptionBreakpoints', { filters: ['portOut'] });
        await first.run('configurationDone', {});
        await first.request('disconnect', { suspendDebuggee: true, terminateDebuggee: false });

        const second = connect({ registry });
        await second.request('initialize', {});
        await second.request('attach', {});
        await second.request('setFunctionBreakpoints', { breakpoints: [{ name: 'spin' }] });
        const entry = await second.run('configurationDone', {});
        assert.deepEqual([entry.reason, entry.description], ['entry', 'Attached']);
        const stop = await second.run('continue');
        assert.equal(stop.reason, 'function breakpoint');
    });

    it('says that a guest has ended while nobody was attached', async () => {
        const registry = new GuestRegistry();
        const first = connect({ registry });
        await first.launch({ kernel: kernel('exit') });
        await first.run('configurationDone', {});
        const ended = first.next('terminated');
        await first.request('continue');
        await ended;
        await first.request('disconnect', { terminateDebuggee: false });

        const second = connect({ registry });
        await second.request('initialize', {});
        await second.request('attach', { stopOnEntry: false });
        const terminated = second.next('terminated');
        await second.request('configurationDone');
        await terminated;
    });

    it('ends as the client has said, whatever it says behind that', async () => {
        const registry = new GuestRegistry();
        const client = connect({ registry });
        await client.launch({ kernel: kernel('spin') });
        await client.run('configurationDone', {});
        const search = client.send('hyperscope/searchMemory', { pattern: '12 34 56', space: 'physical' });
        const disconnect = client.send('disconnect', { terminateDebuggee: true });
        client.send('terminate');
        await search.answer;
        assert.equal((await disconnect.answer).success, true);
        assert.throws(() => registry.take(undefined), /nothing to attach to/);
    });

    it('keeps the guest of a client that vanishes', async () => {
        const registry = new GuestRegistry();
        const first = connect({ registry });
        await first.launch({ kernel: kernel('spin') });
        await first.run('configurationDone', {});
        first.input.destroy();
        await new Promise(resolve => setTimeout(resolve, 50));
        assert.ok(first.isClosed);
        const second = connect({ registry });
        await second.request('attach', {});
        assert.equal((await second.run('configurationDone', {})).reason, 'entry');
    });

    it('does not promise that a guest outlives the adapter itself', async () => {
        const client = connect();
        const { supportTerminateDebuggee } = await client.request<DebugProtocol.Capabilities>('initialize', {});
        assert.equal(supportTerminateDebuggee, false);
        await client.launch({ kernel: kernel('spin') });
        assert.match(await client.refusal('disconnect', { terminateDebuggee: false }), /dap --listen/);
    });

    it('tells what a guest can do differently', async () => {
        const client = connect({
            createGuest: (...args) => ({
                ...createGuest(...args),
                capabilities: { supportsDisassembleRequest: false },
            }),
        });
        await client.launch({ kernel: kernel('spin') });
        assert.deepEqual(client.said('capabilities'), [{ capabilities: { supportsDisassembleRequest: false } }]);
    });

    it('does not tell of a stop of a guest that has gone meanwhile', async () => {
        let letGo = (): void => undefined;
        const gate = new Promise<void>(resolve => (letGo = resolve));
        let asked = (): void => undefined;
        const isAsked = new Promise<void>(resolve => (asked = resolve));
        const client = connect({
            createGuest: (...args) => {
                const guest = createGuest(...args);
                const { target } = guest;
                const evaluate = target.evaluate.bind(target);
                // What VS Code is told of a stop depends on where it was.
                target.evaluate = async (...what) => {
                    asked();
                    await gate;
                    return evaluate(...what);
                };
                return guest;
            },
        });
        await client.request('initialize', { adapterID: 'hyperscope', clientID: 'vscode' });
        await client.request('launch', { kernel: kernel('spin'), stopOnEntry: true });
        await client.request('configurationDone');
        await isAsked;
        await client.request('terminate');
        const listed = client.next('loadedSource');
        letGo();
        await listed;
        await client.request('threads');
        assert.deepEqual(
            client.events.map(({ event }) => event).filter(event => event === 'stopped' || event === 'output'),
            [],
        );
    });

    it('writes a log if asked for', async () => {
        const logFile = at('session.log');
        const client = connect();
        assert.match(await client.refusal('launch', { kernel: kernel('spin'), logFile: at() }), /^logFile: /);
        await client.launch({ kernel: kernel('spin'), logFile });
        await client.run('configurationDone', {});
        await client.close();
        await new Promise(resolve => setTimeout(resolve, 20));
        const text = readFileSync(logFile, 'utf8');
        assert.match(text, /-> .*"command":"configurationDone"/);
        assert.match(text, /<- event stopped .*"reason":"entry"/);
    });

    it('survives a defect of the emulator: reports it with the log, and the guest can still be looked at', async () => {
        let fail = false;
        const logFile = at('defect.log');
        const client = connect({
            createGuest: (...args) => {
                const guest = createGuest(...args);
                const { target } = guest;
                const resume = target.resume.bind(target);
                target.resume = async () => {
                    await resume();
                    if (fail) target.listener!.failed(new Error('a handler that does not exist'));
                };
                return guest;
            },
        });
        await client.launch({ kernel: kernel('spin'), logFile });
        await client.run('configurationDone', {});
        fail = true;
        const stopped = client.next('stopped');
        const told = client.next('output');
        await client.request('continue', { threadId: 1 });
        assert.match(String((await stopped).body.text), /the guest is as it was left/);
        const { output } = (await told).body;
        const report = readFileSync(/(\/\S+\.log)/.exec(String(output))![1], 'utf8');
        assert.match(report, /a handler that does not exist[\s\S]*vCPU 0[\s\S]*rip=0x[\s\S]*"command":"continue"/);
        await client.request('variables', { variablesReference: 1 }).catch(() => undefined);
        assert.ok((await client.request<{ scopes: unknown[] }>('scopes', { frameId: 1 })).scopes.length > 5);
    });

    it('ends with a client that was killed', async () => {
        const main = path.join(projectRoot, 'out', 'src', 'dap', 'main.js');
        const adapter: ChildProcess = spawn(process.execPath, [main], { stdio: ['pipe', 'pipe', 'ignore'] });
        const send = (seq: number, command: string, args: object = {}): void => {
            const text = JSON.stringify({ seq, type: 'request', command, arguments: args });
            adapter.stdin!.write(`Content-Length: ${text.length}\r\n\r\n${text}`);
        };
        try {
            send(1, 'initialize', { adapterID: 'hyperscope' });
            send(2, 'launch', { kernel: kernel('spin'), memory: '16M', stopOnEntry: false });
            send(3, 'configurationDone');
            let said = '';
            await new Promise<void>(resolve =>
                adapter.stdout!.on('data', data => {
                    said += String(data);
                    if (said.includes('"request_seq":3')) resolve();
                }),
            );
            // Nobody listens any more, before the adapter can know that nobody talks.
            adapter.stdout!.destroy();
            send(4, 'threads');
            const ended = new Promise(resolve => adapter.on('exit', resolve));
            adapter.stdin!.end();
            assert.equal(await ended, 0);
        } finally {
            adapter.kill('SIGKILL');
        }
    });

    it('answers on after an exception that nobody caught', async () => {
        const server = path.join(projectRoot, 'out', 'src', 'dap', 'server.js');
        const script = `require(${JSON.stringify(server)}).runDapServer([]).then(s => process.exit(s));
            setTimeout(() => { throw new Error('thrown out of nowhere'); }, 100);`;
        const adapter: ChildProcess = spawn(process.execPath, ['-e', script], { stdio: ['pipe', 'pipe', 'ignore'] });
        let said = '';
        adapter.stdout!.on('data', data => (said += String(data)));
        const until = async (text: string): Promise<void> => {
            for (let turn = 0; turn < 500 && !said.includes(text); turn++) {
                await new Promise(resolve => setTimeout(resolve, 20));
            }
            assert.ok(said.includes(text), `'${text}' is missing in ${said}`);
        };
        const send = (seq: number, command: string): void => {
            const text = JSON.stringify({ seq, type: 'request', command });
            adapter.stdin!.write(`Content-Length: ${text.length}\r\n\r\n${text}`);
        };
        await until('thrown out of nowhere');
        send(1, 'threads');
        await until('"request_seq":1');
        rmSync(/(\/\S+?\.log)/.exec(said)![1]);
        send(2, 'disconnect');
        assert.equal(await new Promise(resolve => adapter.on('exit', resolve)), 0);
    });
});
