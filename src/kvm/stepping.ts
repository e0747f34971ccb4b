/** Executing one instruction on KVM. */
import { DebugStatus } from '../machine/cpu/breakpoints';
import { ActivityState, Flag } from '../machine/state';
import { ExitReason, GuestDebug } from './abi';
import { beforeStep, clearPushedTrapFlag } from './pushed-trap-flag';
import { isHalt, isRepeatedString, losesStep, losesTrapFlag } from './step-instructions';
import { EINTR } from './errors';
import { type KvmVcpu, NO_DEBUG, linearRip } from './vcpu';
import type { RunState, Outcome } from './run-state';

/** How often a step that leaves RIP where it is, is tried: it may be a branch to itself. */
const MOST_ATTEMPTS = 3;

/** Iterations of a repeated instruction that one step executes at most. */
const MOST_ITERATIONS = 100_000;

/** RIP has left the instruction's place by then, or it never will. */
const MOST_EXITS_OF_A_STEP = 100_000;

/** What a step needs of those who handle exits. */
export interface StepExits {
    /** Does what an exit asks for; returns what ends the run. */
    handle(vcpu: KvmVcpu): Outcome;
    /** Lets KVM finish the access that the last exit was about. */
    finish(vcpu: KvmVcpu): Outcome;
}

export class Stepping {
    /** Set before the first step: exits may lead to steps. */
    exits!: StepExits;

    constructor(private readonly state: RunState) {}

    /**
     * Executes one instruction, a repeated one to its end; no interrupt comes in between.
     * @throws KvmError
     */
    step(vcpu: KvmVcpu): Outcome {
        const { cpu } = vcpu;
        this.state.told.delete(vcpu.processor.index);
        const before = beforeStep(cpu);
        const start = linearRip(cpu);
        for (let attempts = 0; attempts < MOST_ATTEMPTS; attempts++) {
            const outcome = this.stepInstruction(vcpu);
            if (outcome !== undefined) return outcome;
            this.exits.finish(vcpu);
            this.state.copyShared(vcpu);
            // KVM may come back before it has done anything: a page of its own was missing, say.
            if (linearRip(cpu) !== start || vcpu.isStale || vcpu.transfer.pendingEvents() !== undefined) break;
        }
        clearPushedTrapFlag(cpu, this.state.options.memory, before);
        return undefined;
    }

    private stepInstruction(vcpu: KvmVcpu): Outcome {
        const { cpu } = vcpu;
        const start = linearRip(cpu);
        if (!isRepeatedString(cpu, this.state.options.memory)) {
            // The translator tells of every access, and by which instruction, and of every exception.
            const { watchpoints, traps, options } = this.state;
            const tells = !(watchpoints.isEmpty && traps.isEmpty) && options.executeElsewhere !== undefined;
            const loses =
                losesTrapFlag(cpu, options.memory) || (options.emulated === true && losesStep(cpu, options.memory));
            if (tells || loses) {
                const stop = this.state.elsewhere(vcpu);
                vcpu.load();
                if (stop !== undefined) {
                    this.state.counts.executedElsewhere++;
                    // KVM must not enter the guest behind the HLT.
                    if (cpu.activity === ActivityState.Halted) return { reason: 'halted' };
                    return stop.reason === 'breakpoint' || stop.reason === 'shutdown' ? stop : undefined;
                }
            }
            const halts = isHalt(cpu, this.state.options.memory);
            const outcome = this.stepOnce(vcpu, halts);
            // KVM without hardware beneath it tells of the step, and of the HLT with the next instruction that it emulates.
            return halts && outcome === undefined && this.halted(vcpu, start) ? { reason: 'halted' } : outcome;
        }
        // The processor stops after every iteration.
        for (let iteration = 0; iteration < MOST_ITERATIONS; iteration++) {
            const outcome = this.stepOnce(vcpu, false);
            if (outcome !== undefined || this.state.exitRequested) return outcome;
            this.state.copyShared(vcpu);
            if (linearRip(cpu) !== start) break;
        }
        return undefined;
    }

    private halted(vcpu: KvmVcpu, start: bigint): boolean {
        this.state.copyShared(vcpu);
        if (linearRip(vcpu.cpu) !== BigInt.asUintN(64, start + 1n)) {
            return false; // it has faulted
        }
        this.state.noteHalt(vcpu);
        return true;
    }

    private stepOnce(vcpu: KvmVcpu, halts: boolean): Outcome {
        const { cpu } = vcpu;
        const traced = (cpu.systemFlags & Flag.TF) !== 0;
        const block = this.state.vm.capabilities.guestDebugFlags & GuestDebug.BlockInterrupts;
        const changed = vcpu.hasUnreadRegisters;
        this.state.takeOver(vcpu);
        vcpu.wantsInterruptWindow = false;
        // KVM notes where a step begins when it is told to step: again for registers that it did not set itself.
        const control = GuestDebug.Enable | GuestDebug.SingleStep | block;
        vcpu.setDebug({ ...NO_DEBUG, control }, this.state.timed || changed);
        if (this.state.timed) this.state.alarm.consume();
        try {
            for (let exits = 0; exits < MOST_EXITS_OF_A_STEP; exits++) {
                if (vcpu.enter(vcpu.isUnfinished) === EINTR) {
                    if (exits > 0) return undefined; // it has been finished
                    continue;
                }
                if (vcpu.exitReason === ExitReason.Debug) {
                    this.state.counts.debug++;
                    if (traced) cpu.pendDebug(DebugStatus.SingleStep);
                    return undefined;
                }
                if (vcpu.exitReason === ExitReason.Hlt && !halts) {
                    return undefined;
                }
                const outcome = this.exits.handle(vcpu);
                if (outcome !== undefined) return outcome;
            }
            return undefined;
        } finally {
            if (this.state.timed) vcpu.setDebug(NO_DEBUG);
        }
    }
}
