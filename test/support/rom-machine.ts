/** Machines that run a few bytes of real-mode code from a ROM. */
import { performance } from 'node:perf_hooks';
import { Machine, type MachineOptions } from '../../src/machine/machine';
import { CODE_ARENA_SIZE, translatorEngine } from '../../src/translator';

const ROM_SIZE = 0x10000;
const ENTRY = 0xfff0;

/** Where the code begins: at CS F000h. */
export const ROM_BASE = 0xf0000;

/** A 64 KiB ROM with `code` (bytes in hexadecimal) at F000:0000, where the reset vector jumps. */
export function rom(...code: readonly string[]): Uint8Array {
    const image = new Uint8Array(ROM_SIZE).fill(0xf4);
    image.set(Buffer.from(code.join('').replace(/\s/g, ''), 'hex'));
    image.set([0xea, 0, 0, 0, 0xf0], ENTRY);
    return image;
}

export function romMachine(image: Uint8Array, options: Partial<MachineOptions> = {}): Machine {
    return new Machine({
        memory: 4 << 20,
        engine: translatorEngine({ now: () => performance.now(), hotThreshold: 50 }),
        engineArena: CODE_ARENA_SIZE,
        firmware: { name: 'rom', data: image },
        ...options,
    });
}
