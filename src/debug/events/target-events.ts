import type { Machine } from '../../machine/machine';
import type { MachineEventName } from '../../machine/observation/kinds';
import type { SymbolTable } from '../../symbols/symbol-table';
import type { Execution } from '../execution';
import {
    EventLog,
    type ExitFilter,
    type ExitOrder,
    type ExitRecord,
    type ExitRecords,
    type ExitSummary,
    type ExitTimeline,
} from './event-log';
import type { EventFilter } from './event-stops';

/** Machine events and VM exits of a target that can tell of them. Data can be asked for while the guest runs. */
export interface TargetEvents {
    /** Replaces the events at which to stop; returns for each what is wrong with it. */
    setFilters(filters: readonly EventFilter[]): Promise<(string | undefined)[]>;
    /** What would be wrong with a filter. */
    check(filter: EventFilter): Promise<string | undefined>;
    setStopAtTripleFault(stop: boolean): Promise<void>;
    /** The kinds of exits that this target can have. */
    kinds(): Promise<MachineEventName[]>;
    /** Keep the last `capacity` exits from now on; 0: none. */
    watch(capacity: number): Promise<void>;
    /** Forgets counters, kept exits and timeline. */
    clear(): Promise<void>;
    summary(grouping: 'kind' | 'cause', filter: ExitFilter, order: ExitOrder, limit: number): Promise<ExitSummary>;
    records(filter: ExitFilter, start: number, count: number, order: 'newest' | 'oldest'): Promise<ExitRecords>;
    /** Virtual time in ns; at most so many buckets. */
    timeline(
        from: number | undefined,
        to: number | undefined,
        buckets: number,
        kinds?: readonly MachineEventName[],
    ): Promise<ExitTimeline>;
    /** Calls with each exit from now on, in the middle of the run; undefined ends that. */
    listen(listener: ((record: ExitRecord) => void) | undefined): void;
}

/** Those of a machine in this process. */
export class MachineEvents implements TargetEvents {
    private readonly log: EventLog;

    constructor(
        machine: Machine,
        symbols: SymbolTable,
        private readonly execution: Execution,
    ) {
        this.log = new EventLog(machine, symbols);
    }

    async setFilters(filters: readonly EventFilter[]): Promise<(string | undefined)[]> {
        const problems = this.execution.eventStops.replace(filters);
        this.execution.eventStopsChanged();
        return problems;
    }

    async check(filter: EventFilter): Promise<string | undefined> {
        return this.execution.eventStops.problemOf(filter);
    }

    async setStopAtTripleFault(stop: boolean): Promise<void> {
        this.execution.stopAtTripleFault = stop;
    }

    async kinds(): Promise<MachineEventName[]> {
        return this.log.kinds;
    }

    async watch(capacity: number): Promise<void> {
        this.log.watch(capacity);
    }

    async clear(): Promise<void> {
        this.log.clear();
    }

    async summary(
        grouping: 'kind' | 'cause',
        filter: ExitFilter,
        order: ExitOrder,
        limit: number,
    ): Promise<ExitSummary> {
        return this.log.summary(grouping, filter, order, limit);
    }

    async records(filter: ExitFilter, start: number, count: number, order: 'newest' | 'oldest'): Promise<ExitRecords> {
        return this.log.records(filter, start, count, order);
    }

    async timeline(
        from: number | undefined,
        to: number | undefined,
        buckets: number,
        kinds?: readonly MachineEventName[],
    ): Promise<ExitTimeline> {
        return this.log.timeline(from, to, buckets, kinds);
    }

    listen(listener: ((record: ExitRecord) => void) | undefined): void {
        this.log.listen(listener);
    }
}
