/**
 * Code breakpoints as a debugger hands them to an engine. What one asks before it stops may come along as a program
 * that an engine can compile; an engine that can't calls {@link CodeBreakpoint.condition} each time.
 */
import type { Condition } from './condition';

/** Which kind of address a breakpoint or a watchpoint is set at. */
export type WatchSpace = 'linear' | 'physical';

export interface CodeBreakpoint {
    readonly id: number;
    /** Linear unless told otherwise: at a physical address it is met through any mapping. */
    readonly space?: WatchSpace;
    /** Address, as two unsigned halves. */
    readonly lo: number;
    readonly hi: number;
    /** Stands beside another one, at where code is before it is mapped: engines that cannot tell pass it. */
    readonly isCompanion?: boolean;
    /**
     * Asked with the vCPU's number before the instruction runs; whether to stop. `decided`: {@link program} has been run
     * and said yes, counting included. Absent: stops always.
     */
    readonly condition?: (vcpu: number, decided: boolean) => boolean;
    /** May decide that the guest goes on, without asking. */
    readonly program?: BreakpointProgram;
}

/** Stops where the condition holds and, of those times, where the hit test does. */
export interface BreakpointProgram {
    /** Holds where it is not 0. Absent: always. */
    readonly condition?: Condition;
    readonly hitTest?: HitTest;
    /** Counts the times that the condition held. Whoever decides counts: the program, else `CodeBreakpoint.condition`. */
    readonly counter: HitCounter;
}

/** Compares how often the condition has held with a number. `%`: is a multiple of it. */
export interface HitTest {
    readonly operator: '==' | '>=' | '>' | '<=' | '<' | '%';
    /** 0 to 2^31 − 1. */
    readonly number: number;
}

export function passesHitTest({ operator, number }: HitTest, count: number): boolean {
    switch (operator) {
        case '==':
            return count === number;
        case '>=':
            return count >= number;
        case '>':
            return count > number;
        case '<=':
            return count <= number;
        case '<':
            return count < number;
        case '%':
            return number > 0 && count % number === 0;
    }
}

/** A count that an engine may keep in the shared memory, where compiled code counts. */
export class HitCounter {
    private own = 0;
    private words: Uint32Array | undefined;
    private index = 0;

    get count(): number {
        return this.words === undefined ? this.own : this.words[this.index];
    }

    set count(value: number) {
        if (this.words === undefined) {
            this.own = value;
        } else {
            this.words[this.index] = value;
        }
    }

    /** From now on the count is the word `index`. */
    moveTo(words: Uint32Array, index: number): void {
        const { count } = this;
        this.words = words;
        this.index = index;
        this.count = count;
    }

    /** Takes the count back from the shared memory. */
    moveBack(): void {
        this.own = this.count;
        this.words = undefined;
    }
}
