/** Requests that set breakpoints and exception filters. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { HyperscopeError } from '../common/errors';
import type { DebugTarget, Stop } from '../debug/target';
import type { RequestArguments } from './arguments';
import { type BreakpointKind, BreakpointStore, type Locate, locateFunction } from './breakpoint-store';
import type { EventStopStore } from './event-stop-store';
import { isLinuxFilter, LinuxStops } from './linux-stops';
import type { RequestHandlers } from './protocol-session';
import { RequestError } from './request-error';
import type { SessionContext } from './session-context';
import type { NamedSource, SourceRequests } from './source-requests';

/** What one request may set. */
const MOST_BREAKPOINTS = 10_000;
/** Host milliseconds between two looks whether pending breakpoints can be bound. */
const BINDING_INTERVAL = 100;

export class BreakpointRequests {
    readonly handlers: RequestHandlers = {
        setBreakpoints: args => this.setSourceBreakpoints(args),
        setInstructionBreakpoints: args => this.setInstructionBreakpoints(args),
        setFunctionBreakpoints: args => this.setFunctionBreakpoints(args),
        setExceptionBreakpoints: args => this.setExceptionBreakpoints(args),
    };

    readonly store = new BreakpointStore(breakpoint =>
        this.session.emitEvent('breakpoint', { reason: 'changed', breakpoint }),
    );
    private readonly linuxStops: LinuxStops;
    private watch: NodeJS.Timeout | undefined;

    constructor(
        private readonly session: SessionContext,
        private readonly sources: SourceRequests,
        private readonly eventStops: EventStopStore,
    ) {
        this.linuxStops = new LinuxStops(session, this.store);
    }

    /** Sets everything in a target that has just come. */
    async apply(target: DebugTarget): Promise<void> {
        this.store.unbind();
        await this.store.apply(target);
        await this.eventStops.apply(target);
    }

    /** Code has moved: where breakpoints are has to be found, and told, anew. */
    async relocate(target: DebugTarget): Promise<void> {
        await this.store.apply(target);
    }

    /** The guest has stopped, perhaps at breakpoints; others may have become possible. */
    async stopped(target: DebugTarget, ids: readonly number[]): Promise<void> {
        clearTimeout(this.watch);
        await this.store.hit(target, ids);
        await this.store.bind(target);
    }

    /** The guest runs: looks now and then whether breakpoints have become possible. */
    resumed(target: DebugTarget): void {
        clearTimeout(this.watch);
        if (this.store.anyUnbound) {
            this.watch = setTimeout(() => void this.look(target), BINDING_INTERVAL);
        }
    }

    /** Nobody is interested any more. */
    ended(): void {
        clearTimeout(this.watch);
    }

    private async look(target: DebugTarget): Promise<void> {
        if (target.state !== 'running' || this.session.guest?.target !== target) {
            return;
        }
        try {
            await this.store.bind(target);
        } catch (error) {
            // A guest that is out of reach by now ends, or stops, with that.
            if (!(error instanceof HyperscopeError)) throw error;
            return;
        }
        if (this.session.guest?.target === target) this.resumed(target);
    }

    /** The stop with what it means: some breakpoints stand for more than their place. */
    explain(stop: Stop): Promise<Stop> {
        return this.linuxStops.explain(stop);
    }

    /** What a stop at breakpoints is called: by the first of them. */
    kindOfStop(ids: readonly number[]): BreakpointKind | undefined {
        return ids.map(id => this.store.kindOf(id)).find(kind => kind !== undefined);
    }

    private async setSourceBreakpoints(args: RequestArguments): Promise<object> {
        const requests = breakpointList(args);
        // All of them, before anything changes.
        const wanted = requests.map(request => ({
            request,
            line: this.sources.ownLine(request.integer('line')),
            column: request.has('column') ? this.sources.ownColumn(request.integer('column')) : undefined,
        }));
        const source = await this.sources.named(args);
        this.store.replace(
            'source',
            source.key,
            wanted.map(({ request, line, column }) => ({
                args: request,
                locate: this.locateIn(source, line, column),
            })),
            source.source,
        );
        return this.applied(source.key);
    }

    private locateIn(source: NamedSource, line: number, column: number | undefined): Locate {
        return async target => {
            const found = await source.locate(target, line, column);
            if (typeof found === 'string') {
                return { problem: found, failed: source.isComplete, line: this.sources.clientLine(line) };
            }
            return {
                addresses: found.addresses,
                line: this.sources.clientLine(found.line),
                column: found.column === undefined ? undefined : this.sources.clientColumn(found.column),
            };
        };
    }

    private async setInstructionBreakpoints(args: RequestArguments): Promise<object> {
        this.store.replace(
            'instruction',
            'instruction',
            breakpointList(args).map(request => {
                const { space, offset } = request.address('instructionReference');
                const place = { addresses: [offset], space };
                return { args: request, locate: async () => place };
            }),
        );
        return this.applied('instruction');
    }

    private async setFunctionBreakpoints(args: RequestArguments): Promise<object> {
        this.store.replace(
            'function',
            'function',
            breakpointList(args).map(request => {
                const name = request.string('name').trim();
                return { args: request, locate: target => locateFunction(target, name) };
            }),
        );
        return this.applied('function');
    }

    private async applied(scope: string): Promise<{ breakpoints: DebugProtocol.Breakpoint[] }> {
        return { breakpoints: await this.store.apply(this.session.guest?.target, scope) };
    }

    private async setExceptionBreakpoints(args: RequestArguments): Promise<object> {
        const chosen = [
            ...args.strings('filters').map(filter => ({ filter, condition: undefined })),
            ...args.list('filterOptions').map(option => ({
                filter: option.string('filterId'),
                condition: option.optionalString('condition'),
            })),
        ];
        const target = this.session.guest?.target;
        const linux = await this.linuxStops.choose(chosen.filter(isLinuxFilter), target);
        const others = await this.eventStops.choose(
            chosen.filter(one => !isLinuxFilter(one)),
            target,
        );
        return { breakpoints: chosen.map(one => (isLinuxFilter(one) ? linux : others).shift()) };
    }
}

function breakpointList(args: RequestArguments): RequestArguments[] {
    const list = args.list('breakpoints');
    if (list.length > MOST_BREAKPOINTS) {
        throw new RequestError(`breakpoints: ${list.length} are too many: at most ${MOST_BREAKPOINTS}`);
    }
    return list;
}
