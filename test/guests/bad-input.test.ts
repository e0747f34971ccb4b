/** Files and options that cannot be used: one clear line, exit status 2. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { guestFiles, guestsDirectory, needs } from '../support/requirements';
import { runCli } from './support/cli';
import { INITRD, KERNEL, linuxFiles } from './support/linux';

describe('unusable input', function () {
    this.timeout(30_000);
    let folder: string;

    before(() => {
        folder = mkdtempSync(path.join(tmpdir(), 'hyperscope-'));
    });
    after(() => rmSync(folder, { recursive: true }));

    async function refuses(args: readonly string[], message: RegExp): Promise<void> {
        const { status, output, errors } = await runCli(['run', '--timeout', '10', ...args]);
        assert.match(errors, message);
        assert.match(errors, /^hyperscope: [^\n]+\n$/);
        assert.equal(output, '');
        assert.equal(status, 2);
    }

    /** A file of the test's own. */
    function file(name: string, content: string | Uint8Array): string {
        const where = path.join(folder, name);
        writeFileSync(where, content);
        return where;
    }

    /** The bytes of a file, damaged. */
    function damaged(source: string, damage: (bytes: Uint8Array) => Uint8Array): Uint8Array {
        return damage(new Uint8Array(readFileSync(source)));
    }

    describe('options', () => {
        const cases: readonly (readonly [string, readonly string[], RegExp])[] = [
            ['nothing to run', [], /nothing to run: give --kernel FILE, --firmware FILE or --sample/],
            ['two guests', ['--sample', '--kernel', 'k'], /--sample is a guest of its own/],
            ['an unknown option', ['--bogus'], /Unknown option '--bogus'/],
            ['a memory size of nonsense', ['--kernel', 'k', '--memory', 'lots'], /--memory takes a size.*'lots'/],
            ['a RAM disk without a kernel', ['--sample', '--initrd', 'i'], /--initrd is for a kernel/],
            ['a command line without a kernel', ['--firmware', 'f', '--append', 'a'], /--append is for a kernel/],
            ['a value that begins with a dash', ['--memory', '-5'], /'--memory' argument is ambiguous\n$/],
            ['no vCPUs', ['--kernel', 'k', '--cpus', '0'], /--cpus takes a number from 1 to 64, not '0'/],
            ['a missing kernel', ['--kernel', 'nowhere'], /--kernel nowhere: no such file/],
            ['a folder as kernel', ['--kernel', tmpdir()], /--kernel .*: is a directory/],
            ['a device that never ends as kernel', ['--kernel', '/dev/zero'], /--kernel .*: is a device, not a file/],
            ['a missing firmware', ['--firmware', 'nowhere'], /--firmware nowhere: no such file/],
        ];
        for (const [what, args, message] of cases) {
            it(what, () => refuses(args, message));
        }
    });

    describe('kernels', () => {
        it('empty', () => refuses(['--kernel', file('kernel', '')], /kernel: empty: not a kernel/));

        it('foreign', () => refuses(['--kernel', file('kernel', 'hello\n')], /kernel: not a kernel: neither a Linux/));

        it('truncated in the setup code', async function () {
            needs(this, linuxFiles);
            const kernel = damaged(KERNEL, bytes => bytes.subarray(0, 600));
            await refuses(['--kernel', file('kernel', kernel)], /kernel: truncated: the setup code ends at byte/);
        });

        it('truncated in the payload', async function () {
            needs(this, linuxFiles);
            const kernel = damaged(KERNEL, bytes => bytes.subarray(0, 3_000_000));
            await refuses(
                ['--kernel', file('kernel', kernel)],
                /kernel: truncated: the kernel ends at byte .* 3000000/,
            );
        });
    });

    describe('initial RAM disks', () => {
        const cases: readonly (readonly [string, () => string | Uint8Array, RegExp])[] = [
            ['empty', () => '', /initrd: empty: not an initrd/],
            ['foreign', () => 'hello\n', /initrd: not an initrd: neither a cpio archive, nor compressed/],
            [
                'truncated',
                () => damaged(INITRD, bytes => bytes.subarray(0, 500_000)),
                /initrd: truncated or corrupt: its gzip stream cannot be unpacked/,
            ],
            [
                'corrupt',
                () =>
                    damaged(INITRD, bytes => {
                        bytes[500_000] ^= 0x55;
                        return bytes;
                    }),
                /initrd: truncated or corrupt: its gzip stream cannot be unpacked/,
            ],
        ];
        for (const [what, content, message] of cases) {
            it(what, async function () {
                needs(this, linuxFiles);
                await refuses(['--kernel', KERNEL, '--initrd', file('initrd', content())], message);
            });
        }

        it('none', async function () {
            needs(this, linuxFiles);
            await refuses(['--kernel', KERNEL, '--initrd', ''], /--initrd takes a file, not ''/);
        });

        it('two for Linux', async function () {
            needs(this, linuxFiles);
            await refuses(
                ['--kernel', KERNEL, '--initrd', `${INITRD},${INITRD}`],
                /a Linux kernel takes one initrd only/,
            );
        });
    });

    describe('ROMs', () => {
        it('truncated', async function () {
            needs(this, guestFiles('bios.bin'));
            const rom = damaged(path.join(guestsDirectory, 'bios.bin'), bytes => bytes.subarray(0, 100_000));
            await refuses(['--firmware', file('rom', rom)], /rom: truncated or not a ROM image: 100000 bytes/);
        });

        it('without code at the reset vector', () =>
            refuses(['--firmware', file('rom', new Uint8Array(0x10000))], /rom: corrupt or not a ROM image: no code/));
    });

    describe('memory sizes', () => {
        const cases: readonly (readonly [string, RegExp])[] = [
            ['512K', /memory size 512 KiB is not usable: it must be at least 1 MiB/],
            ['8G', /memory size 8 GiB cannot be had: .* at most \d+ MiB/],
            ['99999999999999999999G', /memory size .* cannot be had/],
            ['99999G', /memory size 99999 GiB cannot be had/],
            ['16M', /vmlinuz-cloud: needs RAM up to \d+ MiB to start: give the machine more memory/],
        ];
        for (const [size, message] of cases) {
            it(size, async function () {
                needs(this, linuxFiles);
                await refuses(['--kernel', KERNEL, '--memory', size], message);
            });
        }
    });

    it('a command line longer than the kernel takes', async function () {
        needs(this, linuxFiles);
        await refuses(['--kernel', KERNEL, '--append', 'x'.repeat(5000)], /takes a command line of at most 2047 bytes/);
    });

    describe('output that cannot be written', () => {
        for (const option of ['--serial', '--stats', '--exits', '--save']) {
            it(option, async function () {
                needs(this, linuxFiles);
                const nowhere = path.join(folder, 'none', 'file');
                await refuses(
                    ['--kernel', KERNEL, option, nowhere],
                    new RegExp(`${option} .*: cannot be written \\(ENOENT\\)`),
                );
            });
        }
    });
});
