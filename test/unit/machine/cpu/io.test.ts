import assert from 'node:assert/strict';
import { Vector } from '../../../../src/machine/cpu/fault';
import { Flag, StateOffset } from '../../../../src/machine/state';
import { PML4, TestMachine, TSS } from './test-machine';

const IO_MAP = 0x200;

describe('port I/O', () => {
    it('reads and writes 1, 2 and 4 bytes', () => {
        const machine = new TestMachine().protect(0);
        machine.cpu.setGpr(0, 0x11223344, 0);
        machine.cpu.setGpr32(2, 0x3f8);
        machine.execute(0xe6, 0x80);
        machine.execute(0x66, 0xef);
        machine.execute(0xef);
        machine.portValue = 0xab;
        machine.execute(0xec);
        assert.equal(machine.cpu.gpr(0), 0x112233ab);
        assert.deepEqual(machine.ports, ['out 80 1 44', 'out 3f8 2 3344', 'out 3f8 4 11223344', 'in 3f8 1']);
    });

    it('clears the upper half of RAX with 32 bits', () => {
        const machine = new TestMachine().enterLongMode(0);
        machine.cpu.setGpr(0, 0, 0xffffffff);
        machine.portValue = 0x89abcdef;
        machine.execute(0xe5, 0x10);
        assert.equal(machine.cpu.gpr64(0), 0x89abcdefn);
    });

    it('asks the permission bitmap of the TSS above IOPL', () => {
        const machine = new TestMachine().protect(3);
        machine.poke16(TSS + 0x66, IO_MAP);
        machine.ram.setUint8(TSS + IO_MAP + 0x10, 0x80);
        machine.cpu.setGpr32(2, 0x84);
        machine.execute(0xec);
        machine.execute(0x66, 0xed);
        machine.cpu.setGpr32(2, 0x86);
        machine.expectFault(Vector.GP, 0, 0x66, 0xed);
        machine.cpu.writeFlags(Flag.IOPL | 2);
        machine.execute(0xec);
    });

    it('is refused beyond the limit of the TSS, and in virtual-8086 mode whatever IOPL', () => {
        const machine = new TestMachine().protect(3);
        machine.poke16(TSS + 0x66, 0x1000);
        machine.expectFault(Vector.GP, 0, 0xec);
        machine.cpu.setSegment(7, 0x30, TSS, 0, 0x60, 0x8b);
        machine.expectFault(Vector.GP, 0, 0xec);
        const virtual = new TestMachine().virtual8086(3);
        virtual.poke16(TSS + 0x66, 0x1000);
        virtual.expectFault(Vector.GP, 0, 0xec);
    });

    it('traps at I/O breakpoints', () => {
        const machine = new TestMachine().protect(0);
        machine.cpu.setLo(StateOffset.cr4, 8);
        machine.cpu.setLo(StateOffset.dr + 8, 0x3f8);
        machine.cpu.setLo(StateOffset.dr + 56, 0x600408);
        machine.cpu.setGpr32(2, 0x3f8);
        machine.execute(0xec);
        assert.equal(machine.cpu.lo(StateOffset.pendingDebug), 2);
    });
});

describe('INS and OUTS', () => {
    it('repeat in both directions', () => {
        const machine = new TestMachine().protect(0);
        machine.cpu.setGpr32(1, 3);
        machine.cpu.setGpr32(2, 0x1f0);
        machine.cpu.setGpr32(7, 0x5000);
        machine.portValue = 0xbeef;
        machine.execute(0xf3, 0x66, 0x6d);
        assert.deepEqual(machine.stack(0x5000, 2, 4), [0xbeef, 0xbeef, 0xbeef, 0]);
        assert.deepEqual([machine.cpu.gpr(1), machine.cpu.gpr(7), machine.rip], [0, 0x5006, 0x1003n]);
        machine.cpu.writeFlags(Flag.DF | 2);
        machine.cpu.setGpr32(1, 2);
        machine.cpu.setGpr32(6, 0x5001);
        machine.ports.length = 0;
        machine.execute(0xf3, 0x6e);
        assert.deepEqual(machine.ports, ['out 1f0 1 be', 'out 1f0 1 ef']);
        assert.equal(machine.cpu.gpr(6), 0x4fff);
    });

    it('do nothing with a count of 0', () => {
        const machine = new TestMachine().protect(0);
        machine.execute(0xf3, 0x6c);
        assert.deepEqual([machine.ports, machine.rip], [[], 0x1002n]);
    });

    it('stay at the instruction after a while, for interrupts', () => {
        const machine = new TestMachine().protect(0);
        machine.cpu.setGpr32(1, 300);
        machine.cpu.setGpr32(7, 0x5000);
        machine.execute(0xf3, 0x6c);
        assert.deepEqual([machine.cpu.gpr(1), machine.rip], [44, 0x1000n]);
        machine.execute(0xf3, 0x6c);
        assert.deepEqual([machine.cpu.gpr(1), machine.rip], [0, 0x1002n]);
    });

    it('do not read the port when the store would fault', () => {
        const machine = new TestMachine().enterLongMode(0);
        machine.poke64(PML4 + 0x2000 + 8, 0n);
        machine.cpu.setGpr(7, 0x200000, 0);
        machine.expectFault(Vector.PF, 2, 0x6c);
        assert.deepEqual(machine.ports, []);
    });

    it('complete the iterations before a fault', () => {
        const machine = new TestMachine().enterLongMode(0);
        machine.poke64(PML4 + 0x2000 + 8, 0n);
        machine.cpu.setGpr(7, 0x1ffffe, 0);
        machine.cpu.setGpr(1, 5, 0);
        assert.equal(machine.catch(() => machine.execute(0xf3, 0x6c)).address, 0x200000n);
        assert.deepEqual([machine.cpu.gpr(1), machine.cpu.gpr(7), machine.rip], [3, 0x200000, 0x1000n]);
    });
});
