import assert from 'node:assert/strict';
import path from 'node:path';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { sampleElf } from '../support/sample';
import { InProcessClient } from './in-process';

describe('steps by line', () => {
    let client: InProcessClient;

    beforeEach(async () => {
        client = new InProcessClient();
        await client.launch({ kernel: sampleElf, memory: '64M' });
        await client.run('configurationDone', {});
    });

    afterEach(() => client.close());

    const runTo = async (name: string): Promise<void> => {
        await client.request('setFunctionBreakpoints', { breakpoints: [{ name }] });
        await client.run('continue');
        await client.request('setFunctionBreakpoints', { breakpoints: [] });
    };
    const step = async (command: string): Promise<string> => {
        const { reason } = await client.run(command, { threadId: 1, granularity: 'statement' });
        assert.equal(reason, 'step');
        const { stackFrames } = await client.request<DebugProtocol.StackTraceResponse['body']>('stackTrace', {
            threadId: 1,
            levels: 1,
        });
        const [{ name, source, line }] = stackFrames;
        return `${name.replace(/\+0x.*/, '')} ${path.basename(source?.path ?? '?')}:${line}`;
    };

    it('go over calls from one line to the next', async () => {
        await runTo('kernel_main');
        const places: string[] = [];
        for (let count = 0; count < 6; count++) {
            places.push(await step('next'));
        }
        assert.deepEqual(
            places,
            [39, 41, 42, 43, 44, 45].map(line => `kernel_main main.c:${line}`),
        );
    });

    it('pass all that a recursion does, and end where its caller goes on', async () => {
        await runTo('run_recursion');
        assert.equal(await step('next'), 'run_recursion workload.c:101');
        assert.equal(await step('next'), 'run_recursion workload.c:102');
    });

    it('go into functions, behind their prologue, and out to the line of the call', async () => {
        await runTo('kernel_main');
        const places: string[] = [];
        for (const command of ['next', 'next', 'stepIn', 'stepIn', 'stepOut', 'next']) {
            places.push(`${command} ${await step(command)}`);
        }
        assert.deepEqual(places, [
            'next kernel_main main.c:39',
            'next kernel_main main.c:41',
            'stepIn print console.c:127',
            'stepIn print console.c:129',
            'stepOut kernel_main main.c:42',
            'next kernel_main main.c:43',
        ]);
    });
});
