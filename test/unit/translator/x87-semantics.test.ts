import assert from 'node:assert/strict';
import { Attribute, type CodeSize, decode, type Instruction, ROWS, type Row, Segment } from '../../../src/isa/x86';
import { ModeKey, StateOffset } from '../../../src/machine/state';
import { verifyIr } from '../../../src/translator/ir/verify';
import { HandlerContext } from '../../../src/translator/lift/handler-context';
import { RegionContext } from '../../../src/translator/lift/region-context';
import { x87Helpers, x87Semantics } from '../../../src/translator/lift/x87';
import { generateRow, SLOT } from '../../differential/decoder/generate';
import { Random } from '../../support/random';
import { Fault, Mode, X87Machine } from './x87-machine';

const X87_ROWS = ROWS.filter(({ attributes }) => (attributes & Attribute.X87) !== 0);

const FLD1 = [0xd9, 0xe8];
const FLDZ = [0xd9, 0xee];
const FDIVP = [0xde, 0xf9];
const FNOP = [0xd9, 0xd0];
const FWAIT = [0x9b];
const FNINIT = [0xdb, 0xe3];
const FNCLEX = [0xdb, 0xe2];
const FNSTSW_AX = [0xdf, 0xe0];

const MF = 16;
const NM = 7;
const PF = 14;
const GP = 13;

const CR0_MP = 2;
const CR0_TS = 8;
const CR0_NE = 0x20;

/** A machine after FNINIT. */
function initialized(): X87Machine {
    const machine = new X87Machine();
    machine.run(FNINIT);
    return machine;
}

/** A machine that has just divided one by zero with ZE unmasked. */
function withPendingException(): X87Machine {
    const machine = initialized();
    loadControlWord(machine, 0x37b);
    machine.run(FLD1);
    machine.run(FLDZ);
    machine.run(FDIVP);
    return machine;
}

/** FLDCW [0x10]. */
function loadControlWord(machine: X87Machine, value: number): void {
    new DataView(machine.guest(0, 0x20).buffer, machine.guest(0, 0x20).byteOffset).setUint16(0x10, value, true);
    machine.run([0xd9, 0x2c, 0x25, 0x10, 0, 0, 0]);
}

/** An instruction with operand [disp32] in 64-bit mode. */
function absolute(opcode: number, reg: number, address: number): number[] {
    return [opcode, (reg << 3) | 4, 0x25, address & 0xff, (address >> 8) & 0xff, 0, 0];
}

function assertFault(vector: number, run: () => void): void {
    assert.throws(run, error => error instanceof Fault && error.vector === vector);
}

function words(machine: X87Machine, address: number, size: 2 | 4, count: number): string[] {
    const bytes = machine.guest(address, size * count);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    return Array.from({ length: count }, (_, i) =>
        (size === 2 ? view.getUint16(2 * i, true) : view.getUint32(4 * i, true)).toString(16),
    );
}

describe('semantics of x87 instructions', () => {
    it('are there for every row of the table that is not a system operation', () => {
        const missing = X87_ROWS.filter(
            row => (row.attributes & Attribute.System) === 0 && !Object.hasOwn(x87Semantics, row.mnemonic),
        );
        assert.deepEqual(
            missing.map(row => `${row.opcode} ${row.mnemonic}`),
            [],
        );
    });

    it('belong to a row of the table', () => {
        const mnemonics = new Set(X87_ROWS.map(row => row.mnemonic));
        assert.deepEqual(
            Object.keys(x87Semantics).filter(mnemonic => !mnemonics.has(mnemonic)),
            [],
        );
    });

    it('become well-formed IR in every mode, for the interpreter and for regions, with helpers that exist', () => {
        const random = new Random(1);
        const helpers = x87Helpers(new WebAssembly.Memory({ initial: 1 }));
        const broken = new Set<string>();
        const lifted = new Set<Row>();
        for (const codeSize of [16, 32, 64] as const) {
            for (const instruction of X87_ROWS.flatMap(row => instancesOf(row, codeSize, random))) {
                lifted.add(instruction.row);
                for (const mode of modesOf(codeSize)) {
                    for (const context of [liftForHandler(instruction, mode), liftForRegion(instruction, mode)]) {
                        const { ir } = context.ir;
                        const name = `${instruction.row.opcode} ${instruction.row.mnemonic}, ${context.constructor.name}`;
                        verifyIr(ir).forEach(({ message }) => broken.add(`${name}: ${message}`));
                        ir.helpers
                            .filter(helper => helper.name.startsWith('x87') && !Object.hasOwn(helpers, helper.name))
                            .forEach(helper => broken.add(`${name}: no helper ${helper.name}`));
                    }
                }
            }
        }
        assert.deepEqual([...broken], []);
        assert.equal(lifted.size, X87_ROWS.length);
    });
});

function instancesOf(row: Row, codeSize: CodeSize, random: Random): Instruction[] {
    const bytes = new Uint8Array(SLOT);
    const instances: Instruction[] = [];
    for (let attempt = 0; attempt < 12; attempt++) {
        generateRow(random, row, codeSize, bytes, 0);
        const instruction = decode(bytes, 0, SLOT, codeSize);
        if (typeof instruction !== 'number' && instruction.row === row) {
            instances.push(instruction);
        }
    }
    return instances;
}

function modesOf(codeSize: CodeSize): number[] {
    switch (codeSize) {
        case 16:
            return [Mode.real, Mode.virtual8086, Mode.protected16];
        case 32:
            return [Mode.protected32, Mode.protected32 & ~ModeKey.Flat, Mode.protected32 & ~ModeKey.X87Usable];
        default:
            return [Mode.long];
    }
}

function liftForHandler(instruction: Instruction, mode: number): HandlerContext {
    const context = new HandlerContext(mode);
    context.begin(instruction);
    x87Semantics[instruction.row.mnemonic](context);
    context.finish();
    return context;
}

function liftForRegion(instruction: Instruction, mode: number): RegionContext {
    const context = new RegionContext(mode);
    context.beginAt(instruction, 0x123, 0);
    x87Semantics[instruction.row.mnemonic](context);
    context.flushFlags();
    return context;
}

describe('a pending x87 exception', () => {
    it('is raised by the next waiting instruction, which does nothing', () => {
        const machine = withPendingException();
        const before = machine.snapshot();
        for (const code of [FLD1, FNOP, FWAIT, absolute(0xdd, 3, 0x100), absolute(0xd9, 5, 0x10)]) {
            assertFault(MF, () => machine.run(code));
        }
        assert.deepEqual(machine.snapshot(), before);
    });

    it('is of no concern to instructions that do not wait', () => {
        const machine = withPendingException();
        machine.run(FNSTSW_AX);
        assert.equal(machine.state16(0) & 0x8084, 0x8084);
        machine.run(absolute(0xd9, 7, 0x100));
        machine.run(FNCLEX);
        machine.run(FWAIT);
        machine.run(FLD1);
        assert.equal(machine.state32(StateOffset.fsw) & 0x80ff, 0);
    });

    it('asserts FERR# instead while CR0.NE is clear', () => {
        const machine = withPendingException();
        machine.setState32(StateOffset.cr0, machine.state32(StateOffset.cr0) & ~CR0_NE);
        machine.run(FNOP);
        assert.equal(machine.ferr, 1);
        machine.run(FNSTSW_AX);
        assert.equal(machine.ferr, 1);
    });

    it('comes and goes with the masks that FLDCW loads', () => {
        const machine = initialized();
        machine.run(FLD1);
        machine.run(FLDZ);
        machine.run(FDIVP);
        loadControlWord(machine, 0x37b);
        assertFault(MF, () => machine.run(FWAIT));
        machine.run(absolute(0xd9, 6, 0x100)); // FNSTENV masks everything
        machine.run(FWAIT);
    });
});

describe('FWAIT', () => {
    const unusable = Mode.protected32 & ~ModeKey.X87Usable;

    it('raises #NM only if both CR0.MP and CR0.TS are set', () => {
        const machine = initialized();
        for (const bits of [0, CR0_MP, CR0_TS]) {
            machine.setState32(StateOffset.cr0, CR0_NE | bits);
            machine.run(FWAIT, unusable);
        }
        machine.setState32(StateOffset.cr0, CR0_NE | CR0_MP | CR0_TS);
        assertFault(NM, () => machine.run(FWAIT, unusable));
    });
});

describe('an x87 access that faults', () => {
    const LIMIT = 0x1000;

    for (const [name, opcode, reg, size] of [
        ['FLD m32', 0xd9, 0, 4],
        ['FLD m80', 0xdb, 5, 10],
        ['FADD m64', 0xdc, 0, 8],
        ['FSTP m32', 0xd9, 3, 4],
        ['FSTP m64', 0xdd, 3, 8],
        ['FSTP m80', 0xdb, 7, 10],
        ['FISTTP m16', 0xdf, 1, 2],
        ['FBSTP', 0xdf, 6, 10],
        ['FNSTENV', 0xd9, 6, 28],
        ['FLDENV', 0xd9, 4, 28],
        ['FNSAVE', 0xdd, 6, 108],
        ['FRSTOR', 0xdd, 4, 108],
    ] as const) {
        it(`leaves the unit as it was: ${name}`, () => {
            const machine = initialized();
            machine.run(FLD1);
            machine.run(FLDZ);
            const before = machine.snapshot();
            assertFault(PF, () => machine.run(absolute(opcode, reg, LIMIT - size + 1)));
            assert.deepEqual(machine.snapshot(), before);
            machine.run(absolute(opcode, reg, LIMIT - size));
        });
    }

    it('checks the segment limit against the whole image', () => {
        const machine = initialized();
        machine.setState32(6 * 8, 0xfff4); // SI
        const fnstenv = [0xd9, 0x34];
        assertFault(GP, () => machine.run(fnstenv, Mode.real));
    });
});

describe('the environment image', () => {
    /** FLD m32 at CS:IP = 0040:1234 and DS:SI = 0020:0010. */
    function afterLoad(mode: number): X87Machine {
        const machine = initialized();
        machine.setSelector(Segment.Cs, 0x40, 0x400);
        machine.setSelector(Segment.Ds, 0x20, mode === Mode.protected32 ? 0 : 0x200);
        machine.setState32(6 * 8, 0x10);
        const fld = mode === Mode.protected32 || mode === Mode.long ? [0xd9, 0x06] : [0xd9, 0x04];
        machine.run(fld, mode, 0x1234);
        machine.setState32(6 * 8, 0x80);
        return machine;
    }

    it('has linear addresses in real-address mode, 16 bits wide', () => {
        const machine = afterLoad(Mode.real);
        machine.run([0xd9, 0x34], Mode.real);
        // 0x1634 and 0x210 are 0x40:0x1234 and 0x20:0x10; the opcode is D9 /0 with ModRM 04.
        assert.deepEqual(words(machine, 0x280, 2, 7), ['37f', '3800', '7fff', '1634', '104', '210', '0']);
    });

    it('has linear addresses in virtual-8086 mode, 32 bits wide', () => {
        const machine = afterLoad(Mode.virtual8086);
        machine.setState32(StateOffset.fip, 0x81234);
        machine.run([0x66, 0xd9, 0x34], Mode.virtual8086);
        assert.deepEqual(words(machine, 0x280, 4, 7), [
            'ffff037f',
            'ffff3800',
            'ffff7fff',
            'ffff1634',
            '8104',
            'ffff0210',
            '0',
        ]);
    });

    it('has selectors and offsets in protected mode', () => {
        const machine = afterLoad(Mode.protected32);
        machine.run([0xd9, 0x36], Mode.protected32);
        assert.deepEqual(words(machine, 0x80, 4, 7), [
            'ffff037f',
            'ffff3800',
            'ffff7fff',
            '1234',
            '1060040',
            '10',
            'ffff0020',
        ]);
        machine.run([0x66, 0xd9, 0x36], Mode.protected32);
        assert.deepEqual(words(machine, 0x80, 2, 7), ['37f', '3800', '7fff', '1234', '40', '10', '20']);
    });

    for (const [name, mode, prefix, base] of [
        ['real-address mode', Mode.real, [], 0x200],
        ['real-address mode with 32-bit operands', Mode.real, [0x66], 0x200],
        ['protected mode', Mode.protected32, [], 0],
        ['protected mode with 16-bit operands', Mode.protected32, [0x66], 0],
        ['64-bit mode', Mode.long, [], 0],
    ] as const) {
        it(`survives FNSAVE and FRSTOR in ${name}`, () => {
            const machine = afterLoad(mode);
            machine.run(FLDZ, mode, 0x1300);
            const modrm = mode === Mode.real ? 4 : 6;
            machine.run([...prefix, 0xdd, modrm | (6 << 3)], mode);
            assert.equal(machine.state32(StateOffset.fcw), 0x37f);
            assert.equal(machine.state32(StateOffset.fempty), 0x01010101);
            const wide = prefix.length > 0 !== (mode === Mode.real);
            const first = Buffer.from(machine.guest(base + 0x80, wide ? 108 : 94));
            machine.run([...prefix, 0xdd, modrm | (4 << 3)], mode);
            assert.equal(machine.state32(StateOffset.ftop), 6);
            machine.run([...prefix, 0xdd, modrm | (6 << 3)], mode);
            // Neither real-address mode's 16-bit layout nor protected mode's holds everything; what one holds stays.
            assert.equal(
                Buffer.from(machine.guest(base + 0x80, wide ? 108 : 94)).toString('hex'),
                first.toString('hex'),
            );
        });
    }
});
