import assert from 'node:assert/strict';
import { DebugConsole } from '../../../src/devices/debug-console';
import { DebugExit } from '../../../src/devices/debug-exit';
import { Port92 } from '../../../src/devices/port92';
import { PostCode } from '../../../src/devices/post-code';
import { TestDevice } from '../../../src/devices/test-device';
import { assertRefusesForeignRecords } from './fixtures';

describe('debug console', () => {
    it('prints what is written and identifies itself by its port number', () => {
        const printed: number[] = [];
        const console = new DebugConsole('debugcon', byte => printed.push(byte));
        console.registers.write(0, 1, 0x41);
        assert.deepEqual(printed, [0x41]);
        assert.equal(console.registers.read(0, 1), 0xe9);
        assertRefusesForeignRecords(console);
    });
});

describe('debug exit', () => {
    it('gives an odd status that holds the value written, at any size', () => {
        const statuses: number[] = [];
        const port = new DebugExit('debug-exit', status => statuses.push(status));
        port.registers.write(0, 1, 0x10);
        port.registers.write(0, 2, 0x1234);
        port.registers.write(0, 4, 0xffffffff);
        assert.deepEqual(statuses, [0x21, 0x2469, 0x1ffffffff]);
        assert.equal(port.registers.read(0, 4), 0);
        assertRefusesForeignRecords(port);
    });
});

describe('diagnostic port', () => {
    it('reports changes, not the repetitions by which kernels delay', () => {
        const codes: number[] = [];
        const port = new PostCode('post', code => codes.push(code));
        for (const code of [0x01, 0x01, 0x02]) {
            port.registers.write(0, 1, code);
        }
        assert.deepEqual(codes, [1, 2]);
        assert.equal(port.registers.read(0, 1), 2);
        assertRefusesForeignRecords(port);
    });
});

describe('test device', () => {
    function build() {
        const log: string[] = [];
        const lines = [0, 1, 2].map(line => ({ set: (level: boolean) => log.push(`${line} ${level ? 'on' : 'off'}`) }));
        return { device: new TestDevice('test-device', lines), log };
    }

    it('drives lines, tells of changes only, and lets go at reset', () => {
        const { device, log } = build();
        for (const [line, value] of [
            [1, 1],
            [1, 5],
            [2, 0],
            [3, 1],
            [2, 1],
            [1, 0],
        ]) {
            device.interrupts.write(line, 1, value);
        }
        device.reset();
        assert.deepEqual(log, ['1 on', '2 on', '1 off', '2 off']);
        assert.equal(device.interrupts.read(1, 1), 0);
    });

    it('drives a line for each byte of a wider write', () => {
        const { device, log } = build();
        device.interrupts.write(1, 2, 0x0101);
        device.interrupts.write(1, 2, 0x0100);
        assert.deepEqual(log, ['1 on', '2 on', '1 off']);
    });

    it('keeps what is written to its latch and its memory, at any size', () => {
        const { device } = build();
        device.latch.write(0, 4, 0x12345678);
        device.latch.write(1, 1, 0xff);
        assert.equal(device.latch.read(0, 4), 0x1234ff78);
        assert.equal(device.latch.read(2, 2), 0x1234);
        device.mmio.write(0xfffc, 4, 0xcafef00d);
        assert.equal(device.mmio.read(0xfffe, 2), 0xcafe);
        device.reset();
        assert.deepEqual([device.latch.read(0, 4), device.mmio.read(0xfffc, 4)], [0, 0]);
    });

    it('goes on after save and restore, and asserts its lines again', () => {
        const { device } = build();
        device.interrupts.write(2, 1, 1);
        device.latch.write(0, 1, 7);
        device.mmio.write(0, 1, 9);
        const copy = build();
        copy.device.restore(device.save());
        assert.deepEqual(copy.log, ['2 on']);
        assert.deepEqual([copy.device.latch.read(0, 1), copy.device.mmio.read(0, 1)], [7, 9]);
        assert.deepEqual(copy.device.inspect(), device.inspect());
        assertRefusesForeignRecords(device);
    });
});

describe('port 0x92', () => {
    function build() {
        const log: string[] = [];
        const port = new Port92('port92', {
            setA20: enabled => log.push(enabled ? 'A20 on' : 'A20 off'),
            reset: () => log.push('reset'),
        });
        return { port, log };
    }

    it('opens and closes the A20 gate and reads back', () => {
        const { port, log } = build();
        port.registers.write(0, 1, 0x00);
        assert.equal(port.registers.read(0, 1), 0x00);
        port.registers.write(0, 1, 0x02);
        assert.equal(port.registers.read(0, 1), 0x02);
        assert.deepEqual(log, ['A20 off', 'A20 on']);
        assertRefusesForeignRecords(port);
    });

    it('resets on the rising edge of bit 0 only', () => {
        const { port, log } = build();
        port.registers.write(0, 1, 0x03);
        port.registers.write(0, 1, 0x03);
        assert.deepEqual(log, ['A20 on', 'reset', 'A20 on']);
    });
});
