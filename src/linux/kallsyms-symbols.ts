/** The names of kallsyms as symbols of the debugger: none is made before it is asked for. */
import { partitionPoint } from '../common/search';
import type { GuestSymbol, SymbolicAddress, SymbolSource } from '../symbols/symbol-table';
import type { Kallsyms } from './kallsyms';
import { IMAGE_FIRST } from './kernel-image';

const CODE = /[TtWw]/;
/** One behind which nothing comes for longer than this does not reach so far. */
const LONGEST = 0x200000n;

export class KallsymsSymbols implements SymbolSource {
    private byName: Map<string, number | number[]> | undefined;

    constructor(private readonly tables: Kallsyms) {}

    get size(): number {
        return this.tables.names.length;
    }

    named(name: string): readonly GuestSymbol[] {
        const found = this.indices.get(name);
        const all = found === undefined ? [] : typeof found === 'number' ? [found] : found;
        return all.map(index => this.symbol(index));
    }

    /** The symbol that an address lies in; offsets of per-CPU variables are none. */
    at(address: bigint): SymbolicAddress | undefined {
        const { addresses, types } = this.tables;
        if (address < IMAGE_FIRST) {
            return undefined;
        }
        let index = partitionPoint(addresses.length, at => addresses[at] <= address) - 1;
        if (index < 0 || addresses[index] < IMAGE_FIRST) {
            return undefined;
        }
        // Of several names of a place a function's goes first.
        for (let other = index; other >= 0 && addresses[other] === addresses[index]; other--) {
            if (CODE.test(types[other])) {
                index = other;
                break;
            }
        }
        const symbol = this.symbol(index);
        const offset = address - symbol.address;
        return offset === 0n || offset < symbol.size ? { symbol, offset } : undefined;
    }

    *startingWith(prefix: string): Generator<GuestSymbol> {
        for (const [name, found] of this.indices) {
            if (name.startsWith(prefix)) yield this.symbol(typeof found === 'number' ? found : found[0]);
        }
    }

    private symbol(index: number): GuestSymbol {
        const { names, types, addresses } = this.tables;
        const address = addresses[index];
        let next = index + 1;
        while (next < addresses.length && addresses[next] === address) next++;
        const size = next < addresses.length ? addresses[next] - address : LONGEST;
        return {
            name: names[index],
            address,
            // As the kernel itself has it: up to the next one.
            size: size > LONGEST ? LONGEST : size,
            kind: CODE.test(types[index]) ? 'function' : 'object',
        };
    }

    private get indices(): Map<string, number | number[]> {
        if (this.byName === undefined) {
            const byName = new Map<string, number | number[]>();
            this.tables.names.forEach((name, index) => {
                const known = byName.get(name);
                if (known === undefined) byName.set(name, index);
                else if (typeof known === 'number') byName.set(name, [known, index]);
                else known.push(index);
            });
            this.byName = byName;
        }
        return this.byName;
    }
}
