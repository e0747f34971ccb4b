/** A Linux kernel that fails: stops at oops and panic, with what has happened in words. */
import assert from 'node:assert/strict';
import path from 'node:path';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { guestFiles, guestsDirectory, needs } from '../support/requirements';
import { TestClient } from './client';

/** The first process that reads it is made to fail, then the guest makes itself panic. */
const COMMAND = 'cat /proc/version; echo LIVES; echo c > /proc/sysrq-trigger';

describe('a Linux kernel that fails', function () {
    this.timeout(300_000);

    let client: TestClient;

    before(async function () {
        needs(this, guestFiles('vmlinuz-cloud', 'initrd-busybox.cpio.gz'));
        client = new TestClient(undefined, 240_000);
        await client.launch({
            kernel: path.join(guestsDirectory, 'vmlinuz-cloud'),
            initrd: path.join(guestsDirectory, 'initrd-busybox.cpio.gz'),
            append: `console=ttyS0 hs.cmd=${encodeURIComponent(COMMAND)}`,
            memory: '256M',
        });
    });

    after(() => client?.stop());

    const info = async (): Promise<DebugProtocol.ExceptionInfoResponse['body']> =>
        (await client.request<DebugProtocol.ExceptionInfoResponse['body']>('exceptionInfo', { threadId: 1 }))!;

    it('is waited for before anything is known of it', async () => {
        const { breakpoints } = (await client.request<DebugProtocol.SetExceptionBreakpointsResponse['body'] & object>(
            'setExceptionBreakpoints',
            { filters: ['linuxPanic', 'tripleFault', 'linuxOops'] },
        ))!;
        assert.deepEqual(
            breakpoints!.map(({ verified, message }) => [verified, message]),
            [
                [false, 'waits for the names of a Linux kernel'],
                [true, undefined],
                [false, 'waits for the names of a Linux kernel'],
            ],
        );
        await client.request('setFunctionBreakpoints', { breakpoints: [{ name: 'version_proc_show' }] });
        await client.run('configurationDone', {});
    });

    it('stops at an oops: what it was, where, and which task', async () => {
        assert.equal((await client.run('continue')).reason, 'function breakpoint');
        await client.request('evaluate', { expression: 'rip = 0x10', context: 'repl' });
        await client.request('setFunctionBreakpoints', { breakpoints: [] });
        const stop = await client.run('continue');
        assert.equal(stop.reason, 'exception');
        assert.equal(stop.description, 'Paused on Linux oops');
        assert.match(
            stop.text ?? '',
            /^Oops: BUG: kernel NULL pointer dereference, address: 0000000000000010, at \S+ \(in cat, pid \d+, CPU 0\)$/,
        );
        const { exceptionId, description, details } = await info();
        assert.deepEqual([exceptionId, description], ['Linux oops', stop.text]);
        assert.match(details?.message ?? '', /\[ +\d+\.\d+\] CR2: 0000000000000010/);
    });

    it('stops at a panic: the message, formatted, and which task', async () => {
        const stop = await client.run('continue');
        assert.equal(stop.description, 'Paused on Linux panic');
        assert.match(stop.text ?? '', /^Kernel panic: sysrq triggered crash \(in (ba)?sh, pid \d+, CPU 0\)$/);
        assert.match((await info()).details?.message ?? '', /sysrq: Trigger a crash/);
        const { stackFrames } = (await client.request<DebugProtocol.StackTraceResponse['body']>('stackTrace', {
            threadId: 1,
        }))!;
        assert.equal(stackFrames[0].name, 'panic');
        assert.match(stackFrames.map(({ name }) => name).join(), /sysrq_handle_crash/);
    });
});
