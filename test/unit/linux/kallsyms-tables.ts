/** Tables of kallsyms as scripts/kallsyms.c of different kernels write them. */
import type { Image } from '../../../src/linux/kernel-image';

export interface BuiltSymbol {
    readonly name: string;
    readonly type: string;
    readonly address: bigint;
}

export interface TableFormat {
    /** Where the addresses stand: before everything (until 6.3), or behind the tokens. */
    readonly order: 'addressesFirst' | 'addressesLast';
    readonly addresses: 'perCpu' | 'unsigned' | 'ownPlace' | 'absolute';
    /** Bytes of a marker. */
    readonly markers: 4 | 8;
    /** The index by names, and where it is. */
    readonly index?: 'beforeTokens' | 'last';
    /** Labels are aligned to. */
    readonly alignment: 4 | 8;
}

export const START = 0xffffffff9a000000n;
export const IMAGE_SIZE = 0x200000;
/** Offset of the tables in the image. */
const TABLES = 0x123450;

export function imageOf(bytes: Uint8Array, start = START): Image {
    return {
        start,
        size: bytes.length,
        page: offset => (offset + 0x1000 <= bytes.length ? bytes.subarray(offset, offset + 0x1000) : undefined),
    };
}

/** Digrams that get tokens of their own. */
const DIGRAMS = ['sy', 's_', 'Tf', 'un', '_r', 'read', 'per', 'do_', 'vfs_', 'tion'];

function makeTokens(symbols: readonly BuiltSymbol[]): string[] {
    const used = new Set(symbols.flatMap(({ name, type }) => [...(type + name)]).concat([...'0123456789']));
    const digrams = [...DIGRAMS];
    return Array.from({ length: 256 }, (_, code) => {
        const character = String.fromCharCode(code);
        return used.has(character) ? character : (digrams.pop() ?? '');
    });
}

function compress(text: string, tokens: readonly string[]): number[] {
    const codes: number[] = [];
    for (let at = 0; at < text.length;) {
        let best = text.charCodeAt(at);
        tokens.forEach((token, code) => {
            if (token.length > tokens[best].length && text.startsWith(token, at)) best = code;
        });
        codes.push(best);
        at += tokens[best].length;
    }
    return codes;
}

class Writer {
    at: number;

    constructor(
        private readonly view: DataView,
        start: number,
        private readonly alignment: number,
    ) {
        this.at = start;
    }

    label(): void {
        this.at = Math.ceil(this.at / this.alignment) * this.alignment;
    }

    bytes(values: Iterable<number>): void {
        for (const value of values) this.view.setUint8(this.at++, value);
    }

    u16(value: number): void {
        this.view.setUint16(this.at, value, true);
        this.at += 2;
    }

    u32(value: number): void {
        this.view.setUint32(this.at, value, true);
        this.at += 4;
    }

    u64(value: bigint): void {
        this.view.setBigUint64(this.at, value, true);
        this.at += 8;
    }
}

/** The image of a kernel with these symbols, in the order of their addresses. */
export function buildImage(symbols: readonly BuiltSymbol[], format: TableFormat): Uint8Array {
    const image = new Uint8Array(IMAGE_SIZE);
    // Something else than zeros all around.
    for (let at = 0; at < image.length; at++) image[at] = (at * 2654435761) >>> 21;
    const writer = new Writer(new DataView(image.buffer), TABLES, format.alignment);
    const tokens = makeTokens(symbols);
    const parts = {
        addresses: () => writeAddresses(writer, symbols, format),
        names: () => writeNames(writer, symbols, tokens, format),
        tokens: () => writeTokens(writer, tokens),
        index: () => {
            writer.label();
            symbols.forEach((_, index) => writer.bytes([index >> 16, (index >> 8) & 255, index & 255]));
        },
    };
    if (format.order === 'addressesFirst') parts.addresses();
    parts.names();
    if (format.index === 'beforeTokens') parts.index();
    parts.tokens();
    if (format.order === 'addressesLast') parts.addresses();
    if (format.index === 'last') parts.index();
    return image;
}

function writeAddresses(writer: Writer, symbols: readonly BuiltSymbol[], { addresses }: TableFormat): void {
    writer.label();
    const base = symbols.find(({ address }) => address >= START)!.address;
    for (const { address } of symbols) {
        switch (addresses) {
            case 'absolute':
                writer.u64(address);
                break;
            case 'perCpu':
                writer.u32(Number(BigInt.asUintN(32, address < START ? address : base - address - 1n)));
                break;
            case 'unsigned':
                writer.u32(Number(address - base));
                break;
            case 'ownPlace':
                writer.u32(Number(BigInt.asUintN(32, address - START - BigInt(writer.at))));
        }
    }
    if (addresses === 'perCpu' || addresses === 'unsigned') {
        writer.at = Math.ceil(writer.at / 8) * 8;
        writer.u64(base);
    }
}

function writeNames(
    writer: Writer,
    symbols: readonly BuiltSymbol[],
    tokens: readonly string[],
    { markers: size }: TableFormat,
): void {
    writer.label();
    writer.u32(symbols.length);
    if (size === 8) writer.u32(0);
    writer.label();
    const start = writer.at;
    const markers: number[] = [];
    symbols.forEach(({ name, type }, index) => {
        if (index % 256 === 0) markers.push(writer.at - start);
        const codes = compress(type + name, tokens);
        writer.bytes(codes.length < 0x80 ? [codes.length] : [(codes.length & 0x7f) | 0x80, codes.length >> 7]);
        writer.bytes(codes);
    });
    for (const end = writer.at; writer.at < Math.ceil(end / 8) * 8;) writer.bytes([0]);
    writer.label();
    for (const marker of markers) {
        if (size === 8) writer.u64(BigInt(marker));
        else writer.u32(marker);
    }
}

function writeTokens(writer: Writer, tokens: readonly string[]): void {
    writer.label();
    const start = writer.at;
    const index = tokens.map(token => {
        const at = writer.at - start;
        writer.bytes([...token].map(character => character.charCodeAt(0)));
        writer.bytes([0]);
        return at;
    });
    writer.label();
    index.forEach(at => writer.u16(at));
}

/** Symbols like those of a kernel: a number of them, per-CPU variables first if wanted. */
export function someSymbols(count: number, perCpu: number): BuiltSymbol[] {
    return Array.from({ length: count }, (_, index) => {
        if (index < perCpu) {
            return { name: `per_cpu_${index}`, type: 'D', address: BigInt(index * 64) };
        }
        const position = index - perCpu;
        const address = START + BigInt(position * 48 - (position % 7 === 3 ? 48 : 0));
        if (position === 0) {
            return { name: '_text', type: 'T', address };
        }
        return position === 5
            ? { name: 'x'.repeat(300), type: 't', address }
            : { name: `vfs_read_function_${index.toString(36)}.${index % 10}`, type: index % 3 ? 't' : 'T', address };
    });
}
