/** Requests that set breakpoints and exception filters. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import type { DebugTarget } from '../debug/target';
import type { RequestArguments } from './arguments';
import { BreakpointStore } from './breakpoint-store';
import { type ChosenFilter, readFilters } from './exception-filters';
import type { RequestHandlers } from './protocol-session';
import type { SessionContext } from './session-context';

export class BreakpointRequests {
    readonly handlers: RequestHandlers = {
        setBreakpoints: args => refuseSourceBreakpoints(args),
        setInstructionBreakpoints: args => this.setInstructionBreakpoints(args),
        setFunctionBreakpoints: args => this.setFunctionBreakpoints(args),
        setExceptionBreakpoints: args => this.setExceptionBreakpoints(args),
    };

    private readonly store = new BreakpointStore();
    private chosenFilters: readonly ChosenFilter[] = [{ filter: 'tripleFault' }];

    constructor(private readonly session: SessionContext) {}

    /** Sets everything in a target that has just come. */
    async apply(target: DebugTarget): Promise<void> {
        await this.store.apply(target);
        await target.setFaultFilter(readFilters(this.chosenFilters).filter);
    }

    private async setInstructionBreakpoints(args: RequestArguments): Promise<object> {
        this.store.setInstructionBreakpoints(args.list('breakpoints'));
        return { breakpoints: await this.store.apply(this.session.guest?.target, 'instruction') };
    }

    private async setFunctionBreakpoints(args: RequestArguments): Promise<object> {
        this.store.setFunctionBreakpoints(args.list('breakpoints'));
        return { breakpoints: await this.store.apply(this.session.guest?.target, 'function') };
    }

    private async setExceptionBreakpoints(args: RequestArguments): Promise<object> {
        const chosen: ChosenFilter[] = [
            ...args.strings('filters').map(filter => ({ filter })),
            ...args.list('filterOptions').map(option => ({
                filter: option.string('filterId'),
                condition: option.optionalString('condition'),
            })),
        ];
        const { filter, problems } = readFilters(chosen);
        this.chosenFilters = chosen;
        await this.session.guest?.target.setFaultFilter(filter);
        return { breakpoints: problems.map(message => ({ verified: message === undefined, message })) };
    }
}

/** Clients send the breakpoints of all sources to every session. */
function refuseSourceBreakpoints(args: RequestArguments): DebugProtocol.SetBreakpointsResponse['body'] {
    const message = 'source breakpoints need debug information: set function or instruction breakpoints';
    return { breakpoints: args.list('breakpoints').map(() => ({ verified: false, message, reason: 'failed' })) };
}
