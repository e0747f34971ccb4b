import type { MachineEventKind } from './observation/kinds';
import type { CpuHooks } from './cpu/cpu';
import type { GuestMemory } from './memory';
import type { Processor } from './processor';

/**
 * Why an engine came back. `budget` and `exit` say nothing about the guest: it would simply have gone on.
 */
export type RunStop =
    | { readonly reason: 'budget' }
    /** {@link Engine.requestExit} was called. */
    | { readonly reason: 'exit' }
    /** HLT or MWAIT, with no interrupt to take. */
    | { readonly reason: 'halted' }
    /** Triple fault; the vCPU is in the shutdown state. */
    | { readonly reason: 'shutdown' }
    /** The vCPU waits for INIT or SIPI. */
    | { readonly reason: 'waiting' }
    /** {@link FRUITLESS_FAULTS} exceptions in a row were delivered to handlers without an instruction being executed. */
    | { readonly reason: 'faulting' }
    /**
     * A debugger's stop; `id` names the breakpoint, or is {@link EVENT_STOP} or {@link WATCH_STOP}. Nothing of the
     * instruction at RIP has been done.
     */
    | { readonly reason: 'breakpoint'; readonly id: number }
    /** The engine cannot go on from here; the guest's state is what it was. One line on what happened. */
    | { readonly reason: 'failed'; readonly problem: string };

/**
 * A handler whose first instruction faults leads to itself, for ever: no instruction is counted, so no slice would end. An
 * engine comes back after so many exceptions.
 */
export const FRUITLESS_FAULTS = 1000;

/** Id of a stop that an observer of events asked for: `StopBeforeEvent` was thrown. */
export const EVENT_STOP = -1;

/** Id of the stop after an instruction that has accessed what a watchpoint watches. */
export const WATCH_STOP = -2;

/** Why vCPUs that ran at the same time have stopped, and which of them is to be named for it. */
export interface TogetherStop {
    readonly vcpu: number;
    readonly stop: RunStop;
}

/** What an engine that runs several vCPUs at the same time needs of the machine meanwhile. */
export interface Turns {
    /** An alarm has been set that comes before the next {@link boundary} that was announced. */
    readonly changed: boolean;
    /** What a vCPU asks for is being done, from now on. */
    turn(vcpu: number): void;
    /**
     * Does what is due: alarms, input.
     * @returns instructions until something is due again; 0 if the vCPUs have to stop
     */
    boundary(): number;
}

/** Counters that `--stats` prints; engines add their own. */
export interface EngineStatistics {
    readonly [counter: string]: number;
}

/**
 * The part of a vCPU's hooks (see `CpuHooks`) that is the engine's: they concern translated code and its run loop.
 * `watch` and `accessed` are for engines with watchpoints.
 */
export type EngineCpuHooks = Omit<
    CpuHooks,
    'apic' | 'ports' | 'tsc' | 'moveTsc' | 'random' | 'watch' | 'accessed' | 'observer'
> &
    Partial<Pick<CpuHooks, 'watch' | 'accessed'>>;

/** Makes the engine of a machine, once its memory exists; processors are added before the first run. */
export type EngineFactory = (memory: GuestMemory) => Engine;

/** Events that a debugger wants to stop at: of a kind, with one cause, with those from first to last, or with any. */
export interface StopWish {
    readonly kind: MachineEventKind;
    readonly cause?: number | readonly [first: number, last: number];
}

/**
 * What executes instructions. It works on the state in the shared memory (`StateOffset`) and holds no architectural
 * state of its own while it is not running, so that engines can be exchanged between two calls of {@link run}.
 */
export interface Engine {
    /** Hooks that vCPU number `vcpu` is to be constructed with. */
    mmuHooks(vcpu: number): EngineCpuHooks;
    /**
     * Adds a processor, in order of its number. Interrupts: `interruptPending`, `acknowledgeInterrupt()` and
     * `nmiPending` of the processor, to be looked at whenever its hook `attention` was called.
     */
    addProcessor(processor: Processor): void;
    /**
     * Runs a vCPU for at most `budget` (≥ 1) instructions. Pending interrupts of that vCPU are taken at the start and
     * whenever it becomes able to take them. Never throws for what the guest does.
     */
    run(vcpu: number, budget: number): RunStop;
    /** Whether {@link runTogether} is to be called in place of {@link run}, as things stand. */
    runsTogether?(): boolean;
    /**
     * Runs several vCPUs at the same time, until one of them stops, all have halted or are told to. What they ask for is
     * done one after the other, on the caller's thread. None of them runs any more afterwards.
     */
    runTogether?(vcpus: readonly number[], turns: Turns): TogetherStop;
    /**
     * Instructions retired by all vCPUs: the sum of their `StateOffset.instructions`, exact also when it is asked from
     * inside a device access in the middle of {@link run}.
     */
    retired(): number;
    /** Makes a {@link run} in progress come back after the current instruction, at the latest at the next block. */
    requestExit(): void;
    /** A RAM page is about to be written by somebody other than a vCPU: drop code translated from it. */
    invalidatePage(page: number): void;
    /** The physical address map changed: drop cached translations of addresses. */
    mapChanged(): void;
    /** The state of a vCPU was replaced from outside: reset, restored or edited. */
    stateChanged(vcpu: number): void;
    /** A bus-mastering device is about to access physical memory: for engines with watchpoints. */
    deviceAccess?(address: number, size: number, write: boolean): void;
    statistics(): EngineStatistics;
    /**
     * Engines that account for several instructions at once: writes RIP of the one that makes the access in progress;
     * false if none does, and the vCPU's RIP is right.
     */
    locate?(vcpu: number, target: { ripLo: number; ripHi: number }): boolean;
    /**
     * Instructions are not counted but timed: {@link retired} is guest time, and what happens in it (port accesses, for
     * one) takes the time that it takes.
     */
    readonly timed?: boolean;
    /**
     * Brings all state of a vCPU (of all, without one) into the shared memory; an engine that keeps some of it elsewhere
     * between two runs implements this. {@link run} takes over whatever is there afterwards.
     */
    synchronize?(vcpu?: number): void;
    /** Gives back what the engine holds of the host. The memory stays readable. */
    dispose?(): void;
}

export type EngineName = 'translator' | 'kvm';

/** Several engines behind one: which of them executes the machine can change between two runs. */
export interface SwitchableEngine extends Engine {
    readonly active: EngineName;
    /**
     * Why the translator executes the guest for the moment although another engine is active, in words that follow a
     * colon: that one would pass what the debugger wants to stop at.
     */
    readonly standIn?: string;
    /**
     * Moves the machine, as it stands, to another engine.
     * @returns what the guest may notice: features that it has seen and that the new engine lacks
     * @throws HyperscopeError if that engine cannot be had, or cannot hold the machine's present state
     */
    switchTo(name: EngineName): string | undefined;
    /** Why the machine cannot be moved to an engine, or undefined if it can. */
    switchProblem(name: EngineName): string | undefined;
    /**
     * Notes which pages the guest writes on KVM; not what devices or the translator write.
     * @returns for `take`, the physical addresses of pages written since the last time, ascending
     * @throws HyperscopeError if KVM is not the machine's engine, or nothing is noted
     */
    dirtyPages(action: DirtyLogAction): readonly number[];
}

/** What is to be done with the log of written pages. */
export type DirtyLogAction = 'start' | 'take' | 'end';

export function isSwitchable(engine: Engine): engine is SwitchableEngine {
    return 'switchTo' in engine;
}
