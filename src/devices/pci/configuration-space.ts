/**
 * The 256 bytes of a PCI function's configuration space with a type 0 header.
 *
 * PCI Local Bus Specification, revision 3.0, chapter 6: 6.1 (header), 6.2 (registers), 6.7 (capabilities list).
 */

/** What a function is. All fixed for its life. */
export interface PciIdentity {
    readonly vendorId: number;
    readonly deviceId: number;
    readonly revision?: number;
    /** Base class, sub-class and programming interface in 24 bits, e.g. 0x060000 for a host bridge. */
    readonly classCode: number;
    readonly subsystemVendorId?: number;
    readonly subsystemId?: number;
    /** 1 to 4 for INTA# to INTD#, 0 where the function has no interrupt pin. */
    readonly interruptPin?: number;
}

/** Offsets of header registers. */
export const ConfigRegister = {
    vendorId: 0x00,
    deviceId: 0x02,
    command: 0x04,
    status: 0x06,
    revision: 0x08,
    classCode: 0x09,
    cacheLineSize: 0x0c,
    latencyTimer: 0x0d,
    headerType: 0x0e,
    bar0: 0x10,
    subsystemVendorId: 0x2c,
    subsystemId: 0x2e,
    romBase: 0x30,
    capabilities: 0x34,
    interruptLine: 0x3c,
    interruptPin: 0x3d,
    deviceSpecific: 0x40,
} as const;

export const PciCommand = { io: 1, memory: 2, busMaster: 4, parity: 0x40, serr: 0x100, intxDisable: 0x400 } as const;
export const PciStatus = { interrupt: 8, capabilities: 0x10, errors: 0xf900 } as const;
export const PciCapability = { powerManagement: 0x01, msi: 0x05, vendor: 0x09, msix: 0x11 } as const;

export const configurationSize = 256;

export class ConfigurationSpace {
    /** The registers as the guest reads them. */
    readonly bytes = new Uint8Array(configurationSize);
    /** Which bits the guest's writes change, and which ones writing a one clears. */
    private readonly writable = new Uint8Array(configurationSize);
    private readonly clearable = new Uint8Array(configurationSize);
    private readonly resetBytes = new Uint8Array(configurationSize);
    private lastCapability = 0;
    private nextCapability: number = ConfigRegister.deviceSpecific;

    constructor(identity: PciIdentity) {
        this.set(ConfigRegister.vendorId, 2, identity.vendorId);
        this.set(ConfigRegister.deviceId, 2, identity.deviceId);
        this.set(ConfigRegister.revision, 1, identity.revision ?? 0);
        this.set(ConfigRegister.classCode, 1, identity.classCode & 0xff);
        this.set(ConfigRegister.classCode + 1, 2, identity.classCode >>> 8);
        this.set(ConfigRegister.subsystemVendorId, 2, identity.subsystemVendorId ?? 0);
        this.set(ConfigRegister.subsystemId, 2, identity.subsystemId ?? 0);
        this.set(ConfigRegister.interruptPin, 1, identity.interruptPin ?? 0);
        const command = PciCommand.io | PciCommand.memory | PciCommand.busMaster | PciCommand.parity | PciCommand.serr;
        this.allow(ConfigRegister.command, 2, command | PciCommand.intxDisable);
        this.allow(ConfigRegister.cacheLineSize, 1, 0xff);
        this.allow(ConfigRegister.latencyTimer, 1, 0xf8);
        this.allow(ConfigRegister.interruptLine, 1, 0xff);
        this.allowClearing(ConfigRegister.status, 2, PciStatus.errors);
        this.freeze();
    }

    /** Declares which bits of a register guests may write. */
    allow(offset: number, size: number, mask: number): void {
        setLittleEndian(this.writable, offset, size, mask);
    }

    /** Declares which bits of a register a written one clears. */
    allowClearing(offset: number, size: number, mask: number): void {
        setLittleEndian(this.clearable, offset, size, mask);
    }

    /** The present content becomes what reset brings back. */
    freeze(): void {
        this.resetBytes.set(this.bytes);
    }

    reset(): void {
        this.bytes.set(this.resetBytes);
    }

    /** The function's own access: bypasses the masks. */
    get(offset: number, size: number): number {
        return getLittleEndian(this.bytes, offset, size);
    }

    /** The function's own access: bypasses the masks. */
    set(offset: number, size: number, value: number): void {
        setLittleEndian(this.bytes, offset, size, value);
    }

    /** A configuration read cycle. */
    read(offset: number, size: number): number {
        return getLittleEndian(this.bytes, offset, size);
    }

    /** A configuration write cycle. */
    write(offset: number, size: number, value: number): void {
        for (let index = 0; index < size && offset + index < configurationSize; index++) {
            const at = offset + index;
            const byte = (value >>> (8 * index)) & 0xff;
            const kept = this.bytes[at] & ~this.writable[at] & ~(byte & this.clearable[at]);
            this.bytes[at] = kept | (byte & this.writable[at]);
        }
    }

    /**
     * Appends a capability of `length` bytes, its two header bytes included.
     * @returns its offset
     * @throws RangeError where the space is used up: a defect of the device
     */
    addCapability(id: number, length: number, at?: number): number {
        const offset = at ?? this.nextCapability;
        if (offset + length > configurationSize) {
            throw new RangeError(`no room for a PCI capability of ${length} bytes at offset ${offset}`);
        }
        this.set(offset, 1, id);
        if (this.lastCapability === 0) {
            this.set(ConfigRegister.capabilities, 1, offset);
            this.set(ConfigRegister.status, 2, this.get(ConfigRegister.status, 2) | PciStatus.capabilities);
        } else {
            this.set(this.lastCapability + 1, 1, offset);
        }
        this.lastCapability = offset;
        this.nextCapability = Math.max(this.nextCapability, (offset + length + 3) & ~3);
        this.freeze();
        return offset;
    }
}

/** An unsigned little-endian number; bytes past the end read as ones. */
export function getLittleEndian(bytes: Uint8Array, offset: number, size: number): number {
    let value = 0;
    for (let index = size - 1; index >= 0; index--) {
        value = value * 256 + (offset + index < bytes.length ? bytes[offset + index] : 0xff);
    }
    return value;
}

/** Stores an unsigned little-endian number; bytes past the end are dropped. */
export function setLittleEndian(bytes: Uint8Array, offset: number, size: number, value: number): void {
    for (let index = 0; index < size; index++) {
        if (offset + index < bytes.length) {
            bytes[offset + index] = value >>> (8 * index);
        }
    }
}
