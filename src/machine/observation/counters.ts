import { type EventRecord, EventSlots, type MachineEvent } from './event';
import { MACHINE_EVENTS, type MachineEventKind } from './kinds';

/** Rows beyond this many go to one row a kind: a guest may touch any number of ports and addresses. */
const MOST_ROWS = 8192;

/** Cause of the row that takes what found no row of its own. */
export const OTHER_CAUSES = -1;

/** All exits of a kind with one cause. */
export class CounterRow {
    count = 0;
    /** Host nanoseconds of those that were timed, and how many those were. */
    timedNanoseconds = 0;
    timed = 0;
    readonly last = new EventSlots(1);

    constructor(
        readonly index: number,
        readonly kind: MachineEventKind,
        /** The first of {@link span} causes. */
        readonly cause: number,
        readonly span: number,
        /** What answered, or asked, when the row began. */
        public device: string | undefined,
    ) {}

    /** Whether each of them was timed, as while somebody watches. */
    get isTimeExact(): boolean {
        return this.timed === this.count;
    }

    /** Host nanoseconds of all of them: exact if each was timed, else an estimate. */
    get hostTime(): number {
        return this.timed === 0 ? 0 : (this.timedNanoseconds / this.timed) * this.count;
    }

    get lastRecord(): EventRecord {
        return this.last.read(0);
    }
}

/** Counts events by kind and cause. */
export class EventCounters {
    readonly rows: CounterRow[] = [];
    private readonly byCause = MACHINE_EVENTS.map(() => new Map<number, CounterRow>());
    /** The row that each kind hit last: the next event is often its like. */
    private readonly recent: (CounterRow | undefined)[] = MACHINE_EVENTS.map(() => undefined);

    /** Counts an event under `cause`, the first of `span` causes that are counted together. */
    count(event: MachineEvent, cause: number, span: number): CounterRow {
        const { kind } = event;
        let row = this.recent[kind];
        if (row === undefined || row.cause !== cause) {
            row = this.byCause[kind].get(cause) ?? this.add(event, cause, span);
            this.recent[kind] = row;
        }
        row.count++;
        row.last.write(0, event, row.index);
        return row;
    }

    clear(): void {
        this.rows.length = 0;
        this.byCause.forEach(rows => rows.clear());
        this.recent.fill(undefined);
    }

    private add({ kind, device }: MachineEvent, cause: number, span: number): CounterRow {
        const full = this.rows.length >= MOST_ROWS;
        const found = full ? this.byCause[kind].get(OTHER_CAUSES) : undefined;
        if (found !== undefined) {
            return found;
        }
        const row = full
            ? new CounterRow(this.rows.length, kind, OTHER_CAUSES, 1, undefined)
            : new CounterRow(this.rows.length, kind, cause, span, device);
        this.rows.push(row);
        this.byCause[kind].set(row.cause, row);
        return row;
    }
}
