import { SnapshotError } from '../common/errors';
import { StateReader } from '../devices/state-reader';
import type { StateRecord, StateValue } from '../devices/device';

/** One piece of the outside world, with the point in the guest's life at which the guest could first see it. */
export interface RecordedInput {
    /** Instructions retired by all vCPUs. */
    readonly instructions: number;
    /** Virtual time (ns): tells apart what happens at one instruction count while every vCPU is halted. */
    readonly time: number;
    /** Who gets it, e.g. `serial0`, `keyboard`, `entropy`, `host-time`. */
    readonly channel: string;
    readonly data: StateValue;
}

/** Where the guest is: both figures never decrease. */
export interface Position {
    readonly instructions: number;
    readonly time: number;
}

/** Who takes what comes through a channel. */
interface Sink {
    readonly take: (data: StateValue) => void;
    readonly accepts: (data: StateValue) => boolean;
}

type Mode =
    | { readonly kind: 'live'; readonly record: RecordedInput[] | undefined }
    | { readonly kind: 'replay'; readonly record: readonly RecordedInput[]; next: number };

/**
 * The one door through which anything from outside the machine reaches the guest. What comes by itself (keys, serial
 * bytes, packets) is {@link push}ed at any time and applied between slices; what the guest asks for (host time,
 * entropy) is {@link pull}ed in the middle of an instruction. Each is stamped with its {@link Position}, so that a
 * recorded run can be replayed exactly.
 */
export class InputQueue {
    /** Called when something was pushed, for a run loop that idles or is in a slice. */
    onInput: (() => void) | undefined;
    /**
     * Called when the replayed machine asks for input that the recorded one did not ask for: they are not the same
     * machine. The replay has ended then.
     */
    onDivergence: ((problem: string) => void) | undefined;

    private readonly position: () => Position;
    private readonly sinks = new Map<string, Sink>();
    private pending: { readonly channel: string; readonly data: StateValue }[] = [];
    private mode: Mode = { kind: 'live', record: undefined };

    constructor(position: () => Position) {
        this.position = position;
    }

    /**
     * Registers who takes what is pushed to `channel`.
     * @param accepts what can be pushed there: files may say anything
     */
    connect(channel: string, take: Sink['take'], accepts: Sink['accepts'] = () => true): void {
        this.sinks.set(channel, { take, accepts });
    }

    /** Starts recording; the array grows as input is applied. */
    startRecording(): readonly RecordedInput[] {
        const record: RecordedInput[] = [];
        this.mode = { kind: 'live', record };
        return record;
    }

    /** Takes all input from `record` (ordered by position) from now on; live input is refused until {@link goLive}. */
    startReplay(record: readonly RecordedInput[]): void {
        const { instructions, time } = this.position();
        const next = record.findIndex(
            input => input.instructions > instructions || (input.instructions === instructions && input.time >= time),
        );
        this.mode = { kind: 'replay', record, next: next < 0 ? record.length : next };
        this.pending = [];
    }

    /** Ends recording or replay. */
    goLive(): void {
        this.mode = { kind: 'live', record: undefined };
    }

    get replaying(): boolean {
        return this.mode.kind === 'replay' && this.mode.next < this.mode.record.length;
    }

    /** Queues input. While replaying, it is dropped: the record is the only truth. */
    push(channel: string, data: StateValue): void {
        if (!this.replaying) {
            this.pending.push({ channel, data });
            this.onInput?.();
        }
    }

    /** Gets input that the guest asks for at this very instruction: from the record, or from `source`. */
    pull<Data extends StateValue>(channel: string, source: () => Data): Data {
        const { mode } = this;
        const at = this.position();
        if (mode.kind === 'replay' && mode.next < mode.record.length) {
            const input = mode.record[mode.next];
            if (input.channel === channel && input.instructions === at.instructions) {
                mode.next++;
                return input.data as Data;
            }
            this.goLive();
            this.onDivergence?.(
                `the guest asks for '${channel}' at instruction ${at.instructions}, the record has ` +
                    `'${input.channel}' at ${input.instructions}`,
            );
        }
        const data = source();
        this.note({ ...at, channel, data });
        return data;
    }

    /** Whether {@link apply} would do something now. */
    get waiting(): boolean {
        return this.pending.length > 0;
    }

    /** Delivers what is due: everything pushed, or what the record has up to this position. */
    apply(): void {
        const at = this.position();
        if (this.mode.kind === 'replay') {
            this.applyRecord(this.mode, at);
        }
        if (this.pending.length === 0) {
            return;
        }
        const inputs = this.pending;
        this.pending = [];
        for (const { channel, data } of inputs) {
            this.note({ ...at, channel, data });
            this.sinks.get(channel)?.take(data);
        }
    }

    /** Where the next replayed input is to be applied; undefined when live or at the end of the record. */
    next(): Position | undefined {
        return this.mode.kind === 'replay' ? this.mode.record[this.mode.next] : undefined;
    }

    /** Input that was pushed but not yet applied is part of the machine's state. */
    save(): StateRecord {
        const pending = this.pending.map(({ channel, data }) => ({ channel, data }));
        return { kind: 'input-queue', version: 1, fields: { pending } };
    }

    restore(record: StateRecord): void {
        new StateReader(record, 'input-queue', 1);
        const { pending } = record.fields;
        if (!Array.isArray(pending)) {
            throw new SnapshotError(`snapshot record 'input-queue': field 'pending' is not a list`);
        }
        this.pending = pending.map((entry: StateValue) => {
            const { channel, data } = (entry ?? {}) as { channel?: StateValue; data?: StateValue };
            if (typeof channel !== 'string' || data === undefined) {
                throw new SnapshotError(`snapshot record 'input-queue': an entry has no channel or no data`);
            }
            if (this.sinks.get(channel)?.accepts(data) === false) {
                throw new SnapshotError(`snapshot record 'input-queue': what is in it for '${channel}' cannot be`);
            }
            return { channel, data };
        });
    }

    private applyRecord(mode: Mode & { kind: 'replay' }, at: Position): void {
        for (;;) {
            const input = mode.record[mode.next];
            if (
                input === undefined ||
                input.instructions > at.instructions ||
                (input.instructions === at.instructions && input.time > at.time)
            ) {
                return;
            }
            const sink = this.sinks.get(input.channel);
            if (sink === undefined) {
                // Input that is pulled, or for a device that this machine lacks: the guest will ask, or diverge.
                return;
            }
            mode.next++;
            sink.take(input.data);
        }
    }

    private note(input: RecordedInput): void {
        if (this.mode.kind === 'live') {
            this.mode.record?.push(input);
        }
    }
}
