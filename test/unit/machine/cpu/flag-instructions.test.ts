import assert from 'node:assert/strict';
import { Vector } from '../../../../src/machine/cpu/fault';
import { Flag, StateOffset } from '../../../../src/machine/state';
import { TestMachine } from './test-machine';

const CLI = 0xfa;
const STI = 0xfb;
const PUSHF = 0x9c;
const POPF = 0x9d;
const VME = 1;
const PVI = 2;

describe('CLI and STI', () => {
    it('obey IOPL', () => {
        const machine = new TestMachine().protect(3);
        machine.expectFault(Vector.GP, 0, CLI);
        machine.expectFault(Vector.GP, 0, STI);
        machine.cpu.writeFlags(Flag.IOPL | Flag.IF | 2);
        machine.execute(CLI);
        assert.equal(machine.cpu.rflags & Flag.IF, 0);
        machine.execute(STI);
        assert.notEqual(machine.cpu.rflags & Flag.IF, 0);
    });

    it('cast a shadow only when IF was clear', () => {
        const machine = new TestMachine().protect(0);
        machine.execute(STI);
        assert.equal(machine.cpu.lo(StateOffset.interruptShadow), 1);
        machine.cpu.setLo(StateOffset.interruptShadow, 0);
        machine.execute(STI);
        assert.equal(machine.cpu.lo(StateOffset.interruptShadow), 0);
    });

    it('change VIF with PVI at level 3', () => {
        const machine = new TestMachine().protect(3);
        machine.cpu.setLo(StateOffset.cr4, PVI);
        machine.execute(STI);
        assert.equal(machine.cpu.rflags, Flag.VIF | 2);
        machine.execute(CLI);
        assert.equal(machine.cpu.rflags, 2);
        machine.cpu.writeFlags(Flag.VIP | 2);
        machine.expectFault(Vector.GP, 0, STI);
    });

    it('change VIF with VME in virtual-8086 mode below IOPL 3', () => {
        const machine = new TestMachine().virtual8086(0);
        machine.expectFault(Vector.GP, 0, CLI);
        machine.cpu.setLo(StateOffset.cr4, VME);
        machine.execute(STI);
        assert.notEqual(machine.cpu.rflags & Flag.VIF, 0);
        machine.execute(CLI);
        assert.equal(machine.cpu.rflags & Flag.VIF, 0);
    });
});

describe('PUSHF and POPF', () => {
    it('push RF and VM as 0', () => {
        const machine = new TestMachine().protect(0);
        machine.cpu.writeFlags(0x10ad7);
        machine.execute(PUSHF);
        assert.equal(machine.peek32(0x7ffc), 0xad7);
    });

    it('pop what the privilege allows', () => {
        const pop = (cpl: 0 | 3, flags: number, value: number): number => {
            const machine = new TestMachine().protect(cpl);
            machine.cpu.writeFlags(flags);
            machine.poke32(0x8000, value);
            machine.execute(POPF);
            assert.equal(machine.rsp, 0x8004n);
            return machine.cpu.rflags;
        };
        assert.equal(pop(0, 2, 0xffffffff), 0x247fd7);
        assert.equal(pop(3, 2, 0xffffffff), 0x244dd7, 'neither IOPL nor IF');
        assert.equal(pop(3, 0x3002, 0xffffffff), 0x247fd7, 'IF with IOPL 3');
        assert.equal(pop(0, Flag.VIF | Flag.VIP | Flag.RF | 2, 0), Flag.VIF | Flag.VIP | 2);
    });

    it('with 16 bits leave the upper flags alone', () => {
        const machine = new TestMachine().protect(0);
        machine.cpu.writeFlags(Flag.ID | Flag.AC | 2);
        machine.poke16(0x8000, 0xffff);
        machine.execute(0x66, POPF);
        assert.equal(machine.cpu.rflags, Flag.ID | Flag.AC | 0x7fd7);
    });

    it('are sensitive to IOPL in virtual-8086 mode, unless VME virtualizes them', () => {
        const machine = new TestMachine().virtual8086(0);
        machine.expectFault(Vector.GP, 0, PUSHF);
        machine.expectFault(Vector.GP, 0, POPF);
        machine.cpu.setLo(StateOffset.cr4, VME);
        machine.cpu.writeFlags(machine.cpu.rflags | Flag.VIF);
        machine.execute(PUSHF);
        assert.equal(machine.peek16(0x201fe), 0x3202);
        machine.poke16(0x201fe, 0x0100);
        machine.expectFault(Vector.GP, 0, POPF);
        machine.poke16(0x201fe, 0);
        machine.execute(POPF);
        assert.equal(machine.cpu.rflags & (Flag.VIF | Flag.IF | Flag.IOPL), 0);
    });
});

describe('CLAC and STAC', () => {
    it('are undefined outside level 0', () => {
        new TestMachine().protect(3).expectFault(Vector.UD, 0, 0x0f, 0x01, 0xca);
    });
});
