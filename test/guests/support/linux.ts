import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { LinuxEntry } from '../../../src/machine/loaders/linux-header';
import { Machine } from '../../../src/machine/machine';
import type { MachineStop } from '../../../src/machine/stop';
import { CODE_ARENA_SIZE, translatorEngine } from '../../../src/translator';
import { guestFiles, guestsDirectory } from '../../support/requirements';

export const KERNEL = path.join(guestsDirectory, 'vmlinuz-cloud');
export const INITRD = path.join(guestsDirectory, 'initrd-busybox.cpio.gz');
/** What a test that boots Linux `needs`. */
export const linuxFiles = guestFiles('vmlinuz-cloud', 'initrd-busybox.cpio.gz');

/** What init prints when userland runs. */
export const BOOTED = 'HYPERSCOPE-BOOT-OK';

export interface LinuxOptions {
    readonly commandLine: string;
    readonly cpus?: number;
    readonly entry?: LinuxEntry;
    /** False for the interpreter tier only. */
    readonly translate?: boolean;
}

/** Debian's kernel in a machine inside this process. */
export class LinuxGuest {
    /** What the guest has printed. */
    console = '';
    readonly machine: Machine;
    /** Instructions retired when each line of {@link console} ended. */
    private readonly lineEnds: { readonly length: number; readonly instructions: number }[] = [];

    constructor(options: LinuxOptions) {
        this.machine = new Machine({
            memory: 256 * 0x100000,
            cpus: options.cpus,
            engine: translatorEngine({ now: () => performance.now(), translate: options.translate }),
            engineArena: CODE_ARENA_SIZE,
            kernel: {
                kernel: { name: KERNEL, data: readFileSync(KERNEL) },
                modules: [{ name: INITRD, data: readFileSync(INITRD) }],
                commandLine: options.commandLine,
            },
            entry: options.entry,
            serial: [byte => this.print(byte)],
        });
    }

    /**
     * Runs until the guest has printed `text`, in pieces of `chunk` instructions.
     * @throws Error with the console's end if the machine stops before
     */
    runUntil(text: string, chunk = 4_000_000): void {
        while (!this.console.includes(text)) {
            const stop = this.machine.run({ instructions: chunk });
            if (stop.reason !== 'budget') {
                throw new Error(`stopped (${stop.reason}) before '${text}':\n${this.console.slice(-2000)}`);
            }
        }
    }

    /** Runs until the machine has an end of its own. */
    runToEnd(chunk: number): MachineStop {
        for (;;) {
            const stop = this.machine.run({ instructions: chunk });
            if (stop.reason !== 'budget') {
                return stop;
            }
        }
    }

    type(text: string): void {
        this.machine.sendSerial(0, new TextEncoder().encode(text));
    }

    /** Instructions retired when the first line with `text` was complete. */
    instructionsAt(text: string): number {
        const at = this.console.indexOf(text);
        const line = this.lineEnds.find(({ length }) => length > at);
        if (at < 0 || line === undefined) {
            throw new Error(`no complete line with '${text}':\n${this.console.slice(-2000)}`);
        }
        return line.instructions;
    }

    private print(byte: number): void {
        this.console += String.fromCharCode(byte);
        if (byte === 0x0a) {
            this.lineEnds.push({ length: this.console.length, instructions: this.machine.engine.retired() });
        }
    }
}
