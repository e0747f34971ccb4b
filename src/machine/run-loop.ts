import type { StateRecord } from '../devices/device';
import { StateReader } from '../devices/state-reader';
import type { VirtualClock } from './clock';
import { type Engine, EVENT_STOP, FRUITLESS_FAULTS, type RunStop, type TogetherStop, type Turns } from './engine';
import type { InputQueue } from './input-queue';
import type { Processor } from './processor';
import { ActivityState, StateOffset } from './state';
import type { MachineEnd, MachineStop, RunLimits } from './stop';

/**
 * What an access to a device takes on a PC, about: through a port (ISA and its bridges are slow), and in memory space.
 * Guests that poll a timer would otherwise need as many instructions as their delay has nanoseconds.
 */
export const PORT_ACCESS_NS = 500;
export const MMIO_ACCESS_NS = 250;
/**
 * CPUID leaves a guest for its hypervisor, which takes as long. Boot loaders wait in loops of CPUID and RDTSC (GRUB's
 * menu), that would go on for a minute where a second is meant.
 */
export const CPUID_NS = 500;

/** What delivering an exception takes, about, where nothing else makes time pass. */
const FRUITLESS_FAULT_NS = 100;

/**
 * Slices before a distant alarm end this much earlier, so that the time of a few hundred accesses fits in without the
 * alarm coming late. Nearer than twice that, every access ends the slice.
 */
const DEVICE_ACCESS_RESERVE_NS = 100_000;

/** Engines count down in 32 bits. */
const LARGEST_SLICE = 0x0100_0000;
/** In real-time mode the host's clock is looked at this often: some 50 µs. */
const REAL_TIME_SLICE = 100_000;
/** The same while vCPUs run at the same time: the engine keeps the host's time by itself. */
const REAL_TIME_TOGETHER = 1_000_000;

const RECORD_KIND = 'run-loop';
const RECORD_VERSION = 1;
/** Of a machine that was stopped between the instruction that asks for a reset, say, and the reset. */
const VERSION_WITH_REQUESTS = 2;

export const HOST_TIME_CHANNEL = 'host-time';

export interface RunLoopParts {
    readonly engine: Engine;
    readonly clock: VirtualClock;
    readonly queue: InputQueue;
    readonly processors: readonly Processor[];
    /** Instructions that a vCPU runs before the next one gets its turn. */
    readonly quantum: number;
    /** Real-time mode: nanoseconds of the host since power-on. */
    readonly hostTime?: () => number;
    /** What {@link RunLoop.request} has done. */
    readonly actions: Readonly<Record<MachineAction, () => void>>;
}

/** What is done to the whole machine between two instructions. */
export type MachineAction = 'reset' | 'suspend' | 'wake';

/**
 * Runs the vCPUs in turn, in slices that end where something else has to happen: an alarm, replayed input, the end of
 * the vCPU's turn, the caller's limits. What the guest sees depends on the first three only, never on how often or how
 * far the caller runs: this is what determinism rests on.
 */
export class RunLoop {
    /** Index of the vCPU whose turn it is. */
    current = 0;
    /** What the guest or a device has asked for since the slice began. */
    private end: MachineEnd | undefined;
    private requests: MachineAction[] = [];
    private stopRequested = false;
    /** vCPU that is to stop after its current instruction, or -1. */
    private eventStop = -1;

    /** Instructions left of the current vCPU's turn. */
    private turnLeft: number;
    /** Virtual time at which the slice in progress ends; NaN between slices. */
    private sliceEnd = NaN;
    /** Instructions retired when the slice in progress has used up its budget. */
    private lastOfSlice = 0;
    /** Several vCPUs are running: which of them executes an instruction, only the engine knows. */
    private together: { changed: boolean } | undefined;

    constructor(private readonly parts: RunLoopParts) {
        this.turnLeft = parts.quantum;
        parts.clock.onEarlierDeadline = deadline => {
            if (deadline < this.sliceEnd) {
                if (this.together === undefined) {
                    parts.engine.requestExit();
                } else {
                    this.together.changed = true;
                }
            }
        };
        parts.queue.connect(
            HOST_TIME_CHANNEL,
            time => parts.clock.synchronize(Number(time)),
            time => typeof time === 'number' && Number.isSafeInteger(time),
        );
    }

    /** Ends the run after the current instruction; the machine stays ended until it is reset or restored. */
    finish(end: MachineEnd): void {
        this.end ??= end;
        this.parts.engine.requestExit();
    }

    /** Has something done to the whole machine after the current instruction. */
    request(action: MachineAction): void {
        this.requests.push(action);
        this.parts.engine.requestExit();
    }

    requestStop(): void {
        this.stopRequested = true;
        this.parts.engine.requestExit();
    }

    /** Ends the run after the current instruction of a vCPU, with `EVENT_STOP`, whatever else is due then. */
    requestEventStop(vcpu: number): void {
        if (this.eventStop < 0) this.eventStop = vcpu;
        this.parts.engine.requestExit();
    }

    /**
     * The vCPU that is executing waits in a loop, maybe for another one: lets the others have their turns, if any can
     * run. (Locks and calls between vCPUs would take a whole turn otherwise, and some programs wait a million times.)
     */
    endTurnForWaiting(): void {
        const { engine, processors } = this.parts;
        const { executing } = this;
        if (executing >= 0 && processors.some(({ index, runnable }) => index !== executing && runnable)) {
            this.turnLeft = 0;
            engine.requestExit();
        }
    }

    /**
     * Lets the time of an access to a device, or of CPUID, pass; to be called before the access. In real-time mode it is
     * the host's time that passes, and between slices none.
     */
    passTime(nanoseconds: number): void {
        const { clock, engine, hostTime, processors } = this.parts;
        if (hostTime === undefined && engine.timed !== true && this.executing >= 0) {
            const now = clock.now() + nanoseconds;
            clock.skipTo(now);
            processors[this.current].advanceTsc(nanoseconds);
            if (now + this.lastOfSlice - engine.retired() > this.sliceEnd) {
                engine.requestExit();
            }
        }
    }

    /** Forgets an end: the machine was reset or restored. */
    restart(): void {
        this.end = undefined;
        this.requests = [];
        this.eventStop = -1;
        this.current = 0;
        this.turnLeft = this.parts.quantum;
    }

    get ended(): MachineEnd | undefined {
        return this.end;
    }

    /** Index of the vCPU that is executing an instruction, -1 between slices. */
    get executing(): number {
        return Number.isNaN(this.sliceEnd) ? -1 : this.current;
    }

    /** Whether a vCPU may be in the middle of an instruction. */
    mayExecute(vcpu: number): boolean {
        return this.together !== undefined || this.executing === vcpu;
    }

    run(limits: RunLimits): MachineStop {
        const stop = this.runSlices(limits);
        this.parts.engine.synchronize?.();
        return stop;
    }

    private runSlices(limits: RunLimits): MachineStop {
        const { engine, clock } = this.parts;
        const lastInstruction = engine.retired() + (limits.instructions ?? Infinity);
        const lastTime = limits.time ?? Infinity;
        let idleSkips = limits.idleSkips ?? Infinity;
        for (;;) {
            if (this.eventStop >= 0) {
                const vcpu = this.eventStop;
                this.eventStop = -1;
                return { reason: 'breakpoint', vcpu, id: EVENT_STOP };
            }
            for (let action = this.requests.shift(); action !== undefined; action = this.requests.shift()) {
                engine.synchronize?.();
                this.parts.actions[action]();
            }
            if (this.end !== undefined) {
                return this.end;
            }
            if (this.stopRequested) {
                this.stopRequested = false;
                return { reason: 'stopRequested' };
            }
            this.boundary();
            if (this.requests.length > 0) {
                continue;
            }
            if (engine.retired() >= lastInstruction || clock.now() >= lastTime) {
                return { reason: 'budget' };
            }
            if (this.selectRunnable(limits.vcpus)) {
                const stop =
                    engine.runsTogether?.() === true
                        ? this.sliceTogether(limits.vcpus, lastInstruction, lastTime)
                        : this.slice(lastInstruction, lastTime);
                if (stop !== undefined) {
                    return stop;
                }
            } else if (!this.parts.queue.waiting) {
                if (idleSkips-- <= 0) {
                    return { reason: 'budget' };
                }
                const stop = this.idle(lastTime);
                if (stop !== undefined) {
                    return stop;
                }
            }
        }
    }

    /** What happens between slices. The order is part of the machine's behaviour: replay depends on it. */
    private boundary(): void {
        this.doWhatIsDue();
        for (const processor of this.parts.processors) {
            processor.applySignals();
        }
    }

    private doWhatIsDue(): void {
        const { clock, queue, hostTime } = this.parts;
        if (hostTime !== undefined) {
            const time = Math.floor(hostTime());
            if (time > clock.now()) {
                queue.push(HOST_TIME_CHANNEL, time);
            }
        }
        clock.runDue();
        queue.apply();
    }

    /** Finds the vCPU to run: the current one for the rest of its turn, then the others in order. */
    private selectRunnable(among: readonly number[] | undefined): boolean {
        const { processors, quantum } = this.parts;
        const isCandidate = (index: number): boolean => among === undefined || among.includes(index);
        if (this.turnLeft > 0 && processors[this.current].runnable && isCandidate(this.current)) {
            return true;
        }
        const count = processors.length;
        for (let step = 1; step <= count; step++) {
            const index = (this.current + step) % count;
            if (!isCandidate(index)) {
                continue;
            }
            processors[index].endMonitorWait();
            if (processors[index].runnable) {
                this.current = index;
                this.turnLeft = quantum;
                processors[index].cpu.setLo(StateOffset.pauses, 0);
                return true;
            }
        }
        return false;
    }

    private slice(lastInstruction: number, lastTime: number): MachineStop | undefined {
        const { engine, clock, processors, quantum, hostTime } = this.parts;
        const before = engine.retired();
        const deadline = Math.min(clock.nextDeadline(), lastTime);
        const untilDeadline = clock.instructionsUntil(deadline);
        const budget = Math.min(
            hostTime === undefined ? LARGEST_SLICE : REAL_TIME_SLICE,
            lastInstruction - before,
            processors.length > 1 ? this.turnLeft : Infinity,
            untilDeadline - (untilDeadline > 2 * DEVICE_ACCESS_RESERVE_NS ? DEVICE_ACCESS_RESERVE_NS : 0),
            this.instructionsUntilInput(before),
        );
        const processor = processors[this.current];
        processor.wake = false;
        this.sliceEnd = deadline;
        this.lastOfSlice = before + budget;
        const stop = engine.run(this.current, budget);
        this.sliceEnd = NaN;
        const retired = engine.retired() - before;
        // A PAUSE may have ended the turn: nothing is left of it then, however far the slice had come.
        this.turnLeft = processors.length === 1 ? quantum : Math.max(0, this.turnLeft - retired);
        for (const other of processors) {
            if (other !== processor && retired > 0) {
                other.othersRan();
            }
        }
        return this.stopped(stop);
    }

    /**
     * The same with all vCPUs at the same time, on engines that can do that. What is due meanwhile is done meanwhile; INIT
     * and start-up IPIs end it.
     */
    private sliceTogether(
        among: readonly number[] | undefined,
        lastInstruction: number,
        lastTime: number,
    ): MachineStop | undefined {
        const { engine, clock, processors, quantum, hostTime } = this.parts;
        const group = processors.filter(
            ({ index, cpu }) =>
                (among === undefined || among.includes(index)) && cpu.activity !== ActivityState.WaitForSipi,
        );
        for (const processor of group) {
            processor.endMonitorWait();
            processor.wake = false;
        }
        const untilNext = (): number => {
            const retired = engine.retired();
            const deadline = Math.min(clock.nextDeadline(), lastTime);
            turns.changed = false;
            this.sliceEnd = deadline;
            return Math.min(
                hostTime === undefined ? LARGEST_SLICE : REAL_TIME_TOGETHER,
                lastInstruction - retired,
                clock.instructionsUntil(deadline),
                this.instructionsUntilInput(retired),
            );
        };
        const turns = {
            changed: false,
            turn: (vcpu: number) => {
                this.current = vcpu;
            },
            boundary: () => {
                // Nobody executes: devices act by themselves.
                this.sliceEnd = NaN;
                this.doWhatIsDue();
                const isOver = engine.retired() >= lastInstruction || clock.now() >= lastTime;
                if (!isOver) return untilNext();
                // What vCPUs have begun by now is still theirs.
                this.sliceEnd = Infinity;
                return 0;
            },
        } satisfies Turns;
        const before = engine.retired();
        this.together = turns;
        untilNext();
        const members = group.map(({ index }) => index);
        let together: TogetherStop;
        try {
            together = engine.runTogether!(members, turns);
        } finally {
            this.together = undefined;
            this.sliceEnd = NaN;
        }
        const { vcpu, stop } = together;
        this.current = vcpu;
        this.turnLeft = quantum;
        if (engine.retired() > before) {
            for (const processor of processors) processor.othersRan();
        }
        if (stop.reason !== 'halted') {
            for (const processor of group) processor.wake = true;
        }
        return this.stopped(stop);
    }

    /** What comes of a slice of the current vCPU. */
    private stopped(stop: RunStop): MachineStop | undefined {
        const { engine, clock, processors, hostTime } = this.parts;
        const processor = processors[this.current];
        switch (stop.reason) {
            case 'shutdown':
                this.end ??= { reason: 'tripleFault', vcpu: this.current, report: processor.cpu.shutdownReport };
                return undefined;
            case 'breakpoint':
                processor.wake = true;
                // One stop is enough: whoever asked for it finds all its events.
                this.eventStop = -1;
                return { reason: 'breakpoint', vcpu: this.current, id: stop.id };
            case 'failed':
                processor.wake = true;
                return { reason: 'engineFailed', vcpu: this.current, problem: stop.problem };
            case 'halted':
            case 'waiting':
                return undefined;
            case 'faulting':
                // Alarms come all the same, the others have their turn, and the caller may stop it.
                processor.wake = true;
                this.turnLeft = 0;
                if (hostTime === undefined && engine.timed !== true) {
                    clock.skipTo(clock.now() + FRUITLESS_FAULTS * FRUITLESS_FAULT_NS);
                }
                return { reason: 'budget' };
            default:
                // It came back before it could look at what may wake the vCPU from the HLT it has just executed.
                processor.wake = true;
                return undefined;
        }
    }

    /**
     * Executes one instruction of a vCPU out of turn: for a debugger. What is due afterwards is left to {@link run}, as
     * are requests that came meanwhile.
     */
    single(vcpu: number): RunStop {
        const { engine, clock, processors } = this.parts;
        const { current: turn, turnLeft } = this;
        const before = engine.retired();
        this.current = vcpu;
        this.sliceEnd = clock.nextDeadline();
        this.lastOfSlice = before + 1;
        const stop = engine.run(vcpu, 1);
        this.sliceEnd = NaN;
        this.current = turn;
        if (vcpu !== turn) {
            this.turnLeft = turnLeft;
        }
        if (engine.retired() > before) {
            for (const other of processors) {
                if (other.index !== vcpu) {
                    other.othersRan();
                }
            }
        }
        return stop;
    }

    /** How far the next replayed input is away; at least 1. */
    private instructionsUntilInput(retired: number): number {
        const next = this.parts.queue.next();
        return next === undefined ? Infinity : Math.max(1, next.instructions - retired);
    }

    /** No vCPU can run: passes on to the next event, or leaves the waiting to the host. */
    private idle(lastTime: number): MachineStop | undefined {
        const { clock, queue, engine, hostTime } = this.parts;
        const input = queue.next();
        const inputTime = input !== undefined && input.instructions <= engine.retired() ? input.time : Infinity;
        const next = Math.min(clock.nextDeadline(), inputTime);
        if (next <= clock.now()) {
            // Due at the next boundary. Time has to move, or a timer that is always due would hold the machine here.
            clock.skipTo(clock.now() + 1);
            return undefined;
        }
        if (next === Infinity || (hostTime !== undefined && !queue.replaying)) {
            return { reason: 'idle', deadline: next === Infinity ? undefined : next };
        }
        clock.skipTo(Math.min(next, lastTime));
        return undefined;
    }

    save(): StateRecord {
        const { current, turnLeft, requests } = this;
        return requests.length === 0
            ? { kind: RECORD_KIND, version: RECORD_VERSION, fields: { current, turnLeft } }
            : {
                  kind: RECORD_KIND,
                  version: VERSION_WITH_REQUESTS,
                  fields: { current, turnLeft, requests: [...requests] },
              };
    }

    restore(record: StateRecord): void {
        const waits = record.version === VERSION_WITH_REQUESTS;
        const state = new StateReader(record, RECORD_KIND, waits ? VERSION_WITH_REQUESTS : RECORD_VERSION);
        const requests = waits ? state.list('requests') : [];
        if (!requests.every(request => typeof request === 'string' && Object.hasOwn(this.parts.actions, request))) {
            throw state.bad('requests', 'expected what can be done to a machine');
        }
        this.restart();
        this.requests = [...requests] as MachineAction[];
        this.current = state.integer('current', 0, this.parts.processors.length - 1);
        this.turnLeft = state.integer('turnLeft', Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
    }
}
