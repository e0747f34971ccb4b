import assert from 'node:assert/strict';
import { SnapshotError } from '../../../src/common/errors';
import type { StateValue } from '../../../src/devices/device';
import { readSnapshot, type Records, writeSnapshot } from '../../../src/machine/snapshot/snapshot';
import { decodeState, encodeState } from '../../../src/machine/snapshot/state-value';
import { StateHash, Xxh32 } from '../../../src/machine/snapshot/xxhash';
import { random } from './images';

const PAGE = 4096;

function file(records: Records, ram: Uint8Array): Uint8Array {
    return Uint8Array.from(Buffer.concat([...writeSnapshot(records, ram)]));
}

const RECORDS: Records = {
    clock: { kind: 'clock', version: 1, fields: { now: 123456789012345 } },
    uart: {
        kind: 'uart16550',
        version: 3,
        fields: {
            fifo: Uint8Array.of(1, 2, 3),
            open: true,
            deadline: null,
            list: [1, [2n, -3n, 0n], 'ü'],
            rip: 2n ** 63n,
        },
    },
};

describe('XXH32', () => {
    const hash = (text: string, seed = 0): number => new Xxh32(seed).update(new TextEncoder().encode(text)).digest();

    it('agrees with published values', () => {
        assert.equal(hash(''), 0x02cc5d05);
        assert.equal(hash('a'), 0x550d7456);
        assert.equal(hash('abc'), 0x32d153ff);
        assert.equal(hash('Nobody inspects the spammish repetition'), 0xe2293b2f);
        assert.equal(hash('', 0x9e3779b1), 0x36b78ae7);
    });

    it('does not depend on how the input is cut', () => {
        const next = random(5);
        const bytes = Uint8Array.from({ length: 1000 }, () => next(256));
        const whole = new Xxh32().update(bytes).digest();
        for (let round = 0; round < 50; round++) {
            const pieces = new Xxh32();
            for (let at = 0; at < bytes.length;) {
                const size = next(70);
                pieces.update(bytes.subarray(at, at + size));
                at += size;
            }
            assert.equal(pieces.digest(), whole);
        }
    });

    it('makes 64 bits of two halves', () => {
        assert.match(new StateHash().update(Uint8Array.of(1)).digest(), /^[0-9a-f]{16}$/);
    });
});

describe('encoded state', () => {
    it('comes back as it was', () => {
        const value = RECORDS.uart.fields as StateValue;
        assert.deepEqual(decodeState(encodeState(value)), value);
        for (const simple of [null, true, false, 0, -1.5, '', 'x', 5n, -(2n ** 200n), [], {}, new Uint8Array(0)]) {
            assert.deepEqual(decodeState(encodeState(simple)), simple);
        }
        const long = [new Uint8Array(10_000).fill(7), 'x'.repeat(9000), ...Array.from({ length: 3000 }, (_, i) => i)];
        assert.deepEqual(decodeState(encodeState(long)), long);
    });

    it('refuses damaged bytes with a SnapshotError, whatever they are', () => {
        const bytes = encodeState(RECORDS as unknown as StateValue);
        const next = random(9);
        for (let round = 0; round < 3000; round++) {
            const damaged = bytes.slice(0, next(3) === 0 ? next(bytes.length) : bytes.length);
            for (let count = next(4); count >= 0 && damaged.length > 0; count--) {
                damaged[next(damaged.length)] = next(256);
            }
            try {
                decodeState(damaged);
            } catch (error) {
                assert.ok(error instanceof SnapshotError, String((error as Error).stack));
            }
        }
    });
});

describe('snapshot file', () => {
    it('holds records and the pages that are not zero', () => {
        const ram = new Uint8Array(600 * PAGE);
        ram[5 * PAGE + 7] = 1;
        ram.fill(9, 10 * PAGE, 400 * PAGE);
        ram[599 * PAGE + 7] = 0x80;
        const bytes = file(RECORDS, ram);
        assert.ok(bytes.length < 395 * PAGE);
        const snapshot = readSnapshot(bytes);
        assert.deepEqual(snapshot.records, RECORDS);
        const restored = new Uint8Array(600 * PAGE).fill(3);
        snapshot.restoreRam(restored);
        assert.deepEqual(restored, ram);
    });

    it('is refused when it is cut off anywhere', () => {
        const bytes = file(RECORDS, new Uint8Array(PAGE).fill(1));
        for (let size = 0; size < bytes.length; size += 13) {
            assert.throws(() => readSnapshot(bytes.subarray(0, size)), SnapshotError);
        }
    });

    it('is refused when any byte has changed', () => {
        const bytes = file(RECORDS, new Uint8Array(PAGE).fill(1));
        for (let at = 0; at < bytes.length; at += 7) {
            const damaged = bytes.slice();
            damaged[at] ^= 0x10;
            assert.throws(() => readSnapshot(damaged), SnapshotError, `byte ${at}`);
        }
    });

    it('is refused when it is another file or another version', () => {
        assert.throws(() => readSnapshot(new TextEncoder().encode('#!/bin/sh and so on')), /not a snapshot file/);
        const bytes = file(RECORDS, new Uint8Array(0));
        bytes[8] = 2;
        assert.throws(() => readSnapshot(bytes), /format version 2/);
    });

    it('is refused by a machine with less memory', () => {
        const ram = new Uint8Array(8 * PAGE).fill(1);
        assert.throws(() => readSnapshot(file(RECORDS, ram)).restoreRam(new Uint8Array(4 * PAGE)), /beyond/);
    });
});
