/** Requests about data breakpoints: what can be watched, and what is. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { HyperscopeError } from '../common/errors';
import { type Address, formatAddress, parseAddress } from '../debug/address';
import { pattern, sizeOf } from '../debug/expression/value';
import type { DebugTarget } from '../debug/target';
import type { WatchKind, WatchpointRequest } from '../debug/watchpoints';
import type { RequestArguments } from './arguments';
import { readMode } from './breakpoint-modes';
import { NO_GUEST, whyPending } from './breakpoint-store';
import type { RequestHandlers } from './protocol-session';
import { RequestError } from './request-error';
import type { FramePlace, SessionContext } from './session-context';
import type { VariableStore } from './variable-store';

/** What one request may set: each is compared with every access to a page that any of them touches. */
const MOST_DATA_BREAKPOINTS = 1_000;
/** Bytes watched behind an address that says nothing of its type. */
const DEFAULT_LENGTH = 4;

const ACCESS_TYPES: readonly WatchKind[] = ['read', 'write', 'readWrite'];
const DATA_ID = /^(.+):(\d{1,16})$/;

/** Memory that can be watched. */
interface Watched {
    readonly address: Address;
    readonly length: number;
    /** It will be at the same address in the next session. */
    readonly lasts: boolean;
}

export class DataBreakpointRequests {
    readonly handlers: RequestHandlers = {
        dataBreakpointInfo: args => this.info(args),
        setDataBreakpoints: args => this.set(args),
    };

    private requests: readonly WatchpointRequest[] = [];
    /** Those at addresses without memory, by id, with what the client was told. They hold as soon as there is some. */
    private readonly pending = new Map<number, string>();
    /** Those that the target has not taken, with what the client was told. */
    private readonly failed = new Map<number, string>();

    /** @param nextId gives out ids of breakpoints */
    constructor(
        private readonly session: SessionContext,
        private readonly variables: VariableStore,
        private readonly nextId: () => number,
    ) {}

    /** Sets everything in a target that has just come. */
    async apply(target: DebugTarget): Promise<void> {
        if (this.requests.length === 0) return;
        const told = new Map([...this.pending, ...this.failed]);
        for (const breakpoint of await this.setIn(target)) {
            if (breakpoint.message !== told.get(breakpoint.id!)) {
                this.session.emitEvent('breakpoint', { reason: 'changed', breakpoint });
            }
        }
    }

    /** The guest has stopped: tells of breakpoints whose memory has come to be. */
    async stopped(target: DebugTarget): Promise<void> {
        for (const request of this.requests) {
            if (this.pending.has(request.id)) await this.look(target, request);
        }
    }

    private async look(target: DebugTarget, { id, space, address }: WatchpointRequest): Promise<void> {
        const message = await whyPending(target, { space, offset: address });
        if (message === this.pending.get(id)) return;
        const breakpoint = this.described(id, message);
        this.session.emitEvent('breakpoint', { reason: 'changed', breakpoint });
    }

    private described(id: number, message: string | undefined): DebugProtocol.Breakpoint {
        if (message === undefined) {
            this.pending.delete(id);
            return { id, verified: true };
        }
        this.pending.set(id, message);
        return { id, verified: false, message, reason: 'pending' };
    }

    private async info(args: RequestArguments): Promise<DebugProtocol.DataBreakpointInfoResponse['body']> {
        const { target } = this.session;
        const name = args.string('name');
        const physical = readMode(args) === 'physical';
        if (target.setWatchpoints === undefined) {
            return { dataId: null, description: 'this guest cannot watch memory' };
        }
        const found = await this.find(target, name, args);
        if (typeof found === 'string') {
            return { dataId: null, description: found };
        }
        const watched = physical ? await behind(target, this.session.focus, found) : found;
        if (typeof watched === 'string') {
            return { dataId: null, description: watched };
        }
        const { address, length, lasts } = watched;
        const place = formatAddress(address);
        const what = parseAddress(name) === undefined ? ` (${name})` : '';
        return {
            dataId: `${place}:${length}`,
            description: `${length === 1 ? '1 byte' : `${length} bytes`} at ${place}${what}`,
            accessTypes: [...ACCESS_TYPES],
            canPersist: lasts,
        };
    }

    /** Where something is in memory, or why it cannot be watched. */
    private async find(target: DebugTarget, name: string, args: RequestArguments): Promise<Watched | string> {
        const bytes = args.has('bytes') ? args.integer('bytes', 1) : undefined;
        const plain = parseAddress(name.trim());
        if (plain !== undefined && !args.has('variablesReference')) {
            return { address: plain, length: bytes ?? DEFAULT_LENGTH, lasts: true };
        }
        const { expression, place } = await this.expressionOf(target, name, args);
        if (expression === undefined) {
            return `there is no '${name}' here that could be watched`;
        }
        try {
            return await locate(target, expression, place, args.flag('asAddress'), bytes);
        } catch (error) {
            if (error instanceof HyperscopeError) {
                return error.message.split('\n')[0];
            }
            throw error;
        }
    }

    /** What to evaluate for a variable, or for the name as it is. */
    private async expressionOf(
        target: DebugTarget,
        name: string,
        args: RequestArguments,
    ): Promise<{ readonly expression: string | undefined; readonly place: FramePlace }> {
        if (!args.has('variablesReference')) {
            return { expression: name, place: this.session.frame(args) };
        }
        const reference = args.integer('variablesReference', 1);
        const variable = await this.variables.expressionFor(target, reference, name);
        if (variable !== undefined) {
            return variable;
        }
        const all = await this.variables.variables(target, reference, { start: 0, count: 0 }, 'hex');
        const { evaluateName } = all.find(candidate => candidate.name === name) ?? {};
        return { expression: evaluateName, place: { vcpu: this.variables.vcpuOf(reference), depth: 0 } };
    }

    private async set(args: RequestArguments): Promise<DebugProtocol.SetDataBreakpointsResponse['body']> {
        const list = args.list('breakpoints');
        if (list.length > MOST_DATA_BREAKPOINTS) {
            throw new RequestError(`breakpoints: ${list.length} are too many: at most ${MOST_DATA_BREAKPOINTS}`);
        }
        const before = new Map(this.requests.map(request => [keyOf(request), request.id]));
        const requests = list.map((request): WatchpointRequest => {
            const wanted = readRequest(request);
            // One that stays keeps its count.
            return { ...wanted, id: before.get(keyOf(wanted)) ?? this.nextId() };
        });
        this.requests = requests;
        const target = this.session.guest?.target;
        if (target !== undefined) {
            return { breakpoints: await this.setIn(target) };
        }
        this.pending.clear();
        this.failed.clear();
        return { breakpoints: requests.map(({ id }) => this.described(id, NO_GUEST)) };
    }

    /** Sets all of them in a target; what the client has to know of each. */
    private async setIn(target: DebugTarget): Promise<DebugProtocol.Breakpoint[]> {
        const set = await target.setWatchpoints?.(this.requests);
        const problems = new Map(set?.map(({ id, problem }) => [id, problem]));
        this.pending.clear();
        this.failed.clear();
        const breakpoints: DebugProtocol.Breakpoint[] = [];
        for (const { id, space, address } of this.requests) {
            const message = set === undefined ? 'this guest cannot watch memory' : problems.get(id);
            if (message === undefined) {
                breakpoints.push(this.described(id, await whyPending(target, { space, offset: address })));
            } else {
                this.failed.set(id, message);
                breakpoints.push({ id, verified: false, message, reason: 'failed' });
            }
        }
        return breakpoints;
    }
}

function readRequest(args: RequestArguments): Omit<WatchpointRequest, 'id'> {
    const dataId = args.string('dataId');
    const [, place = '', length] = DATA_ID.exec(dataId) ?? [];
    const address = parseAddress(place);
    if (address === undefined) {
        throw new RequestError(`dataId '${dataId}' was never given out: ask dataBreakpointInfo for one`);
    }
    const kind = args.optionalString('accessType') ?? 'write';
    if (!isAccessType(kind)) {
        throw new RequestError(`accessType has to be 'read', 'write' or 'readWrite', not '${kind}'`);
    }
    return {
        space: address.space,
        address: address.offset,
        length: Number(length),
        kind,
        condition: args.optionalString('condition'),
        hitCondition: args.optionalString('hitCondition'),
        // No client sends one; it means what it means elsewhere.
        logMessage: args.optionalString('logMessage'),
    };
}

function isAccessType(text: string): text is WatchKind {
    return (ACCESS_TYPES as readonly string[]).includes(text);
}

function keyOf(request: Omit<WatchpointRequest, 'id'>): string {
    const { space, address, length, kind, condition, hitCondition, logMessage } = request;
    return JSON.stringify([space, address.toString(), length, kind, condition, hitCondition, logMessage]);
}

/** @throws HyperscopeError for an expression that cannot be evaluated */
async function locate(
    target: DebugTarget,
    expression: string,
    { vcpu, depth }: FramePlace,
    asAddress: boolean,
    bytes: number | undefined,
): Promise<Watched | string> {
    const { value, view } = await target.evaluate(vcpu, expression, false, depth);
    if (!asAddress && value.place?.kind === 'memory') {
        const { space, address } = value.place;
        const length = bytes ?? sizeOf(value.type);
        return { address: { space, offset: address }, length, lasts: false };
    }
    if (!asAddress && view?.address !== undefined && (view.named ?? view.indexed) !== undefined) {
        const whole = await target.evaluate(vcpu, `sizeof(${expression})`, false, depth);
        return { address: view.address, length: bytes ?? Number(whole.value.bits), lasts: false };
    }
    if (!asAddress && value.place?.kind === 'register') {
        return `'${expression}' is a register: only memory can be watched, such as u64[${value.place.name}]`;
    }
    return {
        address: { space: value.space, offset: pattern(value) },
        length: bytes ?? DEFAULT_LENGTH,
        lasts: false,
    };
}

/** The physical memory behind a linear range, or why there is none. */
async function behind(target: DebugTarget, vcpu: number, watched: Watched): Promise<Watched | string> {
    const { address, length } = watched;
    if (address.space === 'physical') {
        return watched;
    }
    const first = (await target.translate(vcpu, address.offset)).walk?.mapping?.physical;
    if (first === undefined) {
        return `nothing is mapped at ${formatAddress(address)}, so there is no physical address to watch`;
    }
    if ((first % 0x1000) + length > 0x1000) {
        return `the range crosses a page: watch the pages' physical addresses one by one, from phys:0x${first.toString(16)} on`;
    }
    return { ...watched, address: { space: 'physical', offset: BigInt(first) } };
}
