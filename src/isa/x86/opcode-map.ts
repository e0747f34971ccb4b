/**
 * The instruction table compiled for the decoder: for every opcode of every map either one row, or a small array of rows
 * indexed by exactly those circumstances (prefix, sizes, mode, ModRM) that distinguish rows of that opcode.
 */

import { Attribute, type Row } from './instruction';
import {
    ANY_FORM,
    MEMORY_FORM,
    OPCODE_MAP_COUNT,
    type OpcodeKey,
    type OpcodeMap,
    parseOpcode,
    REGISTER_FORM,
} from './table/opcode';
import { type OperandForm, OperandSource, parseOperand } from './table/operand';
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
    /** By ModRM byte: the class that `modrmStride` multiplies. */
    readonly modrmClasses: Uint8Array;
    readonly leaves: readonly (RowForm | undefined)[];
    readonly modrmStride: number;
    readonly prefixStride: number;
    readonly operandSizeStride: number;
    readonly addressSizeStride: number;
    readonly modeStride: number;
    readonly rexBStride: number;
    readonly vexLStride: number;
}

interface Candidate {
    readonly row: Row;
    readonly key: OpcodeKey;
}

interface PreparedRow {
    readonly key: OpcodeKey;
    readonly form: RowForm;
}

/** ModRM bytes by reg and form: 8 classes with memory, 8 with a register. */
const CLASSES_BY_REG = Uint8Array.from({ length: 256 }, (_, modrm) => (modrm >= 0xc0 ? 8 : 0) | ((modrm >> 3) & 7));
/** For opcodes with rows for single ModRM bytes: 8 classes with memory by reg, then 64 register forms. */
const CLASSES_BY_RM = Uint8Array.from({ length: 256 }, (_, modrm) =>
    modrm >= 0xc0 ? 8 + (modrm & 0x3f) : (modrm >> 3) & 7,
);

/** Rows by map × 256 + opcode. */
const candidatesByOpcode = sortByOpcode(ROWS);

/** Compiled on first use: a guest uses a fraction of the opcodes, and start-up should not pay for the others. */
const cells: (OpcodeCell | null | undefined)[] = new Array(OPCODE_MAP_COUNT * 256).fill(undefined);

/** The cell of an opcode, null where no row exists. */
export function opcodeCell(map: OpcodeMap, opcode: number): OpcodeCell | null {
    const index = map * 256 + opcode;
    const cell = cells[index];
    return cell !== undefined ? cell : (cells[index] = compileCell(candidatesByOpcode[index]));
}

function sortByOpcode(rows: readonly Row[]): (Candidate[] | undefined)[] {
    const candidates: (Candidate[] | undefined)[] = new Array(OPCODE_MAP_COUNT * 256).fill(undefined);
    for (const row of rows) {
        const key = parseOpcode(row.opcode);
        const first = key.map * 256 + key.opcode;
        for (let index = first; index < first + key.opcodeCount; index++) {
            (candidates[index] ??= []).push({ row, key });
        }
    }
    return candidates;
}

/** Fills in what the operands say: ModRM forms in the key, and the row's form. */
function prepare({ row, key }: Candidate): PreparedRow {
    let forms = key.forms;
    let ignoresMod = false;
    const operands = row.operands.map((notation, i) => {
        const afterImmediate = i > 0 && row.operands[i - 1][0] === 'I';
        const operand = parseOperand(notation, i, afterImmediate);
        ignoresMod ||= operand.ignoresMod;
        forms &= operand.memoryOnly ? MEMORY_FORM : operand.registerOnly ? REGISTER_FORM : ANY_FORM;
        return operand;
    });
    const usesVvvv = operands.some(operand => operand.source === OperandSource.Vvvv);
    const form = { row, operands, attributes: row.attributes, ignoresMod, usesVvvv };
    return { key: { ...key, forms }, form };
}

function compileCell(candidates: readonly Candidate[] | undefined): OpcodeCell | null {
    if (!candidates) {
        return null;
    }
    const rows = candidates.map(prepare);
    const common = commonConditions(rows);
    const byRm = common.rm !== 0xff;
    const modrmClasses = byRm ? 72 : 16;
    let count = 1;
    const stride = (matters: boolean, values: number): number => {
        const result = matters ? count : 0;
        count *= matters ? values : 1;
        return result;
    };
    const modrmStride = stride(byRm || common.reg !== 0xff || common.forms !== ANY_FORM, modrmClasses);
    const prefixStride = stride(common.prefixes !== 0b1111, 4);
    const operandSizeStride = stride(common.operandSizes !== 0b111, 3);
    const addressSizeStride = stride(common.addressSizes !== 0b111, 3);
    const modeStride = stride(common.modeMatters, 2);
    const rexBStride = stride(common.rexB !== 0b11, 2);
    const vexLStride = stride(common.vexL !== 0b11, 2);

    const leaves: (RowForm | undefined)[] = new Array(count).fill(undefined);
    // Narrower rows overwrite wider ones; among equals the table's order decides, the first row standing.
    const ascending = rows.reverse().sort((a, b) => a.key.conditions - b.key.conditions);
    for (const { key, form } of ascending) {
        let indices = [0];
        if (modrmStride !== 0) {
            indices = combine(indices, modrmClassesOf(key, byRm), modrmStride);
        }
        indices = combineSet(indices, key.prefixes, prefixStride);
        indices = combineSet(indices, key.addressSizes, addressSizeStride);
        indices = combineSet(indices, key.rexB, rexBStride);
        indices = combineSet(indices, key.vexL, vexLStride);
        for (let mode = 0; mode < (modeStride === 0 ? 1 : 2); mode++) {
            const forbidden = mode === 1 ? Attribute.Invalid64 : Attribute.Only64;
            if (modeStride === 0 || (form.attributes & forbidden) === 0) {
                for (const index of combineSet(indices, operandSizes(key, form, mode), operandSizeStride)) {
                    leaves[mode * modeStride + index] = form;
                }
            }
        }
    }
    return {
        hasModrm: common.modrm,
        modrmClasses: byRm ? CLASSES_BY_RM : CLASSES_BY_REG,
        leaves,
        modrmStride,
        prefixStride,
        operandSizeStride,
        addressSizeStride,
        modeStride,
        rexBStride,
        vexLStride,
    };
}

/** The conditions that all rows of an opcode accept: what is missing distinguishes them. */
function commonConditions(rows: readonly PreparedRow[]): OpcodeKey & { modeMatters: boolean } {
    const common = { ...rows[0].key, modeMatters: false };
    for (const { key, form } of rows) {
        common.modrm ||= key.modrm;
        common.prefixes &= key.prefixes;
        common.operandSizes &= key.operandSizes;
        common.addressSizes &= key.addressSizes;
        common.rexB &= key.rexB;
        common.vexL &= key.vexL;
        common.reg &= key.reg;
        common.rm &= key.rm;
        common.forms &= key.forms;
        common.modeMatters ||= (form.attributes & (Attribute.Invalid64 | Attribute.Only64)) !== 0;
    }
    return common;
}

/** Every index with every value of a circumstance added; without a stride the indices stay. */
function combine(indices: number[], values: readonly number[], stride: number): number[] {
    const result: number[] = [];
    for (const index of indices) {
        for (const value of values) {
            result.push(index + value * stride);
        }
    }
    return result;
}

function combineSet(indices: number[], set: number, stride: number): number[] {
    return stride === 0 ? indices : combine(indices, members(set), stride);
}

function members(set: number): number[] {
    const result = [];
    for (let value = 0; set >> value !== 0; value++) {
        if (((set >> value) & 1) !== 0) {
            result.push(value);
        }
    }
    return result;
}

function modrmClassesOf(key: OpcodeKey, byRm: boolean): number[] {
    const regs = members(key.reg);
    const classes = (key.forms & MEMORY_FORM) !== 0 ? [...regs] : [];
    if ((key.forms & REGISTER_FORM) !== 0) {
        const rms = members(key.rm);
        for (const reg of regs) {
            if (byRm) {
                classes.push(...rms.map(rm => 8 + reg * 8 + rm));
            } else {
                classes.push(8 + reg);
            }
        }
    }
    return classes;
}

/** The row's condition is on the effective size, which d64 rows widen in 64-bit mode. Their opcodes distinguish modes. */
function operandSizes(key: OpcodeKey, form: RowForm, mode: number): number {
    const widens = mode === 1 && (form.attributes & Attribute.Default64) !== 0;
    return widens ? (key.operandSizes & 0b101) | ((key.operandSizes >> 1) & 0b010) : key.operandSizes;
}
