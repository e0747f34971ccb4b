import type { IoRegion } from '../devices/device';
import { type AddressRange, AddressOverlapError, ConfigurationError } from './errors';
import { hex } from './format';

/** What answers at a range of physical addresses: device registers, a ROM image, or (neither) RAM. */
export interface MappedRange extends AddressRange {
    readonly region?: IoRegion;
    /** Address of the ROM image in the shared memory. */
    readonly rom?: number;
}

/** Disjoint ranges of physical addresses, found by binary search; the last one found is tried first. */
export class AddressMap {
    private readonly ranges: MappedRange[] = [];
    private last: MappedRange | undefined;

    /**
     * Adds a range; returns what removes it again.
     * @throws AddressOverlapError
     */
    add(range: MappedRange): () => void {
        const { name, base, size } = range;
        if (!Number.isSafeInteger(base) || !Number.isSafeInteger(size) || base < 0 || size < 1) {
            throw new ConfigurationError(
                `memory region '${name}' at ${hex(base)}, size ${hex(size)}: not an address range`,
            );
        }
        const index = this.firstEndingAfter(base);
        const next = this.ranges[index];
        if (next !== undefined && next.base < base + size) {
            throw new AddressOverlapError('memory', range, next);
        }
        this.ranges.splice(index, 0, range);
        return () => {
            const position = this.ranges.indexOf(range);
            if (position >= 0) {
                this.ranges.splice(position, 1);
            }
            this.last = undefined;
        };
    }

    find(address: number): MappedRange | undefined {
        const last = this.last;
        if (last !== undefined && address >= last.base && address < last.base + last.size) {
            return last;
        }
        const range = this.ranges[this.firstEndingAfter(address)];
        if (range === undefined || address < range.base) {
            return undefined;
        }
        this.last = range;
        return range;
    }

    list(): readonly MappedRange[] {
        return this.ranges;
    }

    private firstEndingAfter(address: number): number {
        let low = 0;
        let high = this.ranges.length;
        while (low < high) {
            const middle = (low + high) >> 1;
            const range = this.ranges[middle];
            if (range.base + range.size <= address) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return low;
    }
}
