/**
 * The engine on /dev/kvm: the same machine, its instructions executed by the host's processor.
 *
 * vCPUs take turns on the machine's thread, so that devices, debugger and engine never run at the same time; a slice ends by
 * a timer whose signal only KVM_RUN lets in (`ThreadAlarm`). Or, with `parallel`, several have a thread each, for KVM_RUN and
 * nothing else (`ParallelRun`). Interrupt controllers, timers and most MSRs are the machine's own; KVM has memory, segments,
 * control registers and the FPU.
 */
import { HyperscopeError } from '../common/errors';
import type {
    Engine,
    EngineCpuHooks,
    EngineStatistics,
    RunStop,
    StopWish,
    TogetherStop,
    Turns,
} from '../machine/engine';
import { MachineEventKind } from '../machine/observation/kinds';
import { deliverDebugTrap, deliverException } from '../machine/cpu/interrupts';
import type { CodeBreakpoint } from '../machine/breakpoint';
import type { Cpu } from '../machine/cpu/cpu';
import { type InterruptSource, serviceEvents } from '../machine/cpu/boundary';
import { guestFault, Vector } from '../machine/cpu/fault';
import type { Processor } from '../machine/processor';
import { ActivityState, StateOffset } from '../machine/state';
import type { AccessObserver, Watchpoint } from '../machine/watchpoints';
import { RUN_SIZE } from './abi';
import { hostAbilities } from './host-trial';
import { EINTR, KvmError } from './errors';
import { trapsAll } from './exception-traps';
import { hostNanoseconds } from './guest-time';
import { readKernelStatistics } from './statistics';
import { addInstructions, type KvmVcpu } from './vcpu';
import { asksForDebugTraps, type KvmEngineOptions, type Outcome, RunState } from './run-state';
import { DebugExits } from './debug-exits';
import { Stepping } from './stepping';
import { ExitHandler } from './exit-handler';
import { ParallelRun } from './parallel-run';

/** Bytes of the shared memory that the engine needs for a machine's vCPUs. */
export function kvmArenaSize(cpus: number): number {
    return cpus * RUN_SIZE;
}

/** Shorter slices, in host nanoseconds, would come back before they have begun. */
const SHORTEST_SLICE = 50_000;

/** Exceptions that can follow each other before a handler is reached, or none. */
const MOST_FAULTS = 4;

/**
 * The hardware, or the host's kernel, does these by itself: KVM_RUN does not come back for them. (What the translator
 * executes in KVM's place, and a triple fault's chain, is told all the same.)
 */
const UNOBSERVED: ReadonlySet<MachineEventKind> = new Set([
    MachineEventKind.CrWrite,
    MachineEventKind.Cpuid,
    MachineEventKind.Mwait,
    MachineEventKind.Exception,
    MachineEventKind.SoftwareInterrupt,
    MachineEventKind.ModeSwitch,
]);

export class KvmEngine implements Engine {
    readonly timed: boolean;
    private readonly state: RunState;
    private readonly stepping: Stepping;
    private readonly debug: DebugExits;
    private readonly exits: ExitHandler;
    private readonly parallel: ParallelRun;
    /** The guest or the clock has moved the TSC. */
    private tscMoved = true;
    private disposed = false;
    private readonly isParallel: boolean;

    /**
     * @throws KvmUnavailableError if KVM cannot be used here
     * @throws KvmError
     */
    constructor(options: KvmEngineOptions) {
        this.state = new RunState(options);
        this.timed = this.state.timed;
        this.isParallel = this.timed && options.parallel === true;
        this.stepping = new Stepping(this.state);
        this.debug = new DebugExits(this.state, this.stepping);
        this.exits = new ExitHandler(this.state, this.debug);
        this.stepping.exits = this.exits;
        this.parallel = new ParallelRun(this.state, this.exits, this.debug, this.stepping);
    }

    // ---- Engine --------------------------------------------------------------------------------------------------

    mmuHooks(vcpu: number): EngineCpuHooks {
        return {
            isCodePage: () => false,
            codeWritten: () => undefined,
            translationsFlushed: () => undefined,
            pageInvalidated: () => undefined,
            attention: () => this.attention(vcpu),
            modeChanged: () => this.modeChanged(vcpu),
            retired: () => this.retiredBy(vcpu),
        };
    }

    /** An interrupt has come for a vCPU, or the like. */
    attention(vcpu: number): void {
        this.parallel.noteAttention(vcpu);
    }

    retiredBy(vcpu: number): number {
        return this.state.retiredBy(vcpu);
    }

    modeChanged(vcpu: number): void {
        if (!this.state.copying) this.state.vcpus[vcpu]?.markChanged();
    }

    addProcessor(processor: Processor): void {
        this.state.processors.push(processor);
    }

    run(vcpu: number, budget: number): RunStop {
        try {
            this.state.createVcpus();
            return this.timed
                ? this.slice(this.state.vcpus[vcpu], vcpu, budget)
                : this.countedSlice(this.state.vcpus[vcpu], budget);
        } catch (error) {
            if (!(error instanceof HyperscopeError)) throw error;
            this.keepLastState(vcpu);
            return { reason: 'failed', problem: error.message };
        } finally {
            this.state.countTime();
            this.state.breakpoints.remove();
            this.state.current = -1;
        }
    }

    /** Something has failed: what KVM has left of a vCPU is shown, and what it goes on with. */
    private keepLastState(vcpu: number): void {
        const failed = this.state.vcpus.at(vcpu);
        if (failed !== undefined) this.state.copyShared(failed);
    }

    /** Once a second vCPU has been started: until then, the first one runs on the machine's thread. */
    runsTogether(): boolean {
        const isStarted = ({ cpu }: Processor): boolean => cpu.activity !== ActivityState.WaitForSipi;
        return this.isParallel && (this.parallel.hasThreads || this.state.processors.filter(isStarted).length > 1);
    }

    runTogether(vcpus: readonly number[], turns: Turns): TogetherStop {
        try {
            this.state.createVcpus();
            const { tscMoved } = this;
            this.tscMoved = false;
            return this.parallel.run(vcpus, turns, tscMoved);
        } catch (error) {
            if (!(error instanceof HyperscopeError)) throw error;
            return { vcpu: vcpus[0], stop: { reason: 'failed', problem: error.message } };
        } finally {
            this.state.current = -1;
        }
    }

    /** Whether a vCPU has yet to pass the breakpoint where it stands. */
    isPassing(vcpu: number): boolean {
        return this.state.passing.has(vcpu);
    }

    /** A device is about to access memory. */
    deviceAccess(address: number, size: number): void {
        this.parallel.beforeAccess(address, size);
    }

    retired(): number {
        let total = 0;
        for (const { index } of this.state.processors) total += this.state.retiredBy(index);
        return total;
    }

    requestExit(): void {
        this.state.exitRequested = true;
    }

    invalidatePage(): void {
        // The processor keeps its caches coherent, and patches are in memory only while it runs.
    }

    mapChanged(): void {
        this.state.slots.changed();
        this.state.exitRequested = true;
    }

    stateChanged(vcpu: number): void {
        this.state.passing.delete(vcpu);
        this.state.told.delete(vcpu);
        this.parallel.forget(vcpu);
        this.state.vcpus[vcpu]?.takeBack();
        this.state.vcpus[vcpu]?.tsc.forget();
        this.tscMoved = true;
    }

    synchronize(vcpu?: number): void {
        if (this.timed || vcpu !== undefined) this.settle(vcpu);
    }

    /** Brings everything that is in KVM into the shared memory. */
    settle(vcpu?: number): void {
        const some = vcpu === undefined ? this.state.vcpus : this.state.vcpus.slice(vcpu, vcpu + 1);
        for (const each of some) {
            if (!each.holdsRest) continue;
            try {
                this.state.bringBack(each);
            } catch (error) {
                if (!(error instanceof KvmError)) throw error;
                // What was copied at the last exit has to do; the next run will fail with the same words.
                each.takeBack();
            }
        }
    }

    statistics(): EngineStatistics {
        return { ...this.state.counts };
    }

    dispose(): void {
        if (!this.disposed) {
            this.disposed = true;
            this.parallel.dispose();
            this.state.alarm.dispose();
            this.state.vm.dispose();
        }
    }

    // ---- for the debugger ----------------------------------------------------------------------------------------

    /** Replaces the breakpoints. Not while a vCPU runs. */
    setBreakpoints(breakpoints: readonly CodeBreakpoint[]): void {
        this.state.breakpoints.replace(breakpoints);
    }

    /** Replaces the watchpoints: {@link watchProblem} says whether they work. Not while a vCPU runs. */
    setWatchpoints(watchpoints: readonly Watchpoint[]): void {
        this.parallel.forgetHeld();
        this.state.watchpoints.replace(watchpoints);
    }

    set accessObserver(observer: AccessObserver | undefined) {
        this.state.watchpoints.observer = observer;
    }

    /** Why what is watched cannot be, as a vCPU's debug registers are; undefined if it can. */
    watchProblem(cpu: Cpu): string | undefined {
        const problem = this.state.watchpoints.problem(cpu);
        return problem ?? (hostAbilities().data ? undefined : "this host's KVM overlooks data breakpoints");
    }

    /** Whether the guest would pass events that the debugger wants to stop at. */
    misses(wish: StopWish): boolean {
        return UNOBSERVED.has(wish.kind) && !trapsAll(wish);
    }

    /** Whether a vCPU is in a mode in which it would pass them. */
    missesExceptions(cpu: Cpu): boolean {
        return this.state.traps.misses(cpu);
    }

    /** Replaces what the debugger wants to stop at, of which {@link misses} says what is passed. Not while a vCPU runs. */
    setStopWishes(wishes: readonly StopWish[]): void {
        this.state.traps.replace(wishes);
        this.state.told.clear();
    }

    /** Whether the guest would pass a breakpoint, as things stand, because this host's KVM overlooks those at CPL 3. */
    missesUserCode(cpu: Cpu): boolean {
        return !hostAbilities().userCode && this.state.breakpoints.mayBeMetInUserMode(cpu);
    }

    /** The kernel's counters of the machine and of its vCPUs, where this kernel offers them. */
    kernelStatistics(): { readonly machine: EngineStatistics; readonly vcpus: readonly EngineStatistics[] } {
        const offered = this.state.vm.capabilities.statistics && !this.disposed;
        return {
            machine: offered ? readKernelStatistics(this.state.vm.fd) : {},
            vcpus: offered ? this.state.vcpus.map(({ fd }) => readKernelStatistics(fd)) : [],
        };
    }

    /** Starts or stops noting which pages the guest writes. @throws KvmError */
    logDirtyPages(on: boolean): void {
        this.state.slots.logDirtyPages(on);
    }

    /**
     * Physical addresses of the pages that the guest has written since the last call; not what devices wrote.
     * @throws KvmError
     * @throws HyperscopeError if nothing is noted
     */
    takeDirtyPages(): number[] {
        if (!this.state.slots.logsDirtyPages) {
            throw new HyperscopeError('written pages are not noted: start that first');
        }
        return this.state.slots.takeDirtyPages();
    }

    /** The instruction at RIP of a vCPU is next, whatever breakpoint stands there. */
    passBreakpoint(vcpu: number): void {
        this.state.passing.add(vcpu);
    }

    /** Takes {@link passBreakpoint} back: the vCPU has gone on from there. */
    passNothing(vcpu: number): void {
        this.state.passing.delete(vcpu);
    }

    // ---- running -------------------------------------------------------------------------------------------------

    private slice(vcpu: KvmVcpu, index: number, budget: number): RunStop {
        const { cpu } = vcpu;
        this.state.exitRequested = false;
        this.state.traps.look(cpu);
        const resuming = this.state.passing.delete(index) && this.state.isAtBreakpoint(cpu);
        if (cpu.lo(StateOffset.pendingDebug) !== 0) {
            this.state.bringBack(vcpu);
            deliverDebugTrap(cpu);
        }
        const idle = this.state.idleStop(vcpu);
        if (idle !== undefined) {
            return idle;
        }
        const trapped = !resuming && this.state.traps.isAt(cpu) && !this.state.told.has(index);
        const hit = resuming || trapped ? undefined : this.state.breakpointStop(cpu, index);
        if (hit !== undefined) {
            return hit;
        }

        this.state.current = index;
        addInstructions(cpu, this.state.time.resume());
        this.state.slots.update();
        vcpu.load();
        vcpu.tsc.align(cpu, this.tscMoved);
        this.tscMoved = false;

        let outcome: Outcome;
        if (budget === 1 || this.state.isAtBreakpoint(cpu)) {
            outcome = trapped ? this.debug.hitPatch(vcpu) : this.stepping.step(vcpu);
            const hasTrap = cpu.lo(StateOffset.pendingDebug) !== 0;
            if (budget === 1 || outcome !== undefined || this.state.exitRequested || hasTrap) {
                return this.leave(vcpu, outcome ?? { reason: this.state.exitRequested ? 'exit' : 'budget' });
            }
        }
        this.state.arm(vcpu);
        const length = Math.max(SHORTEST_SLICE, this.state.time.hostTime(budget));
        const end = hostNanoseconds() + length;
        this.state.alarm.set(length);
        do {
            this.state.offerEvents(vcpu);
            const result = this.state.enter(vcpu, false);
            if (result === EINTR) {
                this.state.counts.interrupted++;
                this.state.noteExit(vcpu, MachineEventKind.Interrupted, 0);
                this.state.alarm.consume();
                // A signal that an earlier slice has left behind, or one that is for somebody else, ends nothing.
                outcome = hostNanoseconds() >= end ? { reason: 'budget' } : undefined;
            } else {
                outcome = this.exits.handle(vcpu);
            }
            if (outcome === undefined && !this.state.alarm.isDue) {
                // A step over a breakpoint may have taken the signal: it comes once only.
                const left = end - hostNanoseconds();
                if (left <= 0) outcome = { reason: 'budget' };
                else this.state.alarm.set(left);
            }
        } while (outcome === undefined && !this.state.exitRequested);
        return this.leave(vcpu, outcome ?? { reason: 'exit' });
    }

    /** The same instruction by instruction: what happens between two of them is what the translator does there. */
    private countedSlice(vcpu: KvmVcpu, budget: number): RunStop {
        const { cpu } = vcpu;
        this.state.exitRequested = false;
        this.state.slots.update();
        for (let done = 0; done < budget && !this.state.exitRequested; done++) {
            this.deliverEvents(vcpu);
            const idle = this.state.idleStop(vcpu);
            if (idle !== undefined) return idle;
            vcpu.load();
            let outcome = this.stepping.step(vcpu);
            for (let faults = 0; faults < MOST_FAULTS && outcome === undefined && this.tookException(vcpu); faults++) {
                outcome = this.stepping.step(vcpu); // the first instruction of its handler
            }
            addInstructions(cpu, 1);
            if (outcome !== undefined) return this.leave(vcpu, outcome);
        }
        return { reason: this.state.exitRequested ? 'exit' : 'budget' };
    }

    /**
     * If a step has ended with an exception that KVM has yet to deliver, that is done here: KVM would push RFLAGS with the
     * TF that it steps by.
     */
    private tookException(vcpu: KvmVcpu): boolean {
        const { cpu } = vcpu;
        const events = vcpu.isStale ? undefined : vcpu.transfer.pendingEvents();
        if (events === undefined || events.exception < 0) {
            return false;
        }
        if (events.exception === Vector.DB && !asksForDebugTraps(cpu)) {
            // Our own step, which KVM would hand to the guest.
            vcpu.markChanged();
            return false;
        }
        this.state.bringBack(vcpu);
        guestFault.vector = events.exception;
        guestFault.errorCode = events.exceptionError;
        guestFault.addressLo = cpu.lo(StateOffset.cr2);
        guestFault.addressHi = cpu.hi(StateOffset.cr2);
        guestFault.debugStatus = 0;
        deliverException(cpu, guestFault, false);
        vcpu.load();
        return true;
    }

    private deliverEvents(vcpu: KvmVcpu): void {
        const { cpu, processor } = vcpu;
        if (cpu.lo(StateOffset.pendingDebug) === 0 && !processor.interruptPending && !processor.nmiPending) {
            return;
        }
        this.state.bringBack(vcpu);
        const source: InterruptSource = {
            nmiPending: () => processor.nmiPending,
            takeNmi: () => {
                processor.nmiPending = false;
            },
            interruptPending: () => processor.interruptPending,
            acknowledge: () => processor.acknowledgeInterrupt(),
        };
        while (serviceEvents(cpu, source)) {
            // Delivering one may open or close the way for the next.
        }
        vcpu.takeBack();
    }

    /** Takes over the state, after whatever is unfinished has been finished. */
    private leave(vcpu: KvmVcpu, stop: RunStop): RunStop {
        const finished = this.exits.finish(vcpu);
        vcpu.tsc.left(vcpu.cpu);
        this.state.copyShared(vcpu);
        this.state.undoSyscall(vcpu);
        if (stop.reason === 'halted') {
            vcpu.cpu.activity = ActivityState.Halted;
        }
        return finished ?? stop;
    }
}
