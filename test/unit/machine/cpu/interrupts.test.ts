import assert from 'node:assert/strict';
import { raise, raisePageFault, Vector } from '../../../../src/machine/cpu/fault';
import {
    deliverException,
    deliverInterrupt,
    deliverNmi,
    type ShutdownReport,
} from '../../../../src/machine/cpu/interrupts';
import { ActivityState, Flag, StateOffset } from '../../../../src/machine/state';
import { GDT, IDT, Selector, TestMachine, TSS } from './test-machine';

const INTERRUPT_GATE32 = 0x8e;
const TRAP_GATE32 = 0x8f;
const INTERRUPT_GATE16 = 0x86;
const USER_TRAP_GATE32 = 0xef;

/** Raises an exception at the current instruction and delivers it. */
function except(machine: TestMachine, vector: Vector, errorCode = 0): ShutdownReport | undefined {
    machine.catch(() => raise(vector, errorCode));
    return deliverException(machine.cpu);
}

describe('events in real mode', () => {
    it('push FLAGS, CS and IP, and go through the vector table', () => {
        const machine = new TestMachine().realMode();
        machine.poke32(0x20 * 4, 0x12345678);
        machine.load(1, 0xabc, 0xabc0, 0xffff, 0x9b, 0);
        machine.cpu.writeFlags(0x302 | Flag.CF);
        deliverInterrupt(machine.cpu, 0x20);
        assert.deepEqual(machine.stack(0x7bfa, 2, 3), [0x100, 0xabc, 0x303]);
        assert.equal(machine.rip, 0x5678n);
        assert.deepEqual([machine.hidden(1).selector, machine.hidden(1).base], [0x1234, 0x12340]);
        assert.equal(machine.cpu.rflags, 3);
        assert.equal(machine.rsp, 0x7bfan);
    });

    it('push no error code', () => {
        const machine = new TestMachine().realMode();
        assert.equal(except(machine, Vector.GP), undefined);
        assert.equal(machine.rsp, 0x7bfan);
    });

    it('return behind INT n', () => {
        const machine = new TestMachine().realMode();
        machine.execute(0xcd, 0x21);
        assert.equal(machine.peek16(0x7bfa), 0x102);
    });

    it('shut down when the vector table is out of reach', () => {
        const machine = new TestMachine().realMode();
        machine.cpu.setLo(StateOffset.idtrLimit, 3);
        const report = except(machine, Vector.UD);
        assert.deepEqual(
            report?.chain.map(fault => fault.vector),
            [6, 13, 13, 8, 13],
        );
        assert.equal(machine.cpu.activity, ActivityState.Shutdown);
    });

    it('IRET undoes it', () => {
        const machine = new TestMachine().realMode();
        machine.poke32(0x20 * 4, 0x12345678);
        machine.cpu.writeFlags(0x7202);
        deliverInterrupt(machine.cpu, 0x20);
        machine.execute(0xcf);
        assert.equal(machine.rip, 0x100n);
        assert.equal(machine.cpu.rflags, 0x7202);
        assert.equal(machine.rsp, 0x7c00n);
    });
});

describe('events in protected mode', () => {
    it('stay on the stack within a privilege level', () => {
        const machine = new TestMachine().protect(0);
        machine.gate(IDT + 0x40 * 8, Selector.Code0, 0x12345, INTERRUPT_GATE32);
        machine.cpu.writeFlags(0x4302);
        deliverInterrupt(machine.cpu, 0x40);
        assert.deepEqual(machine.stack(0x7ff4, 4, 3), [0x1000, Selector.Code0, 0x4302]);
        assert.equal(machine.rip, 0x12345n);
        assert.equal(machine.cpu.rflags, 2);
    });

    it('leave IF alone through a trap gate', () => {
        const machine = new TestMachine().protect(0);
        machine.gate(IDT + 0x40 * 8, Selector.Code0, 0x12345, TRAP_GATE32);
        machine.cpu.writeFlags(0x302);
        deliverInterrupt(machine.cpu, 0x40);
        assert.equal(machine.cpu.rflags, 0x202);
    });

    it('switch to the stack of the TSS for an inner level, and IRET comes back', () => {
        const machine = new TestMachine().protect(3);
        machine.gate(IDT + 13 * 8, Selector.Code0, 0x12345, INTERRUPT_GATE32);
        machine.cpu.writeFlags(0x202);
        except(machine, Vector.GP, 0x50);
        assert.deepEqual(machine.stack(0x8fe8, 4, 6), [0x50, 0x1000, Selector.Code3, 0x10202, 0x8000, Selector.Data3]);
        assert.equal(machine.cpu.cpl, 0);
        assert.equal(machine.cpu.selector(2), Selector.Data0);
        assert.equal(machine.cpu.lo(StateOffset.tlb), 0x1000);
        machine.cpu.setGpr32(4, 0x8fec);
        machine.execute(0xcf);
        assert.equal(machine.cpu.cpl, 3);
        assert.deepEqual([machine.rip, machine.rsp], [0x1000n, 0x8000n]);
        assert.equal(machine.cpu.rflags, 0x10202);
        assert.equal(machine.cpu.selector(3), Selector.Data3);
    });

    it('push 16-bit frames through 16-bit gates', () => {
        const machine = new TestMachine().protect(0);
        machine.gate(IDT + 13 * 8, Selector.Code0, 0xdead2345, INTERRUPT_GATE16);
        except(machine, Vector.GP, 0x50);
        assert.deepEqual(machine.stack(0x7ff8, 2, 4), [0x50, 0x1000, Selector.Code0, 2]);
        assert.equal(machine.rip, 0x2345n);
    });

    it('let INT n through only where the DPL of the gate admits it', () => {
        const machine = new TestMachine().protect(3);
        machine.gate(IDT + 0x80 * 8, Selector.Code0, 0x12345, TRAP_GATE32);
        machine.expectFault(Vector.GP, 0x80 * 8 + 2, 0xcd, 0x80);
        machine.gate(IDT + 3 * 8, Selector.Code0, 0x12345, TRAP_GATE32);
        machine.expectFault(Vector.GP, 3 * 8 + 2, 0xcc);
        machine.gate(IDT + 0x80 * 8, Selector.Code0, 0x12345, USER_TRAP_GATE32);
        machine.execute(0xcd, 0x80);
        assert.equal(machine.peek32(0x8fec), 0x1002);
    });

    it('check the gate and what is behind it, with EXT set for what the program did not ask for', () => {
        const check = (prepare: (machine: TestMachine) => void, vector: Vector, errorCode: number): void => {
            const machine = new TestMachine().protect(0);
            machine.gate(IDT + 0x40 * 8, Selector.Code0, 0x12345, INTERRUPT_GATE32);
            for (const fault of [10, 11, 12, 13])
                machine.gate(IDT + fault * 8, Selector.Code0, fault, INTERRUPT_GATE32);
            prepare(machine);
            deliverInterrupt(machine.cpu, 0x40);
            assert.equal(machine.rip, BigInt(vector));
            assert.equal(machine.peek32(machine.cpu.gpr(4)), errorCode);
        };
        check(machine => machine.gate(IDT + 0x200, Selector.Code0, 0, 0x0e), Vector.NP, 0x203);
        check(machine => machine.gate(IDT + 0x200, Selector.Code0, 0, 0x8c), Vector.GP, 0x203);
        check(machine => machine.gate(IDT + 0x200, 0, 0, INTERRUPT_GATE32), Vector.GP, 1);
        check(machine => machine.gate(IDT + 0x200, 0x2000, 0, INTERRUPT_GATE32), Vector.GP, 0x2001);
        check(machine => machine.gate(IDT + 0x200, Selector.Data0, 0, INTERRUPT_GATE32), Vector.GP, 0x11);
        check(machine => machine.gate(IDT + 0x200, Selector.Code3, 0, INTERRUPT_GATE32), Vector.GP, 0x19);
        check(
            machine => {
                machine.describe(Selector.Free, 0, 0xfffff, 0x1b, 0xc);
                machine.gate(IDT + 0x200, Selector.Free, 0, INTERRUPT_GATE32);
            },
            Vector.NP,
            0x41,
        );
        check(
            machine => {
                machine.describe(Selector.Free, 0, 0xfff, 0x9b, 4);
                machine.gate(IDT + 0x200, Selector.Free, 0x1000, INTERRUPT_GATE32);
            },
            Vector.GP,
            1,
        );
        check(machine => machine.cpu.setLo(StateOffset.idtrLimit, 0x207 - 1), Vector.GP, 0x203);
    });

    it('report a broken inner stack as #TS or #SS', () => {
        const check = (prepare: (machine: TestMachine) => void, vector: Vector, errorCode: number): void => {
            const machine = new TestMachine().protect(3);
            machine.gate(IDT + 0x80 * 8, Selector.Code0, 0x12345, USER_TRAP_GATE32);
            prepare(machine);
            machine.expectFault(vector, errorCode, 0xcd, 0x80);
        };
        check(machine => machine.poke32(TSS + 8, 0), Vector.TS, 0);
        check(machine => machine.poke32(TSS + 8, Selector.Data3), Vector.TS, 0x20);
        check(machine => machine.poke32(TSS + 8, Selector.Code0), Vector.TS, 8);
        check(machine => machine.poke32(TSS + 8, 0x2000), Vector.TS, 0x2000);
        check(machine => machine.describe(Selector.Data0, 0, 0xfffff, 0x13, 0xc), Vector.SS, 0x10);
        check(machine => machine.describe(Selector.Data0, 0, 0xff, 0x93, 4), Vector.SS, 0x10);
        check(machine => machine.cpu.setSegment(7, Selector.Tss, TSS, 0, 8, 0x8b), Vector.TS, Selector.Tss);
    });

    it('set the accessed bit of the handler', () => {
        const machine = new TestMachine().protect(0);
        machine.describe(Selector.Code0, 0, 0xfffff, 0x9a, 0xc);
        machine.gate(IDT + 0x40 * 8, Selector.Code0, 0x12345, INTERRUPT_GATE32);
        deliverInterrupt(machine.cpu, 0x40);
        assert.equal(machine.ram.getUint8(GDT + Selector.Code0 + 5), 0x9b);
    });
});

describe('virtual-8086 mode', () => {
    it('is left through the stack of level 0, data segments saved and nulled, and IRETD returns to it', () => {
        const machine = new TestMachine().virtual8086();
        machine.gate(IDT + 0x40 * 8, Selector.Code0, 0x12345, INTERRUPT_GATE32);
        deliverInterrupt(machine.cpu, 0x40);
        assert.deepEqual(machine.stack(0x8fdc, 4, 9), [
            ...[0x100, 0x1000, 0x23002, 0x200, 0x2000],
            ...[0, 0x300, 0x400, 0x500],
        ]);
        assert.ok(!machine.cpu.virtual8086);
        assert.equal(machine.cpu.cpl, 0);
        assert.equal(machine.cpu.selector(3), 0);
        machine.execute(0xcf);
        assert.ok(machine.cpu.virtual8086);
        assert.equal(machine.cpu.cpl, 3);
        assert.deepEqual(machine.hidden(3), { selector: 0x300, base: 0x3000, limit: 0xffff, attributes: 0xf3 });
        assert.deepEqual([machine.rip, machine.rsp], [0x100n, 0x200n]);
        assert.equal(machine.cpu.rflags, 0x23002);
    });

    it('refuses INT n with IOPL below 3', () => {
        new TestMachine().virtual8086(0).expectFault(Vector.GP, 0, 0xcd, 0x21);
    });

    it('can only be left for level 0', () => {
        const machine = new TestMachine().virtual8086();
        machine.gate(IDT + 0x21 * 8, Selector.Code3, 0x12345, USER_TRAP_GATE32);
        machine.expectFault(Vector.GP, 0x18, 0xcd, 0x21);
    });

    const CR4_VME = 1;
    const ALLOWED = 0x200;

    function redirected(iopl: 0 | 3): TestMachine {
        const machine = new TestMachine().virtual8086(iopl);
        machine.cpu.setLo(StateOffset.cr4, CR4_VME);
        machine.poke16(TSS + 0x66, ALLOWED);
        machine.poke32(0x21 * 4, 0x30000456);
        return machine;
    }

    it('redirects INT n to its own vector table with VME and IOPL 3', () => {
        const machine = redirected(3);
        machine.cpu.writeFlags(machine.cpu.rflags | Flag.IF);
        machine.execute(0xcd, 0x21);
        assert.deepEqual(machine.stack(0x201fa, 2, 3), [0x102, 0x1000, 0x3202]);
        assert.deepEqual([machine.rip, machine.hidden(1).base], [0x456n, 0x30000]);
        assert.equal(machine.cpu.rflags & Flag.IF, 0);
        assert.ok(machine.cpu.virtual8086);
    });

    it('shows VIF in place of IF with VME and IOPL below 3', () => {
        const machine = redirected(0);
        machine.cpu.writeFlags(machine.cpu.rflags | Flag.IF | Flag.VIF);
        machine.execute(0xcd, 0x21);
        assert.equal(machine.peek16(0x201fe), 0x3202);
        assert.equal(machine.cpu.rflags & (Flag.IF | Flag.VIF), Flag.IF);
        machine.execute(0xcf);
        assert.equal(machine.cpu.rflags & (Flag.IF | Flag.VIF | Flag.IOPL), Flag.IF | Flag.VIF);
    });

    it('follows the redirection bitmap', () => {
        const machine = redirected(3);
        machine.ram.setUint8(TSS + ALLOWED - 32 + 4, 2);
        machine.gate(IDT + 0x21 * 8, Selector.Code0, 0x12345, USER_TRAP_GATE32);
        machine.execute(0xcd, 0x21);
        assert.equal(machine.rip, 0x12345n);
        const low = redirected(0);
        low.ram.setUint8(TSS + ALLOWED - 32 + 4, 2);
        low.expectFault(Vector.GP, 0, 0xcd, 0x21);
    });
});

describe('events in long mode', () => {
    const HANDLER = 0x12345678n;

    it('align the stack and push SS:RSP always', () => {
        const machine = new TestMachine().enterLongMode(0);
        machine.longGate(IDT + 0x40 * 16, Selector.Code64, HANDLER, INTERRUPT_GATE32);
        machine.cpu.setGpr(4, 0x800b, 0);
        deliverInterrupt(machine.cpu, 0x40);
        assert.equal(machine.rsp, 0x7fd8n);
        assert.deepEqual(machine.stack(0x7fd8, 8, 5), [0x1000, Selector.Code64, 2, 0x800b, Selector.Data0]);
        assert.equal(machine.cpu.selector(2), Selector.Data0);
        machine.execute(0x48, 0xcf);
        assert.deepEqual([machine.rip, machine.rsp], [0x1000n, 0x800bn]);
    });

    it('load a null SS and RSP0 for an inner level', () => {
        const machine = new TestMachine().enterLongMode(3);
        machine.longGate(IDT + 14 * 16, Selector.Code64, HANDLER, INTERRUPT_GATE32);
        machine.catch(() => raisePageFault(7, 0xdeadb000, 0x7fff));
        deliverException(machine.cpu);
        assert.equal(machine.rsp, 0x8fd0n);
        assert.deepEqual(machine.stack(0x8fd0, 8, 6), [
            7,
            0x1000,
            Selector.Code64User,
            0x10002,
            0x8000,
            Selector.Data3,
        ]);
        assert.equal(machine.cpu.selector(2), 0);
        assert.equal(machine.cpu.cpl, 0);
        assert.equal(machine.cpu.get64(StateOffset.cr2), 0x7fffdeadb000n);
        machine.cpu.setGpr(4, 0x8fd8, 0);
        machine.execute(0x48, 0xcf);
        assert.equal(machine.cpu.cpl, 3);
        assert.equal(machine.cpu.selector(2), Selector.Data3);
    });

    it('use the interrupt stack table where the gate says so', () => {
        const machine = new TestMachine().enterLongMode(0);
        machine.longGate(IDT + 2 * 16, Selector.Code64, HANDLER, INTERRUPT_GATE32, 1);
        deliverNmi(machine.cpu);
        assert.equal(machine.rsp, 0xa000n - 40n);
        assert.equal(machine.cpu.lo(StateOffset.nmiBlocked), 1);
        machine.execute(0x48, 0xcf);
        assert.equal(machine.cpu.lo(StateOffset.nmiBlocked), 0);
    });

    it('want a 64-bit handler and a canonical target', () => {
        const machine = new TestMachine().enterLongMode(0);
        machine.longGate(IDT + 0x80 * 16, Selector.Code0, HANDLER, INTERRUPT_GATE32);
        machine.expectFault(Vector.GP, 8, 0xcd, 0x80);
        machine.longGate(IDT + 0x80 * 16, Selector.Code64, 0x8000_0000_0000n, INTERRUPT_GATE32);
        machine.expectFault(Vector.GP, 0, 0xcd, 0x80);
        machine.longGate(IDT + 0x80 * 16, Selector.Code64, HANDLER, 0x85);
        machine.expectFault(Vector.GP, 0x80 * 8 + 2, 0xcd, 0x80);
    });

    it('report a stack pointer that is not canonical as #SS', () => {
        const machine = new TestMachine().enterLongMode(3);
        machine.longGate(IDT + 0x80 * 16, Selector.Code64, HANDLER, USER_TRAP_GATE32);
        machine.poke64(TSS + 4, 0x8000_0000_0000n);
        machine.expectFault(Vector.SS, 0, 0xcd, 0x80);
    });

    it('IRETQ refuses NT and returns that are not canonical', () => {
        const machine = new TestMachine().enterLongMode(0);
        const frame = [0x1000n, 0x28n, 2n, 0x8000n, 0x10n];
        frame.forEach((value, index) => machine.poke64(0x8000 + index * 8, value));
        machine.poke64(0x8000, 0x8000_0000_0000n);
        machine.expectFault(Vector.GP, 0, 0x48, 0xcf);
        machine.poke64(0x8000, 0x1000n);
        machine.cpu.writeFlags(Flag.NT | 2);
        machine.expectFault(Vector.GP, 0, 0x48, 0xcf);
    });

    it('IRETQ accepts a null SS for inner levels only', () => {
        const machine = new TestMachine().enterLongMode(0);
        [0x1000n, 0x28n, 2n, 0x8000n, 0n].forEach((value, index) => machine.poke64(0x8000 + index * 8, value));
        machine.execute(0x48, 0xcf);
        assert.deepEqual([machine.cpu.selector(2), machine.cpu.cpl], [0, 0]);
        [0x1000n, 0x53n, 2n, 0x8000n, 3n].forEach((value, index) => machine.poke64(0x8000 + index * 8, value));
        machine.expectFault(Vector.GP, 0, 0x48, 0xcf);
    });

    it('IRETQ to compatibility mode checks the limit of its code segment', () => {
        const machine = new TestMachine().enterLongMode(0);
        [0x1234n, 0x1bn, 2n, 0x5000n, 0x23n].forEach((value, index) => machine.poke64(0x8000 + index * 8, value));
        machine.execute(0x48, 0xcf);
        assert.ok(machine.cpu.longMode && !machine.cpu.code64);
        assert.deepEqual([machine.rip, machine.rsp, machine.cpu.cpl], [0x1234n, 0x5000n, 3]);
    });
});

describe('faults during delivery', () => {
    it('of contributory pairs become a double fault with error code 0', () => {
        const machine = new TestMachine().protect(0);
        machine.gate(IDT + 8 * 8, Selector.Code0, 0x8888, INTERRUPT_GATE32);
        assert.equal(except(machine, Vector.GP, 0x50), undefined);
        assert.equal(machine.rip, 0x8888n);
        assert.deepEqual(machine.stack(0x7ff0, 4, 3), [0, 0x1000, Selector.Code0]);
    });

    it('after a benign exception are delivered in its place', () => {
        const machine = new TestMachine().protect(0);
        machine.gate(IDT + 11 * 8, Selector.Code0, 0xbbbb, INTERRUPT_GATE32);
        machine.gate(IDT + 6 * 8, Selector.Code0, 0, 0x0e);
        assert.equal(except(machine, Vector.UD), undefined);
        assert.equal(machine.rip, 0xbbbbn);
        assert.equal(machine.peek32(0x7ff0), 6 * 8 + 3);
    });

    it('end in shutdown when the double fault cannot be delivered either, and report the chain', () => {
        const machine = new TestMachine().protect(0);
        machine.catch(() => raisePageFault(2, 0xcafe000, 0));
        const report = deliverException(machine.cpu);
        assert.deepEqual(report?.chain, [
            { vector: 14, errorCode: 2, address: 0xcafe000n },
            { vector: 13, errorCode: 14 * 8 + 3, address: undefined },
            { vector: 8, errorCode: 0, address: undefined },
            { vector: 13, errorCode: 8 * 8 + 3, address: undefined },
        ]);
        assert.deepEqual([report?.cs, report?.rip], [Selector.Code0, 0x1000n]);
        assert.equal(machine.cpu.activity, ActivityState.Shutdown);
        assert.equal(machine.cpu.shutdownReport, report);
    });

    it('come to an end even if a benign exception keeps raising itself', () => {
        const machine = new TestMachine().protect(3);
        // #AC whose handler runs at level 3 on the same misaligned stack.
        machine.gate(IDT + 17 * 8, Selector.Code3, 0x1111, USER_TRAP_GATE32);
        machine.cpu.setLo(StateOffset.cr0, 0x40011);
        machine.cpu.writeFlags(Flag.AC | 2);
        machine.cpu.setGpr32(4, 0x8001);
        assert.ok(except(machine, Vector.AC));
    });
});
