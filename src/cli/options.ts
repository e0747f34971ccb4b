/** Parsing of `hyperscope run`'s arguments. */
import { parseArgs } from 'node:util';
import { type Endpoint, parseEndpoint } from '../common/endpoint';
import type { EngineChoice } from '../engines/choose';
import { sampleRom } from './package-files';
import { UsageError } from './usage';

export interface RunOptions {
    readonly kernel: string | undefined;
    readonly initrd: string | undefined;
    readonly append: string;
    readonly firmware: string | undefined;
    /** Bytes. */
    readonly memory: number;
    readonly cpus: number;
    /** 'stdio', 'none' or a file's path. */
    readonly serial: string;
    /** Host seconds, or undefined for no limit. */
    readonly timeout: number | undefined;
    readonly stats: string | undefined;
    /** File for the record of the guest's exits. */
    readonly exits: string | undefined;
    /** Files of saved state. */
    readonly save: string | undefined;
    readonly restore: string | undefined;
    readonly noReboot: boolean;
    readonly realTime: boolean;
    readonly interpret: boolean;
    readonly engine: EngineChoice;
    /** On KVM, vCPUs run at the same time rather than in turn. */
    readonly vcpuThreads: boolean;
    /** Where gdb may attach. */
    readonly gdb: Endpoint | undefined;
    /** The guest starts when gdb says so. */
    readonly wait: boolean;
}

const MAX_CPUS = 64;
const UNITS: Readonly<Record<string, number>> = { '': 2 ** 20, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

/** @throws UsageError naming the argument and what it takes */
export function parseRunOptions(args: readonly string[]): RunOptions {
    const values = parseValues(args);
    if (values.sample && (values.kernel ?? values.firmware) !== undefined) {
        throw new UsageError('--sample is a guest of its own: give it without --kernel and --firmware');
    }
    const orphan = (['initrd', 'append'] as const).find(option => values[option] !== undefined);
    if (values.kernel === undefined && orphan !== undefined) {
        throw new UsageError(`--${orphan} is for a kernel: give it with --kernel FILE`);
    }
    if (values.wait && values.gdb === undefined) {
        throw new UsageError('--wait waits for gdb: give it with --gdb HOST:PORT');
    }
    const firmware = values.sample ? sampleRom() : values.firmware;
    if (values.kernel === undefined && firmware === undefined) {
        throw new UsageError('nothing to run: give --kernel FILE, --firmware FILE or --sample');
    }
    return {
        kernel: values.kernel,
        initrd: values.initrd,
        append: values.append ?? '',
        firmware,
        memory: parseSize('--memory', values.memory ?? '256M'),
        cpus: parseCount('--cpus', values.cpus ?? '1', MAX_CPUS),
        serial: values.serial ?? 'stdio',
        timeout: values.timeout === undefined ? undefined : parseSeconds('--timeout', values.timeout),
        stats: values.stats,
        exits: values.exits,
        save: values.save,
        restore: values.restore,
        noReboot: values['no-reboot'] ?? false,
        realTime: values['real-time'] ?? false,
        interpret: values.interpret ?? false,
        engine: parseEngine(values.engine ?? 'translator'),
        vcpuThreads: values['no-vcpu-threads'] !== true,
        gdb: values.gdb === undefined ? undefined : parseGdb(values.gdb),
        wait: values.wait ?? false,
    };
}

function parseValues(args: readonly string[]) {
    try {
        return parseArgs({
            args: [...args],
            allowPositionals: false,
            options: {
                sample: { type: 'boolean' },
                kernel: { type: 'string' },
                initrd: { type: 'string' },
                append: { type: 'string' },
                firmware: { type: 'string' },
                memory: { type: 'string' },
                cpus: { type: 'string' },
                serial: { type: 'string' },
                timeout: { type: 'string' },
                stats: { type: 'string' },
                exits: { type: 'string' },
                save: { type: 'string' },
                restore: { type: 'string' },
                'no-reboot': { type: 'boolean' },
                'real-time': { type: 'boolean' },
                interpret: { type: 'boolean' },
                engine: { type: 'string' },
                'no-vcpu-threads': { type: 'boolean' },
                gdb: { type: 'string' },
                wait: { type: 'boolean' },
            },
        }).values;
    } catch (error) {
        // Node's own messages name the option; what follows is about '--' and helps nobody here.
        const problem = error instanceof Error ? error.message.split(/\. |\.?\n/)[0] : String(error);
        throw new UsageError(`${problem}${ADVICE[(error as NodeJS.ErrnoException).code ?? ''] ?? ''}`);
    }
}

/** By the codes of what `parseArgs` throws. */
const ADVICE: Readonly<Record<string, string>> = {
    ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL: ': what to run is given as --kernel FILE or --firmware FILE',
    ERR_PARSE_ARGS_UNKNOWN_OPTION: ": 'hyperscope help' lists what there is",
};

function parseGdb(text: string): Endpoint {
    const endpoint = parseEndpoint(text);
    if (endpoint === undefined) {
        throw new UsageError(`--gdb takes HOST:PORT or PORT, such as 127.0.0.1:1234, not '${text}'`);
    }
    return endpoint;
}

export function parseEngine(text: string): EngineChoice {
    if (text !== 'translator' && text !== 'kvm' && text !== 'auto') {
        throw new UsageError(`--engine takes translator, kvm or auto, not '${text}'`);
    }
    return text;
}

/** Bytes from `256M`, `1G`, `65536K`; a bare number is MiB, as QEMU takes it. */
export function parseSize(name: string, text: string): number {
    const match = /^(\d+)\s*([KMG]?)i?B?$/i.exec(text);
    if (match === null) {
        throw new UsageError(`${name} takes a size such as 256M or 1G, not '${text}'`);
    }
    return Number(match[1]) * UNITS[match[2].toUpperCase()];
}

function parseCount(name: string, text: string, most: number): number {
    const count = /^\d+$/.test(text) ? Number(text) : 0;
    if (count < 1 || count > most) {
        throw new UsageError(`${name} takes a number from 1 to ${most}, not '${text}'`);
    }
    return count;
}

function parseSeconds(name: string, text: string): number {
    const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : 0;
    if (seconds <= 0) {
        throw new UsageError(`${name} takes a number of seconds above 0, not '${text}'`);
    }
    return seconds;
}
