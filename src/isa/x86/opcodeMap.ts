/**
 * The instruction table compiled for the decoder: for every opcode of every map either one row, or a small array of rows
 * indexed by exactly those circumstances (prefix, sizes, mode, ModRM) that distinguish rows of that opcode.
 */

import { Attribute, type Row } from './instruction';
import { MEMORY_FORM, OPCODE_MAP_COUNT, type OpcodeKey, parseOpcode, REGISTER_FORM } from './table/opcode';
import { type OperandForm, parseOperand } from './table/operand';
import { ROWS } from './table/rows';

/** A row with its operands prepared. */
export interface RowForm {
    readonly row: Row;
    readonly operands: readonly OperandForm[];
    readonly attributes: number;
    /** ModRM.rm names a register even if ModRM.mod ≠ 3. */
    readonly ignoresMod: boolean;
    /** Uses VEX.vvvv; rows that do not require it to be 1111. */
    readonly usesVvvv: boolean;
}

/** The rows of one opcode. A stride of 0 means that the circumstance makes no difference. */
export interface OpcodeCell {
    readonly hasModrm: boolean;
    readonly leaves: readonly (RowForm | undefined)[];
    readonly modrmStride: number;
    readonly prefixStride: number;
    readonly operandSizeStride: number;
    readonly addressSizeStride: number;
    readonly modeStride: number;
    readonly rexBStride: number;
    readonly vexLStride: number;
}

/** Values of the ModRM circumstance: 8 memory forms by reg, then 64 register forms by reg and rm. */
const MODRM_CLASSES = 72;

interface Candidate {
    readonly key: OpcodeKey;
    readonly form: RowForm;
}

/** Cells by map × 256 + opcode; undefined where no row exists. */
export const OPCODE_CELLS: readonly (OpcodeCell | undefined)[] = compile(ROWS);

function compile(rows: readonly Row[]): (OpcodeCell | undefined)[] {
    const candidates: Candidate[][] = Array.from({ length: OPCODE_MAP_COUNT * 256 }, () => []);
    for (const row of rows) {
        const candidate = prepare(row);
        const { map, opcode, opcodeCount } = candidate.key;
        for (let i = 0; i < opcodeCount; i++) {
            candidates[map * 256 + opcode + i].push(candidate);
        }
    }
    return candidates.map(list => (list.length === 0 ? undefined : compileCell(list)));
}

function prepare(row: Row): Candidate {
    const key = parseOpcode(row.opcode);
    const operands = row.operands.map((notation, i) => {
        const afterImmediate = i > 0 && row.operands[i - 1][0] === 'I';
        return parseOperand(notation, i, afterImmediate);
    });
    const ignoresMod = operands.some(operand => operand.ignoresMod);
    for (const operand of operands) {
        if (operand.memoryOnly) {
            key.forms &= MEMORY_FORM;
        }
        if (operand.registerOnly) {
            key.forms &= REGISTER_FORM;
        }
    }
    const usesVvvv = row.operands.some(notation => notation[0] === 'B' || notation[0] === 'H');
    return { key, form: { row, operands, attributes: row.attributes, ignoresMod, usesVvvv } };
}

function compileCell(candidates: readonly Candidate[]): OpcodeCell {
    // Array.prototype.sort is stable: among equally narrow rows the table's order decides.
    const ordered = [...candidates].sort((a, b) => b.key.conditions - a.key.conditions);
    const hasModrm = ordered.some(({ key }) => key.modrm);
    let count = 1;
    const stride = (values: number, matters: (candidate: Candidate) => boolean): number => {
        if (!ordered.some(matters)) {
            return 0;
        }
        const result = count;
        count *= values;
        return result;
    };
    const cell = {
        hasModrm,
        modrmStride: stride(MODRM_CLASSES, ({ key }) => key.reg !== 0xff || key.rm !== 0xff || key.forms !== 3),
        prefixStride: stride(4, ({ key }) => key.prefixes !== 0b1111),
        operandSizeStride: stride(3, ({ key }) => key.operandSizes !== 0b111),
        addressSizeStride: stride(3, ({ key }) => key.addressSizes !== 0b111),
        modeStride: stride(2, ({ form }) => (form.attributes & (Attribute.Invalid64 | Attribute.Only64)) !== 0),
        rexBStride: stride(2, ({ key }) => key.rexB !== 0b11),
        vexLStride: stride(2, ({ key }) => key.vexL !== 0b11),
    };
    const leaves: (RowForm | undefined)[] = new Array(count).fill(undefined);
    for (let i = 0; i < count; i++) {
        const value = (valueStride: number, values: number): number =>
            valueStride === 0 ? -1 : Math.floor(i / valueStride) % values;
        const modrm = value(cell.modrmStride, MODRM_CLASSES);
        const prefix = value(cell.prefixStride, 4);
        const operandSize = value(cell.operandSizeStride, 3);
        const addressSize = value(cell.addressSizeStride, 3);
        const mode = value(cell.modeStride, 2);
        const rexB = value(cell.rexBStride, 2);
        const vexL = value(cell.vexLStride, 2);
        leaves[i] = ordered.find(
            ({ key, form }) =>
                matchesModrm(key, modrm) &&
                accepts(key.prefixes, prefix) &&
                matchesOperandSize(key, form, operandSize, mode) &&
                accepts(key.addressSizes, addressSize) &&
                matchesMode(form, mode) &&
                accepts(key.rexB, rexB) &&
                accepts(key.vexL, vexL),
        )?.form;
    }
    return { ...cell, leaves };
}

function accepts(set: number, value: number): boolean {
    return value < 0 || ((set >> value) & 1) !== 0;
}

function matchesModrm(key: OpcodeKey, value: number): boolean {
    if (value < 0) {
        return true;
    }
    if (value < 8) {
        return (key.forms & MEMORY_FORM) !== 0 && accepts(key.reg, value);
    }
    const modrm = value - 8;
    return (key.forms & REGISTER_FORM) !== 0 && accepts(key.reg, modrm >> 3) && accepts(key.rm, modrm & 7);
}

function matchesMode(form: RowForm, mode: number): boolean {
    const forbidden = mode === 1 ? Attribute.Invalid64 : Attribute.Only64;
    return mode < 0 || (form.attributes & forbidden) === 0;
}

/** The row's condition is on the effective size, which d64 rows widen in 64-bit mode; they all come with i64 siblings. */
function matchesOperandSize(key: OpcodeKey, form: RowForm, operandSize: number, mode: number): boolean {
    const widened = mode === 1 && operandSize === 1 && (form.attributes & Attribute.Default64) !== 0;
    return accepts(key.operandSizes, widened ? 2 : operandSize);
}
