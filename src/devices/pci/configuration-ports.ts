/**
 * PCI configuration mechanism #1 at ports 0xcf8–0xcff, with the reset control register that lies among them.
 *
 * PCI Local Bus Specification, revision 3.0, section 3.2.2.3.2; Intel 82371SB (PIIX3) datasheet, section 2.5.7 "RC –
 * Reset Control Register" at 0xcf9.
 */
import { allOnes } from '../byte-wide';
import { StateReader } from '../state-reader';
import type { Device, DeviceRegister, IoRegion, StateRecord } from '../device';
import type { PciBus } from './pci-bus';

export interface PciConfigurationPortsOptions {
    readonly bus: PciBus;
    /** The guest asks for a reset: of the whole machine where `hard`, else of the processors. */
    readonly reset: (hard: boolean) => void;
}

const enable = 0x80000000;
const addressMask = 0x80fffffc;
const ResetControl = { hard: 2, reset: 4 } as const;
const recordKind = 'pci-configuration-ports';
const recordVersion = 1;

export class PciConfigurationPorts implements Device {
    readonly name: string;
    /** Eight ports: CONFIG_ADDRESS (32-bit accesses only) and CONFIG_DATA; byte 1 is the reset control register. */
    readonly registers: IoRegion;
    private readonly options: PciConfigurationPortsOptions;
    private address = 0;
    private resetControl = 0;

    constructor(name: string, options: PciConfigurationPortsOptions) {
        this.name = name;
        this.options = options;
        this.registers = {
            read: (offset, size) => this.read(offset, size),
            write: (offset, size, value) => this.write(offset, size, value),
        };
    }

    private read(offset: number, size: number): number {
        if (offset >= 4) {
            const place = this.selectedPlace();
            return place < 0
                ? allOnes(size)
                : this.options.bus.readConfiguration(place, (this.address & 0xfc) + offset - 4, size);
        }
        if (offset === 0 && size === 4) {
            return this.address;
        }
        return offset === 1 && size === 1 ? this.resetControl : allOnes(size);
    }

    private write(offset: number, size: number, value: number): void {
        if (offset >= 4) {
            const place = this.selectedPlace();
            if (place >= 0) {
                this.options.bus.writeConfiguration(place, (this.address & 0xfc) + offset - 4, size, value);
            }
        } else if (offset === 0 && size === 4) {
            this.address = (value & addressMask) >>> 0;
        } else if (offset === 1 && size === 1) {
            this.writeResetControl(value);
        }
    }

    /** Device and function on bus 0, or -1 where the address selects none. */
    private selectedPlace(): number {
        return (this.address & (enable | 0xff0000)) >>> 0 === enable ? (this.address >>> 8) & 0xff : -1;
    }

    private writeResetControl(value: number): void {
        const rising = (value & ~this.resetControl & ResetControl.reset) !== 0;
        this.resetControl = value & (ResetControl.hard | ResetControl.reset);
        if (rising) {
            this.options.reset((value & ResetControl.hard) !== 0);
        }
    }

    reset(): void {
        this.address = 0;
        this.resetControl = 0;
    }

    save(): StateRecord {
        const fields = { address: this.address, resetControl: this.resetControl };
        return { kind: recordKind, version: recordVersion, fields };
    }

    restore(record: StateRecord): void {
        const state = new StateReader(record, recordKind, recordVersion);
        const address = state.u32('address');
        this.resetControl = state.unsigned('resetControl', 7);
        this.address = (address & addressMask) >>> 0;
    }

    inspect(): DeviceRegister[] {
        const place = `${(this.address >>> 16) & 0xff}:${(this.address >>> 11) & 31}.${(this.address >>> 8) & 7}`;
        const description = this.address & enable ? `${place} + 0x${(this.address & 0xfc).toString(16)}` : 'disabled';
        return [
            { name: 'CONFIG_ADDRESS', value: this.address, width: 32, description },
            { name: 'RC', value: this.resetControl, width: 8 },
        ];
    }
}
