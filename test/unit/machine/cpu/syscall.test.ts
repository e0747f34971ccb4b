import assert from 'node:assert/strict';
import { Vector } from '../../../../src/machine/cpu/fault';
import { Flag, StateOffset } from '../../../../src/machine/state';
import { Selector, TestMachine } from './test-machine';

const SYSCALL = [0x0f, 0x05];
const SYSRETQ = [0x48, 0x0f, 0x07];
const SYSRETL = [0x0f, 0x07];

/** STAR as Linux has it: kernel CS 28h (SS 30h), user base 43h. */
function ready(cpl: 0 | 3): TestMachine {
    const machine = new TestMachine().enterLongMode(cpl);
    machine.cpu.set(StateOffset.star, 0, 0x00430028);
    machine.cpu.set(StateOffset.lstar, 0x81000000, 0xffffffff);
    machine.cpu.setLo(StateOffset.sfmask, 0x47700);
    return machine;
}

describe('SYSCALL and SYSRET', () => {
    it('go to LSTAR with flat segments, RIP in RCX and RFLAGS in R11, and back', () => {
        const machine = ready(3);
        const { cpu } = machine;
        cpu.writeFlags(0x40303 | Flag.ZF);
        machine.execute(...SYSCALL);
        assert.equal(machine.rip, 0xffffffff81000000n);
        assert.deepEqual([cpu.gpr64(1), cpu.gpr64(11)], [0x1002n, 0x40343n]);
        assert.deepEqual([cpu.rflags, cpu.cpl], [0x43, 0]);
        assert.deepEqual(machine.hidden(1), { selector: 0x28, base: 0, limit: 0xffffffff, attributes: 0xa09b });
        assert.deepEqual(machine.hidden(2), { selector: 0x30, base: 0, limit: 0xffffffff, attributes: 0xc093 });
        machine.execute(...SYSRETQ);
        assert.deepEqual([machine.rip, cpu.rflags, cpu.cpl], [0x1002n, 0x40343, 3]);
        assert.deepEqual([cpu.selector(1), cpu.selector(2)], [0x53, 0x4b]);
        assert.ok(cpu.code64);
    });

    it('SYSRET returns to compatibility mode without REX.W', () => {
        const machine = ready(0);
        machine.cpu.setGpr(1, 0x5000, 0x1234);
        machine.cpu.setGpr32(11, 0x30002);
        machine.execute(...SYSRETL);
        assert.deepEqual([machine.rip, machine.cpu.selector(1), machine.cpu.cpl], [0x5000n, 0x43, 3]);
        assert.ok(!machine.cpu.code64);
        assert.equal(machine.cpu.rflags, 2, 'RF and VM are not taken from R11');
    });

    it('are undefined without EFER.SCE and outside 64-bit mode, SYSRET is privileged', () => {
        const machine = ready(0);
        machine.cpu.setLo(StateOffset.efer, 0x500);
        machine.expectFault(Vector.UD, 0, ...SYSCALL);
        machine.expectFault(Vector.UD, 0, ...SYSRETQ);
        ready(3).expectFault(Vector.GP, 0, ...SYSRETQ);
        new TestMachine().protect(0).expectFault(Vector.UD, 0, ...SYSCALL);
    });

    it('SYSRET refuses a return address that is not canonical, still at level 0', () => {
        const machine = ready(0);
        machine.cpu.setGpr(1, 0, 0x8000);
        machine.expectFault(Vector.GP, 0, ...SYSRETQ);
    });
});

describe('SYSENTER and SYSEXIT', () => {
    it('use the MSRs', () => {
        const machine = new TestMachine().protect(3);
        const { cpu } = machine;
        machine.expectFault(Vector.GP, 0, 0x0f, 0x34);
        cpu.setLo(StateOffset.sysenterCs, Selector.Code0);
        cpu.setLo(StateOffset.sysenterEsp, 0x7777);
        cpu.setLo(StateOffset.sysenterEip, 0x4444);
        cpu.writeFlags(0x202);
        machine.execute(0x0f, 0x34);
        assert.deepEqual([machine.rip, machine.rsp, cpu.cpl, cpu.rflags], [0x4444n, 0x7777n, 0, 2]);
        cpu.setGpr32(1, 0x8000);
        cpu.setGpr32(2, 0x1111);
        machine.execute(0x0f, 0x35);
        assert.deepEqual([machine.rip, machine.rsp, cpu.cpl], [0x1111n, 0x8000n, 3]);
        assert.deepEqual([cpu.selector(1), cpu.selector(2)], [0x1b, 0x23]);
    });

    it('enter 64-bit mode in long mode', () => {
        const machine = ready(3);
        const { cpu } = machine;
        cpu.setLo(StateOffset.sysenterCs, Selector.Code64);
        cpu.set(StateOffset.sysenterEip, 0x81000000, 0xffffffff);
        machine.execute(0x0f, 0x34);
        assert.equal(machine.rip, 0xffffffff81000000n);
        cpu.setGpr(2, 0, 0x8000);
        machine.expectFault(Vector.GP, 0, 0x48, 0x0f, 0x35);
        cpu.setGpr(2, 0x1234, 0x7fff);
        machine.execute(0x48, 0x0f, 0x35);
        assert.deepEqual([machine.rip, cpu.selector(1)], [0x7fff00001234n, (Selector.Code64 + 32) | 3]);
    });
});

describe('SWAPGS and segment bases', () => {
    it('SWAPGS exchanges, at level 0', () => {
        const machine = ready(0);
        machine.cpu.setSegmentBase(5, 0x11, 0x22);
        machine.cpu.set(StateOffset.kernelGsBase, 0x33, 0xffffffff);
        machine.execute(0x0f, 0x01, 0xf8);
        assert.deepEqual([machine.cpu.segmentBase(5), machine.cpu.segmentBaseHi(5)], [0x33, 0xffffffff]);
        assert.equal(machine.cpu.get64(StateOffset.kernelGsBase), 0x22_0000_0011n);
        ready(3).expectFault(Vector.GP, 0, 0x0f, 0x01, 0xf8);
    });

    it('RDFSBASE and WRFSBASE need CR4.FSGSBASE and canonical values', () => {
        const machine = ready(3);
        const wrfsbase = [0xf3, 0x48, 0x0f, 0xae, 0xd0];
        machine.cpu.setGpr(0, 0x1234, 0x7fff);
        machine.expectFault(Vector.UD, 0, ...wrfsbase);
        machine.cpu.setLo(StateOffset.cr4, 0x10020);
        machine.execute(...wrfsbase);
        machine.execute(0xf3, 0x48, 0x0f, 0xae, 0xc1); // RDFSBASE RCX
        assert.equal(machine.cpu.gpr64(1), 0x7fff00001234n);
        machine.cpu.setGpr(0, 0, 0x0100_0000);
        machine.expectFault(Vector.GP, 0, ...wrfsbase);
    });
});
