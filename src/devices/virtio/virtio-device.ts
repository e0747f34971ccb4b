import type { DeviceRegister, StateValue } from '../device';
import type { StateReader } from '../state-reader';
import type { Virtqueue } from './virtqueue';

/** Device types (VIRTIO 1.2, section 5). */
export const VirtioType = {
    network: 1,
    block: 2,
    console: 3,
    entropy: 4,
    balloon: 5,
    scsi: 8,
    p9: 9,
    gpu: 16,
    input: 18,
} as const;

/** Feature bits that belong to no device type (section 6). */
export const VirtioFeature = {
    anyLayout: 1n << 27n,
    indirectDescriptors: 1n << 28n,
    eventIndex: 1n << 29n,
    version1: 1n << 32n,
} as const;

/** What a transport offers to its device. */
export interface VirtioTransport {
    readonly queues: readonly Virtqueue[];
    /** The features that device and driver agreed on. */
    readonly features: bigint;
    /** Whether the driver has said that it is ready, and has not broken the rules since. */
    readonly running: boolean;
    /** Interrupts the driver for what the device completed in a queue, if it wants that. */
    completed(queue: Virtqueue): void;
    /** Tells the driver that the device's configuration has changed. */
    configurationChanged(): void;
}

/**
 * What a virtio device does beyond its transport: the device types derive from it, and know neither PCI nor rings in
 * memory.
 */
export abstract class VirtioDevice {
    abstract readonly type: number;
    /** PCI class code in 24 bits. */
    abstract readonly pciClass: number;
    /** Feature bits 0–23 and 50–127, the device type's own. */
    readonly features: bigint = 0n;
    /** Maximum size of each queue: powers of two. */
    abstract readonly queueSizes: readonly number[];
    /** Bytes of device-specific configuration. */
    readonly configurationSize: number = 0;
    protected transport!: VirtioTransport;

    /** Called once, by the transport. */
    attach(transport: VirtioTransport): void {
        this.transport = transport;
    }

    /** Reads 1, 2 or 4 bytes of the device-specific configuration, within `configurationSize`. */
    readConfiguration(_offset: number, _size: number): number {
        return 0;
    }

    /** Writes 1, 2 or 4 bytes of the device-specific configuration, within `configurationSize`. */
    writeConfiguration(_offset: number, _size: number, _value: number): void {
        // Mostly read-only.
    }

    /** The driver may have made buffers available in a queue. */
    abstract notified(queue: Virtqueue): void;

    /** The driver resets the device. */
    abstract reset(): void;

    /** What the device knows beyond the transport's state. */
    save(): { readonly [field: string]: StateValue } {
        return {};
    }

    restore(_state: StateReader): void {
        // Nothing beyond the transport's state.
    }

    inspect(): DeviceRegister[] {
        return [];
    }
}
