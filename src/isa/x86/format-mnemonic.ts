/**
 * Which mnemonic and which operands the disassembler shows: mostly the table's, but for string instructions, operand
 * sizes that no operand tells, and pseudo-operations.
 */

import { Attribute, type Instruction, OperandKind, Segment } from './instruction';

/** Spelt otherwise than in the table. */
const SPELLINGS: Readonly<Record<string, string>> = { XLAT: 'xlatb' };

const STRING_SUFFIXES: Readonly<Record<number, string>> = { 1: 'b', 2: 'w', 4: 'd', 8: 'q' };
const SIZE_SUFFIXES: Readonly<Record<number, string>> = { 16: 'w', 32: 'd', 64: 'q' };

/** No operand shows the operand size, so a suffix does where it is not the default. */
const SIZE_IN_MNEMONIC: ReadonlySet<string> = new Set(['RET', 'RETF', 'ENTER', 'LEAVE', 'SYSRET', 'SYSEXIT']);

/** CMPPS xmm, xmm, 1 is CMPLTPS xmm, xmm (SDM Vol. 2, CMPPS, table 3-2). */
const COMPARES: ReadonlySet<string> = new Set(['CMPPS', 'CMPPD', 'CMPSS', 'CMPSD']);
const PREDICATES = ['eq', 'lt', 'le', 'unord', 'neq', 'nlt', 'nle', 'ord'] as const;

/** Their first operand is always ST(0), which Intel syntax leaves out. */
const IMPLICIT_TOP: ReadonlySet<string> = new Set(['FXCH', 'FCOM', 'FCOMP', 'FUCOM', 'FUCOMP']);

/** The mnemonic in lower case. */
export function formatMnemonic(instruction: Instruction): string {
    const { mnemonic } = instruction.row;
    if ((instruction.row.attributes & Attribute.Repeat) !== 0) {
        return `${mnemonic.toLowerCase()}${STRING_SUFFIXES[stringSize(instruction)]}`;
    }
    if (hidesPredicate(instruction)) {
        return `cmp${PREDICATES[instruction.immediate]}${mnemonic.slice(3).toLowerCase()}`;
    }
    const spelling = SPELLINGS[mnemonic] ?? mnemonic.toLowerCase();
    return needsSizeSuffix(instruction) ? `${spelling}${SIZE_SUFFIXES[instruction.operandSize]}` : spelling;
}

/** Which operands the text names, by position in the row. */
export function shownOperands(instruction: Instruction): readonly number[] {
    const { operands, row } = instruction;
    const all = operands.map((_, position) => position);
    if ((row.attributes & Attribute.Repeat) !== 0) {
        return hasPlainAddress(instruction) ? [] : all;
    }
    if (hidesPredicate(instruction)) {
        return all.slice(0, 2);
    }
    return IMPLICIT_TOP.has(row.mnemonic) && operands.length === 2 ? all.slice(1) : all;
}

/** Width in bytes of what a string instruction moves. */
function stringSize(instruction: Instruction): number {
    for (const { kind, size } of instruction.operands) {
        if (kind === OperandKind.StringSource || kind === OperandKind.StringDestination) {
            return size;
        }
    }
    return 0;
}

/** A string instruction that addresses through DS and ES with the code's own address size needs no operands. */
function hasPlainAddress({ segment, addressSize, codeSize }: Instruction): boolean {
    return segment === Segment.Ds && addressSize === codeSize;
}

function hidesPredicate({ row, immediate }: Instruction): boolean {
    return COMPARES.has(row.mnemonic) && immediate < PREDICATES.length;
}

function needsSizeSuffix({ row, operands, operandSize, codeSize }: Instruction): boolean {
    const widens = (row.attributes & (Attribute.Default64 | Attribute.Force64)) !== 0;
    const usual = codeSize === 64 && !widens ? 32 : codeSize;
    if (operandSize === usual) {
        return false;
    }
    const pushesUnsized =
        (row.mnemonic === 'PUSH' || row.mnemonic === 'POP') &&
        (operands[0].kind === OperandKind.Immediate || operands[0].kind === OperandKind.Segment);
    return pushesUnsized || SIZE_IN_MNEMONIC.has(row.mnemonic);
}
