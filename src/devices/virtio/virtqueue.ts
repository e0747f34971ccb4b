/**
 * Split virtqueues, the device's side.
 *
 * Virtual I/O Device (VIRTIO) Version 1.2, section 2.7: 2.7.5 descriptor table, 2.7.5.3 indirect descriptors, 2.7.6
 * available ring, 2.7.7 notification suppression, 2.7.8 used ring; section 2.6.2 legacy layout.
 *
 * Everything in the rings is the guest's and may be wrong or hostile: each violation breaks the queue, with the reason,
 * until the driver resets the device.
 */
import type { Dma, StateValue } from '../device';
import type { StateReader } from '../state-reader';
import { DescriptorChain } from './descriptor-chain';

/** What a queue needs to know of its device. */
export interface VirtqueueOwner {
    readonly dma: Dma;
    /** Whether VIRTIO_F_EVENT_IDX was negotiated. */
    readonly eventIndex: boolean;
    /** Whether VIRTIO_F_INDIRECT_DESC was negotiated. */
    readonly indirectDescriptors: boolean;
    /** The driver broke the rules. Afterwards `broken` is true. */
    fail(reason: string): void;
    readonly broken: boolean;
}

const DescriptorFlag = { next: 1, write: 2, indirect: 4 } as const;
const availableNoInterrupt = 1;
const descriptorSize = 16;
/** The longest chain taken, indirect ones included: what other hypervisors allow. */
const longestChain = 1024;
/** Addresses from here on are no physical addresses of any processor. */
const addressLimit = 2 ** 52;

const fence = new Int32Array(new SharedArrayBuffer(4));

/**
 * What was written before is in memory before anything is read after it. Driver and device each write how far they are and
 * then read whether the other one wants to be told: where vCPUs execute meanwhile, a processor that let its read go first
 * would have both believe that the other one has seen it (sections 2.7.7 and 2.7.10).
 */
function finishWrites(): void {
    Atomics.add(fence, 0, 1);
}

export class Virtqueue {
    readonly index: number;
    readonly maximumSize: number;
    /** Number of descriptors: a power of two, at most `maximumSize`. */
    size: number;
    /** Whether the driver has enabled the queue. */
    ready = false;
    /** Guest physical addresses. */
    descriptorTable = 0;
    availableRing = 0;
    usedRing = 0;
    private readonly owner: VirtqueueOwner;
    private nextAvailable = 0;
    private usedIndex = 0;
    /** The used index when the driver was last asked for, or given, an interrupt. */
    private notifiedIndex = 0;
    private readonly scratch = new Uint8Array(descriptorSize);
    private readonly view = new DataView(this.scratch.buffer);
    private readonly halfWord = this.scratch.subarray(0, 2);
    private readonly usedElement = this.scratch.subarray(0, 8);

    constructor(index: number, maximumSize: number, owner: VirtqueueOwner) {
        this.index = index;
        this.maximumSize = maximumSize;
        this.size = maximumSize;
        this.owner = owner;
    }

    reset(): void {
        this.size = this.maximumSize;
        this.ready = false;
        this.setRings(0, 0, 0);
        this.nextAvailable = 0;
        this.usedIndex = 0;
        this.notifiedIndex = 0;
    }

    /** Sets the guest physical addresses of the three parts. */
    setRings(descriptorTable: number, availableRing: number, usedRing: number): void {
        this.descriptorTable = descriptorTable;
        this.availableRing = availableRing;
        this.usedRing = usedRing;
    }

    /** Lays the parts out as a legacy driver does (section 2.6.2), in pages of 4096 bytes from `address` on. */
    setLegacyLayout(address: number): void {
        const available = address + descriptorSize * this.size;
        const availableEnd = available + 6 + 2 * this.size;
        this.setRings(address, available, Math.ceil(availableEnd / 4096) * 4096);
    }

    /** Whether the driver has made a chain available. */
    get pending(): boolean {
        return this.usable && this.read16(this.availableRing + 2) !== this.nextAvailable;
    }

    private get usable(): boolean {
        return this.ready && !this.owner.broken;
    }

    /** How far both sides have come, for people. */
    get progress(): string {
        return `${this.nextAvailable} taken, ${this.usedIndex} completed`;
    }

    /** Takes the next available chain; undefined where there is none, or the queue is or was found broken. */
    take(): DescriptorChain | undefined {
        if (!this.usable) {
            return undefined;
        }
        const waiting = (this.read16(this.availableRing + 2) - this.nextAvailable) & 0xffff;
        if (waiting === 0) {
            return undefined;
        }
        if (waiting > this.size) {
            return this.fail(`available index is ${waiting} ahead of a queue of ${this.size}`);
        }
        const head = this.read16(this.availableRing + 4 + 2 * (this.nextAvailable % this.size));
        if (head >= this.size) {
            return this.fail(`chain starts at descriptor ${head} of ${this.size}`);
        }
        const chain = new DescriptorChain(head, this.owner.dma);
        if (!this.walk(chain, this.descriptorTable, this.size, head, true)) {
            return undefined;
        }
        this.nextAvailable = (this.nextAvailable + 1) & 0xffff;
        if (this.owner.eventIndex) {
            // avail_event: the driver shall tell of the very next chain.
            this.write16(this.usedRing + 4 + 8 * this.size, this.nextAvailable);
            finishWrites();
        }
        return chain;
    }

    /** Collects the segments of a chain in a table of `count` descriptors; false where they break the rules. */
    private walk(chain: DescriptorChain, table: number, count: number, first: number, direct: boolean): boolean {
        let index = first;
        for (let steps = 0; ; steps++) {
            if (steps === count) {
                this.fail('chain of descriptors loops');
                return false;
            }
            this.owner.dma.read(table + descriptorSize * index, this.scratch);
            const address = this.view.getUint32(4, true) * 2 ** 32 + this.view.getUint32(0, true);
            const length = this.view.getUint32(8, true);
            const flags = this.view.getUint16(12, true);
            const next = this.view.getUint16(14, true);
            if (address >= addressLimit) {
                this.fail(`descriptor ${index} has the address 0x${address.toString(16)}`);
                return false;
            }
            if (flags & DescriptorFlag.indirect) {
                return this.walkIndirect(chain, address, length, flags, direct);
            }
            const problem =
                chain.segmentCount === longestChain
                    ? `chain is longer than ${longestChain} descriptors`
                    : chain.add(address, length, (flags & DescriptorFlag.write) !== 0);
            if (problem !== undefined) {
                this.fail(problem);
                return false;
            }
            if ((flags & DescriptorFlag.next) === 0) {
                return true;
            }
            if (next >= count) {
                this.fail(`descriptor ${index} leads to ${next} of ${count}`);
                return false;
            }
            index = next;
        }
    }

    private walkIndirect(
        chain: DescriptorChain,
        table: number,
        length: number,
        flags: number,
        direct: boolean,
    ): boolean {
        if (!direct || !this.owner.indirectDescriptors) {
            this.fail(direct ? 'indirect descriptors were not negotiated' : 'indirect table within an indirect table');
            return false;
        }
        if (length === 0 || length % descriptorSize !== 0 || flags & DescriptorFlag.next) {
            this.fail(
                `indirect table of ${length} bytes${flags & DescriptorFlag.next ? ' with a next descriptor' : ''}`,
            );
            return false;
        }
        return this.walk(chain, table, Math.min(length / descriptorSize, 0x10000), 0, false);
    }

    /** Gives a chain back with the number of bytes that the device wrote into it. */
    complete(chain: DescriptorChain, written: number): void {
        if (!this.usable) {
            return;
        }
        this.view.setUint32(0, chain.head, true);
        this.view.setUint32(4, written, true);
        this.owner.dma.write(this.usedRing + 4 + 8 * (this.usedIndex % this.size), this.usedElement);
        this.usedIndex = (this.usedIndex + 1) & 0xffff;
        this.write16(this.usedRing + 2, this.usedIndex);
    }

    /** Whether the driver wants to be interrupted for what was completed since this was last asked. */
    takeInterruptNeed(): boolean {
        if (!this.usable || this.usedIndex === this.notifiedIndex) {
            return false;
        }
        const previous = this.notifiedIndex;
        this.notifiedIndex = this.usedIndex;
        finishWrites();
        if (!this.owner.eventIndex) {
            return (this.read16(this.availableRing) & availableNoInterrupt) === 0;
        }
        const usedEvent = this.read16(this.availableRing + 4 + 2 * this.size);
        return ((this.usedIndex - usedEvent - 1) & 0xffff) < ((this.usedIndex - previous) & 0xffff);
    }

    private fail(reason: string): undefined {
        this.owner.fail(`queue ${this.index}: ${reason}`);
        return undefined;
    }

    private read16(address: number): number {
        this.owner.dma.read(address, this.halfWord);
        return this.view.getUint16(0, true);
    }

    private write16(address: number, value: number): void {
        this.view.setUint16(0, value, true);
        this.owner.dma.write(address, this.halfWord);
    }

    save(): { readonly [field: string]: StateValue } {
        return {
            size: this.size,
            ready: this.ready,
            descriptorTable: this.descriptorTable,
            availableRing: this.availableRing,
            usedRing: this.usedRing,
            nextAvailable: this.nextAvailable,
            usedIndex: this.usedIndex,
            notifiedIndex: this.notifiedIndex,
        };
    }

    restore(state: StateReader): void {
        const size = state.integer('size', 1, this.maximumSize);
        const ready = state.boolean('ready');
        // Before it enables the queue, a driver may have written any size.
        if (ready && (size & (size - 1)) !== 0) {
            throw state.bad('size', `${size} is not a power of two`);
        }
        this.size = size;
        this.ready = ready;
        this.setRings(state.count('descriptorTable'), state.count('availableRing'), state.count('usedRing'));
        this.nextAvailable = state.u16('nextAvailable');
        this.usedIndex = state.u16('usedIndex');
        this.notifiedIndex = state.u16('notifiedIndex');
    }
}
