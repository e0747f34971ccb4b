/** Names of a list as `nm` and Linux have it, in the order of addresses, as symbols: none is made before it is asked for. */
import { partitionPoint } from '../common/search';
import { NamePlaces } from './name-places';
import type { GuestSymbol, SymbolicAddress, SymbolSource } from './symbol-table';

export interface NameList {
    readonly names: readonly string[];
    /** Letters as `nm` has them: `T`, `t`, `d`… */
    readonly types: readonly string[];
    /** Ascending. */
    readonly addresses: BigUint64Array;
}

const CODE = /[TtWw]/;
/** One behind which nothing comes for longer than this does not reach so far. */
const LONGEST = 0x200000n;

export class ListedSymbols implements SymbolSource {
    /** What has to be added to the addresses of the list. */
    slide = 0n;
    private knownPlaces: NamePlaces | undefined;

    /** @param lowest what stands below is no address, and does not move: a per-CPU variable's offset */
    constructor(
        private readonly list: NameList,
        private readonly lowest = 0n,
    ) {}

    get size(): number {
        return this.list.names.length;
    }

    named(name: string): readonly GuestSymbol[] {
        return this.places.of(name).map(index => this.symbol(index));
    }

    at(address: bigint): SymbolicAddress | undefined {
        const { addresses, types } = this.list;
        const listed = BigInt.asUintN(64, address - this.slide);
        let index = partitionPoint(addresses.length, at => addresses[at] <= listed) - 1;
        if (index < 0 || addresses[index] < this.lowest) {
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
        for (const name of this.places.startingWith(prefix)) yield this.symbol(this.places.of(name)[0]);
    }

    private symbol(index: number): GuestSymbol {
        const { names, types, addresses } = this.list;
        const address = addresses[index];
        let next = index + 1;
        while (next < addresses.length && addresses[next] === address) next++;
        const size = next < addresses.length ? addresses[next] - address : LONGEST;
        return {
            name: names[index],
            address: address < this.lowest ? address : BigInt.asUintN(64, address + this.slide),
            // As Linux itself has it: up to the next one.
            size: size > LONGEST ? LONGEST : size,
            kind: CODE.test(types[index]) ? 'function' : 'object',
        };
    }

    private get places(): NamePlaces {
        return (this.knownPlaces ??= new NamePlaces(this.list.names));
    }
}
