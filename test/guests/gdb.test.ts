/** The real gdb on our server: what it finds there that is ours, and how it comes and goes. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { littleEndian } from '../../src/debug/memory-access';
import { readElfSymbols } from '../../src/symbols/elf';
import { SymbolTable } from '../../src/symbols/symbol-table';
import { guestImage } from '../dap/guest';
import { kvm, needs, tool } from '../support/requirements';
import { freePort, listening } from '../support/ports';
import { sampleElf } from '../support/sample';
import { assembleKernel, assembler } from './support/assemble';
import { PROGRAM, startCli } from './support/cli';
import { gdb, onOurs, RawClient, startOurs } from './support/gdb';

describe('gdb', function () {
    this.timeout(180_000);

    it('is told in words why a vCPU cannot step, or a register not be written', async function () {
        needs(this, tool('gdb'));
        const session = (endpoint: string): Promise<string> =>
            gdb(endpoint, ['break run_workload', 'continue', 'thread 2', 'stepi', 'p $cs = 0x1234']);
        const output = await onOurs(session, '--cpus', '2');

        assert.match(
            output,
            /vCPU 1 is halted with interrupts disabled \(IF = 0\): only an NMI, INIT or a reset wakes it/,
        );
        assert.match(output, /Could not write register "cs"; remote failure reply 'E\.[^']{10,}'/);
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
            ...['monitor set ia32_lstar 0x1234 + 1', 'monitor set ia32_lstar', 'monitor set nothing 1'],
            ...[
                'monitor registers msrs',
                'monitor registers control',
                'monitor engine',
                'monitor nonsense',
                'reverse-stepi',
                'kill',
            ],
        ]);
        cli.signal('SIGTERM');
        await cli.result;

        assert.match(output, /PML4E\[0x1ff\] = 0x[0-9a-f]+, at 0x[0-9a-f]+/);
        assert.match(output, /page of 2048 KiB, supervisor rwx/);
        assert.match(output, /00000000fffffff0 {2}[0-9a-f]{2} /);
        assert.match(output, /I\/O out 0x3f8/);
        assert.match(output, /cr0 +0x[0-9a-f]+ .*PG/);
        assert.match(output, /ia32_lstar 0x0*1235\b/);
        assert.match(output, /set takes a register and a value/);
        assert.match(output, /ia32_lstar +0x0*1235\b.*ia32_/s);
        assert.match(output, /translator: active/);
        assert.match(output, /there is no command 'nonsense'/);
        assert.match(output, /does not support this command/);
    });

    for (const preamble of [['file FILE'], [], ['set architecture i386:x86-64']]) {
        it(`takes a 32-bit program for an i386's, or for what it is told: ${preamble.join() || 'nothing'}`, async function () {
            needs(this, tool('gdb'));
            const folder = mkdtempSync(path.join(tmpdir(), 'hyperscope-gdb-'));
            const kernel = path.join(folder, 'kernel.elf');
            writeFileSync(kernel, guestImage('exit'));
            const commands = [
                ...['p/x $eip', 'break *0x100042 if $eax == 3 && *(int *)$esp == 0x10001d', 'continue', 'p $eax'],
                ...['stepi', 'stepi', 'x/2i $pc', 'set var $eip = 0x100046', 'stepi', 'p/x $eip', 'p/x $rip'],
                ...['set var $eax = 0x80000007', 'p $eax', 'p/x $rax', 'set var $st0 = 1.5', 'p $st0', 'p $cr0'],
                ...['watch *(int *)0x70000', 'continue', 'detach'],
            ];
            const before = ['pagination off', 'confirm off', 'style enabled off', 'width 0'].map(text => `set ${text}`);
            const all = [...before, ...preamble.map(line => line.replace('FILE', kernel))];
            try {
                const session = (endpoint: string): Promise<string> => gdb(endpoint, commands, { preamble: all });
                const output = await onOurs(session, '--kernel', kernel);
                assert.doesNotMatch(output, /too long|badly formatted|rejected/);
                assert.match(output, /\$1 = 0x10000c\b/);
                assert.match(output, /Breakpoint 1, 0x0*100042/);
                assert.match(output, /\$2 = 3\n/);
                assert.match(output, preamble[0]?.startsWith('set') ? /rex pop/ : /inc +%eax/);
                assert.match(output, /\$3 = 0x100047\n.*\$4 = 0x100047\n/s);
                assert.match(output, /\$5 = -2147483641\n.*\$6 = 0x80000007\n.*\$7 = 1\.5\n.*\$8 = \[ ET PE \]/s);
                assert.match(output, /Hardware watchpoint 2: .*Old value = 0\nNew value = /s);
            } finally {
                rmSync(folder, { recursive: true });
            }
        });
    }

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

    for (const engine of ['translator', 'kvm']) {
        it(`steps one vCPU on ${engine} while others run, or alone`, async function () {
            if (engine === 'kvm') needs(this, kvm);
            const symbols = new SymbolTable(readElfSymbols(sampleElf, readFileSync(sampleElf)));
            const { cli, port } = await startOurs('--wait', '--cpus', '2', '--engine', engine);
            const client = await RawClient.connect(port);
            const ripOf = async (thread: number): Promise<bigint> => {
                await client.ask(`Hg${thread}`);
                return littleEndian(Buffer.from(await client.ask('p10'), 'hex'));
            };
            const isStarting = async (): Promise<boolean> =>
                symbols.at(await ripOf(1))?.symbol.name !== 'start_other_processors';
            await client.ask(`Z0,${symbols.named('apic_send_startup')[0].address.toString(16)},1`);
            assert.match(await client.ask('vCont;c'), /thread:01;/);
            // The second one is started on the way, and stands still.
            for (let steps = 0; steps < 200 && (await isStarting()); steps++) {
                assert.match(await client.ask('vCont;s:1'), /^T05thread:01;/);
            }
            const standing = await ripOf(2);
            for (let steps = 0; steps < 3; steps++) await client.ask('vCont;s:1');
            assert.equal(await isStarting(), false);
            assert.equal(await ripOf(2), standing);
            // How far it gets is KVM's matter.
            for (let steps = 0; steps < 100 && (await ripOf(2)) === standing; steps++) {
                assert.match(await client.ask('vCont;s:1;c'), /^T05thread:01;/);
            }
            assert.notEqual(await ripOf(2), standing);
            client.send('k');
            await cli.result;
            client.close();
        });

        it(`pauses a guest that runs on ${engine}, and lets it go on`, async function () {
            if (engine === 'kvm') needs(this, kvm);
            const { cli, port } = await startOurs(
                ...['--wait', '--kernel', sampleElf, '--append', 'monitor', '--engine', engine],
            );
            const client = await RawClient.connect(port);
            for (let round = 0; round < 3; round++) {
                client.send('vCont;c');
                await new Promise(resolve => setTimeout(resolve, 100));
                client.write('\x03');
                assert.match(await client.reply(), /^T02thread:01;/);
            }
            assert.match(await client.ask('vCont;s:1'), /^T0[52]thread:01;/);
            // At any length, as the stack is here.
            assert.equal(await client.ask('Z2,ffffffff80000000,10000000'), 'OK');
            let stop = await client.ask('vCont;c');
            // KVM says that the translator stands in.
            while (stop.startsWith('O')) stop = await client.reply();
            assert.match(stop, /^T05thread:01;watch:ffffffff8[0-9a-f]{7};/);
            client.send('k');
            assert.equal((await cli.result).status, 130);
            client.close();
        });
    }

    it('pauses a guest that waits for somebody to read what it prints', async function () {
        needs(this, ...assembler);
        const folder = mkdtempSync(path.join(tmpdir(), 'hyperscope-gdb-'));
        const port = await freePort();
        const args = ['run', '--kernel', assembleKernel('spew', folder), '--gdb', String(port), '--wait'];
        const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ['ignore', 'pipe', 'ignore'] });
        const ended = new Promise(resolve => child.on('exit', resolve));
        try {
            assert.ok(await listening(port, () => child.exitCode !== null));
            const client = await RawClient.connect(port);
            const states: string[] = [];
            // It stands still in the end: before, no two of its states are the same.
            do {
                client.send('vCont;c');
                await new Promise(resolve => setTimeout(resolve, 100));
                client.write('\x03');
                assert.match(await client.reply(), /^T02thread:01;/);
                states.push(await client.ask('g'));
            } while (states.length < 3 || new Set(states.slice(-3)).size > 1);
            client.send('k');
            assert.equal(await ended, 130);
            client.close();
        } finally {
            child.kill('SIGKILL');
            rmSync(folder, { recursive: true });
        }
    });

    it('says on KVM what it says on the translator', async function () {
        needs(this, tool('gdb'), kvm);
        const commands = [
            ...['break kernel_main', 'hbreak run_workload', 'continue', 'info registers rip', 'stepi', 'stepi', 'step'],
            ...['next', 'continue', 'break hanoi if disks == 3 && to == 1', 'continue', 'p disks', 'finish', 'delete'],
            ...['tbreak run_threads', 'continue', 'bt 1', 'print hanoi(3,0,2)', 'p $pc', 'watch queue.written'],
            ...['continue', 'delete', 'info threads', 'x/4i $pc', 'set var $xmm1.v4_float[0] = 1.5', 'p $xmm1'],
            ...['break power_off', 'continue', 'monitor engine translator', 'stepi', 'delete', 'continue'],
        ];
        const session = (endpoint: string): Promise<string> => gdb(endpoint, commands);
        const lines = (output: string): string[] =>
            output
                .split('\n')
                .filter(line => !/Remote debugging|executes the guest|^(\(gdb\) )*$/.test(line))
                .map(line => line.replace(/Thread 1 .*(?= \w+ \()/, 'Thread 1').trim());
        const onKvm = await onOurs(session, '--engine', 'kvm');

        assert.match(onKvm, /Hardware watchpoint \d+: queue\.written\n\nOld value = 0/);
        assert.deepEqual(lines(onKvm), lines(await onOurs(session, '--engine', 'translator')));
    });
});
