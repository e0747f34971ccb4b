/**
 * The test device of CPU test suites, as QEMU's `pc-testdev`: a latch of four byte ports, ports that drive interrupt lines,
 * and 64 KiB of memory that only answers as device registers do. (Its port that makes a host drop its mapping of a page
 * has nothing to do here.)
 */
import { ByteRegion } from './byte-region';
import type { Device, DeviceRegister, InterruptLine, IoRegion, StateRecord } from './device';
import { StateReader } from './state-reader';

const recordKind = 'test-device';
const recordVersion = 1;

const LATCH_BYTES = 4;
export const TEST_DEVICE_MEMORY = 0x10000;

export class TestDevice implements Device {
    /** Four byte ports that read as they were written. */
    readonly latch: IoRegion;
    /** Four ports; writes are accepted. */
    readonly flush: IoRegion = { read: () => 0, write: () => undefined };
    /** One port a line: any value but 0 asserts it. Reads give zero. */
    readonly interrupts: IoRegion;
    /** {@link TEST_DEVICE_MEMORY} bytes. */
    readonly mmio: IoRegion;

    private readonly latched = new Uint8Array(LATCH_BYTES);
    private readonly memory = new Uint8Array(TEST_DEVICE_MEMORY);
    /** A bit a line. */
    private asserted = 0;

    constructor(
        readonly name: string,
        private readonly lines: readonly InterruptLine[],
    ) {
        this.latch = bytes(this.latched);
        this.mmio = bytes(this.memory);
        this.interrupts = new ByteRegion(
            () => 0,
            (offset, value) => this.drive(offset, value !== 0),
        );
    }

    private drive(line: number, asserted: boolean): void {
        const bit = 1 << line;
        // Only what changes: others may drive the same inputs.
        if (line < this.lines.length && ((this.asserted & bit) !== 0) !== asserted) {
            this.asserted ^= bit;
            this.lines[line].set(asserted);
        }
    }

    reset(): void {
        this.latched.fill(0);
        this.memory.fill(0);
        this.lines.forEach((_, line) => this.drive(line, false));
    }

    save(): StateRecord {
        const { latched, memory, asserted } = this;
        const fields = { latched: latched.slice(), memory: memory.slice(), asserted };
        return { kind: recordKind, version: recordVersion, fields };
    }

    restore(record: StateRecord): void {
        const state = new StateReader(record, recordKind, recordVersion);
        const latched = state.bytes('latched', LATCH_BYTES);
        const memory = state.bytes('memory', TEST_DEVICE_MEMORY);
        const asserted = state.integer('asserted', 0, 2 ** this.lines.length - 1);
        this.latched.set(latched);
        this.memory.set(memory);
        this.lines.forEach((_, line) => this.drive(line, ((asserted >>> line) & 1) !== 0));
    }

    inspect(): DeviceRegister[] {
        const value = new DataView(this.latched.buffer).getUint32(0, true);
        const lines = this.lines.flatMap((_, line) => ((this.asserted >>> line) & 1 ? [line] : []));
        return [
            { name: 'latch', value, width: 32 },
            { name: 'lines', value: this.asserted, width: 32, description: `asserted: ${lines.join(', ') || 'none'}` },
        ];
    }
}

function bytes(array: Uint8Array): IoRegion {
    return new ByteRegion(
        offset => (offset < array.length ? array[offset] : 0xff),
        (offset, value) => (array[offset] = value),
    );
}
