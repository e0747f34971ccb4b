import { type CounterRow, EventCounters } from './counters';
import { type EventRecord, EventSlots, type MachineEvent } from './event';
import type { MachineEventKind } from './kinds';
import { Timeline, type TimelinePart } from './timeline';

/** One in so many operations is timed while nobody watches. A prime: guests do things in rounds. */
const SAMPLE = 61;

/** Sees single events; `device` is what answered or asked. */
export type EventListener = (event: EventRecord, device: string | undefined) => void;

/**
 * What has happened: every event is counted and put on the time line; while somebody watches, the last ones are kept;
 * while somebody listens, each is handed on. Operations, which events belong to, are timed: all of them then, otherwise a
 * sample.
 */
export class EventJournal {
    readonly counters = new EventCounters();
    readonly timeline = new Timeline();
    /** Events since the machine was switched on, or since {@link clear}. */
    total = 0;

    private listener: EventListener | undefined;
    private ring: EventSlots | undefined;
    /** Events that were kept in the ring, also those that others have replaced by now. */
    private keptEver = 0;

    private sampleIn = SAMPLE;
    /** Host time at which the operation began, -1 if it is not timed. */
    private startedAt = -1;
    /** What the operation in progress is counted as: its first event. */
    private timedRow: CounterRow | undefined;
    private timedSlot = -1;
    /** The event that waits for the end of its operation, to be told with its time. */
    private readonly waiting = new EventSlots(1);
    private waitingRow: CounterRow | undefined;
    private waitingDevice: string | undefined;

    /** @param hostTime monotonic nanoseconds; without it nothing is timed */
    constructor(private readonly hostTime: (() => number) | undefined) {}

    /** The last `capacity` events are kept from now on; 0 ends that. */
    keep(capacity: number): void {
        this.ring = capacity > 0 ? new EventSlots(capacity) : undefined;
        this.keptEver = 0;
        this.timedSlot = -1;
    }

    /** Calls with each event from now on; undefined ends that. */
    listen(listener: EventListener | undefined): void {
        this.tell();
        this.listener = listener;
    }

    get capacity(): number {
        return this.ring?.capacity ?? 0;
    }

    get keptEvents(): EventSlots | undefined {
        return this.ring;
    }

    /** The kept events, oldest first, as slots of {@link keptEvents}. */
    *slots(): Generator<number> {
        const { ring, keptEver } = this;
        if (ring !== undefined) {
            for (let index = Math.max(0, keptEver - ring.capacity); index < keptEver; index++) {
                yield index % ring.capacity;
            }
        }
    }

    /** How many events are kept, and how many were kept once. */
    get keptCounts(): { readonly kept: number; readonly dropped: number } {
        const kept = Math.min(this.keptEver, this.capacity);
        return { kept, dropped: this.keptEver - kept };
    }

    /**
     * The events from virtual time `from` to `to` in at most `buckets` buckets: as fine as asked where the kept events
     * reach back so far, else as fine as the time line is.
     */
    stretch(from: number, to: number, buckets: number, kinds: ReadonlySet<MachineEventKind> | undefined): TimelinePart {
        const coarse = this.timeline.part(from, to, buckets, kinds);
        const width = Math.max(1, Math.ceil((to - from) / buckets));
        const { ring } = this;
        if (ring === undefined || width >= coarse.width || !this.reachesBackTo(from)) {
            return coarse;
        }
        const length = Math.max(1, Math.ceil((to - from) / width));
        const counts = new Map<MachineEventKind, number[]>();
        for (const slot of this.slots()) {
            const kind = ring.kind(slot);
            const bucket = Math.floor((ring.time(slot) - from) / width);
            if (bucket < 0 || bucket >= length || kinds?.has(kind) === false) {
                continue;
            }
            let sums = counts.get(kind);
            if (sums === undefined) {
                sums = new Array<number>(length).fill(0);
                counts.set(kind, sums);
            }
            sums[bucket]++;
        }
        return { from, width, length, counts: [...counts].sort(([a], [b]) => a - b) };
    }

    /** Whether every event since then is kept. */
    private reachesBackTo(time: number): boolean {
        const { ring, keptEver, total } = this;
        if (ring === undefined || keptEver === 0) {
            return false;
        }
        const all = keptEver === total && keptEver <= ring.capacity;
        return all || ring.time(Math.max(0, keptEver - ring.capacity) % ring.capacity) <= time;
    }

    clear(): void {
        this.tell();
        this.counters.clear();
        this.timeline.clear();
        this.total = 0;
        this.timedRow = undefined;
        this.keep(this.capacity);
    }

    /**
     * Takes down an event, counted under `cause`, the first of `span` causes that are counted together.
     * @returns its row
     */
    record(event: MachineEvent, cause: number, span: number): CounterRow {
        const { ring } = this;
        event.sequence = this.total++;
        const row = this.counters.count(event, cause, span);
        this.timeline.add(event.time, event.kind);
        const begins = this.startedAt >= 0 && this.timedRow === undefined;
        if (begins) {
            this.timedRow = row;
        }
        if (ring !== undefined) {
            const slot = this.keptEver++ % ring.capacity;
            ring.write(slot, event, row.index);
            if (begins) {
                this.timedSlot = slot;
            }
        }
        if (this.listener !== undefined) {
            this.tell();
            this.waiting.write(0, event, row.index);
            this.waitingRow = row;
            this.waitingDevice = event.device;
            if (!begins) {
                this.tell();
            }
        }
        return row;
    }

    /** An operation begins. The one before may never have ended. */
    begin(): void {
        this.tell();
        this.startedAt = -1;
        if (this.ring === undefined && this.listener === undefined && --this.sampleIn > 0) {
            return;
        }
        this.sampleIn = SAMPLE;
        this.timedRow = undefined;
        this.timedSlot = -1;
        this.startedAt = this.hostTime?.() ?? -1;
    }

    end(): void {
        if (this.startedAt < 0) {
            return;
        }
        const { timedRow, timedSlot, ring } = this;
        if (timedRow !== undefined) {
            const elapsed = this.hostTime!() - this.startedAt;
            timedRow.timed++;
            timedRow.timedNanoseconds += elapsed;
            timedRow.last.setHostTime(0, elapsed);
            if (timedSlot >= 0) {
                ring?.setHostTime(timedSlot, elapsed);
            }
            if (this.waitingRow === timedRow) {
                this.waiting.setHostTime(0, elapsed);
            }
        }
        this.tell();
        this.startedAt = -1;
        this.timedRow = undefined;
    }

    /** Tells the listener of the event that waits. */
    private tell(): void {
        const { waitingRow } = this;
        if (waitingRow !== undefined) {
            this.waitingRow = undefined;
            this.listener?.(this.waiting.read(0), this.waitingDevice ?? waitingRow.device);
        }
    }
}
