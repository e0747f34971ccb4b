import assert from 'node:assert/strict';
import { Vector } from '../../../../src/machine/cpu/fault';
import { StateOffset } from '../../../../src/machine/state';
import { CODE0, CODE3, FLAT32, FLAT64, Selector, TestMachine, TSS } from './test-machine';

const TARGET = 0x60;
const GATE = Selector.Free | 3;

function jump(selector: number, offset: number): number[] {
    return [
        0xea,
        offset & 255,
        (offset >> 8) & 255,
        (offset >> 16) & 255,
        offset >>> 24,
        selector & 255,
        selector >> 8,
    ];
}

function call(selector: number, offset: number): number[] {
    return [0x9a, ...jump(selector, offset).slice(1)];
}

describe('far JMP and CALL', () => {
    it('in real mode set CS to the selector', () => {
        const machine = new TestMachine().realMode();
        machine.execute(0x9a, 0x78, 0x56, 0x34, 0x12);
        assert.deepEqual([machine.rip, machine.hidden(1).base], [0x5678n, 0x12340]);
        assert.deepEqual(machine.stack(0x7bfc, 2, 2), [0x105, 0]);
        machine.execute(0xcb);
        assert.deepEqual([machine.rip, machine.hidden(1).base, machine.rsp], [0x105n, 0, 0x7c00n]);
    });

    it('within a privilege level load the code segment and mark it accessed', () => {
        const machine = new TestMachine().protect(0);
        machine.describe(TARGET, 0x100, 0xffff, CODE0 & ~1, 4);
        machine.execute(...call(TARGET, 0x2000));
        assert.deepEqual(machine.hidden(1), { selector: TARGET, base: 0x100, limit: 0xffff, attributes: 0x409b });
        assert.deepEqual(machine.stack(0x7ff8, 4, 2), [0x1007, Selector.Code0]);
        machine.execute(0xca, 8, 0);
        assert.deepEqual([machine.rip, machine.rsp], [0x1007n, 0x8008n]);
    });

    it('check type, privilege, presence and limit', () => {
        const machine = new TestMachine().protect(0);
        machine.expectFault(Vector.GP, 0, ...jump(0, 0));
        machine.expectFault(Vector.GP, 0x2000, ...jump(0x2000, 0));
        machine.expectFault(Vector.GP, Selector.Data0, ...jump(Selector.Data0, 0));
        machine.expectFault(Vector.GP, Selector.Code3 & ~3, ...jump(Selector.Code3, 0));
        machine.describe(TARGET, 0, 0xfffff, 0x1b, FLAT32);
        machine.expectFault(Vector.NP, TARGET, ...jump(TARGET, 0));
        machine.describe(TARGET, 0, 0xfff, CODE0, 4);
        machine.expectFault(Vector.GP, 0, ...jump(TARGET, 0x1000));
        machine.expectFault(Vector.GP, 0, ...call(TARGET, 0x1000));
    });

    it('reach conforming code of an inner level without changing CPL', () => {
        const machine = new TestMachine().protect(3);
        machine.describe(TARGET, 0, 0xfffff, 0x9f, FLAT32);
        machine.execute(...jump(TARGET, 0x2000));
        assert.deepEqual([machine.cpu.selector(1), machine.cpu.cpl], [TARGET | 3, 3]);
    });

    it('enter and leave 64-bit code', () => {
        const machine = new TestMachine().enterLongMode(0);
        machine.poke32(0x7000, 0x2000);
        machine.poke16(0x7004, Selector.Code0);
        machine.cpu.setGpr(0, 0x7000, 0);
        machine.execute(0xff, 0x28);
        assert.ok(!machine.cpu.code64 && machine.cpu.longMode);
        machine.execute(...jump(Selector.Code64, 0x3000));
        assert.ok(machine.cpu.code64);
        machine.describe(TARGET, 0, 0xfffff, CODE0, FLAT64 | 4);
        machine.poke16(0x7004, TARGET);
        machine.expectFault(Vector.GP, TARGET, 0xff, 0x28);
    });
});

describe('call gates', () => {
    it('switch stacks, copy parameters, and RETF goes back', () => {
        const machine = new TestMachine().protect(3);
        machine.gate(0x1000 + Selector.Free, Selector.Code0, 0x4321, 0xec, 2);
        machine.poke32(0x8000, 0x11111111);
        machine.poke32(0x8004, 0x22222222);
        machine.execute(...call(GATE, 0xdead));
        assert.deepEqual([machine.rip, machine.cpu.cpl, machine.rsp], [0x4321n, 0, 0x8fe8n]);
        assert.deepEqual(machine.stack(0x8fe8, 4, 6), [
            ...[0x1007, Selector.Code3, 0x11111111, 0x22222222],
            ...[0x8000, Selector.Data3],
        ]);
        machine.load(0, Selector.Data0, 0, 0xffffffff, 0x93, FLAT32);
        machine.execute(0xca, 8, 0);
        assert.deepEqual([machine.rip, machine.rsp, machine.cpu.cpl], [0x1007n, 0x8008n, 3]);
        assert.equal(machine.cpu.selector(0), 0, 'ES was of an inner level');
        assert.equal(machine.cpu.selector(3), Selector.Data3);
    });

    it('of 16 bits push words', () => {
        const machine = new TestMachine().protect(3);
        machine.gate(0x1000 + Selector.Free, Selector.Code0, 0x4321, 0xe4, 1);
        machine.poke16(0x8000, 0x1111);
        machine.execute(...call(GATE, 0));
        assert.deepEqual(machine.stack(0x8ff6, 2, 5), [0x1007, Selector.Code3, 0x1111, 0x8000, Selector.Data3]);
    });

    it('of 64 bits load a null SS', () => {
        const machine = new TestMachine().enterLongMode(3);
        machine.longGate(0x1000 + Selector.Free, Selector.Code64, 0x4321n, 0xec);
        machine.poke32(0x7000, 0);
        machine.poke16(0x7004, GATE);
        machine.cpu.setGpr(0, 0x7000, 0);
        machine.execute(0xff, 0x18);
        assert.deepEqual([machine.rip, machine.cpu.cpl, machine.cpu.selector(2)], [0x4321n, 0, 0]);
        assert.deepEqual(machine.stack(0x8fe0, 8, 4), [0x1002, Selector.Code64User, 0x8000, Selector.Data3]);
        machine.execute(0x48, 0xcb);
        assert.deepEqual([machine.rip, machine.rsp, machine.cpu.cpl], [0x1002n, 0x8000n, 3]);
    });

    it('check privilege of the gate, its target and the inner stack', () => {
        const machine = new TestMachine().protect(3);
        machine.gate(0x1000 + Selector.Free, Selector.Code0, 0x4321, 0x8c);
        machine.expectFault(Vector.GP, Selector.Free, ...call(GATE, 0));
        machine.gate(0x1000 + Selector.Free, Selector.Code0, 0x4321, 0x6c);
        machine.expectFault(Vector.NP, Selector.Free, ...call(GATE, 0));
        machine.gate(0x1000 + Selector.Free, Selector.Data0, 0x4321, 0xec);
        machine.expectFault(Vector.GP, Selector.Data0, ...call(GATE, 0));
        machine.gate(0x1000 + Selector.Free, Selector.Code0, 0x4321, 0xec);
        machine.expectFault(Vector.GP, Selector.Code0, ...jump(GATE, 0));
        machine.poke32(TSS + 8, Selector.Code0);
        machine.expectFault(Vector.TS, Selector.Code0, ...call(GATE, 0));
    });
});

describe('RETF', () => {
    it('checks the return segment', () => {
        const machine = new TestMachine().protect(3);
        const attempt = (selector: number, vector: Vector, code: number): void => {
            machine.poke32(0x8000, 0x2000);
            machine.poke32(0x8004, selector);
            machine.poke32(0x8008, 0x7000);
            machine.poke32(0x800c, Selector.Data3);
            machine.expectFault(vector, code, 0xcb);
        };
        attempt(0, Vector.GP, 0);
        attempt(Selector.Code0, Vector.GP, Selector.Code0);
        attempt(Selector.Data3, Vector.GP, Selector.Data3 & ~3);
        machine.describe(TARGET, 0, 0xfffff, CODE3 & ~0x80, FLAT32);
        attempt(TARGET | 3, Vector.NP, TARGET);
    });

    it('to an outer level checks the popped stack', () => {
        const machine = new TestMachine().protect(0);
        machine.poke32(0x8000, 0x2000);
        machine.poke32(0x8004, Selector.Code3);
        machine.poke32(0x8008, 0x7000);
        machine.poke32(0x800c, Selector.Data0);
        machine.expectFault(Vector.GP, Selector.Data0, 0xcb);
        machine.poke32(0x800c, 0);
        machine.expectFault(Vector.GP, 0, 0xcb);
        machine.poke32(0x800c, Selector.Data3);
        machine.execute(0xcb);
        assert.deepEqual([machine.rip, machine.rsp, machine.cpu.cpl], [0x2000n, 0x7000n, 3]);
        assert.equal(machine.cpu.lo(StateOffset.tlb) - 0x1000, 2 * 0x8000);
    });
});
