/** A session and a gdb on one guest, by the launch attribute gdbServer. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import net, { type AddressInfo } from 'node:net';
import { DebugClient } from '@vscode/debugadapter-testsupport';
import type { DebugProtocol } from '@vscode/debugprotocol';
import path from 'node:path';
import { freePort } from '../support/ports';
import { projectRoot } from '../support/project';
import { needs, tool } from '../support/requirements';
import { sampleElf, sampleRom } from '../support/sample';
import { InProcessClient } from './in-process';

const ADAPTER = path.join(projectRoot, 'out', 'src', 'dap', 'main.js');

function gdb(port: number, commands: readonly string[]): Promise<string> {
    const args = ['set confirm off', 'set pagination off', `target remote 127.0.0.1:${port}`, ...commands];
    const child = spawn('gdb', ['-nx', '-q', '-batch', sampleElf, ...args.flatMap(command => ['-ex', command])]);
    let output = '';
    child.stdout.on('data', (text: Buffer) => (output += text.toString()));
    return new Promise(resolve => child.on('close', () => resolve(output)));
}

describe('a session with a server for gdb', function () {
    this.timeout(60_000);
    let client: DebugClient;

    beforeEach(async () => {
        client = new DebugClient(process.execPath, ADAPTER, 'hyperscope');
        client.defaultTimeout = 30_000;
        await client.start();
        await client.initializeRequest();
    });

    afterEach(() => client.stop());

    async function launch(gdbServer: unknown): Promise<void> {
        const initialized = client.waitForEvent('initialized');
        const launched = client.launchRequest({
            firmware: sampleRom,
            symbols: sampleElf,
            stopOnEntry: true,
            gdbServer,
        } as unknown as DebugProtocol.LaunchRequestArguments);
        await initialized;
        const stopped = client.waitForEvent('stopped');
        await client.configurationDoneRequest();
        await launched;
        await stopped;
    }

    function outputHas(text: string): Promise<void> {
        return new Promise(resolve => {
            client.on('output', (event: DebugProtocol.OutputEvent) => {
                if (event.body.output.includes(text)) resolve();
            });
        });
    }

    it('shares the guest: each has its own breakpoints, and sees what the other does', async function () {
        needs(this, tool('gdb'));
        const port = await freePort();
        const listening = outputHas(`gdb can attach: target remote 127.0.0.1:${port}`);
        await launch(port);
        await listening;
        const continued = client.waitForEvent('continued');
        const stopped = client.waitForEvent('stopped') as Promise<DebugProtocol.StoppedEvent>;
        const output = await gdb(port, ['break kernel_main', 'continue', 'disconnect']);

        assert.match(output, /Breakpoint 1, kernel_main/);
        await continued;
        await stopped;
        const { stackFrames } = (await client.stackTraceRequest({ threadId: 1 })).body;
        assert.match(stackFrames[0].name, /^kernel_main/);
        // gdb has left, and its breakpoint with it; ours is our own.
        await client.setFunctionBreakpointsRequest({ breakpoints: [{ name: 'task_create' }] });
        const hit = client.waitForEvent('stopped') as Promise<DebugProtocol.StoppedEvent>;
        await client.continueRequest({ threadId: 1 });
        assert.equal((await hit).body.reason, 'function breakpoint');
    });

    it('says if it cannot listen, and goes on without', async () => {
        const busy = net.createServer();
        await new Promise<void>(resolve => busy.listen(0, '127.0.0.1', resolve));
        try {
            const { port } = busy.address() as AddressInfo;
            const told = outputHas(
                `cannot listen for gdb at 127.0.0.1:${port}: EADDRINUSE: something else listens there, choose another port`,
            );
            await launch(port);
            await told;
            const { stackFrames } = (await client.stackTraceRequest({ threadId: 1 })).body;
            assert.match(stackFrames[0].name, /reset_vector/);
        } finally {
            busy.close();
        }
    });

    it('listens again at the same port after a restart', async () => {
        const session = new InProcessClient();
        /** Where gdb can attach to the first guest, or the second, or what keeps it from that. */
        const address = (guest: number): Promise<string> =>
            new Promise(resolve => {
                session.onMessage = () => {
                    const said = session.said('output').map(({ output }) => String(output));
                    const found = said.filter(text => /gdb can attach|cannot listen/.test(text)).at(guest);
                    if (found !== undefined) resolve(found.replace('gdb can attach: target remote', '').trim());
                };
                session.onMessage();
            });
        try {
            await session.launch({ firmware: sampleRom, gdbServer: '127.0.0.1:0' });
            const gdbServer = await address(0);
            await session.run('configurationDone', {});
            await session.run('restart', { arguments: { firmware: sampleRom, memory: '2M', gdbServer } });
            assert.equal(await address(1), gdbServer);
        } finally {
            await session.close();
        }
    });
});
