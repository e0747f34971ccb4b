/** Guest physical memory as KVM knows it: slots that follow the machine's map. */
import type { GuestMemory } from '../machine/memory';
import { HIGH_RAM_BASE } from '../machine/layout';
import { Ioctl, MemoryFlag } from './abi';
import { ioctl, NativeBuffer } from './libc';

const PAGE = 0x1000;
const LEGACY_BASE = 0xa0000;
const LEGACY_END = 0x100000;
const A20 = 0x100000;

interface Slot {
    readonly physical: number;
    readonly size: number;
    /** Address in the shared memory. */
    readonly address: number;
    readonly readOnly: boolean;
}

/** `kvm_userspace_memory_region`. */
const enum RegionField {
    slot = 0,
    flags = 4,
    physical = 8,
    size = 16,
    address = 24,
    end = 32,
}

/** `kvm_dirty_log`. */
const enum DirtyLogField {
    slot = 0,
    bitmap = 8,
    end = 16,
}

export class MemorySlots {
    private readonly region = new NativeBuffer(RegionField.end);
    private readonly present = new Map<string, { readonly number: number; readonly slot: Slot }>();
    private readonly free: number[] = [];
    private used = 0;
    private stale = true;
    logsDirtyPages = false;
    /** Written pages of slots that are no more. */
    private readonly kept = new Set<number>();

    constructor(
        private readonly vm: number,
        private readonly memory: GuestMemory,
        /** Host address of the shared memory. */
        private readonly hostBase: number,
    ) {}

    /** The machine's map has changed. */
    changed(): void {
        this.stale = true;
    }

    /**
     * Brings KVM's slots up to the machine's map; to be called before the guest runs.
     * @throws KvmError
     */
    update(): void {
        if (!this.stale) {
            return;
        }
        const wanted = new Map(slotsOf(this.memory).map(slot => [keyOf(slot), slot]));
        // Slots must not overlap at any time: old ones go first.
        for (const [key, { number, slot }] of this.present) {
            if (!wanted.has(key)) {
                if (this.logsDirtyPages) this.collect(number, slot, page => this.kept.add(page));
                this.set(number, { ...slot, size: 0 });
                this.present.delete(key);
                this.free.push(number);
            }
        }
        for (const [key, slot] of wanted) {
            if (!this.present.has(key)) {
                const number = this.free.pop() ?? this.used++;
                this.set(number, slot);
                this.present.set(key, { number, slot });
            }
        }
        this.stale = false;
    }

    /**
     * Starts or stops noting which pages the guest writes.
     * @throws KvmError
     */
    logDirtyPages(on: boolean): void {
        if (this.logsDirtyPages !== on) {
            this.logsDirtyPages = on;
            this.kept.clear();
            for (const { number, slot } of this.present.values()) this.set(number, slot);
        }
    }

    /**
     * Physical addresses of the pages that the guest has written since the last call; what the host wrote (DMA, the
     * debugger) is not among them. Pages that a slot shows twice come twice.
     * @throws KvmError
     */
    takeDirtyPages(): number[] {
        const pages = [...this.kept];
        this.kept.clear();
        for (const { number, slot } of this.present.values()) this.collect(number, slot, page => pages.push(page));
        return pages;
    }

    private collect(number: number, slot: Slot, found: (page: number) => void): void {
        if (slot.readOnly) return;
        // The kernel writes whole 64-bit words.
        const bitmap = new NativeBuffer(Math.ceil(slot.size / PAGE / 64) * 8);
        const request = new NativeBuffer(DirtyLogField.end);
        request.view.setUint32(DirtyLogField.slot, number, true);
        request.view.setBigUint64(DirtyLogField.bitmap, BigInt(bitmap.address), true);
        ioctl(this.vm, Ioctl.GetDirtyLog, request.address, describe(slot));
        bitmap.bytes.forEach((byte, index) => {
            for (let bit = 0; byte !== 0; bit++, byte >>= 1) {
                if (byte & 1) found(slot.physical + (index * 8 + bit) * PAGE);
            }
        });
    }

    private set(number: number, slot: Slot): void {
        const { view, address } = this.region;
        const dirty = this.logsDirtyPages && !slot.readOnly && slot.size > 0 ? MemoryFlag.LogDirtyPages : 0;
        view.setUint32(RegionField.slot, number, true);
        view.setUint32(RegionField.flags, dirty | (slot.readOnly ? MemoryFlag.ReadOnly : 0), true);
        view.setBigUint64(RegionField.physical, BigInt(slot.physical), true);
        view.setBigUint64(RegionField.size, BigInt(slot.size), true);
        view.setBigUint64(RegionField.address, BigInt(this.hostBase + slot.address), true);
        ioctl(this.vm, Ioctl.SetUserMemoryRegion, address, describe(slot));
    }
}

function keyOf({ physical, size, address, readOnly }: Slot): string {
    return `${physical} ${size} ${address} ${readOnly}`;
}

function describe({ physical, size }: Slot): string {
    return `guest memory at 0x${physical.toString(16)}, 0x${size.toString(16)} bytes`;
}

/** What is plain memory of the machine's physical address space, in as few pieces as possible. */
export function slotsOf(memory: GuestMemory): Slot[] {
    const slots: Slot[] = [];
    let last: { physical: number; size: number; address: number; readOnly: boolean } | undefined;
    const add = (physical: number, size: number): void => {
        const address = memory.ramAddress(physical);
        if (address < 0) {
            return;
        }
        const readOnly = memory.isReadOnly(physical);
        if (
            last !== undefined &&
            last.readOnly === readOnly &&
            last.physical + last.size === physical &&
            last.address + last.size === address
        ) {
            last.size += size;
        } else {
            last = { physical, size, address, readOnly };
            slots.push(last);
        }
    };
    const { lowRam, highRam } = memory.layout;
    // While the gate is closed, every odd megabyte shows the one below it.
    const step = memory.a20Open ? Infinity : A20;
    const addRange = (from: number, to: number): void => {
        for (let at = from; at < to;) {
            const size = Math.min(to - at, step - (at % step || 0));
            add(at, size);
            at += size;
        }
    };
    const addPages = (from: number, to: number): void => {
        for (let page = from; page < to; page += PAGE) add(page, PAGE);
    };
    addRange(0, Math.min(LEGACY_BASE, lowRam));
    addPages(LEGACY_BASE, LEGACY_END);
    if (memory.a20Open) {
        addRange(LEGACY_END, lowRam);
    } else {
        // The second megabyte shows the first, shadow windows and all.
        addPages(LEGACY_END, Math.min(2 * A20, lowRam));
        addRange(2 * A20, lowRam);
    }
    addRange(HIGH_RAM_BASE, HIGH_RAM_BASE + highRam);
    for (const { base, size } of memory.list()) {
        if (base >= LEGACY_END && base >= lowRam && base < HIGH_RAM_BASE) {
            addPagesOfRom(memory, base, size, addPages);
        }
    }
    return slots;
}

/** Device registers are looked at by their first page only: they are as many as their BARs say. */
function addPagesOfRom(
    memory: GuestMemory,
    base: number,
    size: number,
    addPages: (from: number, to: number) => void,
): void {
    if (base % PAGE === 0 && memory.ramAddress(base) >= 0) addPages(base, base + size);
}
