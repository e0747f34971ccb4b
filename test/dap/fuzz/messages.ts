/** Messages that no sane client sends, and sane ones between them, so that there is a state to do harm in. */
import type { Random } from '../../support/random';

/** What a client that means well would say, by command; `random` values are put in its places. */
type Sane = (random: Random) => unknown;

const ADDRESSES = [
    ...['0x100000', '0x10000c', '0x100042', '0x100058', 'phys:0x100000', '0x1fffff', '0x200000', '0x0'],
    ...['0xffffffffffffffff', '0x8000000000000000', 'phys:0xfee00000', 'phys:0xfffffffffffff', '4096'],
];
const EXPRESSIONS = [
    ...['rax', 'eax == 3', 'u64[rsp]', 'eax = 7', 'increment', '1 +', '((((', 'cr3', 'cs', 'pc', 'u8[0x100000]', '-1'],
    ...['*(u32*)phys:0x100000', 'rip = 0x100042', 'cr0 = 0x80000011', 'esp = 0', '7/0', 'xmm0', 'st0', 'u32[esp] = 9'],
    ...[
        'zf = 1',
        'cs = 0xffff',
        'increment+0x10',
        'ds:0x10',
        'phys:rip',
        '!'.repeat(300),
        `${'('.repeat(5000)}1`,
        '`x`',
    ],
];
const STRINGS = [
    ...[
        '',
        'A'.repeat(3000),
        '\u0000\ud800',
        '<script>alert(1)</script>',
        '../../etc/passwd',
        '__proto__',
        '%s%n',
        '{',
        '}',
    ],
    ...[
        '{eax}',
        '{1 +}',
        '>= 3',
        '% 2',
        '== -1',
        'pf',
        'tripleFault',
        'repl',
        'watch',
        'hover',
        'clipboard',
        'hex',
        '💥',
        '\r\n',
    ],
    ...[
        'Content-Length: 5\r\n\r\n',
        '0x100000.disasm',
        'main.c',
        'instruction',
        'statement',
        'line',
        'AAAA',
        '====',
        'f32',
    ],
];
const NUMBERS = [0, 1, 2, 3, 8, 9, 27, 100, 4096, -1, -50, 0.5, 1e9, 2 ** 31, 2 ** 32, 2 ** 53, 1e308, -1e308];

export const ARGUMENT_NAMES = [
    ...['threadId', 'frameId', 'variablesReference', 'expression', 'context', 'memoryReference', 'offset', 'count'],
    ...['instructionOffset', 'instructionCount', 'breakpoints', 'filters', 'filterOptions', 'filterId', 'condition'],
    ...['hitCondition', 'logMessage', 'instructionReference', 'name', 'value', 'data', 'text', 'column', 'address'],
    ...['source', 'targetId', 'startFrame', 'levels', 'start', 'memory', 'cpus', 'arguments', 'port', 'granularity'],
    ...['line', 'endLine', 'path', 'sourceReference', 'format', 'filter', 'requestId', 'progressId', 'allowPartial'],
    ...[
        'vcpu',
        'space',
        'length',
        'bytes',
        'pattern',
        'root',
        'summary',
        'records',
        'timeline',
        'base',
        'lanes',
        'dataId',
    ],
    ...[
        'asAddress',
        'accessType',
        'mode',
        'singleThread',
        'resolveSymbols',
        'terminateDebuggee',
        'kind',
        'limit',
        'from',
    ],
];

export function anything(random: Random, depth = 0): unknown {
    switch (random.below(depth > 2 ? 7 : 9)) {
        case 0:
            return null;
        case 1:
            return random.below(2) === 0;
        case 2:
            return random.pick(NUMBERS);
        case 3:
            return random.below(12);
        case 4:
            return random.pick(ADDRESSES);
        case 5:
            return random.pick(EXPRESSIONS);
        case 6:
            return random.pick(STRINGS);
        case 7:
            return Array.from({ length: random.below(4) }, () => anything(random, depth + 1));
        default:
            return anyObject(random, depth);
    }
}

export function anyObject(random: Random, depth = 0): Record<string, unknown> {
    return Object.fromEntries(
        Array.from({ length: random.below(6) }, () => [random.pick(ARGUMENT_NAMES), anything(random, depth + 1)]),
    );
}

const breakpoint = (random: Random): object => ({
    condition: random.below(3) === 0 ? random.pick(EXPRESSIONS) : undefined,
    hitCondition: random.below(3) === 0 ? random.pick(['3', '>= 2', '% 5', 'x', '0']) : undefined,
    logMessage: random.below(4) === 0 ? random.pick(['at {eax}', '{', 'plain']) : undefined,
});
const list = <T>(random: Random, most: number, item: () => T): T[] => Array.from({ length: random.below(most) }, item);
const listing = (random: Random): object => ({ sourceReference: random.below(4), name: '0x100000.disasm' });
const memory = (random: Random): object => ({
    memoryReference: random.pick(ADDRESSES),
    offset: random.pick([0, 0, 4, -16, 2 ** 31]),
});

const BASES = ['hex', 'decimal', 'binary'];
const place = (random: Random): object => ({
    address: random.pick([...ADDRESSES, ...EXPRESSIONS]),
    space: random.pick(['virtual', 'linear', 'physical', undefined]),
    segment: random.pick(['cs', 'fs', 'tr', undefined]),
    offset: random.pick([0, -16, 2 ** 40]),
});
const tables = (random: Random): object => ({
    cr3: random.pick([undefined, ...ADDRESSES]),
    mode: random.pick([undefined, 'none', '32-bit', 'pae', '4-level', '5-level']),
});

const EXIT_KINDS = ['portOut', 'portIn', 'crWrite', 'exception', 'hlt', 'mmioRead', 'internalError', 'nonsense'];
const eventCondition = (random: Random): string =>
    random.pick([random.pick(EXPRESSIONS), 'port == 0x3f8', 'value & 1', '0x3f8, 0x60-0x64', '5-3', ',', '1 /0', '']);
const exitFilter = (random: Random): object => ({
    limit: random.below(20),
    count: random.below(20),
    filter: {
        kinds: random.below(2) === 0 ? undefined : list(random, 3, () => random.pick(EXIT_KINDS)),
        text: random.pick([undefined, 'serial', '\\', '']),
        to: random.pick([undefined, 1000, 1e12]),
    },
});

export const SANE: Readonly<Record<string, Sane>> = {
    initialize: () => ({ adapterID: 'fuzz', supportsMemoryEvent: true, supportsInvalidatedEvent: true }),
    attach: () => ({ guest: 'spin.elf' }),
    stackTrace: random => ({ threadId: 1, startFrame: random.below(3), levels: random.below(20) }),
    scopes: random => ({ frameId: 1 + random.below(3) }),
    variables: random => ({ variablesReference: 1 + random.below(14), start: random.below(4), count: random.below(9) }),
    setVariable: random => ({
        variablesReference: 1 + random.below(12),
        name: random.pick(['rax', 'rip', 'zf', 'cr0', '+0x8', 'cs', 'xmm1']),
        value: random.pick(EXPRESSIONS),
    }),
    evaluate: random => ({
        expression: random.pick(EXPRESSIONS),
        frameId: 1,
        context: random.pick(['repl', 'watch', 'hover', 'clipboard', 'variables']),
    }),
    setExpression: random => ({ expression: random.pick(EXPRESSIONS), value: random.pick(EXPRESSIONS) }),
    completions: random => ({ text: random.pick(EXPRESSIONS), column: random.below(9), line: random.below(3) }),
    readMemory: random => ({ ...memory(random), count: random.pick([0, 16, 4096, 70000]) }),
    writeMemory: random => ({ ...memory(random), data: random.pick(['AAAA', 'kJA=', '9A==', '']), allowPartial: true }),
    disassemble: random => ({
        ...memory(random),
        instructionOffset: random.pick([0, -50, 20, -3]),
        instructionCount: random.pick([0, 1, 50, 100]),
    }),
    setBreakpoints: random => ({
        source: listing(random),
        breakpoints: list(random, 4, () => ({ line: random.below(60), ...breakpoint(random) })),
    }),
    setFunctionBreakpoints: random => ({
        breakpoints: list(random, 3, () => ({
            name: random.pick(['increment', 'print', 'missing', '0x100042', '1 +']),
            ...breakpoint(random),
        })),
    }),
    setInstructionBreakpoints: random => ({
        breakpoints: list(random, 4, () => ({ instructionReference: random.pick(ADDRESSES), ...breakpoint(random) })),
    }),
    dataBreakpointInfo: random => ({
        name: random.pick(['0x70002', 'phys:0x70000', 'eax', 'u8[esp]', '1 +', 'increment']),
        ...(random.below(2) === 0 ? { asAddress: true } : {}),
        ...(random.below(2) === 0 ? { bytes: random.below(9) } : {}),
        ...(random.below(3) === 0 ? { variablesReference: random.below(20) } : {}),
        ...(random.below(4) === 0 ? { mode: random.pick(['physical', 'hardware', 'magic']) } : {}),
    }),
    setDataBreakpoints: random => ({
        breakpoints: list(random, 3, () => ({
            dataId: random.pick(['0x70002:2', 'phys:0x7fff0:16', '0x0:4294967296', '0x0:0', 'nothing']),
            accessType: random.pick(['read', 'write', 'readWrite', 'both']),
            ...breakpoint(random),
        })),
    }),
    setExceptionBreakpoints: random => ({
        filters: list(random, 3, () => random.pick(['tripleFault', 'ud', 'pf', 'gp', 'modeSwitch', 'nonsense'])),
        filterOptions: list(random, 2, () => ({
            filterId: random.pick(['gp', 'de', 'portOut', 'mmioWrite', 'cr0Write', 'cpuid', 'softwareInterrupt']),
            condition: eventCondition(random),
        })),
    }),
    breakpointLocations: random => ({ source: listing(random), line: random.below(50), endLine: random.below(100) }),
    gotoTargets: random => ({ source: listing(random), line: random.below(60) }),
    goto: random => ({ threadId: 1, targetId: 1 + random.below(6) }),
    source: random => ({ source: listing(random), sourceReference: random.below(4) }),
    next: random => ({ threadId: 1, granularity: random.pick(['instruction', 'line', 'statement']) }),
    'hyperscope/listing': random => ({ address: random.pick(ADDRESSES) }),
    'hyperscope/translateAddress': random => ({ address: random.pick(ADDRESSES) }),
    'hyperscope/vmExits': random => ({
        kinds: random.below(4) === 0,
        summary: random.below(2) === 0 ? undefined : { group: random.pick(['kind', 'cause']), ...exitFilter(random) },
        records: random.below(2) === 0 ? undefined : { start: random.below(9), ...exitFilter(random) },
        timeline: random.below(2) === 0 ? undefined : { from: random.pick(NUMBERS), buckets: random.below(30) },
    }),
    'hyperscope/vmExitsWatch': random => ({
        watch: random.below(2) === 0,
        capacity: random.pick([16, 1000, 1e6, 1e12]),
        clear: random.below(3) === 0,
    }),
    'hyperscope/vmExitsRecord': random => ({
        action: random.pick(['start', 'start', 'stop', 'go']),
        path: random.pick(['exits', 'exits.jsonl', 'none/exits', '']),
        format: random.pick(['text', 'json', undefined]),
        limit: random.pick([undefined, 5000, 1]),
    }),
    'hyperscope/breakOnExit': random => ({
        kind: random.pick(EXIT_KINDS),
        cause: random.pick([undefined, '0x3f8', '0x0-0xffff', 'cr3', 'x', '']),
        condition: random.below(2) === 0 ? undefined : eventCondition(random),
        enabled: random.below(3) > 0,
    }),
    'hyperscope/sendSerial': () => ({ text: 'hello\n' }),
    'hyperscope/serialEvents': () => ({}),
    'hyperscope/registers': random => ({ base: random.pick(BASES), lanes: random.pick(['u8', 'f32', 'i64', 'f16']) }),
    'hyperscope/setRegister': random => ({
        name: random.pick([
            'rax',
            'cr0',
            'cr0.pg',
            'cr3',
            'cr4.pae',
            'efer',
            'gs.base',
            'cs',
            'st0',
            'xmm1.f32.3',
            'dr7',
            'tr',
        ]),
        value: random.pick([
            ...EXPRESSIONS,
            '1',
            '0',
            '-1.5',
            'nan',
            '0xffffffffffffffffffffff',
            '0x80000001',
            '0x1000',
        ]),
    }),
    'hyperscope/memory': random => ({ ...place(random), count: random.pick([0, 1, 4096, 70_000]), annotate: true }),
    'hyperscope/searchMemory': random => ({
        pattern: random.pick([
            '48 ?? c3',
            '00',
            '"hello"',
            'u32 = eax',
            'u64 = 1',
            'f64 = 1.5',
            '?',
            'L"x"',
            'u8 = 1 +',
        ]),
        space: random.pick(['physical', 'linear', undefined]),
        first: random.pick([undefined, ...ADDRESSES]),
        last: random.pick([undefined, ...ADDRESSES]),
        limit: random.pick([1, 100]),
        budget: 5,
    }),
    'hyperscope/pageMappings': random => ({
        place: place(random),
        cr3s: list(random, 3, () => random.pick(ADDRESSES)),
    }),
    'hyperscope/pageTables': random => ({ ...tables(random), byUse: random.oneIn(2), limit: random.pick([1, 100]) }),
    'hyperscope/pageTableEntries': random => ({
        ...tables(random),
        table: {
            address: random.pick(ADDRESSES),
            structure: random.pick(['pml5e', 'pml4e', 'pdpte', 'pde', 'pte']),
            linear: random.pick(ADDRESSES),
            permissions: { writable: true },
        },
    }),
    'hyperscope/pageWalk': random => ({
        ...tables(random),
        address: random.pick(ADDRESSES),
        access: random.pick(['read', 'write', 'execute', 'nothing']),
    }),
    'hyperscope/translation': random => ({ address: random.pick([undefined, 'eip', ...ADDRESSES]) }),
};

/** Bytes that are no proper request: nobody has to answer, but what follows has to be understood. */
export function garbage(random: Random): Buffer {
    const text = random.pick([
        '',
        '{',
        'null',
        '7',
        '"x"',
        '[]',
        '{}',
        '{"type":"request"',
        '[[[[',
        '{"a":1}}',
        '\u0000',
    ]);
    switch (random.below(12)) {
        case 0:
            return Buffer.from(
                `Content-Length: ${random.pick(['what', '-5', '1e3', '', '999999999999999', '0x10'])}\r\n\r\n`,
            );
        case 1:
            return Buffer.from(`Content-Length: ${40 + random.below(2000)}\r\n\r\n${text}`);
        case 2:
            return Buffer.from(`X-Header: 1\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
        case 3:
            return Buffer.from(Array.from({ length: random.below(60) }, () => random.below(256)));
        case 4:
            return framed(`{"type":"response","seq":1,"request_seq":${random.below(9)},"success":true}`);
        case 5:
            return framed(JSON.stringify({ type: 'event', event: 'stopped', body: anything(random) }));
        case 6:
            return framed('['.repeat(1 + random.below(20_000)));
        case 7:
            return framed(JSON.stringify(anything(random)));
        default:
            return framed(text);
    }
}

export function framed(text: string): Buffer {
    return Buffer.from(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
}
