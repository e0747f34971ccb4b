/** The record of a machine's exits as front ends ask for it: plain data, names resolved when somebody looks. */
import type { Machine } from '../../machine/machine';
import type { EventRecord } from '../../machine/observation/event';
import type { CounterRow } from '../../machine/observation/counters';
import {
    MACHINE_EVENT_BY_NAME,
    MACHINE_EVENTS,
    MachineEventKind,
    type MachineEventName,
} from '../../machine/observation/kinds';
import type { EventJournal } from '../../machine/observation/journal';
import type { SymbolTable } from '../../symbols/symbol-table';
import { causeKey, causeText, eventLabel, eventText } from './event-words';

/** What to leave out; everything that is given has to hold. */
export interface ExitFilter {
    readonly kinds?: readonly MachineEventName[];
    /** Keys of causes. */
    readonly causes?: readonly string[];
    readonly vcpu?: number;
    /** Occurs in the text, the device or the cause. */
    readonly text?: string;
    /** Virtual time (ns): first included, last excluded. */
    readonly from?: number;
    readonly to?: number;
}

export type ExitOrder = 'count' | 'time' | 'recent' | 'cause';

/** One exit in words. */
export interface ExitRecord {
    readonly sequence: number;
    readonly vcpu: number;
    readonly kind: MachineEventName;
    readonly cause: string;
    readonly text: string;
    readonly device: string | undefined;
    readonly rip: bigint;
    readonly symbol: string | undefined;
    /** Virtual time (ns). */
    readonly time: number;
    readonly instructions: number;
    /** Host nanoseconds. */
    readonly hostTime: number | undefined;
    readonly size: number;
    readonly value: bigint | undefined;
    readonly old: bigint | undefined;
    readonly address: bigint | undefined;
}

export interface ExitRow {
    readonly kind: MachineEventName;
    readonly label: string;
    readonly cause: string;
    readonly causeText: string;
    readonly device: string | undefined;
    readonly count: number;
    /** Host nanoseconds. */
    readonly hostTime: number;
    /** It was measured, not estimated from a sample. */
    readonly exactTime: boolean;
    readonly last: ExitRecord;
}

export interface ExitSummary {
    readonly total: number;
    /** Virtual time (ns). */
    readonly now: number;
    readonly instructions: number;
    readonly watching: boolean;
    readonly capacity: number;
    readonly rows: readonly ExitRow[];
    readonly totalRows: number;
}

export interface ExitRecords {
    readonly records: readonly ExitRecord[];
    readonly matching: number;
    readonly kept: number;
    readonly dropped: number;
}

export interface ExitTimeline {
    readonly from: number;
    readonly to: number;
    readonly bucket: number;
    readonly counts: Readonly<Partial<Record<MachineEventName, readonly number[]>>>;
}

const FIRST_OF_HARDWARE: number = MachineEventKind.Debug;

export const SMALLEST_CAPACITY = 16;
export const LARGEST_CAPACITY = 1_000_000;

/** The exits of a machine. */
export class EventLog {
    constructor(
        private readonly machine: Machine,
        private readonly symbols: SymbolTable,
    ) {}

    private get journal(): EventJournal {
        return this.machine.observation.journal;
    }

    /** Keep the last `capacity` exits from now on; 0: none. */
    watch(capacity: number): void {
        if (capacity !== this.journal.capacity) {
            this.journal.keep(capacity);
        }
    }

    clear(): void {
        this.journal.clear();
    }

    /** The kinds that can occur: of those that only hardware has, the ones that have. */
    get kinds(): MachineEventName[] {
        const { rows } = this.journal.counters;
        return MACHINE_EVENTS.filter((_, kind) => kind < FIRST_OF_HARDWARE || rows.some(row => row.kind === kind));
    }

    /** Calls with each exit from now on; undefined ends that. */
    listen(listener: ((record: ExitRecord) => void) | undefined): void {
        const { journal } = this;
        journal.listen(listener && ((event, device) => listener(this.present(event, device))));
    }

    summary(grouping: 'kind' | 'cause', filter: ExitFilter, order: ExitOrder, limit: number): ExitSummary {
        const { clock, engine } = this.machine;
        const { journal } = this;
        const wanted = this.rows(filter);
        const rows = grouping === 'cause' ? wanted.map(row => this.row(row)) : this.byKind(wanted);
        rows.sort(COMPARE[order]);
        return {
            total: journal.total,
            now: clock.now(),
            instructions: engine.retired(),
            watching: journal.capacity > 0,
            capacity: journal.capacity,
            rows: rows.slice(0, limit),
            totalRows: rows.length,
        };
    }

    records(filter: ExitFilter, start: number, count: number, order: 'newest' | 'oldest'): ExitRecords {
        const { journal } = this;
        const { keptEvents } = journal;
        const { kept, dropped } = journal.keptCounts;
        if (keptEvents === undefined) {
            return { records: [], matching: 0, kept, dropped };
        }
        const rows = filter.text === undefined && filter.causes === undefined ? undefined : this.rowIndices(filter);
        const kinds = kindSet(filter.kinds);
        const matching: number[] = [];
        for (const slot of journal.slots()) {
            const time = keptEvents.time(slot);
            if (
                (kinds === undefined || kinds.has(keptEvents.kind(slot))) &&
                (filter.vcpu === undefined || keptEvents.vcpu(slot) === filter.vcpu) &&
                (filter.from === undefined || time >= filter.from) &&
                (filter.to === undefined || time < filter.to) &&
                (rows === undefined || rows.has(keptEvents.row(slot)) || this.hasText(keptEvents.read(slot), filter))
            ) {
                matching.push(slot);
            }
        }
        if (order === 'newest') {
            matching.reverse();
        }
        const records = matching.slice(start, start + count).map(slot => {
            const record = keptEvents.read(slot);
            return this.present(record, journal.counters.rows[record.row]?.device);
        });
        return { records, matching: matching.length, kept, dropped };
    }

    timeline(
        from: number | undefined,
        to: number | undefined,
        buckets: number,
        kinds?: readonly MachineEventName[],
    ): ExitTimeline {
        const { clock } = this.machine;
        const part = this.journal.stretch(from ?? 0, to ?? clock.now() + 1, buckets, kindSet(kinds));
        return {
            from: part.from,
            to: part.from + part.length * part.width,
            bucket: part.width,
            counts: Object.fromEntries(part.counts.map(([kind, counts]) => [MACHINE_EVENTS[kind], counts])),
        };
    }

    private present(record: EventRecord, device: string | undefined): ExitRecord {
        const { kind } = record;
        return {
            sequence: record.sequence,
            vcpu: record.vcpu,
            kind: MACHINE_EVENTS[kind],
            cause: causeKey(kind, record.cause),
            text: eventText(record, device),
            device,
            rip: record.rip,
            symbol: this.symbols.format(record.rip),
            time: record.time,
            instructions: record.instructions,
            hostTime: record.hostTime,
            size: record.size,
            value: record.value,
            old: record.old,
            address: record.address === 0n ? undefined : record.address,
        };
    }

    private row(row: CounterRow): ExitRow {
        const { kind, cause, device, count } = row;
        return {
            kind: MACHINE_EVENTS[kind],
            label: eventLabel(kind),
            cause: causeKey(kind, cause, row.span),
            causeText: causeText(kind, cause, device),
            device,
            count,
            hostTime: Math.round(row.hostTime),
            exactTime: row.isTimeExact,
            last: this.present(row.lastRecord, device),
        };
    }

    private byKind(rows: readonly CounterRow[]): ExitRow[] {
        const groups = new Map<MachineEventKind, CounterRow[]>();
        for (const row of rows) {
            const group = groups.get(row.kind);
            if (group === undefined) {
                groups.set(row.kind, [row]);
            } else {
                group.push(row);
            }
        }
        return [...groups.values()].map(group => {
            const latest = group.reduce((a, b) => (b.lastRecord.sequence > a.lastRecord.sequence ? b : a));
            return {
                ...this.row(latest),
                cause: '',
                causeText: group.length === 1 ? causeText(latest.kind, latest.cause, latest.device) : '',
                device: undefined,
                count: group.reduce((sum, { count }) => sum + count, 0),
                hostTime: Math.round(group.reduce((sum, { hostTime }) => sum + hostTime, 0)),
                exactTime: group.every(({ isTimeExact }) => isTimeExact),
            };
        });
    }

    private rows({ kinds, causes, text }: ExitFilter): CounterRow[] {
        const wanted = kindSet(kinds);
        const part = text?.toLowerCase();
        return this.journal.counters.rows.filter(
            ({ kind, cause, device, span }) =>
                (wanted === undefined || wanted.has(kind)) &&
                (causes === undefined || causes.includes(causeKey(kind, cause, span))) &&
                (part === undefined ||
                    `${eventLabel(kind)} ${causeText(kind, cause, device)} ${device ?? ''}`
                        .toLowerCase()
                        .includes(part)),
        );
    }

    private rowIndices(filter: ExitFilter): ReadonlySet<number> {
        return new Set(this.rows(filter).map(({ index }) => index));
    }

    private hasText(record: EventRecord, { text, causes }: ExitFilter): boolean {
        return (
            causes === undefined && text !== undefined && eventText(record).toLowerCase().includes(text.toLowerCase())
        );
    }
}

const COMPARE: Readonly<Record<ExitOrder, (a: ExitRow, b: ExitRow) => number>> = {
    count: (a, b) => b.count - a.count,
    time: (a, b) => b.hostTime - a.hostTime || b.count - a.count,
    recent: (a, b) => b.last.sequence - a.last.sequence,
    cause: (a, b) => a.kind.localeCompare(b.kind) || a.cause.localeCompare(b.cause, 'en', { numeric: true }),
};

function kindSet(names: readonly MachineEventName[] | undefined): ReadonlySet<MachineEventKind> | undefined {
    return names && new Set(names.map(name => MACHINE_EVENT_BY_NAME.get(name)!));
}
