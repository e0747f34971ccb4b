/** The sample guest: what it prints here and in QEMU, and that the built files are those of the sources. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { projectRoot } from '../support/project';
import { needs, tool } from '../support/requirements';
import { SAMPLE_END, sampleElf, sampleFolder, sampleOutput, sampleRom, type SampleStart } from '../support/sample';
import { runCli, startCli } from './support/cli';

interface SampleBuilder {
    sourcesHash(): string;
    toolVersions(): string | undefined;
    buildSample(target: string): void;
}

interface Description {
    readonly sources: string;
    readonly tools: string;
    readonly [file: string]: string;
}

const FILES = ['sample.elf', 'sample.rom'];

/** How each start is asked for. */
const OPTIONS: Readonly<Record<SampleStart, { readonly ours: string[]; readonly qemu: string[] }>> = {
    reset: { ours: ['--firmware', sampleRom], qemu: ['-bios', sampleRom] },
    pvh: { ours: ['--kernel', sampleElf], qemu: ['-kernel', sampleElf] },
};

describe('the sample guest', function () {
    this.timeout(60_000);

    for (const start of ['reset', 'pvh'] as const) {
        for (const cpus of [1, 3]) {
            it(`prints what it always prints, started by ${start} with ${cpus} vCPUs`, async () => {
                const result = await runCli([
                    ...['run', ...OPTIONS[start].ours],
                    ...['--memory', '32M', '--cpus', String(cpus), '--timeout', '30'],
                ]);

                assert.equal(result.output, sampleOutput(start, { memory: 32, cpus }) + SAMPLE_END, result.errors);
                assert.equal(result.status, 0);
            });
        }

        it(`prints the same in QEMU, started by ${start}`, function () {
            needs(this, tool('qemu-system-x86_64'));
            const { stdout, stderr, status } = spawnSync(
                'qemu-system-x86_64',
                [
                    ...['-accel', 'tcg', '-m', '64M', '-smp', '2', '-display', 'none', '-serial', 'stdio'],
                    ...['-no-reboot', ...OPTIONS[start].qemu],
                ],
                { encoding: 'latin1', timeout: 30_000, input: '' },
            );

            assert.equal(stdout, sampleOutput(start, { cpus: 2 }) + SAMPLE_END, stderr);
            assert.equal(status, 0);
        });
    }

    it('is run by its own option', async () => {
        const { status, output } = await runCli(['run', '--sample', '--timeout', '30']);

        assert.equal(output, sampleOutput('reset', { memory: 256 }) + SAMPLE_END);
        assert.equal(status, 0);
    });

    it('takes the interpreter tier and the host for a clock too', async () => {
        for (const option of ['--interpret', '--real-time']) {
            const result = await runCli(['run', '--firmware', sampleRom, '--timeout', '30', option]);

            assert.equal(result.output, sampleOutput('reset', { memory: 256 }) + SAMPLE_END, result.errors);
        }
    });

    it('does without SYSCALL where its command line says nosyscall', async () => {
        const result = await runCli(['run', '--kernel', sampleElf, '--append', 'nosyscall', '--timeout', '30']);

        assert.equal(result.output, sampleOutput('pvh', { memory: 256 }) + SAMPLE_END, result.errors);
    });

    it('reads commands where its command line says monitor', async () => {
        const child = startCli(['run', '--kernel', sampleElf, '--append', 'quiet monitor', '--timeout', '30']);
        await child.outputHas('> ');
        child.type('nonsense\r');
        await child.outputHas("no command 'nonsense'; help lists them\r\n> ");
        child.type('tasxx\b\bks\r');
        await child.outputHas('  0 main     running\r\n');
        child.type('off\r');

        const { status, output } = await child.result;
        assert.ok(output.startsWith(sampleOutput('pvh', { memory: 256 })));
        assert.equal(status, 0);
    });

    it('panics at a page fault of the kernel, by the debug exit', async () => {
        const child = startCli(['run', '--kernel', sampleElf, '--append', 'monitor', '--timeout', '30']);
        await child.outputHas('> ');
        child.type('panic\r');

        const { status, output } = await child.result;
        assert.match(output, /panic: page fault at ffffffff8010\w{4}, address 18, error code 2\r\n$/);
        assert.equal(status, 2 * 1 + 1);
    });

    describe('in the tree', () => {
        let builder: SampleBuilder;
        let description: Description;

        before(async () => {
            const script = path.join(projectRoot, 'scripts', 'sample-guest.mjs');
            builder = (await import(pathToFileURL(script).href)) as SampleBuilder;
            description = JSON.parse(readFileSync(path.join(sampleFolder, 'sample.json'), 'utf8')) as Description;
        });

        it('was built from these sources', () => {
            assert.equal(builder.sourcesHash(), description.sources, 'run npm run sample');
            for (const file of FILES) {
                const hash = createHash('sha256')
                    .update(readFileSync(path.join(sampleFolder, file)))
                    .digest('hex');
                assert.equal(hash, description[file], file);
            }
        });

        it('is small and names no folder of the machine that built it', () => {
            assert.ok(statSync(sampleElf).size < 150_000);
            const text = readFileSync(sampleElf).toString('latin1');
            const absolutePaths = text.split('\0').filter(string => /^\/[\w.-]+\//.test(string));
            assert.deepEqual(absolutePaths, []);
            assert.ok(text.includes('kernel/workload.c'));
        });

        it('is rebuilt byte for byte by the same tools', function () {
            needs(this, tool('gcc'), tool('ld'), tool('objcopy'));
            // Other versions give other bytes: then all that can be told is that they build it.
            const sameTools = builder.toolVersions() === description.tools;
            const folder = mkdtempSync(path.join(tmpdir(), 'hyperscope-sample-'));
            try {
                builder.buildSample(folder);
                for (const file of FILES) {
                    const rebuilt = readFileSync(path.join(folder, file));
                    assert.ok(!sameTools || rebuilt.equals(readFileSync(path.join(sampleFolder, file))), file);
                }
            } finally {
                rmSync(folder, { recursive: true });
            }
        });
    });
});
