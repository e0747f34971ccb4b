/**
 * What every virtio transport does: device status, feature negotiation, the set of queues.
 *
 * Virtual I/O Device (VIRTIO) Version 1.2, section 2.1 (status), 2.2 (features), 2.4 (reset), 3.1 (initialization).
 */
import type { Dma, StateValue } from '../device';
import type { StateReader } from '../state-reader';
import { VirtioFeature, type VirtioDevice, type VirtioTransport } from './virtio-device';
import { Virtqueue, type VirtqueueOwner } from './virtqueue';

export const VirtioStatus = {
    acknowledge: 1,
    driver: 2,
    driverOk: 4,
    featuresOk: 8,
    needsReset: 0x40,
    failed: 0x80,
} as const;

/** What the core asks of the bus that it is attached to. */
export interface VirtioBus {
    readonly dma: Dma;
    /** Whether the device may access memory now. */
    readonly busMaster: boolean;
    interruptForQueue(queue: number): void;
    interruptForConfiguration(): void;
    /** The driver has reset the device: interrupts are withdrawn, vectors forgotten. */
    deviceReset(): void;
}

export class VirtioCore implements VirtioTransport, VirtqueueOwner {
    readonly device: VirtioDevice;
    readonly queues: readonly Virtqueue[];
    readonly dma: Dma;
    readonly offeredFeatures: bigint;
    status = 0;
    configurationGeneration = 0;
    /** Why the device needs a reset; for people. */
    failure: string | undefined;
    private readonly bus: VirtioBus;
    private agreed = 0n;

    constructor(device: VirtioDevice, bus: VirtioBus) {
        this.device = device;
        this.bus = bus;
        this.dma = bus.dma;
        this.offeredFeatures =
            device.features |
            VirtioFeature.anyLayout |
            VirtioFeature.indirectDescriptors |
            VirtioFeature.eventIndex |
            VirtioFeature.version1;
        this.queues = device.queueSizes.map((size, index) => new Virtqueue(index, size, this));
        device.attach(this);
    }

    get features(): bigint {
        return this.agreed;
    }

    get eventIndex(): boolean {
        return (this.agreed & VirtioFeature.eventIndex) !== 0n;
    }

    get indirectDescriptors(): boolean {
        return (this.agreed & VirtioFeature.indirectDescriptors) !== 0n;
    }

    get broken(): boolean {
        return (this.status & VirtioStatus.needsReset) !== 0;
    }

    get running(): boolean {
        return (this.status & (VirtioStatus.driverOk | VirtioStatus.needsReset)) === VirtioStatus.driverOk;
    }

    /** The driver chooses features; too late once both sides said they agree. */
    acceptFeatures(features: bigint): void {
        if ((this.status & VirtioStatus.featuresOk) === 0) {
            this.agreed = features;
        }
    }

    /** @param legacy whether the driver came through the legacy interface, which knows no FEATURES_OK */
    setStatus(status: number, legacy: boolean): void {
        if (status === 0) {
            this.reset();
            return;
        }
        let accepted = status & ~VirtioStatus.needsReset;
        if (legacy) {
            this.agreed &= this.offeredFeatures & 0xffffffffn;
        } else if (accepted & ~this.status & VirtioStatus.featuresOk && !this.featuresAcceptable()) {
            accepted &= ~VirtioStatus.featuresOk;
        }
        const starting = (accepted & ~this.status & VirtioStatus.driverOk) !== 0;
        this.status = accepted | (this.status & VirtioStatus.needsReset);
        if (starting) {
            this.serveAll();
        }
    }

    /** Section 6.1: a driver that does not accept VERSION_1 belongs to the legacy interface. */
    private featuresAcceptable(): boolean {
        return (this.agreed & ~this.offeredFeatures) === 0n && (this.agreed & VirtioFeature.version1) !== 0n;
    }

    /** The driver enables a queue; one that cannot work stays disabled. */
    enableQueue(queue: Virtqueue): void {
        if ((queue.size & (queue.size - 1)) === 0 && queue.size > 0) {
            queue.ready = true;
        }
    }

    /** The driver rings a queue's bell. */
    notify(index: number): void {
        const queue = index < this.queues.length ? this.queues[index] : undefined;
        if (queue !== undefined && queue.ready && this.running && this.bus.busMaster) {
            this.device.notified(queue);
        }
    }

    /** Looks into every queue: bells may have rung before the device could serve them. */
    serveAll(): void {
        for (let index = 0; index < this.queues.length; index++) {
            this.notify(index);
        }
    }

    completed(queue: Virtqueue): void {
        if (queue.takeInterruptNeed()) {
            this.bus.interruptForQueue(queue.index);
        }
    }

    configurationChanged(): void {
        this.configurationGeneration = (this.configurationGeneration + 1) & 0xff;
        if (this.running) {
            this.bus.interruptForConfiguration();
        }
    }

    fail(reason: string): void {
        const running = this.running;
        this.failure = reason;
        this.status |= VirtioStatus.needsReset;
        if (running) {
            this.bus.interruptForConfiguration();
        }
    }

    reset(): void {
        this.status = 0;
        this.agreed = 0n;
        this.failure = undefined;
        this.queues.forEach(queue => queue.reset());
        this.device.reset();
        this.bus.deviceReset();
    }

    /** The fields that this part adds to the transport's record. */
    save(): { readonly [field: string]: StateValue } {
        return {
            type: this.device.type,
            status: this.status,
            configurationGeneration: this.configurationGeneration,
            agreed: this.agreed,
            failure: this.failure ?? '',
            queues: this.queues.map(queue => queue.save()),
            device: [this.device.save()],
        };
    }

    restore(state: StateReader): void {
        if (state.u32('type') !== this.device.type) {
            throw state.bad('type', `the machine has a virtio device of type ${this.device.type} there`);
        }
        const queues = state.parts('queues', this.queues.length);
        const [device] = state.parts('device', 1);
        const failure = state.string('failure');
        this.status = state.u8('status');
        this.configurationGeneration = state.u8('configurationGeneration');
        this.agreed = state.bigint('agreed');
        this.failure = failure === '' ? undefined : failure;
        this.queues.forEach((queue, index) => queue.restore(queues[index]));
        this.device.restore(device);
    }
}
