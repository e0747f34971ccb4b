import { allOnes } from '../byte-wide';
import type { IoRegion, StateValue } from '../device';
import type { StateReader } from '../state-reader';
import type { VirtioCore } from './virtio-core';
import type { Virtqueue } from './virtqueue';

/** Offsets in struct virtio_pci_common_cfg. */
const Register = {
    deviceFeatureSelect: 0x00,
    deviceFeature: 0x04,
    driverFeatureSelect: 0x08,
    driverFeature: 0x0c,
    configurationVector: 0x10,
    queueCount: 0x12,
    status: 0x14,
    configurationGeneration: 0x15,
    queueSelect: 0x16,
    queueSize: 0x18,
    queueVector: 0x1a,
    queueEnable: 0x1c,
    queueNotifyOffset: 0x1e,
    queueDescriptors: 0x20,
    queueDriver: 0x28,
    queueDevice: 0x30,
    end: 0x38,
} as const;

/** MSI-X vectors of configuration changes and of the queues; the transport checks what is written. */
export interface VectorTable {
    vectorOf(queue: number): number;
    setVectorOf(queue: number, vector: number): void;
    configurationVector: number;
}

/** The common configuration structure (VIRTIO 1.2, section 4.1.4.3). */
export class ModernRegisters implements IoRegion {
    private readonly core: VirtioCore;
    private readonly vectors: VectorTable;
    private deviceFeatureSelect = 0;
    private driverFeatureSelect = 0;
    private driverFeatures = 0n;
    private queueSelect = 0;

    constructor(core: VirtioCore, vectors: VectorTable) {
        this.core = core;
        this.vectors = vectors;
    }

    reset(): void {
        this.deviceFeatureSelect = 0;
        this.driverFeatureSelect = 0;
        this.driverFeatures = 0n;
        this.queueSelect = 0;
    }

    private get queue(): Virtqueue | undefined {
        return this.queueSelect < this.core.queues.length ? this.core.queues[this.queueSelect] : undefined;
    }

    /** Any part of the structure, as the guest may read smaller pieces of fields. */
    read(offset: number, size: number): number {
        if (offset + size > Register.end) {
            return offset < Register.end ? allOnes(size) : 0;
        }
        const word = this.word(offset & ~3) >>> (8 * (offset & 3));
        return size === 4 ? word : word & (size === 2 ? 0xffff : 0xff);
    }

    /** An aligned double word of the structure. */
    private word(offset: number): number {
        const queue = this.queue;
        switch (offset) {
            case Register.deviceFeatureSelect:
                return this.deviceFeatureSelect;
            case Register.deviceFeature:
                return featureWord(this.core.offeredFeatures, this.deviceFeatureSelect);
            case Register.driverFeatureSelect:
                return this.driverFeatureSelect;
            case Register.driverFeature:
                return featureWord(this.driverFeatures, this.driverFeatureSelect);
            case Register.configurationVector:
                return (this.vectors.configurationVector | (this.core.queues.length << 16)) >>> 0;
            case Register.status:
                return (this.core.status | (this.core.configurationGeneration << 8) | (this.queueSelect << 16)) >>> 0;
            case Register.queueSize:
                return ((queue?.size ?? 0) | (this.vectors.vectorOf(this.queueSelect) << 16)) >>> 0;
            case Register.queueEnable:
                return ((queue?.ready ? 1 : 0) | (queue === undefined ? 0 : queue.index << 16)) >>> 0;
            case Register.queueDescriptors:
                return lowWord(queue?.descriptorTable);
            case Register.queueDescriptors + 4:
                return highWord(queue?.descriptorTable);
            case Register.queueDriver:
                return lowWord(queue?.availableRing);
            case Register.queueDriver + 4:
                return highWord(queue?.availableRing);
            case Register.queueDevice:
                return lowWord(queue?.usedRing);
            default:
                return highWord(queue?.usedRing);
        }
    }

    /** Drivers access each field by its own width (section 4.1.3.1), 64-bit ones by halves; other writes are ignored. */
    write(offset: number, size: number, value: number): void {
        if (size === 4) {
            this.writeDoubleWord(offset, value);
        } else if (size === 2) {
            this.writeWord(offset, value);
        } else if (offset === Register.status) {
            this.core.setStatus(value, false);
        }
    }

    private writeDoubleWord(offset: number, value: number): void {
        if (offset === Register.deviceFeatureSelect) {
            this.deviceFeatureSelect = value;
        } else if (offset === Register.driverFeatureSelect) {
            this.driverFeatureSelect = value;
        } else if (offset === Register.driverFeature) {
            if (this.driverFeatureSelect < 2) {
                const shift = BigInt(32 * this.driverFeatureSelect);
                const kept = this.driverFeatures & ~(0xffffffffn << shift);
                this.driverFeatures = kept | (BigInt(value) << shift);
                this.core.acceptFeatures(this.driverFeatures);
            }
        } else {
            this.writeRing(offset, value);
        }
    }

    private writeRing(offset: number, value: number): void {
        const queue = this.queue;
        // The rings of an enabled queue stay where they are.
        if (queue === undefined || queue.ready) {
            return;
        }
        const high = (offset & 4) !== 0;
        switch (offset & ~4) {
            case Register.queueDescriptors:
                queue.descriptorTable = withWord(queue.descriptorTable, value, high);
                break;
            case Register.queueDriver:
                queue.availableRing = withWord(queue.availableRing, value, high);
                break;
            case Register.queueDevice:
                queue.usedRing = withWord(queue.usedRing, value, high);
                break;
            default:
                break;
        }
    }

    private writeWord(offset: number, value: number): void {
        const queue = this.queue;
        switch (offset) {
            case Register.configurationVector:
                this.vectors.configurationVector = value;
                break;
            case Register.queueSelect:
                this.queueSelect = value;
                break;
            case Register.queueVector:
                this.vectors.setVectorOf(this.queueSelect, value);
                break;
            case Register.queueSize:
                if (queue !== undefined && !queue.ready && value > 0 && value <= queue.maximumSize) {
                    // A size that is no power of two is seen when the queue is enabled.
                    queue.size = value;
                }
                break;
            case Register.queueEnable:
                if (queue !== undefined && value === 1) {
                    this.core.enableQueue(queue);
                }
                break;
            default:
                break;
        }
    }

    /** The fields that this part adds to the transport's record. */
    save(): { readonly [field: string]: StateValue } {
        return {
            deviceFeatureSelect: this.deviceFeatureSelect,
            driverFeatureSelect: this.driverFeatureSelect,
            driverFeatures: this.driverFeatures,
            queueSelect: this.queueSelect,
        };
    }

    restore(state: StateReader): void {
        this.deviceFeatureSelect = state.u32('deviceFeatureSelect');
        this.driverFeatureSelect = state.u32('driverFeatureSelect');
        this.driverFeatures = state.bigint('driverFeatures');
        this.queueSelect = state.u16('queueSelect');
    }
}

function featureWord(features: bigint, select: number): number {
    return select < 2 ? Number((features >> BigInt(32 * select)) & 0xffffffffn) : 0;
}

function lowWord(address = 0): number {
    return address % 2 ** 32;
}

function highWord(address = 0): number {
    return Math.floor(address / 2 ** 32);
}

/** Replaces one half of an address. Bits from 53 on, which no physical address has, are dropped. */
function withWord(address: number, value: number, high: boolean): number {
    return high ? (value & 0x1fffff) * 2 ** 32 + lowWord(address) : highWord(address) * 2 ** 32 + value;
}
