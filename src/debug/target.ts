/**
 * What a debugger front end sees of a machine. Everything is asynchronous and all data can be copied, so that the
 * machine may live in another thread, or behind a wire.
 */
import type { DirtyLogAction, EngineName, EngineStatistics } from '../machine/engine';
import type { Address } from './address';
import type { BreakpointRequest } from './breakpoints';
import type { CodeRegion } from './code-region';
import type { DisassembledInstruction } from './disassembler';
import type { EventDescription } from './events/event-description';
import type { TargetEvents } from './events/target-events';
import type { Look } from './inspection-source';
import type { AddressTranslation } from './memory-access';
import type { RegisterGroupView, RegisterView } from './registers/register-file';
import type { SourceLine, SourceLines } from './source-lines';
import type { Frame } from './stack';
import type { Value } from './expression/value';
import type { FrameVariables, VariableView } from './source/variable-view';
import type { WatchHit, WatchpointRequest } from './watchpoints';

export type StepKind = 'into' | 'over' | 'out';

/** How far a step goes: an instruction, or to where another statement of the source begins. */
export type StepGranularity = 'instruction' | 'line';

export interface StepOptions {
    /** `instruction` unless told otherwise. Where no line is known a step goes by instructions. */
    readonly granularity?: StepGranularity;
    /** An interrupt that arrives is stepped into; otherwise interrupts wait while an instruction is stepped. */
    readonly intoInterrupts?: boolean;
    /**
     * Other vCPUs that run, some microseconds for each instruction that is stepped: it may wait for what they do. Else
     * they stand still. A gdb stub does as it pleases.
     */
    readonly meanwhile?: readonly number[];
}

export interface ResumeOptions {
    /**
     * Nobody has seen where the vCPUs are, as at the start of a guest: breakpoints there stop them. Otherwise the vCPU that
     * the last stop was about passes them. A gdb stub does as it pleases.
     */
    readonly arrives?: boolean;
}

export type TargetState = 'stopped' | 'running' | 'ended';

/** Why the guest has stopped. */
export interface Stop {
    readonly reason: 'entry' | 'pause' | 'step' | 'goto' | 'breakpoint' | 'watchpoint' | 'exception' | 'event';
    readonly vcpu: number;
    /** Ids of the breakpoints, or watchpoints, that were hit. */
    readonly breakpoints?: readonly number[];
    /** For `watchpoint`: the accesses, made by the instruction before. */
    readonly watch?: readonly WatchHit[];
    /** What happened, for `exception` and `event`; a triple fault has a note only. */
    readonly event?: EventDescription;
    /** A word on it for the user. */
    readonly note?: string;
    /** More on it than a line. */
    readonly details?: string;
    /** What has stopped the guest, where it is neither a fault nor a triple fault. */
    readonly title?: string;
}

/** The guest will not go on by itself. */
export interface End {
    readonly reason: 'poweredOff' | 'debugExit' | 'tripleFault' | 'reset';
    /** For `debugExit`: the status that the guest gave. */
    readonly status?: number;
    readonly note: string;
}

export interface TargetListener {
    stopped(stop: Stop): void;
    /** Somebody else, who debugs the same guest, has made it go on. */
    resumedElsewhere?(): void;
    ended(end: End): void;
    /** A log point has something to say. */
    logged(text: string): void;
    /**
     * Programs turned out to lie elsewhere than they were linked to (breakpoints have moved along with their code),
     * programs have come or gone, or names have become known or unknown. The guest waits until this settles.
     */
    relocated?(): Promise<void>;
    /** The emulator itself has failed: a defect. The target is of no more use. */
    failed(error: unknown): void;
}

/** A stack frame with the name of its place. */
export interface NamedFrame extends Frame {
    readonly symbol?: string;
    /** Its line of source code, where debug information tells. */
    readonly source?: SourceLine;
}

/** A breakpoint as far as the target could set it. */
export interface BreakpointStatus {
    readonly id: number;
    /** Why it cannot work as asked. */
    readonly problem?: string;
}

export interface EvaluationResult {
    readonly value: Value;
    /** The place that the value names as an address, such as `start_kernel+0x10`. */
    readonly symbol?: string;
    /** How a value of one of the program's own types reads, and whether it unfolds. */
    readonly view?: VariableView;
}

export interface Completion {
    readonly text: string;
    readonly kind: 'register' | 'symbol';
}

/**
 * A machine under a debugger. Methods that look at the guest see the present state, also while it runs; those that
 * change what runs reject with a `TargetError` in a state that does not allow it.
 */
export interface DebugTarget {
    readonly vcpus: number;
    readonly state: TargetState;
    /** One listener: whoever drives the session. */
    listener: TargetListener | undefined;
    /** Lines of source code; absent where nobody knows any. */
    readonly sourceLines?: SourceLines;

    /** @param vcpus those that go on, while the others stand still; all unless told */
    resume(vcpus?: readonly number[], options?: ResumeOptions): Promise<void>;
    /** Reports `pause` as soon as the slice in progress ends. */
    pause(vcpu: number): Promise<void>;
    /** The stop is reported to the listener. */
    step(vcpu: number, kind: StepKind, options?: StepOptions): Promise<void>;
    /** Makes a vCPU go on elsewhere. */
    setProgramCounter(vcpu: number, linear: bigint): Promise<void>;
    /** The reset button; the machine stops at its first instruction. */
    reset(): Promise<void>;
    dispose(): Promise<void>;
    /**
     * Ends the connection to a guest that is executed elsewhere.
     * @param runs whether it goes on, or stays stopped
     */
    leave?(runs: boolean): Promise<void>;
    /** Ends a guest that is executed elsewhere. */
    end?(): Promise<void>;

    /** Replaces all breakpoints. */
    setBreakpoints(breakpoints: readonly BreakpointRequest[]): Promise<BreakpointStatus[]>;
    /** Replaces all watchpoints. Absent: the target cannot watch memory. */
    setWatchpoints?(watchpoints: readonly WatchpointRequest[]): Promise<BreakpointStatus[]>;
    /** Exceptions and other events: stopping at them, and the record of them. Absent where the target tells of none. */
    readonly events?: TargetEvents;

    /** Looks at a vCPU's system registers and at memory, all of one moment. Absent: the target has no such view. */
    inspect?<T>(vcpu: number, look: Look<T>): Promise<T>;
    registers(vcpu: number): Promise<RegisterGroupView[]>;
    /** Values of registers by the names that expressions use; undefined for those that there are none of. */
    registerValues(vcpu: number, names: readonly string[]): Promise<(bigint | undefined)[]>;
    /** @throws EvaluationProblem */
    writeRegister(vcpu: number, name: string, value: bigint): Promise<RegisterView>;
    /** As many of `length` bytes as can be read. */
    readMemory(vcpu: number, address: Address, length: number): Promise<Uint8Array>;
    /** Returns how many bytes met memory. */
    writeMemory(vcpu: number, address: Address, bytes: Uint8Array): Promise<number>;
    translate(vcpu: number, linear: bigint): Promise<AddressTranslation>;
    disassemble(vcpu: number, address: bigint, offset: number, count: number): Promise<DisassembledInstruction[]>;
    /** The function, or the surroundings, that a linear address lies in. */
    codeRegion(vcpu: number, address: bigint): Promise<CodeRegion>;
    stack(vcpu: number): Promise<NamedFrame[]>;
    isHalted(vcpu: number): Promise<boolean>;
    /**
     * Physical address at which the boot loader put what is linked at a linear address, if that is another: code runs
     * there until the guest has mapped it.
     */
    loadedAt?(linear: bigint): bigint | undefined;
    /** Variables of stack frames; absent where nobody knows any. */
    readonly variables?: FrameVariables;
    /**
     * @param depth of the stack frame whose variables and registers the expression means; without it, the innermost
     * @throws ExpressionError
     */
    evaluate(vcpu: number, expression: string, assignments: boolean, depth?: number): Promise<EvaluationResult>;
    complete(prefix: string): Promise<Completion[]>;
    /** The engines that can execute the guest. Absent: it is executed elsewhere. */
    engines?(): Promise<EngineOption[]>;
    /** Counters of the active engine. */
    engineStatistics?(): Promise<EngineStatistics>;
    /**
     * Moves the stopped machine to another engine.
     * @returns what the guest may notice
     */
    switchEngine?(name: EngineName): Promise<string | undefined>;
    /**
     * Notes which pages the guest writes on KVM: see `SwitchableEngine.dirtyPages`. The guest must have stopped.
     * @throws HyperscopeError
     */
    dirtyPages?(action: DirtyLogAction): Promise<readonly number[]>;
    /** Physical addresses of pages written between the last stop and the one before; undefined unless that was noted. */
    writtenPages?(): Promise<ReadonlySet<number> | undefined>;
    /** Characters typed into a serial port. */
    sendSerial(port: number, bytes: Uint8Array): Promise<void>;
}

export type { DirtyLogAction, EngineName };

export interface EngineOption {
    readonly name: EngineName;
    readonly active: boolean;
    /** Why the machine cannot be moved there as it stands. */
    readonly problem?: string;
    /** Why the translator executes the guest for the moment although this engine is the active one. */
    readonly standIn?: string;
}
