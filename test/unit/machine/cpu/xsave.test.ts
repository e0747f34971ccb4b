import assert from 'node:assert/strict';
import { Vector } from '../../../../src/machine/cpu/fault';
import { StateOffset } from '../../../../src/machine/state';
import { TestMachine } from './test-machine';

const AREA = 0x5000;
const OSFXSR = 0x200;
const OSXSAVE = 0x40000;

function ready(): TestMachine {
    const machine = new TestMachine().enterLongMode(0);
    const { cpu } = machine;
    cpu.setLo(StateOffset.cr4, 0x20 | OSFXSR | OSXSAVE);
    cpu.setLo(StateOffset.xcr0, 3);
    cpu.updateMode();
    cpu.setGpr(3, AREA, 0);
    cpu.setGpr(0, 3, 0);
    cpu.setLo(StateOffset.fcw, 0x37f);
    cpu.bytes.fill(1, StateOffset.fempty, StateOffset.fempty + 8);
    return machine;
}

/** Two values on the x87 stack (TOP 6) and XMM1, XMM15. */
function fill(machine: TestMachine): void {
    const { cpu } = machine;
    cpu.setLo(StateOffset.ftop, 6);
    for (const [register, significand, exponent] of [
        [6, 0x80000001, 0x4001],
        [7, 0x80000002, 0xc002],
    ]) {
        cpu.set(StateOffset.x87 + register * 16, significand, 0x80000000);
        cpu.setLo(StateOffset.x87 + register * 16 + 8, exponent);
        cpu.bytes[StateOffset.fempty + register] = 0;
    }
    cpu.set(StateOffset.fip, 0x11111111, 0x7fff);
    cpu.setLo(StateOffset.fop, 0x5ab);
    cpu.setLo(StateOffset.mxcsr, 0x1fa0);
    cpu.set(StateOffset.vector + 64, 0x12345678, 0x9abcdef0);
    cpu.set(StateOffset.vector + 15 * 64 + 8, 0xcafe, 0);
}

describe('FXSAVE and FXRSTOR', () => {
    it('lay the state out as the manual has it', () => {
        const machine = ready();
        fill(machine);
        machine.execute(0x48, 0x0f, 0xae, 0x03);
        assert.deepEqual([machine.peek16(AREA), machine.peek16(AREA + 2)], [0x37f, 0x3000]);
        assert.deepEqual([machine.ram.getUint8(AREA + 4), machine.peek16(AREA + 6)], [0xc0, 0x5ab]);
        assert.equal(machine.peek64(AREA + 8), 0x7fff11111111n);
        assert.deepEqual([machine.peek32(AREA + 24), machine.peek32(AREA + 28)], [0x1fa0, 0xffff]);
        assert.deepEqual([machine.peek32(AREA + 32), machine.peek16(AREA + 40)], [0x80000001, 0x4001]);
        assert.deepEqual([machine.peek32(AREA + 48), machine.peek16(AREA + 56)], [0x80000002, 0xc002]);
        assert.equal(machine.peek64(AREA + 176), 0x9abcdef012345678n);
        assert.equal(machine.peek32(AREA + 408), 0xcafe);
    });

    it('restore what they saved', () => {
        const machine = ready();
        fill(machine);
        machine.execute(0x48, 0x0f, 0xae, 0x03);
        const { fields } = machine.cpu.save();
        const other = ready();
        new Uint8Array(other.buffer).set(
            new Uint8Array(machine.buffer, machine.ram.byteOffset, 0x6000),
            other.ram.byteOffset,
        );
        other.execute(0x48, 0x0f, 0xae, 0x0b);
        for (const name of ['x87', 'vector', 'fempty', 'ftop', 'fsw', 'fcw', 'fip', 'fop', 'mxcsr']) {
            assert.deepEqual(other.cpu.save().fields[name], fields[name], name);
        }
    });

    it('store selectors instead of upper pointer halves without REX.W', () => {
        const machine = ready();
        machine.cpu.set(StateOffset.fdp, 0x22222222, 0x7fff);
        machine.cpu.setLo(StateOffset.fds, 0x2b);
        machine.execute(0x0f, 0xae, 0x03);
        assert.deepEqual([machine.peek32(AREA + 16), machine.peek32(AREA + 20)], [0x22222222, 0x2b]);
    });

    it('leave XMM8–XMM15 and the unused rest of the area alone outside 64-bit mode', () => {
        const machine = new TestMachine().protect(0);
        machine.cpu.setGpr32(3, AREA);
        new Uint8Array(machine.buffer, machine.ram.byteOffset + AREA, 512).fill(0xee);
        machine.execute(0x0f, 0xae, 0x03);
        assert.deepEqual([machine.peek32(AREA + 284), machine.peek32(AREA + 288)], [0, 0xeeeeeeee]);
    });

    it('fault on misalignment, on TS, and on reserved MXCSR bits', () => {
        const machine = ready();
        machine.poke32(AREA + 24, 0x10000);
        machine.expectFault(Vector.GP, 0, 0x0f, 0xae, 0x0b);
        machine.cpu.setGpr(3, AREA + 8, 0);
        machine.expectFault(Vector.GP, 0, 0x0f, 0xae, 0x03);
        machine.cpu.setLo(StateOffset.cr0, machine.cpu.cr0 | 8);
        machine.expectFault(Vector.NM, 0, 0x0f, 0xae, 0x03);
    });
});

describe('XSAVE family', () => {
    const XSAVE = [0x48, 0x0f, 0xae, 0x23];
    const XRSTOR = [0x48, 0x0f, 0xae, 0x2b];
    const XSAVEOPT = [0x48, 0x0f, 0xae, 0x33];
    const XSAVEC = [0x48, 0x0f, 0xc7, 0x23];
    const BV = AREA + 512;

    it('XSAVE updates only the requested bits of XSTATE_BV', () => {
        const machine = ready();
        fill(machine);
        machine.poke64(BV, 5n);
        machine.cpu.setGpr(0, 2, 0);
        machine.execute(...XSAVE);
        assert.equal(machine.peek64(BV), 7n);
        assert.equal(machine.peek16(AREA), 0);
    });

    it('XSAVE and XSAVEOPT report components in their initial configuration as such', () => {
        for (const operation of [XSAVE, XSAVEOPT]) {
            const machine = ready();
            machine.poke64(BV, 3n);
            machine.execute(...operation);
            assert.equal(machine.peek64(BV), 0n);
            assert.equal(machine.peek16(AREA), operation === XSAVE ? 0x37f : 0);
        }
    });

    it('XSAVEC writes the compacted format, and XRSTOR takes it', () => {
        const machine = ready();
        fill(machine);
        machine.execute(...XSAVEC);
        assert.deepEqual([machine.peek64(BV), machine.peek64(BV + 8)], [3n, (1n << 63n) | 3n]);
        machine.cpu.set(StateOffset.vector + 64, 0, 0);
        machine.cpu.setLo(StateOffset.mxcsr, 0x1f80);
        machine.execute(...XRSTOR);
        assert.equal(machine.cpu.get64(StateOffset.vector + 64), 0x9abcdef012345678n);
        assert.equal(machine.cpu.lo(StateOffset.mxcsr), 0x1fa0);
    });

    it('XRSTOR initializes what was not saved', () => {
        const machine = ready();
        fill(machine);
        machine.poke32(AREA + 24, 0x1f80);
        machine.execute(...XRSTOR);
        assert.equal(machine.cpu.get64(StateOffset.vector + 64), 0n);
        assert.deepEqual([machine.cpu.lo(StateOffset.fcw), machine.cpu.lo(StateOffset.ftop)], [0x37f, 0]);
        assert.equal(machine.cpu.bytes[StateOffset.fempty + 6], 1);
    });

    it('XRSTOR refuses headers that no XSAVE writes', () => {
        const machine = ready();
        for (const [at, value] of [
            [BV, 4n],
            [BV + 8, 1n],
            [BV + 16, 1n],
            [BV + 8, (1n << 63n) | 4n],
        ] as const) {
            const before = machine.peek64(at);
            machine.poke64(at, value);
            machine.expectFault(Vector.GP, 0, ...XRSTOR);
            machine.poke64(at, before);
        }
        machine.execute(...XRSTOR);
    });

    it('are undefined without CR4.OSXSAVE', () => {
        const machine = ready();
        machine.cpu.setLo(StateOffset.cr4, 0x220);
        for (const bytes of [XSAVE, XRSTOR, XSAVEC, [0x0f, 0x01, 0xd0]]) machine.expectFault(Vector.UD, 0, ...bytes);
    });

    it('XSETBV wants x87, and nothing that is not supported', () => {
        const machine = ready();
        const xsetbv = [0x0f, 0x01, 0xd1];
        machine.cpu.setGpr32(2, 0);
        for (const value of [0, 2, 5, 7]) {
            machine.cpu.setGpr(0, value, 0);
            machine.expectFault(Vector.GP, 0, ...xsetbv);
        }
        machine.cpu.setGpr(0, 1, 0);
        machine.execute(...xsetbv);
        machine.execute(0x0f, 0x01, 0xd0);
        assert.equal(machine.cpu.gpr(0), 1);
    });
});
