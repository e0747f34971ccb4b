import assert from 'node:assert/strict';
import { raise, Vector } from '../../../../src/machine/cpu/fault';
import { deliverException } from '../../../../src/machine/cpu/interrupts';
import { Flag, StateOffset } from '../../../../src/machine/state';
import { GDT, IDT, Selector, TestMachine, TSS } from './test-machine';

const NEW_TSS = 0x5000;
const NEW = Selector.Free;

/** A second 32-bit task: EIP 2000h, ESP 6000h, its registers 101h, 102h, … */
function twoTasks(): TestMachine {
    const machine = new TestMachine().protect(0);
    machine.describe(NEW, NEW_TSS, 0xfff, 0x89, 0);
    machine.poke32(NEW_TSS + 0x20, 0x2000);
    machine.poke32(NEW_TSS + 0x24, 0x202);
    for (let index = 0; index < 8; index++) machine.poke32(NEW_TSS + 0x28 + index * 4, 0x101 + index);
    machine.poke32(NEW_TSS + 0x38, 0x6000);
    for (let segment = 0; segment < 6; segment++) {
        machine.poke32(NEW_TSS + 0x48 + segment * 4, segment === 1 ? Selector.Code0 : Selector.Data0);
    }
    return machine;
}

const callTask = [0x9a, 0, 0, 0, 0, NEW, 0];
const jumpTask = [0xea, 0, 0, 0, 0, NEW, 0];

function access(machine: TestMachine, selector: number): number {
    return machine.ram.getUint8(GDT + selector + 5);
}

describe('task switches', () => {
    it('by JMP save one task and load the other', () => {
        const machine = twoTasks();
        machine.cpu.setGpr32(0, 0xabcd);
        machine.cpu.writeFlags(0x802);
        machine.execute(...jumpTask);
        assert.deepEqual([machine.rip, machine.rsp, machine.cpu.gpr(0)], [0x2000n, 0x6000n, 0x101]);
        assert.equal(machine.cpu.rflags, 0x202);
        assert.deepEqual([machine.peek32(TSS + 0x20), machine.peek32(TSS + 0x24)], [0x1007, 0x802]);
        assert.deepEqual([machine.peek32(TSS + 0x28), machine.peek32(TSS + 0x38)], [0xabcd, 0x8000]);
        assert.equal(machine.peek16(TSS + 0x4c), Selector.Code0);
        assert.deepEqual([access(machine, Selector.Tss), access(machine, NEW)], [0x89, 0x8b]);
        assert.deepEqual(machine.hidden(7), { selector: NEW, base: NEW_TSS, limit: 0xfff, attributes: 0x8b });
        assert.equal(machine.cpu.cr0 & 8, 8, 'CR0.TS');
    });

    it('by CALL nest, and IRET returns', () => {
        const machine = twoTasks();
        machine.execute(...callTask);
        assert.equal(machine.cpu.rflags, 0x4202);
        assert.equal(machine.peek16(NEW_TSS), Selector.Tss);
        assert.deepEqual([access(machine, Selector.Tss), access(machine, NEW)], [0x8b, 0x8b]);
        machine.execute(0xcf);
        assert.deepEqual([machine.rip, machine.rsp], [0x1007n, 0x8000n]);
        assert.equal(machine.cpu.rflags, 2);
        assert.deepEqual([access(machine, Selector.Tss), access(machine, NEW)], [0x8b, 0x89]);
        assert.deepEqual([machine.peek32(NEW_TSS + 0x20), machine.peek32(NEW_TSS + 0x24)], [0x2001, 0x202]);
    });

    it('through a task gate push the error code on the new stack', () => {
        const machine = twoTasks();
        machine.gate(IDT + 13 * 8, NEW, 0, 0x85);
        machine.catch(() => raise(Vector.GP, 0x50));
        assert.equal(deliverException(machine.cpu), undefined);
        assert.deepEqual([machine.rip, machine.rsp, machine.peek32(0x5ffc)], [0x2000n, 0x5ffcn, 0x50]);
        assert.equal(machine.peek32(TSS + 0x20), 0x1000);
        assert.equal(machine.cpu.rflags & Flag.NT, Flag.NT);
    });

    it('to a 16-bit task', () => {
        const machine = twoTasks();
        machine.describe(NEW, NEW_TSS, 0xfff, 0x81, 0);
        machine.poke16(NEW_TSS + 0x0e, 0x2222);
        machine.poke16(NEW_TSS + 0x10, 2);
        machine.poke16(NEW_TSS + 0x1a, 0x6600);
        [Selector.Data0, Selector.Code0, Selector.Data0, 0].forEach((selector, index) =>
            machine.poke16(NEW_TSS + 0x22 + index * 2, selector),
        );
        machine.poke16(NEW_TSS + 0x2a, 0);
        machine.execute(...jumpTask);
        assert.deepEqual([machine.rip, machine.rsp], [0x2222n, 0x6600n]);
        assert.equal(machine.cpu.selector(3), 0);
    });

    it('to a virtual-8086 task', () => {
        const machine = twoTasks();
        machine.poke32(NEW_TSS + 0x20, 0x300);
        machine.poke32(NEW_TSS + 0x24, 0x20002);
        machine.poke32(NEW_TSS + 0x4c, 0x1234);
        machine.execute(...jumpTask);
        assert.ok(machine.cpu.virtual8086);
        assert.deepEqual([machine.cpu.cpl, machine.hidden(1).base, machine.rip], [3, 0x12340, 0x300n]);
    });

    it('load CR3 under paging', () => {
        const machine = twoTasks();
        machine.poke32(0x20000, 0x83);
        machine.poke32(0x21000, 0x83);
        machine.cpu.setLo(StateOffset.cr4, 0x10);
        machine.cpu.setLo(StateOffset.cr3, 0x20000);
        machine.cpu.setLo(StateOffset.cr0, 0x80000011);
        machine.poke32(NEW_TSS + 0x1c, 0x21000);
        const written: number[][] = [];
        const observer = {
            controlWritten: (_cpu: unknown, ...what: number[]) => written.push(what),
            modeMayHaveChanged: () => undefined,
        };
        Object.assign(machine.cpu.hooks, { observer });
        machine.execute(...jumpTask);
        assert.equal(machine.cpu.cr3Lo, 0x21000);
        assert.deepEqual(written, [[3, 0x20000, 0, 0x21000, 0]]);
        assert.equal(machine.flushes.at(-1), 'all');
    });

    it('refuse a busy task, a TSS that is too small, one that is not present', () => {
        const busy = twoTasks();
        busy.describe(NEW, NEW_TSS, 0xfff, 0x8b, 0);
        busy.expectFault(Vector.GP, NEW, ...jumpTask);
        const small = twoTasks();
        small.describe(NEW, NEW_TSS, 0x66, 0x89, 0);
        small.expectFault(Vector.TS, NEW, ...jumpTask);
        const absent = twoTasks();
        absent.describe(NEW, NEW_TSS, 0xfff, 0x09, 0);
        absent.expectFault(Vector.NP, NEW, ...jumpTask);
    });

    it('raise what is wrong with the new segments in the new task', () => {
        const machine = twoTasks();
        machine.poke32(NEW_TSS + 0x50, Selector.Data3);
        const fault = machine.catch(() => machine.execute(...jumpTask));
        assert.deepEqual([fault.vector, fault.errorCode], [Vector.TS, Selector.Data3 & ~3]);
        assert.equal(machine.rip, 0x2000n);
        assert.equal(machine.cpu.selector(7), NEW);
    });

    it('trap when the T flag of the new TSS is set', () => {
        const machine = twoTasks();
        machine.poke16(NEW_TSS + 0x64, 1);
        machine.execute(...jumpTask);
        assert.equal(machine.cpu.lo(StateOffset.pendingDebug), 0x8000);
    });

    it('trap after INT1 through a task gate, too', () => {
        const machine = twoTasks();
        machine.poke16(NEW_TSS + 0x64, 1);
        machine.gate(IDT + 8, NEW, 0, 0x85);
        machine.execute(0xf1);
        assert.equal(machine.rip, 0x2000n);
        assert.equal(machine.cpu.lo(StateOffset.pendingDebug), 0x8000);
        assert.equal(machine.cpu.lo(StateOffset.dr + 6 * 8) & 0x8000, 0);
    });

    it('do not exist in long mode', () => {
        const machine = new TestMachine().enterLongMode(0);
        machine.describe(NEW, NEW_TSS, 0xfff, 0x89, 0);
        machine.poke32(0x7000, 0);
        machine.poke16(0x7004, NEW);
        machine.cpu.setGpr(0, 0x7000, 0);
        machine.expectFault(Vector.GP, NEW, 0xff, 0x28);
    });
});
