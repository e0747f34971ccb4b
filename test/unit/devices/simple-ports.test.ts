import assert from 'node:assert/strict';
import { DebugConsole } from '../../../src/devices/debug-console';
import { DebugExit } from '../../../src/devices/debug-exit';
import { Port92 } from '../../../src/devices/port92';
import { PostCode } from '../../../src/devices/post-code';
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
