/** SeaBIOS from Debian's package: alone, and with kernels that it starts. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { guestFiles, guestsDirectory, needs } from '../support/requirements';
import { assembleDisk, assembleKernel, assembler } from './support/assemble';
import { runCli, startCli } from './support/cli';
import { BOOTED, INITRD, KERNEL, linuxFiles } from './support/linux';

const guest = (name: string): string => path.join(guestsDirectory, name);

describe('firmware', function () {
    this.timeout(220_000);

    for (const rom of ['bios.bin', 'bios-256k.bin']) {
        it(`SeaBIOS as ${rom} finds nothing to boot`, async function () {
            needs(this, guestFiles(rom));
            const child = startCli(['run', '--firmware', guest(rom), '--timeout', '60']);
            await child.outputHas('No bootable device.');
            child.signal('SIGTERM');

            const { output, errors } = await child.result;
            assert.match(output, /SeaBIOS \(version /);
            assert.equal(errors, '');
        });
    }

    it('SeaBIOS starts Linux from its 16-bit entry', async function () {
        needs(this, guestFiles('bios-256k.bin'), linuxFiles);
        const { status, output, errors } = await startCli([
            ...['run', '--firmware', guest('bios-256k.bin'), '--kernel', KERNEL, '--initrd', INITRD],
            ...['--append', 'console=ttyS0', '--timeout', '200'],
        ]).result;

        assert.match(output, /Booting from ROM/, errors);
        assert.match(output, new RegExp(`${BOOTED}\\r\\n`));
        assert.equal(status, 0);
    });

    for (const [kind, program, output, status] of [
        ['Multiboot', 'multiboot', /a=1 b\]\n\n?\[.* x\]\n\[module\]/, 2 * 21 + 1],
        ['PVH', 'pvh', /a=1 b7/, 1],
    ] as const) {
        it(`SeaBIOS starts a ${kind} kernel`, async function () {
            needs(this, guestFiles('bios-256k.bin'), ...assembler);
            const folder = mkdtempSync(path.join(tmpdir(), 'hyperscope-'));
            try {
                const module = path.join(folder, 'module');
                writeFileSync(module, 'module\0');
                const result = await runCli([
                    ...['run', '--firmware', guest('bios-256k.bin'), '--kernel', assembleKernel(program, folder)],
                    ...['--append', 'a=1 b', '--initrd', `${module} x`, '--timeout', '100'],
                ]);

                assert.match(result.output, output, result.errors);
                assert.equal(result.status, status);
            } finally {
                rmSync(folder, { recursive: true });
            }
        });
    }

    it('SeaBIOS starts a zImage', async function () {
        needs(this, guestFiles('bios-256k.bin'), ...assembler);
        const folder = mkdtempSync(path.join(tmpdir(), 'hyperscope-'));
        try {
            const { status, output, errors } = await runCli([
                ...['run', '--firmware', guest('bios-256k.bin'), '--kernel', assembleDisk('zimage', folder)],
                ...['--append', 'a=1 b', '--timeout', '100'],
            ]);

            assert.match(output, /a=1 b$/, errors);
            assert.equal(status, 2 * 1 + 1);
        } finally {
            rmSync(folder, { recursive: true });
        }
    });

    it('SeaBIOS starts MEMDISK, which boots the floppy disk that it got as its initial RAM disk', async function () {
        needs(this, guestFiles('bios-256k.bin', 'syslinux/memdisk'), ...assembler);
        const folder = mkdtempSync(path.join(tmpdir(), 'hyperscope-'));
        try {
            const { status, output, errors } = await startCli([
                ...['run', '--firmware', guest('bios-256k.bin'), '--kernel', guest('syslinux/memdisk')],
                ...['--initrd', assembleDisk('boot-sector', folder), '--timeout', '100'],
            ]).result;

            assert.match(output, /MEMDISK/, errors);
            assert.match(output, /read from the second sector/);
            assert.equal(status, 1);
        } finally {
            rmSync(folder, { recursive: true });
        }
    });

    it('SeaBIOS starts iPXE, whose command line is typed at over the serial port', async function () {
        needs(this, guestFiles('bios-256k.bin', 'ipxe.lkrn'));
        // iPXE gathers entropy from the real-time clock's interrupts, some seconds of it: cheap on the host's clock only.
        const child = startCli([
            ...['run', '--firmware', guest('bios-256k.bin'), '--kernel', guest('ipxe.lkrn')],
            ...['--real-time', '--timeout', '120'],
        ]);
        await child.outputHas('Press Ctrl-B');
        child.type('\x02');
        await child.outputHas('iPXE>');
        child.type('echo six\r');
        await child.outputHas('six\r\niPXE>');
        child.signal('SIGTERM');

        assert.match((await child.result).output, /Open Source Network Boot Firmware/);
    });
});
