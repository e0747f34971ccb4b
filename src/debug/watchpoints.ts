/** Data breakpoints: watched memory with conditions, hit counts and log messages, on top of an engine's watchpoints. */
import type { AccessObserver, WatchedAccess, Watchpoint } from '../machine/watchpoints';
import { type Address, formatAddress, halves } from './address';
import { StopDecision, type StopConditions } from './breakpoint-conditions';
import type { EvaluationContext } from './expression/context';
import { ExpressionError } from './expression/error';
import { NamedValuesContext } from './expression/named-values';
import type { AddressSpace } from './expression/value';
import { littleEndian } from './memory-access';

export type WatchKind = 'read' | 'write' | 'readWrite';

/** What the front end asks for. */
export interface WatchpointRequest extends StopConditions {
    readonly id: number;
    /** A linear range is watched in every address space (`cr3 == …` as the condition chooses one), a physical one through any mapping. */
    readonly space: AddressSpace;
    readonly address: bigint;
    /** Bytes. */
    readonly length: number;
    readonly kind: WatchKind;
}

/** An access that the guest was stopped after. */
export interface WatchHit {
    readonly id: number;
    readonly reads: boolean;
    readonly writes: boolean;
    /** First byte of the (first) access that met what is watched; a device's DMA has a physical address. */
    readonly address: Address;
    /** Bytes of that access. */
    readonly size: number;
    /** What `old` and `now` are about: all that is watched, or of more than 8 bytes those that were accessed. */
    readonly watched: Address & { readonly length: number };
    /** Unsigned little-endian numbers; absent where there is no plain memory. `old`: before the instruction. */
    readonly old?: bigint;
    readonly now?: bigint;
    /** Linear address of the instruction that made the access; absent for DMA, and where the processor does not tell. */
    readonly instruction?: bigint;
}

export interface WatchHost {
    context(vcpu: number): EvaluationContext;
    /** Linear address of the instruction that is running. */
    programCounter(vcpu: number): bigint;
    log(text: string): void;
    /** The engine has to be told. */
    changed(watchpoints: readonly Watchpoint[]): void;
}

interface Watch {
    readonly request: WatchpointRequest;
    readonly decision: StopDecision;
}

/** An access of the instruction in progress. */
interface Pending extends Omit<WatchHit, 'now' | 'reads' | 'writes'> {
    reads: boolean;
    writes: boolean;
    readonly watch: Watch;
}

/** Values are shown of so many bytes at most. */
const LONGEST_VALUE = 8;
const LONGEST_RANGE = 2 ** 48;
const ADDRESS_BITS: Readonly<Record<AddressSpace, bigint>> = { linear: 64n, physical: 52n };

export class WatchpointSet implements AccessObserver {
    private readonly watches = new Map<number, Watch>();
    private pending: Pending[] = [];
    private hits: WatchHit[] = [];

    constructor(private readonly host: WatchHost) {}

    /** Replaces the watchpoints; what is wrong with one is told, by id, and that one left out. */
    replace(requests: readonly WatchpointRequest[]): Map<number, string> {
        const problems = new Map<number, string>();
        const counters = new Map([...this.watches].map(([id, { decision }]) => [id, decision.counter]));
        this.watches.clear();
        for (const request of requests) {
            const problem = watchProblem(request);
            if (problem !== undefined) {
                problems.set(request.id, problem);
                continue;
            }
            try {
                const decision = new StopDecision(request, counters.get(request.id));
                this.watches.set(request.id, { request, decision });
            } catch (error) {
                if (!(error instanceof ExpressionError)) throw error;
                problems.set(request.id, error.message);
            }
        }
        this.host.changed([...this.watches.values()].map(({ request }) => forEngine(request)));
        return problems;
    }

    /** The guest begins anew. */
    forgetCounts(): void {
        for (const { decision } of this.watches.values()) decision.counter.count = 0;
        this.pending = [];
    }

    /** The accesses that have stopped the guest since this was last asked. */
    takeHits(): readonly WatchHit[] {
        const { hits } = this;
        this.hits = [];
        return hits;
    }

    // ---- what the engine tells -----------------------------------------------------------------------------------

    accessed(vcpu: number, { id }: Watchpoint, access: WatchedAccess): void {
        const known = this.pending.find(pending => pending.id === id);
        if (known !== undefined) {
            known.reads ||= !access.write;
            known.writes ||= access.write;
            return;
        }
        const watch = this.watches.get(id);
        if (watch === undefined) {
            return;
        }
        const { linear, physical, size, write, isOver } = access;
        const address: Address =
            linear === undefined
                ? { space: 'physical', offset: BigInt(physical) }
                : { space: 'linear', offset: (BigInt(linear.hi) << 32n) | BigInt(linear.lo) };
        const watched = isOver === true ? { ...address, length: size } : watchedPart(watch.request, access);
        this.pending.push({
            id,
            watch,
            reads: !write,
            writes: write,
            address,
            size,
            watched,
            old: isOver === true ? numberIn(access.before) : this.value(vcpu, watched),
            instruction: linear === undefined || isOver === true ? undefined : this.host.programCounter(vcpu),
        });
    }

    completed(vcpu: number): boolean {
        const pending = this.pending.sort((a, b) => a.id - b.id);
        this.pending = [];
        for (const { watch, ...access } of pending) {
            const hit: WatchHit = { ...access, now: this.value(vcpu, access.watched) };
            const context = withValues(this.host.context(vcpu), hit);
            if (watch.decision.stops(context, text => this.host.log(text))) {
                this.hits.push(hit);
            }
        }
        return this.hits.length > 0;
    }

    abandoned(): boolean {
        this.pending = this.pending.filter(({ instruction }) => instruction === undefined);
        return this.pending.length > 0;
    }

    private value(vcpu: number, { space, offset, length }: WatchHit['watched']): bigint | undefined {
        return numberIn(this.host.context(vcpu).readMemory(space, offset, length));
    }
}

function numberIn(bytes: Uint8Array | undefined): bigint | undefined {
    return bytes && littleEndian(bytes);
}

/** `write of 4 bytes at 0x1000: 0x1 → 0x2, by the instruction at 0x2000`. */
export function describeHit({ reads, writes, address, size, watched, old, now, instruction }: WatchHit): string {
    const kind = reads && writes ? 'read and write' : writes ? 'write' : 'read';
    const bytes = size === 1 ? '1 byte' : `${size} bytes`;
    const hex = (value: bigint): string => `0x${value.toString(16)}`;
    const same = watched.space === address.space && watched.offset === address.offset;
    const what = same ? '' : `${formatAddress(watched)} = `;
    const values =
        old === undefined || now === undefined ? '' : `: ${what}${writes ? `${hex(old)} → ${hex(now)}` : hex(now)}`;
    const before = address.space === 'physical' ? 'by a device' : 'by the instruction before this one';
    const by = instruction === undefined ? before : `by the instruction at ${hex(instruction)}`;
    return `${kind} of ${bytes} at ${formatAddress(address)}${values}, ${by}`;
}

/** Why a range cannot be watched by anybody. */
export function watchProblem({ space, address, length }: WatchpointRequest): string | undefined {
    if (!Number.isSafeInteger(length) || length < 1 || length > LONGEST_RANGE) {
        return `${length} bytes cannot be watched: 1 to 2^48 can`;
    }
    const end = 1n << ADDRESS_BITS[space];
    return address < 0n || address + BigInt(length) > end
        ? `the range goes beyond the end of the ${space} address space`
        : undefined;
}

function forEngine({ id, space, address, length, kind }: WatchpointRequest): Watchpoint {
    const [lo, hi] = halves(address);
    return { id, space, lo, hi, length, reads: kind !== 'write', writes: kind !== 'read' };
}

/** What is watched if it is short, else as much as can be shown from the first byte that the access touches. */
function watchedPart({ space, address, length }: WatchpointRequest, access: WatchedAccess): WatchHit['watched'] {
    if (length <= LONGEST_VALUE) {
        return { space, offset: address, length };
    }
    const { linear, physical, size } = access;
    const start =
        space === 'linear' && linear !== undefined ? (BigInt(linear.hi) << 32n) | BigInt(linear.lo) : BigInt(physical);
    const end = address + BigInt(length);
    const first = start < address ? address : start;
    // An access over a page's end may touch a physical range with its second part alone.
    if (first >= end) {
        return { space, offset: address, length: LONGEST_VALUE };
    }
    const last = start + BigInt(size) < end ? start + BigInt(size) : end;
    const touched = Number(last - first);
    return { space, offset: first, length: Math.min(LONGEST_VALUE, Math.max(touched, 1)) };
}

/** Conditions and log messages may speak of the watched bytes as `old` and `now`. */
export function withValues(context: EvaluationContext, { watched, old, now }: WatchHit): EvaluationContext {
    const width = watched.length <= 1 ? 8 : watched.length <= 2 ? 16 : watched.length <= 4 ? 32 : 64;
    return new NamedValuesContext(name => {
        const value = name === 'old' ? old : name === 'now' ? now : undefined;
        return value === undefined ? undefined : { value, width };
    }, context);
}
