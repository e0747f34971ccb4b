import { allOnes } from '../devices/byte-wide';
import type { Dma, IoRegion } from '../devices/device';
import type { AccessObserver } from './bus';
import { AddressMap } from './address-map';
import type { AddressRange } from './errors';
import type { PhysicalMemory } from './cpu/physical';
import { ConfigurationError } from './errors';
import { hex } from './format';
import { allocate, HIGH_RAM_BASE, layOut, type LayoutRequest, type MemoryLayout } from './layout';

const PAGE = 0x1000;
/** The part of the first megabyte where ROM and RAM share addresses: VGA memory, option ROMs, system BIOS. */
const LEGACY_BASE = 0xa0000;
const LEGACY_END = 0x100000;
const LEGACY_PAGES = (LEGACY_END - LEGACY_BASE) / PAGE;
const A20 = 0x100000;

/** Where reads and writes of a window below 1 MiB go: to the RAM under it, or to the bus (ROM, VGA, nothing). */
export interface ShadowMode {
    readonly readRam: boolean;
    readonly writeRam: boolean;
}

/** What answers at a range of physical addresses. */
export interface MemoryRange {
    readonly name: string;
    readonly base: number;
    readonly size: number;
    readonly kind: 'ram' | 'rom' | 'device';
}

/**
 * Guest physical memory: RAM and ROM inside the shared WebAssembly memory, and register regions beside them.
 *
 * A "page" here is the physical address of a 4 KiB page. Engines translate what {@link ramAddress} gives and come to
 * {@link read} and {@link write} for the rest. Addresses are unsigned numbers below 2^53; sizes are 1, 2 or 4 bytes.
 * Where nothing answers, reads give all ones and writes are dropped.
 */
export class GuestMemory implements PhysicalMemory {
    readonly memory: WebAssembly.Memory;
    readonly layout: MemoryLayout;
    /** The whole shared memory; guest RAM starts at `layout.ram.base`. */
    readonly bytes: Uint8Array;
    readonly view: DataView;

    /** For bus-mastering devices. */
    readonly dma: Dma = {
        read: (address, target) => {
            this.dmaObserver?.(address, target.length, false);
            this.readBytes(address, target);
        },
        write: (address, source) => {
            this.dmaObserver?.(address, source.length, true);
            this.writeBytes(address, source);
        },
        reaches: (address, size) => this.isMemory(address, size),
    };

    /** Hears of each access by bus-mastering devices before it is made. */
    dmaObserver: ((address: number, size: number, write: boolean) => void) | undefined;

    /** Sees MMIO accesses; costs one comparison each while it is undefined. */
    observer: AccessObserver | undefined;
    /** Called before a vCPU's access to registers that are not in the processor itself. */
    onDeviceAccess: (() => void) | undefined;

    private readonly ranges = new AddressMap();
    private readonly ramBase: number;
    private readonly lowRam: number;
    private readonly highEnd: number;
    private romUsed = 0;
    private a20 = true;

    /** Per page of the legacy area: address of the ROM image there, or -1. */
    private readonly legacyRom = new Float64Array(LEGACY_PAGES).fill(-1);
    private readonly readsRam = new Uint8Array(LEGACY_PAGES);
    private readonly writesRam = new Uint8Array(LEGACY_PAGES);

    private readonly mapListeners = new Set<() => void>();
    private readonly writeListeners = new Set<(page: number) => void>();

    /** @throws MemorySizeError */
    constructor(request: LayoutRequest) {
        this.layout = layOut(request);
        this.memory = allocate(this.layout);
        this.bytes = new Uint8Array(this.memory.buffer);
        this.view = new DataView(this.memory.buffer);
        this.ramBase = this.layout.ram.base;
        this.lowRam = this.layout.lowRam;
        this.highEnd = HIGH_RAM_BASE + this.layout.highRam;
        this.ranges.add({ name: 'low RAM', base: 0, size: Math.min(LEGACY_BASE, this.lowRam) });
        if (this.lowRam > LEGACY_END) {
            this.ranges.add({ name: 'extended RAM', base: LEGACY_END, size: this.lowRam - LEGACY_END });
        }
        if (this.layout.highRam > 0) {
            this.ranges.add({ name: 'RAM above 4 GiB', base: HIGH_RAM_BASE, size: this.layout.highRam });
        }
    }

    // ---- the map -------------------------------------------------------------------------------------------------

    /**
     * Maps device registers; returns what removes the mapping. RAM that the legacy area shows takes precedence.
     * @throws AddressOverlapError
     */
    map(name: string, base: number, size: number, region: IoRegion): () => void {
        const remove = this.ranges.add({ name, base, size, region });
        this.mapChanged();
        return () => {
            remove();
            this.mapChanged();
        };
    }

    /**
     * Copies a ROM image into the shared memory; returns its address for {@link mapRom}.
     * @throws ConfigurationError if the space that the layout reserved for ROMs is exhausted
     */
    addRom(image: Uint8Array): number {
        const size = Math.ceil(image.length / PAGE) * PAGE;
        if (this.romUsed + size > this.layout.rom.size) {
            throw new ConfigurationError(
                `ROM images need more than the ${this.layout.rom.size} bytes reserved for them`,
            );
        }
        const address = this.layout.rom.base + this.romUsed;
        this.romUsed += size;
        // An erased flash cell reads as ones.
        this.bytes.fill(0xff, address, address + size);
        this.bytes.set(image, address);
        return address;
    }

    /**
     * Shows `size` bytes of a ROM image (from {@link addRom}) at physical address `base`. Below 1 MiB it is visible
     * where the window's {@link ShadowMode} does not choose RAM.
     * @throws AddressOverlapError
     */
    mapRom(name: string, base: number, size: number, address: number): void {
        if (base % PAGE !== 0 || size % PAGE !== 0 || address % PAGE !== 0) {
            throw new ConfigurationError(`ROM '${name}' at ${hex(base)}, size ${hex(size)}: not made of 4 KiB pages`);
        }
        this.ranges.add({ name, base, size, rom: address });
        for (let page = 0; page < LEGACY_PAGES; page++) {
            const offset = LEGACY_BASE + page * PAGE - base;
            if (offset >= 0 && offset < size) {
                this.legacyRom[page] = address + offset;
            }
        }
        this.mapChanged();
    }

    /** Sets where reads and writes of a window inside 0xA0000–0xFFFFF go: what PAM and SMRAM registers control. */
    setShadow(base: number, size: number, mode: ShadowMode): void {
        const first = Math.max(0, Math.floor((base - LEGACY_BASE) / PAGE));
        const end = Math.min(LEGACY_PAGES, Math.ceil((base + size - LEGACY_BASE) / PAGE), this.legacyRamPages());
        let changed = false;
        for (let page = first; page < end; page++) {
            changed ||= this.readsRam[page] !== Number(mode.readRam) || this.writesRam[page] !== Number(mode.writeRam);
            this.readsRam[page] = Number(mode.readRam);
            this.writesRam[page] = Number(mode.writeRam);
        }
        if (changed) {
            this.mapChanged();
        }
    }

    /** The A20 gate: while it is closed, address bit 20 is forced to 0 (IBM PC AT Technical Reference). */
    setA20(open: boolean): void {
        if (this.a20 !== open) {
            this.a20 = open;
            this.mapChanged();
        }
    }

    get a20Open(): boolean {
        return this.a20;
    }

    /** Called when the meaning of any physical address may have changed: cached translations are void. */
    onMapChange(listener: () => void): () => void {
        this.mapListeners.add(listener);
        return () => this.mapListeners.delete(listener);
    }

    /** Called with each RAM page (as in {@link ramAddress}) that somebody other than a vCPU is about to write. */
    onExternalWrite(listener: (page: number) => void): () => void {
        this.writeListeners.add(listener);
        return () => this.writeListeners.delete(listener);
    }

    // ---- pages ---------------------------------------------------------------------------------------------------

    /** Address in the shared memory of the page at physical address `page`, or -1 if its reads are not plain memory. */
    ramAddress(page: number): number {
        if (!this.a20) {
            page = withoutA20(page);
        }
        if (page < LEGACY_BASE || (page >= LEGACY_END && page < this.lowRam)) {
            return page < this.lowRam ? this.ramBase + page : -1;
        }
        if (page < LEGACY_END) {
            const index = (page - LEGACY_BASE) / PAGE;
            return this.readsRam[index] !== 0 ? this.ramBase + page : this.legacyRom[index];
        }
        if (page >= HIGH_RAM_BASE) {
            return page < this.highEnd ? this.ramBase + this.lowRam + (page - HIGH_RAM_BASE) : -1;
        }
        const range = this.ranges.find(page);
        return range?.rom === undefined ? -1 : range.rom + (page - range.base);
    }

    /** Whether stores to the page must come to {@link write}: ROM, or a shadow window whose reads and writes differ. */
    isReadOnly(page: number): boolean {
        return this.ramAddress(page) !== this.writableAddress(page);
    }

    /** Address that stores to the page reach, or -1 if they reach no RAM. */
    writableAddress(page: number): number {
        if (!this.a20) {
            page = withoutA20(page);
        }
        if (page >= LEGACY_BASE && page < LEGACY_END) {
            return this.writesRam[(page - LEGACY_BASE) / PAGE] !== 0 ? this.ramBase + page : -1;
        }
        if (page >= HIGH_RAM_BASE) {
            return page < this.highEnd ? this.ramBase + this.lowRam + (page - HIGH_RAM_BASE) : -1;
        }
        return page < this.lowRam ? this.ramBase + page : -1;
    }

    // ---- single accesses -----------------------------------------------------------------------------------------

    read(address: number, size: number): number {
        const offset = address % PAGE;
        if (offset + size > PAGE) {
            return this.readSplit(address, size);
        }
        const page = this.ramAddress(address - offset);
        if (page < 0) {
            return this.readRegion(address, size);
        }
        const at = page + offset;
        return size === 4 ? this.view.getUint32(at, true) : size === 1 ? this.bytes[at] : this.view.getUint16(at, true);
    }

    /** Writes without telling the write listeners: the caller is a vCPU and keeps its own translations coherent. */
    write(address: number, size: number, value: number): void {
        const offset = address % PAGE;
        if (offset + size > PAGE) {
            this.writeSplit(address, size, value);
            return;
        }
        const page = this.writableAddress(address - offset);
        if (page < 0) {
            this.writeRegion(address, size, value);
            return;
        }
        const at = page + offset;
        if (size === 4) {
            this.view.setUint32(at, value, true);
        } else if (size === 1) {
            this.bytes[at] = value;
        } else {
            this.view.setUint16(at, value, true);
        }
    }

    /** An 8-byte access is two 4-byte ones to anything but memory, low half first. */
    read64(address: number): bigint {
        const low = this.read(address, 4);
        return BigInt(low) | (BigInt(this.read(address + 4, 4)) << 32n);
    }

    write64(address: number, value: bigint): void {
        this.write(address, 4, Number(value & 0xffffffffn));
        this.write(address + 4, 4, Number((value >> 32n) & 0xffffffffn));
    }

    // ---- bulk: DMA, loaders, debugger ----------------------------------------------------------------------------

    /** Fills `target` from physical memory without touching device registers: those read as ones. */
    readBytes(address: number, target: Uint8Array): void {
        this.pages(address, target.length, (page, offset, start, end) => {
            const base = this.ramAddress(page);
            if (base < 0) {
                target.fill(0xff, start, end);
            } else {
                target.set(this.bytes.subarray(base + offset, base + offset + end - start), start);
            }
        });
    }

    /** Writes `source` to RAM; bytes that meet no RAM are dropped. Write listeners hear of each page beforehand. */
    writeBytes(address: number, source: Uint8Array): void {
        this.pages(address, source.length, (page, offset, start, end) => {
            const base = this.writableAddress(page);
            if (base >= 0) {
                for (const listener of this.writeListeners) {
                    listener(page);
                }
                this.bytes.set(source.subarray(start, end), base + offset);
            }
        });
    }

    /** What answers at a physical address behind the RAM and ROM that cover it. */
    regionAt(address: number): AddressRange | undefined {
        return this.ranges.find(this.a20 ? address : withoutA20(address));
    }

    /** Everything that is mapped, by address. */
    list(): readonly MemoryRange[] {
        return this.ranges.list().map(({ name, base, size, region, rom }) => ({
            name,
            base,
            size,
            kind: region !== undefined ? 'device' : rom !== undefined ? 'rom' : 'ram',
        }));
    }

    private pages(
        address: number,
        length: number,
        visit: (page: number, offset: number, start: number, end: number) => void,
    ): void {
        for (let start = 0; start < length;) {
            const offset = (address + start) % PAGE;
            const end = Math.min(length, start + PAGE - offset);
            visit(address + start - offset, offset, start, end);
            start = end;
        }
    }

    private isMemory(address: number, size: number): boolean {
        for (let page = address - (address % PAGE); page < address + size; page += PAGE) {
            if (this.ramAddress(page) < 0) {
                return false;
            }
        }
        return true;
    }

    private readRegion(address: number, size: number): number {
        const at = this.a20 ? address : withoutA20(address);
        const range = this.ranges.find(at);
        if (range !== undefined && at + size > range.base + range.size) {
            return this.readSplit(address, size);
        }
        this.observer?.before?.();
        this.letTimePass(range?.region);
        const value = range?.region === undefined ? allOnes(size) : range.region.read(at - range.base, size);
        this.observer?.accessed('read', address, size, value, range?.name);
        this.observer?.after?.();
        return value;
    }

    private writeRegion(address: number, size: number, value: number): void {
        const at = this.a20 ? address : withoutA20(address);
        const range = this.ranges.find(at);
        if (range !== undefined && at + size > range.base + range.size) {
            this.writeSplit(address, size, value);
            return;
        }
        this.observer?.before?.();
        this.letTimePass(range?.region);
        this.observer?.accessed('write', address, size, value, range?.name);
        range?.region?.write(at - range.base, size, value);
        this.observer?.after?.();
    }

    private letTimePass(region: IoRegion | undefined): void {
        if (region !== undefined && region.inProcessor !== true) {
            this.onDeviceAccess?.();
        }
    }

    private readSplit(address: number, size: number): number {
        let value = 0;
        for (let index = 0; index < size; index++) {
            value += this.read(address + index, 1) * 2 ** (8 * index);
        }
        return value;
    }

    private writeSplit(address: number, size: number, value: number): void {
        for (let index = 0; index < size; index++) {
            this.write(address + index, 1, (value >>> (8 * index)) & 0xff);
        }
    }

    private legacyRamPages(): number {
        return Math.max(0, Math.min(LEGACY_PAGES, Math.floor((this.lowRam - LEGACY_BASE) / PAGE)));
    }

    private mapChanged(): void {
        for (const listener of this.mapListeners) {
            listener();
        }
    }
}

/** Clears bit 20 of an address that may exceed 32 bits. */
function withoutA20(address: number): number {
    return Math.floor(address / A20) % 2 === 1 ? address - A20 : address;
}
