/** The machine events at which the client wants to stop: chosen exception filters, and breaks on exits. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import type { DebugTarget } from '../debug/target';
import type { EventFilter } from '../debug/events/event-stops';
import type { VmExitBreak } from '../messages/vm-exits';
import { causeOfKey } from './exit-causes';
import { type ChosenFilter, problemWithoutGuest, readFilters } from './exception-filters';

const NO_EVENTS = 'this target tells of no machine events: only breakpoints can stop it';
const MOST_BREAKS = 1000;

export class EventStopStore {
    private chosen: readonly ChosenFilter[] = [{ filter: 'tripleFault' }];
    private exitBreaks: readonly VmExitBreak[] = [];

    get breaks(): readonly VmExitBreak[] {
        return this.exitBreaks;
    }

    /** Sets everything in a target that has just come. */
    async apply(target: DebugTarget): Promise<void> {
        await this.set(target);
    }

    /** Replaces the exception filters; says of each whether it works. */
    async choose(
        chosen: readonly ChosenFilter[],
        target: DebugTarget | undefined,
    ): Promise<DebugProtocol.Breakpoint[]> {
        this.chosen = chosen;
        const problems = await this.set(target);
        return problems.map(message => ({ verified: message === undefined, message }));
    }

    /** Whether there is a break of exactly this kind and cause. */
    breaksAt(kind: string, cause: string | undefined): boolean {
        return this.exitBreaks.some(other => other.kind === kind && (other.cause ?? '') === (cause ?? ''));
    }

    /**
     * Adds a break on exits, or takes it away; one of the same kind and cause is replaced.
     * @returns what is wrong with it: nothing has changed then
     */
    async setBreak(added: VmExitBreak, enabled: boolean, target: DebugTarget | undefined): Promise<string | undefined> {
        const others = this.exitBreaks.filter(({ kind, cause }) => kind !== added.kind || cause !== added.cause);
        if (enabled) {
            const filter = filterOf(added);
            const problem =
                typeof filter === 'string'
                    ? filter
                    : target === undefined
                      ? problemWithoutGuest(filter)
                      : target.events === undefined
                        ? NO_EVENTS
                        : await target.events.check(filter);
            if (problem !== undefined) {
                return problem;
            }
            if (others.length >= MOST_BREAKS) {
                return `there are ${MOST_BREAKS} breaks on exits already`;
            }
        }
        this.exitBreaks = enabled ? [...others, added] : others;
        await this.set(target);
        return undefined;
    }

    /** What is wrong with each chosen filter. */
    private async set(target: DebugTarget | undefined): Promise<(string | undefined)[]> {
        const { tripleFault, filters, places } = readFilters(this.chosen);
        const breaks = this.exitBreaks.map(filterOf).filter(filter => typeof filter !== 'string');
        let problems: (string | undefined)[];
        if (target === undefined) {
            problems = filters.map(problemWithoutGuest);
        } else if (target.events === undefined) {
            problems = filters.map(() => NO_EVENTS);
        } else {
            await target.events.setStopAtTripleFault(tripleFault);
            problems = await target.events.setFilters([...filters, ...breaks]);
        }
        const otherwise = target !== undefined && target.events === undefined ? NO_EVENTS : undefined;
        return places.map(place => (typeof place === 'number' ? problems[place] : (place ?? otherwise)));
    }
}

function filterOf({ kind, cause, condition }: VmExitBreak): EventFilter | string {
    if (cause === undefined || cause === '') {
        return { kind, condition };
    }
    const causes = causeOfKey(kind, cause);
    return causes === undefined ? `'${cause}' is no cause of such an exit` : { kind, cause: causes, condition };
}
