/** Symbol files that are text, as `nm` writes them and kernels come with: `ffffffff81000000 T _text`. */
import type { ByteSource } from './byte-source';
import { IMAGE_FIRST, isInImage } from './kernel-range';
import { ListedSymbols, type NameList } from './listed-symbols';

/** An address, perhaps a size (`nm -S`), a type, a name; `/proc/kallsyms` adds the module. */
const LINE = /^([0-9a-f]{8,16})\s+(?:[0-9a-f]{8,16}\s+)?([A-Za-z?])\s+(\S+)(?:\s+\[\S+\])?\s*$/i;
/** What `nm` says of names that are defined elsewhere. */
const UNDEFINED = /^\s+[UwvV]\s+\S+/;
const HEAD = 4096;
const LARGEST = 0x4000000;

export class PlainSymbols {
    readonly symbols: ListedSymbols;
    /** Linear addresses of a Linux kernel's first code and of its banner, as listed; absent for anything else. */
    readonly linux: { readonly text: bigint; readonly banner: bigint } | undefined;

    constructor(
        readonly name: string,
        list: NameList,
    ) {
        const isKernel = list.addresses.some(isInImage);
        // Below lie the offsets of per-CPU variables.
        this.symbols = new ListedSymbols(list, isKernel ? IMAGE_FIRST : 0n);
        const [text, banner] = ['_text', 'linux_banner'].map(name => this.symbols.named(name).at(0)?.address);
        this.linux = text === undefined || banner === undefined || !isKernel ? undefined : { text, banner };
    }

    get slide(): bigint {
        return this.symbols.slide;
    }

    set slide(slide: bigint) {
        this.symbols.slide = slide;
    }

    /** Whether something of it is at a linear address, and moves with it. */
    hasCode(address: bigint): boolean {
        return this.symbols.at(address) !== undefined;
    }
}

/** Undefined for a file that is none. */
export function readPlainSymbols(source: ByteSource): PlainSymbols | undefined {
    if (source.size > LARGEST || !isList(new TextDecoder().decode(source.read(0, HEAD)), source.size > HEAD)) {
        return undefined;
    }
    const found: { name: string; type: string; address: bigint }[] = [];
    for (const line of new TextDecoder().decode(source.read(0, source.size)).split('\n')) {
        const [, address, type, name] = LINE.exec(line) ?? [];
        if (name !== undefined) found.push({ name, type, address: BigInt(`0x${address}`) });
    }
    found.sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
    return new PlainSymbols(source.name, {
        names: found.map(({ name }) => name),
        types: found.map(({ type }) => type),
        addresses: BigUint64Array.from(found, ({ address }) => address),
    });
}

/** Whether all lines of a text are those of a list. */
function isList(head: string, isCut: boolean): boolean {
    const lines = head.split('\n').slice(0, isCut ? -1 : undefined);
    const written = lines.filter(line => line.trim() !== '');
    return written.some(line => LINE.test(line)) && written.every(line => LINE.test(line) || UNDEFINED.test(line));
}
