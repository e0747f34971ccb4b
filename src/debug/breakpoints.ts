/** Code breakpoints with conditions, hit counts and log messages, on top of what an engine offers. */
import type { CodeBreakpoint } from '../machine/breakpoint';
import { halves } from './address';
import { StopDecision, type StopConditions } from './breakpoint-conditions';
import type { EvaluationContext } from './expression/context';
import { ExpressionError } from './expression/error';
import type { AddressSpace } from './expression/value';

export { parseCondition } from './breakpoint-conditions';

/** What the front end asks for. */
export interface BreakpointRequest extends StopConditions {
    readonly id: number;
    /** Linear unless told otherwise; a physical address is met through any mapping of it. */
    readonly space?: AddressSpace;
    readonly address: bigint;
    /**
     * Met, at a linear address, even if the instruction there cannot be fetched: before the page fault, which comes after
     * breakpoints (SDM Vol. 3, 6.9). Otherwise it is met when the guest has mapped the page and comes back.
     */
    readonly beforeFault?: boolean;
    /** Stands beside another one of the same id: nothing need be done for it that slows the guest down. */
    readonly isCompanion?: boolean;
}

/** A breakpoint of the debugger's own, gone after its first hit. */
export interface TemporaryBreakpoint {
    /** Linear. */
    readonly address: bigint;
    readonly hits: (vcpu: number) => boolean;
}

/** The engine’s id of the temporary breakpoint: requests have positive ones. */
const TEMPORARY = 0;
/** The engine's id of {@link BreakpointSet.setOwn}'s breakpoints. */
const OWN = -100;

interface Breakpoint {
    readonly request: BreakpointRequest;
    readonly decision: StopDecision;
}

export interface BreakpointHost {
    context(vcpu: number): EvaluationContext;
    /** Whether a name is that of a variable at an address, and what it stands for depends on where the program is. */
    isVariable?(name: string, address: bigint): boolean;
    log(text: string): void;
    /** Whether the vCPU is where the user made it go on: what stopped it there must not stop it again. */
    isWhereResumed(vcpu: number): boolean;
    /** {@link BreakpointSet.forEngine} has changed. */
    changed(): void;
}

/** Which breakpoints the guest has stopped at. */
export interface BreakpointHits {
    readonly ids: readonly number[];
    readonly temporary: boolean;
}

/** The breakpoints of a target: the engine is given them, and asks back what it cannot decide itself. */
export class BreakpointSet {
    private breakpoints: Breakpoint[] = [];
    private temporary: TemporaryBreakpoint | undefined;
    private own: readonly TemporaryBreakpoint[] = [];
    private hitIds: number[] = [];

    constructor(private readonly host: BreakpointHost) {}

    /** Replaces the breakpoints; what is wrong with one is told, by id, and that one left out. */
    replace(requests: readonly BreakpointRequest[]): Map<number, string> {
        const problems = new Map<number, string>();
        // One breakpoint may be at several addresses: it has one count.
        const counters = new Map(this.breakpoints.map(({ request, decision }) => [request.id, decision.counter]));
        this.breakpoints = [];
        for (const request of requests) {
            try {
                // The count of a breakpoint that stays goes on.
                const decision = new StopDecision(request, counters.get(request.id));
                counters.set(request.id, decision.counter);
                this.breakpoints.push({ request, decision });
            } catch (error) {
                if (!(error instanceof ExpressionError)) throw error;
                problems.set(request.id, error.message);
            }
        }
        this.host.changed();
        return problems;
    }

    /** Code has moved: the linear breakpoints in it move along. */
    move(isMoved: (address: bigint) => boolean, by: bigint): void {
        this.breakpoints = this.breakpoints.map(breakpoint => {
            const { request } = breakpoint;
            const moves = (request.space ?? 'linear') === 'linear' && isMoved(request.address);
            return moves
                ? { ...breakpoint, request: { ...request, address: BigInt.asUintN(64, request.address + by) } }
                : breakpoint;
        });
        this.host.changed();
    }

    /** The guest begins anew. */
    forgetCounts(): void {
        for (const { decision } of this.breakpoints) decision.counter.count = 0;
    }

    setTemporary(breakpoint: TemporaryBreakpoint | undefined): void {
        if (this.temporary !== breakpoint) {
            this.temporary = breakpoint;
            this.host.changed();
        }
    }

    /** Places that the debugger itself has to know of; what stops there is no hit. */
    setOwn(places: readonly bigint[], hits: (vcpu: number, place: bigint) => boolean): void {
        if (places.length !== this.own.length || places.some((place, index) => this.own[index].address !== place)) {
            this.own = places.map(address => ({ address, hits: vcpu => hits(vcpu, address) }));
            this.host.changed();
        }
    }

    /** Whether the guest has stopped at none but {@link setOwn}'s. */
    get noneHit(): boolean {
        return this.hitIds.length === 0;
    }

    /** All of them as engines take them. */
    forEngine(): CodeBreakpoint[] {
        const context = this.host.context(0);
        // The first: what they find out may concern the others.
        const own = this.own.map(({ address, hits }): CodeBreakpoint => ({ ...place(OWN, address), condition: hits }));
        const asked = this.breakpoints.map(({ request, decision }): CodeBreakpoint => ({
            ...place(request.id, request.address),
            space: request.space ?? 'linear',
            isCompanion: request.isCompanion,
            condition: (vcpu, decided) =>
                this.asked(vcpu, request.id, () =>
                    decision.stops(this.host.context(vcpu), text => this.host.log(text), decided),
                ),
            program: decision.program(
                name => context.symbol(name),
                name => this.host.isVariable?.(name, request.address) === true,
            ),
        }));
        const all = [...own, ...asked];
        const { temporary } = this;
        if (temporary !== undefined) {
            const condition = (vcpu: number): boolean => this.asked(vcpu, TEMPORARY, () => temporary.hits(vcpu));
            all.push({ ...place(TEMPORARY, temporary.address), condition });
        }
        return all;
    }

    /** A vCPU is about to get a page fault for fetching from here; whether a breakpoint stops it before. */
    meetsFetchFault(vcpu: number, address: bigint): boolean {
        let stops = false;
        for (const { request, decision } of this.breakpoints) {
            if (request.beforeFault === true && request.address === address && request.space !== 'physical') {
                const { id } = request;
                const context = this.host.context(vcpu);
                stops = this.asked(vcpu, id, () => decision.stops(context, text => this.host.log(text))) || stops;
            }
        }
        return stops;
    }

    /** Those that have stopped the guest since this was last asked. */
    takeHits(): BreakpointHits {
        const ids = this.hitIds;
        this.hitIds = [];
        return { ids: ids.filter(id => id !== TEMPORARY).sort((a, b) => a - b), temporary: ids.includes(TEMPORARY) };
    }

    /** Whether the temporary breakpoint alone has stopped the guest; if so, that is forgotten. */
    takeTemporaryHit(): boolean {
        const alone = this.hitIds.length > 0 && this.hitIds.every(id => id === TEMPORARY);
        if (alone) {
            this.hitIds = [];
        }
        return alone;
    }

    private asked(vcpu: number, id: number, stops: () => boolean): boolean {
        if (this.host.isWhereResumed(vcpu) || !stops()) {
            return false;
        }
        this.hitIds.push(id);
        return true;
    }
}

function place(id: number, address: bigint): Pick<CodeBreakpoint, 'id' | 'lo' | 'hi'> {
    const [lo, hi] = halves(address);
    return { id, lo, hi };
}
