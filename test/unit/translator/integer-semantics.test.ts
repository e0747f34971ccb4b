import assert from 'node:assert/strict';
import { Attribute, type CodeSize, decode, type Instruction, ROWS, type Row } from '../../../src/isa/x86';
import { ARITHMETIC } from '../../../src/isa/x86/table/arithmetic';
import { BMI } from '../../../src/isa/x86/table/bmi';
import { BRANCHES } from '../../../src/isa/x86/table/branches';
import { MOVES } from '../../../src/isa/x86/table/moves';
import { parseRows } from '../../../src/isa/x86/table/parse';
import { ModeKey } from '../../../src/machine/state';
import { printIr } from '../../../src/translator/ir/text';
import { verifyIr } from '../../../src/translator/ir/verify';
import { HandlerContext } from '../../../src/translator/lift/handler-context';
import { integerSemantics } from '../../../src/translator/lift/integer';
import { RegionContext } from '../../../src/translator/lift/region-context';
import { generateRow, SLOT } from '../../differential/decoder/generate';
import { Random } from '../../support/random';

const FENCES = ['LFENCE', 'MFENCE', 'SFENCE'];
const INTEGER_MNEMONICS = new Set([
    ...parseRows([ARITHMETIC, MOVES, BRANCHES, BMI]).map(row => row.mnemonic),
    ...FENCES,
]);

function isSystem(row: Row): boolean {
    return (row.attributes & Attribute.System) !== 0;
}

/** Mode keys under which an instruction is lifted in that code size: flat and segmented, as far as both exist. */
function modesOf(codeSize: CodeSize): number[] {
    const size = [16, 32, 64].indexOf(codeSize);
    const widths = size | (size << ModeKey.StackSizeShift);
    const flat = ModeKey.Flat | ModeKey.FlatCode;
    if (codeSize === 64) {
        return [widths | ModeKey.Protected | ModeKey.Long | flat];
    }
    const segmented = [widths | ModeKey.Protected, widths | ModeKey.Protected | flat];
    return codeSize === 16 ? [...segmented, widths, widths | ModeKey.Protected | ModeKey.Virtual8086] : segmented;
}

/** Encodings of the row in that code size, with varied operands and prefixes. */
function instancesOf(row: Row, codeSize: CodeSize, random: Random): Instruction[] {
    const bytes = new Uint8Array(SLOT);
    const instances: Instruction[] = [];
    for (let attempt = 0; attempt < 24; attempt++) {
        generateRow(random, row, codeSize, bytes, 0);
        const instruction = decode(bytes, 0, SLOT, codeSize);
        if (typeof instruction !== 'number' && instruction.row === row) {
            instances.push(instruction);
        }
    }
    return instances;
}

function liftForHandler(instruction: Instruction, mode: number): HandlerContext {
    const context = new HandlerContext(mode);
    context.begin(instruction);
    integerSemantics[instruction.row.mnemonic](context);
    context.finish();
    return context;
}

function liftForRegion(instruction: Instruction, mode: number): RegionContext {
    const context = new RegionContext(mode);
    context.beginAt(instruction, 0x123, 0);
    integerSemantics[instruction.row.mnemonic](context);
    context.flushFlags();
    return context;
}

describe('semantics of integer instructions', () => {
    const rows = ROWS.filter(row => INTEGER_MNEMONICS.has(row.mnemonic) && !isSystem(row));

    it('are there for every row of the table that is not a system operation', () => {
        const missing = rows.filter(row => !Object.hasOwn(integerSemantics, row.mnemonic));
        assert.deepEqual(
            missing.map(row => `${row.opcode} ${row.mnemonic}`),
            [],
        );
    });

    it('belong to a row of the table', () => {
        const mnemonics = new Set(rows.map(row => row.mnemonic));
        assert.deepEqual(
            Object.keys(integerSemantics).filter(mnemonic => !mnemonics.has(mnemonic)),
            [],
        );
    });

    it('become well-formed IR in every mode, for the interpreter and for regions', () => {
        const random = new Random(1);
        const broken: string[] = [];
        const lifted = new Set<Row>();
        for (const codeSize of [16, 32, 64] as const) {
            for (const instruction of rows.flatMap(row => instancesOf(row, codeSize, random))) {
                lifted.add(instruction.row);
                for (const mode of modesOf(codeSize)) {
                    for (const lift of [liftForHandler, liftForRegion]) {
                        const { ir } = lift(instruction, mode).ir;
                        for (const { message } of verifyIr(ir)) {
                            broken.push(`${instruction.row.mnemonic}, ${lift.name}: ${message}\n${printIr(ir)}`);
                        }
                    }
                }
            }
        }
        assert.deepEqual(broken.slice(0, 3), []);
        const untried = rows.filter(row => !lifted.has(row));
        assert.deepEqual(
            untried.map(row => `${row.opcode} ${row.mnemonic}`),
            [],
        );
    });
});
