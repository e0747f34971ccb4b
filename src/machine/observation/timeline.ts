import { MACHINE_EVENTS, type MachineEventKind } from './kinds';

/** Even, since pairs of buckets are joined. */
const BUCKETS = 2048;
const FIRST_WIDTH = 1024;

/** Exits of some stretch of virtual time. */
export interface TimelinePart {
    /** Virtual time (ns) where the first bucket begins. */
    readonly from: number;
    /** Virtual time of a bucket. */
    readonly width: number;
    /** Buckets. */
    readonly length: number;
    /** By bucket. */
    readonly counts: readonly (readonly [kind: MachineEventKind, counts: readonly number[]])[];
}

/** How often each kind of event occurred, over virtual time, in a fixed number of buckets that widen as time goes by. */
export class Timeline {
    private readonly counts = new Float64Array(BUCKETS * MACHINE_EVENTS.length);
    private width = FIRST_WIDTH;
    private end = BUCKETS * FIRST_WIDTH;

    add(time: number, kind: MachineEventKind): void {
        while (time >= this.end) {
            this.widen();
        }
        this.counts[kind * BUCKETS + Math.floor(time / this.width)]++;
    }

    clear(): void {
        this.counts.fill(0);
        this.width = FIRST_WIDTH;
        this.end = BUCKETS * FIRST_WIDTH;
    }

    /**
     * The exits from virtual time `from` to `to`, in at most `buckets` buckets: as fine as the timeline still knows
     * them. The stretch is extended to whole buckets.
     */
    part(from: number, to: number, buckets: number, kinds: ReadonlySet<MachineEventKind> | undefined): TimelinePart {
        const first = Math.min(BUCKETS - 1, Math.max(0, Math.floor(from / this.width)));
        const wanted = Math.min(BUCKETS, Math.max(first + 1, Math.ceil(to / this.width))) - first;
        const joined = Math.max(1, Math.ceil(wanted / Math.max(1, buckets)));
        const length = Math.ceil(wanted / joined);
        const last = Math.min(BUCKETS, first + length * joined);
        const counts: [MachineEventKind, number[]][] = [];
        for (let kind = 0; kind < MACHINE_EVENTS.length; kind++) {
            if (kinds !== undefined && !kinds.has(kind)) {
                continue;
            }
            const sums = new Array<number>(length).fill(0);
            let any = false;
            for (let bucket = first; bucket < last; bucket++) {
                const count = this.counts[kind * BUCKETS + bucket];
                sums[Math.floor((bucket - first) / joined)] += count;
                any ||= count > 0;
            }
            if (any) {
                counts.push([kind, sums]);
            }
        }
        return { from: first * this.width, width: joined * this.width, length, counts };
    }

    private widen(): void {
        const { counts } = this;
        for (let start = 0; start < counts.length; start += BUCKETS) {
            for (let bucket = 0; bucket < BUCKETS / 2; bucket++) {
                counts[start + bucket] = counts[start + 2 * bucket] + counts[start + 2 * bucket + 1];
            }
            counts.fill(0, start + BUCKETS / 2, start + BUCKETS);
        }
        this.width *= 2;
        this.end *= 2;
    }
}
