/** Identification, counters, MSRs, caches, translations, waiting (SDM Vol. 1, 5.20–5.22). */

import { Gpr, type Instruction } from '../../isa/x86/instruction';
import { ActivityState, Flag, MonitorState, StateOffset } from '../state';
import type { Cpu } from './cpu';
import { Cr4 } from './cpu-state';
import { cpuid, isStorableAddress } from './cpuid';
import { raise, Vector } from './fault';
import { setArithmeticFlags } from './flags';
import { rdmsr, readTsc, wrmsr } from './msr';
import {
    advance,
    effectiveAddress,
    linear,
    memoryOperand,
    requireCpl0,
    segmentLinear,
    value,
    writeOperand,
} from './operands';
import type { OperationTable, SystemOperation } from './operation';
import { Segment } from '../../isa/x86/instruction';

/** IA32_MISC_ENABLE bit 18. */
const MONITOR_ENABLED = 1 << 18;

const undefinedInstruction: SystemOperation = () => raise(Vector.UD);

function readTimeStamp(cpu: Cpu): void {
    if (cpu.cr4 & Cr4.TSD && cpu.cpl !== 0) raise(Vector.GP);
    readTsc(cpu, value);
    cpu.setGpr32(Gpr.Rax, value.lo);
    cpu.setGpr32(Gpr.Rdx, value.hi);
}

/** RDRAND, RDSEED: there is always a number (CF = 1); the other arithmetic flags are cleared. */
function random(cpu: Cpu, instruction: Instruction): void {
    const destination = instruction.operands[0];
    const lo = cpu.hooks.random();
    const hi = destination.size === 8 ? cpu.hooks.random() : 0;
    writeOperand(cpu, instruction, destination, lo, hi);
    setArithmeticFlags(cpu, Flag.CF);
    advance(cpu, instruction);
}

function invalidatePage(cpu: Cpu, instruction: Instruction): void {
    requireCpl0(cpu);
    effectiveAddress(cpu, instruction);
    // No segment checks, and an address that is not canonical invalidates nothing.
    const segment = instruction.segment;
    let { lo, hi } = linear;
    if (!cpu.code64 || segment >= Segment.Fs) {
        const sum = lo + cpu.segmentBase(segment);
        lo = sum >>> 0;
        hi = cpu.code64 ? (hi + cpu.segmentBaseHi(segment) + (sum > 0xffffffff ? 1 : 0)) >>> 0 : 0;
    }
    if (cpu.memory.isCanonical(lo, hi)) cpu.mmu.flushPage(lo, hi);
    advance(cpu, instruction);
}

const enum InvpcidType {
    Address,
    SingleContext,
    AllWithGlobals,
    All,
}

/** INVPCID (SDM Vol. 2). The soft TLB holds one address space, so other PCIDs need nothing. */
function invalidatePcid(cpu: Cpu, instruction: Instruction): void {
    requireCpl0(cpu);
    const register = instruction.operands[0].register;
    const type = cpu.gpr(register);
    if (type > InvpcidType.All || (cpu.code64 && cpu.gprHi(register) !== 0)) raise(Vector.GP);
    memoryOperand(cpu, instruction, 16, false);
    const { lo, hi } = linear;
    const mode = cpu.mmuModeOf(cpu.cpl);
    cpu.memory.readInto(cpu.base + StateOffset.scratch, lo, hi, 16, mode);
    const pcid = cpu.lo(StateOffset.scratch);
    const addressLo = cpu.lo(StateOffset.scratch + 8);
    const addressHi = cpu.hi(StateOffset.scratch + 8);
    if (pcid & ~0xfff || cpu.hi(StateOffset.scratch) !== 0) raise(Vector.GP);
    const usesPcid = type === InvpcidType.Address || type === InvpcidType.SingleContext;
    if (usesPcid && pcid !== 0 && (cpu.cr4 & Cr4.PCIDE) === 0) raise(Vector.GP);
    if (type === InvpcidType.Address) {
        if (!isStorableAddress(cpu, addressHi)) raise(Vector.GP);
        cpu.mmu.flushPage(addressLo, addressHi);
    } else if (type === InvpcidType.AllWithGlobals) {
        cpu.mmu.flushAll();
    } else {
        cpu.mmu.flushNonGlobal();
    }
    advance(cpu, instruction);
}

/** CLFLUSH, CLFLUSHOPT, CLWB fault as a load of one byte does; there is no cache to write back. */
function touchLine(cpu: Cpu, instruction: Instruction): void {
    memoryOperand(cpu, instruction, 1, false);
    cpu.memory.probeRead(linear.lo, linear.hi, 1, cpu.mmuModeOf(cpu.cpl));
    advance(cpu, instruction);
}

function privilegedNoOperation(cpu: Cpu, instruction: Instruction): void {
    requireCpl0(cpu);
    advance(cpu, instruction);
}

function halt(cpu: Cpu, instruction: Instruction): void {
    requireCpl0(cpu);
    advance(cpu, instruction);
    cpu.activity = ActivityState.Halted;
    cpu.hooks.observer?.halted(cpu, false);
}

function requireMonitor(cpu: Cpu): void {
    if (cpu.cpl !== 0 || (cpu.lo(StateOffset.miscEnable) & MONITOR_ENABLED) === 0) raise(Vector.UD);
}

function monitor(cpu: Cpu, instruction: Instruction): void {
    requireMonitor(cpu);
    if (cpu.gpr(Gpr.Rcx) !== 0) raise(Vector.GP);
    const width = instruction.addressSize;
    const lo = width === 16 ? cpu.gpr(Gpr.Rax) & 0xffff : cpu.gpr(Gpr.Rax);
    const hi = width === 64 ? cpu.gprHi(Gpr.Rax) : 0;
    const segment = instruction.segmentOverride >= 0 ? instruction.segmentOverride : Segment.Ds;
    segmentLinear(cpu, segment, lo, hi, 1, false);
    cpu.memory.probeRead(linear.lo, linear.hi, 1, cpu.mmuModeOf(cpu.cpl));
    cpu.set(StateOffset.monitorAddress, linear.lo, linear.hi);
    cpu.setLo(StateOffset.monitor, MonitorState.Armed);
    advance(cpu, instruction);
}

/**
 * MWAIT halts as HLT does, in `MonitorState.Waiting`: the machine wakes such a vCPU (`wake`) whenever somebody else may
 * have stored to memory, because the guest takes any wake-up as a hint only.
 */
function monitorWait(cpu: Cpu, instruction: Instruction): void {
    requireMonitor(cpu);
    // ECX bit 0: interrupts end the wait even if IF is 0.
    if (cpu.gpr(Gpr.Rcx) & ~1) raise(Vector.GP);
    advance(cpu, instruction);
    if (cpu.lo(StateOffset.monitor) !== MonitorState.Armed) return;
    cpu.setLo(StateOffset.monitor, MonitorState.Waiting);
    cpu.activity = ActivityState.Halted;
    cpu.hooks.observer?.halted(cpu, true);
}

export const PROCESSOR_INSTRUCTIONS: OperationTable = {
    CPUID: (cpu, instruction) => {
        const leaf = cpu.gpr(Gpr.Rax);
        const subleaf = cpu.gpr(Gpr.Rcx);
        cpu.hooks.identifying?.();
        cpuid(cpu);
        cpu.hooks.observer?.identified(cpu, leaf, subleaf);
        advance(cpu, instruction);
    },
    RDMSR: (cpu, instruction) => {
        requireCpl0(cpu);
        rdmsr(cpu);
        advance(cpu, instruction);
    },
    WRMSR: (cpu, instruction) => {
        requireCpl0(cpu);
        wrmsr(cpu);
        advance(cpu, instruction);
    },
    RDTSC: (cpu, instruction) => {
        readTimeStamp(cpu);
        advance(cpu, instruction);
    },
    RDTSCP: (cpu, instruction) => {
        readTimeStamp(cpu);
        cpu.setGpr32(Gpr.Rcx, cpu.lo(StateOffset.tscAux));
        advance(cpu, instruction);
    },
    RDPID: (cpu, instruction) => {
        cpu.setGpr32(instruction.operands[0].register, cpu.lo(StateOffset.tscAux));
        advance(cpu, instruction);
    },
    // There are no performance counters to read (CPUID.0AH): every index is #GP.
    RDPMC: () => raise(Vector.GP),
    RDRAND: random,
    RDSEED: random,
    INVD: privilegedNoOperation,
    WBINVD: privilegedNoOperation,
    INVLPG: invalidatePage,
    INVPCID: invalidatePcid,
    CLFLUSH: touchLine,
    CLFLUSHOPT: touchLine,
    CLWB: touchLine,
    HLT: halt,
    MONITOR: monitor,
    MWAIT: monitorWait,
    PAUSE: (cpu, instruction) => {
        cpu.setLo(StateOffset.pauses, 0);
        cpu.hooks.waiting?.();
        advance(cpu, instruction);
    },
    RSM: undefinedInstruction,
    VMCALL: undefinedInstruction,
    VMMCALL: undefinedInstruction,
    UD0: undefinedInstruction,
    UD1: undefinedInstruction,
    UD2: undefinedInstruction,
};
