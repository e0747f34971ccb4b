/** Launch attributes: what a configuration may say, checked one by one. */
import { RequestError } from './request-error';

export interface LaunchConfiguration {
    readonly kernel: string | undefined;
    readonly initrd: string | undefined;
    readonly append: string;
    readonly firmware: string | undefined;
    /** Bytes. */
    readonly memory: number;
    readonly cpus: number;
    readonly stopOnEntry: boolean;
    readonly symbols: readonly string[];
    /** What becomes of the first serial port's output. */
    readonly serial: 'console' | 'none';
    readonly realTime: boolean;
    readonly interpret: boolean;
    readonly stopOnReset: boolean;
    /** Attributes that nobody knows: mistyped, most likely. */
    readonly unknown: readonly string[];
}

type Attributes = Readonly<Record<string, unknown>>;
type Reader<T> = (value: unknown, attribute: string) => T;

const MEBIBYTE = 2 ** 20;
const DEFAULT_MEMORY = 256 * MEBIBYTE;
const UNITS: Readonly<Record<string, number>> = { '': MEBIBYTE, K: 2 ** 10, M: MEBIBYTE, G: 2 ** 30 };
const MOST_CPUS = 64;

const READERS = {
    kernel: path,
    initrd: path,
    append: text,
    firmware: path,
    memory: size,
    cpus: count,
    stopOnEntry: flag,
    symbols: paths,
    serial: choice('console', 'none'),
    realTime: flag,
    interpret: flag,
    stopOnReset: flag,
} satisfies Record<string, Reader<unknown>>;

/** Attributes of every launch configuration, which clients pass on. */
const OF_THE_CLIENT: ReadonlySet<string> = new Set([
    ...['type', 'request', 'name', 'noDebug', 'presentation', 'preLaunchTask', 'postDebugTask', 'debugServer'],
    ...['internalConsoleOptions', 'serverReadyAction', 'suppressMultipleSessionWarning', 'trace'],
]);

/** @throws RequestError that names the attribute and what it takes */
export function readLaunchConfiguration(attributes: Attributes): LaunchConfiguration {
    const read = <Name extends keyof typeof READERS>(name: Name): ReturnType<(typeof READERS)[Name]> | undefined => {
        const value = attributes[name] ?? undefined;
        return value === undefined ? undefined : (READERS[name](value, name) as ReturnType<(typeof READERS)[Name]>);
    };
    const configuration: LaunchConfiguration = {
        kernel: read('kernel'),
        initrd: read('initrd'),
        append: read('append') ?? '',
        firmware: read('firmware'),
        memory: read('memory') ?? DEFAULT_MEMORY,
        cpus: read('cpus') ?? 1,
        stopOnEntry: read('stopOnEntry') ?? true,
        symbols: read('symbols') ?? [],
        serial: read('serial') ?? 'console',
        realTime: read('realTime') ?? false,
        interpret: read('interpret') ?? false,
        stopOnReset: read('stopOnReset') ?? false,
        unknown: Object.keys(attributes).filter(
            name => !Object.hasOwn(READERS, name) && !OF_THE_CLIENT.has(name) && !name.startsWith('__'),
        ),
    };
    if (configuration.kernel === undefined && configuration.firmware === undefined) {
        throw new RequestError(
            "nothing to start: give 'kernel' (a bzImage, or an ELF file for PVH or Multiboot) or 'firmware' (a ROM image)",
        );
    }
    if (configuration.initrd !== undefined && configuration.kernel === undefined) {
        throw new RequestError("initrd: is loaded with a kernel only: give 'kernel' too");
    }
    return configuration;
}

function wrong(attribute: string, takes: string, value: unknown): RequestError {
    return new RequestError(`${attribute}: takes ${takes}, not ${JSON.stringify(value)}`);
}

function text(value: unknown, attribute: string): string {
    if (typeof value !== 'string') {
        throw wrong(attribute, 'a string', value);
    }
    return value;
}

function path(value: unknown, attribute: string): string {
    if (typeof value !== 'string' || value === '') {
        throw wrong(attribute, "a file's path", value);
    }
    return value;
}

function paths(value: unknown, attribute: string): string[] {
    const list = Array.isArray(value) ? (value as unknown[]) : [value];
    return list.map(item => path(item, attribute));
}

function flag(value: unknown, attribute: string): boolean {
    if (typeof value !== 'boolean') {
        throw wrong(attribute, 'true or false', value);
    }
    return value;
}

/** Bytes from `256M`, `1G`, `65536K`; a bare number is MiB. */
function size(value: unknown, attribute: string): number {
    const match = /^(\d{1,9})\s*([KMG]?)i?B?$/i.exec(String(value));
    const bytes = match === null ? 0 : Number(match[1]) * UNITS[match[2].toUpperCase()];
    if (bytes <= 0 || (typeof value !== 'string' && typeof value !== 'number')) {
        throw wrong(attribute, "a size such as '256M' or '1G', or a number of MiB", value);
    }
    return bytes;
}

function count(value: unknown, attribute: string): number {
    if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > MOST_CPUS) {
        throw wrong(attribute, `a number from 1 to ${MOST_CPUS}`, value);
    }
    return value as number;
}

function choice<const Options extends readonly string[]>(...options: Options): Reader<Options[number]> {
    return (value, attribute) => {
        if (!options.includes(value as string)) {
            throw wrong(attribute, options.map(option => `'${option}'`).join(' or '), value);
        }
        return value as Options[number];
    };
}
