/** Launch and attach configurations, checked attribute by attribute against their schema. */
import {
    ATTACH_ATTRIBUTES,
    type AttributeSchema,
    type AttributeSchemas,
    EDITOR_ATTRIBUTES,
    LAUNCH_ATTRIBUTES,
} from '../messages/launch-schema';
import { type Endpoint, parseEndpoint } from '../common/endpoint';
import { RequestError } from './request-error';

/** What launch and attach have in common. */
export interface SessionConfiguration {
    readonly symbols: readonly string[];
    /** Prefixes of source paths as the compiler wrote them down, and what stands for them here. */
    readonly sourceMap: Readonly<Record<string, string>>;
    /** A program and its arguments. */
    readonly sourceCommand?: readonly string[];
    readonly stopOnEntry: boolean;
    readonly stepIntoInterrupts: boolean;
    readonly logFile: string | undefined;
    /** Attributes that nobody knows: mistyped, most likely. */
    readonly unknown: readonly string[];
}

export interface LaunchConfiguration extends SessionConfiguration {
    readonly kernel: string | undefined;
    readonly initrd: string | undefined;
    readonly append: string;
    readonly firmware: string | undefined;
    /** Bytes. */
    readonly memory: number;
    readonly cpus: number;
    readonly engine: 'translator' | 'kvm' | 'auto';
    readonly thenTranslate: boolean;
    readonly vcpuThreads: boolean;
    /** What becomes of the first serial port's output. */
    readonly serial: 'console' | 'none' | { readonly file: string };
    readonly realTime: boolean;
    readonly interpret: boolean;
    readonly stopOnReset: boolean;
    readonly gdbServer: Endpoint | undefined;
    readonly recordExits: string | undefined;
    /** As they were given, for a restart with the same. */
    readonly attributes: Attributes;
}

export interface AttachConfiguration extends SessionConfiguration {
    /** A gdb stub. */
    readonly target: Endpoint | undefined;
    /** Name of a guest of this process. */
    readonly guest: string | undefined;
}

type Attributes = Readonly<Record<string, unknown>>;

const MEBIBYTE = 2 ** 20;
const UNITS: Readonly<Record<string, number>> = { '': MEBIBYTE, K: 2 ** 10, M: MEBIBYTE, G: 2 ** 30 };
const SERIAL_FILE = 'file:';

/** Values in messages are cut here. */
const LONGEST_VALUE = 200;

/** @throws RequestError that names the attribute and what it takes */
export function readLaunchConfiguration(attributes: Attributes): LaunchConfiguration {
    const reader = new AttributeReader(attributes, LAUNCH_ATTRIBUTES);
    const serial = reader.text('serial') ?? 'console';
    const configuration: LaunchConfiguration = {
        ...readSession(reader),
        kernel: reader.text('kernel'),
        initrd: reader.text('initrd'),
        append: reader.text('append') ?? '',
        firmware: reader.text('firmware'),
        memory: reader.size('memory'),
        cpus: reader.number('cpus') ?? 1,
        engine: (reader.text('engine') ?? 'translator') as LaunchConfiguration['engine'],
        thenTranslate: reader.flag('thenTranslate'),
        vcpuThreads: reader.flag('vcpuThreads'),
        serial: serial === 'console' || serial === 'none' ? serial : { file: serial.slice(SERIAL_FILE.length) },
        realTime: reader.flag('realTime'),
        interpret: reader.flag('interpret'),
        stopOnReset: reader.flag('stopOnReset'),
        gdbServer: reader.endpoint('gdbServer'),
        recordExits: reader.text('recordExits'),
        attributes,
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

/** @throws RequestError that names the attribute and what it takes */
export function readAttachConfiguration(attributes: Attributes): AttachConfiguration {
    const reader = new AttributeReader(attributes, ATTACH_ATTRIBUTES);
    const configuration = { ...readSession(reader), target: reader.endpoint('target'), guest: reader.text('guest') };
    if (configuration.target !== undefined && configuration.guest !== undefined) {
        throw new RequestError("guest: is a guest of this adapter; 'target' names one elsewhere: give one of the two");
    }
    return configuration;
}

function readSession(reader: AttributeReader): SessionConfiguration {
    return {
        symbols: reader.texts('symbols'),
        sourceMap: reader.map('sourceMap'),
        sourceCommand: reader.words('sourceCommand'),
        stopOnEntry: reader.flag('stopOnEntry'),
        stepIntoInterrupts: reader.flag('stepIntoInterrupts'),
        logFile: reader.text('logFile'),
        unknown: reader.unknown,
    };
}

/** Attributes as their schema has them; what is absent or null has the schema's default. */
class AttributeReader {
    constructor(
        private readonly attributes: Attributes,
        private readonly schemas: AttributeSchemas,
    ) {
        for (const [name, schema] of Object.entries(schemas)) {
            const value = attributes[name] ?? undefined;
            if (value !== undefined && !fits(schema, value)) {
                throw wrong(name, schema, value);
            }
        }
    }

    /** Names that begin with two underscores are the editor's. */
    get unknown(): string[] {
        return Object.keys(this.attributes).filter(
            name => !Object.hasOwn(this.schemas, name) && !EDITOR_ATTRIBUTES.includes(name) && !name.startsWith('__'),
        );
    }

    text(name: string): string | undefined {
        return this.value(name) as string | undefined;
    }

    texts(name: string): string[] {
        const value = this.value(name) ?? [];
        return (Array.isArray(value) ? value : [value]) as string[];
    }

    /** Undefined for an empty list. */
    words(name: string): string[] | undefined {
        const words = this.texts(name);
        return words.length === 0 ? undefined : words;
    }

    map(name: string): Readonly<Record<string, string>> {
        return (this.value(name) as Readonly<Record<string, string>> | undefined) ?? {};
    }

    flag(name: string): boolean {
        return this.value(name) === true;
    }

    number(name: string): number | undefined {
        return this.value(name) as number | undefined;
    }

    /** Bytes of `256M`, `1G`, `65536K`; a bare number is MiB. */
    size(name: string): number {
        const value = this.value(name);
        const match = /^(\d+)\s*([KMG]?)/i.exec(String(value));
        const bytes = match === null ? 0 : Number(match[1]) * UNITS[match[2].toUpperCase()];
        if (bytes <= 0) {
            throw wrong(name, this.schemas[name], value);
        }
        return bytes;
    }

    endpoint(name: string): Endpoint | undefined {
        const value = this.value(name);
        if (value === undefined) {
            return undefined;
        }
        const endpoint = parseEndpoint(String(value));
        if (endpoint === undefined) {
            throw wrong(name, this.schemas[name], value);
        }
        return endpoint;
    }

    private value(name: string): unknown {
        return this.attributes[name] ?? this.schemas[name].default;
    }
}

function fits(schema: AttributeSchema, value: unknown): boolean {
    const types: readonly string[] = typeof schema.type === 'string' ? [schema.type] : schema.type;
    switch (typeof value) {
        case 'string':
            return (
                types.includes('string') &&
                (schema.isPath !== true || value !== '') &&
                (schema.enum?.includes(value) ?? true) &&
                (schema.pattern === undefined || new RegExp(schema.pattern).test(value))
            );
        case 'number':
            return (
                (types.includes('number') || (types.includes('integer') && Number.isInteger(value))) &&
                value >= (schema.minimum ?? -Infinity) &&
                value <= (schema.maximum ?? Infinity)
            );
        case 'boolean':
            return types.includes('boolean');
        default:
            if (types.includes('object')) {
                const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
                return isObject && Object.values(value).every(item => typeof item === 'string');
            }
            return (
                types.includes('array') &&
                Array.isArray(value) &&
                value.every(item => typeof item === 'string' && item !== '')
            );
    }
}

function wrong(attribute: string, { takes }: AttributeSchema, value: unknown): RequestError {
    const text = JSON.stringify(value);
    const shown = text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE)}…` : text;
    return new RequestError(`${attribute}: takes ${takes}, not ${shown}`);
}
