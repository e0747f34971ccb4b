/**
 * Operands of system instructions: registers, and memory through a segment with all its checks (SDM Vol. 3, 5.3–5.5,
 * Vol. 1, 3.3.7). Results that do not fit one number come back in {@link linear} and {@link value}.
 */

import { BASE_RIP, type Instruction, NO_REGISTER, type Operand, OperandKind, Segment } from '../../isa/x86/instruction';
import { ModeKey, SegmentAttribute } from '../state';
import type { Cpu } from './cpu';
import { raise, Vector } from './fault';

/** A 64-bit quantity as two unsigned halves. */
export interface Halves {
    lo: number;
    hi: number;
}

/** The linear address that the last address function computed. */
export const linear: Halves = { lo: 0, hi: 0 };
/** The value that the last read function read. */
export const value: Halves = { lo: 0, hi: 0 };

/** Sum of a 64-bit quantity and a signed 64-bit one, into `target`. */
function add(target: Halves, lo: number, hi: number): void {
    const sum = target.lo + (lo >>> 0);
    target.lo = sum >>> 0;
    target.hi = (target.hi + hi + (sum > 0xffffffff ? 1 : 0)) >>> 0;
}

/** RIP of the next instruction. EIP wraps at 32 bits outside 64-bit mode. */
export function advance(cpu: Cpu, instruction: Instruction): void {
    const sum = cpu.ripLo + instruction.length;
    const lo = sum >>> 0;
    if (sum > 0xffffffff && cpu.code64) cpu.setRip(lo, (cpu.ripHi + 1) >>> 0);
    else cpu.setRip(lo, cpu.ripHi);
}

/** The offset of the instruction's memory operand within its segment, truncated to the address size, in {@link linear}. */
export function effectiveAddress(cpu: Cpu, instruction: Instruction): void {
    linear.lo = instruction.displacement >>> 0;
    linear.hi = instruction.displacementHigh >>> 0;
    if (instruction.base === BASE_RIP) {
        add(linear, cpu.ripLo, cpu.ripHi);
        add(linear, instruction.length, 0);
    } else if (instruction.base !== NO_REGISTER) {
        add(linear, cpu.gpr(instruction.base), cpu.gprHi(instruction.base));
    }
    if (instruction.index !== NO_REGISTER) {
        const scale = instruction.scale;
        const lo = cpu.gpr(instruction.index);
        const hi = cpu.gprHi(instruction.index);
        add(linear, lo << scale, scale === 0 ? hi : (hi << scale) | (lo >>> (32 - scale)));
    }
    truncate(linear, instruction.addressSize);
}

function truncate(target: Halves, size: number): void {
    if (size === 64) return;
    target.hi = 0;
    if (size === 16) target.lo &= 0xffff;
}

/**
 * Turns an offset in a segment into the linear address of `size` bytes, in {@link linear}.
 * @throws GuestFault #SS(0) for SS, #GP(0) for the others; #AC(0)
 */
export function segmentLinear(
    cpu: Cpu,
    segment: number,
    offsetLo: number,
    offsetHi: number,
    size: number,
    write: boolean,
): void {
    const mode = cpu.mode;
    if ((mode & ModeKey.CodeSizeMask) === 2) {
        linear.lo = offsetLo;
        linear.hi = offsetHi;
        if (segment >= Segment.Fs) add(linear, cpu.segmentBase(segment), cpu.segmentBaseHi(segment));
        const last = linear.lo + size - 1;
        const lastHi = last > 0xffffffff ? (linear.hi + 1) >>> 0 : linear.hi;
        if (!cpu.memory.isCanonical(linear.lo, linear.hi) || !cpu.memory.isCanonical(last >>> 0, lastHi)) {
            raise(segment === Segment.Ss ? Vector.SS : Vector.GP);
        }
    } else {
        if ((mode & ModeKey.Flat) === 0 || segment === Segment.Cs || segment >= Segment.Fs) {
            checkSegment(cpu, segment, offsetLo, size, write);
        } else if (offsetLo + size > 0x100000000) {
            raise(segment === Segment.Ss ? Vector.SS : Vector.GP);
        }
        linear.lo = (offsetLo + cpu.segmentBase(segment)) >>> 0;
        linear.hi = 0;
    }
    if (mode & ModeKey.AlignmentCheck && size <= 8 && (size & (size - 1)) === 0 && linear.lo & (size - 1)) {
        raise(Vector.AC);
    }
}

/** Type and limit of a segment outside 64-bit mode (SDM Vol. 3, 5.3, 5.5). */
function checkSegment(cpu: Cpu, segment: number, offset: number, size: number, write: boolean): void {
    const attributes = cpu.segmentAttributes(segment);
    if (cpu.protectedMode) {
        const data = (attributes & SegmentAttribute.Code) === 0;
        const second = (attributes & SegmentAttribute.WritableOrReadable) !== 0;
        if (attributes & SegmentAttribute.Unusable || (write ? !data || !second : !data && !second)) {
            raise(segment === Segment.Ss ? Vector.SS : Vector.GP);
        }
    }
    if (!withinLimit(offset, size, cpu.segmentLimit(segment), attributes)) {
        raise(segment === Segment.Ss ? Vector.SS : Vector.GP);
    }
}

/** Whether `size` bytes at `offset` lie inside a segment. */
export function withinLimit(offset: number, size: number, limit: number, attributes: number): boolean {
    const last = offset + size - 1;
    const downMask = SegmentAttribute.Code | SegmentAttribute.ExpandDownOrConforming;
    if ((attributes & downMask) === SegmentAttribute.ExpandDownOrConforming) {
        return offset > limit && last <= (attributes & SegmentAttribute.Big ? 0xffffffff : 0xffff);
    }
    return last <= limit;
}

/** Linear address of the instruction's memory operand plus `displacement` bytes, in {@link linear}. */
export function memoryOperand(
    cpu: Cpu,
    instruction: Instruction,
    size: number,
    write: boolean,
    displacement = 0,
): void {
    effectiveAddress(cpu, instruction);
    if (displacement !== 0) {
        add(linear, displacement, 0);
        truncate(linear, instruction.addressSize);
    }
    segmentLinear(cpu, instruction.segment, linear.lo, linear.hi, size, write);
}

/** Reads a general register or memory operand of 1, 2, 4 or 8 bytes, or an immediate, into {@link value}. */
export function readOperand(cpu: Cpu, instruction: Instruction, operand: Operand): void {
    value.hi = 0;
    switch (operand.kind) {
        case OperandKind.Gpr:
            value.lo = readRegister(cpu, operand);
            if (operand.size === 8) value.hi = cpu.gprHi(operand.register);
            return;
        case OperandKind.Memory: {
            memoryOperand(cpu, instruction, operand.size, false);
            const mode = cpu.mmuModeOf(cpu.cpl);
            readMemory(cpu, linear.lo, linear.hi, operand.size, mode);
            return;
        }
        default:
            value.lo = instruction.immediate >>> 0;
            value.hi = instruction.immediateHigh >>> 0;
    }
}

/** As {@link readOperand} for operands of up to 4 bytes. */
export function readOperand32(cpu: Cpu, instruction: Instruction, operand: Operand): number {
    readOperand(cpu, instruction, operand);
    return value.lo;
}

/** Writes a general register (32-bit results clear the upper half) or memory operand. */
export function writeOperand(cpu: Cpu, instruction: Instruction, operand: Operand, lo: number, hi: number): void {
    if (operand.kind === OperandKind.Gpr) {
        writeRegister(cpu, operand, lo, hi);
        return;
    }
    memoryOperand(cpu, instruction, operand.size, true);
    writeMemory(cpu, linear.lo, linear.hi, operand.size, lo, hi, cpu.mmuModeOf(cpu.cpl));
}

function readRegister(cpu: Cpu, operand: Operand): number {
    const low = cpu.gpr(operand.register);
    if (operand.highByte) return (low >>> 8) & 0xff;
    return operand.size >= 4 ? low : operand.size === 2 ? low & 0xffff : low & 0xff;
}

function writeRegister(cpu: Cpu, operand: Operand, lo: number, hi: number): void {
    switch (operand.size) {
        case 8:
            cpu.setGpr(operand.register, lo, hi);
            break;
        case 4:
            cpu.setGpr32(operand.register, lo);
            break;
        case 2:
            cpu.setGpr16(operand.register, lo);
            break;
        default:
            cpu.bytes[operand.register * 8 + (operand.highByte ? 1 : 0)] = lo;
    }
}

/** Reads 1, 2, 4 or 8 bytes at a linear address into {@link value}. */
export function readMemory(cpu: Cpu, lo: number, hi: number, size: number, mode: number): void {
    const memory = cpu.memory;
    value.hi = 0;
    switch (size) {
        case 1:
            value.lo = memory.read8(lo, hi, mode);
            break;
        case 2:
            value.lo = memory.read16(lo, hi, mode);
            break;
        case 4:
            value.lo = memory.read32(lo, hi, mode);
            break;
        default: {
            value.lo = memory.read32(lo, hi, mode);
            const next = (lo + 4) >>> 0;
            value.hi = memory.read32(next, next < lo && cpu.longMode ? (hi + 1) >>> 0 : hi, mode);
        }
    }
}

/** Writes 1, 2, 4 or 8 bytes at a linear address. */
export function writeMemory(
    cpu: Cpu,
    addressLo: number,
    addressHi: number,
    size: number,
    lo: number,
    hi: number,
    mode: number,
): void {
    const memory = cpu.memory;
    switch (size) {
        case 1:
            memory.write8(addressLo, addressHi, lo, mode);
            break;
        case 2:
            memory.write16(addressLo, addressHi, lo, mode);
            break;
        case 4:
            memory.write32(addressLo, addressHi, lo, mode);
            break;
        default:
            memory.write64(addressLo, addressHi, lo, hi, mode);
    }
}

/** #GP(0) unless CPL is 0: the check of every privileged instruction (SDM Vol. 3, 5.9). */
export function requireCpl0(cpu: Cpu): void {
    if (cpu.cpl !== 0) raise(Vector.GP);
}
