/** Lifts table rows in many encodings and modes, for tests that hold all semantics to something. */
import { type CodeSize, decode, type Instruction, type Row } from '../../../src/isa/x86';
import { ModeKey } from '../../../src/machine/state';
import { type IrFunction } from '../../../src/translator/ir/function';
import { printIr } from '../../../src/translator/ir/text';
import { verifyIr } from '../../../src/translator/ir/verify';
import { HandlerContext } from '../../../src/translator/lift/handler-context';
import { RegionContext } from '../../../src/translator/lift/region-context';
import { type SemanticTable } from '../../../src/translator/lift/semantics';
import { generateRow, SLOT } from '../../differential/decoder/generate';
import { type Random } from '../../support/random';

const ATTEMPTS = 24;

/** Mode keys under which an instruction is lifted in that code size: flat and segmented, as far as both exist. */
export function modesOf(codeSize: CodeSize): number[] {
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
export function instancesOf(row: Row, codeSize: CodeSize, random: Random): Instruction[] {
    const bytes = new Uint8Array(SLOT);
    const instances: Instruction[] = [];
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        generateRow(random, row, codeSize, bytes, 0);
        const instruction = decode(bytes, 0, SLOT, codeSize);
        if (typeof instruction !== 'number' && instruction.row === row) {
            instances.push(instruction);
        }
    }
    return instances;
}

function liftForHandler(semantics: SemanticTable, instruction: Instruction, mode: number): IrFunction {
    const context = new HandlerContext(mode);
    context.begin(instruction);
    semantics[instruction.row.mnemonic](context);
    context.finish();
    return context.ir.ir;
}

function liftForRegion(semantics: SemanticTable, instruction: Instruction, mode: number): IrFunction {
    const context = new RegionContext(mode);
    context.beginAt(instruction, 0x123, 0);
    semantics[instruction.row.mnemonic](context);
    context.flushFlags();
    return context.ir.ir;
}

/** What the verifier says about the instruction's IR in the interpreter tier and in regions. */
export function defectsOf(semantics: SemanticTable, instruction: Instruction, mode: number): string[] {
    return [liftForHandler, liftForRegion].flatMap(lift => {
        const ir = lift(semantics, instruction, mode);
        return verifyIr(ir).map(
            ({ message }) => `${instruction.row.mnemonic}, ${lift.name}: ${message}\n${printIr(ir)}`,
        );
    });
}
