/** Requests of the "VM exits" view: see `messages/vm-exits.ts`. */
import { eventLabel } from '../debug/events/event-words';
import { type ExitFilter, type ExitOrder, LARGEST_CAPACITY, SMALLEST_CAPACITY } from '../debug/events/event-log';
import type { DebugTarget } from '../debug/target';
import type { TargetEvents } from '../debug/events/target-events';
import { MACHINE_EVENT_BY_NAME, MACHINE_EVENTS } from '../machine/observation/kinds';
import type {
    BreakOnExitResponse,
    VmExitKind,
    VmExitKindInfo,
    VmExitRecords,
    VmExitsRecordResponse,
    VmExitsResponse,
    VmExitSummary,
    VmExitsWatchResponse,
    VmExitTimeline,
} from '../messages/vm-exits';
import type { RequestArguments } from './arguments';
import type { EventStopStore } from './event-stop-store';
import { filterOfKind } from './exception-filters';
import { DEFAULT_LIMIT, ExitRecorder } from './exit-recorder';
import type { RequestHandlers } from './protocol-session';
import { RequestError } from './request-error';
import type { SessionContext } from './session-context';
import { presentRecord, presentRow } from './vm-exit-presentation';

const DEFAULT_ROWS = 500;
const MOST_ROWS = 10_000;
const DEFAULT_RECORDS = 200;
const MOST_RECORDS = 5000;
const DEFAULT_BUCKETS = 200;
const MOST_BUCKETS = 2000;
const DEFAULT_CAPACITY = 65_536;
const LARGEST_LIMIT = 2 ** 40;

const UNAVAILABLE = 'this target tells of no exits: the guest runs elsewhere';

export class VmExitRequests {
    readonly handlers: RequestHandlers = {
        'hyperscope/vmExits': args => this.vmExits(args),
        'hyperscope/vmExitsWatch': args => this.watch(args),
        'hyperscope/vmExitsRecord': args => this.record(args),
        'hyperscope/breakOnExit': args => this.breakOnExit(args),
    };

    private recorder: ExitRecorder | undefined;
    /** Exits to keep: the view may outlive the guest. */
    private capacity = 0;

    constructor(
        private readonly session: SessionContext,
        private readonly stops: EventStopStore,
    ) {}

    /** The guest is no longer ours. */
    guestGone(target: DebugTarget | undefined): void {
        target?.events?.listen(undefined);
        void target?.events?.watch(0);
        this.recorder?.close();
    }

    /** Another guest: whoever watched goes on watching. */
    async guestCame(target: DebugTarget): Promise<void> {
        await target.events?.watch(this.capacity);
    }

    private async vmExits(args: RequestArguments): Promise<VmExitsResponse> {
        const { events } = this.session.target;
        const recording = this.recorder?.state;
        const { breaks } = this.stops;
        if (events === undefined) {
            return { total: 0, now: 0, instructions: 0, watching: false, recording, breaks, unavailable: UNAVAILABLE };
        }
        const wantsSummary = args.has('summary');
        const query = wantsSummary ? args.object('summary') : undefined;
        const summary = await this.summary(events, query);
        return {
            total: summary.total,
            now: summary.now,
            instructions: summary.instructions,
            watching: summary.watching,
            recording,
            breaks,
            kinds: args.flag('kinds') ? (await events.kinds()).map(kindInfo) : undefined,
            summary: wantsSummary ? { rows: summary.rows, totalRows: summary.totalRows } : undefined,
            records: args.has('records') ? await this.records(events, args.object('records')) : undefined,
            timeline: args.has('timeline') ? await timeline(events, args.object('timeline')) : undefined,
        };
    }

    private async summary(
        events: TargetEvents,
        query: RequestArguments | undefined,
    ): Promise<
        VmExitSummary & {
            readonly total: number;
            readonly now: number;
            readonly instructions: number;
            readonly watching: boolean;
        }
    > {
        const group = query === undefined ? 'kind' : choice(query, 'group', ['cause', 'kind']);
        const order: ExitOrder =
            query === undefined ? 'count' : choice(query, 'sort', ['count', 'time', 'recent', 'cause']);
        const limit = query?.optionalInteger('limit', DEFAULT_ROWS, 0, MOST_ROWS) ?? 0;
        const { rows, ...rest } = await events.summary(group, readFilter(query), order, limit);
        return {
            ...rest,
            rows: rows.map(row => presentRow(row, this.stops.breaksAt(row.kind, row.cause))),
        };
    }

    private async records(events: TargetEvents, query: RequestArguments): Promise<VmExitRecords> {
        const start = query.optionalInteger('start', 0, 0);
        const count = query.optionalInteger('count', DEFAULT_RECORDS, 0, MOST_RECORDS);
        const order = choice(query, 'order', ['newest', 'oldest']);
        const found = await events.records(readFilter(query), start, count, order);
        return { ...found, records: found.records.map(presentRecord) };
    }

    private async watch(args: RequestArguments): Promise<VmExitsWatchResponse> {
        const events = this.events();
        const watching = args.flag('watch');
        const capacity = args.optionalInteger('capacity', DEFAULT_CAPACITY, SMALLEST_CAPACITY, LARGEST_CAPACITY);
        if (args.flag('clear')) {
            await events.clear();
        }
        this.capacity = watching ? capacity : 0;
        await events.watch(this.capacity);
        return { watching, capacity: this.capacity };
    }

    private async record(args: RequestArguments): Promise<VmExitsRecordResponse> {
        const events = this.events();
        const action = choice(args, 'action', ['start', 'stop']);
        if (action === 'stop') {
            const { recorder } = this;
            if (recorder === undefined) {
                throw new RequestError('nothing is being recorded');
            }
            events.listen(undefined);
            recorder.close();
            return recorder.state;
        }
        const path = args.string('path');
        if (path === '') {
            throw new RequestError('path has to name a file');
        }
        const recorder = new ExitRecorder({
            name: 'path',
            path,
            format: choice(args, 'format', ['text', 'json']),
            limit: args.optionalInteger('limit', DEFAULT_LIMIT, 0x1000, LARGEST_LIMIT),
            kinds: args.has('kinds') ? kinds(args, 'kinds') : undefined,
        });
        this.begin(events, recorder);
        return recorder.state;
    }

    /** Writes the exits of a new guest to a file, from its first instruction on. */
    recordFromStart(target: DebugTarget, path: string): void {
        if (target.events === undefined) {
            throw new RequestError(UNAVAILABLE);
        }
        this.begin(target.events, ExitRecorder.forPath('recordExits', path));
    }

    private begin(events: TargetEvents, recorder: ExitRecorder): void {
        this.recorder?.close();
        this.recorder = recorder;
        events.listen(record => recorder.add(record));
    }

    private async breakOnExit(args: RequestArguments): Promise<BreakOnExitResponse> {
        const kind = kindNamed(args.string('kind'), 'kind');
        const cause = args.optionalString('cause');
        const condition = args.optionalString('condition');
        const added = { kind, cause: cause === '' ? undefined : cause, condition };
        const problem = await this.stops.setBreak(added, args.flag('enabled'), this.session.guest?.target);
        if (problem !== undefined) {
            throw new RequestError(problem);
        }
        return { breaks: this.stops.breaks };
    }

    private events(): TargetEvents {
        const { events } = this.session.target;
        if (events === undefined) {
            throw new RequestError(UNAVAILABLE);
        }
        return events;
    }
}

function kindInfo(kind: VmExitKind): VmExitKindInfo {
    const filter = filterOfKind(kind);
    const label = eventLabel(MACHINE_EVENT_BY_NAME.get(kind)!);
    return { kind, label, filter: filter?.id, condition: filter?.condition };
}

async function timeline(events: TargetEvents, query: RequestArguments): Promise<VmExitTimeline> {
    const time = (name: string): number | undefined => (query.has(name) ? query.integer(name, 0) : undefined);
    const buckets = query.optionalInteger('buckets', DEFAULT_BUCKETS, 1, MOST_BUCKETS);
    return events.timeline(time('from'), time('to'), buckets, query.has('kinds') ? kinds(query, 'kinds') : undefined);
}

function readFilter(query: RequestArguments | undefined): ExitFilter {
    if (query === undefined || !query.has('filter')) {
        return {};
    }
    const filter = query.object('filter');
    const number = (name: string): number | undefined => (filter.has(name) ? filter.integer(name, 0) : undefined);
    return {
        kinds: filter.has('kinds') ? kinds(filter, 'kinds') : undefined,
        causes: filter.has('causes') ? filter.strings('causes') : undefined,
        vcpu: number('vcpu'),
        text: filter.optionalString('text'),
        from: number('from'),
        to: number('to'),
    };
}

function kinds(args: RequestArguments, name: string): VmExitKind[] {
    return args.strings(name).map(kind => kindNamed(kind, name));
}

function kindNamed(name: string, argument: string): VmExitKind {
    const kind = MACHINE_EVENTS.find(known => known === name);
    if (kind === undefined) {
        throw new RequestError(`${argument}: there is no kind of exit '${name}' (${MACHINE_EVENTS.join(', ')})`);
    }
    return kind;
}

/** One of some words; the first one if none is given. */
function choice<const Word extends string>(args: RequestArguments, name: string, words: readonly Word[]): Word {
    const given = args.optionalString(name) ?? words[0];
    const found = words.find(word => word === given);
    if (found === undefined) {
        throw new RequestError(`${name} has to be one of ${words.join(', ')}, not '${given}'`);
    }
    return found;
}
