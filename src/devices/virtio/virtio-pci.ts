/**
 * Virtio over PCI: the modern interface behind BAR 4, MSI-X behind BAR 1 and, in a transitional device, the legacy
 * interface behind BAR 0.
 *
 * Virtual I/O Device (VIRTIO) Version 1.2, section 4.1: 4.1.2 identification, 4.1.4 structures and capabilities, 4.1.5
 * initialization and interrupts.
 */
import { StateReader } from '../state-reader';
import type { DeviceRegister, Dma, IoRegion, StateRecord } from '../device';
import { bitNames } from '../bit-names';
import { PciCapability } from '../pci/configuration-space';
import { MsixCapability } from '../pci/msix';
import { PciFunction } from '../pci/pci-function';
import { LegacyRegisters, legacyHeaderSize, type LegacyHost } from './legacy-registers';
import { ModernRegisters } from './modern-registers';
import { VirtioCore, VirtioStatus, type VirtioBus } from './virtio-core';
import type { VirtioDevice } from './virtio-device';

export interface VirtioPciOptions {
    readonly dma: Dma;
    /** Whether drivers from before version 1.0 find the device too (default). */
    readonly transitional?: boolean;
}

const vendorId = 0x1af4;
/** Device identifications of transitional devices, by device type (section 4.1.2.1). */
const transitionalIds: { readonly [type: number]: number } = {
    1: 0x1000,
    2: 0x1001,
    5: 0x1002,
    3: 0x1003,
    8: 0x1004,
    4: 0x1005,
    9: 0x1009,
};
const modernIds = 0x1040;
/** A subsystem identification that no transitional device has. */
const modernSubsystem = 0x1100;

const Bar = { legacy: 0, msix: 1, modern: 4 } as const;
const Structure = { common: 1, notify: 2, isr: 3, device: 4, configurationAccess: 5 } as const;
/** Each structure has a page of BAR 4, so that a guest can map them apart. */
const pageSize = 0x1000;
const Page = { common: 0, isr: 1, device: 2, notify: 3 } as const;
const modernSize = 4 * pageSize;
const notifyMultiplier = 4;
const noVector = 0xffff;
const Isr = { queue: 1, configuration: 2 } as const;
const recordKind = 'virtio-pci';
const recordVersion = 1;

export class VirtioPci extends PciFunction implements VirtioBus, LegacyHost {
    readonly dma: Dma;
    private readonly core: VirtioCore;
    private readonly modern: ModernRegisters;
    private readonly legacy: LegacyRegisters;
    private readonly msix: MsixCapability;
    /** The capability through which firmware reaches the BARs without mapping them. */
    private readonly accessCapability: number;
    private readonly queueVectors: Uint16Array;
    private changeVector = noVector;
    private interruptStatus = 0;

    constructor(name: string, device: VirtioDevice, options: VirtioPciOptions) {
        const transitionalId = (options.transitional ?? true) ? transitionalIds[device.type] : undefined;
        super(name, {
            vendorId,
            deviceId: transitionalId ?? modernIds + device.type,
            revision: transitionalId === undefined ? 1 : 0,
            classCode: device.pciClass,
            subsystemVendorId: vendorId,
            subsystemId: transitionalId === undefined ? modernSubsystem : device.type,
            interruptPin: 1,
        });
        this.dma = options.dma;
        this.core = new VirtioCore(device, this);
        this.modern = new ModernRegisters(this.core, this);
        this.legacy = new LegacyRegisters(this.core, this);
        this.queueVectors = new Uint16Array(device.queueSizes.length).fill(noVector);
        this.msix = new MsixCapability(this.configuration, {
            vectors: device.queueSizes.length + 1,
            bar: Bar.msix,
            send: (address, data) => this.sendMessage(address, data),
        });
        this.addStructure(Structure.common, Page.common, 0x38);
        this.addStructure(Structure.isr, Page.isr, pageSize);
        if (device.configurationSize > 0) {
            this.addStructure(Structure.device, Page.device, device.configurationSize);
        }
        const notify = this.addStructure(Structure.notify, Page.notify, pageSize, 4);
        this.configuration.set(notify + 16, 4, notifyMultiplier);
        this.accessCapability = this.addAccessCapability();
        if (transitionalId !== undefined) {
            const size = 2 ** Math.ceil(Math.log2(legacyHeaderSize + device.configurationSize));
            this.addBar({ index: Bar.legacy, space: 'io', size, region: this.legacy });
        }
        this.addBar({ index: Bar.msix, space: 'memory', size: this.msix.regionSize, region: this.msix.region });
        const region: IoRegion = {
            read: (offset, size) => this.readModern(offset, size),
            write: (offset, size, value) => this.writeModern(offset, size, value),
        };
        this.addBar({ index: Bar.modern, space: 'memory', size: modernSize, wide: true, prefetchable: true, region });
        this.configuration.freeze();
    }

    /** A vendor-specific capability that says where a structure is (section 4.1.4). */
    private addStructure(type: number, page: number, length: number, extra = 0): number {
        const offset = this.configuration.addCapability(PciCapability.vendor, 16 + extra);
        this.configuration.set(offset + 2, 1, 16 + extra);
        this.configuration.set(offset + 3, 1, type);
        this.configuration.set(offset + 4, 1, Bar.modern);
        this.configuration.set(offset + 8, 4, page * pageSize);
        this.configuration.set(offset + 12, 4, length);
        return offset;
    }

    private addAccessCapability(): number {
        const offset = this.addStructure(Structure.configurationAccess, 0, 0, 4);
        this.configuration.set(offset + 4, 1, 0);
        this.configuration.allow(offset + 4, 1, 0xff);
        this.configuration.allow(offset + 8, 4, 0xffffffff);
        this.configuration.allow(offset + 12, 4, 0xffffffff);
        return offset;
    }

    // --- Registers ---

    private readModern(offset: number, size: number): number {
        const within = offset % pageSize;
        switch (Math.floor(offset / pageSize)) {
            case Page.common:
                return this.modern.read(within, size);
            case Page.isr:
                return within === 0 ? this.takeInterruptStatus() : 0;
            case Page.device:
                return within + size <= this.core.device.configurationSize
                    ? this.core.device.readConfiguration(within, size)
                    : 0;
            default:
                return 0;
        }
    }

    private writeModern(offset: number, size: number, value: number): void {
        const within = offset % pageSize;
        switch (Math.floor(offset / pageSize)) {
            case Page.common:
                this.modern.write(within, size, value);
                break;
            case Page.device:
                if (within + size <= this.core.device.configurationSize) {
                    this.core.device.writeConfiguration(within, size, value);
                }
                break;
            case Page.notify:
                this.core.notify(Math.floor(within / notifyMultiplier));
                break;
            default:
                break;
        }
    }

    override readConfiguration(offset: number, size: number): number {
        const window = this.accessWindow(offset, size);
        return window === undefined
            ? super.readConfiguration(offset, size)
            : window.region.read(window.offset, window.size);
    }

    override writeConfiguration(offset: number, size: number, value: number): void {
        const hadBusMaster = this.busMaster;
        const window = this.accessWindow(offset, size);
        if (window !== undefined) {
            window.region.write(window.offset, window.size, value);
            return;
        }
        super.writeConfiguration(offset, size, value);
        if (this.busMaster && !hadBusMaster) {
            this.core.serveAll();
        }
    }

    protected override configurationWritten(): void {
        this.msix.configurationWritten();
        if (this.msix.enabled && this.interruptStatus !== 0) {
            // A function that uses MSI-X leaves its pin alone.
            this.takeInterruptStatus();
        }
    }

    /** Section 4.1.4.9: an access to pci_cfg_data stands for one to the BAR, offset and length in the capability. */
    private accessWindow(
        offset: number,
        size: number,
    ): { readonly region: IoRegion; readonly offset: number; readonly size: number } | undefined {
        if (offset !== this.accessCapability + 16) {
            return undefined;
        }
        const length = this.configuration.get(this.accessCapability + 12, 4);
        const at = this.configuration.get(this.accessCapability + 8, 4);
        const bar = this.barOptions(this.configuration.get(this.accessCapability + 4, 1));
        const fits = bar !== undefined && length <= size && at % length === 0 && at + length <= bar.size;
        return fits && (length === 1 || length === 2 || length === 4)
            ? { region: bar.region, offset: at, size: length }
            : undefined;
    }

    // --- Interrupts ---

    get msixEnabled(): boolean {
        return this.msix.enabled;
    }

    get configurationVector(): number {
        return this.changeVector;
    }

    set configurationVector(vector: number) {
        this.changeVector = vector < this.msix.vectors ? vector : noVector;
    }

    vectorOf(queue: number): number {
        return queue < this.queueVectors.length ? this.queueVectors[queue] : noVector;
    }

    setVectorOf(queue: number, vector: number): void {
        if (queue < this.queueVectors.length) {
            this.queueVectors[queue] = vector < this.msix.vectors ? vector : noVector;
        }
    }

    takeInterruptStatus(): number {
        const status = this.interruptStatus;
        this.interruptStatus = 0;
        this.setInterrupt(false);
        return status;
    }

    interruptForQueue(queue: number): void {
        this.interrupt(Isr.queue, this.vectorOf(queue));
    }

    interruptForConfiguration(): void {
        this.interrupt(Isr.configuration, this.changeVector);
    }

    private interrupt(cause: number, vector: number): void {
        if (this.msix.enabled) {
            this.msix.signal(vector);
        } else {
            this.interruptStatus |= cause;
            this.setInterrupt(true);
        }
    }

    deviceReset(): void {
        this.modern.reset();
        this.legacy.reset();
        this.queueVectors.fill(noVector);
        this.changeVector = noVector;
        this.takeInterruptStatus();
    }

    // --- State ---

    override reset(): void {
        super.reset();
        this.msix.reset();
        this.core.reset();
    }

    save(): StateRecord {
        return {
            kind: recordKind,
            version: recordVersion,
            fields: {
                ...this.saveFunction(),
                ...this.msix.save(),
                ...this.core.save(),
                ...this.modern.save(),
                ...this.legacy.save(),
                queueVectors: [...this.queueVectors],
                configurationVector: this.changeVector,
                interruptStatus: this.interruptStatus,
            },
        };
    }

    restore(record: StateRecord): void {
        const state = new StateReader(record, recordKind, recordVersion);
        this.core.restore(state);
        const queueVectors = state.words('queueVectors', this.queueVectors.length);
        this.modern.restore(state);
        this.legacy.restore(state);
        this.msix.restore(state);
        queueVectors.forEach((vector, queue) => this.setVectorOf(queue, vector));
        this.configurationVector = state.u16('configurationVector');
        this.interruptStatus = state.unsigned('interruptStatus', 3);
        this.restoreFunction(state);
    }

    inspect(): DeviceRegister[] {
        const { status, failure, features, queues } = this.core;
        const description = failure === undefined ? bitNames(VirtioStatus, status) : `broken by the driver: ${failure}`;
        return [
            ...this.inspectFunction(),
            { name: 'device status', value: status, width: 8, description },
            { name: 'features', value: features, width: 64 },
            { name: 'ISR', value: this.interruptStatus, width: 8 },
            ...queues.map(queue => ({
                name: `queue ${queue.index}`,
                value: queue.descriptorTable,
                width: 64,
                description: queue.ready ? `${queue.size} descriptors, ${queue.progress}` : 'disabled',
            })),
            ...this.core.device.inspect(),
        ];
    }
}
