import type { IoRegion } from '../../devices/device';
import type { PciAddressSpace, PciMapper } from '../../devices/pci/pci-function';
import type { PortBus } from '../bus';
import { ConfigurationError } from '../errors';
import type { GuestMemory } from '../memory';

interface Movable {
    readonly map: () => () => void;
    unmap: (() => void) | undefined;
}

/**
 * Regions that the guest moves about: PCI BARs and what firmware places. A guest may put them on top of anything; then
 * what was there first answers, and the region appears once the place is free.
 */
export class BarMapper implements PciMapper {
    private readonly movables = new Set<Movable>();

    constructor(
        private readonly memory: GuestMemory,
        private readonly bus: PortBus,
    ) {}

    map(space: PciAddressSpace, name: string, address: number, size: number, region: IoRegion): () => void {
        const target = space === 'io' ? this.bus : this.memory;
        const movable: Movable = { map: () => target.map(name, address, size, region), unmap: undefined };
        this.movables.add(movable);
        this.tryToMap(movable);
        return () => {
            this.movables.delete(movable);
            movable.unmap?.();
            for (const waiting of this.movables) {
                this.tryToMap(waiting);
            }
        };
    }

    private tryToMap(movable: Movable): void {
        if (movable.unmap !== undefined) {
            return;
        }
        try {
            movable.unmap = movable.map();
        } catch (error) {
            if (!(error instanceof ConfigurationError)) {
                throw error;
            }
        }
    }
}
