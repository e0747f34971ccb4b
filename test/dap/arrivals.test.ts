/** Breakpoints at instructions where a vCPU stands without having been stopped there. */
import assert from 'node:assert/strict';
import { guestFolder } from './guest-folder';
import { InProcessClient } from './in-process';

const bytes = (hex: string): string => Buffer.from(hex.replace(/ /g, ''), 'hex').toString('base64');

describe('breakpoints where a vCPU stands', () => {
    const at = guestFolder();
    let client: InProcessClient;

    beforeEach(() => {
        client = new InProcessClient();
    });

    afterEach(() => client.close());

    const launch = (attributes: object): Promise<void> => client.launch({ kernel: at('spin.elf'), ...attributes });

    it('stop a guest that does not stop on entry at its first instruction, once', async () => {
        await launch({ stopOnEntry: false });
        await client.request('setFunctionBreakpoints', { breakpoints: [{ name: 'start' }, { name: 'print' }] });
        assert.deepEqual((await client.run('configurationDone', {})).hitBreakpointIds, [1]);
        assert.deepEqual((await client.run('continue')).hitBreakpointIds, [2]);
        const again = await client.run('restart', {
            arguments: { kernel: at('spin.elf'), memory: '2M', stopOnEntry: false },
        });
        assert.deepEqual(again.hitBreakpointIds, [1]);
    });

    it('do not stop a guest again where the entry was shown, nor where its user has put it', async () => {
        await launch({ stopOnEntry: true });
        await client.request('setFunctionBreakpoints', { breakpoints: [{ name: 'start' }, { name: 'print' }] });
        assert.equal((await client.run('configurationDone', {})).reason, 'entry');
        assert.deepEqual((await client.run('continue')).hitBreakpointIds, [2]);
        await client.request('gotoTargets', { source: { name: 'start' }, line: 1 });
        assert.equal((await client.run('goto', { threadId: 1, targetId: 1 })).reason, 'goto');
        assert.deepEqual((await client.run('continue')).hitBreakpointIds, [2]);
        await client.request('evaluate', { expression: 'rip = start', context: 'repl' });
        assert.deepEqual((await client.run('continue')).hitBreakpointIds, [2]);
    });

    it('stop a vCPU that has got there while another one was stepped', async () => {
        await launch({ stopOnEntry: true, cpus: 2, memory: '16M' });
        await client.run('configurationDone', {});
        // mov dword [0xfee00300], INIT and start-up at 0x8000, to all but self; both vCPUs then spin.
        const send = 'c7 05 00 03 e0 fe 00 45 0c 00 c7 05 00 03 e0 fe 08 46 0c 00 eb fe';
        await client.request('writeMemory', { memoryReference: '0x9000', data: bytes(send) });
        await client.request('writeMemory', { memoryReference: '0x8000', data: bytes('90 eb fe') });
        await client.request('evaluate', { expression: 'rip = 0x9000', context: 'repl' });
        await client.run('stepIn');
        await client.run('stepIn');
        const { threads } = await client.request<{ threads: readonly { name: string }[] }>('threads');
        assert.equal(threads[1].name, 'vCPU 1');
        await client.request('setInstructionBreakpoints', { breakpoints: [{ instructionReference: '0x8000' }] });
        const stop = await client.run('continue');
        assert.deepEqual([stop.threadId, stop.hitBreakpointIds], [2, [1]]);
        // It has been there now: another step of the first one takes nothing away from that.
        await client.run('stepIn');
        await client.request('setInstructionBreakpoints', {
            breakpoints: [{ instructionReference: '0x8000' }, { instructionReference: '0x8001' }],
        });
        const next = await client.run('continue');
        assert.deepEqual([next.threadId, next.hitBreakpointIds], [2, [2]]);
    });
});
