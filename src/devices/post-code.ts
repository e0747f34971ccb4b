/**
 * The diagnostic port 0x80 of a PC: firmware writes its progress there (IBM PC AT Technical Reference, "POST"), and
 * operating systems write to it to let an I/O cycle's time pass. The PC AT decodes it as a scratch page register of the
 * DMA controller, so that a read gives the last value written.
 */
import { ByteRegion } from './byte-region';
import { StateReader } from './state-reader';
import type { Device, DeviceRegister, IoRegion, StateRecord } from './device';

const recordKind = 'post-code';
const recordVersion = 1;

export class PostCode implements Device {
    readonly name: string;
    /** One byte port. */
    readonly registers: IoRegion;
    private code = 0;

    /** @param report told of each value written that differs from the last; delays repeat theirs */
    constructor(name: string, report: (code: number) => void = () => undefined) {
        this.name = name;
        this.registers = new ByteRegion(
            offset => (offset === 0 ? this.code : 0xff),
            (offset, value) => {
                if (offset === 0 && value !== this.code) {
                    this.code = value;
                    report(value);
                }
            },
        );
    }

    reset(): void {
        this.code = 0;
    }

    save(): StateRecord {
        return { kind: recordKind, version: recordVersion, fields: { code: this.code } };
    }

    restore(record: StateRecord): void {
        this.code = new StateReader(record, recordKind, recordVersion).u8('code');
    }

    inspect(): DeviceRegister[] {
        return [{ name: 'code', value: this.code, width: 8 }];
    }
}
