/** When the translator has to execute a guest in KVM's place: KVM would not stop where the debugger wants to. */
import type { KvmEngine } from '../kvm/engine';
import type { CodeBreakpoint } from '../machine/breakpoint';
import type { StopWish } from '../machine/engine';
import type { Processor } from '../machine/processor';
import type { Watchpoint } from '../machine/watchpoints';

/** What the debugger wants the guest to stop at. */
export class DebugWishes {
    breakpoints: readonly CodeBreakpoint[] = [];
    watchpoints: readonly Watchpoint[] = [];
    events: readonly StopWish[] = [];

    get isEmpty(): boolean {
        return this.breakpoints.length === 0 && this.watchpoints.length === 0 && this.events.length === 0;
    }
}

/** Why KVM cannot do what the debugger wants, in words that follow a colon; undefined if it can. */
export function standInReason(
    kvm: KvmEngine,
    processors: readonly Processor[],
    { breakpoints, watchpoints, events }: DebugWishes,
): string | undefined {
    if (events.some(wish => kvm.misses(wish))) {
        return 'the processor does what is to be stopped at by itself';
    }
    if (breakpoints.some(({ space, isCompanion }) => space === 'physical' && isCompanion !== true)) {
        return 'breakpoints at physical addresses take it';
    }
    if (watchpoints.length > 0) {
        const problem = processors.map(({ cpu }) => kvm.watchProblem(cpu)).find(text => text !== undefined);
        if (problem !== undefined) return problem;
    }
    if (processors.some(({ cpu }) => kvm.missesExceptions(cpu))) {
        return 'exceptions in real mode take it';
    }
    if (breakpoints.length > 0 && processors.some(({ cpu }) => kvm.missesUserCode(cpu))) {
        return "this host's KVM passes breakpoints in user mode";
    }
    return undefined;
}
