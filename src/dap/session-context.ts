/** What the requests of a session share: each subject has its handlers in a file of its own. */
import type { DebugTarget, Stop } from '../debug/target';
import type { RequestArguments } from './arguments';
import type { Guest } from './guest';
import type { OutputCategory } from './protocol-session';

/** What the client has said that it can do. */
export interface ClientAbilities {
    readonly isVsCode: boolean;
    readonly invalidated: boolean;
    readonly memory: boolean;
    readonly variablePaging: boolean;
    /** Serial ports are terminals of the client's: `hyperscope/serial` events instead of output. */
    readonly serial: boolean;
    /** Numbers of its first line and column. */
    readonly firstLine: number;
    readonly firstColumn: number;
}

/** @param args of the request `initialize`, once there was one */
export function readAbilities(args: RequestArguments | undefined): ClientAbilities {
    return {
        isVsCode: args?.optionalString('clientID')?.startsWith('vscode') === true,
        invalidated: args?.flag('supportsInvalidatedEvent') === true,
        memory: args?.flag('supportsMemoryEvent') === true,
        variablePaging: args?.flag('supportsVariablePaging') === true,
        serial: args?.flag('supportsHyperscopeSerialEvent') === true,
        firstLine: args?.raw.linesStartAt1 === false ? 0 : 1,
        firstColumn: args?.raw.columnsStartAt1 === false ? 0 : 1,
    };
}

/** The bases in which numbers are shown. */
export type NumberBase = 'hex' | 'decimal' | 'binary';

/** A frame by its id. */
export interface FramePlace {
    readonly vcpu: number;
    readonly depth: number;
}

/** Frame ids hold the vCPU and the depth. */
export const FRAMES_PER_VCPU = 0x1000;

export interface SessionContext {
    readonly guest: Guest | undefined;
    /** @throws RequestError if there is no guest */
    readonly target: DebugTarget;
    readonly client: ClientAbilities;
    /** The client has started this process: it sees the same files. */
    readonly sharesFiles: boolean;
    /** vCPU that requests without a thread are about: the last one that stopped. */
    readonly focus: number;
    readonly lastStop: Stop | undefined;
    /** In which numbers are shown that the request does not ask for in one. */
    numberBase: NumberBase;

    /** Steps may end in the handlers of interrupts. */
    readonly stepsIntoInterrupts: boolean;

    emitEvent(event: string, body?: object): void;
    console(text: string, category?: OutputCategory): void;

    /** The vCPU that `threadId` names. */
    vcpu(args: RequestArguments): number;
    /** The frame that `frameId` names; without one, the innermost of the vCPU in focus. */
    frame(args: RequestArguments): FramePlace;
    /** Something was changed by hand: what the client shows may depend on it. */
    guestChanged(): void;
    /** The guest runs again: what was known of its state is old. */
    resumed(): void;
    /** Reports a stop that the session itself is the reason of, after the response to the request. */
    stopSoon(stop: Stop): void;
}
