/** Breakpoints and watchpoints as a stub has them, and what the debugger decides about them itself. */
import { type StopConditions, StopDecision } from '../../debug/breakpoint-conditions';
import type { BreakpointRequest, TemporaryBreakpoint } from '../../debug/breakpoints';
import { ExpressionError } from '../../debug/expression/error';
import type { EvaluationContext } from '../../debug/expression/context';
import { withValues, type WatchHit, type WatchpointRequest, watchProblem } from '../../debug/watchpoints';
import { PointKind } from '../point-kind';
import type { Stub } from './stub';

/** What the stub is to be told. */
interface WirePoint {
    readonly kind: PointKind;
    readonly address: bigint;
    /** Bytes; 1 for a breakpoint, as INT3 has. */
    readonly length: number;
    /** Bytecode, of which one has to hold for the stub to stop; none: it always stops. */
    readonly conditions?: readonly Uint8Array[];
}

const keyOf = ({ kind, address, length }: WirePoint): string => `${kind}:${address}:${length}`;
const isSame = (a: WirePoint, b: WirePoint): boolean => conditionsOf(a) === conditionsOf(b);
const conditionsOf = ({ conditions = [] }: WirePoint): string => conditions.map(code => code.join()).join(';');

/** The points that a stub has, and how to get from there to those that are wanted. */
export class WirePoints {
    private readonly inserted = new Map<string, WirePoint>();
    /** Why the stub does not take a point. */
    private readonly problems = new Map<string, string>();
    /** Software breakpoints until the stub knows none. */
    private breakpointKind = PointKind.Software;

    constructor(private readonly stub: Stub) {}

    problem(point: WirePoint): string | undefined {
        return this.problems.get(keyOf(point));
    }

    /**
     * Sets what is wanted and not there, takes away the rest. What the stub has refused is tried again each time: memory
     * may have come to be where the breakpoint is.
     * @param except a place where no breakpoint is to stand, for now
     */
    async apply(wanted: readonly WirePoint[], except?: bigint): Promise<void> {
        const goals = new Map(wanted.map(point => [keyOf(point), point]));
        this.problems.clear();
        for (const [key, point] of [...this.inserted]) {
            const isBreakpoint = point.kind <= PointKind.Hardware;
            const goal = goals.get(key);
            if (goal === undefined || !isSame(goal, point) || (isBreakpoint && point.address === except)) {
                this.inserted.delete(key);
                await this.stub.clearPoint(this.wireKind(point), point.address, point.length);
            }
        }
        for (const [key, point] of goals) {
            const isBreakpoint = point.kind <= PointKind.Hardware;
            if (this.inserted.has(key) || (isBreakpoint && point.address === except)) continue;
            const problem = await this.insert(point);
            if (problem === undefined) this.inserted.set(key, point);
            else this.problems.set(key, problem);
        }
    }

    private wireKind({ kind }: WirePoint): PointKind {
        return kind === PointKind.Software ? this.breakpointKind : kind;
    }

    private async insert(point: WirePoint): Promise<string | undefined> {
        const { address, length, conditions } = point;
        const problem = await this.stub.setPoint(this.wireKind(point), address, length, conditions);
        if (problem !== undefined && conditions !== undefined) {
            return this.insert({ ...point, conditions: undefined });
        }
        const isUnknown = problem?.includes('has no such') === true;
        if (point.kind === PointKind.Software && isUnknown && this.breakpointKind === PointKind.Software) {
            this.breakpointKind = PointKind.Hardware;
            return this.insert(point);
        }
        return problem;
    }
}

interface Breakpoint {
    readonly request: BreakpointRequest;
    readonly decision: StopDecision;
    /** What the stub can decide of it, once that is known. */
    bytecode?: Uint8Array;
}

export interface PointHost {
    context(vcpu: number): EvaluationContext;
    log(text: string): void;
    /** A condition at an address as bytecode that the stub evaluates; undefined if it has to be asked about each time. */
    bytecode(decision: StopDecision, address: bigint): Promise<Uint8Array | undefined>;
    /** Looks until all memory is at hand. */
    gather<T>(look: () => T): Promise<T>;
}

/** The counters of breakpoints go on as long as there are breakpoints of their ids. */
function decide<R extends StopConditions & { readonly id: number }>(
    requests: readonly R[],
    before: readonly { readonly request: R; readonly decision: StopDecision }[],
    problems: Map<number, string>,
): { request: R; decision: StopDecision }[] {
    const counters = new Map(before.map(({ request, decision }) => [request.id, decision.counter]));
    return requests.flatMap(request => {
        try {
            const decision = new StopDecision(request, counters.get(request.id));
            counters.set(request.id, decision.counter);
            return [{ request, decision }];
        } catch (error) {
            if (!(error instanceof ExpressionError)) throw error;
            problems.set(request.id, error.message);
            return [];
        }
    });
}

/** Breakpoints at linear addresses. The stub decides what it can about conditions, the debugger the rest. */
export class RemoteBreakpoints {
    private breakpoints: Breakpoint[] = [];
    temporary: TemporaryBreakpoint | undefined;

    constructor(private readonly host: PointHost) {}

    /** Replaces the breakpoints; what is wrong with one is told, by id, and that one left out. */
    replace(requests: readonly BreakpointRequest[]): Map<number, string> {
        const problems = new Map<number, string>();
        for (const { id, space } of requests) {
            if (space === 'physical') problems.set(id, 'a gdb stub has breakpoints at linear addresses only');
        }
        const linear = requests.filter(({ space }) => space !== 'physical');
        this.breakpoints = decide(linear, this.breakpoints, problems);
        return problems;
    }

    move(isMoved: (address: bigint) => boolean, by: bigint): void {
        this.breakpoints = this.breakpoints.map(({ request, decision }) => {
            const address = isMoved(request.address) ? BigInt.asUintN(64, request.address + by) : request.address;
            return { request: { ...request, address }, decision };
        });
    }

    /** Finds out what the stub can decide. To be called before {@link wanted}. */
    async encode(): Promise<void> {
        for (const breakpoint of this.breakpoints) {
            const { request, decision } = breakpoint;
            if (decision.isConditional) breakpoint.bytecode ??= await this.host.bytecode(decision, request.address);
        }
    }

    wanted(): WirePoint[] {
        /** Null: somebody stops there whatever holds. */
        const places = new Map<bigint, Uint8Array[] | null>();
        for (const { request, bytecode } of this.breakpoints) {
            const { address } = request;
            const others = places.get(address);
            places.set(address, bytecode === undefined || others === null ? null : [...(others ?? []), bytecode]);
        }
        if (this.temporary !== undefined) places.set(this.temporary.address, null);
        return [...places].map(([address, conditions]) => ({
            kind: PointKind.Software,
            address,
            length: 1,
            conditions: conditions ?? undefined,
        }));
    }

    get isEmpty(): boolean {
        return this.temporary === undefined && this.breakpoints.length === 0;
    }

    isAt(address: bigint): boolean {
        return (
            this.temporary?.address === address || this.breakpoints.some(({ request }) => request.address === address)
        );
    }

    /** Decides about a vCPU that stands at an address: the ids of those that stop it, and whether the temporary one does. */
    async hits(vcpu: number, address: bigint): Promise<{ ids: number[]; temporary: boolean }> {
        const met = this.breakpoints.filter(({ request }) => request.address === address);
        const { host, temporary } = this;
        const context = host.context(vcpu);
        for (const { decision } of met) await host.gather(() => decision.look(context));
        const ids = met
            .filter(({ decision }) => decision.stops(context, text => host.log(text)))
            .map(({ request }) => request.id)
            .sort((a, b) => a - b);
        return { ids, temporary: temporary?.address === address && temporary.hits(vcpu) };
    }
}

interface Watch {
    readonly request: WatchpointRequest;
    readonly decision: StopDecision;
    /** The watched bytes when the guest last went on. */
    old?: bigint;
}

const KINDS = { write: PointKind.Write, read: PointKind.Read, readWrite: PointKind.Access } as const;
/** Values are shown of so many bytes at most. */
const LONGEST_VALUE = 8;

export class RemoteWatchpoints {
    private watches: Watch[] = [];

    constructor(private readonly host: PointHost) {}

    replace(requests: readonly WatchpointRequest[]): Map<number, string> {
        const problems = new Map<number, string>();
        for (const request of requests) {
            const problem =
                request.space === 'physical' ? 'a gdb stub watches linear addresses only' : watchProblem(request);
            if (problem !== undefined) problems.set(request.id, problem);
        }
        const sound = requests.filter(({ id }) => !problems.has(id));
        this.watches = decide(sound, this.watches, problems);
        return problems;
    }

    wanted(): WirePoint[] {
        const all = this.watches.map(({ request }) => this.wireOf(request));
        return [...new Map(all.map(point => [keyOf(point), point])).values()];
    }

    wireOf({ kind, address, length }: WatchpointRequest): WirePoint {
        return { kind: KINDS[kind], address, length };
    }

    /** Takes down what the watched bytes are before the guest goes on. */
    async remember(read: (address: bigint, length: number) => Promise<bigint | undefined>): Promise<void> {
        for (const watch of this.watches) {
            const { address, length } = watch.request;
            watch.old = length <= LONGEST_VALUE ? await read(address, length) : undefined;
        }
    }

    /** The watchpoints that stop the guest after an access to a linear address, as the stub tells of it. */
    async hits(
        vcpu: number,
        access: { readonly access: 'read' | 'write' | 'readWrite'; readonly address: bigint },
        read: (address: bigint, length: number) => Promise<bigint | undefined>,
    ): Promise<WatchHit[]> {
        const { host } = this;
        const met = this.watches.filter(
            ({ request: { address, length } }) =>
                access.address >= address && access.address < address + BigInt(length),
        );
        const hits: WatchHit[] = [];
        for (const { request, decision, old } of met) {
            const { id, address, length, space } = request;
            const isShort = length <= LONGEST_VALUE;
            const now = isShort ? await read(address, length) : undefined;
            const writes = access.access === 'write' || (access.access === 'readWrite' && old !== now);
            const hit: WatchHit = {
                id,
                reads: access.access === 'read' || (access.access === 'readWrite' && old === now),
                writes,
                address: { space: 'linear', offset: access.address },
                size: isShort ? length : 1,
                watched: { space, offset: address, length: isShort ? length : 1 },
                old: writes ? old : now,
                now,
            };
            const context = withValues(host.context(vcpu), hit);
            await host.gather(() => decision.look(context));
            if (decision.stops(context, text => host.log(text))) hits.push(hit);
        }
        return hits.sort((a, b) => a.id - b.id);
    }
}
