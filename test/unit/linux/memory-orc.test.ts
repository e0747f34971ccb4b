import assert from 'node:assert/strict';
import { readLinear } from '../../../src/linux/kernel-image';
import { readOrcTables } from '../../../src/linux/memory-orc';
import { OrcUnwinder } from '../../../src/symbols/orc';
import type { FrameState } from '../../../src/symbols/unwind';
import { imageOf, START } from './kallsyms-tables';

const COUNT = 40;
const IPS = 0x10000;
const ENTRIES = 0x12000;
/** ORC_REG_SP in the low half. */
const BY_STACK_POINTER = 5;

/** Code of 16 bytes a function at the start; function number n has n words on its stack. */
function build(call: number, order: readonly number[]): Uint8Array {
    const bytes = new Uint8Array(0x20000);
    const view = new DataView(bytes.buffer);
    order.forEach((func, index) => {
        view.setInt32(IPS + 4 * index, func * 16 - (IPS + 4 * index), true);
        view.setInt16(ENTRIES + 6 * index, 8 * (func + 1), true);
        view.setUint8(ENTRIES + 6 * index + 4, BY_STACK_POINTER);
        view.setUint8(ENTRIES + 6 * index + 5, call);
    });
    return bytes;
}

const PLACES = {
    ips: START + BigInt(IPS),
    ipsEnd: START + BigInt(IPS + 4 * COUNT),
    entries: START + BigInt(ENTRIES),
    entriesEnd: START + BigInt(ENTRIES + 6 * COUNT),
};
const inOrder = Array.from({ length: COUNT }, (_, index) => index);

function reader(bytes: Uint8Array): (address: bigint, length: number) => Uint8Array | undefined {
    return (address, length) => readLinear(imageOf(bytes), address, length);
}

function callerOf(bytes: Uint8Array, func: number): bigint | undefined {
    const tables = readOrcTables(reader(bytes), PLACES);
    assert.ok(tables !== undefined);
    const registers: (bigint | undefined)[] = Array.from({ length: 17 }, () => undefined);
    registers[7] = 0x1000n;
    const frame: FrameState = { pc: START + BigInt(func * 16 + 3), registers, isReturn: false };
    const step = new OrcUnwinder(tables, () => true).step(frame, {
        // Each word of the stack is its own address.
        readMemory: (address, size) => new Uint8Array(new BigUint64Array([address]).buffer, 0, size),
    });
    return step?.kind === 'caller' ? step.frame.pc : undefined;
}

describe('ORC tables in memory', () => {
    it('unwind in the layout of Linux before 6.4 and in the one since', () => {
        for (const call of [0, 2]) {
            const bytes = build(call, inOrder);
            assert.equal(readOrcTables(reader(bytes), PLACES)?.layout, call === 0 ? 'classic' : 'typed');
            assert.equal(callerOf(bytes, 0), 0x1000n);
            assert.equal(callerOf(bytes, 17), 0x1000n + 8n * 17n);
        }
    });

    it('are brought into order, as old kernels do when they boot', () => {
        const bytes = build(0, [...inOrder].reverse());
        assert.equal(callerOf(bytes, 3), 0x1000n + 8n * 3n);
        assert.equal(callerOf(bytes, 38), 0x1000n + 8n * 38n);
    });

    it('are refused where their places cannot be', () => {
        const read = reader(build(0, inOrder));
        const refused = (places: Partial<typeof PLACES>): void =>
            assert.equal(readOrcTables(read, { ...PLACES, ...places }), undefined);
        refused({ ipsEnd: PLACES.ipsEnd + 4n });
        refused({ ipsEnd: PLACES.ips - 400n });
        refused({ ips: START + 0x1000000n, ipsEnd: START + 0x1000000n + BigInt(4 * COUNT) });
        refused({ ipsEnd: PLACES.ips + (1n << 60n), entriesEnd: PLACES.entries + 6n * (1n << 58n) });
    });
});
