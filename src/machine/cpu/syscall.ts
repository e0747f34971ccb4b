/** Fast system calls (SDM Vol. 3, 5.8.7–5.8.8; Vol. 2, SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS). */

import { Gpr, type Instruction, Segment } from '../../isa/x86/instruction';
import { Flag, SegmentAttribute, StateOffset } from '../state';
import type { Cpu } from './cpu';
import { Cr0, Cr4, Efer } from './cpu-state';
import { isStorableAddress } from './cpuid';
import { raise, Vector } from './fault';
import { advance, requireCpl0 } from './operands';
import type { OperationTable } from './operation';

const FLAT =
    SegmentAttribute.Accessed |
    SegmentAttribute.WritableOrReadable |
    SegmentAttribute.NonSystem |
    SegmentAttribute.Present |
    SegmentAttribute.Granularity;
const FLAT_CODE = FLAT | SegmentAttribute.Code;
const FLAT_DATA = FLAT | SegmentAttribute.Big;

/** SYSRET takes all flags from R11 but RF, VM and the reserved ones. */
const SYSRET_FLAGS = 0x3c7fd7;

/** CS and SS as these instructions set them: flat, without a look at the descriptor tables. */
function setFlatSegments(cpu: Cpu, cs: number, ss: number, cpl: number, code64: boolean): void {
    const dpl = cpl << SegmentAttribute.DplShift;
    const size = code64 ? SegmentAttribute.Long : SegmentAttribute.Big;
    cpu.setSegment(Segment.Cs, cs | cpl, 0, 0, 0xffffffff, FLAT_CODE | dpl | size);
    cpu.setSegment(Segment.Ss, ss | cpl, 0, 0, 0xffffffff, FLAT_DATA | dpl);
}

function syscall(cpu: Cpu, instruction: Instruction): void {
    if (!cpu.code64 || (cpu.efer & Efer.SCE) === 0) raise(Vector.UD);
    cpu.expireResumeFlag();
    advance(cpu, instruction);
    cpu.setGpr(Gpr.Rcx, cpu.ripLo, cpu.ripHi);
    const flags = cpu.rflags;
    cpu.setGpr32(Gpr.R11, flags);
    const selector = cpu.hi(StateOffset.star) & 0xfffc;
    setFlatSegments(cpu, selector, selector + 8, 0, true);
    cpu.setRip(cpu.lo(StateOffset.lstar), cpu.hi(StateOffset.lstar));
    cpu.writeFlags(flags & ~cpu.lo(StateOffset.sfmask) & ~Flag.RF);
    cpu.updateMode();
    // What FMASK clears counts for this instruction already.
    if ((cpu.systemFlags & Flag.TF) === 0) cpu.singleStepping = false;
}

function sysret(cpu: Cpu, instruction: Instruction): void {
    if (!cpu.code64 || (cpu.efer & Efer.SCE) === 0) raise(Vector.UD);
    requireCpl0(cpu);
    const wide = instruction.operandSize === 64;
    const lo = cpu.gpr(Gpr.Rcx);
    const hi = wide ? cpu.gprHi(Gpr.Rcx) : 0;
    if (!cpu.memory.isCanonical(lo, hi)) raise(Vector.GP);
    const selector = cpu.hi(StateOffset.star) >>> 16;
    setFlatSegments(cpu, ((selector + (wide ? 16 : 0)) & 0xfffc) | 3, ((selector + 8) & 0xfffc) | 3, 3, wide);
    cpu.setRip(lo, hi);
    cpu.writeFlags(cpu.gpr(Gpr.R11) & SYSRET_FLAGS);
    cpu.updateMode();
}

function sysenter(cpu: Cpu): void {
    const selector = cpu.lo(StateOffset.sysenterCs) & 0xfffc;
    if ((cpu.cr0 & Cr0.PE) === 0 || selector === 0) raise(Vector.GP);
    const long = cpu.longMode;
    setFlatSegments(cpu, selector, selector + 8, 0, long);
    cpu.writeFlags(cpu.rflags & ~(Flag.VM | Flag.IF | Flag.RF));
    cpu.setGpr(Gpr.Rsp, cpu.lo(StateOffset.sysenterEsp), long ? cpu.hi(StateOffset.sysenterEsp) : 0);
    cpu.setRip(cpu.lo(StateOffset.sysenterEip), long ? cpu.hi(StateOffset.sysenterEip) : 0);
    cpu.updateMode();
}

function sysexit(cpu: Cpu, instruction: Instruction): void {
    const base = cpu.lo(StateOffset.sysenterCs) & 0xfffc;
    if ((cpu.cr0 & Cr0.PE) === 0 || base === 0) raise(Vector.GP);
    requireCpl0(cpu);
    const wide = instruction.operandSize === 64;
    const ripHi = wide ? cpu.gprHi(Gpr.Rdx) : 0;
    const rspHi = wide ? cpu.gprHi(Gpr.Rcx) : 0;
    if (wide) {
        const canonical =
            cpu.memory.isCanonical(cpu.gpr(Gpr.Rdx), ripHi) && cpu.memory.isCanonical(cpu.gpr(Gpr.Rcx), rspHi);
        if (!canonical) raise(Vector.GP);
    }
    const selector = base + (wide ? 32 : 16);
    setFlatSegments(cpu, selector, selector + 8, 3, wide);
    cpu.setRip(cpu.gpr(Gpr.Rdx), ripHi);
    cpu.setGpr(Gpr.Rsp, cpu.gpr(Gpr.Rcx), rspHi);
    cpu.updateMode();
}

function swapgs(cpu: Cpu, instruction: Instruction): void {
    if (!cpu.code64) raise(Vector.UD);
    requireCpl0(cpu);
    const lo = cpu.segmentBase(Segment.Gs);
    const hi = cpu.segmentBaseHi(Segment.Gs);
    cpu.setSegmentBase(Segment.Gs, cpu.lo(StateOffset.kernelGsBase), cpu.hi(StateOffset.kernelGsBase));
    cpu.set(StateOffset.kernelGsBase, lo, hi);
    advance(cpu, instruction);
}

/** RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE: 64-bit mode only, if CR4.FSGSBASE is set. */
function moveBase(cpu: Cpu, instruction: Instruction, segment: Segment, write: boolean): void {
    if (!cpu.code64 || (cpu.cr4 & Cr4.FSGSBASE) === 0) raise(Vector.UD);
    const register = instruction.operands[0].register;
    const wide = instruction.operandSize === 64;
    if (write) {
        const hi = wide ? cpu.gprHi(register) : 0;
        if (!isStorableAddress(cpu, hi)) raise(Vector.GP);
        cpu.setSegmentBase(segment, cpu.gpr(register), hi);
    } else {
        cpu.setGpr(register, cpu.segmentBase(segment), wide ? cpu.segmentBaseHi(segment) : 0);
    }
    advance(cpu, instruction);
}

export const SYSCALL_INSTRUCTIONS: OperationTable = {
    SYSCALL: syscall,
    SYSRET: sysret,
    SYSENTER: sysenter,
    SYSEXIT: sysexit,
    SWAPGS: swapgs,
    RDFSBASE: (cpu, instruction) => moveBase(cpu, instruction, Segment.Fs, false),
    RDGSBASE: (cpu, instruction) => moveBase(cpu, instruction, Segment.Gs, false),
    WRFSBASE: (cpu, instruction) => moveBase(cpu, instruction, Segment.Fs, true),
    WRGSBASE: (cpu, instruction) => moveBase(cpu, instruction, Segment.Gs, true),
};
