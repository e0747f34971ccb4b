/** Instructions on segment registers and descriptor tables (SDM Vol. 1, 5.1.13, 5.20). */

import { type Instruction, OperandKind, Segment } from '../../isa/x86/instruction';
import { type MmuMode, StateOffset, SystemSegment } from '../state';
import type { Cpu } from './cpu';
import { Cr4 } from './cpu-state';
import { isStorableAddress } from './cpuid';
import { Descriptor, fetchDescriptor, isNullSelector, SystemType } from './descriptor';
import { raise, Vector } from './fault';
import { setZeroFlag } from './flags';
import {
    advance,
    effectiveAddress,
    linear,
    memoryOperand,
    readOperand32,
    requireCpl0,
    segmentLinear,
    value,
    readMemory,
    writeOperand,
} from './operands';
import type { OperationTable } from './operation';
import { loadLdtr, loadSegment, loadTr } from './segmentation';
import { currentStack } from './stack';

const examined = new Descriptor();

/** Bit 1 of `StateOffset.interruptShadow`: loading SS holds off interrupts and debug traps (SDM Vol. 3, 6.8.3). */
const SHADOW_MOV_SS = 2;

/** MOV to SS and POP SS: interrupts wait until the stack pointer has been loaded too. */
function shadowStackLoad(cpu: Cpu, segment: number): void {
    if (segment !== Segment.Ss) return;
    cpu.setLo(StateOffset.interruptShadow, cpu.lo(StateOffset.interruptShadow) | SHADOW_MOV_SS);
    cpu.hooks.attention();
}

/** MOV Sreg,r/m16. */
export function moveToSegment(cpu: Cpu, instruction: Instruction): void {
    const segment = instruction.operands[0].register;
    if (segment === Segment.Cs) raise(Vector.UD);
    const selector = readOperand32(cpu, instruction, instruction.operands[1]) & 0xffff;
    loadSegment(cpu, segment, selector);
    advance(cpu, instruction);
    shadowStackLoad(cpu, segment);
}

/** POP Sreg. */
export function popSegment(cpu: Cpu, instruction: Instruction): void {
    const segment = instruction.operands[0].register;
    const stack = currentStack.useCurrent(cpu);
    const selector = stack.pop(cpu, instruction.operandSize / 8) & 0xffff;
    loadSegment(cpu, segment, selector);
    stack.commit(cpu);
    advance(cpu, instruction);
    shadowStackLoad(cpu, segment);
}

/** LDS, LES, LFS, LGS, LSS: offset to the register, selector behind it to the segment. */
function loadFarPointer(cpu: Cpu, instruction: Instruction, segment: number): void {
    const size = instruction.operandSize / 8;
    const mode = cpu.mmuModeOf(cpu.cpl);
    memoryOperand(cpu, instruction, size + 2, false);
    const { lo, hi } = linear;
    const sum = lo + size;
    const selectorLo = sum >>> 0;
    const selectorHi = sum > 0xffffffff && cpu.longMode ? (hi + 1) >>> 0 : hi;
    const selector = cpu.memory.read16(selectorLo, selectorHi, mode);
    readMemory(cpu, lo, hi, size, mode);
    const offsetLo = value.lo;
    const offsetHi = value.hi;
    loadSegment(cpu, segment, selector);
    writeOperand(cpu, instruction, instruction.operands[0], offsetLo, offsetHi);
    advance(cpu, instruction);
}

/** User-mode instruction prevention: #GP(0) for SGDT, SIDT, SLDT, SMSW and STR (SDM Vol. 3, 2.5). */
export function checkUmip(cpu: Cpu): void {
    if (cpu.cr4 & Cr4.UMIP && cpu.cpl > 0) raise(Vector.GP);
}

function storeSystemSelector(cpu: Cpu, instruction: Instruction, segment: SystemSegment): void {
    checkUmip(cpu);
    writeOperand(cpu, instruction, instruction.operands[0], cpu.selector(segment), 0);
    advance(cpu, instruction);
}

/** SGDT, SIDT: limit, then a base of 4 bytes (8 in 64-bit mode) whatever the operand size. */
function storeTable(cpu: Cpu, instruction: Instruction, base: number, limit: number): void {
    checkUmip(cpu);
    const size = cpu.code64 ? 10 : 6;
    const mode = cpu.mmuModeOf(cpu.cpl);
    memoryOperand(cpu, instruction, size, true);
    const { lo, hi } = linear;
    cpu.memory.probeWrite(lo, hi, size, mode);
    const sum = lo + 2;
    const at = sum >>> 0;
    const atHi = sum > 0xffffffff && cpu.longMode ? (hi + 1) >>> 0 : hi;
    cpu.memory.write16(lo, hi, cpu.lo(limit), mode);
    if (size === 10) cpu.memory.write64(at, atHi, cpu.lo(base), cpu.hi(base), mode);
    else cpu.memory.write32(at, atHi, cpu.lo(base), mode);
    advance(cpu, instruction);
}

/** LGDT, LIDT: with a 16-bit operand size the base has 24 bits. */
function loadTable(cpu: Cpu, instruction: Instruction, base: number, limit: number): void {
    requireCpl0(cpu);
    const size = cpu.code64 ? 10 : 6;
    const mode = cpu.mmuModeOf(cpu.cpl);
    memoryOperand(cpu, instruction, size, false);
    const { lo, hi } = linear;
    const newLimit = cpu.memory.read16(lo, hi, mode);
    const sum = lo + 2;
    readMemory(cpu, sum >>> 0, sum > 0xffffffff && cpu.longMode ? (hi + 1) >>> 0 : hi, size - 2, mode);
    if (size === 10 && !isStorableAddress(cpu, value.hi)) raise(Vector.GP);
    const narrow = instruction.operandSize === 16 && !cpu.code64;
    cpu.set(base, narrow ? value.lo & 0xffffff : value.lo, value.hi);
    cpu.setLo(limit, newLimit);
    advance(cpu, instruction);
}

/** Whether LAR, LSL, VERR, VERW may see the segment: conforming code always, the rest by DPL. */
function isVisible(cpu: Cpu, descriptor: Descriptor): boolean {
    if (descriptor.isCode && descriptor.isConforming) return true;
    return descriptor.dpl >= cpu.cpl && descriptor.dpl >= descriptor.rpl;
}

/** System descriptor types that LAR and LSL accept, as bit sets (SDM Vol. 2, LAR, LSL). */
const LAR_TYPES =
    (1 << SystemType.Tss16Available) |
    (1 << SystemType.Ldt) |
    (1 << SystemType.Tss16Busy) |
    (1 << SystemType.CallGate16) |
    (1 << SystemType.TaskGate) |
    (1 << SystemType.Tss32Available) |
    (1 << SystemType.Tss32Busy) |
    (1 << SystemType.CallGate32);
const LONG_MODE_LAR_TYPES =
    (1 << SystemType.Ldt) |
    (1 << SystemType.Tss32Available) |
    (1 << SystemType.Tss32Busy) |
    (1 << SystemType.CallGate32);
const GATES = (1 << SystemType.CallGate16) | (1 << SystemType.TaskGate) | (1 << SystemType.CallGate32);

/** What LAR shows. The limit's upper bits are undefined in the manual; processors leave them in. */
const LAR_RIGHTS = 0x00ffff00;

function examine(cpu: Cpu, instruction: Instruction, types: number, result: (descriptor: Descriptor) => number): void {
    const selector = readOperand32(cpu, instruction, instruction.operands[1]) & 0xffff;
    const found =
        !isNullSelector(selector) &&
        fetchDescriptor(cpu, selector, examined) &&
        (!examined.isSystem || ((types >> examined.type) & 1) !== 0) &&
        isVisible(cpu, examined);
    if (found) writeOperand(cpu, instruction, instruction.operands[0], result(examined) >>> 0, 0);
    setZeroFlag(cpu, found);
    advance(cpu, instruction);
}

function verify(cpu: Cpu, instruction: Instruction, allowed: (descriptor: Descriptor) => boolean): void {
    const selector = readOperand32(cpu, instruction, instruction.operands[0]) & 0xffff;
    const passed =
        !isNullSelector(selector) &&
        fetchDescriptor(cpu, selector, examined) &&
        !examined.isSystem &&
        isVisible(cpu, examined) &&
        allowed(examined);
    setZeroFlag(cpu, passed);
    advance(cpu, instruction);
}

/** ARPL raises the RPL of its destination to that of its source. */
function adjustRpl(cpu: Cpu, instruction: Instruction): void {
    const [destination, source] = instruction.operands;
    const rpl = cpu.gpr(source.register) & 3;
    const selector = readOperand32(cpu, instruction, destination) & 0xffff;
    const raised = (selector & 3) < rpl;
    if (raised) {
        writeOperand(cpu, instruction, destination, (selector & 0xfffc) | rpl, 0);
    } else if (destination.kind === OperandKind.Memory) {
        // The destination is checked for writing even if it keeps its value.
        effectiveAddress(cpu, instruction);
        segmentLinear(cpu, instruction.segment, linear.lo, linear.hi, 2, true);
        cpu.memory.probeWrite(linear.lo, linear.hi, 2, cpu.mmuModeOf(cpu.cpl) as MmuMode);
    }
    setZeroFlag(cpu, raised);
    advance(cpu, instruction);
}

export const SEGMENT_INSTRUCTIONS: OperationTable = {
    POP: popSegment,
    LDS: (cpu, instruction) => loadFarPointer(cpu, instruction, Segment.Ds),
    LES: (cpu, instruction) => loadFarPointer(cpu, instruction, Segment.Es),
    LFS: (cpu, instruction) => loadFarPointer(cpu, instruction, Segment.Fs),
    LGS: (cpu, instruction) => loadFarPointer(cpu, instruction, Segment.Gs),
    LSS: (cpu, instruction) => loadFarPointer(cpu, instruction, Segment.Ss),
    SLDT: (cpu, instruction) => storeSystemSelector(cpu, instruction, SystemSegment.Ldtr),
    STR: (cpu, instruction) => storeSystemSelector(cpu, instruction, SystemSegment.Tr),
    LLDT: (cpu, instruction) => {
        requireCpl0(cpu);
        loadLdtr(cpu, readOperand32(cpu, instruction, instruction.operands[0]) & 0xffff);
        advance(cpu, instruction);
    },
    LTR: (cpu, instruction) => {
        requireCpl0(cpu);
        loadTr(cpu, readOperand32(cpu, instruction, instruction.operands[0]) & 0xffff);
        advance(cpu, instruction);
    },
    SGDT: (cpu, instruction) => storeTable(cpu, instruction, StateOffset.gdtrBase, StateOffset.gdtrLimit),
    SIDT: (cpu, instruction) => storeTable(cpu, instruction, StateOffset.idtrBase, StateOffset.idtrLimit),
    LGDT: (cpu, instruction) => loadTable(cpu, instruction, StateOffset.gdtrBase, StateOffset.gdtrLimit),
    LIDT: (cpu, instruction) => loadTable(cpu, instruction, StateOffset.idtrBase, StateOffset.idtrLimit),
    LAR: (cpu, instruction) => {
        const types = cpu.longMode ? LONG_MODE_LAR_TYPES : LAR_TYPES;
        examine(cpu, instruction, types, descriptor => descriptor.hi & LAR_RIGHTS);
    },
    LSL: (cpu, instruction) => {
        const types = (cpu.longMode ? LONG_MODE_LAR_TYPES : LAR_TYPES) & ~GATES;
        examine(cpu, instruction, types, descriptor => descriptor.limit);
    },
    VERR: (cpu, instruction) => verify(cpu, instruction, descriptor => descriptor.isReadable),
    VERW: (cpu, instruction) => verify(cpu, instruction, descriptor => descriptor.isWritableData),
    ARPL: adjustRpl,
};
