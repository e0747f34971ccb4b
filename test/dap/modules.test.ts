import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { BackgroundIndex } from '../../src/dap/background-index';
import { openFile } from '../../src/dap/symbol-files';
import { Program } from '../../src/symbols/program';
import { scratchDirectory } from '../support/compiled';
import { compileModule } from '../support/kernel-module';
import { projectRoot } from '../support/project';
import { debugKernel, guestFiles, guestsDirectory, needs, tool } from '../support/requirements';
import { SourceClient } from './source-client';

const SOURCE = `
static int total;

__attribute__((noinline)) static int weigh(int first, int second)
{
    int sum = first + 2 * second;
    total += sum;
    return sum;
}

__attribute__((section(".init.text"))) int init_module(void)
{
    return weigh(1, 3) != 7;
}

void cleanup_module(void)
{
    total = weigh(total, 10);
}
`;

/** Loads the module twice. */
const INIT = `#!/bin/sh
mount -t proc proc /proc
insmod /glassprobe.ko
rmmod glassprobe
insmod /glassprobe.ko
poweroff -f
`;

interface CpioWriter {
    file(name: string, content: Uint8Array, mode?: number): void;
    finish(): Buffer;
}

function lineWith(text: string): number {
    return SOURCE.split('\n').findIndex(line => line.includes(text)) + 1;
}

describe('modules of a kernel', () => {
    let client: SourceClient;
    let folder: string;
    let source: string;

    before(async function () {
        this.timeout(120_000);
        needs(this, debugKernel, guestFiles('vmlinuz-cloud', 'initrd-busybox.cpio.gz', 'modules-cloud'));
        needs(this, tool('gcc'), tool('ld'));
        folder = scratchDirectory();
        const url = pathToFileURL(path.join(projectRoot, 'scripts', 'cpio.mjs')).href;
        const { CpioArchive } = (await import(url)) as { CpioArchive: new () => CpioWriter };
        const vmlinux = new Program(openFile(path.join(guestsDirectory, 'vmlinux-cloud')), { open: () => undefined });
        await BackgroundIndex.start(vmlinux)?.ended;
        source = path.join(folder, 'glassprobe.c');
        writeFileSync(source, SOURCE);
        mkdirSync(path.join(folder, 'modules', 'extra'), { recursive: true });
        const module = compileModule(vmlinux, source, path.join(folder, 'modules', 'extra'));
        const archive = new CpioArchive();
        archive.file('init', Buffer.from(INIT), 0o755);
        archive.file('glassprobe.ko', readFileSync(module));
        const busybox = readFileSync(path.join(guestsDirectory, 'initrd-busybox.cpio.gz'));
        // A kernel unpacks one archive behind the other; later files replace earlier ones.
        writeFileSync(path.join(folder, 'initrd'), Buffer.concat([busybox, gzipSync(archive.finish())]));
    });

    afterEach(() => (client as SourceClient | undefined)?.stop());

    it('come with symbols and lines while they are loaded: breakpoints wait for them', async function () {
        this.timeout(120_000);
        await launch(100_000, path.join(guestsDirectory, 'vmlinux-cloud'), path.join(folder, 'modules'));
        const lines = ['return weigh(1, 3)', 'total += sum', 'total = weigh'].map(lineWith);
        const [pending] = await client.breakAtLines(source, ...lines);
        assert.equal(pending.verified, false);
        assert.match(pending.message ?? '', /no debug information that is loaded names code for line/);
        assert.deepEqual(await probes(), []);

        // In its initialization, before anything of it has run.
        await client.run('configurationDone', {});
        assert.equal((await client.run('continue')).reason, 'breakpoint');
        const [own, caller] = await client.places();
        assert.equal(own, `init_module:${lines[0]}`);
        assert.match(caller, /^do_one_initcall:/);
        const [module] = await probes();
        assert.equal(module.symbolFilePath, path.join(folder, 'modules', 'extra', 'glassprobe.ko'));
        assert.match(module.symbolStatus ?? '', /^\d+ symbols$/);
        const [base, end] = module.addressRange!.split('-').map(BigInt);
        const weigh = BigInt((await client.evaluate('(unsigned long)&weigh')).split(' ')[0]);
        assert.ok(weigh >= base && weigh < end, `${weigh} in ${module.addressRange}`);

        await client.run('continue');
        const places = await client.places();
        assert.deepEqual(places.slice(0, 2), [`weigh:${lines[1]}`, `init_module:${lines[0]}`]);
        assert.equal(await client.evaluate('first'), '1');
        assert.equal(await client.evaluate('sum + total == 7'), '0x1');
        // Per-CPU variables of the kernel: this vCPU's own, and those of another.
        assert.equal(await client.evaluate('current_task->comm'), '"insmod"');
        assert.equal(await client.evaluate('per_cpu(current_task, 0)->comm'), '"insmod"');
        assert.equal(await client.evaluate('per_cpu(runqueues, 0).cpu'), '0');
        const [{ id: frameId }] = await client.frames();
        assert.match(
            await client.refusal('evaluate', { expression: 'per_cpu(init_task, 0)', frameId }),
            /there is no per-CPU variable 'init_task' of a CPU 0/,
        );

        await client.run('continue');
        assert.equal((await client.places())[0], `cleanup_module:${lines[2]}`);
        assert.equal(await client.evaluate('total'), '7');
        await client.run('continue');
        assert.deepEqual((await client.places()).slice(0, 2), [`weigh:${lines[1]}`, `cleanup_module:${lines[2]}`]);

        // Gone, and there again: what was known of the first is not true of the second.
        await client.run('continue');
        assert.equal((await client.places())[0], `init_module:${lines[0]}`);
        await client.run('continue');
        assert.equal(await client.evaluate('total'), '0');
        assert.equal((await probes()).length, 1);
    });

    it('name themselves where nothing else does, with their callers', async function () {
        this.timeout(240_000);
        await launch(200_000);
        await client.request('setFunctionBreakpoints', { breakpoints: [{ name: 'weigh' }] });
        await client.run('configurationDone', {});
        const stack = async (): Promise<string[]> => {
            const body = await client.ask<DebugProtocol.StackTraceResponse['body']>('stackTrace', { threadId: 1 });
            return body.stackFrames.map(({ name }) => name.split('+')[0]);
        };

        // Called by its initialization, which is gone afterwards, and by its end.
        assert.equal((await client.run('continue')).reason, 'function breakpoint');
        assert.deepEqual((await stack()).slice(0, 3), ['weigh', 'init_module', 'do_one_initcall']);
        assert.ok((await stack()).includes('do_syscall_64'), (await stack()).join(' < '));
        const [module] = await probes();
        assert.match(module.symbolStatus ?? '', /^\d+ symbols in the guest's memory; /);
        await client.run('continue');
        const names = await stack();
        assert.deepEqual(names.slice(0, 2), ['weigh', 'cleanup_module']);
        assert.ok(names.includes('do_syscall_64'), names.join(' < '));

        // Loaded again, it may lie elsewhere.
        await client.run('continue');
        assert.deepEqual((await stack()).slice(0, 2), ['weigh', 'init_module']);
    });

    /** The kernel that loads the module. @param timeout of each answer, in milliseconds */
    const launch = async (timeout: number, ...symbols: readonly string[]): Promise<void> => {
        client = new SourceClient(undefined, timeout);
        await client.launch({
            kernel: path.join(guestsDirectory, 'vmlinuz-cloud'),
            initrd: path.join(folder, 'initrd'),
            symbols,
            memory: '256M',
            append: 'console=ttyS0 quiet kaslr',
            serial: 'none',
        });
    };

    const probes = async (): Promise<DebugProtocol.Module[]> => {
        const { modules } = await client.ask<DebugProtocol.ModulesResponse['body']>('modules');
        return modules.filter(({ name }) => name === 'glassprobe');
    };
});
