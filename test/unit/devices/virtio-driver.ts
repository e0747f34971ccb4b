import assert from 'node:assert/strict';
import type { IoRegion } from '../../../src/devices/device';
import { PciBus } from '../../../src/devices/pci/pci-bus';
import type { VirtioDevice } from '../../../src/devices/virtio/virtio-device';
import { VirtioPci, type VirtioPciOptions } from '../../../src/devices/virtio/virtio-pci';
import { FakeLine } from './fake-clock';
import { FakeMemory } from './fixtures';

export const DescriptorFlag = { next: 1, write: 2, indirect: 4 } as const;

export interface Descriptor {
    readonly address: number | bigint;
    readonly length: number;
    readonly flags?: number;
    readonly next?: number;
}

/** Where the driver of these tests keeps its rings. */
const rings = { descriptors: 0x1000, available: 0x2000, used: 0x3000 } as const;

/** A guest's driver for one virtio device in a fake memory, through the registers only. */
export class VirtioDriver {
    readonly memory = new FakeMemory(0x40000);
    readonly messages: string[] = [];
    readonly lines = Array.from({ length: 4 }, () => new FakeLine());
    readonly pci: VirtioPci;
    private readonly mapped = new Map<string, { address: number; region: IoRegion }>();
    private availableIndex = 0;
    /** Size of queue 0 once it is set up. */
    size = 0;

    constructor(device: VirtioDevice, options: Partial<VirtioPciOptions> = {}) {
        this.pci = new VirtioPci('virtio', device, { dma: this.memory, ...options });
        const bus = new PciBus({
            mapper: {
                map: (space, name, address, _size, region) => {
                    this.mapped.set(`${space} ${name.at(-1)}`, { address, region });
                    return () => this.mapped.delete(`${space} ${name.at(-1)}`);
                },
            },
            messages: { send: (address, data) => this.messages.push(`${address.toString(16)}=${data.toString(16)}`) },
            pirqs: this.lines,
        });
        bus.attach(1, 0, this.pci);
    }

    /** The interrupt pin of device 1. */
    get interrupt(): FakeLine {
        return this.lines[0];
    }

    /** Places the BARs and turns decoding and bus mastering on. */
    enable(command = 7): void {
        this.pci.writeConfiguration(0x10, 4, 0xc000);
        this.pci.writeConfiguration(0x14, 4, 0xfe000000);
        this.pci.writeConfiguration(0x20, 4, 0xfe100000);
        this.pci.writeConfiguration(0x04, 2, command);
    }

    bar(key: 'io 0' | 'memory 1' | 'memory 4'): IoRegion {
        const found = this.mapped.get(key);
        assert.ok(found, `${key} is not mapped`);
        return found.region;
    }

    /** The capability of a structure type: its place in BAR 4. */
    structure(type: number): { at: number; bar: number; offset: number; length: number } {
        const read = (offset: number, size: number) => this.pci.readConfiguration(offset, size);
        for (let at = read(0x34, 1); at !== 0; at = read(at + 1, 1)) {
            if (read(at, 1) === 0x09 && read(at + 3, 1) === type) {
                return { at, bar: read(at + 4, 1), offset: read(at + 8, 4), length: read(at + 12, 4) };
            }
        }
        throw new Error(`no virtio capability of type ${type}`);
    }

    common(offset: number, size: number): number {
        return this.bar('memory 4').read(this.structure(1).offset + offset, size);
    }

    setCommon(offset: number, size: number, value: number): void {
        this.bar('memory 4').write(this.structure(1).offset + offset, size, value);
    }

    get status(): number {
        return this.common(0x14, 1);
    }

    set status(value: number) {
        this.setCommon(0x14, 1, value);
    }

    get offered(): bigint {
        return [0, 1].reduce((features, select) => {
            this.setCommon(0x00, 4, select);
            return features | (BigInt(this.common(0x04, 4)) << BigInt(32 * select));
        }, 0n);
    }

    accept(features: bigint): void {
        for (const select of [0, 1]) {
            this.setCommon(0x08, 4, select);
            this.setCommon(0x0c, 4, Number((features >> BigInt(32 * select)) & 0xffffffffn));
        }
    }

    /** Everything from reset to DRIVER_OK as section 3.1.1 of the specification has it. */
    start(features: bigint, size = 8, vector = 0xffff): void {
        this.enable();
        this.status = 0;
        this.status = 1;
        this.status = 3;
        this.accept(features);
        this.status = 0x0b;
        assert.equal(this.status, 0x0b, 'the device accepts the features');
        this.setUpQueue(size, vector);
        this.status = 0x0f;
    }

    /** Sets queue 0 up with cleared rings. */
    setUpQueue(size: number, vector = 0xffff): void {
        this.memory.bytes.fill(0, rings.descriptors, rings.used + 0x1000);
        this.setCommon(0x16, 2, 0);
        this.setCommon(0x18, 2, size);
        this.setCommon(0x1a, 2, vector);
        for (const [offset, address] of [
            [0x20, rings.descriptors],
            [0x28, rings.available],
            [0x30, rings.used],
        ]) {
            this.setCommon(offset, 4, address);
            this.setCommon(offset + 4, 4, 0);
        }
        this.setCommon(0x1c, 2, 1);
        this.size = size;
        this.availableIndex = 0;
    }

    describe(table: number, index: number, { address, length, flags, next }: Descriptor): void {
        const view = this.memory.view;
        view.setBigUint64(table + 16 * index, BigInt(address), true);
        view.setUint32(table + 16 * index + 8, length, true);
        view.setUint16(table + 16 * index + 12, flags ?? 0, true);
        view.setUint16(table + 16 * index + 14, next ?? 0, true);
    }

    /** Fills the descriptor table from its start and makes the chain at `head` available. */
    offer(descriptors: readonly Descriptor[], head = 0): void {
        descriptors.forEach((descriptor, index) => this.describe(rings.descriptors, index, descriptor));
        const view = this.memory.view;
        view.setUint16(rings.available + 4 + 2 * (this.availableIndex % this.size), head, true);
        this.availableIndex = (this.availableIndex + 1) & 0xffff;
        view.setUint16(rings.available + 2, this.availableIndex, true);
    }

    setAvailable(field: 'flags' | 'index' | 'usedEvent', value: number): void {
        const offset = field === 'flags' ? 0 : field === 'index' ? 2 : 4 + 2 * this.size;
        this.memory.view.setUint16(rings.available + offset, value, true);
    }

    ring(): void {
        this.bar('memory 4').write(this.structure(2).offset, 2, 0);
    }

    get usedIndex(): number {
        return this.memory.view.getUint16(rings.used + 2, true);
    }

    get availableEvent(): number {
        return this.memory.view.getUint16(rings.used + 4 + 8 * this.size, true);
    }

    used(index: number): { head: number; length: number } {
        const at = rings.used + 4 + 8 * (index % this.size);
        return { head: this.memory.view.getUint32(at, true), length: this.memory.view.getUint32(at + 4, true) };
    }

    bytes(address: number, length: number): Uint8Array {
        return this.memory.bytes.slice(address, address + length);
    }
}
