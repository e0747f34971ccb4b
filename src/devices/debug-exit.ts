/**
 * Debug exit port, as QEMU's `isa-debug-exit` (hw/misc/debugexit.c): a write of any size ends the machine with the exit
 * status (value << 1) | 1, so that 0 is never given by it. Reads give zero.
 */
import { StateReader } from './state-reader';
import type { Device, DeviceRegister, IoRegion, StateRecord } from './device';

const recordKind = 'debug-exit';
const recordVersion = 1;

export class DebugExit implements Device {
    readonly name: string;
    /** Four bytes of ports; QEMU's default is to map them at 0x501, kernels' test suites use 0xf4. */
    readonly registers: IoRegion;

    /** @param exit takes the exit status: unsigned, below 2^33; a process keeps its low 8 bits */
    constructor(name: string, exit: (status: number) => void) {
        this.name = name;
        this.registers = {
            read: () => 0,
            write: (_offset, _size, value) => exit(value * 2 + 1),
        };
    }

    reset(): void {
        // The port holds nothing.
    }

    save(): StateRecord {
        return { kind: recordKind, version: recordVersion, fields: {} };
    }

    restore(record: StateRecord): void {
        new StateReader(record, recordKind, recordVersion);
    }

    inspect(): DeviceRegister[] {
        return [];
    }
}
