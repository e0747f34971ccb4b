/**
 * System control port A (0x92) of the PS/2 and every chipset since: fast A20 gate and fast CPU reset.
 *
 * Intel 82371SB (PIIX3) datasheet carries it outside; the bits are those of the IBM PS/2 Hardware Interface Technical
 * Reference, "System Control Port A": bit 0 fast reset, bit 1 A20 gate. Bits 3 (password lock) and 6–7 (disk light) are
 * kept and do nothing.
 */
import { ByteRegion } from './byte-region';
import { StateReader } from './state-reader';
import type { Device, DeviceRegister, IoRegion, StateRecord } from './device';

export interface Port92Options {
    /** Told of each write's A20 bit. The board owns the gate: the last write here or at the keyboard controller wins. */
    readonly setA20: (enabled: boolean) => void;
    /** A rising bit 0 resets the processors. */
    readonly reset: () => void;
}

const fastReset = 1;
const a20 = 2;
const kept = 0xca;
const recordKind = 'port92';
const recordVersion = 1;

export class Port92 implements Device {
    readonly name: string;
    /** One byte port. */
    readonly registers: IoRegion;
    private readonly options: Port92Options;
    private value = a20;

    constructor(name: string, options: Port92Options) {
        this.name = name;
        this.options = options;
        this.registers = new ByteRegion(
            offset => (offset === 0 ? this.value : 0xff),
            (offset, value) => {
                if (offset === 0) {
                    this.write(value);
                }
            },
        );
    }

    private write(value: number): void {
        const resets = (value & ~this.value & fastReset) !== 0;
        this.value = value & (kept | fastReset);
        this.options.setA20((value & a20) !== 0);
        if (resets) {
            this.options.reset();
        }
    }

    /** The gate is open after reset, as firmware leaves it. */
    reset(): void {
        this.value = a20;
    }

    save(): StateRecord {
        return { kind: recordKind, version: recordVersion, fields: { value: this.value } };
    }

    restore(record: StateRecord): void {
        this.value = new StateReader(record, recordKind, recordVersion).u8('value') & (kept | fastReset);
    }

    inspect(): DeviceRegister[] {
        const gate = this.value & a20 ? 'open' : 'masked';
        return [{ name: 'port A', value: this.value, width: 8, description: `A20 ${gate}` }];
    }
}
