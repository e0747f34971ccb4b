/** Small kernels of our own, run by the command line: boot protocols and the ways in which a run can end. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { engines } from '../support/engines';
import { needs } from '../support/requirements';
import { sampleElf } from '../support/sample';
import { assembleKernel, assembler } from './support/assemble';
import { type CliProcess, type CliResult, PROGRAM, runCli, startCli } from './support/cli';

describe('small kernels', function () {
    this.timeout(30_000);
    let folder: string;
    const at = (name: string): string => path.join(folder, name);
    const run = (name: string, ...options: string[]): Promise<CliResult> =>
        runCli(['run', '--kernel', assembleKernel(name, folder), '--timeout', '20', ...options]);

    before(function () {
        needs(this, ...assembler);
        folder = mkdtempSync(path.join(tmpdir(), 'hyperscope-'));
    });
    after(() => {
        if (folder !== undefined) {
            rmSync(folder, { recursive: true });
        }
    });

    it('boot by Multiboot with modules and leave by the debug exit', async () => {
        writeFileSync(at('one'), 'first\0');
        writeFileSync(at('two'), 'second\0');
        const { status, output, errors } = await run(
            'multiboot',
            ...['--append', 'a=1 b'],
            ...['--initrd', `${at('one')} x y,${at('two')}`],
        );

        const lines = output.split('\n').filter(line => line !== '');
        assert.match(lines[0], /a=1 b\]$/);
        assert.deepEqual(lines.slice(1), [`[${at('one')} x y]`, '[first]', `[${at('two')}]`, '[second]']);
        assert.equal(errors, '');
        assert.equal(status, 2 * 21 + 1);
    });

    it('boot by PVH', async () => {
        writeFileSync(at('module'), '1234567');
        const { status, output, errors } = await run('pvh', '--append', 'x=y ', '--initrd', at('module'));

        assert.equal(output, 'x=y 7', errors);
        assert.equal(status, 1);
    });

    it('may call the BIOS from real mode, where there is none', async () => {
        const { status, errors } = await run('bios-calls');

        assert.equal(status, 2 * 1 + 1, errors);
    });

    for (const engine of engines()) {
        it(`may restart their processors (${engine.name})`, async function () {
            needs(this, ...engine.requirements);
            const { status, errors } = await run('restart', '--cpus', '2', '--engine', engine.name);

            assert.equal(status, 2 * 1 + 1, errors);
        });
    }

    for (const engine of engines()) {
        it(`may suspend to RAM (${engine.name})`, async function () {
            needs(this, ...engine.requirements);
            const { status, errors } = await run('suspend', '--cpus', '2', '--engine', engine.name);

            assert.equal(status, 2 * 1 + 1, errors);
        });
    }

    it('end with a report when they triple fault', async () => {
        const { status, errors } = await run('triple-fault');

        assert.equal(status, 3);
        assert.match(errors, /^hyperscope: triple fault on vCPU 0\n {2}first: #UD\n {2}while delivering that: #GP/);
        assert.match(errors, /^ {2}at 0010:[0-9a-f]{16} <start\+0xc> {2}ud2$/m);
        assert.match(errors, /rcx 0000000012345678/);
    });

    it('are ended by the timeout', async () => {
        const { status, errors } = await runCli([
            ...['run', '--kernel', assembleKernel('spin', folder), '--timeout', '0.5'],
        ]);

        assert.equal(status, 124);
        assert.equal(errors, 'hyperscope: timeout after 0.5 s\n');
    });

    it('are ended by a signal', async () => {
        const child = startCli(['run', '--kernel', assembleKernel('echo', folder), '--timeout', '20']);
        await child.outputHas('ready\n');
        child.signal('SIGTERM');

        assert.equal((await child.result).status, 130);
    });

    it('are ended without a complaint when nobody reads their output any more', () => {
        const { status, stdout, stderr } = spawnSync(
            'sh',
            [
                ...['-c', '{ "$@"; echo "status $?" >&2; } | head -n 1', 'sh'],
                ...[process.execPath, PROGRAM, 'run', '--kernel', sampleElf, '--append', 'monitor', '--timeout', '20'],
            ],
            { encoding: 'latin1' },
        );

        assert.equal(stdout, 'Hyperscope sample guest\r\n');
        assert.equal(stderr, 'status 141\n');
        assert.equal(status, 0);
    });

    it('are ended by the timeout although nobody reads what they print', async () => {
        const spew = ['run', '--kernel', assembleKernel('spew', folder), '--timeout', '1'];
        const child = spawn(process.execPath, [PROGRAM, ...spew], { stdio: ['ignore', 'pipe', 'ignore'] });

        assert.equal(await new Promise(resolve => child.on('exit', resolve)), 124);
    });

    it('are ended with a complaint when their output is lost', async function () {
        if (!existsSync('/dev/full')) this.skip();
        const { status, errors } = await runCli(['run', '--sample', '--serial', '/dev/full']);

        assert.equal(errors, 'hyperscope: --serial /dev/full: cannot be written (ENOSPC)\n');
        assert.equal(status, 2);
    });

    it('print into a file and leave statistics', async () => {
        await run('pvh', '--append', 'text', '--initrd', at('pvh.o'), '--serial', at('log'), '--stats', at('stats'));

        assert.match(readFileSync(at('log'), 'latin1'), /^text/);
        const statistics = JSON.parse(readFileSync(at('stats'), 'utf8')) as Record<string, unknown>;
        assert.ok((statistics.instructions as number) > 10);
        assert.match(statistics.stateHash as string, /^[0-9a-f]{16}$/);
    });

    describe('saved by the command line', () => {
        const echo = (...options: string[]): CliProcess =>
            startCli(['run', '--kernel', assembleKernel('echo', folder), '--timeout', '20', ...options]);

        /** Has the guest answer one character, then saves and ends it. */
        async function save(): Promise<void> {
            const child = echo('--save', at('state'));
            await child.outputHas('ready\n');
            child.type('a');
            await child.outputHas('1a');
            child.signal('SIGTERM');
            const { status, errors } = await child.result;
            assert.equal(errors, `hyperscope: saved to ${at('state')}\n`);
            assert.equal(status, 130);
        }

        it('continue where they were', async () => {
            await save();
            const child = echo('--restore', at('state'));
            child.type('bq');

            assert.deepEqual(await child.result, { status: 15, output: '2b3q', errors: '' });
        });

        it('continue with the host for a clock', async () => {
            await save();
            const child = echo('--restore', at('state'), '--real-time');
            child.type('bq');

            assert.deepEqual(await child.result, { status: 15, output: '2b3q', errors: '' });
        });

        it('go on after a save at SIGUSR2', async () => {
            const child = echo('--save', at('state'));
            await child.outputHas('ready\n');
            child.signal('SIGUSR2');
            await child.errorsHave('saved to');
            child.type('xq');

            const { status, output } = await child.result;
            assert.equal(output, 'ready\n1x2q');
            assert.equal(status, 15);
        });

        it('are refused by a machine of another make, and in pieces', async () => {
            await save();
            const other = await echo('--restore', at('state'), '--memory', '64M').result;
            assert.match(other.errors, /^hyperscope: --restore .*: snapshot is of a machine with other bytes of RAM/);
            assert.equal(other.status, 2);

            writeFileSync(at('half'), readFileSync(at('state')).subarray(0, 5000));
            const half = await echo('--restore', at('half')).result;
            assert.match(half.errors, /^hyperscope: --restore .*: snapshot file is truncated[^\n]*\n$/);
            assert.equal(half.status, 2);
        });
    });
});
