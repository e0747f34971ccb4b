/**
 * The x86 instruction decoder: bytes → {@link Instruction} (SDM Vol. 2, chapter 2 and appendix A).
 *
 * Where the two vendors differ it follows Intel: 66 before a near branch in 64-bit mode is ignored (AMD truncates to 16
 * bits), LOCK MOV CR0 is undefined (AMD reads CR8), REX.W far pointers are 10 bytes.
 *
 * It does not check what depends on more than the bytes and the code size: CPL, CPUID, CR4, and whether a row is
 * allowed in real-address or virtual-8086 mode.
 */

import { Attribute, type CodeSize, DecodeFailure, type Instruction, type Operand, RepeatPrefix } from './instruction';
import { clearImmediates, decodeImmediate, DecodedImmediates } from './immediates';
import { clearMemory, decodeMemory, decodeMemory16, DecodedMemory } from './memory-operand';
import { type OpcodeCell, opcodeCell, type RowForm } from './opcode-map';
import { ScannedOpcode, scanOpcode, ScanResult } from './prefixes';
import { type OperandForm, OperandSource } from './table/operand';

/** SDM Vol. 2, 2.3.11: longer instructions raise #GP(0). */
export const MAX_INSTRUCTION_LENGTH = 15;

/**
 * How far past an instruction's start the decoder may look before it notices that the bytes are too many: 15 prefixes,
 * escape bytes, ModRM, SIB, displacement and an 8-byte immediate.
 */
const LOOKAHEAD = 40;

const SIZE_BITS = [16, 32, 64] as const;

/** A zero-padded copy of the last bytes of a buffer, so that reading ahead needs no checks. */
const padded = new Uint8Array(LOOKAHEAD);

// Decoding is one synchronous call: these save an allocation per instruction.
const scanned = new ScannedOpcode();
const memory = new DecodedMemory();
const immediates = new DecodedImmediates();

/**
 * Decodes the instruction at `bytes[offset]`, looking at no byte at or after `end`.
 *
 * Returns {@link DecodeFailure.Truncated} if more bytes than those would be needed, so that a caller who fetches page by
 * page can fetch the next page or fault there.
 */
export function decode(
    bytes: Uint8Array,
    offset: number,
    end: number,
    codeSize: CodeSize,
): Instruction | DecodeFailure {
    const limit = Math.min(end, offset + MAX_INSTRUCTION_LENGTH);
    if (offset + LOOKAHEAD <= bytes.length) {
        return decodeWithin(bytes, offset, limit, codeSize);
    }
    padded.fill(0);
    padded.set(bytes.subarray(offset, limit));
    return decodeWithin(padded, 0, limit - offset, codeSize);
}

/** As {@link decode}; `bytes` extends {@link LOOKAHEAD} bytes past `start`, `limit` is at most 15 past it. */
function decodeWithin(
    bytes: Uint8Array,
    start: number,
    limit: number,
    codeSize: CodeSize,
): Instruction | DecodeFailure {
    const mode64 = codeSize === 64;
    const result = scanOpcode(scanned, bytes, start, limit, mode64);
    if (result !== ScanResult.Found) {
        return result === ScanResult.Short ? shortage(start, limit) : failure(scanned.position, start, limit);
    }
    const { rex } = scanned;
    let { position } = scanned;
    const cell = opcodeCell(scanned.map, scanned.opcode);
    if (cell === null) {
        return failure(position, start, limit);
    }

    const modrm = cell.hasModrm ? bytes[position++] : -1;
    let operandSize = (rex & 8) !== 0 ? 2 : (codeSize !== 16) !== scanned.operandSizePrefix ? 1 : 0;
    const addressSize = mode64
        ? scanned.addressSizePrefix
            ? 1
            : 2
        : (codeSize === 32) !== scanned.addressSizePrefix
          ? 1
          : 0;
    const form = selectRow(cell, modrm, operandSize, addressSize, mode64);
    if (form === undefined) {
        return failure(position, start, limit);
    }
    const { attributes } = form;
    const widens = operandSize === 1 ? Attribute.Force64 | Attribute.Default64 : Attribute.Force64;
    if (mode64 && (attributes & widens) !== 0) {
        operandSize = 2;
    }

    clearMemory(memory, position);
    const hasMemory = modrm >= 0 && modrm < 0xc0 && !form.ignoresMod;
    if (hasMemory) {
        if (addressSize === 0) {
            decodeMemory16(memory, bytes, modrm);
        } else {
            decodeMemory(memory, bytes, modrm, rex, mode64);
        }
    }
    const lockFails = scanned.lock && ((attributes & Attribute.Lock) === 0 || !hasMemory);
    const vvvvFails = scanned.vvvv !== 0 && !form.usesVvvv;
    if (lockFails || vvvvFails) {
        return failure(memory.position, start, limit);
    }

    let displacementHigh = memory.displacement >> 31;
    clearImmediates(immediates, memory.position);
    const operands: Operand[] = [];
    for (const operandForm of form.operands) {
        const operand = decodeRegister(operandForm, modrm, hasMemory, operandSize, mode64);
        if (operand === undefined) {
            return failure(immediates.position, start, limit);
        }
        operands.push(operand);
        if (operandForm.source >= OperandSource.Offset) {
            decodeImmediate(immediates, operandForm.source, bytes, operandSize, addressSize);
            if (operandForm.source === OperandSource.Offset) {
                memory.displacement = immediates.offsetLow;
                displacementHigh = immediates.offsetHigh;
            }
        }
    }
    position = immediates.position;
    if (position > limit) {
        return shortage(start, limit);
    }
    const { segmentOverride } = scanned;
    return {
        row: form.row,
        length: position - start,
        codeSize,
        operandSize: SIZE_BITS[operandSize],
        addressSize: SIZE_BITS[addressSize],
        lock: scanned.lock,
        repeat: (attributes & Attribute.Repeat) !== 0 ? scanned.repeat : RepeatPrefix.None,
        operands,
        segment: segmentOverride >= 0 ? segmentOverride : memory.segment,
        segmentOverride,
        base: memory.base,
        index: memory.index,
        scale: memory.scale,
        displacement: memory.displacement,
        displacementHigh,
        immediate: immediates.low,
        immediateHigh: immediates.high,
        immediate2: immediates.second,
        modrm,
    };
}

function selectRow(
    cell: OpcodeCell,
    modrm: number,
    operandSize: number,
    addressSize: number,
    mode64: boolean,
): RowForm | undefined {
    const modrmClass = modrm >= 0 ? cell.modrmClasses[modrm] : 0;
    return cell.leaves[
        modrmClass * cell.modrmStride +
            scanned.mandatoryPrefix * cell.prefixStride +
            operandSize * cell.operandSizeStride +
            addressSize * cell.addressSizeStride +
            (mode64 ? cell.modeStride : 0) +
            (scanned.rex & 1) * cell.rexBStride +
            scanned.vexL * cell.vexLStride
    ];
}

/** The operand, but for the value of an immediate; undefined if the register does not exist. */
function decodeRegister(
    form: OperandForm,
    modrm: number,
    hasMemory: boolean,
    operandSize: number,
    mode64: boolean,
): Operand | undefined {
    const { rex } = scanned;
    const tables = rex === 0 ? form.legacyRegisters : form.registers;
    switch (form.source) {
        case OperandSource.Reg:
            return tables[operandSize][((modrm >> 3) & 7) | ((rex & 4) << 1)];
        case OperandSource.Rm:
            return hasMemory ? form.operands[operandSize] : tables[operandSize][(modrm & 7) | ((rex & 1) << 3)];
        case OperandSource.Opcode:
            return tables[operandSize][(scanned.opcode & 7) | ((rex & 1) << 3)];
        case OperandSource.Vvvv:
            return tables[operandSize][mode64 ? scanned.vvvv : scanned.vvvv & 7];
        default:
            return form.operands[operandSize];
    }
}

function shortage(start: number, limit: number): DecodeFailure {
    return limit - start === MAX_INSTRUCTION_LENGTH ? DecodeFailure.TooLong : DecodeFailure.Truncated;
}

/** Undefined, unless the bytes that decided so lie past the limit. */
function failure(position: number, start: number, limit: number): DecodeFailure {
    return position > limit ? shortage(start, limit) : DecodeFailure.Undefined;
}
