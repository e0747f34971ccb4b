/**
 * Power management function of the PIIX4, by which firmware finds and places the ACPI registers. The registers
 * themselves are the board's.
 *
 * Datasheet: Intel 82371AB (PIIX4), "PCI-to-ISA / IDE Xcelerator" (April 1997), section 7.1: 7.1.14 PMBA (0x40), 7.1.25
 * DEVACTB (0x58), 7.1.37 PMREGMISC (0x80), 7.1.38 SMBBA (0x90), 7.1.39 SMBHSTCFG (0xd2).
 */
import { StateReader } from '../state-reader';
import type { DeviceRegister, StateRecord } from '../device';
import { ConfigRegister } from './configuration-space';
import { PciFunction } from './pci-function';

export interface Piix4PowerManagementOptions {
    /** Told where the 64 ports of the power management registers answer, undefined for nowhere; on changes only. */
    readonly powerManagementBase: (base: number | undefined) => void;
    /** Where the registers are before firmware places them, for guests that are started without; undefined: nowhere. */
    readonly initialBase?: number;
}

const powerManagementBase = 0x40;
const deviceActivityB = 0x58;
/** APMC_EN: firmware that finds it set takes system management mode, which this machine lacks, for set up. */
const apmcEnable = 0x02000000;
const powerManagementMisc = 0x80;
const smbusBase = 0x90;
/** PCISTS: medium DEVSEL# timing, takes fast back-to-back transfers. */
const STATUS = 0x0280;
const recordKind = 'piix4-power-management';
const recordVersion = 1;

export class Piix4PowerManagement extends PciFunction {
    private readonly options: Piix4PowerManagementOptions;
    private told: number | undefined;

    constructor(name: string, options: Piix4PowerManagementOptions) {
        super(name, {
            vendorId: 0x8086,
            deviceId: 0x7113,
            revision: 3,
            classCode: 0x068000,
            subsystemVendorId: 0x1af4,
            subsystemId: 0x1100,
            interruptPin: 1,
        });
        this.options = options;
        this.configuration.set(ConfigRegister.status, 2, STATUS);
        for (let offset = 0x44; offset < 0x100; offset += 4) {
            this.configuration.allow(offset, 4, 0xffffffff);
        }
        this.configuration.set(powerManagementBase, 4, (options.initialBase ?? 0) | 1);
        this.configuration.allow(powerManagementBase, 4, 0xffc0);
        this.configuration.set(deviceActivityB, 4, apmcEnable);
        this.configuration.set(powerManagementMisc, 1, options.initialBase === undefined ? 0 : 1);
        this.configuration.set(smbusBase, 4, 1);
        this.configuration.allow(smbusBase, 4, 0xfff0);
        this.configuration.set(0x3c, 1, 9);
        this.configuration.freeze();
        this.tell();
    }

    private get base(): number | undefined {
        const base = this.configuration.get(powerManagementBase, 4) & 0xffc0;
        return (this.configuration.bytes[powerManagementMisc] & 1) !== 0 && base !== 0 ? base : undefined;
    }

    private tell(): void {
        const base = this.base;
        if (base !== this.told) {
            this.told = base;
            this.options.powerManagementBase(base);
        }
    }

    protected override configurationWritten(_offset: number, _size: number): void {
        this.tell();
    }

    override reset(): void {
        super.reset();
        this.tell();
    }

    save(): StateRecord {
        return { kind: recordKind, version: recordVersion, fields: this.saveFunction() };
    }

    restore(record: StateRecord): void {
        this.restoreFunction(new StateReader(record, recordKind, recordVersion));
        this.tell();
    }

    inspect(): DeviceRegister[] {
        const base = this.base;
        const where = base === undefined ? 'not decoded' : `power management registers at 0x${base.toString(16)}`;
        const register = this.configuration.get(powerManagementBase, 4);
        return [...this.inspectFunction(), { name: 'PMBA', value: register, width: 32, description: where }];
    }
}
