/** The guest in which benchmarks stop at random: Debian's kernel with a shell that keeps it busy. */
import { readFileSync } from 'node:fs';
import { INITRD, load, VMLINUZ } from './project.mjs';

const WORK = 'find / -xdev | wc -l; sha256sum /bin/busybox; ps; ls -lR /sys | wc -l';

/** @param {string[]} options for the kernel */
export function startGuest(...options) {
    const { Machine } = load('src/machine/machine');
    const { CODE_ARENA_SIZE, translatorEngine } = load('src/translator/index');
    return new Machine({
        memory: 256 * 2 ** 20,
        cpus: 1,
        engine: translatorEngine({ now: () => performance.now() }),
        engineArena: CODE_ARENA_SIZE,
        kernel: {
            kernel: { name: VMLINUZ, data: readFileSync(VMLINUZ) },
            modules: [{ name: INITRD, data: readFileSync(INITRD), commandLine: '' }],
            commandLine: ['console=ttyS0', ...options, `hs.cmd=${encodeURIComponent(WORK)}`].join(' '),
        },
        serial: [() => undefined],
        debugConsole: () => undefined,
    });
}

/** Numbers from 0 to 1, the same for each seed. */
export function randomNumbers(seed) {
    let state = seed >>> 0;
    return () => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return state / 2 ** 32;
    };
}
