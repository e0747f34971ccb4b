/**
 * The engine on /dev/kvm: the same machine, its instructions executed by the host's processor.
 *
 * vCPUs take turns on the machine's thread, as they do on the translator, so that devices, debugger and engine never run
 * at the same time. A slice ends by a timer whose signal only KVM_RUN lets in (`ThreadAlarm`). Interrupt controllers,
 * timers and most MSRs are the machine's own; KVM has memory, segments, control registers and the FPU.
 */
import { HyperscopeError } from '../common/errors';
import { type Engine, type EngineCpuHooks, type EngineStatistics, EVENT_STOP, type RunStop } from '../machine/engine';
import { StopBeforeEvent } from '../machine/observation/cpu-observer';
import { MachineEventKind } from '../machine/observation/kinds';
import { deliverDebugTrap, deliverException, deliverInterrupt, deliverNmi } from '../machine/cpu/interrupts';
import { interruptsOpen, nmiOpen, softwareInterrupt, wake } from '../machine/cpu/interrupts';
import type { CodeBreakpoint } from '../machine/breakpoint';
import type { Cpu } from '../machine/cpu/cpu';
import { type InterruptSource, serviceEvents } from '../machine/cpu/boundary';
import { DebugStatus } from '../machine/cpu/breakpoints';
import { EventKind } from '../machine/cpu/event';
import { GuestFault, guestFault, Vector } from '../machine/cpu/fault';
import { readMsr, writeMsr } from '../machine/cpu/msr';
import type { Block } from '../machine/layout';
import type { GuestMemory } from '../machine/memory';
import type { Processor } from '../machine/processor';
import { ActivityState, Flag, StateOffset } from '../machine/state';
import { DebugExit, ExitReason, GuestDebug, IoExit, MmioExit, MsrExit, RUN_SIZE } from './abi';
import { beforeStep, clearPushedTrapFlag } from './pushed-trap-flag';
import { isHalt, isRepeatedString, losesStep } from './step-instructions';
import { CodeBreakpoints, guestHits, isExecution } from './breakpoints';
import { KvmError } from './errors';
import { decodeExit, explainExit, Suberror } from './exits';
import { GuestTime, hostNanoseconds } from './guest-time';
import { ThreadAlarm } from './libc';
import { MemorySlots } from './memory-slots';
import { readKernelStatistics } from './statistics';
import { addInstructions, EINTR, instructionsOf, KvmVcpu, NO_DEBUG } from './vcpu';
import { KvmVm } from './vm';

/** Bytes of the shared memory that the engine needs for a machine's vCPUs. */
export function kvmArenaSize(cpus: number): number {
    return cpus * RUN_SIZE;
}

/** Shorter slices, in host nanoseconds, would come back before they have begun. */
const SHORTEST_SLICE = 50_000;

const MSR_TSC = 0x10;
const MSR_APIC_BASE = 0x1b;
const MSR_TSC_ADJUST = 0x3b;

/** Bits of DR6 that tell of traps: B0–B3, BS, BT. */
const DEBUG_TRAPS = DebugStatus.Breakpoints | DebugStatus.SingleStep | DebugStatus.TaskSwitch;

/** Exceptions of KVM_EXIT_DEBUG. */
const EXCEPTION_DB = 1;
const EXCEPTION_BP = 3;

/** How often a step that leaves RIP where it is, is tried: it may be a branch to itself. */
const MOST_ATTEMPTS = 3;

/** Exceptions that can follow each other before a handler is reached, or none. */
const MOST_FAULTS = 4;

/** Iterations of a repeated instruction that one step executes at most. */
const MOST_ITERATIONS = 100_000;

/** RIP has left the instruction's place by then, or it never will. */
const MOST_EXITS_OF_A_STEP = 100_000;

export interface KvmEngineOptions {
    readonly memory: GuestMemory;
    /** {@link kvmArenaSize} bytes of the shared memory. */
    readonly arena: Block;
    /**
     * Executes one instruction that KVM cannot, or shows which exceptions end in a triple fault, on the state in the
     * shared memory; undefined if that is impossible too. Without it, such an instruction ends the run.
     */
    readonly executeElsewhere?: (vcpu: number) => RunStop | undefined;
    /**
     * Executes instruction by instruction and counts them, as the translator does: for comparing the two. Slow. Events
     * are delivered by `machine/cpu`, and a run leaves x87, SSE and MSRs in KVM until {@link KvmEngine.settle}.
     */
    readonly counted?: boolean;
    /**
     * KVM has no VT-x or AMD-V beneath it: single steps over some instructions execute one more, so those are
     * left to {@link executeElsewhere}.
     */
    readonly emulated?: boolean;
}

/** What handling an exit leads to. */
type Outcome = RunStop | undefined;

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
    readonly unobserved = UNOBSERVED;
    private readonly vm: KvmVm;
    private readonly alarm: ThreadAlarm;
    private readonly slots: MemorySlots;
    private readonly processors: Processor[] = [];
    private readonly vcpus: KvmVcpu[] = [];
    private time = new GuestTime(1);
    private readonly breakpoints: CodeBreakpoints;
    private current = -1;
    private exitRequested = false;
    /** State is being copied out of KVM: nobody has changed it. */
    private copying = false;
    /** The guest or the clock has moved the TSC. */
    private tscMoved = true;
    /** vCPUs whose next run begins with the instruction at RIP, whatever breakpoint stands there. */
    private readonly passing = new Set<number>();
    private disposed = false;
    private readonly counts = {
        io: 0,
        mmio: 0,
        msr: 0,
        hlt: 0,
        interruptWindow: 0,
        interrupted: 0,
        debug: 0,
        internalError: 0,
        other: 0,
        executedElsewhere: 0,
    };

    /**
     * @throws KvmUnavailableError if KVM cannot be used here
     * @throws KvmError
     */
    constructor(private readonly options: KvmEngineOptions) {
        const { memory } = options;
        this.timed = options.counted !== true;
        this.vm = new KvmVm(memory);
        try {
            this.alarm = new ThreadAlarm();
        } catch (error) {
            this.vm.dispose();
            throw error;
        }
        this.slots = new MemorySlots(this.vm.fd, memory, this.vm.hostBase);
        this.breakpoints = new CodeBreakpoints(memory);
    }

    // ---- Engine --------------------------------------------------------------------------------------------------

    mmuHooks(vcpu: number): EngineCpuHooks {
        return {
            isCodePage: () => false,
            codeWritten: () => undefined,
            translationsFlushed: () => undefined,
            pageInvalidated: () => undefined,
            attention: () => undefined,
            modeChanged: () => {
                if (!this.copying) this.vcpus[vcpu]?.markChanged();
            },
            retired: () => this.retiredBy(vcpu),
        };
    }

    addProcessor(processor: Processor): void {
        this.processors.push(processor);
    }

    run(vcpu: number, budget: number): RunStop {
        try {
            this.createVcpus();
            return this.timed
                ? this.slice(this.vcpus[vcpu], vcpu, budget)
                : this.countedSlice(this.vcpus[vcpu], budget);
        } catch (error) {
            if (error instanceof HyperscopeError) {
                return { reason: 'failed', problem: error.message };
            }
            throw error;
        } finally {
            this.countTime();
            this.breakpoints.remove();
            this.current = -1;
        }
    }

    retired(): number {
        let total = 0;
        for (const { index } of this.processors) total += this.retiredBy(index);
        return total;
    }

    requestExit(): void {
        this.exitRequested = true;
    }

    invalidatePage(): void {
        // The processor keeps its caches coherent, and patches are in memory only while it runs.
    }

    mapChanged(): void {
        this.slots.changed();
    }

    stateChanged(vcpu: number): void {
        this.passing.delete(vcpu);
        this.vcpus[vcpu]?.takeBack();
        this.vcpus[vcpu]?.tsc.forget();
        this.tscMoved = true;
    }

    synchronize(vcpu?: number): void {
        if (this.timed || vcpu !== undefined) this.settle(vcpu);
    }

    /** Brings everything that is in KVM into the shared memory. */
    settle(vcpu?: number): void {
        const some = vcpu === undefined ? this.vcpus : this.vcpus.slice(vcpu, vcpu + 1);
        for (const each of some) {
            if (!each.holdsRest) continue;
            try {
                this.bringBack(each);
            } catch (error) {
                if (!(error instanceof KvmError)) throw error;
                // What was copied at the last exit has to do; the next run will fail with the same words.
                each.takeBack();
            }
        }
    }

    statistics(): EngineStatistics {
        return { ...this.counts };
    }

    dispose(): void {
        if (!this.disposed) {
            this.disposed = true;
            this.alarm.dispose();
            this.vm.dispose();
        }
    }

    // ---- for the debugger ----------------------------------------------------------------------------------------

    /** Replaces the breakpoints. Not while a vCPU runs. */
    setBreakpoints(breakpoints: readonly CodeBreakpoint[]): void {
        this.breakpoints.replace(breakpoints);
    }

    /** The kernel's counters of the machine and of its vCPUs, where this kernel offers them. */
    kernelStatistics(): { readonly machine: EngineStatistics; readonly vcpus: readonly EngineStatistics[] } {
        const offered = this.vm.capabilities.statistics && !this.disposed;
        return {
            machine: offered ? readKernelStatistics(this.vm.fd) : {},
            vcpus: offered ? this.vcpus.map(({ fd }) => readKernelStatistics(fd)) : [],
        };
    }

    /** Starts or stops noting which pages the guest writes. @throws KvmError */
    logDirtyPages(on: boolean): void {
        this.slots.logDirtyPages(on);
    }

    /**
     * Physical addresses of the pages that the guest has written since the last call; not what devices wrote.
     * @throws KvmError
     */
    takeDirtyPages(): number[] {
        return this.slots.takeDirtyPages();
    }

    /** The instruction at RIP of a vCPU is next, whatever breakpoint stands there. */
    passBreakpoint(vcpu: number): void {
        this.passing.add(vcpu);
    }

    /** Takes {@link passBreakpoint} back: the vCPU has gone on from there. */
    passNothing(vcpu: number): void {
        this.passing.delete(vcpu);
    }

    // ---- time ----------------------------------------------------------------------------------------------------

    private retiredBy(vcpu: number): number {
        if (vcpu === this.current) this.countTime();
        return instructionsOf(this.processors[vcpu].cpu);
    }

    private countTime(): void {
        if (this.current >= 0) {
            const ticks = this.time.advance();
            addInstructions(this.processors[this.current].cpu, ticks);
        }
    }

    // ---- state ---------------------------------------------------------------------------------------------------

    private createVcpus(): void {
        if (this.vcpus.length > 0) {
            return;
        }
        const created = this.processors.map(
            processor =>
                new KvmVcpu(this.vm, processor, this.options.arena.base + processor.index * RUN_SIZE, this.alarm),
        );
        this.vcpus.push(...created);
        this.time = new GuestTime(created[0].tsc.ticksPerNanosecond);
    }

    private copyShared(vcpu: KvmVcpu): void {
        this.copying = true;
        vcpu.saveShared();
        this.copying = false;
    }

    /** All state of a vCPU into the shared memory, with events on their way delivered: there is no field for those. */
    private bringBack(vcpu: KvmVcpu): void {
        const { cpu, transfer, processor } = vcpu;
        this.copying = true;
        try {
            vcpu.saveRest();
            const events = vcpu.isStale ? undefined : transfer.pendingEvents();
            cpu.stateReplaced();
            if (events !== undefined) {
                // Faults come again with their instruction; so do INT3 and INTO.
                if (events.exception === Vector.DB && asksForDebugTraps(cpu)) {
                    cpu.pendDebug(cpu.lo(StateOffset.dr + 6 * 8) & DEBUG_TRAPS);
                }
                if (events.nmi) deliverNmi(cpu);
                if (events.nmiPending) processor.nmiPending = true;
                if (events.interrupt >= 0) deliverInterrupt(cpu, events.interrupt);
            }
        } finally {
            this.copying = false;
        }
        vcpu.takeBack();
    }

    // ---- running -------------------------------------------------------------------------------------------------

    private slice(vcpu: KvmVcpu, index: number, budget: number): RunStop {
        const { cpu, processor } = vcpu;
        this.exitRequested = false;
        const resuming = this.passing.delete(index) && this.isAtBreakpoint(cpu);
        if (cpu.lo(StateOffset.pendingDebug) !== 0) {
            this.bringBack(vcpu);
            deliverDebugTrap(cpu);
        }
        const idle = this.idleStop(cpu, processor);
        if (idle !== undefined) {
            return idle;
        }
        if (!resuming && this.hitsAt(cpu, index)) {
            return this.stop!;
        }

        this.current = index;
        addInstructions(cpu, this.time.resume());
        this.slots.update();
        vcpu.load();
        vcpu.tsc.align(cpu, this.tscMoved);
        this.tscMoved = false;

        let outcome: Outcome;
        if (budget === 1 || this.isAtBreakpoint(cpu)) {
            outcome = this.step(vcpu);
            if (budget === 1 || outcome !== undefined || this.exitRequested) {
                return this.leave(vcpu, outcome ?? { reason: this.exitRequested ? 'exit' : 'budget' });
            }
        }
        this.arm(vcpu);
        const length = Math.max(SHORTEST_SLICE, this.time.hostTime(budget));
        const end = hostNanoseconds() + length;
        this.alarm.set(length);
        do {
            this.offerEvents(vcpu);
            const result = this.enter(vcpu, false);
            if (result === EINTR) {
                this.counts.interrupted++;
                this.noteExit(vcpu, MachineEventKind.Interrupted, 0);
                this.alarm.consume();
                // A signal that an earlier slice has left behind, or one that is for somebody else, ends nothing.
                outcome = hostNanoseconds() >= end ? { reason: 'budget' } : undefined;
            } else {
                outcome = this.handle(vcpu);
            }
        } while (outcome === undefined && !this.exitRequested);
        return this.leave(vcpu, outcome ?? { reason: 'exit' });
    }

    /** The same instruction by instruction: what happens between two of them is what the translator does there. */
    private countedSlice(vcpu: KvmVcpu, budget: number): RunStop {
        const { cpu, processor } = vcpu;
        this.exitRequested = false;
        this.slots.update();
        for (let done = 0; done < budget && !this.exitRequested; done++) {
            this.deliverEvents(vcpu);
            const idle = this.idleStop(cpu, processor);
            if (idle !== undefined) return idle;
            vcpu.load();
            let outcome = this.step(vcpu);
            for (let faults = 0; faults < MOST_FAULTS && outcome === undefined && this.tookException(vcpu); faults++) {
                outcome = this.step(vcpu); // the first instruction of its handler
            }
            addInstructions(cpu, 1);
            if (outcome !== undefined) return this.leave(vcpu, outcome);
        }
        return { reason: this.exitRequested ? 'exit' : 'budget' };
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
        this.bringBack(vcpu);
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
        this.bringBack(vcpu);
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

    /** Why a vCPU has nothing to execute, if so; a halted one is woken if there is an event to take. */
    private idleStop(cpu: Cpu, processor: Processor): RunStop | undefined {
        switch (cpu.activity) {
            case ActivityState.Halted:
                if ((processor.interruptPending && interruptsOpen(cpu)) || (processor.nmiPending && nmiOpen(cpu))) {
                    wake(cpu);
                    return undefined;
                }
                return { reason: 'halted' };
            case ActivityState.WaitForSipi:
                return { reason: 'waiting' };
            case ActivityState.Shutdown:
                return { reason: 'shutdown' };
            default:
                return undefined;
        }
    }

    /** KVM_RUN with the patches in memory. */
    private enter(vcpu: KvmVcpu, immediate: boolean): number {
        const { apic } = vcpu.processor;
        const priority = apic.readCr8();
        vcpu.taskPriority = priority;
        this.breakpoints.insert();
        let result: number;
        try {
            result = vcpu.enter(immediate);
        } finally {
            this.breakpoints.remove();
        }
        if (vcpu.taskPriority !== priority) {
            apic.writeCr8(vcpu.taskPriority);
        }
        return result;
    }

    /** Takes over the state, after whatever is unfinished has been finished. */
    private leave(vcpu: KvmVcpu, stop: RunStop): RunStop {
        const finished = this.finish(vcpu);
        vcpu.tsc.left();
        this.copyShared(vcpu);
        if (stop.reason === 'halted') {
            vcpu.cpu.activity = ActivityState.Halted;
        }
        return finished ?? stop;
    }

    /** Lets KVM finish the access that the last exit was about, and those that follow from it. */
    private finish(vcpu: KvmVcpu): Outcome {
        let outcome: Outcome;
        while (vcpu.isUnfinished && outcome === undefined) {
            if (this.enter(vcpu, true) === EINTR) {
                break;
            }
            outcome = this.handle(vcpu);
        }
        return outcome;
    }

    private offerEvents(vcpu: KvmVcpu): void {
        const { processor, cpu } = vcpu;
        // KVM knows, unless it has yet to be told the registers.
        const ready = vcpu.hasUnreadRegisters ? interruptsOpen(cpu) : vcpu.readyForInterrupt;
        if (processor.nmiPending) {
            processor.nmiPending = false;
            vcpu.injectNmi();
            processor.observation?.interrupt(cpu, Vector.NMI, true);
        }
        if (processor.interruptPending && ready) {
            const vector = processor.acknowledgeInterrupt();
            vcpu.injectInterrupt(vector);
            processor.observation?.interrupt(cpu, vector, false);
        }
        vcpu.wantsInterruptWindow = processor.interruptPending;
    }

    /**
     * Executes one instruction, a repeated one to its end; no interrupt comes in between.
     * @throws KvmError
     */
    private step(vcpu: KvmVcpu): Outcome {
        const { cpu } = vcpu;
        const before = beforeStep(cpu);
        const start = linearRip(cpu);
        for (let attempts = 0; attempts < MOST_ATTEMPTS; attempts++) {
            const outcome = this.stepInstruction(vcpu);
            if (outcome !== undefined) return outcome;
            this.finish(vcpu);
            this.copyShared(vcpu);
            // KVM may come back before it has done anything: a page of its own was missing, say.
            if (linearRip(cpu) !== start || vcpu.isStale || vcpu.transfer.pendingEvents() !== undefined) break;
        }
        clearPushedTrapFlag(cpu, this.options.memory, before);
        return undefined;
    }

    private stepInstruction(vcpu: KvmVcpu): Outcome {
        const { cpu } = vcpu;
        const start = linearRip(cpu);
        if (!isRepeatedString(cpu, this.options.memory)) {
            if (this.options.emulated === true && losesStep(cpu, this.options.memory)) {
                const stop = this.elsewhere(vcpu);
                vcpu.load();
                if (stop !== undefined) {
                    this.counts.executedElsewhere++;
                    return stop.reason === 'breakpoint' || stop.reason === 'shutdown' ? stop : undefined;
                }
            }
            const halts = isHalt(cpu, this.options.memory);
            const outcome = this.stepOnce(vcpu, halts);
            // KVM without hardware beneath it tells of the step, and of the HLT with the next instruction that it emulates.
            return halts && outcome === undefined && this.halted(vcpu, start) ? { reason: 'halted' } : outcome;
        }
        // The processor stops after every iteration.
        for (let iteration = 0; iteration < MOST_ITERATIONS; iteration++) {
            const outcome = this.stepOnce(vcpu, false);
            if (outcome !== undefined || this.exitRequested) return outcome;
            this.copyShared(vcpu);
            if (linearRip(cpu) !== start) break;
        }
        return undefined;
    }

    private halted(vcpu: KvmVcpu, start: bigint): boolean {
        this.copyShared(vcpu);
        if (linearRip(vcpu.cpu) !== BigInt.asUintN(64, start + 1n)) {
            return false; // it has faulted
        }
        this.noteHalt(vcpu);
        return true;
    }

    private stepOnce(vcpu: KvmVcpu, halts: boolean): Outcome {
        const { cpu } = vcpu;
        const traced = (cpu.systemFlags & Flag.TF) !== 0;
        const block = this.vm.capabilities.guestDebugFlags & GuestDebug.BlockInterrupts;
        const changed = vcpu.hasUnreadRegisters;
        this.takeOver(vcpu);
        vcpu.wantsInterruptWindow = false;
        // KVM notes where a step begins when it is told to step: again for registers that it did not set itself.
        const control = GuestDebug.Enable | GuestDebug.SingleStep | block;
        vcpu.setDebug({ ...NO_DEBUG, control }, this.timed || changed);
        if (this.timed) this.alarm.consume();
        try {
            for (let exits = 0; exits < MOST_EXITS_OF_A_STEP; exits++) {
                if (vcpu.enter(vcpu.isUnfinished) === EINTR) {
                    if (exits > 0) return undefined; // it has been finished
                    continue;
                }
                if (vcpu.exitReason === ExitReason.Debug) {
                    this.counts.debug++;
                    if (traced) cpu.pendDebug(DebugStatus.SingleStep);
                    return undefined;
                }
                if (vcpu.exitReason === ExitReason.Hlt && !halts) {
                    return undefined;
                }
                const outcome = this.handle(vcpu);
                if (outcome !== undefined) return outcome;
            }
            return undefined;
        } finally {
            if (this.timed) vcpu.setDebug(NO_DEBUG);
        }
    }

    /** KVM_SET_GUEST_DEBUG looks at registers: those that wait to be taken over go first. */
    private takeOver(vcpu: KvmVcpu): void {
        if (vcpu.hasUnreadRegisters) {
            vcpu.enter(true);
        }
    }

    private arm(vcpu: KvmVcpu): void {
        if (!this.breakpoints.isEmpty && vcpu.holdsRest) {
            vcpu.transfer.saveDebugRegisters();
        }
        const setting = this.breakpoints.prepare(vcpu.cpu);
        if (setting.control !== vcpu.debugSetting.control || setting.control !== 0) {
            this.takeOver(vcpu);
        }
        vcpu.setDebug(setting);
    }

    // ---- exits ---------------------------------------------------------------------------------------------------

    /** Does what an exit asks for, and tells those who watch; returns what ends the run. */
    private handle(vcpu: KvmVcpu): Outcome {
        const { observation } = vcpu.processor;
        if (observation === undefined) {
            return this.handleExit(vcpu);
        }
        if (observation.onEvent === undefined) {
            vcpu.transfer.saveRip(0);
        } else {
            this.copyShared(vcpu); // conditions may look at registers
        }
        observation.beginOperation(vcpu.cpu);
        try {
            return this.handleExit(vcpu);
        } finally {
            observation.endOperation();
        }
    }

    /** Exits that only KVM has. */
    private noteExit(vcpu: KvmVcpu, kind: MachineEventKind, cause: number, value?: bigint): void {
        vcpu.processor.observation?.exit(kind, vcpu.cpu, cause, value);
    }

    private handleExit(vcpu: KvmVcpu): Outcome {
        switch (vcpu.exitReason) {
            case ExitReason.Io:
                this.counts.io++;
                this.portAccess(vcpu);
                return undefined;
            case ExitReason.Mmio:
                this.counts.mmio++;
                this.memoryAccess(vcpu);
                return undefined;
            case ExitReason.X86Rdmsr:
            case ExitReason.X86Wrmsr:
                this.counts.msr++;
                this.msrAccess(vcpu);
                return undefined;
            case ExitReason.Hlt:
                this.counts.hlt++;
                return this.halt(vcpu);
            case ExitReason.IrqWindowOpen:
                this.counts.interruptWindow++;
                this.noteExit(vcpu, MachineEventKind.Other, ExitReason.IrqWindowOpen);
                return undefined;
            case ExitReason.SetTpr:
                this.counts.other++;
                this.noteExit(vcpu, MachineEventKind.Other, ExitReason.SetTpr);
                return undefined;
            case ExitReason.Intr:
                this.counts.interrupted++;
                this.noteExit(vcpu, MachineEventKind.Interrupted, 0);
                return { reason: 'budget' };
            case ExitReason.Debug:
                this.counts.debug++;
                return this.debugExit(vcpu);
            case ExitReason.Shutdown:
                this.counts.other++;
                return this.shutDown(vcpu);
            case ExitReason.InternalError:
                this.counts.internalError++;
                return this.internalError(vcpu);
            default:
                this.counts.other++;
                return this.unusableExit(vcpu);
        }
    }

    /** An exit that the guest cannot go on from. */
    private unusableExit(vcpu: KvmVcpu): RunStop {
        const exit = decodeExit(vcpu.view, vcpu.run);
        if (exit.kind === 'failEntry') {
            this.noteExit(vcpu, MachineEventKind.FailEntry, Number(exit.reason & 0xffffffffn), exit.reason);
        } else {
            this.noteExit(vcpu, MachineEventKind.Other, vcpu.exitReason);
        }
        return { reason: 'failed', problem: explainExit(exit) };
    }

    private portAccess(vcpu: KvmVcpu): void {
        const { view, run, cpu } = vcpu;
        const size = view.getUint8(run + IoExit.size);
        const port = view.getUint16(run + IoExit.port, true);
        const count = view.getUint32(run + IoExit.count, true);
        const write = view.getUint8(run + IoExit.direction) === 1;
        let at = run + view.getUint32(run + IoExit.dataOffset, true);
        const { ports } = cpu.hooks;
        for (let index = 0; index < count; index++, at += size) {
            if (write) {
                ports.write(port, size, readSized(view, at, size));
            } else {
                writeSized(view, at, size, ports.read(port, size));
            }
        }
        vcpu.markUnfinished();
    }

    private memoryAccess(vcpu: KvmVcpu): void {
        const { view, run } = vcpu;
        const { memory } = this.options;
        const address =
            view.getUint32(run + MmioExit.address, true) +
            view.getUint32(run + MmioExit.address + 4, true) * 0x100000000;
        const length = view.getUint32(run + MmioExit.length, true);
        const write = view.getUint8(run + MmioExit.isWrite) !== 0;
        const data = run + MmioExit.data;
        for (let done = 0; done < length;) {
            const left = length - done;
            const size = left >= 4 ? 4 : left >= 2 ? 2 : 1;
            if (write) {
                memory.write(address + done, size, readSized(view, data + done, size));
            } else {
                writeSized(view, data + done, size, memory.read(address + done, size));
            }
            done += size;
        }
        vcpu.markUnfinished();
    }

    private msrAccess(vcpu: KvmVcpu): void {
        const { view, run, cpu } = vcpu;
        const { observation } = vcpu.processor;
        this.copyShared(vcpu);
        const index = view.getUint32(run + MsrExit.index, true);
        const data = run + MsrExit.data;
        let failed = false;
        try {
            if (vcpu.exitReason === ExitReason.X86Rdmsr) {
                readMsr(cpu, index, msrValue);
                view.setUint32(data, msrValue.lo, true);
                view.setUint32(data + 4, msrValue.hi, true);
                observation?.msrRead(cpu, index, msrValue.lo, msrValue.hi);
            } else {
                const lo = view.getUint32(data, true);
                const hi = view.getUint32(data + 4, true);
                const hasOld = readsMsr(cpu, index);
                const { lo: oldLo, hi: oldHi } = msrValue;
                writeMsr(cpu, index, lo, hi);
                observation?.msrWritten(cpu, index, hasOld, oldLo, oldHi, lo, hi);
                if (index === MSR_TSC || index === MSR_TSC_ADJUST) {
                    vcpu.tsc.forget();
                    vcpu.tsc.align(cpu, true);
                }
                if (index === MSR_APIC_BASE) {
                    vcpu.markChanged();
                    vcpu.load();
                }
            }
        } catch (error) {
            if (!(error instanceof GuestFault)) throw error;
            failed = true;
        }
        view.setUint8(run + MsrExit.error, failed ? 1 : 0);
        vcpu.markUnfinished();
    }

    private halt(vcpu: KvmVcpu): Outcome {
        const { processor } = vcpu;
        if (this.isPatchedHalt(vcpu)) {
            return this.hitPatch(vcpu);
        }
        this.noteHalt(vcpu);
        // An interrupt that waits ends the HLT at once, if it may be taken: KVM says so.
        if (this.timed && (processor.nmiPending || (processor.interruptPending && vcpu.readyForInterrupt))) {
            return undefined;
        }
        return { reason: 'halted' };
    }

    /** RIP is behind the HLT by now. */
    private noteHalt({ cpu, processor }: KvmVcpu): void {
        const { observation } = processor;
        if (observation !== undefined) {
            const { ripLo, ripHi } = cpu;
            cpu.setRip((ripLo - 1) >>> 0, ripLo === 0 ? (ripHi - 1) >>> 0 : ripHi);
            observation.beginOperation(cpu);
            observation.halted(cpu, false);
            cpu.setRip(ripLo, ripHi);
        }
    }

    private internalError(vcpu: KvmVcpu): Outcome {
        const exit = decodeExit(vcpu.view, vcpu.run);
        const problem = explainExit(exit);
        this.copyShared(vcpu);
        if (exit.kind === 'internalError') {
            this.noteExit(vcpu, MachineEventKind.InternalError, exit.suberror, exit.data[0]);
        }
        if (this.isAtBreakpoint(vcpu.cpu)) {
            // A KVM without hardware beneath it cannot emulate the INT3 that stands here.
            return this.hitPatch(vcpu);
        }
        const { executeElsewhere } = this.options;
        if (exit.kind !== 'internalError' || exit.suberror !== Suberror.Emulation || executeElsewhere === undefined) {
            return { reason: 'failed', problem };
        }
        const stop = this.elsewhere(vcpu);
        if (stop === undefined) {
            return { reason: 'failed', problem };
        }
        this.counts.executedElsewhere++;
        return stop.reason === 'breakpoint' || stop.reason === 'shutdown' ? stop : { reason: 'budget' };
    }

    /** Has the instruction at RIP executed by somebody else. */
    private elsewhere(vcpu: KvmVcpu): Outcome {
        this.bringBack(vcpu);
        const { current } = this;
        this.countTime();
        this.current = -1;
        const stop = this.options.executeElsewhere?.(vcpu.processor.index);
        this.current = current;
        vcpu.takeBack();
        return stop;
    }

    /**
     * A triple fault. KVM does not tell how it came about; the exceptions come again where the instruction is executed
     * again, since nothing of it has been done.
     */
    private shutDown(vcpu: KvmVcpu): RunStop {
        const { cpu } = vcpu;
        this.copyShared(vcpu);
        this.bringBack(vcpu);
        const bytes = cpu.bytes.slice();
        const stop = this.elsewhere(vcpu);
        if (stop?.reason !== 'shutdown' && stop?.reason !== 'breakpoint') {
            // The exceptions have gone elsewhere; some hosts reset the vCPU first.
            cpu.bytes.set(bytes);
            cpu.activity = ActivityState.Shutdown;
            cpu.stateReplaced();
            vcpu.takeBack();
            return { reason: 'shutdown' };
        }
        return stop;
    }

    // ---- breakpoints ---------------------------------------------------------------------------------------------

    private stop: RunStop | undefined;

    private isAtBreakpoint(cpu: Cpu): boolean {
        return !this.breakpoints.isEmpty && this.breakpoints.at(linearRip(cpu)).length > 0;
    }

    /** Asks the breakpoints at RIP whether to stop; if so, {@link stop} says which. */
    private hitsAt(cpu: Cpu, vcpu: number): boolean {
        if (this.breakpoints.isEmpty) {
            return false;
        }
        for (const { id, condition } of this.breakpoints.at(linearRip(cpu))) {
            if (condition?.(vcpu, false) ?? true) {
                this.stop = { reason: 'breakpoint', id };
                this.passing.add(vcpu);
                return true;
            }
        }
        return false;
    }

    private debugExit(vcpu: KvmVcpu): Outcome {
        const { view, run, cpu } = vcpu;
        const exception = view.getUint32(run + DebugExit.exception, true);
        const dr6 = view.getUint32(run + DebugExit.dr6, true);
        this.copyShared(vcpu);
        this.noteExit(vcpu, MachineEventKind.Debug, exception, BigInt(dr6));
        if (exception === EXCEPTION_BP) {
            return this.isAtBreakpoint(cpu) ? this.hitPatch(vcpu) : this.deliverOwnBreakpoint(vcpu);
        }
        if (exception !== EXCEPTION_DB) {
            return this.unusableExit(vcpu);
        }
        const guests = guestHits(cpu, dr6);
        if (guests !== 0 || !this.isAtBreakpoint(cpu)) {
            return this.deliverOwnDebug(vcpu, guests, dr6);
        }
        return this.hitPatch(vcpu);
    }

    /** The vCPU, whose state has been copied, is at one of our breakpoints. */
    private hitPatch(vcpu: KvmVcpu): Outcome {
        const { cpu, processor } = vcpu;
        if (this.hitsAt(cpu, processor.index)) {
            return this.stop;
        }
        const outcome = this.step(vcpu);
        if (outcome !== undefined) {
            return outcome;
        }
        this.copyShared(vcpu);
        this.arm(vcpu);
        return undefined;
    }

    /** A HLT that stands in for an instruction: RIP goes back to its place. */
    private isPatchedHalt(vcpu: KvmVcpu): boolean {
        if (this.breakpoints.isEmpty) {
            return false;
        }
        const { cpu } = vcpu;
        this.copyShared(vcpu);
        const before = BigInt.asUintN(64, linearRip(cpu) - 1n);
        if (!this.breakpoints.isPatched(before, 0xf4)) {
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
        this.bringBack(vcpu);
        const isFault = [0, 1, 2, 3].some(index => (hits >> index) & 1 && isExecution(cpu, index));
        const status = hits | (dr6 & (DebugStatus.SingleStep | DebugStatus.TaskSwitch | DebugStatus.GeneralDetect));
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

/** Whether the guest itself has debug exceptions enabled. */
function asksForDebugTraps(cpu: Cpu): boolean {
    return (cpu.systemFlags & Flag.TF) !== 0 || (cpu.lo(StateOffset.dr + 7 * 8) & 0xff) !== 0;
}

const msrValue = { lo: 0, hi: 0 };

/** Whether an MSR can be read; {@link msrValue} is what it holds then. */
function readsMsr(cpu: Cpu, index: number): boolean {
    try {
        readMsr(cpu, index, msrValue);
        return true;
    } catch (error) {
        if (!(error instanceof GuestFault)) throw error;
        return false;
    }
}

function readSized(view: DataView, at: number, size: number): number {
    return size === 1 ? view.getUint8(at) : size === 2 ? view.getUint16(at, true) : view.getUint32(at, true);
}

function writeSized(view: DataView, at: number, size: number, value: number): void {
    if (size === 1) view.setUint8(at, value);
    else if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
}

/** Linear address of the next instruction. */
export function linearRip(cpu: Cpu): bigint {
    if (cpu.code64) {
        return (BigInt(cpu.ripHi) << 32n) | BigInt(cpu.ripLo);
    }
    return BigInt((cpu.segmentBase(1) + cpu.ripLo) >>> 0);
}
