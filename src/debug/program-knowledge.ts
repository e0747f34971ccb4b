/** What running and stepping ask of those who know the guest's programs. */
import type { StepPlace } from './source/step-place';
import type { Frame } from './stack';

/** Programs whose place shows only while the guest runs. */
export interface Relocation {
    isSearching(): boolean;
    /** The guest begins anew: what was found is gone. Settles as {@link apply} does. */
    restart(): Promise<void>;
    /** Whether something new has been found; {@link apply} makes use of it. */
    find(): boolean;
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
