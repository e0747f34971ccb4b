import assert from 'node:assert/strict';
import type { Device, Dma, StateRecord, StateValue } from '../../../src/devices/device';
import { SnapshotError } from '../../../src/common/errors';

/** Guest memory for bus masters: reads ones and drops writes outside. Counts what a device asks of it. */
export class FakeMemory implements Dma {
    readonly bytes: Uint8Array;
    readonly view: DataView;
    bytesRead = 0;
    bytesWritten = 0;

    constructor(size: number) {
        this.bytes = new Uint8Array(size);
        this.view = new DataView(this.bytes.buffer);
    }

    read(address: number, target: Uint8Array): void {
        this.bytesRead += target.length;
        target.fill(0xff);
        target.set(this.bytes.subarray(address, address + target.length));
    }

    write(address: number, source: Uint8Array): void {
        this.bytesWritten += source.length;
        if (address < this.bytes.length) {
            this.bytes.set(source.subarray(0, this.bytes.length - address), address);
        }
    }

    reaches(address: number, size: number): boolean {
        return address + size <= this.bytes.length;
    }
}

export function ascii(text: string): Uint8Array {
    return new TextEncoder().encode(text);
}

/** Restoring refuses other kinds, other versions and damaged fields, each with a `SnapshotError`. */
export function assertRefusesForeignRecords(device: Device): void {
    const good = device.save();
    const refused: StateRecord[] = [
        { ...good, kind: 'teapot' },
        { ...good, version: good.version + 1 },
        ...Object.keys(good.fields).map(field => ({
            ...good,
            fields: { ...good.fields, [field]: { surprise: true } as StateValue },
        })),
        ...(Object.keys(good.fields).length > 0 ? [{ ...good, fields: {} }] : []),
    ];
    for (const record of refused) {
        assert.throws(() => device.restore(record), SnapshotError, JSON.stringify(Object.keys(record.fields)));
    }
    device.restore(good);
    assert.deepEqual(device.save(), good);
}
