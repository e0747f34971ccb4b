/** The requests of the Linux view, and `linux` in the debug console, on Debian's kernel. */
import assert from 'node:assert/strict';
import path from 'node:path';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { debugKernel, guestFiles, guestsDirectory, needs } from '../support/requirements';
import { TestClient } from './client';

const COMMAND = 'sleep 1000 & sh -c "sleep 2000; true" & sleep 1; echo READY; read line';

interface Case {
    readonly title: string;
    readonly needs: Parameters<typeof needs>[1];
    readonly attributes: Readonly<Record<string, unknown>>;
}

const withSymbols: Case = {
    title: 'with its symbol file',
    needs: debugKernel,
    attributes: { symbols: [path.join(guestsDirectory, 'vmlinux-cloud')] },
};

const fromMemory: Case = {
    title: 'by what it keeps of itself in memory',
    needs: guestFiles('vmlinuz-cloud', 'initrd-busybox.cpio.gz'),
    attributes: {},
};

for (const kind of [fromMemory, withSymbols]) {
    describe(`Linux in a session, ${kind.title}`, function () {
        this.timeout(300_000);

        let client: TestClient;
        let console = '';
        const type = async (expression: string): Promise<string> =>
            (await client.ask<{ result: string }>('evaluate', { expression, context: 'repl' })).result;

        before(async function () {
            needs(this, guestFiles('vmlinuz-cloud', 'initrd-busybox.cpio.gz'), kind.needs);
            client = new TestClient();
            client.onOutput(text => (console += text));
            await client.launch({
                kernel: path.join(guestsDirectory, 'vmlinuz-cloud'),
                initrd: path.join(guestsDirectory, 'initrd-busybox.cpio.gz'),
                append: `console=ttyS0 pti=on hs.cmd=${encodeURIComponent(COMMAND)}`,
                memory: '256M',
                ...kind.attributes,
            });
            await client.run('configurationDone', {});
        });

        after(() => client?.stop());

        it('says that no kernel runs yet', async () => {
            assert.match(await client.refusal('hyperscope/linuxTasks'), /no running Linux kernel is known: /);
            assert.match(
                await client.refusal('evaluate', { expression: 'linux ps', context: 'repl' }),
                /no running Linux kernel is known: /,
            );
        });

        it('lists tasks, once there are some', async () => {
            await client.request('continue', { threadId: 1 });
            while (!console.includes('\nREADY')) await new Promise(resolve => setTimeout(resolve, 100));
            await client.run('pause');
            const { banner, processes, idle, problems } = await client.ask('hyperscope/linuxTasks', {});
            assert.match(banner, /^Linux version 6\.1\./);
            assert.deepEqual(problems, []);
            assert.deepEqual(
                idle.map(({ name }) => name),
                ['swapper/0'],
            );
            assert.deepEqual(
                processes
                    .slice(0, 2)
                    .map(({ pid, ppid, name, state, kernelThread }) => [pid, ppid, name, state, kernelThread]),
                [
                    [1, 0, 'init', 'S', false],
                    [2, 0, 'kthreadd', 'S', true],
                ],
            );
            assert.ok(processes.some(({ command }) => command === 'sleep 2000'));
        });

        const sleeper = async (): Promise<string> => {
            const { processes } = await client.ask('hyperscope/linuxTasks', {});
            return String(processes.find(({ command }) => command === 'sleep 1000')!.pid);
        };

        it('shows a task that does not run: stack, registers, memory, files', async () => {
            const { item, stack, registers, userRegisters, memory, files } = await client.ask('hyperscope/linuxTask', {
                task: await sleeper(),
            });
            assert.equal(item.command, 'sleep 1000');
            const names = stack.items.map(({ symbol }) => symbol?.replace(/\+.*/, ''));
            const inUser = names.findIndex(name => name?.startsWith('user mode: '));
            for (const name of ['do_nanosleep', 'do_syscall_64'])
                assert.ok(names.includes(name), `${name} in ${names.join()}`);
            assert.ok(
                stack.items
                    .slice(2, inUser)
                    .every(({ origin, inlined }) => origin === 'cfi' || origin === 'orc' || inlined),
                JSON.stringify(stack),
            );
            assert.equal(registers.items.find(({ name }) => name === 'rip')?.value, stack.items[0].pc);
            assert.equal(userRegisters.items.find(({ name }) => name === 'cs')?.value, '0x33');
            const rip = BigInt(userRegisters.items.find(({ name }) => name === 'rip')!.value);
            assert.equal(BigInt(stack.items[inUser].pc), rip);
            assert.deepEqual(
                stack.items.map(({ user }) => user === true),
                stack.items.map((_, depth) => depth >= inUser),
            );
            assert.match(stack.items[inUser].symbol ?? '', /^user mode: busybox\+0x[0-9a-f]+$/);
            assert.match(stack.items[inUser - 1].symbol ?? '', /^entry_SYSCALL_64/);
            const code = memory.items.find(({ first, last }) => rip >= BigInt(first) && rip <= BigInt(last));
            assert.deepEqual([code?.rights, code?.name], ['r-xp', '/bin/busybox']);
            assert.deepEqual(files.items[1], { ...files.items[1], number: 1, name: '/dev/console' });
            assert.equal((await client.ask('hyperscope/linuxTask', { task: item.task })).item.pid, item.pid);
            assert.match(await client.refusal('hyperscope/linuxTask', { task: '99999' }), /there is no task '99999'/);
        });

        it('offers the page tables of its processes', async () => {
            const { spaces } = await client.ask('hyperscope/addressSpaces', {});
            const label = `sleep (${await sleeper()})`;
            const space = spaces.find(one => one.label === label);
            assert.ok(space !== undefined, JSON.stringify(spaces));
            const { ranges } = await client.ask('hyperscope/pageTables', { cr3: space.cr3, last: '0x7fffffffffff' });
            assert.ok(ranges.some(({ permissions }) => permissions.user && permissions.writable));
        });

        it('answers in the debug console', async () => {
            const pid = await sleeper();
            assert.match(
                await type('linux ps'),
                new RegExp(`^PID +PPID +S +CPU +COMMAND\\n1 +0 +S +0.*(.|\\n)*\\n${pid} +\\d+ +S +0 +sleep 1000`),
            );
            assert.match(await type(`linux stack ${pid}`), /do_nanosleep/);
            assert.match(await type(`linux maps ${pid}`), /r-xp 00001000 \/bin\/busybox/);
            assert.match(await type(`linux files ${pid}`), /^FD +ACCESS +NAME\n0 +read/);
            assert.match(await type(`linux regs ${pid}`), /user code:\n +rip +0x/);
            assert.match(await type('linux dmesg 3'), /^\[ +\d+\.\d{6}\] .*(\n\[.*){2}/);
            assert.match(await type('linux mounts'), /^MOUNTED ON +TYPE.*(\n.*)*\n\/proc +proc +proc +rw/);
            assert.match(await type('linux interrupts'), /ttyS0/);
            assert.match(await type('linux modules'), /none|^NAME/);
            assert.match(
                await type('linux page linux_banner'),
                /^page frame 0x\w+: struct page at 0xf\w+\nflags: .*reserved/,
            );
            assert.match(await type('linux threads'), /^PID +TGID +PPID/);
            assert.match(await type('linux'), /linux stack PID +a task's kernel stack/);
            assert.match(await type('help'), /linux +looks at the Linux/);
            const refused = (expression: string): Promise<string> =>
                client.refusal('evaluate', { expression, context: 'repl' });
            assert.match(await refused('linux nothing'), /'linux nothing' is no command/);
            assert.match(await refused('linux stack'), /this is written: linux stack PID/);
            assert.match(await refused('linux stack 77777'), /there is no task '77777'/);
            const { targets } = (await client.request<DebugProtocol.CompletionsResponse['body']>('completions', {
                text: 'linux st',
                column: 9,
            }))!;
            assert.deepEqual(
                targets.map(({ label, start, length }) => [label, start, length]),
                [['stack', 6, 2]],
            );
        });
    });
}
