/** The client's code breakpoints of all kinds, as one list for the target. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { HyperscopeError } from '../common/errors';
import { type Address, formatAddress } from '../debug/address';
import type { BreakpointRequest } from '../debug/breakpoints';
import { type AddressSpace, pattern } from '../debug/expression/value';
import type { DebugTarget } from '../debug/target';
import type { RequestArguments } from './arguments';
import { readMode } from './breakpoint-modes';

/** Where a breakpoint comes from: each request replaces those of its own kind. */
export type BreakpointKind = 'instruction' | 'function' | 'source' | 'linux';

/** Where a breakpoint is, or why it is nowhere yet. */
export interface BreakpointPlace {
    readonly addresses?: readonly bigint[];
    /** Of the addresses; linear unless told otherwise. */
    readonly space?: AddressSpace;
    readonly problem?: string;
    /** It will not help to wait: the breakpoint can never be. */
    readonly failed?: boolean;
    /** As the client counts them. */
    readonly line?: number;
    readonly column?: number;
}

export type Locate = (target: DebugTarget) => Promise<BreakpointPlace>;

interface Stored {
    readonly id: number;
    readonly kind: BreakpointKind;
    /** Requests replace all breakpoints of the same scope. */
    readonly scope: string;
    readonly source?: DebugProtocol.Source;
    /** What the client has asked for, as text. */
    readonly wanted: string;
    readonly locate: Locate;
    /** At the physical addresses behind its place. */
    readonly physical: boolean;
    readonly condition?: string;
    readonly hitCondition?: string;
    readonly logMessage?: string;
    place: BreakpointPlace;
    /** What was wrong with it when the target was told. */
    refusal?: string;
    /** What the client was told last. */
    told?: DebugProtocol.Breakpoint;
    /** There was memory at its address, or it was hit: once bound, it stays so for this guest. */
    bound: boolean;
}

export const NO_GUEST = 'there is no guest yet';
const FUNCTION_NAME = /^[A-Za-z_]\w*(?:::[A-Za-z_]\w*)*$/;
/** vCPU whose memory and registers tell where a named breakpoint is. */
const BOOT_PROCESSOR = 0;

export class BreakpointStore {
    private readonly byScope = new Map<string, Stored[]>();
    private lastId = 0;
    /** Counts the changes of what is wanted. */
    private changes = 0;

    /** @param changed what the client was told of a breakpoint is no longer true */
    constructor(private readonly changed: (breakpoint: DebugProtocol.Breakpoint) => void) {}

    /** Replaces the breakpoints of a scope; {@link apply} tells the target. One that stays keeps its id, and so its count. */
    replace(
        kind: BreakpointKind,
        scope: string,
        requests: readonly { readonly args: RequestArguments; readonly locate: Locate }[],
        source?: DebugProtocol.Source,
    ): void {
        const before = [...(this.byScope.get(scope) ?? [])];
        const now = requests.map(({ args, locate }): Stored => {
            const wanted = JSON.stringify(args.raw);
            const found = before.findIndex(stored => stored.wanted === wanted);
            const same = found < 0 ? undefined : before.splice(found, 1)[0];
            return {
                id: same?.id ?? this.nextId(),
                kind,
                scope,
                source,
                wanted,
                locate,
                physical: readMode(args) === 'physical',
                condition: args.optionalString('condition'),
                hitCondition: args.optionalString('hitCondition'),
                logMessage: args.optionalString('logMessage'),
                place: { problem: NO_GUEST },
                bound: same?.bound ?? false,
            };
        });
        this.changes++;
        this.byScope.set(scope, now);
    }

    /** An id that no breakpoint has. */
    nextId(): number {
        return ++this.lastId;
    }

    /** Kind of a breakpoint by its id. */
    kindOf(id: number): BreakpointKind | undefined {
        return this.all.find(stored => stored.id === id)?.kind;
    }

    /** Sets all breakpoints in the target; what that changes for others than the scope in question is reported. */
    async apply(target: DebugTarget | undefined, scope?: string): Promise<DebugProtocol.Breakpoint[]> {
        let { all } = this;
        if (target !== undefined) {
            let requests: BreakpointRequest[];
            let changes: number;
            // Where programs move, or come and go, this runs beside the client's requests: the last word counts.
            do {
                ({ all, changes } = this);
                requests = await locateAll(all, target);
            } while (changes !== this.changes);
            // Of several places of one breakpoint, the first decides.
            const results = (await target.setBreakpoints(requests)).reverse();
            const refusals = new Map(results.map(({ id, problem }) => [id, problem]));
            for (const stored of all) {
                stored.refusal = refusals.get(stored.id);
            }
        }
        const answers: DebugProtocol.Breakpoint[] = [];
        for (const stored of all) {
            const now = await this.describe(stored, target);
            if (stored.scope === scope) {
                answers.push(now);
                stored.told = now;
            } else {
                this.tell(stored, now);
            }
        }
        return answers;
    }

    /** Whether some breakpoint has a place but no memory there yet. */
    get anyUnbound(): boolean {
        return this.all.some(({ bound, place }) => !bound && place.addresses !== undefined);
    }

    /** Looks whether breakpoints have become possible, and reports those. */
    async bind(target: DebugTarget): Promise<void> {
        for (const stored of this.all) {
            if (!stored.bound && stored.place.addresses !== undefined) {
                this.tell(stored, await this.describe(stored, target));
            }
        }
    }

    /** The guest got to these: whatever was thought of them, they are bound. */
    async hit(target: DebugTarget, ids: readonly number[]): Promise<void> {
        for (const stored of this.all) {
            if (!stored.bound && ids.includes(stored.id)) {
                stored.bound = true;
                this.tell(stored, await this.describe(stored, target));
            }
        }
    }

    /** Another guest: nothing is bound in it. */
    unbind(): void {
        for (const stored of this.all) {
            stored.bound = false;
        }
    }

    private get all(): Stored[] {
        return [...this.byScope.values()].flat();
    }

    private tell(stored: Stored, now: DebugProtocol.Breakpoint): void {
        if (stored.told !== undefined && JSON.stringify(stored.told) !== JSON.stringify(now)) {
            this.changed(now);
        }
        stored.told = now;
    }

    private async describe(stored: Stored, target: DebugTarget | undefined): Promise<DebugProtocol.Breakpoint> {
        const { id, place, source, refusal } = stored;
        const [address] = place.addresses ?? [];
        const common = { id, line: place.line, column: place.column, source };
        if (target === undefined || address === undefined) {
            const problem = target === undefined ? NO_GUEST : place.problem;
            return {
                ...common,
                verified: false,
                message: problem,
                reason: place.failed === true ? 'failed' : 'pending',
            };
        }
        const { space = 'linear' } = place;
        const instructionReference = formatAddress({ space, offset: address });
        if (refusal !== undefined) {
            return { ...common, verified: false, message: refusal, reason: 'failed', instructionReference };
        }
        const message = stored.bound ? undefined : await whyPending(target, { space, offset: address });
        if (message !== undefined) {
            return { ...common, verified: false, message, reason: 'pending', instructionReference };
        }
        stored.bound = true;
        return { ...common, verified: true, instructionReference };
    }
}

/** Where breakpoints are now, as a target takes them. */
async function locateAll(all: readonly Stored[], target: DebugTarget): Promise<BreakpointRequest[]> {
    const requests: BreakpointRequest[] = [];
    for (const stored of all) {
        stored.place = await stored.locate(target);
        const { id, condition, hitCondition, logMessage } = stored;
        for (const offset of new Set(stored.place.addresses ?? [])) {
            const linear = { space: stored.place.space ?? 'linear', offset };
            const { space, offset: address } = stored.physical ? await physicalPlace(target, linear) : linear;
            requests.push({ id, space, address, condition, hitCondition, logMessage });
            const loaded = space === 'linear' && target.loadedAt?.(offset);
            if (typeof loaded === 'bigint') {
                // Where the code runs before the guest has mapped it; afterwards the other one tells.
                const elsewhere = `pc != 0x${offset.toString(16)}`;
                const both = isBlank(condition) ? elsewhere : `(${condition}) && ${elsewhere}`;
                requests.push({
                    ...{ id, hitCondition, logMessage, condition: both },
                    ...{ space: 'physical', address: loaded, isCompanion: true },
                });
            }
        }
    }
    return requests;
}

function isBlank(text: string | undefined): text is undefined {
    return text === undefined || text.trim() === '';
}

/** Why no vCPU could get to an address now; undefined if one can. */
export async function whyPending(target: DebugTarget, address: Address): Promise<string | undefined> {
    for (let vcpu = 0; vcpu < target.vcpus; vcpu++) {
        const byte = await target.readMemory(vcpu, address, 1);
        if (byte.length > 0) {
            return undefined;
        }
    }
    const { problem } = address.space === 'physical' ? {} : await target.translate(BOOT_PROCESSOR, address.offset);
    return `set, and waits for the guest to map its address: ${problem ?? 'there is no memory'}`;
}

/** The physical address behind a linear one; while there is none, the linear one has to do. */
async function physicalPlace(target: DebugTarget, address: Address): Promise<Address> {
    if (address.space === 'physical') {
        return address;
    }
    const physical = (await target.translate(BOOT_PROCESSOR, address.offset)).walk?.mapping?.physical;
    return physical === undefined ? address : { space: 'physical', offset: BigInt(physical) };
}

/**
 * A function by its name, with all others of that name and the copies of them that were inlined, or any expression that
 * gives an address: `start_kernel+0x10`, `0x100000`.
 */
export async function locateFunction(target: DebugTarget, name: string): Promise<BreakpointPlace> {
    const copies = FUNCTION_NAME.test(name) ? ((await target.sourceLines?.functionsNamed(name)) ?? []) : [];
    if (name.includes('::') && !name.includes('`')) {
        // No expression has such a thing, and what the parser says of it helps nobody.
        return copies.length > 0 ? { addresses: copies } : { problem: `there is no function '${name}'` };
    }
    try {
        const { value } = await target.evaluate(BOOT_PROCESSOR, name, false);
        return { addresses: [...new Set([pattern(value), ...copies])] };
    } catch (error) {
        if (error instanceof HyperscopeError) {
            if (copies.length > 0) return { addresses: copies };
            return { problem: error.message.split('\n')[0] };
        }
        throw error;
    }
}
