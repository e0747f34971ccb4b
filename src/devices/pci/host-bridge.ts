/**
 * Host bridge of the 440FX chipset, with the registers by which firmware shadows itself in RAM.
 *
 * Datasheet: Intel 82441FX (PMC), "440FX PCIset" (May 1996), section 3.2: 3.2.18 PAM0–PAM6 (0x59–0x5f), 3.2.20 SMRAM
 * (0x72). The DRAM and timing registers keep what is written and do nothing.
 */
import { StateReader } from '../state-reader';
import type { DeviceRegister, StateRecord } from '../device';
import { PciFunction } from './pci-function';

export interface HostBridgeOptions {
    /**
     * Where accesses to `size` bytes at physical `address` (within 0xc0000–0xfffff) go: to RAM where the flag is set,
     * else to the bus, which means to the ROM. Told of every segment on reset and restore.
     */
    readonly shadow: (address: number, size: number, readRam: boolean, writeRam: boolean) => void;
    /** Whether 0xa0000–0xbffff shows the RAM behind the display outside system management mode, too. */
    readonly smram?: (visible: boolean) => void;
    /** SeaBIOS takes the bridge for QEMU's, and looks for fw_cfg, by the subsystem 1af4:1100, the default. */
    readonly subsystemVendorId?: number;
    readonly subsystemId?: number;
}

interface Segment {
    readonly address: number;
    readonly size: number;
    /** Offset of its PAM register and the position of its two bits there. */
    readonly register: number;
    readonly shift: number;
}

const pam0 = 0x59;
const smramRegister = 0x72;
const Smram = { enabled: 8, locked: 0x10, open: 0x40, base: 2 } as const;

/** PAM0's high nibble covers the system BIOS, the others two segments of 16 KiB each from 0xc0000 on. */
const segments: readonly Segment[] = [
    { address: 0xf0000, size: 0x10000, register: pam0, shift: 4 },
    ...Array.from({ length: 12 }, (_, index) => ({
        address: 0xc0000 + index * 0x4000,
        size: 0x4000,
        register: pam0 + 1 + (index >>> 1),
        shift: index & 1 ? 4 : 0,
    })),
];
const recordKind = 'i440fx-host-bridge';
const recordVersion = 1;

export class HostBridge extends PciFunction {
    private readonly options: HostBridgeOptions;
    /** What was last told to the board, per segment; -1 for nothing. */
    private readonly told = new Int8Array(segments.length).fill(-1);
    private smramLocked = false;

    constructor(name: string, options: HostBridgeOptions) {
        super(name, {
            vendorId: 0x8086,
            deviceId: 0x1237,
            revision: 2,
            classCode: 0x060000,
            subsystemVendorId: options.subsystemVendorId ?? 0x1af4,
            subsystemId: options.subsystemId ?? 0x1100,
        });
        this.options = options;
        for (let offset = 0x50; offset < 0x100; offset += 4) {
            this.configuration.allow(offset, 4, 0xffffffff);
        }
        this.configuration.allow(pam0, 1, 0x30);
        for (let register = pam0 + 1; register <= pam0 + 6; register++) {
            this.configuration.allow(register, 1, 0x33);
        }
        this.configuration.allow(smramRegister, 1, 0x78);
        this.configuration.set(smramRegister, 1, Smram.base);
        this.configuration.freeze();
    }

    protected override configurationWritten(offset: number, size: number): void {
        if (offset <= pam0 + 6 && offset + size > pam0) {
            this.tellShadows();
        }
        if (offset <= smramRegister && offset + size > smramRegister) {
            this.updateSmram();
        }
    }

    private tellShadows(): void {
        for (let index = 0; index < segments.length; index++) {
            const { address, size, register, shift } = segments[index];
            const bits = (this.configuration.bytes[register] >>> shift) & 3;
            if (bits !== this.told[index]) {
                this.told[index] = bits;
                this.options.shadow(address, size, (bits & 1) !== 0, (bits & 2) !== 0);
            }
        }
    }

    /** Once locked, the register is read-only and closed until reset. */
    private updateSmram(): void {
        let value = this.configuration.get(smramRegister, 1);
        if (value & Smram.locked && !this.smramLocked) {
            value &= ~Smram.open;
            this.configuration.set(smramRegister, 1, value);
            this.lockSmram(true);
        }
        this.options.smram?.((value & (Smram.open | Smram.enabled)) === (Smram.open | Smram.enabled));
    }

    private lockSmram(locked: boolean): void {
        this.smramLocked = locked;
        this.configuration.allow(smramRegister, 1, locked ? 0 : 0x78);
    }

    override reset(): void {
        super.reset();
        this.lockSmram(false);
        this.tellAll();
    }

    private tellAll(): void {
        this.told.fill(-1);
        this.tellShadows();
        this.updateSmram();
    }

    save(): StateRecord {
        return { kind: recordKind, version: recordVersion, fields: this.saveFunction() };
    }

    restore(record: StateRecord): void {
        this.restoreFunction(new StateReader(record, recordKind, recordVersion));
        this.lockSmram((this.configuration.get(smramRegister, 1) & Smram.locked) !== 0);
        this.tellAll();
    }

    inspect(): DeviceRegister[] {
        const modes = ['bus', 'read RAM', 'write RAM', 'RAM'];
        return [
            ...this.inspectFunction(),
            ...segments.map(({ address, size, register, shift }) => {
                const bits = (this.configuration.bytes[register] >>> shift) & 3;
                const last = address + size - 1;
                return {
                    name: `PAM ${address.toString(16)}–${last.toString(16)}`,
                    value: bits,
                    width: 2,
                    description: modes[bits],
                };
            }),
            { name: 'SMRAM', value: this.configuration.get(smramRegister, 1), width: 8 },
        ];
    }
}
