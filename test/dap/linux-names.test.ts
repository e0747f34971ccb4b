/** Debian's kernel with nothing but its bzImage: what it keeps of itself in memory names its code. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { guestFiles, guestsDirectory, needs } from '../support/requirements';
import { TestClient } from './client';

const KERNEL = path.join(guestsDirectory, 'vmlinuz-cloud');
const BOOT_LIMIT = 240_000;
const INITRD = path.join(guestsDirectory, 'initrd-busybox.cpio.gz');

describe('a Linux kernel without symbol files', function () {
    this.timeout(BOOT_LIMIT);

    let client: TestClient;
    let console = '';

    before(async function () {
        needs(this, guestFiles('vmlinuz-cloud', 'initrd-busybox.cpio.gz'));
        client = new TestClient(undefined, BOOT_LIMIT);
        client.onOutput(text => (console += text));
        await client.launch({
            kernel: KERNEL,
            initrd: INITRD,
            // The kernel chooses its own place: kaslr.
            append: 'console=ttyS0 hs.cmd=cat%20/proc/version',
            memory: '256M',
        });
    });

    after(() => client?.stop());

    const breakAt = (...names: string[]): Promise<DebugProtocol.SetFunctionBreakpointsResponse['body']> =>
        client.ask('setFunctionBreakpoints', { breakpoints: names.map(name => ({ name })) });
    const stack = async (): Promise<string[]> => {
        const { stackFrames } = await client.ask<DebugProtocol.StackTraceResponse['body']>('stackTrace', {
            threadId: 1,
        });
        return stackFrames.map(({ name }) => name);
    };

    it('has no names before it runs, and breakpoints by name wait for them', async () => {
        const { breakpoints } = await breakAt('start_kernel');
        assert.equal(breakpoints[0].verified, false);
        assert.match(breakpoints[0].message ?? '', /no register or symbol 'start_kernel'/);
        await client.run('configurationDone', {});
    });

    it('stops at a function that was named before the kernel had unpacked itself', async () => {
        const stop = await client.run('continue');
        assert.equal(stop.reason, 'function breakpoint');
        assert.equal((await stack())[0], 'start_kernel');
        assert.match(console, /Linux 6\.1\.\S+ has in its memory: [\d,]+ names, types, unwind tables/);
    });

    it('names functions on the stack, in the disassembly and in expressions', async () => {
        const { breakpoints } = await breakAt('do_sys_openat2');
        assert.equal(breakpoints[0].verified, true, breakpoints[0].message);
        assert.equal((await client.run('continue')).reason, 'function breakpoint');
        const names = await stack();
        assert.equal(names[0], 'do_sys_openat2');
        const { result } = await client.ask<{ result: string }>('evaluate', { expression: 'pc == do_sys_openat2' });
        assert.equal(result.split(' ')[0], '0x1');
        const { instructions } = await client.ask<DebugProtocol.DisassembleResponse['body'] & object>('disassemble', {
            memoryReference: breakpoints[0].instructionReference,
            instructionCount: 40,
            resolveSymbols: true,
        });
        assert.equal(instructions[0].symbol, 'do_sys_openat2');
    });

    it('finds callers by the ORC tables, to the entry of the system call', async () => {
        const names = await stack();
        const entry = names.findIndex(name => name.startsWith('do_syscall_64+'));
        assert.ok(entry > 1, names.join('\n'));
        assert.match(names[entry + 1], /^entry_SYSCALL_64_after_hwframe\+/);
        assert.match(names[entry + 2], /^user mode: busybox\+0x[0-9a-f]+$/);
        const { stackFrames } = await client.ask<DebugProtocol.StackTraceResponse['body']>('stackTrace', {
            threadId: 1,
        });
        const { scopes } = await client.ask<DebugProtocol.ScopesResponse['body']>('scopes', {
            frameId: stackFrames[1].id,
        });
        const shown = await Promise.all(
            scopes.map(({ variablesReference }) =>
                client.ask<DebugProtocol.VariablesResponse['body']>('variables', { variablesReference }),
            ),
        );
        const foundBy = shown.flatMap(({ variables }) => variables).find(({ name }) => name === 'found by');
        assert.equal(foundBy?.value, "the kernel's ORC tables");
        const { id: frameId, instructionPointerReference } = stackFrames[entry + 2];
        const { result } = await client.ask<{ result: string }>('evaluate', { expression: 'cs:rip', frameId });
        assert.equal(result.split(' ')[0], instructionPointerReference);
    });

    it("knows the kernel's types: expressions go through its structures", async () => {
        const evaluate = async (expression: string): Promise<string> =>
            (await client.ask<{ result: string }>('evaluate', { expression, context: 'watch' })).result;
        assert.match(await evaluate('((struct task_struct *)init_task)->comm'), /"swapper/);
        assert.match(await evaluate('((struct task_struct *)init_task)->pid'), /^0(x0)?\b/);
        assert.equal(await evaluate('sizeof(struct list_head)'), '0x10 (16)');
        assert.match(await evaluate('((struct open_how *)rdx)->resolve'), /^0(x0)?\b/);
        assert.match(await evaluate('do_sys_openat2'), /do_sys_openat2/);
    });

    it("changes members of the kernel's structures, bit-fields among them", async () => {
        const task = '((struct task_struct *)init_task)';
        const evaluate = async (expression: string): Promise<string> =>
            (await client.ask<{ result: string }>('evaluate', { expression, context: 'watch' })).result;
        const { variablesReference } = await client.ask<{ variablesReference: number }>('evaluate', {
            expression: task,
            context: 'watch',
        });
        const set = async (name: string, value: string): Promise<string> =>
            (await client.ask<{ value: string }>('setVariable', { variablesReference, name, value })).value;
        const fields = ['sched_reset_on_fork', 'sched_contributes_to_load', 'sched_migrated'];
        const before = await Promise.all(fields.map(name => evaluate(`${task}->${name}`)));
        assert.deepEqual(before, ['0', '0', '0']);
        assert.equal(await set('sched_contributes_to_load', '1'), '1');
        assert.deepEqual(await Promise.all(fields.map(name => evaluate(`${task}->${name}`))), ['0', '1', '0']);
        assert.match(
            await client.refusal('setVariable', { variablesReference, name: fields[1], value: '2' }),
            /2 does not fit a bit-field of 1 bit: it holds 0 to 1/,
        );
        await set('sched_contributes_to_load', '0');
        const prio = await evaluate(`${task}->prio`);
        assert.equal(await set('prio', '77'), '77');
        await client.ask('setExpression', { expression: `${task}->rt_priority`, value: '0x12' });
        assert.deepEqual([await evaluate(`${task}->prio`), await evaluate(`${task}->rt_priority`)], ['77', '18']);
        await set('prio', prio);
        await client.ask('setExpression', { expression: `${task}->rt_priority`, value: '0' });
    });
});

describe('a Linux kernel with a list of its symbols', function () {
    this.timeout(BOOT_LIMIT);

    let folder: string;
    /** Addresses of a kernel that has stayed where it was linked to. */
    const linked = new Map<string, bigint>();

    before(async function () {
        needs(this, guestFiles('vmlinuz-cloud'));
        folder = mkdtempSync(path.join(tmpdir(), 'hyperscope-map-'));
        await session({ append: 'console=ttyS0 nokaslr' }, 'start_kernel', async client => {
            for (const name of ['_text', 'start_kernel', 'linux_banner']) {
                const body = await client.request<{ result: string }>('evaluate', {
                    expression: `(u64)&*(u8*)\`${name}\``,
                });
                linked.set(name, BigInt(body!.result.split(' ')[0]));
            }
        });
        assert.equal(linked.get('_text'), 0xffffffff81000000n);
    });

    after(() => {
        if (folder !== undefined) rmSync(folder, { recursive: true });
    });

    /** Runs a kernel to a function. */
    async function session(
        attributes: Readonly<Record<string, unknown>>,
        to: string,
        check: (client: TestClient, output: () => string) => Promise<void>,
    ): Promise<void> {
        const client = new TestClient(undefined, BOOT_LIMIT);
        let output = '';
        client.onOutput(text => (output += text));
        try {
            await client.launch({ kernel: KERNEL, memory: '256M', ...attributes });
            await client.request('setFunctionBreakpoints', { breakpoints: [{ name: to }] });
            await client.run('configurationDone', {});
            assert.equal((await client.run('continue')).reason, 'function breakpoint');
            await check(client, () => output);
        } finally {
            await client.stop();
        }
    }

    function writeMap(name: string, shift: bigint): string {
        const file = path.join(folder, name);
        const line = (at: bigint, type: string, symbol: string): string => `${at.toString(16)} ${type} ${symbol}\n`;
        writeFileSync(
            file,
            line(linked.get('_text')!, 'T', '_text') +
                line(linked.get('start_kernel')! + shift, 'T', 'where_c_begins') +
                line(linked.get('linux_banner')! + shift, 'D', 'linux_banner'),
        );
        return file;
    }

    it('has its names, where it has put itself', async () => {
        const symbols = [writeMap('System.map', 0n)];
        await session({ append: 'console=ttyS0', symbols }, 'where_c_begins', async (client, output) => {
            const body = await client.request<{ result: string }>('evaluate', { expression: 'pc - where_c_begins' });
            assert.match(body!.result, /^0/);
            assert.doesNotMatch(output(), /not the kernel/);
        });
    });

    it('is told apart from another kernel, and named', async () => {
        const symbols = [writeMap('System.map-other', 0x1000n)];
        await session({ append: 'console=ttyS0', symbols }, 'start_kernel', async (_, output) => {
            assert.match(
                output(),
                /System\.map-other: this is not the kernel that runs: .*The guest runs Linux 6\.1\.\S+, build-id [0-9a-f]{40}/,
            );
        });
    });
});
