/**
 * QEMU's firmware configuration device.
 *
 * Specification: QEMU documentation, docs/specs/fw_cfg.rst, "QEMU Firmware Configuration (fw_cfg) Device": selector and
 * data register on x86, DMA interface, the file directory; the legacy keys as in QEMU's standard headers
 * (standard-headers/linux/qemu_fw_cfg.h).
 */
import { allOnes } from './byte-wide';
import { StateReader } from './state-reader';
import type { Device, DeviceRegister, Dma, IoRegion, StateRecord, StateValue } from './device';

/** Keys with a fixed meaning. All numbers in legacy items are little-endian. */
export const FwCfgKey = {
    signature: 0x00,
    interfaceVersion: 0x01,
    uuid: 0x02,
    ramSize: 0x03,
    noGraphic: 0x04,
    cpuCount: 0x05,
    machineId: 0x06,
    kernelAddress: 0x07,
    kernelSize: 0x08,
    kernelCommandLine: 0x09,
    initrdAddress: 0x0a,
    initrdSize: 0x0b,
    bootDevice: 0x0c,
    numa: 0x0d,
    bootMenu: 0x0e,
    maxCpus: 0x0f,
    kernelEntry: 0x10,
    kernelData: 0x11,
    initrdData: 0x12,
    commandLineAddress: 0x13,
    commandLineSize: 0x14,
    commandLineData: 0x15,
    setupAddress: 0x16,
    setupSize: 0x17,
    setupData: 0x18,
    fileDirectory: 0x19,
    firstFile: 0x20,
    x86AcpiTables: 0x8000,
    x86SmbiosTables: 0x8001,
    x86Irq0Override: 0x8002,
    x86E820Table: 0x8003,
} as const;

export interface FwCfgItemOptions {
    /** Whether the guest may write it, by DMA. The device then keeps a copy of its own. */
    readonly writable?: boolean;
    /** Told after the guest wrote to a writable item. */
    readonly written?: (content: Uint8Array) => void;
}

interface Item {
    readonly content: Uint8Array;
    readonly writable: boolean;
    readonly written?: (content: Uint8Array) => void;
}

interface DirectoryEntry {
    readonly name: string;
    readonly key: number;
}

const Control = { error: 1, read: 2, skip: 4, select: 8, write: 0x10 } as const;
/** Bits of the selector that choose an item: all but the write channel, which has been reserved since QEMU 2.4. */
const keyMask = 0xbfff;
const maximumFiles = 0x3fe0;
const fileNameSize = 56;
/** Version bits: the traditional interface and DMA. */
const interfaceVersion = 3;
/** What the DMA address register reads as: "QEMU CFG". */
const dmaSignature = Uint8Array.of(0x51, 0x45, 0x4d, 0x55, 0x20, 0x43, 0x46, 0x47);
const emptyItem: Item = { content: new Uint8Array(0), writable: false };
const zeros = new Uint8Array(0x10000);
const recordKind = 'fw-cfg';
const recordVersion = 1;

export class FwCfg implements Device {
    readonly name: string;
    /** Ports 0x510 (selector, 16 bits) and 0x511 (data, 8 bits). */
    readonly registers: IoRegion;
    /** The 64-bit big-endian DMA address at ports 0x514–0x51b. */
    readonly dmaRegister: IoRegion;
    private readonly dma: Dma;
    private readonly items = new Map<number, Item>();
    private readonly files: DirectoryEntry[] = [];
    private selected = 0;
    private current: Item = emptyItem;
    private offset = 0;
    private readonly dmaAddress = new Uint8Array(8);
    private readonly descriptor = new Uint8Array(16);
    private readonly descriptorView = new DataView(this.descriptor.buffer);
    private readonly answer = new Uint8Array(4);

    constructor(name: string, dma: Dma) {
        this.name = name;
        this.dma = dma;
        this.registers = {
            read: (offset, size) => (size === 1 && offset === 1 ? this.readByte() : allOnes(size)),
            write: (offset, size, value) => {
                // Writes to the data register have been ignored since QEMU 2.4.
                if (offset === 0 && size === 2) {
                    this.select(value);
                }
            },
        };
        this.dmaRegister = {
            read: (offset, size) => {
                let value = 0;
                for (let index = size - 1; index >= 0; index--) {
                    value = value * 256 + (dmaSignature[offset + index] ?? 0xff);
                }
                return value;
            },
            write: (offset, size, value) => this.writeDmaAddress(offset, size, value),
        };
        this.setItem(FwCfgKey.signature, new TextEncoder().encode('QEMU'));
        this.setNumber(FwCfgKey.interfaceVersion, interfaceVersion, 4);
        this.updateDirectory();
        this.select(0);
    }

    // --- Contents, which the board adds ---

    /** Sets the item behind a key. */
    setItem(key: number, content: Uint8Array, options: FwCfgItemOptions = {}): void {
        const writable = options.writable ?? false;
        this.items.set(key, { content: writable ? content.slice() : content, writable, written: options.written });
        if (key === this.selected) {
            this.current = this.items.get(key) ?? emptyItem;
        }
    }

    /** Sets a little-endian number of `size` bytes (1 to 8). */
    setNumber(key: number, value: number | bigint, size: number): void {
        const content = new Uint8Array(8);
        new DataView(content.buffer).setBigUint64(0, BigInt(value), true);
        this.setItem(key, content.slice(0, size));
    }

    /**
     * Adds a named file, e.g. `etc/acpi/rsdp`, or replaces the one of that name.
     * @returns the key that it got
     * @throws RangeError where the name does not fit the directory or the directory is full: a defect of the board
     */
    addFile(name: string, content: Uint8Array, options: FwCfgItemOptions = {}): number {
        const known = this.files.find(file => file.name === name);
        const key = known?.key ?? FwCfgKey.firstFile + this.files.length;
        if (known === undefined) {
            if (new TextEncoder().encode(name).length >= fileNameSize) {
                throw new RangeError(`fw_cfg file name '${name}' is longer than ${fileNameSize - 1} bytes`);
            }
            if (this.files.length === maximumFiles) {
                throw new RangeError(`fw_cfg directory is full: no room for '${name}'`);
            }
            this.files.push({ name, key });
        }
        this.setItem(key, content, options);
        this.updateDirectory();
        return key;
    }

    /** The content of a file as the guest sees it now; undefined where there is none of that name. */
    file(name: string): Uint8Array | undefined {
        const entry = this.files.find(file => file.name === name);
        return entry === undefined ? undefined : this.items.get(entry.key)?.content;
    }

    /** Directory: a big-endian count, then size, key and name of each file, ordered by name. */
    private updateDirectory(): void {
        const entrySize = 8 + fileNameSize;
        const directory = new Uint8Array(4 + this.files.length * entrySize);
        const view = new DataView(directory.buffer);
        view.setUint32(0, this.files.length);
        const sorted = [...this.files].sort((one, other) => (one.name < other.name ? -1 : 1));
        sorted.forEach((file, index) => {
            const start = 4 + index * entrySize;
            view.setUint32(start, this.items.get(file.key)?.content.length ?? 0);
            view.setUint16(start + 4, file.key);
            directory.set(new TextEncoder().encode(file.name), start + 8);
        });
        this.setItem(FwCfgKey.fileDirectory, directory);
    }

    // --- Registers ---

    private select(key: number): void {
        this.selected = key & keyMask;
        this.current = this.items.get(this.selected) ?? emptyItem;
        this.offset = 0;
    }

    private readByte(): number {
        const content = this.current.content;
        return this.offset < content.length ? content[this.offset++] : 0;
    }

    private writeDmaAddress(offset: number, size: number, value: number): void {
        for (let index = 0; index < size; index++) {
            if (offset + index < this.dmaAddress.length) {
                this.dmaAddress[offset + index] = value >>> (8 * index);
            }
        }
        // The low half's last byte starts the transfer.
        if (offset < this.dmaAddress.length && offset + size >= this.dmaAddress.length) {
            const view = new DataView(this.dmaAddress.buffer);
            const address = view.getUint32(0) * 2 ** 32 + view.getUint32(4);
            this.dmaAddress.fill(0);
            this.transfer(address);
        }
    }

    /** Carries out the big-endian descriptor at a guest physical address: control, length, address. */
    private transfer(descriptorAddress: number): void {
        this.dma.read(descriptorAddress, this.descriptor);
        const view = this.descriptorView;
        const control = view.getUint32(0);
        const length = view.getUint32(4);
        const address = view.getUint32(8) * 2 ** 32 + view.getUint32(12);
        if (control & Control.select) {
            this.select(control >>> 16);
        }
        let failed = false;
        if (control & Control.read) {
            failed = !this.transferToGuest(address, length);
        } else if (control & Control.write) {
            failed = !this.transferFromGuest(address, length);
        } else if (control & Control.skip) {
            this.offset = Math.min(this.offset + length, this.current.content.length);
        }
        new DataView(this.answer.buffer).setUint32(0, failed ? Control.error : 0);
        this.dma.write(descriptorAddress, this.answer);
    }

    /** Past its end an item reads as zeros. Fails where there is no memory. */
    private transferToGuest(address: number, length: number): boolean {
        if (!this.dma.reaches(address, length)) {
            return false;
        }
        const content = this.current.content;
        const present = Math.min(length, content.length - this.offset);
        if (present > 0) {
            this.dma.write(address, content.subarray(this.offset, this.offset + present));
            this.offset += present;
        }
        for (let done = present; done < length; done += zeros.length) {
            this.dma.write(address + done, zeros.subarray(0, Math.min(zeros.length, length - done)));
        }
        return true;
    }

    /** All or nothing: an item never grows. */
    private transferFromGuest(address: number, length: number): boolean {
        const { content, writable, written } = this.current;
        if (!writable || length > content.length - this.offset || !this.dma.reaches(address, length)) {
            return false;
        }
        this.dma.read(address, content.subarray(this.offset, this.offset + length));
        this.offset += length;
        written?.(content);
        return true;
    }

    // --- State ---

    reset(): void {
        this.dmaAddress.fill(0);
        this.select(0);
    }

    /** Items that only the board writes are its own to rebuild; the record holds the guest's. */
    save(): StateRecord {
        const written: StateValue[] = [];
        for (const [key, item] of this.items) {
            if (item.writable) {
                written.push({ key, content: item.content.slice() });
            }
        }
        return {
            kind: recordKind,
            version: recordVersion,
            fields: { selected: this.selected, offset: this.offset, dmaAddress: this.dmaAddress.slice(), written },
        };
    }

    restore(record: StateRecord): void {
        const state = new StateReader(record, recordKind, recordVersion);
        const contents = state.parts('written').map(part => {
            const item = this.items.get(part.u16('key'));
            if (item === undefined || !item.writable) {
                throw part.bad('key', 'the machine has no such writable item');
            }
            return { item, content: part.bytes('content', item.content.length) };
        });
        const selected = state.u16('selected');
        const content = (this.items.get(selected) ?? emptyItem).content;
        const offset = state.unsigned('offset', content.length);
        this.dmaAddress.set(state.bytes('dmaAddress', this.dmaAddress.length));
        contents.forEach(({ item, content }) => item.content.set(content));
        this.select(selected);
        this.offset = offset;
    }

    inspect(): DeviceRegister[] {
        const name = this.files.find(file => file.key === this.selected)?.name;
        const legacy = Object.entries(FwCfgKey).find(([, key]) => key === this.selected)?.[0];
        return [
            { name: 'selector', value: this.selected, width: 16, description: name ?? legacy ?? 'no such item' },
            { name: 'offset', value: this.offset, description: `of ${this.current.content.length} bytes` },
            ...this.files.map(file => ({
                name: file.name,
                value: file.key,
                width: 16,
                description: `${this.items.get(file.key)?.content.length ?? 0} bytes`,
            })),
        ];
    }
}
