/** What running and stepping ask of those who know the guest's programs. */
import type { InspectionSource } from './inspection-source';
import type { StepPlace } from './source/step-place';
import type { Frame } from './stack';

/** Programs whose place shows only while the guest runs. */
export interface Relocation {
    isSearching(): boolean;
    /** The guest begins anew: what was found is gone. Settles as {@link apply} does. */
    restart(): Promise<void>;
    /** Whether something new has been found; {@link apply} makes use of it. */
    find(): boolean;
    /** As {@link find}, as far as it takes no time worth mentioning. */
    findQuickly(): boolean;
    /** Settles when whoever has to know knows it. */
    apply(): Promise<void>;
    /** What to say where another program runs than was expected; once. */
    mismatch(pc: bigint): string | undefined;
}

/** What stepping asks about source code. */
export interface SourceKnowledge {
    placeOf(vcpu: number): StepPlace | undefined;
    /** The frame that the innermost one with a stack of its own was called from. */
    callerOf(vcpu: number): Frame | undefined;
}

/** What a vCPU is about to do at one of {@link LoadablePrograms.places}. */
export interface Passage {
    /** Linear. */
    readonly place: bigint;
    /** The first argument of the function that begins there (psABI: RDI). */
    readonly argument: bigint;
}

/** Programs that come and go while the guest runs: a kernel's modules. Their owner keeps the list of programs. */
export interface LoadablePrograms {
    /** Whether lines of source code may come with them. */
    readonly hasLines: boolean;
    /** Where functions begin that are called when a program has been loaded, or goes; none as long as nobody knows. */
    places(): readonly bigint[];
    /**
     * Looks what is loaded now.
     * @param source the vCPU's that passes a place, or that the guest has stopped with
     * @returns whether something has come or gone
     */
    refresh(source: InspectionSource, passage?: Passage): boolean;
    /** What has to be known to look is still being read; undefined if it is all there. */
    readonly reading: Promise<unknown> | undefined;
    /** The guest begins anew: nothing is loaded. */
    restart(): void;
}

/** {@link LoadablePrograms} as running asks about them. */
export interface LoadingPrograms {
    places(): readonly bigint[];
    /** A vCPU is at one of the places, before the instruction there. True if something has changed, or may have. */
    passed(vcpu: number, place: bigint): boolean;
    /** The guest has stopped. */
    stopped(vcpu: number): boolean;
    /** To be called after either has said yes, before the guest runs on. */
    apply(): Promise<void>;
}
