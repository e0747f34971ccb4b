/**
 * What happens between two instructions, in the order of SDM Vol. 3, table 6-2: debug traps of the last instruction,
 * NMI, maskable interrupts, code breakpoints; then the instruction itself.
 *
 * A run loop calls {@link serviceEvents} when the vCPU asked for attention, and brackets an instruction that must run
 * alone ({@link mustStep}) with {@link beforeInstruction} and {@link afterInstruction}.
 */

import { Flag, StateOffset } from '../state';
import { DebugStatus, matchCodeBreakpoints } from './breakpoints';
import type { Cpu } from './cpu';
import { guestFault, Vector } from './fault';
import {
    deliverDebugTrap,
    deliverException,
    deliverInterrupt,
    deliverNmi,
    interruptsOpen,
    nmiOpen,
} from './interrupts';

/** What asks for the vCPU's attention from outside. */
export interface InterruptSource {
    nmiPending(): boolean;
    /** The pending NMI is being delivered. */
    takeNmi(): void;
    /** Whether an interrupt above the task priority waits, at the APIC or as ExtINT at the PIC. */
    interruptPending(): boolean;
    /** Acknowledges that interrupt; returns its vector. */
    acknowledge(): number;
}

/** IA32_DEBUGCTL.BTF: single-step on branches (SDM Vol. 3, 17.4.3). */
const DEBUGCTL_BTF = 2;

/** A MOV SS shadow also holds off debug traps. */
const SHADOW_MOV_SS = 2;

/**
 * Delivers the most urgent of what is due.
 * @param resume RIP is inside a repeated string instruction
 * @returns whether anything was delivered: there may be more
 */
export function serviceEvents(cpu: Cpu, source: InterruptSource, resume = false): boolean {
    if (cpu.lo(StateOffset.pendingDebug) !== 0 && (cpu.lo(StateOffset.interruptShadow) & SHADOW_MOV_SS) === 0) {
        deliverDebugTrap(cpu);
        return true;
    }
    if (nmiOpen(cpu) && source.nmiPending()) {
        source.takeNmi();
        deliverNmi(cpu, resume);
        return true;
    }
    if (interruptsOpen(cpu) && source.interruptPending()) {
        deliverInterrupt(cpu, source.acknowledge(), resume);
        return true;
    }
    return false;
}

/** Whether the next instruction has to run alone. */
export function mustStep(cpu: Cpu): boolean {
    return (
        (cpu.systemFlags & Flag.TF) !== 0 ||
        cpu.lo(StateOffset.interruptShadow) !== 0 ||
        cpu.lo(StateOffset.pendingDebug) !== 0 ||
        cpu.hasCodeBreakpoints
    );
}

/** @returns true if a code breakpoint was delivered instead of the instruction */
export function beforeInstruction(cpu: Cpu): boolean {
    cpu.expireResumeFlag();
    // MOV SS holds off breakpoints at the next instruction for good (SDM Vol. 3, 18.3.1.1).
    const held = (cpu.lo(StateOffset.interruptShadow) & SHADOW_MOV_SS) !== 0;
    const status = held ? 0 : matchCodeBreakpoints(cpu);
    if (status !== 0) {
        guestFault.vector = Vector.DB;
        guestFault.debugStatus = status;
        deliverException(cpu);
        return true;
    }
    cpu.singleStepping = (cpu.systemFlags & Flag.TF) !== 0;
    // The shadow covers this instruction, which may cast one itself.
    cpu.setLo(StateOffset.interruptShadow, 0);
    return false;
}

/**
 * @param completed false if the instruction faulted: it is not traced then
 * @param branched whether it went elsewhere than to the next instruction, for IA32_DEBUGCTL.BTF
 */
export function afterInstruction(cpu: Cpu, completed: boolean, branched = true): void {
    if (!completed || !cpu.singleStepping) return;
    cpu.singleStepping = false;
    if (cpu.lo(StateOffset.interruptShadow) & SHADOW_MOV_SS) return;
    if (cpu.lo(StateOffset.debugControl) & DEBUGCTL_BTF && !branched) return;
    cpu.pendDebug(DebugStatus.SingleStep);
}
