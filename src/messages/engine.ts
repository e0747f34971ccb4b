/** The engine that executes the guest: which it is, and moving the machine to another one. */

export type EngineName = 'translator' | 'kvm';

// ---- hyperscope/engine ---------------------------------------------------------------------------------------------

/** `hyperscope/engine`: no arguments. Answers at any time. */
export interface EngineBody {
    /** Absent where the guest is not executed by us: a gdb stub elsewhere. */
    readonly engine?: EngineName;
    /** Every engine, and whether the machine can be moved to it as it stands now. */
    readonly engines: readonly EngineOption[];
    /** Counters of the active engine, by name. */
    readonly statistics?: { readonly [counter: string]: number };
}

export interface EngineOption {
    readonly name: EngineName;
    /** `Translator`, `KVM` */
    readonly label: string;
    readonly active: boolean;
    /** Why the machine cannot be moved there; absent if it can. */
    readonly problem?: string;
    /** Why the translator executes the guest for the moment although this engine is the active one. */
    readonly standIn?: string;
}

// ---- hyperscope/switchEngine ---------------------------------------------------------------------------------------

/** `hyperscope/switchEngine`: moves the stopped machine to another engine; refused while it runs. */
export interface SwitchEngineArguments {
    readonly engine: EngineName;
    /** Let the guest go on there at once: "Continue on KVM". */
    readonly resume?: boolean;
}

export interface SwitchEngineBody {
    readonly engine: EngineName;
    /** What the guest may notice, in one line. */
    readonly note?: string;
}

// ---- event hyperscope/engine ---------------------------------------------------------------------------------------

/** Sent when the machine has been moved. */
export interface EngineEvent {
    readonly engine: EngineName;
    /** Why, where nobody asked for it just now: the launch attribute `translateFrom`. */
    readonly reason?: string;
}
