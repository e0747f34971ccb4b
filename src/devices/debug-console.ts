/**
 * Debug console at port 0xe9, as Bochs introduced it (bochs.sourceforge.io documentation, "port_e9_hack") and QEMU's
 * `isa-debugcon` has it: a write prints a character; a read gives 0xe9, by which guests find the port.
 */
import { ByteRegion } from './byte-region';
import { StateReader } from './state-reader';
import type { Device, DeviceRegister, IoRegion, StateRecord } from './device';

const readback = 0xe9;
const recordKind = 'debug-console';
const recordVersion = 1;

export class DebugConsole implements Device {
    readonly name: string;
    /** One byte port. */
    readonly registers: IoRegion;
    private written = 0;

    /** @param print takes each character written */
    constructor(name: string, print: (byte: number) => void) {
        this.name = name;
        this.registers = new ByteRegion(
            offset => (offset === 0 ? readback : 0xff),
            (offset, value) => {
                if (offset === 0) {
                    this.written++;
                    print(value);
                }
            },
        );
    }

    reset(): void {
        // Nothing but a counter of the host's.
    }

    save(): StateRecord {
        return { kind: recordKind, version: recordVersion, fields: { written: this.written } };
    }

    restore(record: StateRecord): void {
        this.written = new StateReader(record, recordKind, recordVersion).count('written');
    }

    inspect(): DeviceRegister[] {
        return [{ name: 'written', value: this.written, description: 'characters since power-on' }];
    }
}
