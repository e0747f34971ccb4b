import { allOnes } from '../devices/byte-wide';
import type { IoRegion } from '../devices/device';
import { type AddressRange, AddressOverlapError, ConfigurationError } from './errors';
import { hex } from './format';

const PORTS = 0x10000;

/** Sees every access that the guest makes to an I/O space, after a read and before a write. */
export interface AccessObserver {
    /** An access begins. Of memory accesses only. */
    before?(): void;
    /** The access is complete. Of memory accesses only. */
    after?(): void;
    /** @param region name of the region that answers, undefined where none does */
    accessed(kind: 'read' | 'write', address: number, size: number, value: number, region: string | undefined): void;
}

interface MappedRegion extends AddressRange {
    readonly region: IoRegion;
}

/**
 * The x86 I/O port space: 65,536 byte-wide ports. An access that one region covers reaches it whole; any other is
 * split in halves, as the PCI-to-ISA bridge splits cycles that are wider than what answers. Unmapped ports read ones.
 */
export class PortBus {
    /** Costs one comparison an access while it is undefined. */
    observer: AccessObserver | undefined;

    /** Per port, 1 + index of its region. */
    private readonly owner = new Uint16Array(PORTS);
    private readonly regions: (MappedRegion | undefined)[] = [];

    /**
     * Maps `size` ports at `base`; returns what removes the mapping.
     * @throws AddressOverlapError if any of the ports is taken
     */
    map(name: string, base: number, size: number, region: IoRegion): () => void {
        if (!Number.isInteger(base) || !Number.isInteger(size) || base < 0 || size < 1 || base + size > PORTS) {
            throw new ConfigurationError(
                `port region '${name}' at ${hex(base)}, size ${hex(size)}: not in the I/O space`,
            );
        }
        const added: MappedRegion = { name, base, size, region };
        for (let port = base; port < base + size; port++) {
            const present = this.regionAt(port);
            if (present !== undefined) {
                throw new AddressOverlapError('port', added, present);
            }
        }
        // PCI BARs come and go: use the slots of regions that were removed again.
        const free = this.regions.indexOf(undefined);
        const index = free < 0 ? this.regions.length : free;
        this.regions[index] = added;
        this.owner.fill(index + 1, base, base + size);
        return () => {
            if (this.regions[index] === added) {
                this.regions[index] = undefined;
                this.owner.fill(0, base, base + size);
            }
        };
    }

    /** Reads 1, 2 or 4 bytes at `port` (the rest wraps to nothing at the end of the space). */
    read(port: number, size: number): number {
        const mapped = this.regionAt(port);
        const value = this.dispatchRead(mapped, port, size);
        this.observer?.accessed('read', port, size, value, mapped?.name);
        return value;
    }

    /** Writes the low `size` bytes of `value`: 1, 2 or 4. */
    write(port: number, size: number, value: number): void {
        const mapped = this.regionAt(port);
        this.observer?.accessed('write', port, size, value, mapped?.name);
        this.dispatchWrite(mapped, port, size, value);
    }

    /** What is mapped, by address, for views and messages. */
    list(): AddressRange[] {
        return this.regions
            .filter(region => region !== undefined)
            .map(({ name, base, size }) => ({ name, base, size }))
            .sort((a, b) => a.base - b.base);
    }

    private regionAt(port: number): MappedRegion | undefined {
        const index = port < PORTS ? this.owner[port] : 0;
        return index === 0 ? undefined : this.regions[index - 1];
    }

    private dispatchRead(mapped: MappedRegion | undefined, port: number, size: number): number {
        if (mapped !== undefined && port + size <= mapped.base + mapped.size) {
            return mapped.region.read(port - mapped.base, size);
        }
        if (size === 1) {
            return allOnes(1);
        }
        const half = size >> 1;
        const low = this.dispatchRead(mapped, port, half);
        const high = this.dispatchRead(this.regionAt(port + half), port + half, half);
        return low + high * 2 ** (8 * half);
    }

    private dispatchWrite(mapped: MappedRegion | undefined, port: number, size: number, value: number): void {
        if (mapped !== undefined && port + size <= mapped.base + mapped.size) {
            mapped.region.write(port - mapped.base, size, value);
        } else if (size > 1) {
            const half = size >> 1;
            const mask = 2 ** (8 * half) - 1;
            this.dispatchWrite(mapped, port, half, (value & mask) >>> 0);
            this.dispatchWrite(this.regionAt(port + half), port + half, half, value >>> (8 * half));
        }
    }
}
