/**
 * Launch and attach attributes: one description for the adapter, which checks configurations by it, and for the editor,
 * whose `configurationAttributes` in package.json are generated from it (`npm run schema`; a test compares them).
 *
 * Each attribute is a JSON schema. `markdownDescription` is what the editor shows; `takes` completes the sentence
 * "<attribute>: takes …" of an error message and stays in the adapter.
 */
export interface AttributeSchema {
    readonly type:
        'string' | 'boolean' | 'integer' | 'number' | 'object' | readonly ('string' | 'integer' | 'number' | 'array')[];
    readonly takes: string;
    readonly markdownDescription: string;
    readonly default?: unknown;
    readonly enum?: readonly string[];
    readonly enumDescriptions?: readonly string[];
    /** Strings have to match it. */
    readonly pattern?: string;
    readonly minimum?: number;
    readonly maximum?: number;
    readonly items?: { readonly type: 'string' };
    /** Of an object: what the values of all its properties are. */
    readonly additionalProperties?: { readonly type: 'string' };
    readonly examples?: readonly unknown[];
    /** A file's or folder's path: empty strings are wrong. */
    readonly isPath?: true;
}

export type AttributeSchemas = Readonly<Record<string, AttributeSchema>>;

const FILE = "a file's path";
const FLAG = 'true or false';

/** What {@link parseSize} of the adapter takes. */
const SIZE = '^[0-9]{1,9} *[KkMmGg]?[Ii]?[Bb]?$';
const ENDPOINT = '^(?:(?:\\[[0-9A-Fa-f:.]+\\]|[^:\\s]+):)?[0-9]{1,5}$';

/** Attributes of launch and attach alike. */
const COMMON = {
    symbols: {
        type: ['string', 'array'],
        items: { type: 'string' },
        takes: "a file's path or a list of them",
        isPath: true,
        markdownDescription:
            'Files with further symbols (ELF, or text as `nm` and `System.map` have it): a path, or a list of paths. The ' +
            'symbols of `kernel` are always read. A folder is where to look for the modules that a Linux guest loads ' +
            '(`*.ko`, `*.ko.debug`), and for separate debug information (`.build-id`).',
        examples: ['vmlinux', ['vmlinux', '/lib/modules/6.1.0/kernel']],
    },
    sourceMap: {
        type: 'object',
        additionalProperties: { type: 'string' },
        takes: 'an object of paths: what the compiler wrote down, and what stands for it here',
        markdownDescription:
            'Where source files are: the beginning of their path as the debug information has it, and what to put in ' +
            'its place. `"."` stands for every path that is relative. Files beside or above the program are found ' +
            'without it.',
        examples: [{ '/build/linux-6.1': '${workspaceFolder}' }],
    },
    sourceCommand: {
        type: ['array'],
        items: { type: 'string' },
        takes: 'a list of a program and its arguments',
        markdownDescription:
            'A program that fetches source files that are not here, and its arguments, in which `{path}` and `{buildId}` ' +
            "are put in. It runs on this machine, without a shell, when a file is opened, and prints the file's content, " +
            'or the path of a copy.',
        examples: [
            ['git', '-C', '${workspaceFolder}/linux', 'show', 'v6.1:{path}'],
            ['debuginfod-find', 'source', '{buildId}', '{path}'],
        ],
    },
    stopOnEntry: {
        type: 'boolean',
        takes: FLAG,
        default: true,
        markdownDescription:
            'Stop before the first instruction: the reset vector of a firmware, the entry point of a kernel. ' +
            'When attaching: stop the guest where it is.',
    },
    stepIntoInterrupts: {
        type: 'boolean',
        takes: FLAG,
        default: false,
        markdownDescription:
            'Let a step end in the handler of an interrupt that arrives. Otherwise steps hold interrupts off, and a ' +
            'step lands at the next instruction of the code that is looked at.',
    },
    logFile: {
        type: 'string',
        takes: FILE,
        isPath: true,
        markdownDescription:
            'File to which the adapter writes what it does and every message of the protocol. For reports of defects.',
    },
} as const satisfies AttributeSchemas;

export const LAUNCH_ATTRIBUTES = {
    kernel: {
        type: 'string',
        takes: FILE,
        isPath: true,
        markdownDescription:
            'Kernel to start: a Linux `bzImage`, or an ELF file for PVH or Multiboot. Give this or `firmware`.',
        examples: ['${workspaceFolder}/kernel.elf', '/boot/vmlinuz'],
    },
    initrd: {
        type: 'string',
        takes: FILE,
        isPath: true,
        markdownDescription:
            'Initial RAM disk. For Multiboot kernels: modules with their arguments, separated by commas: ' +
            '`a.bin first,b.bin second`.',
    },
    append: {
        type: 'string',
        takes: 'a string',
        default: '',
        markdownDescription: 'Command line of the kernel.',
        examples: ['console=ttyS0', 'console=ttyS0 nokaslr'],
    },
    firmware: {
        type: 'string',
        takes: FILE,
        isPath: true,
        markdownDescription: 'ROM image to start from at the reset vector, such as SeaBIOS.',
        examples: ['/usr/share/seabios/bios-256k.bin'],
    },
    memory: {
        type: ['string', 'integer'],
        takes: "a size such as '256M' or '1G', or a number of MiB",
        pattern: SIZE,
        minimum: 1,
        default: '256M',
        markdownDescription: 'Guest memory: a size such as `256M` or `1G`, or a number of MiB.',
        examples: ['64M', '1G'],
    },
    cpus: {
        type: 'integer',
        takes: 'a number from 1 to 64',
        minimum: 1,
        maximum: 64,
        default: 1,
        markdownDescription: 'Number of virtual CPUs; each is a thread of the debugger.',
    },
    engine: {
        type: 'string',
        takes: "'translator', 'kvm' or 'auto'",
        enum: ['translator', 'kvm', 'auto'],
        enumDescriptions: [
            'Guest code is translated to WebAssembly: works everywhere, deterministic, every feature',
            'Guest code runs on the processor, through /dev/kvm',
            'KVM where this host has it with VT-x or AMD-V beneath, else the translator',
        ],
        default: 'translator',
        markdownDescription:
            'What executes the guest. A guest that starts on KVM sees only processor features that both engines have, ' +
            'so that it can be moved between them at any stop.',
    },
    thenTranslate: {
        type: 'boolean',
        takes: FLAG,
        default: false,
        markdownDescription: 'Move from KVM to the translator where the guest first stops at a breakpoint.',
    },
    vcpuThreads: {
        type: 'boolean',
        takes: FLAG,
        default: true,
        markdownDescription:
            'On KVM, virtual CPUs run at the same time, a thread each. `false` has them take turns on one thread: slower for ' +
            'guests that compute or wait for each other on several, quicker for those that do little but talk to devices. ' +
            'Nothing changes on the translator, or with one.',
    },
    serial: {
        type: 'string',
        takes: "'console', 'none' or 'file:PATH'",
        pattern: '^(?:console|none|file:.+)$',
        default: 'console',
        markdownDescription:
            "Where the first serial port's output goes: `console` (the debug console, or the terminal of the " +
            'extension), `none`, or `file:PATH`.',
        examples: ['console', 'none', 'file:serial.log'],
    },
    realTime: {
        type: 'boolean',
        takes: FLAG,
        default: false,
        markdownDescription:
            "Let the guest's clocks follow the host's. Otherwise time is counted in instructions, and two runs are " +
            'the same to the instruction.',
    },
    interpret: {
        type: 'boolean',
        takes: FLAG,
        default: false,
        markdownDescription: 'Never translate hot code (translator): slower, and for defects of the translator only.',
    },
    stopOnReset: {
        type: 'boolean',
        takes: FLAG,
        default: false,
        markdownDescription: 'End the session where the guest resets the machine, instead of starting again.',
    },
    gdbServer: {
        type: ['string', 'integer'],
        takes: 'a port or HOST:PORT to listen at',
        pattern: ENDPOINT,
        minimum: 0,
        maximum: 65535,
        markdownDescription:
            'Let gdb attach to the guest: a port, or `HOST:PORT`, to listen at. A port alone means 127.0.0.1.',
        examples: [1234, '127.0.0.1:1234'],
    },
    recordExits: {
        type: 'string',
        takes: FILE,
        isPath: true,
        markdownDescription:
            'File to which every VM exit of the guest is written from its first instruction on: port and MMIO accesses, ' +
            'MSRs, interrupts, exceptions… One a line; as JSON if the name ends in `.jsonl`.',
        examples: ['${workspaceFolder}/boot.vmexits'],
    },
    ...COMMON,
} as const satisfies AttributeSchemas;

export const ATTACH_ATTRIBUTES = {
    target: {
        type: ['string', 'integer'],
        takes: 'the port or HOST:PORT of a gdb stub',
        pattern: ENDPOINT,
        minimum: 1,
        maximum: 65535,
        markdownDescription:
            "The gdb stub of a guest that runs elsewhere: a port, or `HOST:PORT`. QEMU's (`-s` is port 1234, `-S` has the " +
            'guest wait), that of `hyperscope run --gdb`, or another one.',
        examples: ['localhost:1234', 1234],
    },
    guest: {
        type: 'string',
        takes: "the name of a guest that this adapter runs, which 'hyperscope dap --listen' keeps",
        markdownDescription:
            'Attach to a guest that an earlier session left running in the same `hyperscope dap --listen`: its name, ' +
            "which is its kernel's or firmware's file name. Not needed if there is only one.",
    },
    ...COMMON,
} as const satisfies AttributeSchemas;

export type LaunchAttribute = keyof typeof LAUNCH_ATTRIBUTES;
export type AttachAttribute = keyof typeof ATTACH_ATTRIBUTES;

/** What every editor passes on of a configuration without meaning the adapter. */
export const EDITOR_ATTRIBUTES: readonly string[] = [
    ...['type', 'request', 'name', 'noDebug', 'presentation', 'preLaunchTask', 'postDebugTask', 'debugServer'],
    ...['internalConsoleOptions', 'serverReadyAction', 'suppressMultipleSessionWarning', 'trace', 'restart'],
    ...['windows', 'osx', 'linux', 'parentSession', 'cwd'],
];

/** An attribute as package.json has it: a JSON schema and nothing else. */
function editorSchema({ takes: _takes, isPath: _isPath, ...schema }: AttributeSchema): object {
    return schema;
}

function editorSchemas(attributes: AttributeSchemas): object {
    return {
        properties: Object.fromEntries(
            Object.entries(attributes).map(([name, schema]) => [name, editorSchema(schema)]),
        ),
    };
}

/** `contributes.debuggers[].configurationAttributes` of package.json. */
export function configurationAttributes(): object {
    return { launch: editorSchemas(LAUNCH_ATTRIBUTES), attach: editorSchemas(ATTACH_ATTRIBUTES) };
}
