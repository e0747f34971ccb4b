/** gdb in a Linux kernel with debug information: it reads what Linux's own gdb scripts read. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { debugKernel, guestsDirectory, needs, tool } from '../support/requirements';
import { gdb, startOurs } from './support/gdb';
import { linuxFiles } from './support/linux';

const file = (name: string): string => path.join(guestsDirectory, name);

/** The tasks as `lx-ps` finds them, what `lx-version` and `lx-cmdline` print, the modules' list, a per-CPU variable. */
const COMMANDS = [
    'hbreak __x64_sys_reboot if $rdi != 0',
    'continue',
    'printf "%s", linux_banner',
    'printf "%s\\n", saved_command_line',
    'set $offset = (long)&((struct task_struct *)0)->tasks',
    'set $task = &init_task',
    'set $count = 0',
    'while $count < 500',
    'printf "TASK %d %s\\n", $task->pid, $task->comm',
    'set $task = (struct task_struct *)((char *)$task->tasks.next - $offset)',
    'set $count = $task == &init_task ? 1000 : $count + 1',
    'end',
    'p modules.next == &modules',
    'p ((struct task_struct *)*(long *)((char *)&current_task + $gs_base))->comm',
    'p prb->desc_ring.count_bits',
    'bt 3',
    // gdb has the guest run one of its own functions, on a stack that cannot be executed.
    'p (int)strlen(saved_command_line)',
    'kill',
];

describe('gdb in Linux', function () {
    this.timeout(400_000);

    it('finds tasks, versions and per-CPU variables by the kernel’s debug information', async function () {
        needs(this, linuxFiles, debugKernel, tool('gdb'));
        const append = 'console=ttyS0 nokaslr hs.exit';
        const { cli, port } = await startOurs(
            ...['--kernel', file('vmlinuz-cloud'), '--initrd', file('initrd-busybox.cpio.gz'), '--append', append],
            ...['--wait', '--timeout', '300'],
        );
        const preamble = ['set pagination off', 'set confirm off', 'set width 0', `file ${file('vmlinux-cloud')}`];
        const output = await gdb(`127.0.0.1:${port}`, COMMANDS, { preamble, seconds: 300 });
        await cli.result;

        const tasks = new Map([...output.matchAll(/TASK (\d+) (.*)$/gm)].map(([, pid, name]) => [Number(pid), name]));
        assert.equal(tasks.get(0), 'swapper/0');
        assert.equal(tasks.get(1), 'init');
        assert.equal(tasks.get(2), 'kthreadd');
        assert.ok([...tasks.values()].includes('kswapd0') && tasks.size > 30, [...tasks.values()].join(', '));
        assert.match(output, /Linux version \d+\.\d+\.\d+-\d+-cloud-amd64 /);
        assert.ok(output.includes(`\n${append}\n`) || output.includes(`) ${append}\n`), output.slice(0, 2000));
        assert.match(output, /\$\d+ = "poweroff\\000/);
        assert.match(output, /#0 +__x64_sys_reboot/);
        assert.match(output, new RegExp(`\\$\\d+ = ${append.length}\n`));
    });
});
