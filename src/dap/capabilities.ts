import type { DebugProtocol } from '@vscode/debugprotocol';
import { EXCEPTION_FILTERS } from './exception-filters';

/** What the session does today, no more: clients show what is claimed here. */
export const CAPABILITIES: DebugProtocol.Capabilities = {
    supportsConfigurationDoneRequest: true,
    supportsFunctionBreakpoints: true,
    supportsInstructionBreakpoints: true,
    supportsConditionalBreakpoints: true,
    supportsHitConditionalBreakpoints: true,
    supportsLogPoints: true,
    supportsEvaluateForHovers: true,
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
    exceptionBreakpointFilters: [...EXCEPTION_FILTERS],
};
