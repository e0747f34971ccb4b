/**
 * Several vCPUs in the guest at the same time, a thread each. Their exits are looked at one after the other, on the
 * machine's thread, while the others go on. What is more than an access to a device (breakpoints, instructions that
 * somebody else executes, whatever looks at code in memory) waits until all of them stand still.
 */
import { HyperscopeError } from '../common/errors';
import { type RunStop, type TogetherStop, type Turns, WATCH_STOP } from '../machine/engine';
import { MachineEventKind } from '../machine/observation/kinds';
import { deliverDebugTrap } from '../machine/cpu/interrupts';
import { ActivityState, StateOffset } from '../machine/state';
import { ExitReason } from './abi';
import type { DebugExits } from './debug-exits';
import { EINTR } from './errors';
import type { ExitHandler } from './exit-handler';
import { hostNanoseconds } from './guest-time';
import type { Outcome, RunState } from './run-state';
import type { Stepping } from './stepping';
import { addInstructions, type KvmVcpu, NO_DEBUG } from './vcpu';
import { ThreadBoard, VcpuThread, VcpuThreadError } from './vcpu-thread';

/** Where a vCPU is. */
const enum Phase {
    /** Halted, or not to run at all. */
    Parked,
    /** About to enter the guest. */
    Ready,
    Running,
    /** It has left the guest, and nobody has looked why. */
    Left,
    /** Its thread has ended. */
    Lost,
}

export class ParallelRun {
    private board: ThreadBoard | undefined;
    /** By the vCPU's number. */
    private readonly phases: Phase[] = [];
    /** vCPUs that may run in this slice. */
    private members: readonly KvmVcpu[] = [];
    /** Those of them whose state is in KVM. */
    private readonly loaded = new Set<KvmVcpu>();
    private turns!: Turns;
    private stop: TogetherStop | undefined;
    /** The slice is over without a stop. */
    private ended = false;
    /** vCPUs that something has come for: an interrupt, or the like. */
    private readonly attention = new Set<number>();
    /** Stops that another vCPU's stop has come before. */
    private readonly held = new Map<number, RunStop>();
    private active = false;

    constructor(
        private readonly state: RunState,
        private readonly exits: ExitHandler,
        private readonly debug: DebugExits,
        private readonly stepping: Stepping,
    ) {}

    /** vCPUs have threads: these have to be used from now on. */
    get hasThreads(): boolean {
        return this.board !== undefined;
    }

    /** Something has come for a vCPU. */
    noteAttention(vcpu: number): void {
        if (this.active) this.attention.add(vcpu);
    }

    /** The state of a vCPU was replaced: what it was about to stop for is no more. */
    forget(vcpu: number): void {
        this.held.delete(vcpu);
    }

    /** The watchpoints were replaced: what has met one of the old ones is no stop any more. */
    forgetHeld(): void {
        this.held.clear();
    }

    /** Somebody is about to read or write physical memory: no patches of ours may be there. */
    beforeAccess(physical: number, size: number): void {
        if (this.active && this.state.breakpoints.touches(physical, size)) this.standStill();
    }

    dispose(): void {
        for (const vcpu of this.state.vcpus) {
            vcpu.thread?.dispose();
            vcpu.thread = undefined;
        }
        this.board = undefined;
    }

    /** @param tscMoved the guest or the clock has moved the TSC */
    run(vcpus: readonly number[], turns: Turns, tscMoved: boolean): TogetherStop {
        const { state } = this;
        state.exitRequested = false;
        this.members = vcpus.map(index => state.vcpus[index]);
        this.turns = turns;
        this.stop = undefined;
        this.ended = false;
        this.attention.clear();
        this.loaded.clear();
        // Whatever the run before has left: an exit that it could not look at, for one.
        this.phases.fill(Phase.Parked);
        this.active = true;
        try {
            this.attempt(() => {
                this.begin(tscMoved);
                if (!this.isOver) this.loop();
            });
            this.end();
        } finally {
            this.leaveNobodyInside();
            this.active = false;
            state.group = undefined;
            state.countTime();
            state.breakpoints.remove();
        }
        const current = Math.max(0, state.current);
        return this.stop ?? { vcpu: current, stop: { reason: state.exitRequested ? 'exit' : 'budget' } };
    }

    // ---- the slice -----------------------------------------------------------------------------------------------

    /** Brings all vCPUs to where they can enter the guest. */
    private begin(tscMoved: boolean): void {
        const { state } = this;
        for (const vcpu of this.members) {
            const { cpu, processor } = vcpu;
            state.current = processor.index;
            if (this.tellHeld(processor.index)) return;
            state.traps.look(cpu);
            if (cpu.lo(StateOffset.pendingDebug) !== 0) {
                state.bringBack(vcpu);
                deliverDebugTrap(cpu);
            }
            const idle = state.idleStop(vcpu);
            this.phases[processor.index] = idle === undefined ? Phase.Ready : Phase.Parked;
            if (idle?.reason === 'shutdown') {
                this.stopAt(vcpu, idle);
                return;
            }
        }
        const ready = this.members.filter(vcpu => this.phaseOf(vcpu) === Phase.Ready);
        if (ready.length === 0) {
            this.stopAt(this.members[0], { reason: 'halted' });
            return;
        }
        const standing = ready.filter(vcpu => this.isToStepOver(vcpu));
        if (this.stop !== undefined) return;

        this.makeThreads();
        this.turn(ready[0]);
        addInstructions(ready[0].cpu, state.time.resume());
        state.slots.update();
        ready[0].load();
        ready[0].tsc.align(ready[0].cpu, tscMoved);
        for (const vcpu of ready) {
            this.turn(vcpu);
            this.admit(vcpu);
        }
        for (const vcpu of standing) {
            this.stepOver(vcpu);
            if (this.isOver) return;
        }
        state.arm(ready[0]);
    }

    private tellHeld(vcpu: number): boolean {
        const held = this.held.get(vcpu);
        if (held === undefined) return false;
        this.held.delete(vcpu);
        this.stop = { vcpu, stop: held };
        return true;
    }

    /**
     * Whether a vCPU stands at a breakpoint that lets it pass, or at the handler of an exception that is to be told; stops
     * it if it does not. A breakpoint that has been asked is not asked again, whatever happens to the others.
     */
    private isToStepOver(vcpu: KvmVcpu): boolean {
        const { state } = this;
        const { cpu, processor } = vcpu;
        if (this.stop !== undefined) return false;
        if (!state.isAtBreakpoint(cpu)) {
            state.passing.delete(processor.index);
            return false;
        }
        if (!state.passing.has(processor.index) && !this.isToBeTold(vcpu)) {
            const stop = state.breakpointStop(cpu, processor.index);
            if (stop !== undefined) {
                this.stopAt(vcpu, stop);
                return false;
            }
            state.passing.add(processor.index);
        }
        return true;
    }

    private isToBeTold({ cpu, processor }: KvmVcpu): boolean {
        return this.state.traps.isAt(cpu) && !this.state.told.has(processor.index);
    }

    private stepOver(vcpu: KvmVcpu): void {
        const { state } = this;
        const { cpu, processor } = vcpu;
        this.turn(vcpu);
        const passes = state.passing.delete(processor.index);
        const isToBeTold = !passes && this.isToBeTold(vcpu);
        this.conclude(vcpu, isToBeTold ? this.debug.hitPatch(vcpu) : this.stepping.step(vcpu));
        if (cpu.lo(StateOffset.pendingDebug) !== 0) this.ended = true;
        if (cpu.activity === ActivityState.Halted) this.phases[processor.index] = Phase.Parked;
    }

    /** Hands a vCPU's state to KVM. */
    private admit(vcpu: KvmVcpu): void {
        vcpu.load();
        vcpu.tsc.join(vcpu.cpu);
        this.loaded.add(vcpu);
        this.state.group = [...this.loaded];
    }

    /** @throws VcpuThreadError */
    private makeThreads(): void {
        const { state } = this;
        const missing = this.members.filter(({ thread }) => thread === undefined);
        if (missing.length === 0) return;
        this.board ??= new ThreadBoard(state.vcpus.length, state.options.threadProgram);
        try {
            for (const vcpu of missing) {
                vcpu.thread = new VcpuThread(this.board, vcpu.processor.index, vcpu.fd);
            }
            for (const { thread } of missing) thread!.begun();
        } catch (error) {
            // The next run begins anew, with nothing left of these.
            this.dispose();
            throw error;
        }
    }

    private loop(): void {
        const { state, turns, members } = this;
        const board = this.board!;
        let due = 0;
        while (!this.isOver) {
            this.attend();
            for (const vcpu of members) {
                if (this.phaseOf(vcpu) === Phase.Ready) this.start(vcpu);
            }
            const now = hostNanoseconds();
            if (now >= due || turns.changed) {
                const ticks = turns.boundary();
                if (ticks === 0) return;
                due = now + state.time.hostTime(ticks);
            }
            if (state.exitRequested) return;
            const { bell } = board;
            if (!this.collect() && this.attention.size === 0) {
                if (!members.some(vcpu => this.phaseOf(vcpu) === Phase.Running)) {
                    this.stopAt(members[0], { reason: 'halted' });
                    return;
                }
                board.sleep(bell, (due - now) / 1e6);
                this.collect();
            }
            for (const vcpu of members) {
                if (this.phaseOf(vcpu) === Phase.Left) this.look(vcpu);
                if (this.isOver) return;
            }
        }
    }

    private get isOver(): boolean {
        return this.stop !== undefined || this.ended || this.state.exitRequested;
    }

    /** Wakes those that something has come for, and takes them out of the guest. */
    private attend(): void {
        for (const index of this.attention) {
            this.attention.delete(index);
            const vcpu = this.state.vcpus[index];
            if (!this.members.includes(vcpu)) continue;
            if (this.phaseOf(vcpu) === Phase.Parked) {
                this.wake(vcpu);
            } else if (this.phaseOf(vcpu) === Phase.Running) {
                const { processor } = vcpu;
                // It comes out by itself when it can take the interrupt.
                const comesOut = vcpu.wantsInterruptWindow && !processor.nmiPending;
                if ((processor.interruptPending || processor.nmiPending) && !comesOut) vcpu.interrupt();
            }
        }
    }

    private wake(vcpu: KvmVcpu): void {
        const { state } = this;
        this.turn(vcpu);
        if (state.idleStop(vcpu) !== undefined) return;
        if (this.loaded.has(vcpu)) {
            vcpu.load();
        } else {
            state.traps.look(vcpu.cpu);
            const hasStops = state.hasStops(vcpu);
            // Its page tables may put breakpoints elsewhere; and it may come by the others' patches.
            const isToBeArmed = hasStops || state.breakpoints.hasPatches;
            if (isToBeArmed) this.standStill();
            this.admit(vcpu);
            if (isToBeArmed) {
                state.arm(vcpu);
            } else {
                vcpu.setDebug(NO_DEBUG);
            }
        }
        this.phases[vcpu.processor.index] = Phase.Ready;
    }

    private start(vcpu: KvmVcpu): void {
        this.turn(vcpu);
        this.state.offerEvents(vcpu);
        this.board!.running++;
        this.state.start(vcpu);
        this.phases[vcpu.processor.index] = Phase.Running;
    }

    /** Notes who has left the guest; returns whether anybody has. */
    private collect(): boolean {
        let any = false;
        for (const vcpu of this.members) {
            if (this.phaseOf(vcpu) === Phase.Running && vcpu.thread!.isDone) {
                this.phases[vcpu.processor.index] = Phase.Left;
                this.board!.running--;
            }
            any ||= this.phaseOf(vcpu) === Phase.Left;
        }
        return any;
    }

    /** Does what a vCPU has left the guest for. */
    private look(vcpu: KvmVcpu): void {
        const { state } = this;
        this.turn(vcpu);
        this.phases[vcpu.processor.index] = Phase.Ready;
        if (state.left(vcpu) === EINTR) {
            state.counts.interrupted++;
            state.noteExit(vcpu, MachineEventKind.Interrupted, 0);
            return;
        }
        if (this.needsStillness(vcpu)) this.standStill();
        this.conclude(vcpu, this.exits.handle(vcpu));
    }

    /** Whether doing what an exit asks for looks at code in memory, or changes what other vCPUs rely on. */
    private needsStillness({ exitReason, processor }: KvmVcpu): boolean {
        switch (exitReason) {
            case ExitReason.Hlt:
                if (this.state.breakpoints.hasPatches) return true;
                break;
            case ExitReason.Io:
            case ExitReason.Mmio:
            case ExitReason.X86Rdmsr:
            case ExitReason.X86Wrmsr:
            case ExitReason.IrqWindowOpen:
            case ExitReason.SetTpr:
            case ExitReason.Intr:
                break;
            default:
                return true;
        }
        return processor.observation?.stopsAtAccesses === true;
    }

    private conclude(vcpu: KvmVcpu, outcome: Outcome): void {
        if (outcome === undefined) return;
        switch (outcome.reason) {
            case 'budget':
            case 'exit':
                this.ended = true;
                return;
            case 'halted':
                this.park(vcpu);
                return;
            default:
                this.stopAt(vcpu, outcome);
        }
    }

    private park(vcpu: KvmVcpu): void {
        const { cpu, processor } = vcpu;
        vcpu.tsc.left(cpu);
        this.state.copyShared(vcpu);
        cpu.activity = ActivityState.Halted;
        this.phases[processor.index] = Phase.Parked;
        if (processor.interruptPending || processor.nmiPending) this.attention.add(processor.index);
    }

    private stopAt(vcpu: KvmVcpu, stop: RunStop): void {
        const { index } = vcpu.processor;
        if (this.stop === undefined) {
            this.stop = { vcpu: index, stop };
        } else if (stop.reason === 'breakpoint' && stop.id === WATCH_STOP && !isSameStop(this.stop.stop, stop)) {
            this.held.set(index, stop);
        } else if (index !== this.stop.vcpu) {
            // It comes again.
            this.state.passing.delete(index);
        }
    }

    // ---- standing still ------------------------------------------------------------------------------------------

    /** Takes all vCPUs out of the guest, and the patches out of memory. @throws VcpuThreadError */
    private standStill(): void {
        let problem: unknown;
        const running = this.members.filter(vcpu => this.phaseOf(vcpu) === Phase.Running);
        for (const { thread } of running) thread!.letRun();
        for (const vcpu of running) vcpu.interrupt();
        for (const vcpu of running) {
            this.board!.running--;
            try {
                vcpu.thread!.finish();
                this.phases[vcpu.processor.index] = Phase.Left;
            } catch (error) {
                this.phases[vcpu.processor.index] = Phase.Lost;
                problem ??= error;
            }
        }
        this.state.breakpoints.remove();
        if (problem !== undefined) throw problem;
    }

    /** Whatever has gone wrong: no thread goes on in memory that others change. */
    private leaveNobodyInside(): void {
        try {
            this.standStill();
        } catch (error) {
            if (!(error instanceof VcpuThreadError)) throw error;
        }
    }

    /** Leaves all state where everybody can look at it. */
    private end(): void {
        this.attempt(() => this.standStill());
        for (const vcpu of this.members) {
            if (this.phaseOf(vcpu) === Phase.Left) this.attempt(() => this.lookAtEnd(vcpu), vcpu);
        }
        for (const vcpu of this.loaded) this.attempt(() => this.settle(vcpu), vcpu);
    }

    /** Somebody else has stopped the guest, perhaps: what comes again does so when the guest goes on. */
    private lookAtEnd(vcpu: KvmVcpu): void {
        if (this.stop === undefined || vcpu.thread!.errno !== 0 || !this.debug.comesAgain(vcpu)) {
            this.look(vcpu);
        } else {
            this.state.left(vcpu);
            this.phases[vcpu.processor.index] = Phase.Ready;
        }
    }

    private settle(vcpu: KvmVcpu): void {
        const { state } = this;
        if (this.phaseOf(vcpu) === Phase.Parked) return;
        if (this.phaseOf(vcpu) !== Phase.Lost) {
            this.turn(vcpu);
            this.conclude(vcpu, this.exits.finish(vcpu));
        }
        vcpu.tsc.left(vcpu.cpu);
        state.copyShared(vcpu);
        state.undoSyscall(vcpu);
    }

    /** Does something that may fail: the run then ends with the words for it. */
    private attempt(action: () => void, vcpu?: KvmVcpu): void {
        try {
            action();
        } catch (error) {
            if (!(error instanceof HyperscopeError)) throw error;
            const culprit = error instanceof VcpuThreadError ? error.vcpu : vcpu?.processor.index;
            const index = culprit ?? Math.max(0, this.state.current);
            this.stop ??= { vcpu: index, stop: { reason: 'failed', problem: error.message } };
        }
    }

    // ---- turns ---------------------------------------------------------------------------------------------------

    private turn({ processor }: KvmVcpu): void {
        const { state } = this;
        if (state.current !== processor.index) {
            state.countTime();
            state.current = processor.index;
        }
        this.turns.turn(processor.index);
    }

    private phaseOf({ processor }: KvmVcpu): Phase {
        return this.phases[processor.index];
    }
}

function isSameStop(a: RunStop, b: RunStop): boolean {
    return a.reason === 'breakpoint' && b.reason === 'breakpoint' && a.id === b.id;
}
