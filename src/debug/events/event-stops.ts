import { HyperscopeError } from '../../common/errors';
import type { StopWish } from '../../machine/engine';
import type { MachineEvent } from '../../machine/observation/event';
import { MACHINE_EVENT_BY_NAME, type MachineEventKind, type MachineEventName } from '../../machine/observation/kinds';
import type { EvaluationContext } from '../expression/context';
import { type EventCondition, parseEventCondition } from './event-condition';

/** Events at which to stop. */
export interface EventFilter {
    readonly kind: MachineEventName;
    /** Only this cause (a vector, the number of a control register, a port…), or those from first to last. */
    readonly cause?: number | readonly [first: number, last: number];
    /** An expression over the event's fields, registers, memory and symbols, or a list such as `0x3f8, 0x60-0x64`. */
    readonly condition?: string;
}

interface Filter {
    readonly kind: MachineEventKind;
    readonly cause: EventFilter['cause'];
    readonly condition: EventCondition | undefined;
}

/** Where a vCPU was when it last stopped before an event. */
interface Place {
    readonly vcpu: number;
    readonly instructions: number;
    readonly rip: string;
    /** Events that it has stopped before since it got there. */
    readonly reported: Set<string>;
}

/** Which events stop the machine. */
export class EventStops {
    private readonly filters = new Map<MachineEventKind, Filter[]>();
    private place: Place | undefined;

    /** @param log for conditions that fail */
    constructor(
        private readonly context: (vcpu: number) => EvaluationContext,
        private readonly log: (text: string) => void,
    ) {}

    /** Replaces the filters; returns for each what is wrong with it. */
    replace(filters: readonly EventFilter[]): (string | undefined)[] {
        this.filters.clear();
        return filters.map(filter => {
            const read = this.read(filter);
            if (typeof read === 'string') {
                return read;
            }
            const others = this.filters.get(read.kind);
            if (others === undefined) {
                this.filters.set(read.kind, [read]);
            } else {
                others.push(read);
            }
            return undefined;
        });
    }

    /** What would be wrong with a filter. */
    problemOf(filter: EventFilter): string | undefined {
        const read = this.read(filter);
        return typeof read === 'string' ? read : undefined;
    }

    get kinds(): Iterable<MachineEventKind> {
        return this.filters.keys();
    }

    /** The same for an engine that has to know more than kinds. */
    get wishes(): StopWish[] {
        return [...this.filters.values()].flat().map(({ kind, cause }) => ({ kind, cause }));
    }

    /** The machine was put into another state. */
    forget(): void {
        this.place = undefined;
    }

    /**
     * Whether to stop at an event. One that can be stopped at before it happens comes again when the vCPU goes on: it
     * stops once, each time that the vCPU gets there.
     */
    stops(event: MachineEvent, instructions: number): boolean {
        const filters = this.filters.get(event.kind);
        if (filters === undefined || !filters.some(filter => this.matches(filter, event))) {
            return false;
        }
        if (!event.preventable) {
            return true;
        }
        const rip = `${event.ripHi}:${event.ripLo}`;
        const key = `${event.kind}:${event.cause}`;
        const { place } = this;
        if (place?.vcpu === event.vcpu && place.instructions === instructions && place.rip === rip) {
            if (place.reported.has(key)) {
                return false;
            }
            place.reported.add(key);
        } else {
            this.place = { vcpu: event.vcpu, instructions, rip, reported: new Set([key]) };
        }
        return true;
    }

    /** The filter, or what is wrong with it. */
    private read({ kind: name, cause, condition }: EventFilter): Filter | string {
        const kind = MACHINE_EVENT_BY_NAME.get(name);
        if (kind === undefined) {
            return `there is no kind of event '${name}'`;
        }
        try {
            return {
                kind,
                cause,
                condition: isBlank(condition)
                    ? undefined
                    : parseEventCondition(condition, kind, oneCause(cause), this.context(0)),
            };
        } catch (error) {
            if (!(error instanceof HyperscopeError)) throw error;
            return error.message;
        }
    }

    private matches({ cause, condition }: Filter, event: MachineEvent): boolean {
        if (cause !== undefined && !covers(cause, event.cause)) {
            return false;
        }
        try {
            return condition === undefined || condition.holds(event, this.context(event.vcpu));
        } catch (error) {
            if (!(error instanceof HyperscopeError)) throw error;
            // Whoever set it wants to know.
            this.log(`event condition: ${error.message}`);
            return true;
        }
    }
}

function covers(causes: NonNullable<EventFilter['cause']>, cause: number): boolean {
    return typeof causes === 'number' ? cause === causes : cause >= causes[0] && cause <= causes[1];
}

/** The cause, if there is only one. */
export function oneCause(cause: EventFilter['cause']): number | undefined {
    return typeof cause === 'number' ? cause : undefined;
}

function isBlank(text: string | undefined): text is undefined {
    return text === undefined || text.trim() === '';
}
