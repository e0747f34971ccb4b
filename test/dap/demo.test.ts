/** `npm run demo`, as it is, with the adapter that the tests run. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { projectRoot } from '../support/project';
import { guestFiles, guestsDirectory, needs } from '../support/requirements';
import { SAMPLE_END, sampleElf, sampleOutput } from '../support/sample';

const DEMO = path.join(projectRoot, 'scripts', 'demo.mjs');
const ADAPTER = path.join(projectRoot, 'out', 'src', 'dap', 'main.js');

interface DemoResult {
    readonly status: number | null;
    readonly output: string;
    readonly errors: string;
    /** The lines under a title that begins so. */
    section(title: string): string;
}

function runDemo(...options: readonly string[]): DemoResult {
    const { status, stdout, stderr } = spawnSync(process.execPath, [DEMO, '--adapter', ADAPTER, ...options], {
        encoding: 'utf8',
        timeout: 60_000,
    });
    return {
        status,
        output: stdout,
        errors: stderr,
        section: title => {
            const found = stdout.split(/\n── /).find(section => section.startsWith(title));
            assert.ok(found !== undefined, `no part '${title}' in:\n${stdout}\n${stderr}`);
            return found;
        },
    };
}

describe('npm run demo', function () {
    this.timeout(60_000);

    it('debugs the sample guest from its first instruction to its end', () => {
        const demo = runDemo();

        assert.equal(demo.errors, '');
        assert.equal(demo.status, 0);
        const reset = demo.section('The reset vector');
        assert.match(reset, /stopped: Stopped at the first instruction/);
        assert.match(reset, /▶ 0xfffffff0 .*jmp far 0xf000:0xfc00 {2}reset_vector/);
        assert.match(reset, /▶ 0xffc00 .*cli {2}rom_start/);
        const stops = demo.section('Breakpoints');
        assert.match(stops, /▶ 0x[0-9a-f]+ .*protected_main/);
        assert.match(stops, /▶ 0xffffffff80[0-9a-f]+ .*kernel_main/);
        const event = demo.section('Machine events');
        assert.match(event, /stopped: MSR write: IA32_LSTAR .* → 0xffffffff801\w+[^]*▶ .*system_calls_start/);
        const stack = demo.section('A condition');
        assert.match(stack, /#0 {2}0x[0-9a-f]+ hanoi/);
        assert.match(stack, /#\d {2}0x[0-9a-f]+ run_recursion/);
        assert.match(stack, /#\d {2}0x[0-9a-f]+ kernel_main/);
        assert.match(
            stack,
            /workload\.c:\d+ +static void hanoi\(unsigned disks, unsigned from, unsigned to\)\n +▶ workload\.c/,
        );
        assert.match(stack, /\n +disks +4\n +from +\d\n/);
        assert.match(demo.section('A breakpoint on a line'), /▶ .*workload\.c:\d+ +last_move = \(struct move\)/);
        assert.match(demo.section('Steps'), /(▶ 0x\w+ .*hanoi[^]*){3}stopped: Stepped\n.*hanoi/);
        assert.match(demo.section('Registers'), /rdi +0x4\b/);
        assert.match(
            demo.section('Where the code is'),
            /PML4\[511\][^]*PDPT\[510\][^]*physical 0x10\w+, r-x supervisor/,
        );
        const fault = demo.section('A page fault');
        assert.match(fault, /#PF page fault: supervisor code writing 0xffffc90000000000/);
        assert.match(fault, /#PF \(W\): pte\[0x0\] = 0x0 is not present[^]*physical 0x\w+, rw- supervisor/);
        assert.match(demo.section('User mode'), /▶ 0x40[0-9a-f]+ .*user_hello[^]*not present/);
        assert.match(demo.section('Memory'), /Hyperscope sampl/);
        const exits = demo.section('VM exits');
        assert.match(exits, /\d+ {2}I\/O out +0x3f8 serial0 +put_character/);
        assert.match(exits, /\b16 {2}exception +#PF page fault/);
        assert.match(demo.section('To the end'), /the guest powered off/);
        const printed = demo.output.split('\n').filter(line => line.includes('guest │ '));
        assert.equal(
            printed.map(line => `${line.replace(/^.*guest │ /, '')}\r\n`).join(''),
            sampleOutput('reset') + SAMPLE_END,
        );
    });

    it('looks at another guest', function () {
        needs(this, guestFiles('vmlinuz-cloud'));
        const kernel = path.join(guestsDirectory, 'vmlinuz-cloud');
        const demo = runDemo('--kernel', kernel, '--append', 'console=ttyS0', '--seconds', '1');

        assert.equal(demo.errors, '');
        assert.equal(demo.status, 0);
        assert.match(demo.section('The first instruction'), /stopped: Stepped/);
        assert.match(demo.section('1 seconds later'), /stopped: Paused/);
        assert.match(demo.section('Stack'), /#0 {2}0x/);
        assert.match(demo.section('Registers'), /rip/);
    });

    it('stops another guest at a function', () => {
        const demo = runDemo('--kernel', sampleElf, '--break', 'sleep_ticks', '--memory', '64M');

        assert.equal(demo.errors, '');
        assert.equal(demo.status, 0);
        assert.match(demo.section('A breakpoint at sleep_ticks'), /▶ .*sleep_ticks[^]*timer\.c/);
        assert.match(demo.section('Stack'), /#1 .* wait_for_ticks {2}workload\.c:\d+[^]*\n +count +20\n/);
    });

    it('opens VS Code on a configuration of the guest', () => {
        const folder = mkdtempSync(path.join(tmpdir(), 'hyperscope-demo-'));
        try {
            writeFileSync(path.join(folder, 'code'), '#!/bin/sh\nprintf "%s\\n" "$@"\n', { mode: 0o755 });
            const { status, stdout, stderr } = spawnSync(
                process.execPath,
                [DEMO, '--adapter', ADAPTER, '--vscode', '--kernel', 'some.elf', '--append', 'quiet'],
                { encoding: 'utf8', env: { ...process.env, PATH: `${folder}:${process.env.PATH}` } },
            );

            assert.equal(status, 0, stderr);
            const [option, workspace] = stdout.split('\n');
            assert.equal(option, `--extensionDevelopmentPath=${projectRoot}`);
            const file = path.join(workspace, '.vscode', 'launch.json');
            const { configurations } = JSON.parse(readFileSync(file, 'utf8')) as { configurations: unknown[] };
            assert.deepEqual(configurations, [
                {
                    name: 'Hyperscope demo',
                    type: 'hyperscope',
                    request: 'launch',
                    kernel: path.resolve('some.elf'),
                    append: 'quiet',
                },
            ]);
        } finally {
            rmSync(folder, { recursive: true });
        }
    });

    it('says what it cannot do', () => {
        for (const [options, complaint] of [
            [['--kernel', 'missing.elf'], /kernel: .*missing\.elf: no such file/],
            [['--append', 'x'], /--append belongs to a guest: give --kernel or --firmware too/],
            [['--seconds', '0', '--kernel', 'x'], /--seconds takes a number above 0/],
            [['--colour'], /Unknown option '--colour'[^]*usage: npm run demo/],
        ] as const) {
            const demo = runDemo(...options);
            assert.match(demo.errors, complaint);
            assert.doesNotMatch(demo.errors, /\n\s+at /);
            assert.equal(demo.status, 1);
        }
    });
});
