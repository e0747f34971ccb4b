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

/** A symbol without a size is taken to reach to the next one, but no further than this. */
const LONGEST_UNSIZED = 0x10000n;

/** Of several symbols at an address, the one to name it by. */
const PREFERENCE = { function: 0, object: 1, label: 2 } as const;

/** Symbols of everything that is loaded: names to addresses, and back. */
export class SymbolTable {
    private readonly byName = new Map<string, GuestSymbol[]>();
    /** By address; of several at one address the preferred one comes last. */
    private sorted: GuestSymbol[] = [];

    constructor(symbols: readonly GuestSymbol[] = []) {
        this.add(symbols);
    }

    get size(): number {
        return this.sorted.length;
    }

    add(symbols: readonly GuestSymbol[]): void {
        for (const symbol of symbols) {
            const known = this.byName.get(symbol.name);
            if (known === undefined) {
                this.byName.set(symbol.name, [symbol]);
            } else {
                known.push(symbol);
            }
        }
        this.sorted = [...this.sorted, ...symbols].sort(
            (a, b) => compare(a.address, b.address) || PREFERENCE[b.kind] - PREFERENCE[a.kind],
        );
    }

    /** Puts symbols in the place of others that were added: their program has moved. */
    replace(old: readonly GuestSymbol[], by: readonly GuestSymbol[]): void {
        const gone = new Set(old);
        const all = this.sorted.filter(symbol => !gone.has(symbol));
        this.byName.clear();
        this.sorted = [];
        this.add([...all, ...by]);
    }

    /** Every symbol of that name: local ones may share it. */
    named(name: string): readonly GuestSymbol[] {
        return this.byName.get(name) ?? [];
    }

    /** The symbol that an address lies in. */
    at(address: bigint): SymbolicAddress | undefined {
        const { sorted } = this;
        const low = partitionPoint(sorted.length, index => sorted[index].address <= address);
        // Symbols nest: one that ended before the address may stand inside one that has not. A few steps back suffice.
        for (let index = low - 1; index >= Math.max(0, low - 8); index--) {
            const symbol = sorted[index];
            const offset = address - symbol.address;
            if (symbol.size === 0n ? index === low - 1 && mayReach(symbol, offset) : offset < symbol.size) {
                return { symbol, offset };
            }
        }
        return undefined;
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

    /** Names that begin with a prefix, for completion. */
    *startingWith(prefix: string): Generator<GuestSymbol> {
        for (const [name, symbols] of this.byName) {
            if (name.startsWith(prefix)) {
                yield symbols[0];
            }
        }
    }
}

/** Whether an address so far behind a symbol without a size may belong to it. */
function mayReach({ address, sectionEnd }: GuestSymbol, offset: bigint): boolean {
    const inSection = sectionEnd === undefined || offset === 0n || address + offset < sectionEnd;
    return inSection && offset < LONGEST_UNSIZED;
}

function compare(a: bigint, b: bigint): number {
    return a < b ? -1 : a > b ? 1 : 0;
}

function formatSymbolic(found: SymbolicAddress | undefined): string | undefined {
    if (found === undefined) {
        return undefined;
    }
    return found.offset === 0n ? found.symbol.name : `${found.symbol.name}+0x${found.offset.toString(16)}`;
}
