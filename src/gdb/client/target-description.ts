/** What a stub tells of its registers: target descriptions (gdb manual, appendix G), and what gdb assumes without one. */
import { StubError } from './errors';

export interface StubRegister {
    /** As the stub names it. */
    readonly name: string;
    /** Number in `p` and `P` packets. */
    readonly number: number;
    /** Bytes. */
    readonly size: number;
    /** Byte in the answer to `g`. */
    readonly offset: number;
}

export interface RegisterLayout {
    readonly registers: readonly StubRegister[];
    /** Names of the description's features; none without a description. */
    readonly features: readonly string[];
    /** `i386:x86-64`, if there is a description that says so. */
    readonly architecture?: string;
}

const MOST_DOCUMENTS = 32;
const MOST_REGISTERS = 2048;
const LONGEST_REGISTER = 1024;
const LONGEST_TAG = 2048;

interface Tag {
    readonly name: string;
    readonly attributes: Readonly<Record<string, string>>;
    /** What stands between it and the next one. */
    readonly text: string;
}

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

function withoutComments(xml: string): string {
    const parts: string[] = [];
    for (let at = 0; at >= 0;) {
        const start = xml.indexOf('<!--', at);
        parts.push(xml.slice(at, start < 0 ? undefined : start));
        const end = start < 0 ? -1 : xml.indexOf('-->', start);
        at = end < 0 ? -1 : end + 3;
    }
    return parts.join('');
}

function* tagsOf(xml: string): Generator<Tag> {
    for (const [, name, rest, behind] of withoutComments(xml).matchAll(/<([A-Za-z][\w:.-]*)((?:\s[^<>]*)?)>([^<]*)/g)) {
        if (rest.length > LONGEST_TAG) continue;
        const attributes: Record<string, string> = {};
        for (const [, key, , double, single] of rest.matchAll(/([\w:.-]+)\s*=\s*("([^"]*)"|'([^']*)')/g)) {
            const value = ((double as string | undefined) ?? single).replace(/&(\w+);/g, (whole, entity: string) =>
                Object.hasOwn(ENTITIES, entity) ? ENTITIES[entity] : whole,
            );
            attributes[key] = value;
        }
        yield { name, attributes, text: behind };
    }
}

/**
 * Reads a description with all that it includes.
 * @param document text of a document by its name: `target.xml` is the first
 * @throws StubError for one that describes nothing, or that never ends
 */
export async function readDescription(document: (name: string) => Promise<string>): Promise<RegisterLayout> {
    const registers: Omit<StubRegister, 'offset'>[] = [];
    const features: string[] = [];
    let architecture: string | undefined;
    let documents = 0;
    const read = async (name: string): Promise<void> => {
        if (++documents > MOST_DOCUMENTS) {
            throw new StubError('the target description includes documents without an end');
        }
        for (const { name: tag, attributes, text } of tagsOf(await document(name))) {
            if (tag === 'xi:include' && attributes.href !== undefined) {
                await read(attributes.href);
            } else if (tag === 'architecture') {
                architecture = text.trim();
            } else if (tag === 'feature') {
                features.push(attributes.name ?? '');
            } else if (tag === 'reg') {
                registers.push(readRegister(attributes, registers.at(-1)?.number ?? -1));
                if (registers.length > MOST_REGISTERS) {
                    throw new StubError(`the target description has more than ${MOST_REGISTERS} registers`);
                }
            }
        }
    };
    await read('target.xml');
    if (registers.length === 0) {
        throw new StubError('the target description has no registers');
    }
    return { registers: placed(registers), features, architecture };
}

function readRegister(
    { name, bitsize, regnum }: Readonly<Record<string, string>>,
    before: number,
): Omit<StubRegister, 'offset'> {
    const bits = Number(bitsize);
    const number = (regnum as string | undefined) === undefined ? before + 1 : Number(regnum);
    if (!name || !Number.isInteger(bits) || bits < 8 || bits % 8 !== 0 || bits > 8 * LONGEST_REGISTER) {
        throw new StubError(`the target description has a register that makes no sense: '${name}' of ${bitsize} bits`);
    }
    if (!Number.isInteger(number) || number < 0 || number > 0xffff) {
        throw new StubError(`the target description has a register that makes no sense: '${name}' is number ${regnum}`);
    }
    return { name, number, size: bits / 8 };
}

/** In a `g` packet registers lie in the order of their numbers. */
function placed(registers: readonly Omit<StubRegister, 'offset'>[]): StubRegister[] {
    let offset = 0;
    return [...registers]
        .sort((a, b) => a.number - b.number)
        .map(register => {
            const result = { ...register, offset };
            offset += register.size;
            return result;
        });
}

const numbered = (name: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${name}${i}`);
const X87_WORDS = ['fctrl', 'fstat', 'ftag', 'fiseg', 'fioff', 'foseg', 'fooff', 'fop'];
const SEGMENTS = ['cs', 'ss', 'ds', 'es', 'fs', 'gs'];

function fixed(parts: readonly (readonly [size: number, names: readonly string[]])[]): RegisterLayout {
    const registers = parts.flatMap(([size, names]) => names.map(name => ({ name, size })));
    return { registers: placed(registers.map((register, number) => ({ ...register, number }))), features: [] };
}

const AMD64_LAYOUT = fixed([
    [8, ['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp', ...numbered('r', 16).slice(8), 'rip']],
    [4, ['eflags', ...SEGMENTS]],
    [10, numbered('st', 8)],
    [4, X87_WORDS],
    [16, numbered('xmm', 16)],
    [4, ['mxcsr']],
    [8, ['fs_base', 'gs_base']],
]);

const I386_LAYOUT = fixed([
    [4, ['eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi', 'eip', 'eflags', ...SEGMENTS]],
    [10, numbered('st', 8)],
    [4, X87_WORDS],
    [16, numbered('xmm', 8)],
    [4, ['mxcsr']],
]);

/** General registers only, with the x87's, with SSE, with the word that Linux adds. */
const I386_LENGTHS: readonly number[] = [64, 176, 308, 312];
const SHORTEST_AMD64 = 164;

/**
 * The layout that gdb assumes of a stub without a description.
 * @param length bytes of the answer to `g`
 * @throws StubError if it is neither
 */
export function layoutOfLength(length: number): RegisterLayout {
    if (I386_LENGTHS.includes(length)) return I386_LAYOUT;
    if (length >= SHORTEST_AMD64) return AMD64_LAYOUT;
    throw new StubError(
        `the stub has registers of ${length} bytes and no description of them: neither an x86-64's nor an i386's`,
    );
}
