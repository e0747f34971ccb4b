/** The initial RAM disks of the test guests: busybox, an init script of ours, and for one of them our own programs. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { CpioArchive } from './cpio.mjs';

const GUESTS = path.join(import.meta.dirname, '..', 'test', 'guests');

/** What init scripts and test commands call by name; busybox itself serves any other applet as `busybox NAME`. */
const APPLETS = (
    'ash awk basename cat chmod chown clear cmp cp cttyhack cut date dd df dirname dmesg echo env expr false find free ' +
    'grep gunzip gzip halt head hexdump hostname id ifconfig insmod ip kill ln ls lsmod md5sum mkdir mknod modprobe ' +
    'mount mv nc od ping poweroff printf ps pwd reboot rm rmdir rmmod sed seq setsid sh sha256sum sha512sum sleep ' +
    'sort stat stty sync tail tar tee test time top touch tr true umount uname uniq uptime usleep vi wc wget which ' +
    'xargs yes zcat'
).split(' ');

/** No C library and no start files: the code that is timed is the code of the source. */
const COMPILER_FLAGS = (
    '-O2 -Wall -Wextra -static -nostdlib -ffreestanding -fno-tree-loop-distribute-patterns -fno-stack-protector ' +
    '-fno-pie -no-pie -fcf-protection=none -fno-asynchronous-unwind-tables -s -Wl,--build-id=none'
).split(' ');

/**
 * Compiles one of `test/guests/programs` into a static Linux binary.
 * @returns {Buffer} the ELF file
 * @throws {Error} with the compiler's complaint
 */
export function compileGuestProgram(source) {
    const folder = mkdtempSync(path.join(tmpdir(), 'hyperscope-'));
    try {
        const output = path.join(folder, 'program');
        const file = path.join(GUESTS, 'programs', source);
        const result = spawnSync('gcc', [...COMPILER_FLAGS, '-o', output, file], { encoding: 'utf8' });
        if (result.status !== 0) {
            throw new Error(
                `gcc cannot build test/guests/programs/${source}: ${result.stderr ?? result.error?.message}`,
            );
        }
        return readFileSync(output);
    } finally {
        rmSync(folder, { recursive: true, force: true });
    }
}

/**
 * Builds a gzipped cpio archive; equal inputs give equal bytes.
 * @param {Buffer} busybox static busybox binary
 * @param {string} initScript file of `test/guests/initrd` that becomes `/init`
 * @param {Record<string, Buffer>} programs further files of `/bin`
 */
export function buildInitrd(busybox, initScript, programs = {}) {
    const archive = new CpioArchive();
    for (const name of ['bin', 'dev', 'etc', 'proc', 'root', 'sys', 'tmp']) archive.directory(name);
    // The kernel opens it as init's standard streams before anything could mount devtmpfs.
    archive.characterDevice('dev/console', 5, 1);
    archive.file('init', readFileSync(path.join(GUESTS, 'initrd', initScript)), 0o755);
    archive.file('bin/busybox', busybox, 0o755);
    for (const applet of APPLETS) archive.symlink(`bin/${applet}`, 'busybox');
    for (const [name, content] of Object.entries(programs)) archive.file(`bin/${name}`, content, 0o755);
    return gzipSync(archive.finish(), { level: 9 });
}
