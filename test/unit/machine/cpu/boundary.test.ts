import assert from 'node:assert/strict';
import { afterInstruction, beforeInstruction, mustStep, serviceEvents } from '../../../../src/machine/cpu/boundary';
import { interruptsOpen } from '../../../../src/machine/cpu/interrupts';
import { ActivityState, Flag, StateOffset } from '../../../../src/machine/state';
import { IDT, Selector, TestMachine } from './test-machine';

const INTERRUPT_GATE32 = 0x8e;

/** Executes an instruction with TF set, with what belongs to its boundaries. */
function trace(machine: TestMachine, ...bytes: number[]): void {
    machine.cpu.writeFlags(Flag.TF | 2);
    beforeInstruction(machine.cpu);
    machine.execute(...bytes);
    afterInstruction(machine.cpu, true);
}

describe('instruction boundaries', () => {
    const quiet = { nmiPending: () => false, takeNmi: () => {}, interruptPending: () => false, acknowledge: () => 0 };

    it('hold interrupts off for the instruction after STI', () => {
        const machine = new TestMachine().protect(0);
        machine.execute(0xfb);
        assert.ok(!interruptsOpen(machine.cpu) && mustStep(machine.cpu));
        beforeInstruction(machine.cpu);
        assert.ok(interruptsOpen(machine.cpu));
    });

    it('deliver NMI before interrupts', () => {
        const machine = new TestMachine().protect(0);
        machine.gate(IDT + 2 * 8, Selector.Code0, 0x2222, INTERRUPT_GATE32);
        machine.gate(IDT + 0x40 * 8, Selector.Code0, 0x4040, INTERRUPT_GATE32);
        machine.cpu.writeFlags(Flag.IF | 2);
        let taken = 0;
        const source = {
            nmiPending: () => true,
            takeNmi: () => taken++,
            interruptPending: () => true,
            acknowledge: () => 0x40,
        };
        assert.ok(serviceEvents(machine.cpu, source));
        assert.deepEqual([machine.rip, taken], [0x2222n, 1]);
        assert.ok(!serviceEvents(machine.cpu, source), 'NMI is blocked, IF is clear');
    });

    it('trap after an instruction that began with TF, and push RF as it was', () => {
        const machine = new TestMachine().protect(0);
        machine.gate(IDT + 8, Selector.Code0, 0x1111, INTERRUPT_GATE32);
        trace(machine, 0xfa);
        assert.ok(serviceEvents(machine.cpu, quiet));
        assert.equal(machine.rip, 0x1111n);
        assert.deepEqual(machine.stack(0x7ff4, 4, 3), [0x1001, Selector.Code0, 0x102]);
        assert.equal(machine.cpu.lo(StateOffset.dr + 48), 0xffff4ff0);
    });

    it('do not trace INT n or the instruction that loads SS', () => {
        const machine = new TestMachine().protect(0);
        machine.gate(IDT + 0x80 * 8, Selector.Code0, 0x8080, INTERRUPT_GATE32);
        trace(machine, 0xcd, 0x80);
        assert.equal(machine.cpu.lo(StateOffset.pendingDebug), 0);
        machine.cpu.setGpr32(0, Selector.Data0);
        trace(machine, 0x8e, 0xd0);
        assert.equal(machine.cpu.lo(StateOffset.pendingDebug), 0);
    });

    it('stop at code breakpoints of DR7 before the instruction, once', () => {
        const machine = new TestMachine().protect(0);
        machine.gate(IDT + 8, Selector.Code0, 0x1111, INTERRUPT_GATE32);
        machine.cpu.setLo(StateOffset.dr + 16, 0x1000);
        machine.cpu.setLo(StateOffset.dr + 56, 0x420);
        assert.ok(mustStep(machine.cpu));
        assert.ok(beforeInstruction(machine.cpu));
        assert.deepEqual([machine.rip, machine.peek32(0x7ff4)], [0x1111n, 0x1000]);
        assert.equal(machine.cpu.lo(StateOffset.dr + 48), 0xffff0ff4);
        machine.poke32(0x7ffc, 0x10002); // the handler sets RF in its frame
        machine.execute(0xcf);
        assert.ok(!beforeInstruction(machine.cpu));
    });

    it('pass over a code breakpoint behind MOV SS', () => {
        const machine = new TestMachine().protect(0);
        machine.cpu.setLo(StateOffset.dr + 16, 0x1002);
        machine.cpu.setLo(StateOffset.dr + 56, 0x420);
        machine.cpu.setGpr32(0, Selector.Data0);
        assert.ok(!beforeInstruction(machine.cpu));
        machine.execute(0x8e, 0xd0);
        assert.ok(!beforeInstruction(machine.cpu));
        assert.equal(machine.rip, 0x1002n);
        assert.equal(machine.cpu.lo(StateOffset.interruptShadow), 0);
    });

    it('hold NMI off for the instruction after STI and MOV SS', () => {
        const machine = new TestMachine().protect(0);
        machine.gate(IDT + 2 * 8, Selector.Code0, 0x2222, INTERRUPT_GATE32);
        const source = { ...quiet, nmiPending: () => true };
        machine.cpu.setGpr32(0, Selector.Data0);
        for (const instruction of [[0xfb], [0x8e, 0xd0]]) {
            machine.execute(...instruction);
            assert.ok(!serviceEvents(machine.cpu, source));
            beforeInstruction(machine.cpu);
        }
        assert.ok(serviceEvents(machine.cpu, source));
    });

    it('end HLT with the trap of its single step', () => {
        const machine = new TestMachine().protect(0);
        machine.gate(IDT + 8, Selector.Code0, 0x1111, INTERRUPT_GATE32);
        trace(machine, 0xf4);
        assert.ok(serviceEvents(machine.cpu, quiet));
        assert.deepEqual([machine.rip, machine.peek32(0x7ff4)], [0x1111n, 0x1001]);
        assert.equal(machine.cpu.activity, ActivityState.Active);
    });

    it('tell of a trap that MOV SS held off with INT1, and after INT n', () => {
        for (const [instruction, left] of [
            [[0xf1], 0],
            [[0xcd, 1], 1],
        ] as const) {
            const machine = new TestMachine().protect(0);
            machine.gate(IDT + 8, Selector.Code0, 0x1111, INTERRUPT_GATE32);
            machine.cpu.pendDebug(1);
            machine.execute(...instruction);
            assert.equal(machine.rip, 0x1111n);
            assert.equal(machine.cpu.lo(StateOffset.pendingDebug), left);
            assert.equal(machine.cpu.lo(StateOffset.dr + 48) & 0xf, 1 - left);
        }
    });

    it('notice data breakpoints on the slow path', () => {
        const machine = new TestMachine().protect(0);
        machine.cpu.setLo(StateOffset.dr, 0x5004);
        machine.cpu.setLo(StateOffset.dr + 56, 0xd0402); // DR0, write, 4 bytes
        machine.cpu.debugRegistersChanged();
        machine.cpu.memory.write32(0x5000, 0, 1, 0);
        assert.equal(machine.cpu.lo(StateOffset.pendingDebug), 0);
        machine.cpu.memory.write8(0x5007, 0, 1, 0);
        assert.equal(machine.cpu.lo(StateOffset.pendingDebug), 1);
    });
});
