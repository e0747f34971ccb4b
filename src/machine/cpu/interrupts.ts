/**
 * Interrupts and exceptions: delivery, and what happens when delivery itself faults (SDM Vol. 3, chapter 6).
 */

import type { Instruction } from '../../isa/x86/instruction';
import { ActivityState, Flag, MonitorState, StateOffset } from '../state';
import { DebugControl, DebugStatus } from './breakpoints';
import type { Cpu } from './cpu';
import { Cr0 } from './cpu-state';
import { deliverLong } from './delivery-long';
import { deliverProtected } from './delivery-protected';
import { deliverReal, interruptVirtual8086 } from './delivery-real';
import { type Event, EventKind } from './event';
import { GuestFault, guestFault, hasErrorCode, Vector } from './fault';
import { readRflags } from './flags';
import { StopBeforeEvent } from '../observation/cpu-observer';

/** One exception of the chain that led to a shutdown. */
export interface FaultRecord {
    readonly vector: number;
    /** Undefined where the vector has none. */
    readonly errorCode: number | undefined;
    /** #PF: the linear address. */
    readonly address: bigint | undefined;
}

/** Why a vCPU shut down: the exceptions that could not be delivered, first to last. */
export interface ShutdownReport {
    readonly chain: readonly FaultRecord[];
    readonly cs: number;
    readonly rip: bigint;
}

/** IA32_DEBUGCTL bits that a debug exception clears: LBR and BTF (SDM Vol. 3, 17.4.1). */
const DEBUGCTL_CLEARED = 3;

const event: Event = { vector: 0, kind: EventKind.Exception, errorCode: -1, length: 0, flags: 0 };

/** Sends {@link event} to its handler. @throws GuestFault if that is impossible; nothing has changed then */
function dispatch(cpu: Cpu): void {
    if (cpu.longMode) deliverLong(cpu, event);
    else if (cpu.cr0 & Cr0.PE) deliverProtected(cpu, event);
    else deliverReal(cpu, event);
    cpu.setLo(StateOffset.interruptShadow, 0);
    // The handler starts without TF, and the instruction that led here is not traced either.
    cpu.singleStepping = false;
}

const enum FaultClass {
    Benign,
    Contributory,
    PageFault,
    Double,
}

/** SDM Vol. 3, table 6-4. */
function classOf(vector: number): FaultClass {
    switch (vector) {
        case Vector.DE:
        case Vector.TS:
        case Vector.NP:
        case Vector.SS:
        case Vector.GP:
            return FaultClass.Contributory;
        case Vector.PF:
            return FaultClass.PageFault;
        case Vector.DF:
            return FaultClass.Double;
        default:
            return FaultClass.Benign;
    }
}

/** Whether `second`, raised while delivering `first`, makes a double fault (SDM Vol. 3, table 6-5). */
function doubles(first: FaultClass, second: FaultClass): boolean {
    if (first === FaultClass.Contributory) return second === FaultClass.Contributory;
    if (first === FaultClass.PageFault) return second !== FaultClass.Benign;
    return false;
}

/** Whether RF is set in the pushed RFLAGS: for every fault but a code breakpoint (SDM Vol. 3, 18.3.1.1). */
function pushesResumeFlag(vector: number, debugStatus: number): boolean {
    if (vector === Vector.DB) return (debugStatus & DebugStatus.GeneralDetect) !== 0;
    return vector !== Vector.DF && vector !== Vector.MC && vector !== Vector.BP && vector !== Vector.OF;
}

/**
 * Delivers an exception of the fault class that the instruction at RIP raised. Never throws for what the guest does.
 * @param preventable nothing has been done yet that executing the instruction again would not do again
 * @returns a report if the vCPU shuts down instead (triple fault); it is also kept as `cpu.shutdownReport`
 * @throws StopBeforeEvent where an observer stops the vCPU instead
 */
export function deliverException(
    cpu: Cpu,
    fault: GuestFault = guestFault,
    preventable = true,
): ShutdownReport | undefined {
    return deliverChain(cpu, fault.vector, hasErrorCode(fault.vector) ? fault.errorCode : -1, fault, preventable);
}

/**
 * Delivers what is pending in `StateOffset.pendingDebug` as a #DB of the trap class: single-step, data and I/O
 * breakpoints, task switch. RIP addresses the next instruction already.
 * @throws StopBeforeEvent where an observer stops the vCPU instead
 */
export function deliverDebugTrap(cpu: Cpu): ShutdownReport | undefined {
    const status = cpu.lo(StateOffset.pendingDebug);
    cpu.setLo(StateOffset.pendingDebug, 0);
    guestFault.debugStatus = status;
    // A single step over HLT ends it (SDM Vol. 2, HLT).
    const halted = cpu.activity === ActivityState.Halted;
    const monitored = cpu.lo(StateOffset.monitor);
    wake(cpu);
    try {
        return deliverChain(cpu, Vector.DB, -1, guestFault, true);
    } catch (error) {
        if (error instanceof StopBeforeEvent) {
            cpu.setLo(StateOffset.pendingDebug, status);
            cpu.setLo(StateOffset.monitor, monitored);
            if (halted) cpu.activity = ActivityState.Halted;
        }
        throw error;
    }
}

/**
 * More attempts than the rules for double faults leave room for; only benign exceptions that raise themselves (#AC
 * whose own frame is misaligned) get here, and would go on forever.
 */
const MAX_ATTEMPTS = 16;

/** Delivers exceptions until one reaches its handler, or none can. */
function deliverChain(
    cpu: Cpu,
    vector: number,
    errorCode: number,
    fault: GuestFault,
    preventable: boolean,
): ShutdownReport | undefined {
    cpu.expireResumeFlag();
    // Most exceptions reach their handler: the chain is put together only when one does not.
    let chain: FaultRecord[] | undefined;
    for (;;) {
        const { addressLo, addressHi, debugStatus } = fault;
        cpu.hooks.observer?.exception(cpu, vector, errorCode, addressLo, addressHi, preventable);
        if (vector === Vector.PF) cpu.set(StateOffset.cr2, addressLo, addressHi);
        if (vector === Vector.DB) enterDebugException(cpu, debugStatus);
        event.vector = vector;
        event.kind = EventKind.Exception;
        event.errorCode = cpu.cr0 & Cr0.PE ? errorCode : -1;
        event.length = 0;
        const flags = readRflags(cpu);
        event.flags = pushesResumeFlag(vector, debugStatus) ? flags | Flag.RF : flags;
        try {
            dispatch(cpu);
            return undefined;
        } catch (error) {
            if (!(error instanceof GuestFault)) throw error;
        }
        fault = guestFault;
        chain ??= [];
        chain.push(recordOf(vector, errorCode, addressLo, addressHi));
        const first = classOf(vector);
        const second = classOf(fault.vector);
        if ((first === FaultClass.Double && second !== FaultClass.Benign) || chain.length >= MAX_ATTEMPTS) {
            chain.push(recordOf(fault.vector, fault.errorCode, fault.addressLo, fault.addressHi));
            return shutDown(cpu, chain);
        }
        if (doubles(first, second)) {
            chain.push(recordOf(fault.vector, fault.errorCode, fault.addressLo, fault.addressHi));
            vector = Vector.DF;
            errorCode = 0;
        } else {
            vector = fault.vector;
            errorCode = hasErrorCode(vector) ? fault.errorCode : -1;
        }
    }
}

function recordOf(vector: number, errorCode: number, addressLo: number, addressHi: number): FaultRecord {
    return {
        vector,
        errorCode: hasErrorCode(vector) ? errorCode : undefined,
        address: vector === Vector.PF ? (BigInt(addressHi >>> 0) << 32n) | BigInt(addressLo >>> 0) : undefined,
    };
}

function shutDown(cpu: Cpu, chain: readonly FaultRecord[]): ShutdownReport {
    const report: ShutdownReport = {
        chain,
        cs: cpu.selector(1),
        rip: (BigInt(cpu.ripHi) << 32n) | BigInt(cpu.ripLo),
    };
    cpu.shutdownReport = report;
    cpu.hooks.observer?.shutDown(cpu);
    cpu.activity = ActivityState.Shutdown;
    return report;
}

/** DR6 gathers what happened; DR7.GD and the trace bits go off, so that the handler can use them (18.2.3, 18.2.4). */
function enterDebugException(cpu: Cpu, status: number): void {
    const dr6 = StateOffset.dr + 6 * 8;
    const dr7 = StateOffset.dr + 7 * 8;
    cpu.setLo(dr6, (cpu.lo(dr6) & ~DebugStatus.Breakpoints) | status | DebugStatus.Fixed);
    cpu.setLo(dr7, cpu.lo(dr7) & ~DebugControl.GeneralDetect);
    cpu.setLo(StateOffset.debugControl, cpu.lo(StateOffset.debugControl) & ~DEBUGCTL_CLEARED);
}

/** Events of {@link deliverInterrupt} and {@link deliverNmi}. */
function deliverExternal(cpu: Cpu, vector: number, resume: boolean, nmi: boolean): ShutdownReport | undefined {
    cpu.expireResumeFlag();
    wake(cpu);
    event.vector = vector;
    event.kind = EventKind.External;
    event.errorCode = -1;
    event.length = 0;
    event.flags = resume ? readRflags(cpu) | Flag.RF : readRflags(cpu);
    const { observer } = cpu.hooks;
    observer?.beginOperation(cpu);
    observer?.interrupt(cpu, vector, nmi);
    try {
        dispatch(cpu);
        observer?.endOperation();
        return undefined;
    } catch (error) {
        if (!(error instanceof GuestFault)) throw error;
        // An interrupt is benign: the fault is delivered in its place (table 6-5). It has been acknowledged already.
        return deliverException(cpu, guestFault, false);
    }
}

/** Ends HLT and MWAIT: an interrupt, a store to the monitored line, or nothing in particular (which MWAIT permits). */
export function wake(cpu: Cpu): void {
    if (cpu.activity === ActivityState.Halted) cpu.activity = ActivityState.Active;
    if (cpu.lo(StateOffset.monitor) !== MonitorState.Idle) cpu.setLo(StateOffset.monitor, MonitorState.Idle);
}

/**
 * Delivers a maskable interrupt; the caller has checked {@link interruptsOpen} and acknowledged it at the APIC or PIC.
 * @param resume true between two iterations of a repeated string instruction: RF is pushed as 1
 */
export function deliverInterrupt(cpu: Cpu, vector: number, resume = false): ShutdownReport | undefined {
    return deliverExternal(cpu, vector, resume, false);
}

/** Delivers an NMI and blocks further ones until IRET; the caller has checked `nmiOpen`. */
export function deliverNmi(cpu: Cpu, resume = false): ShutdownReport | undefined {
    cpu.setLo(StateOffset.nmiBlocked, 1);
    return deliverExternal(cpu, Vector.NMI, resume, true);
}

/** Whether a maskable interrupt may be delivered now (SDM Vol. 3, 6.8.1, 6.8.3). */
export function interruptsOpen(cpu: Cpu): boolean {
    return (cpu.systemFlags & Flag.IF) !== 0 && cpu.lo(StateOffset.interruptShadow) === 0;
}

/** Whether an NMI may be delivered now. MOV SS holds it off; STI may, and does on processors that guests are tested on. */
export function nmiOpen(cpu: Cpu): boolean {
    return cpu.lo(StateOffset.nmiBlocked) === 0 && cpu.lo(StateOffset.interruptShadow) === 0;
}

/**
 * INT n, INT3, INTO and INT1: returns behind the instruction. A fault on the way is the instruction's own.
 * @throws GuestFault
 * @throws StopBeforeEvent where an observer stops the vCPU instead
 */
export function softwareInterrupt(cpu: Cpu, instruction: Instruction, vector: number, kind: EventKind): void {
    cpu.hooks.observer?.softwareInterrupt(cpu, vector);
    cpu.expireResumeFlag();
    event.vector = vector;
    event.kind = kind;
    event.errorCode = -1;
    event.length = instruction.length;
    event.flags = readRflags(cpu);
    if (cpu.virtual8086 && kind === EventKind.SoftwareInterrupt && interruptVirtual8086(cpu, event)) return;
    if (kind !== EventKind.PrivilegedSoftwareException) {
        dispatch(cpu);
        return;
    }
    // A trap that MOV SS has held off is told of by this #DB (other software interrupts let it follow them), one of the
    // task switch that delivers it is not.
    const held = cpu.lo(StateOffset.pendingDebug);
    cpu.setLo(StateOffset.pendingDebug, 0);
    try {
        dispatch(cpu);
    } catch (error) {
        cpu.setLo(StateOffset.pendingDebug, cpu.lo(StateOffset.pendingDebug) | held);
        throw error;
    }
    enterDebugException(cpu, held);
}
