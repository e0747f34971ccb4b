/** Debian's kernel on QEMU, under the debugger through QEMU's gdb stub. */
import assert from 'node:assert/strict';
import path from 'node:path';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { debugKernel, guestFiles, guestsDirectory, needs, tool } from '../support/requirements';
import { InProcessClient } from '../dap/in-process';
import { type StubGuest, startStub } from '../dap/stub-guests';

const KERNEL = path.join(guestsDirectory, 'vmlinuz-cloud');
const INITRD = path.join(guestsDirectory, 'initrd-busybox.cpio.gz');
const SYMBOLS = path.join(guestsDirectory, 'vmlinux-cloud');

describe('Linux on QEMU, attached to', function () {
    this.timeout(120_000);
    let guest: StubGuest | undefined;
    let client: InProcessClient | undefined;

    before(function () {
        needs(this, debugKernel, guestFiles('vmlinuz-cloud', 'initrd-busybox.cpio.gz'), tool('qemu-system-x86_64'));
    });

    afterEach(async () => {
        await client?.close();
        await guest?.kill();
        client = guest = undefined;
    });

    for (const [name, parameters] of Object.entries({ 'where it was linked to': 'nokaslr', 'at a random place': '' })) {
        it(`has source, variables, page tables and tasks ${name}`, async () => {
            guest = await startStub('QEMU', KERNEL, {
                qemu: ['-m', '256', '-initrd', INITRD, '-append', `console=ttyS0 ${parameters}`],
            });
            client = new InProcessClient();
            await client.request('initialize', { adapterID: 'hyperscope' });
            const initialized = client.next('initialized');
            await client.request('attach', { target: guest.port, symbols: [SYMBOLS], stopOnEntry: true });
            await initialized;
            await client.request('setFunctionBreakpoints', { breakpoints: [{ name: 'kernel_execve' }] });
            await client.run('configurationDone');
            assert.equal((await client.run('continue')).reason, 'function breakpoint');
            const { stackFrames } = await client.request<{ stackFrames: DebugProtocol.StackFrame[] }>('stackTrace', {
                threadId: 1,
            });
            assert.deepEqual([stackFrames[0].name, stackFrames[0].source?.name], ['kernel_execve', 'exec.c']);
            assert.match(stackFrames.at(-1)!.name, /^ret_from_fork/);
            const { result } = await client.request<{ result: string }>('evaluate', { expression: 'init_task.comm' });
            assert.equal(result, '"swapper/0"');
            const { processes } = await client.request<{ processes: { pid: number; name: string }[] }>(
                'hyperscope/linuxTasks',
            );
            assert.equal(processes.find(({ pid }) => pid === 2)?.name, 'kthreadd');
            const walk = await client.request<{ mode: string; symbol?: string }>('hyperscope/pageWalk', {
                vcpu: 0,
                address: 'kernel_execve',
            });
            assert.deepEqual([walk.mode, walk.symbol], ['4-level', 'kernel_execve']);
        });
    }
});
