/** Pages of memory that are marked as written since the last stop. */
import assert from 'node:assert/strict';
import type { MemoryBody } from '../../src/messages/memory';
import { sampleElf } from '../support/sample';
import { InProcessClient } from './in-process';

describe('pages written since the last stop', () => {
    it('are marked where they are mapped, and nothing else is', async () => {
        const client = new InProcessClient();
        try {
            await client.launch({ kernel: sampleElf, memory: '64M' });
            await client.request('setFunctionBreakpoints', { breakpoints: [{ name: 'page_fault' }] });
            await client.run('configurationDone', {});
            await client.run('continue');
            const pages = async (address: string, count: number): Promise<MemoryBody['pages']> =>
                (await client.request<MemoryBody>('hyperscope/memory', { address, count })).pages;
            const marks = async (address: string, count: number): Promise<unknown[]> =>
                (await pages(address, count)).map(({ written }) => written);
            const [{ physical }] = await pages('rsp', 1);
            const page = Number(physical) & ~0xfff;
            const { target } = client.session;
            assert.deepEqual(await marks('phys:0', 0x1001), [undefined, undefined]);
            target.writtenPages = async () => new Set([0, page]);
            assert.deepEqual(await marks('phys:0', 0x1001), [true, undefined]);
            assert.deepEqual(await marks('rsp', 1), [true]);
            const gap = '0x7fff00000000';
            assert.equal((await pages(gap, 1))[0].kind, 'unmapped');
            assert.deepEqual(await marks(gap, 0x1001), [undefined, undefined]);
        } finally {
            await client.close();
        }
    });

    it('are asked for again once they are noted, or no more', async () => {
        const client = new InProcessClient();
        try {
            await client.launch({ kernel: sampleElf }, { supportsInvalidatedEvent: true });
            const actions: string[] = [];
            client.session.target.dirtyPages = async action => {
                actions.push(action);
                return [];
            };
            const says = (line: string): Promise<unknown> =>
                client.request('evaluate', { expression: line, context: 'repl' });
            for (const line of ['kvm log', 'kvm unlog']) {
                const invalidated = client.next('invalidated');
                await says(line);
                await invalidated;
            }
            await says('kvm dirty');
            assert.deepEqual(actions, ['start', 'end', 'take']);
            assert.equal(client.said('invalidated').length, 2);
        } finally {
            await client.close();
        }
    });
});
