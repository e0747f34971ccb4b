import type { DebugProtocol } from '@vscode/debugprotocol';
import { BREAKPOINT_MODES } from './breakpoint-modes';
import { EXCEPTION_FILTERS } from './exception-filters';
import { LINUX_FILTERS } from './linux-stops';

const CAPABILITIES: DebugProtocol.Capabilities = {
    supportsConfigurationDoneRequest: true,
    supportsFunctionBreakpoints: true,
    supportsInstructionBreakpoints: true,
    supportsDataBreakpoints: true,
    supportsDataBreakpointBytes: true,
    breakpointModes: [...BREAKPOINT_MODES],
    supportsConditionalBreakpoints: true,
    supportsHitConditionalBreakpoints: true,
    supportsLogPoints: true,
    supportsEvaluateForHovers: true,
    supportsValueFormattingOptions: true,
    supportsClipboardContext: true,
    supportsSetVariable: true,
    supportsSetExpression: true,
    supportsCompletionsRequest: true,
    supportsGotoTargetsRequest: true,
    supportsBreakpointLocationsRequest: true,
    supportsLoadedSourcesRequest: true,
    supportsDelayedStackTraceLoading: true,
    supportsModulesRequest: true,
    supportsRestartRequest: true,
    supportsExceptionOptions: false,
    supportsExceptionFilterOptions: true,
    supportsExceptionInfoRequest: true,
    supportsTerminateRequest: true,
    supportsReadMemoryRequest: true,
    supportsWriteMemoryRequest: true,
    supportsDisassembleRequest: true,
    supportsSteppingGranularity: true,
    supportsCancelRequest: true,
    exceptionBreakpointFilters: [...EXCEPTION_FILTERS, ...LINUX_FILTERS],
};

/**
 * What the session does today, no more: clients show what is claimed here.
 * @param leavesGuests a guest can outlive its session
 */
export function capabilities({ leavesGuests }: { readonly leavesGuests: boolean }): DebugProtocol.Capabilities {
    return { ...CAPABILITIES, supportTerminateDebuggee: leavesGuests, supportSuspendDebuggee: leavesGuests };
}
