import type { ShutdownReport } from './cpu/interrupts';

/** Why {@link Machine.run} came back. */
export type MachineStop =
    /** The limits given to `run` are used up. */
    | { readonly reason: 'budget' }
    /** `requestStop` was called. */
    | { readonly reason: 'stopRequested' }
    /**
     * Nothing runs until input comes or virtual time reaches `deadline`. Real-time machines stop here for their host to
     * wait; others only where there is no deadline at all.
     */
    | { readonly reason: 'idle'; readonly deadline: number | undefined }
    | { readonly reason: 'breakpoint'; readonly vcpu: number; readonly id: number }
    /** The engine cannot execute the guest any further; another one may. */
    | { readonly reason: 'engineFailed'; readonly vcpu: number; readonly problem: string }
    | MachineEnd;

/** Stops after which the guest does not go on by itself. */
export type MachineEnd =
    | { readonly reason: 'poweredOff' }
    /** The guest wrote to the debug exit port; `status` is the exit status as QEMU computes it. */
    | { readonly reason: 'debugExit'; readonly status: number }
    | { readonly reason: 'tripleFault'; readonly vcpu: number; readonly report: ShutdownReport | undefined }
    /** The machine that replays a record does something else than the one that was recorded. */
    | { readonly reason: 'replayDiverged'; readonly problem: string }
    /** The guest reset the machine, which was told not to do that. */
    | { readonly reason: 'reset' };

/** How far {@link Machine.run} may go; whatever is left out is unlimited. */
export interface RunLimits {
    /** Instructions of all vCPUs together. */
    readonly instructions?: number;
    /** Virtual time (ns). */
    readonly time?: number;
    /** How many times idle time may be skipped: for callers with an event loop of their own. */
    readonly idleSkips?: number;
    /** The vCPUs that run; the others stand still. All unless told. */
    readonly vcpus?: readonly number[];
}
