/** Debug exits: the debugger's breakpoints, and the debug exceptions that are the guest's own. */
import { EVENT_STOP, WATCH_STOP } from '../machine/engine';
import { StopBeforeEvent } from '../machine/observation/cpu-observer';
import { MachineEventKind } from '../machine/observation/kinds';
import { deliverDebugTrap, deliverException, softwareInterrupt } from '../machine/cpu/interrupts';
import { DebugStatus } from '../machine/cpu/breakpoints';
import { EventKind } from '../machine/cpu/event';
import { GuestFault, guestFault, Vector } from '../machine/cpu/fault';
import { ActivityState, StateOffset } from '../machine/state';
import { DebugExit, ExitReason } from './abi';
import { isExecution, sortHits } from './breakpoints';
import { type KvmVcpu, linearRip } from './vcpu';
import type { RunState, Outcome } from './run-state';
import type { Stepping } from './stepping';

/** Exceptions of KVM_EXIT_DEBUG. */
const EXCEPTION_DB = 1;
const EXCEPTION_BP = 3;

/** Bit 0 of `StateOffset.interruptShadow`: interrupts wait for the next instruction to complete. */
const SHADOW_STI = 1;

/** Bits of DR6 that tell of what only the guest asks for: BD, BS, BT. */
const OWN_TRAPS = DebugStatus.SingleStep | DebugStatus.TaskSwitch | DebugStatus.GeneralDetect;

export class DebugExits {
    constructor(
        private readonly state: RunState,
        private readonly stepping: Stepping,
    ) {}

    debugExit(vcpu: KvmVcpu): Outcome {
        const { view, run, cpu } = vcpu;
        const exception = view.getUint32(run + DebugExit.exception, true);
        const dr6 = view.getUint32(run + DebugExit.dr6, true);
        this.state.copyShared(vcpu);
        this.state.noteExit(vcpu, MachineEventKind.Debug, exception, BigInt(dr6));
        if (exception === EXCEPTION_BP) {
            // It may be one that is meant for another vCPU: this one steps over it.
            const isOurs = this.state.isAtBreakpoint(cpu) || this.state.breakpoints.isPatchedTrap(cpu);
            return isOurs ? this.hitPatch(vcpu) : this.deliverOwnBreakpoint(vcpu);
        }
        if (exception !== EXCEPTION_DB) {
            return this.state.unusableExit(vcpu);
        }
        const { guests, others } = sortHits(cpu, dr6);
        const watched = others & this.state.watchpoints.mask;
        if (this.state.watchpoints.met(vcpu.processor.index, cpu, watched)) {
            return { reason: 'breakpoint', id: WATCH_STOP };
        }
        if (watched !== 0 && guests === 0 && (dr6 & OWN_TRAPS) === 0 && !this.state.isAtBreakpoint(cpu)) {
            return undefined; // a condition says no
        }
        if (guests !== 0 || !this.state.isAtBreakpoint(cpu)) {
            return this.deliverOwnDebug(vcpu, guests, dr6);
        }
        return this.hitPatch(vcpu);
    }

    /** Whether what a vCPU has stopped for comes again when it goes on: one of our code breakpoints, or the like. */
    comesAgain(vcpu: KvmVcpu): boolean {
        const { view, run, cpu } = vcpu;
        switch (vcpu.exitReason) {
            case ExitReason.Hlt:
                return this.isPatchedHalt(vcpu);
            case ExitReason.Debug:
                this.state.copyShared(vcpu);
                if (view.getUint32(run + DebugExit.exception, true) === EXCEPTION_BP) {
                    return true;
                } else {
                    const dr6 = view.getUint32(run + DebugExit.dr6, true);
                    const { guests, others } = sortHits(cpu, dr6);
                    const isWatched = (others & this.state.watchpoints.mask) !== 0;
                    return guests === 0 && !isWatched && (dr6 & OWN_TRAPS) === 0 && this.state.isAtBreakpoint(cpu);
                }
            case ExitReason.InternalError:
                this.state.copyShared(vcpu);
                return this.state.isAtBreakpoint(cpu) || this.state.breakpoints.isPatchedTrap(cpu);
            default:
                return false;
        }
    }

    /** The vCPU, whose state has been copied, is at one of our breakpoints. */
    hitPatch(vcpu: KvmVcpu): Outcome {
        const { cpu, processor } = vcpu;
        const isToBeTold = this.state.traps.isAt(cpu) && !this.state.told.has(processor.index);
        if (isToBeTold || this.state.traps.maybeAtSyscall(cpu)) {
            const outcome = this.tellException(vcpu);
            if (outcome !== undefined) return outcome;
            if (!this.state.isAtBreakpoint(cpu)) {
                this.state.arm(vcpu);
                return undefined;
            }
        }
        const outcome = this.state.breakpointStop(cpu, processor.index) ?? this.stepping.step(vcpu);
        if (outcome !== undefined) {
            return outcome;
        }
        this.state.copyShared(vcpu);
        // A trap that the guest has asked for is delivered when the next slice begins.
        if (cpu.lo(StateOffset.pendingDebug) !== 0) return { reason: 'budget' };
        this.state.arm(vcpu);
        return undefined;
    }

    /**
     * The vCPU is at a handler of exceptions that somebody wants to be told, or where half a SYSCALL has led it: goes back,
     * and has the instruction executed by somebody who tells. The exception has been delivered afterwards, unless the guest
     * is to stop before it.
     */
    private tellException(vcpu: KvmVcpu): Outcome {
        const { state } = this;
        const { cpu } = vcpu;
        state.bringBack(vcpu);
        const saved = cpu.bytes.slice();
        if (state.traps.undo(cpu)) {
            // The exception came before any interrupt.
            cpu.setLo(StateOffset.interruptShadow, SHADOW_STI);
            const stop = state.elsewhere(vcpu);
            cpu.setLo(StateOffset.interruptShadow, 0);
            if (stop === undefined) {
                cpu.bytes.set(saved);
                cpu.stateReplaced();
                vcpu.takeBack();
            } else if (stop.reason === 'breakpoint' || stop.reason === 'shutdown') {
                return stop;
            }
        }
        vcpu.load();
        return undefined;
    }

    /** A HLT that stands in for an instruction: RIP goes back to its place. */
    isPatchedHalt(vcpu: KvmVcpu): boolean {
        if (!this.state.breakpoints.hasPatches) {
            return false;
        }
        const { cpu } = vcpu;
        this.state.copyShared(vcpu);
        const before = BigInt.asUintN(64, linearRip(cpu) - 1n);
        if (!this.state.breakpoints.isPatchedHalt(cpu, before)) {
            return false;
        }
        cpu.setRip(cpu.ripLo - 1, cpu.ripHi);
        vcpu.markChanged();
        vcpu.load();
        return true;
    }

    /** The guest's own INT3, which our patches have made an exit. */
    private deliverOwnBreakpoint(vcpu: KvmVcpu): Outcome {
        const { cpu } = vcpu;
        cpu.mmu.flushAll();
        try {
            softwareInterrupt(
                cpu,
                { length: 1 } as Parameters<typeof softwareInterrupt>[1],
                Vector.BP,
                EventKind.SoftwareException,
            );
        } catch (error) {
            if (error instanceof StopBeforeEvent) return { reason: 'breakpoint', id: EVENT_STOP };
            if (!(error instanceof GuestFault)) throw error;
            deliverException(cpu);
        }
        vcpu.markChanged();
        vcpu.load();
        return cpu.activity === ActivityState.Shutdown ? { reason: 'shutdown' } : undefined;
    }

    /** A debug exception that the guest has asked for itself: by its debug registers, or by RFLAGS.TF. */
    private deliverOwnDebug(vcpu: KvmVcpu, hits: number, dr6: number): Outcome {
        const { cpu } = vcpu;
        this.state.bringBack(vcpu);
        const isFault = [0, 1, 2, 3].some(index => (hits >> index) & 1 && isExecution(cpu, index));
        const status = hits | (dr6 & OWN_TRAPS);
        try {
            if (isFault) {
                guestFault.vector = Vector.DB;
                guestFault.errorCode = 0;
                guestFault.debugStatus = status;
                deliverException(cpu, guestFault);
            } else {
                cpu.pendDebug(status);
                deliverDebugTrap(cpu);
            }
        } catch (error) {
            if (!(error instanceof StopBeforeEvent)) throw error;
            return { reason: 'breakpoint', id: EVENT_STOP };
        }
        vcpu.load();
        return cpu.activity === ActivityState.Shutdown ? { reason: 'shutdown' } : undefined;
    }
}
