/** The real gdb on our server, and on QEMU's for the same guest: what it prints. */
import assert from 'node:assert/strict';
import net from 'node:net';
import { needs, tool } from '../support/requirements';
import { startCli } from './support/cli';
import { gdb, onOurs, onQemu, startOurs } from './support/gdb';

/**
 * Commands whose output the two have to agree on. Left out: $fctrl before anybody has set it, 0x40 after a reset (SDM Vol.
 * 1, 8.1.5) and 0x37f in QEMU; and what depends on the guest's clock, such as counts of ticks.
 */
const COMMON = [
    'break kernel_main',
    'continue',
    'info breakpoints',
    'p/x $cs',
    'p/x $cr0',
    'p/x $efer',
    'p $eflags',
    'rwatch *(long *)0x8278',
    'continue',
    'delete 2',
    'break hanoi if disks == 3 && to == 1',
    'commands',
    'silent',
    'p disks',
    'p from',
    'end',
    'continue',
    'continue',
    'delete',
    'tbreak run_threads',
    'continue',
    'bt 1',
    'hbreak task_create',
    'continue',
    'p *name@8',
    'delete',
    'finish',
    'watch ticks',
    'continue',
    'continue',
    'delete',
    'stepi',
    'x/i $pc',
    'next',
    'until',
    'info threads',
    'find /b &kernel_main, +64, 0x55',
    'x/8xb &kernel_main',
    'set var ticks = 100',
    'p ticks',
    'set $rax = 0x1234567890abcdef',
    'p/x $rax',
    'p $xmm0.uint128',
    'p $st0',
    // What gdb makes the guest do: it returns to a stack that cannot be executed.
    'print hanoi(3, 0, 2)',
    'p/x $pc',
    'info registers rax rip cs ss cr0 cr3 cr4 cr8 efer',
    'p $mxcsr',
    'set var $xmm1.v4_float[0] = 1.5',
    'p $xmm1',
    'set var $st0 = 2.5',
    'p $st0',
    'call_does_not_exist',
    'x/4xb 0x123456789abc',
    'p *(int *)0',
    'detach',
];

/** The output without what may differ: see each line. */
function normalized(output: string): string[] {
    return (
        output
            .split(/\n|\(gdb\) /)
            .map(line => line.trimEnd().replace(/ {2,}/g, ' '))
            .filter(line => line !== '')
            // Where it begins: QEMU gives IP, we the linear address of CS:IP.
            .filter(
                line =>
                    !/^0x000000000000fff0 in|^reset_vector|^13\t|Remote debugging using|^warning: Load|^ in /.test(
                        line,
                    ),
            )
            // The guest's clock: how far it has come by some instruction.
            .map(line => line.replace(/^(Old value|New value|Value) = \d+/, '$1 = …'))
            // QEMU has processes, for groups of vCPUs, and says what CPU model it is.
            .map(line => line.replace(/Thread 1(\.1)? .*?(?= \w+ \()/, 'Thread 1'))
            .map(line =>
                line.replace(/\[Inferior 1 .*\]|Detaching from program.*|Ending remote debugging.*/, 'detached'),
            )
            // What the ABI leaves undefined, and 5.05 % of a value that depends on the clock.
            .map(line => line.replace(/argument=argument@entry=0x[0-9a-f]+/, 'argument=…'))
    );
}

describe('gdb', function () {
    this.timeout(180_000);

    it('says on our server what it says on QEMU’s', async function () {
        needs(this, tool('gdb'));
        needs(this, tool('qemu-system-x86_64'));
        const session = (endpoint: string): Promise<string> => gdb(endpoint, COMMON);
        const ours = await onOurs(session);

        assert.deepEqual(normalized(ours), normalized(await onQemu(session)));
        assert.match(ours, /Hardware watchpoint/);
    });

    it('finds the symbol of the reset vector in real mode', async function () {
        needs(this, tool('gdb'));
        const { cli, port } = await startOurs('--wait');
        const output = await gdb(`127.0.0.1:${port}`, ['info symbol $pc', 'info registers rip', 'kill']);

        assert.match(output, /reset_vector in section \.reset/);
        assert.match(output, /rip +0xfffffff0/);
        assert.equal((await cli.result).status, 130);
    });

    it('asks the machine by monitor commands, and reads the program from it', async function () {
        needs(this, tool('gdb'));
        const { cli, port } = await startOurs('--wait');
        const output = await gdb(`127.0.0.1:${port}`, [
            ...[
                'break kernel_main',
                'continue',
                'monitor walk kernel_main',
                'monitor xp 0xfffffff0 4',
                'monitor exits',
            ],
            ...['monitor registers control', 'monitor engine', 'monitor nonsense', 'reverse-stepi', 'kill'],
        ]);
        cli.signal('SIGTERM');
        await cli.result;

        assert.match(output, /PML4E\[0x1ff\] = 0x[0-9a-f]+, at 0x[0-9a-f]+/);
        assert.match(output, /page of 2048 KiB, supervisor rwx/);
        assert.match(output, /00000000fffffff0 {2}[0-9a-f]{2} /);
        assert.match(output, /I\/O out 0x3f8/);
        assert.match(output, /cr0 +0x[0-9a-f]+ .*PG/);
        assert.match(output, /translator: active/);
        assert.match(output, /there is no command 'nonsense'/);
        assert.match(output, /does not support this command/);
    });

    it('may vanish in the middle of a packet: the guest stays as it was, and the next one attaches', async function () {
        needs(this, tool('gdb'));
        const { cli, port } = await startOurs('--wait');
        await new Promise<void>(resolve => {
            const socket = net.connect(port, '127.0.0.1', () => {
                socket.write('+$Z0,ffffffff80102abf,1#', () => {
                    setTimeout(() => {
                        socket.destroy();
                        resolve();
                    }, 100);
                });
            });
        });
        await new Promise(resolve => setTimeout(resolve, 200));
        const output = await gdb(`127.0.0.1:${port}`, ['info registers rip', 'continue']);

        assert.match(output, /rip +0xfffffff0/);
        assert.match(output, /exited normally/);
        assert.equal((await cli.result).status, 0);
    });

    it('may come and go while the guest runs', async function () {
        needs(this, tool('gdb'));
        const { cli, port } = await startOurs();
        await gdb(`127.0.0.1:${port}`, ['info registers rip', 'detach']);

        assert.equal((await cli.result).status, 0);
    });

    it('is let in from this machine alone unless asked for otherwise', async () => {
        const wrong = startCli(['run', '--sample', '--gdb', 'somewhere', '--serial', 'none']);
        const { status, errors } = await wrong.result;
        assert.equal(status, 2);
        assert.match(errors, /--gdb takes HOST:PORT or PORT/);
        const alone = await startCli(['run', '--sample', '--wait', '--serial', 'none']).result;
        assert.match(alone.errors, /--wait waits for gdb/);
    });
});
