/**
 * Memory operands as ModRM, SIB and displacement encode them (SDM Vol. 2, 2.1.5).
 */

import { BASE_RIP, Gpr, NO_REGISTER, Segment } from './instruction';

const BASE_16 = [Gpr.Rbx, Gpr.Rbx, Gpr.Rbp, Gpr.Rbp, Gpr.Rsi, Gpr.Rdi, Gpr.Rbp, Gpr.Rbx] as const;
const INDEX_16 = [Gpr.Rsi, Gpr.Rdi, Gpr.Rsi, Gpr.Rdi, NO_REGISTER, NO_REGISTER, NO_REGISTER, NO_REGISTER] as const;

/** A decoded memory operand; one object serves all calls, and is valid until the next. */
export class DecodedMemory {
    public base: number = NO_REGISTER;
    public index: number = NO_REGISTER;
    public scale = 0;
    public displacement = 0;
    /** The segment by default: SS with rSP or rBP as base. */
    public segment: number = Segment.Ds;
    /** Position after the operand. */
    public position = 0;
}

/** No memory operand, or one without registers. */
export function clearMemory(memory: DecodedMemory, position: number): void {
    memory.base = NO_REGISTER;
    memory.index = NO_REGISTER;
    memory.scale = 0;
    memory.displacement = 0;
    memory.segment = Segment.Ds;
    memory.position = position;
}

/** Table 2-1: 16-bit addresses. `memory` is clear but for the position, which is that after ModRM. */
export function decodeMemory16(memory: DecodedMemory, bytes: Uint8Array, modrm: number): void {
    const mod = modrm >> 6;
    const rm = modrm & 7;
    if (mod === 0 && rm === 6) {
        memory.displacement = readSigned16(bytes, memory.position);
        memory.position += 2;
        return;
    }
    memory.base = BASE_16[rm];
    memory.index = INDEX_16[rm];
    if (memory.base === Gpr.Rbp) {
        memory.segment = Segment.Ss;
    }
    if (mod === 1) {
        memory.displacement = readSigned8(bytes, memory.position);
        memory.position += 1;
    } else if (mod === 2) {
        memory.displacement = readSigned16(bytes, memory.position);
        memory.position += 2;
    }
}

/** Tables 2-2 and 2-3, and 2.2.1.6 for 64-bit mode. `memory` is as for {@link decodeMemory16}. */
export function decodeMemory(
    memory: DecodedMemory,
    bytes: Uint8Array,
    modrm: number,
    rex: number,
    mode64: boolean,
): void {
    const mod = modrm >> 6;
    let base = modrm & 7;
    let ripRelative = mode64;
    if (base === 4) {
        const sib = bytes[memory.position++];
        base = sib & 7;
        ripRelative = false;
        const index = ((sib >> 3) & 7) | ((rex & 2) << 2);
        if (index !== Gpr.Rsp) {
            memory.index = index;
            memory.scale = sib >> 6;
        }
    }
    if (base === 5 && mod === 0) {
        memory.base = ripRelative ? BASE_RIP : NO_REGISTER;
        memory.displacement = readSigned32(bytes, memory.position);
        memory.position += 4;
        return;
    }
    base |= (rex & 1) << 3;
    memory.base = base;
    if (base === Gpr.Rsp || base === Gpr.Rbp) {
        memory.segment = Segment.Ss;
    }
    if (mod === 1) {
        memory.displacement = readSigned8(bytes, memory.position);
        memory.position += 1;
    } else if (mod === 2) {
        memory.displacement = readSigned32(bytes, memory.position);
        memory.position += 4;
    }
}

export function readSigned8(bytes: Uint8Array, position: number): number {
    return (bytes[position] << 24) >> 24;
}

export function readUnsigned16(bytes: Uint8Array, position: number): number {
    return bytes[position] | (bytes[position + 1] << 8);
}

export function readSigned16(bytes: Uint8Array, position: number): number {
    return (readUnsigned16(bytes, position) << 16) >> 16;
}

export function readSigned32(bytes: Uint8Array, position: number): number {
    return readUnsigned16(bytes, position) | (bytes[position + 2] << 16) | (bytes[position + 3] << 24);
}
