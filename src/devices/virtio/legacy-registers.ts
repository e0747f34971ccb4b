import type { IoRegion } from '../device';
import { allOnes } from '../byte-wide';
import type { StateReader } from '../state-reader';
import type { VectorTable } from './modern-registers';
import type { VirtioCore } from './virtio-core';

const Register = {
    deviceFeatures: 0x00,
    driverFeatures: 0x04,
    queueAddress: 0x08,
    queueSize: 0x0c,
    queueSelect: 0x0e,
    queueNotify: 0x10,
    status: 0x12,
    isr: 0x13,
    configurationVector: 0x14,
    queueVector: 0x16,
} as const;

/** What the legacy registers need from the PCI function around them. */
export interface LegacyHost extends VectorTable {
    /** Whether MSI-X is on: the vector registers then come before the device's own configuration. */
    readonly msixEnabled: boolean;
    /** Reads and clears the interrupt status. */
    takeInterruptStatus(): number;
}

/** Bytes of I/O ports before the device's own configuration, at most. */
export const legacyHeaderSize = 0x18;

/** The legacy interface behind BAR 0 (VIRTIO 1.2, section 4.1.4.10): registers of fixed widths in I/O ports. */
export class LegacyRegisters implements IoRegion {
    private readonly core: VirtioCore;
    private readonly host: LegacyHost;
    private queueSelect = 0;

    constructor(core: VirtioCore, host: LegacyHost) {
        this.core = core;
        this.host = host;
    }

    reset(): void {
        this.queueSelect = 0;
    }

    read(offset: number, size: number): number {
        // Drivers read the double words in front by their halves and bytes, too.
        const shift = offset < Register.queueSize ? 8 * (offset & 3) : 0;
        const value = this.readField(shift === 0 ? offset : offset & ~3, size) >>> shift;
        return size === 4 ? value : value & (size === 2 ? 0xffff : 0xff);
    }

    private readField(offset: number, size: number): number {
        const queue = this.queueSelect < this.core.queues.length ? this.core.queues[this.queueSelect] : undefined;
        switch (offset) {
            case Register.deviceFeatures:
                return Number(this.core.offeredFeatures & 0xffffffffn);
            case Register.driverFeatures:
                return Number(this.core.features & 0xffffffffn);
            case Register.queueAddress:
                return queue?.ready ? Math.floor(queue.descriptorTable / 4096) : 0;
            case Register.queueSize:
                return queue?.maximumSize ?? 0;
            case Register.queueSelect:
                return this.queueSelect;
            case Register.queueNotify:
                return 0;
            case Register.status:
                return this.core.status;
            case Register.isr:
                return this.host.takeInterruptStatus();
            default:
                return this.readTail(offset, size);
        }
    }

    private readTail(offset: number, size: number): number {
        if (this.host.msixEnabled && offset === Register.configurationVector) {
            return this.host.configurationVector;
        }
        if (this.host.msixEnabled && offset === Register.queueVector) {
            return this.host.vectorOf(this.queueSelect);
        }
        const at = offset - this.configurationStart();
        return at >= 0 && at + size <= this.core.device.configurationSize
            ? this.core.device.readConfiguration(at, size)
            : allOnes(size);
    }

    write(offset: number, size: number, value: number): void {
        switch (offset) {
            case Register.driverFeatures:
                this.core.acceptFeatures(BigInt(value) & this.core.offeredFeatures & 0xffffffffn);
                break;
            case Register.queueAddress:
                this.setQueueAddress(value);
                break;
            case Register.queueSelect:
                this.queueSelect = value & 0xffff;
                break;
            case Register.queueNotify:
                this.core.notify(value & 0xffff);
                break;
            case Register.status:
                this.core.setStatus(value & 0xff, true);
                break;
            case Register.deviceFeatures:
            case Register.queueSize:
            case Register.isr:
                break;
            default:
                this.writeTail(offset, size, value);
        }
    }

    private writeTail(offset: number, size: number, value: number): void {
        if (this.host.msixEnabled && offset === Register.configurationVector) {
            this.host.configurationVector = value & 0xffff;
        } else if (this.host.msixEnabled && offset === Register.queueVector) {
            this.host.setVectorOf(this.queueSelect, value & 0xffff);
        } else {
            const at = offset - this.configurationStart();
            if (at >= 0 && at + size <= this.core.device.configurationSize) {
                this.core.device.writeConfiguration(at, size, value);
            }
        }
    }

    /** A page number enables the queue, zero disables it; an old driver resets queues one by one in this way. */
    private setQueueAddress(page: number): void {
        const queue = this.queueSelect < this.core.queues.length ? this.core.queues[this.queueSelect] : undefined;
        if (queue === undefined) {
            return;
        }
        queue.reset();
        if (page !== 0) {
            queue.setLegacyLayout(page * 4096);
            this.core.enableQueue(queue);
        }
    }

    private configurationStart(): number {
        return this.host.msixEnabled ? legacyHeaderSize : Register.configurationVector;
    }

    /** The fields that this part adds to the transport's record. */
    save(): { legacyQueueSelect: number } {
        return { legacyQueueSelect: this.queueSelect };
    }

    restore(state: StateReader): void {
        this.queueSelect = state.u16('legacyQueueSelect');
    }
}
