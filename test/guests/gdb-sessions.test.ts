/** The real gdb on our server, and on QEMU's for the same guest: what it prints. docs/gdb.md lists the differences. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { needs, tool } from '../support/requirements';
import { gdb, gdbMi, onOurs, onQemu } from './support/gdb';

/**
 * Commands whose output the two have to agree on. Left out: $fctrl before anybody has set it, 0x40 after a reset (SDM Vol.
 * 1, 8.1.5) and 0x37f in QEMU; and what depends on the guest's clock, such as counts of ticks.
 */
const STOPPING = [
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

/** Looks at everything, writes it to files and back; `folder` is for those. */
const looking = (folder: string): string[] => [
    'break hanoi',
    'continue',
    'info registers rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip eflags cs ss ds es fs gs',
    'info registers fs_base gs_base k_gs_base cr0 cr2 cr3 cr4 cr8 efer',
    'info registers xmm0 xmm15 mxcsr st0 st7 fstat fop',
    'p/x $al',
    'p $ax',
    'p $eax',
    'p $sp',
    'p $fp',
    'p $_siginfo',
    'info target',
    'info sharedlibrary',
    'x/3i $pc',
    'x/2xg $rsp',
    'x/3c &moves',
    'info line',
    'info frame',
    'up',
    'info frame',
    'info locals',
    'down',
    'info args',
    `dump binary memory ${folder}/moves.bin &moves (char*)&moves+4`,
    'set var moves = 0x12345678',
    `dump binary value ${folder}/value.bin moves`,
    `restore ${folder}/moves.bin binary &moves`,
    'p/x moves',
    `dump ihex memory ${folder}/moves.hex &moves (char*)&moves+4`,
    'set var moves = 7',
    `restore ${folder}/moves.hex`,
    'p moves',
    'watch moves',
    'rwatch last_move',
    'awatch queue.written',
    'info watchpoints',
    'continue',
    'continue',
    'info breakpoints',
    'disable',
    'tbreak run_threads',
    'continue',
    'display/i $pc',
    'stepi 3',
    'nexti 2',
    'undisplay 1',
    'step',
    'step',
    'next',
    'finish',
    'ignore 1 5',
    'delete',
    'break task_tick if $_streq("a", "b") || $rdi == 77',
    'hbreak run_user_tasks',
    'continue',
    'return',
    'p $pc',
    'catch syscall',
    'record',
    'starti',
    'reverse-stepi',
    'tstatus',
    'maint flush register-cache',
    'p $rip',
    'kill',
    'info threads',
];

/** Two vCPUs. */
const THREADS = [
    // The second one is started by the first.
    'break ap_main',
    'watch processors[1].started',
    'continue',
    'stepi',
    'next',
    // Alone, it gets as far as the watchpoint: the other one stays where it is.
    'thread apply 1 -q set var $before = $pc',
    'set scheduler-locking on',
    'continue',
    'bt 1',
    'thread apply 1 -q p $pc == $before',
    'set scheduler-locking off',
    'delete',
    'break run_workload',
    'continue',
    'info threads',
    'thread apply all bt 2',
    'thread 2',
    'p $_thread',
    'info registers rip rsp',
    'x/i $pc',
    'bt',
    'p/x $gs_base',
    'thread 1',
    'p/x $gs_base',
    'set scheduler-locking on',
    'stepi',
    'nexti',
    'info threads',
    'tbreak run_recursion',
    'continue',
    'info threads',
    'set scheduler-locking step',
    'next',
    'step',
    'info threads',
    'set scheduler-locking off',
    'thread apply 1 2 info registers rsp',
    'thread apply all -q p $_thread',
    'tbreak hanoi thread 1',
    'continue',
    'info threads',
    'p $_inferior',
    'taas p 1',
    'detach',
];

/** From real mode to long mode. */
const MODES = ['real_main', 'protected_main', 'enter_long_mode', 'long_main', 'kernel_main'].flatMap(label => [
    `hbreak *${label}`,
    'continue',
    'stepi',
    'info registers rip rsp cs ss ds',
    'p $cr0',
    'p $efer',
    'stepi 3',
    'x/2xb $pc',
    'set var $rax = $rax',
    'info symbol $pc',
]);

/** As front ends ask. */
const MACHINE_INTERFACE = [
    ...['1-break-insert kernel_main', '2-exec-continue', '3-stack-list-frames', '4-stack-info-frame'],
    ...['5-break-insert -c "disks == 3 && to == 1" hanoi', '6-exec-continue'],
    ...['7-stack-list-arguments --simple-values 0 1', '8-stack-list-variables --simple-values'],
    ...['9-var-create v * moves', '10-var-create q * queue', '11-var-list-children --simple-values q'],
    ...['12-var-evaluate-expression v', '13-var-assign v 41', '14-var-update --all-values *'],
    ...['15-data-evaluate-expression moves', '16-data-read-memory-bytes &moves 8'],
    ...['17-data-write-memory-bytes &moves "01000000"', '18-data-read-memory-bytes &moves 4'],
    ...['19-data-list-register-names 0 1 16 17', '20-data-list-register-values x 0 1 16 17'],
    ...['21-data-disassemble -s $pc -e "$pc + 12" -- 0', '22-exec-next', '23-exec-step-instruction'],
    ...['24-exec-next-instruction', '25-exec-finish', '26-break-after 5 3', '26-break-after 2 3', '27-break-list'],
    ...['28-exec-continue', '29-break-delete 1 2', '30-break-insert -t run_threads', '31-exec-continue'],
    ...['32-break-watch queue.written', '33-exec-continue', '34-break-delete 4', '35-break-insert -h consumer'],
    ...['36-exec-run', '37-exec-continue', '38-thread-list-ids', '39-thread-info', '40-thread-select 1'],
    ...['41-break-disable 5', '42-break-enable 5', '43-break-condition 5 argument == 0', '44-break-info 5'],
    ...['45-break-commands 5 "print 1"', '46-exec-until run_user_tasks', '47-symbol-info-functions --name hanoi'],
    ...['48-interpreter-exec console "info threads"', '49-break-insert nowhere'],
    ...['50-data-read-memory-bytes 0x123456789abc 4', '51-exec-reverse-next', '52-exec-return', '53-target-detach'],
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
            // QEMU has processes, for groups of vCPUs, and calls the vCPUs otherwise.
            .map(line => line.replace(/Id Target Id +Frame/, 'Id Target Id Frame'))
            .map(line =>
                line.replace(/Thread (?:1\.)?(\d)( "vCPU \d")? \((?:CPU#|vCPU )\d \[(\w+) ?\]\)/, 'Thread $1 $3'),
            )
            .map(line =>
                line
                    .replace(/(Switching to [tT]hread) (?:1\.)?(\d).*/, '$1 $2')
                    .replace(/^(Thread \d) "vCPU \d"/, '$1'),
            )
            .map(line =>
                line.replace(/\[Inferior 1 .*\]|Detaching from program.*|Ending remote debugging.*/, 'detached'),
            )
            // What the ABI leaves undefined, and 5.05 % of a value that depends on the clock.
            .map(line => line.replace(/argument=argument@entry=0x[0-9a-f]+/, 'argument=…'))
    );
}

/** The same for the machine interface. */
function normalizedRecords(output: string): string[] {
    const lines = output.split('\n').filter(line => line.trim() !== '' && !line.startsWith('(gdb)'));
    // Where it begins, as above.
    const start = lines.findIndex(line => line.startsWith('*stopped')) + 1;
    return (
        lines
            .slice(start)
            // Only we tell which vCPU a thread is, and evaluate conditions.
            .map(line => line.replace(/,cores?=(?:"\d"|\["\d"\])/g, '').replace(/,evaluated-by="\w+"/g, ''))
            .map(line => line.replace(/target-id="[^"]*",details="[^"]*"(?:,name="[^"]*")?/, 'target-id="…"'))
            .map(line =>
                line.replace(/Thread 1(\.1)? .*\[running\]\)/, 'Thread 1').replace(/Id {3}Target Id +Frame/, 'Id'),
            )
            .map(line =>
                line.replace(/(Inferior 1) \(.*?\)/, '$1').replace(/(Detaching from program: [^,]*), .*n"$/, '$1'),
            )
    );
}

describe('gdb on our server and on QEMU’s', function () {
    this.timeout(180_000);
    let folder: string;

    before(function () {
        needs(this, tool('gdb'));
        needs(this, tool('qemu-system-x86_64'));
        folder = mkdtempSync(path.join(tmpdir(), 'hyperscope-'));
    });
    after(() => {
        if (folder !== undefined) {
            rmSync(folder, { recursive: true });
        }
    });

    async function saysTheSame(commands: readonly string[], ours: string[] = [], qemu: string[] = []): Promise<string> {
        const session = (endpoint: string): Promise<string> => gdb(endpoint, commands);
        const output = await onOurs(session, ...ours);
        assert.deepEqual(normalized(output), normalized(await onQemu(session, ...qemu)));
        return output;
    }

    it('stops, steps and asks conditions at the same places', async () => {
        assert.match(await saysTheSame(STOPPING), /Hardware watchpoint/);
    });

    it('sees the same, and writes it to files and back', async () => {
        const output = await saysTheSame(looking(folder));

        assert.match(output, /Hardware watchpoint 2: moves/);
        assert.deepEqual([...readFileSync(path.join(folder, 'value.bin'))], [0x78, 0x56, 0x34, 0x12]);
    });

    it('follows the guest through all modes', async () => {
        const output = await saysTheSame([...MODES, 'kill']);

        assert.doesNotMatch(output, /reply is too long/);
        assert.match(output, /\[ NXE LMA LME SCE \]/);
    });

    it('has the same threads of two vCPUs', async () => {
        assert.match(await saysTheSame(THREADS, ['--cpus', '2'], ['-smp', '2']), /Thread 2 .*ap_main/);
    });

    it('gives front ends the same records', async () => {
        const session = (endpoint: string): Promise<string> => gdbMi(endpoint, MACHINE_INTERFACE);
        const output = await onOurs(session);

        assert.match(output, /reason="watchpoint-trigger"/);
        assert.deepEqual(normalizedRecords(output), normalizedRecords(await onQemu(session)));
    });
});
