import { partitionPoint } from '../common/search';

/** A named address. */
export interface GuestSymbol {
    readonly name: string;
    readonly address: bigint;
    /** Bytes, or 0 if the file does not say. */
    readonly size: bigint;
    /** `label`: no type given, as assembly code leaves it. */
    readonly kind: 'function' | 'object' | 'label';
    /** Where the section ends that it lies in, if known: one without a size reaches no further. */
    readonly sectionEnd?: bigint;
}

/** An address in terms of a symbol. */
export interface SymbolicAddress {
    readonly symbol: GuestSymbol;
    readonly offset: bigint;
}

/** Symbols of one origin. */
export interface SymbolSource {
    readonly size: number;
    /** Every symbol of that name: local ones may share it. */
    named(name: string): readonly GuestSymbol[];
    /** The symbol that an address lies in. */
    at(address: bigint): SymbolicAddress | undefined;
    /** Symbols whose names begin with a prefix; of several of a name one at least. */
    startingWith(prefix: string): Iterable<GuestSymbol>;
}

/** A symbol without a size is taken to reach to the next one, but no further than this. */
const LONGEST_UNSIZED = 0x10000n;

/** Of several symbols at an address, the one to name it by. */
export const PREFERENCE = { function: 0, object: 1, label: 2 } as const;

/** Symbols nest: one that ended before the address may stand inside one that has not. A few steps back suffice. */
const MOST_NESTED = 8;

/**
 * The symbol that an address lies in, of an ordered list.
 * @param count how many begin at the address or before it
 * @param symbol the list, by address; of several at one address the preferred one comes last
 */
export function coveringSymbol(
    count: number,
    symbol: (index: number) => GuestSymbol,
    address: bigint,
): SymbolicAddress | undefined {
    for (let index = count - 1; index >= Math.max(0, count - MOST_NESTED); index--) {
        const candidate = symbol(index);
        const offset = address - candidate.address;
        if (offset < 0n) continue;
        if (candidate.size === 0n ? index === count - 1 && mayReach(candidate, offset) : offset < candidate.size) {
            return { symbol: candidate, offset };
        }
    }
    return undefined;
}

/** Symbols that are given one by one. */
class SymbolList implements SymbolSource {
    private readonly byName = new Map<string, GuestSymbol[]>();
    private readonly sorted: readonly GuestSymbol[];

    constructor(symbols: readonly GuestSymbol[]) {
        for (const symbol of symbols) {
            const known = this.byName.get(symbol.name);
            if (known === undefined) this.byName.set(symbol.name, [symbol]);
            else known.push(symbol);
        }
        this.sorted = [...symbols].sort(
            (a, b) => compare(a.address, b.address) || PREFERENCE[b.kind] - PREFERENCE[a.kind],
        );
    }

    get size(): number {
        return this.sorted.length;
    }

    named(name: string): readonly GuestSymbol[] {
        return this.byName.get(name) ?? [];
    }

    at(address: bigint): SymbolicAddress | undefined {
        const { sorted } = this;
        const count = partitionPoint(sorted.length, index => sorted[index].address <= address);
        return coveringSymbol(count, index => sorted[index], address);
    }

    *startingWith(prefix: string): Generator<GuestSymbol> {
        for (const [name, symbols] of this.byName) {
            if (name.startsWith(prefix)) yield symbols[0];
        }
    }
}

/** Symbols of everything that is loaded: names to addresses, and back. */
export class SymbolTable implements SymbolSource {
    private readonly sources: SymbolSource[] = [];

    constructor(symbols: readonly GuestSymbol[] = []) {
        this.add(symbols);
    }

    get size(): number {
        return this.sources.reduce((sum, { size }) => sum + size, 0);
    }

    add(symbols: readonly GuestSymbol[]): void {
        if (symbols.length > 0) this.addSource(new SymbolList(symbols));
    }

    /** Its symbols may move: they are asked for whenever somebody wants one. */
    addSource(source: SymbolSource, first = false): void {
        if (first) this.sources.unshift(source);
        else this.sources.push(source);
    }

    removeSource(source: SymbolSource): void {
        const index = this.sources.indexOf(source);
        if (index >= 0) this.sources.splice(index, 1);
    }

    named(name: string): readonly GuestSymbol[] {
        return this.sources.flatMap(source => source.named(name));
    }

    /** The symbol that an address lies in: of those that several sources give, the one that begins last. */
    at(address: bigint): SymbolicAddress | undefined {
        let best: SymbolicAddress | undefined;
        for (const source of this.sources) {
            const found = source.at(address);
            if (found !== undefined && (best === undefined || isNearer(found, best))) best = found;
        }
        return best;
    }

    /** `name+0x10`, or undefined where there is no symbol. */
    format(address: bigint): string | undefined {
        return formatSymbolic(this.at(address));
    }

    /** As {@link format}, for a return address: a call may be the last instruction of its function. */
    formatReturn(address: bigint): string | undefined {
        const call = this.at(address - 1n);
        return formatSymbolic(call && { symbol: call.symbol, offset: call.offset + 1n });
    }

    /** Names that begin with a prefix, for completion: each once. */
    *startingWith(prefix: string): Generator<GuestSymbol> {
        const given = new Set<string>();
        for (const source of this.sources) {
            for (const symbol of source.startingWith(prefix)) {
                if (given.has(symbol.name)) continue;
                given.add(symbol.name);
                yield symbol;
            }
        }
    }
}

function isNearer(a: SymbolicAddress, b: SymbolicAddress): boolean {
    return a.offset < b.offset || (a.offset === b.offset && PREFERENCE[a.symbol.kind] < PREFERENCE[b.symbol.kind]);
}

/** Whether an address so far behind a symbol without a size may belong to it. */
function mayReach({ address, sectionEnd }: GuestSymbol, offset: bigint): boolean {
    const inSection = sectionEnd === undefined || offset === 0n || address + offset < sectionEnd;
    return inSection && offset < LONGEST_UNSIZED;
}

function compare(a: bigint, b: bigint): number {
    return a < b ? -1 : a > b ? 1 : 0;
}

/** `name+0x10`. */
export function formatSymbolic(found: SymbolicAddress | undefined): string | undefined {
    if (found === undefined) {
        return undefined;
    }
    return found.offset === 0n ? found.symbol.name : `${found.symbol.name}+0x${found.offset.toString(16)}`;
}
