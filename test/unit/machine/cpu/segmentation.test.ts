import assert from 'node:assert/strict';
import { Vector } from '../../../../src/machine/cpu/fault';
import { Flag, ModeKey, SegmentAttribute, StateOffset } from '../../../../src/machine/state';
import { CODE0, DATA0, FLAT32, GDT, Selector, TestMachine, TSS } from './test-machine';

const FREE = Selector.Free;
const CR4_UMIP = 0x800;

/** MOV DS,AX and MOV SS,AX. */
const MOV_DS = [0x8e, 0xd8];
const MOV_SS = [0x8e, 0xd0];

function withAx(machine: TestMachine, selector: number): TestMachine {
    machine.cpu.setGpr32(0, selector);
    return machine;
}

describe('segment registers', () => {
    it('in real mode get a new base and keep their limit', () => {
        const machine = withAx(new TestMachine().realMode(), 0x1234);
        machine.load(3, 0, 0, 0xffffffff, DATA0, 8);
        machine.execute(...MOV_DS);
        const { base, limit } = machine.hidden(3);
        assert.deepEqual([base, limit], [0x12340, 0xffffffff]);
    });

    it('in protected mode come from the GDT or LDT and are marked accessed', () => {
        const machine = withAx(new TestMachine().protect(0), FREE);
        machine.describe(FREE, 0x12345678, 0xabcde, DATA0 & ~1, 4);
        machine.execute(...MOV_DS);
        assert.deepEqual(machine.hidden(3), { selector: FREE, base: 0x12345678, limit: 0xabcde, attributes: 0x4093 });
        assert.equal(machine.ram.getUint8(GDT + FREE + 5), DATA0);
        machine.cpu.setSegment(6, 0x48, 0x7000, 0, 0xf, 0x82);
        machine.describe(8, 0x100, 0xff, DATA0, FLAT32, 0x7000);
        withAx(machine, 0xc).execute(...MOV_DS);
        assert.deepEqual(machine.hidden(3), { selector: 0xc, base: 0x100, limit: 0xfffff, attributes: 0xc093 });
        withAx(machine, 0x14).expectFault(Vector.GP, 0x14, ...MOV_DS);
    });

    it('check type, privilege and presence', () => {
        const attempt = (cpl: 0 | 3, access: number, rpl: number, vector: Vector): void => {
            const machine = withAx(new TestMachine().protect(cpl), FREE | rpl);
            machine.describe(FREE, 0, 0xfffff, access, FLAT32);
            machine.expectFault(vector, FREE, ...MOV_DS);
        };
        attempt(0, 0x99, 0, Vector.GP); // execute-only code
        attempt(0, 0x82, 0, Vector.GP); // LDT
        attempt(3, DATA0, 0, Vector.GP);
        attempt(0, DATA0, 3, Vector.GP);
        attempt(0, 0x13, 0, Vector.NP);
        withAx(new TestMachine().protect(0), 0x2000).expectFault(Vector.GP, 0x2000, ...MOV_DS);
    });

    it('let conforming code through at any privilege', () => {
        const machine = withAx(new TestMachine().protect(3), FREE | 3);
        machine.describe(FREE, 0, 0xfffff, 0x9f, FLAT32);
        machine.execute(...MOV_DS);
        assert.equal(machine.cpu.selector(3), FREE | 3);
    });

    it('become unusable with a null selector', () => {
        const machine = withAx(new TestMachine().protect(0), 3);
        machine.execute(...MOV_DS);
        assert.equal(machine.hidden(3).attributes, SegmentAttribute.Unusable);
        machine.cpu.setGpr32(3, 0x100);
        machine.expectFault(Vector.GP, 0, 0x0f, 0x01, 0x13); // LGDT [EBX]
        assert.equal(machine.cpu.mode & ModeKey.Flat, 0);
    });

    it('SS wants writable data of exactly CPL', () => {
        const attempt = (access: number, selector: number, vector: Vector, code: number): void => {
            const machine = withAx(new TestMachine().protect(0), selector);
            machine.describe(FREE, 0, 0xfffff, access, FLAT32);
            machine.expectFault(vector, code, ...MOV_SS);
        };
        attempt(DATA0, 0, Vector.GP, 0);
        attempt(0x91, FREE, Vector.GP, FREE);
        attempt(CODE0, FREE, Vector.GP, FREE);
        attempt(DATA0, FREE | 3, Vector.GP, FREE);
        attempt(0xf3, FREE, Vector.GP, FREE);
        attempt(0x13, FREE, Vector.SS, FREE);
    });

    it('SS may be null in 64-bit mode inside level 3', () => {
        const machine = withAx(new TestMachine().enterLongMode(0), 0);
        machine.execute(...MOV_SS);
        assert.equal(machine.cpu.cpl, 0);
        withAx(new TestMachine().enterLongMode(3), 3).expectFault(Vector.GP, 0, ...MOV_SS);
    });

    it('SS casts a shadow', () => {
        const machine = withAx(new TestMachine().protect(0), Selector.Data0);
        machine.execute(...MOV_SS);
        assert.equal(machine.cpu.lo(StateOffset.interruptShadow), 2);
    });

    it('are popped without moving the stack on a fault', () => {
        const machine = new TestMachine().protect(0);
        machine.poke32(0x8000, 0x2000);
        machine.expectFault(Vector.GP, 0x2000, 0x1f);
        machine.poke32(0x8000, Selector.Data3);
        machine.execute(0x1f);
        assert.deepEqual([machine.cpu.selector(3), machine.rsp], [Selector.Data3, 0x8004n]);
    });

    it('are loaded with a pointer by LDS and LSS', () => {
        const machine = new TestMachine().protect(0);
        machine.cpu.setGpr32(3, 0x7000);
        machine.poke32(0x7000, 0xcafebabe);
        machine.poke16(0x7004, Selector.Data3);
        machine.execute(0xc5, 0x03);
        assert.deepEqual([machine.cpu.gpr(0), machine.cpu.selector(3)], [0xcafebabe, Selector.Data3]);
    });

    it('have limits, expand-down ones inverted', () => {
        const machine = new TestMachine().protect(0);
        const store = [0x0f, 0x01, 0x03]; // SGDT [EBX], 6 bytes
        machine.load(3, FREE, 0, 0xfff, 0x93, 4);
        machine.cpu.setGpr32(3, 0xffb);
        machine.expectFault(Vector.GP, 0, ...store);
        machine.cpu.setGpr32(3, 0xffa);
        machine.execute(...store);
        machine.load(3, FREE, 0, 0xfff, 0x97, 4);
        machine.cpu.setGpr32(3, 0xfff);
        machine.expectFault(Vector.GP, 0, ...store);
        machine.cpu.setGpr32(3, 0x1000);
        machine.execute(...store);
        machine.load(3, FREE, 0, 0xfff, 0x97, 0);
        machine.cpu.setGpr32(3, 0xfffb);
        machine.expectFault(Vector.GP, 0, ...store);
    });

    it('raise #SS where SS is the segment', () => {
        const machine = new TestMachine().protect(0);
        machine.load(2, FREE, 0, 0xfff, 0x93, 4);
        machine.cpu.setGpr32(5, 0x1000);
        machine.expectFault(Vector.SS, 0, 0x0f, 0x01, 0x45, 0x00); // SGDT [EBP]
    });

    it('raise #AC for misaligned user accesses', () => {
        const machine = new TestMachine().protect(3);
        machine.cpu.setLo(StateOffset.cr0, 0x40011);
        machine.cpu.writeFlags(Flag.AC | 2);
        machine.cpu.setGpr32(4, 0x8002);
        machine.expectFault(Vector.AC, 0, 0x1f);
    });
});

describe('system segments', () => {
    it('LLDT loads an LDT from the GDT', () => {
        const machine = withAx(new TestMachine().protect(0), FREE);
        machine.describe(FREE, 0x7000, 0xff, 0x82, 0);
        machine.execute(0x0f, 0x00, 0xd0);
        assert.deepEqual(machine.hidden(6), { selector: FREE, base: 0x7000, limit: 0xff, attributes: 0x82 });
        machine.execute(0x0f, 0x00, 0xc3); // SLDT EBX
        assert.equal(machine.cpu.gpr(3), FREE);
        machine.describe(FREE, 0x7000, 0xff, 0x02, 0);
        machine.expectFault(Vector.NP, FREE, 0x0f, 0x00, 0xd0);
        withAx(machine, FREE | 4).expectFault(Vector.GP, FREE | 4, 0x0f, 0x00, 0xd0);
        withAx(machine, Selector.Data0).expectFault(Vector.GP, Selector.Data0, 0x0f, 0x00, 0xd0);
        withAx(machine, 0).execute(0x0f, 0x00, 0xd0);
        assert.equal(machine.hidden(6).attributes, SegmentAttribute.Unusable);
    });

    it('LTR loads an available TSS and marks it busy', () => {
        const machine = withAx(new TestMachine().protect(0), FREE);
        machine.describe(FREE, 0x7000, 0xff, 0x89, 0);
        machine.execute(0x0f, 0x00, 0xd8);
        assert.deepEqual(machine.hidden(7), { selector: FREE, base: 0x7000, limit: 0xff, attributes: 0x8b });
        assert.equal(machine.ram.getUint8(GDT + FREE + 5), 0x8b);
        machine.expectFault(Vector.GP, FREE, 0x0f, 0x00, 0xd8);
        withAx(machine, 0).expectFault(Vector.GP, 0, 0x0f, 0x00, 0xd8);
    });

    it('take 16 bytes in long mode', () => {
        const machine = withAx(new TestMachine().enterLongMode(0), FREE);
        machine.describe(FREE, 0x89abcdef, 0xff, 0x89, 0);
        machine.poke64(GDT + FREE + 8, 0xffffffffn);
        machine.execute(0x0f, 0x00, 0xd8);
        assert.deepEqual([machine.cpu.segmentBase(7), machine.cpu.segmentBaseHi(7)], [0x89abcdef, 0xffffffff]);
        machine.describe(FREE, 0, 0xff, 0x81, 0);
        machine.expectFault(Vector.GP, FREE, 0x0f, 0x00, 0xd8);
        machine.describe(FREE, 0, 0xff, 0x89, 0);
        machine.poke64(GDT + FREE + 8, 0x0100_0000n);
        machine.expectFault(Vector.GP, FREE, 0x0f, 0x00, 0xd8);
    });

    it('LGDT and LIDT want level 0; SGDT and SLDT respect UMIP', () => {
        const machine = new TestMachine().protect(3);
        machine.cpu.setGpr32(3, 0x7000);
        machine.expectFault(Vector.GP, 0, 0x0f, 0x01, 0x13);
        machine.execute(0x0f, 0x01, 0x03);
        assert.deepEqual([machine.peek16(0x7000), machine.peek32(0x7002)], [0xfff, GDT]);
        machine.cpu.setLo(StateOffset.cr4, CR4_UMIP);
        for (const bytes of [
            [0x0f, 0x01, 0x03],
            [0x0f, 0x01, 0x0b],
            [0x0f, 0x00, 0xc0],
            [0x0f, 0x00, 0xc8],
            [0x0f, 0x01, 0xe0],
        ]) {
            machine.expectFault(Vector.GP, 0, ...bytes);
        }
    });

    it('LGDT takes 24 bits of base with a 16-bit operand, 64 in 64-bit mode', () => {
        const machine = new TestMachine().protect(0);
        machine.cpu.setGpr32(3, 0x7000);
        machine.poke16(0x7000, 0x7f);
        machine.poke64(0x7002, 0xffff888012345678n);
        machine.execute(0x66, 0x0f, 0x01, 0x13);
        assert.deepEqual(
            [machine.cpu.lo(StateOffset.gdtrBase), machine.cpu.lo(StateOffset.gdtrLimit)],
            [0x345678, 0x7f],
        );
        const long = new TestMachine().enterLongMode(0);
        long.cpu.setGpr(3, 0x7000, 0);
        long.poke64(0x7002, 0xffff888012345678n);
        long.execute(0x0f, 0x01, 0x1b);
        assert.equal(long.cpu.get64(StateOffset.idtrBase), 0xffff888012345678n);
        long.poke64(0x7002, 0x0188_8801_2345_6780n);
        long.expectFault(Vector.GP, 0, 0x0f, 0x01, 0x1b);
    });
});

describe('LAR, LSL, VERR, VERW, ARPL', () => {
    const zero = (machine: TestMachine): boolean => (machine.cpu.rflags & Flag.ZF) !== 0;

    it('report access rights and limits of what is visible', () => {
        const machine = withAx(new TestMachine().protect(0), Selector.Data0);
        machine.execute(0x0f, 0x02, 0xc8); // LAR ECX,EAX
        assert.deepEqual([machine.cpu.gpr(1), zero(machine)], [0xcf9300, true]);
        machine.execute(0x0f, 0x03, 0xd0); // LSL EDX,EAX
        assert.equal(machine.cpu.gpr(2), 0xffffffff);
        withAx(machine, Selector.Tss).execute(0x0f, 0x03, 0xd0);
        assert.equal(machine.cpu.gpr(2), 0xfff);
        const user = withAx(new TestMachine().protect(3), Selector.Data0);
        user.cpu.setGpr32(1, 5);
        user.execute(0x0f, 0x02, 0xc8);
        assert.deepEqual([user.cpu.gpr(1), zero(user)], [5, false]);
    });

    it('refuse types that have no rights or no limit', () => {
        const machine = withAx(new TestMachine().protect(0), FREE);
        machine.gate(GDT + FREE, Selector.Code0, 0, 0x8c);
        machine.execute(0x0f, 0x02, 0xc8);
        assert.ok(zero(machine));
        machine.execute(0x0f, 0x03, 0xc8);
        assert.ok(!zero(machine));
        machine.gate(GDT + FREE, Selector.Code0, 0, 0x8e);
        machine.execute(0x0f, 0x02, 0xc8);
        assert.ok(!zero(machine));
    });

    it('verify for reading and writing', () => {
        const machine = new TestMachine().protect(0);
        const verify = (access: number, operation: number): boolean => {
            machine.describe(FREE, 0, 0xfffff, access, FLAT32);
            withAx(machine, FREE).execute(0x0f, 0x00, operation);
            return zero(machine);
        };
        const VERR = 0xe0;
        const VERW = 0xe8;
        assert.deepEqual([verify(0x91, VERR), verify(0x91, VERW), verify(0x93, VERW)], [true, false, true]);
        assert.deepEqual([verify(0x99, VERR), verify(0x9b, VERR), verify(0x9b, VERW)], [false, true, false]);
        assert.ok(!verify(0x82, VERR));
    });

    it('ARPL raises an RPL', () => {
        const machine = withAx(new TestMachine().protect(0), 0x10);
        machine.cpu.setGpr32(1, 3);
        machine.execute(0x63, 0xc8);
        assert.deepEqual([machine.cpu.gpr(0), zero(machine)], [0x13, true]);
        machine.execute(0x63, 0xc8);
        assert.ok(!zero(machine));
    });
});

describe('mode key', () => {
    it('tells code size, stack size, privilege and flatness', () => {
        const machine = new TestMachine().protect(0);
        const { cpu } = machine;
        assert.equal(
            cpu.mode & (ModeKey.CodeSizeMask | (3 << ModeKey.StackSizeShift)),
            1 | (1 << ModeKey.StackSizeShift),
        );
        assert.ok(cpu.mode & ModeKey.Flat && cpu.mode & ModeKey.FlatCode && cpu.mode & ModeKey.Protected);
        machine.setFlat(3);
        assert.equal((cpu.mode >> ModeKey.CplShift) & 3, 3);
        machine.load(0, FREE, 0x10, 0xffffffff, 0xf3, FLAT32);
        assert.equal(cpu.mode & ModeKey.Flat, 0);
        const long = new TestMachine().enterLongMode(0).cpu;
        assert.equal(long.mode & ModeKey.CodeSizeMask, 2);
        assert.ok(long.mode & ModeKey.Long);
        assert.ok(new TestMachine().virtual8086().cpu.mode & ModeKey.Virtual8086);
    });

    it('selects the soft TLB by privilege, SMAP and AC', () => {
        const machine = new TestMachine().enterLongMode(0);
        const { cpu } = machine;
        const tables = (): number => (cpu.lo(StateOffset.tlb) - 0x1000) / 0x8000;
        assert.equal(tables(), 0);
        cpu.setLo(StateOffset.cr4, cpu.cr4 | 0x200000);
        cpu.updateMode();
        assert.equal(tables(), 1);
        machine.execute(0x0f, 0x01, 0xcb); // STAC
        assert.equal(tables(), 0);
        machine.execute(0x0f, 0x01, 0xca); // CLAC
        assert.equal(tables(), 1);
        assert.equal(new TestMachine().enterLongMode(3).cpu.lo(StateOffset.tlb), 0x1000 + 2 * 0x8000);
    });

    it('tells whether x87 and SSE are usable and alignment is checked', () => {
        const machine = new TestMachine().protect(3);
        const { cpu } = machine;
        assert.ok(cpu.mode & ModeKey.X87Usable && !(cpu.mode & ModeKey.SseUsable));
        cpu.setLo(StateOffset.cr4, 0x200);
        cpu.updateMode();
        assert.ok(cpu.mode & ModeKey.SseUsable);
        cpu.setLo(StateOffset.cr0, 0x40011 | 8);
        cpu.writeFlags(Flag.AC | 2);
        assert.equal(cpu.mode & (ModeKey.X87Usable | ModeKey.SseUsable), 0);
        assert.ok(cpu.mode & ModeKey.AlignmentCheck);
        assert.equal(machine.hidden(7).base, TSS);
    });
});
