/**
 * The x86 instruction decoder: bytes → {@link Instruction} (SDM Vol. 2, chapter 2 and appendix A).
 *
 * Where the two vendors differ it follows Intel: 66 before a near branch in 64-bit mode is ignored (AMD truncates to 16
 * bits), LOCK MOV CR0 is undefined (AMD reads CR8), REX.W far pointers are 10 bytes.
 *
 * It does not check what depends on more than the bytes and the code size: CPL, CPUID, CR4, and whether a row is
 * allowed in real-address or virtual-8086 mode.
 */

import {
    Attribute,
    BASE_RIP,
    type CodeSize,
    DecodeFailure,
    Gpr,
    type Instruction,
    NO_REGISTER,
    type Operand,
    RepeatPrefix,
    Segment,
} from './instruction';
import { opcodeCell } from './opcode-map';
import { MandatoryPrefix, OpcodeMap } from './table/opcode';
import { type OperandForm, OperandSource } from './table/operand';

/** SDM Vol. 2, 2.3.11: longer instructions raise #GP(0). */
export const MAX_INSTRUCTION_LENGTH = 15;

/**
 * How far past a 15-byte instruction the decoder may look before it notices: escape bytes, ModRM, SIB, displacement
 * and an 8-byte immediate, all after 15 prefixes.
 */
const LOOKAHEAD = 40;

const enum PrefixKind {
    None,
    Segment,
    OperandSize,
    AddressSize,
    Lock,
    Repeat,
    Rex,
    /** C4, C5: VEX or LES, LDS. */
    Vex,
}

const PREFIX_KINDS = new Uint8Array(256);
PREFIX_KINDS.set([PrefixKind.OperandSize, PrefixKind.AddressSize], 0x66);
PREFIX_KINDS[0xf0] = PrefixKind.Lock;
PREFIX_KINDS.set([PrefixKind.Repeat, PrefixKind.Repeat], 0xf2);
PREFIX_KINDS.set([PrefixKind.Vex, PrefixKind.Vex], 0xc4);
for (const prefix of [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]) {
    PREFIX_KINDS[prefix] = PrefixKind.Segment;
}
PREFIX_KINDS.fill(PrefixKind.Rex, 0x40, 0x50);

const SIZE_BITS = [16, 32, 64] as const;

/** 16-bit ModRM addressing, SDM Vol. 2, table 2-1, by rm. */
const BASE_16 = [Gpr.Rbx, Gpr.Rbx, Gpr.Rbp, Gpr.Rbp, Gpr.Rsi, Gpr.Rdi, Gpr.Rbp, Gpr.Rbx] as const;
const INDEX_16 = [Gpr.Rsi, Gpr.Rdi, Gpr.Rsi, Gpr.Rdi, NO_REGISTER, NO_REGISTER, NO_REGISTER, NO_REGISTER] as const;

/** A zero-padded copy of the last bytes of a buffer, so that reading ahead needs no checks. */
const padded = new Uint8Array(MAX_INSTRUCTION_LENGTH + LOOKAHEAD);

/** The memory operand being decoded; valid until the next call. */
const memory = { base: NO_REGISTER, index: NO_REGISTER, scale: 0, displacement: 0, segment: Segment.Ds as number };

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
    if (offset + LOOKAHEAD > bytes.length) {
        padded.fill(0);
        padded.set(bytes.subarray(offset, Math.min(end, offset + MAX_INSTRUCTION_LENGTH)));
        return decodeWithin(padded, 0, Math.min(end - offset, MAX_INSTRUCTION_LENGTH), codeSize);
    }
    return decodeWithin(bytes, offset, Math.min(end, offset + MAX_INSTRUCTION_LENGTH), codeSize);
}

/** As {@link decode}; `bytes` extends {@link LOOKAHEAD} bytes past `start`, `limit` is at most 15 past it. */
function decodeWithin(
    bytes: Uint8Array,
    start: number,
    limit: number,
    codeSize: CodeSize,
): Instruction | DecodeFailure {
    const mode64 = codeSize === 64;
    let position = start;
    let rex = 0;
    let operandSizePrefix = false;
    let addressSizePrefix = false;
    let lock = false;
    let repeat = RepeatPrefix.None;
    let segmentOverride = NO_REGISTER;
    let opcode = 0;

    for (let isPrefix = true; isPrefix;) {
        if (position >= limit) {
            return shortage(start, limit);
        }
        opcode = bytes[position++];
        const kind = PREFIX_KINDS[opcode];
        if (kind === PrefixKind.None || kind === PrefixKind.Vex) {
            break;
        }
        if (kind === PrefixKind.Rex) {
            if (!mode64) {
                break;
            }
            rex = opcode;
            continue;
        }
        // A REX prefix counts only directly before the opcode.
        rex = 0;
        switch (kind) {
            case PrefixKind.OperandSize:
                operandSizePrefix = true;
                break;
            case PrefixKind.AddressSize:
                addressSizePrefix = true;
                break;
            case PrefixKind.Lock:
                lock = true;
                break;
            case PrefixKind.Repeat:
                repeat = opcode === 0xf3 ? RepeatPrefix.Repe : RepeatPrefix.Repne;
                break;
            default:
                segmentOverride = segmentOfPrefix(opcode, mode64, segmentOverride);
        }
    }

    let map = OpcodeMap.OneByte;
    let mandatoryPrefix =
        repeat === RepeatPrefix.Repe
            ? MandatoryPrefix.F3
            : repeat === RepeatPrefix.Repne
              ? MandatoryPrefix.F2
              : operandSizePrefix
                ? MandatoryPrefix.P66
                : MandatoryPrefix.None;
    let vexL = 0;
    let vvvv = 0;
    let vex = false;
    if (opcode === 0x0f) {
        map = OpcodeMap.TwoByte;
        opcode = bytes[position++];
        if (opcode === 0x38 || opcode === 0x3a) {
            map = opcode === 0x38 ? OpcodeMap.ThreeByte38 : OpcodeMap.ThreeByte3A;
            opcode = bytes[position++];
        }
    } else if ((opcode === 0xc4 || opcode === 0xc5) && (mode64 || bytes[position] >= 0xc0)) {
        // Outside 64-bit mode LES and LDS have a memory operand; what would be ModRM.mod = 3 is VEX.
        if (rex !== 0 || lock || mandatoryPrefix !== MandatoryPrefix.None) {
            return failure(position, start, limit);
        }
        vex = true;
        const first = bytes[position++];
        let last = first;
        map = OpcodeMap.Vex0F;
        rex = (first & 0x80) === 0 ? 0x44 : 0x40;
        if (opcode === 0xc4) {
            last = bytes[position++];
            const mmmmm = first & 0x1f;
            if (mmmmm === 0 || mmmmm > 3) {
                return failure(position, start, limit);
            }
            map = OpcodeMap.Vex0F + mmmmm - 1;
            rex |= ((~first >> 5) & 3) | ((last >> 4) & 8);
        }
        if (!mode64) {
            rex = 0x40;
        }
        mandatoryPrefix = VEX_PP[last & 3];
        vexL = (last >> 2) & 1;
        vvvv = (~last >> 3) & 0xf;
        opcode = bytes[position++];
    }

    const cell = opcodeCell(map, opcode);
    if (cell === null) {
        return failure(position, start, limit);
    }
    const addressSizeIndex = mode64 ? (addressSizePrefix ? 1 : 2) : (codeSize === 32) !== addressSizePrefix ? 1 : 0;
    let operandSizeIndex = (rex & 8) !== 0 ? 2 : (codeSize !== 16) !== operandSizePrefix ? 1 : 0;
    let modrm = -1;
    let modrmClass = 0;
    if (cell.hasModrm) {
        modrm = bytes[position++];
        modrmClass = cell.modrmClasses[modrm];
    }
    const form =
        cell.leaves[
            modrmClass * cell.modrmStride +
                mandatoryPrefix * cell.prefixStride +
                operandSizeIndex * cell.operandSizeStride +
                addressSizeIndex * cell.addressSizeStride +
                (mode64 ? cell.modeStride : 0) +
                (rex & 1) * cell.rexBStride +
                vexL * cell.vexLStride
        ];
    if (form === undefined || position > limit) {
        return failure(position, start, limit);
    }
    const attributes = form.attributes;
    if (mode64) {
        if (
            (attributes & Attribute.Force64) !== 0 ||
            (operandSizeIndex === 1 && (attributes & Attribute.Default64) !== 0)
        ) {
            operandSizeIndex = 2;
        }
    }

    memory.base = NO_REGISTER;
    memory.index = NO_REGISTER;
    memory.scale = 0;
    memory.displacement = 0;
    memory.segment = Segment.Ds;
    const hasMemory = modrm >= 0 && modrm < 0xc0 && !form.ignoresMod;
    if (hasMemory) {
        position =
            addressSizeIndex === 0
                ? decodeMemory16(bytes, position, modrm)
                : decodeMemory(bytes, position, modrm, rex, mode64);
    }
    if (lock && ((attributes & Attribute.Lock) === 0 || !hasMemory)) {
        return failure(position, start, limit);
    }
    if (vex && vvvv !== 0 && !form.usesVvvv) {
        return failure(position, start, limit);
    }

    let displacementHigh = memory.displacement >> 31;
    let immediate = 0;
    let immediateHigh = 0;
    let immediate2 = 0;
    const forms = form.operands;
    const operands: Operand[] = [];
    for (let i = 0; i < forms.length; i++) {
        const operandForm: OperandForm = forms[i];
        let operand: Operand | undefined;
        switch (operandForm.source) {
            case OperandSource.Fixed:
                operand = operandForm.operands[operandSizeIndex];
                break;
            case OperandSource.Reg: {
                const tables = rex === 0 ? operandForm.legacyRegisters : operandForm.registers;
                operand = tables[operandSizeIndex][((modrm >> 3) & 7) | ((rex & 4) << 1)];
                break;
            }
            case OperandSource.Rm:
                if (hasMemory) {
                    operand = operandForm.operands[operandSizeIndex];
                } else {
                    const tables = rex === 0 ? operandForm.legacyRegisters : operandForm.registers;
                    operand = tables[operandSizeIndex][(modrm & 7) | ((rex & 1) << 3)];
                }
                break;
            case OperandSource.Opcode: {
                const tables = rex === 0 ? operandForm.legacyRegisters : operandForm.registers;
                operand = tables[operandSizeIndex][(opcode & 7) | ((rex & 1) << 3)];
                break;
            }
            case OperandSource.Vvvv:
                operand = operandForm.registers[operandSizeIndex][mode64 ? vvvv : vvvv & 7];
                break;
            default:
                operand = operandForm.operands[operandSizeIndex];
        }
        if (operand === undefined) {
            return failure(position, start, limit);
        }
        operands.push(operand);
        if (operandForm.source < OperandSource.Offset) {
            continue;
        }
        switch (operandForm.source) {
            case OperandSource.Offset:
                if (addressSizeIndex === 0) {
                    memory.displacement = read16(bytes, position);
                    displacementHigh = 0;
                    position += 2;
                } else {
                    memory.displacement = read32(bytes, position);
                    displacementHigh = addressSizeIndex === 2 ? read32(bytes, position + 4) : 0;
                    position += addressSizeIndex === 2 ? 8 : 4;
                }
                break;
            case OperandSource.ImmediateByte:
                immediate = bytes[position++];
                break;
            case OperandSource.SecondImmediate:
                immediate2 = bytes[position++];
                break;
            case OperandSource.ImmediateWord:
                immediate = read16(bytes, position);
                position += 2;
                break;
            case OperandSource.ImmediateSignedByte:
            case OperandSource.RelativeByte:
                immediate = (bytes[position++] << 24) >> 24;
                immediateHigh = immediate >> 31;
                break;
            case OperandSource.FarPointer:
                if (operandSizeIndex === 0) {
                    immediate = read16(bytes, position);
                    position += 2;
                } else {
                    immediate = read32(bytes, position);
                    position += 4;
                }
                immediate2 = read16(bytes, position);
                position += 2;
                break;
            default:
                // ImmediateZ, RelativeZ, and ImmediateV but for its 8-byte form.
                if (operandSizeIndex === 0) {
                    immediate = (read16(bytes, position) << 16) >> 16;
                    position += 2;
                } else {
                    immediate = read32(bytes, position);
                    position += 4;
                }
                immediateHigh = immediate >> 31;
                if (operandSizeIndex === 2 && operandForm.source === OperandSource.ImmediateV) {
                    immediateHigh = read32(bytes, position);
                    position += 4;
                }
        }
    }
    if (position > limit) {
        return shortage(start, limit);
    }

    return {
        row: form.row,
        length: position - start,
        codeSize,
        operandSize: SIZE_BITS[operandSizeIndex],
        addressSize: SIZE_BITS[addressSizeIndex],
        lock,
        repeat: (attributes & Attribute.Repeat) !== 0 ? repeat : RepeatPrefix.None,
        operands,
        segment: segmentOverride >= 0 ? segmentOverride : memory.segment,
        segmentOverride,
        base: memory.base,
        index: memory.index,
        scale: memory.scale,
        displacement: memory.displacement,
        displacementHigh,
        immediate,
        immediateHigh,
        immediate2,
        modrm,
    };
}

const VEX_PP = [MandatoryPrefix.None, MandatoryPrefix.P66, MandatoryPrefix.F3, MandatoryPrefix.F2] as const;

/** In 64-bit mode ES, CS, SS and DS overrides are null prefixes: they do not even cancel an FS or GS before them. */
function segmentOfPrefix(prefix: number, mode64: boolean, previous: number): number {
    switch (prefix) {
        case 0x64:
            return Segment.Fs;
        case 0x65:
            return Segment.Gs;
        default:
            return mode64 ? previous : (prefix >> 3) & 3;
    }
}

function shortage(start: number, limit: number): DecodeFailure {
    return limit - start === MAX_INSTRUCTION_LENGTH ? DecodeFailure.TooLong : DecodeFailure.Truncated;
}

/** Undefined, unless the bytes that decided so lie past the limit. */
function failure(position: number, start: number, limit: number): DecodeFailure {
    return position > limit ? shortage(start, limit) : DecodeFailure.Undefined;
}

function read16(bytes: Uint8Array, position: number): number {
    return bytes[position] | (bytes[position + 1] << 8);
}

function read32(bytes: Uint8Array, position: number): number {
    return bytes[position] | (bytes[position + 1] << 8) | (bytes[position + 2] << 16) | (bytes[position + 3] << 24);
}

/** SDM Vol. 2, table 2-1. Fills {@link memory}, returns the position after the displacement. */
function decodeMemory16(bytes: Uint8Array, position: number, modrm: number): number {
    const mod = modrm >> 6;
    const rm = modrm & 7;
    if (mod === 0 && rm === 6) {
        memory.displacement = (read16(bytes, position) << 16) >> 16;
        return position + 2;
    }
    memory.base = BASE_16[rm];
    memory.index = INDEX_16[rm];
    if (memory.base === Gpr.Rbp) {
        memory.segment = Segment.Ss;
    }
    if (mod === 1) {
        memory.displacement = (bytes[position] << 24) >> 24;
        return position + 1;
    }
    if (mod === 2) {
        memory.displacement = (read16(bytes, position) << 16) >> 16;
        return position + 2;
    }
    return position;
}

/** SDM Vol. 2, tables 2-2 and 2-3 and section 2.2.1.6. Fills {@link memory}, returns the position after it. */
function decodeMemory(bytes: Uint8Array, position: number, modrm: number, rex: number, mode64: boolean): number {
    const mod = modrm >> 6;
    let base = modrm & 7;
    if (base === 4) {
        const sib = bytes[position++];
        base = sib & 7;
        const index = ((sib >> 3) & 7) | ((rex & 2) << 2);
        if (index !== 4) {
            memory.index = index;
            memory.scale = sib >> 6;
        }
        if (base === 5 && mod === 0) {
            memory.displacement = read32(bytes, position);
            return position + 4;
        }
    } else if (base === 5 && mod === 0) {
        if (mode64) {
            memory.base = BASE_RIP;
        }
        memory.displacement = read32(bytes, position);
        return position + 4;
    }
    base |= (rex & 1) << 3;
    memory.base = base;
    if (base === Gpr.Rsp || base === Gpr.Rbp) {
        memory.segment = Segment.Ss;
    }
    if (mod === 1) {
        memory.displacement = (bytes[position] << 24) >> 24;
        return position + 1;
    }
    if (mod === 2) {
        memory.displacement = read32(bytes, position);
        return position + 4;
    }
    return position;
}
