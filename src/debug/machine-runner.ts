import type { Machine } from '../machine/machine';
import type { MachineStop } from '../machine/stop';

/** What the host of a target lends it. */
export interface TargetHost {
    /** Monotonic milliseconds. */
    now(): number;
    /** Lets everything else that waits have its turn. */
    yield(): Promise<void>;
    sleep(milliseconds: number): Promise<void>;
    /** Whether the guest has to wait, as for a reader of what it prints. Pauses and requests do not. */
    holdsBack?(): boolean;
}

export type RunOutcome = Exclude<MachineStop, { readonly reason: 'budget' | 'idle' | 'stopRequested' }> | Paused;

export interface Paused {
    readonly reason: 'paused';
}

/** Host milliseconds that a slice should take: what a request waits at most, and long enough to cost nothing. */
const SLICE_TIME = 8;
const FIRST_SLICE = 200_000;
const SMALLEST_SLICE = 20_000;
const LARGEST_SLICE = 1e9;
/** An idle guest's timers pass quickly in virtual time: come back after so many. */
const IDLE_SKIPS = 200;
/** Host milliseconds between two looks for input while nothing in the guest can happen without it, or may happen. */
const IDLE_POLL = 5;

/** Runs a machine in slices on the thread that also answers the front end. */
export class MachineRunner {
    private pauseRequested = false;
    /** Instructions that take about {@link SLICE_TIME}. */
    private sliceLength = FIRST_SLICE;

    constructor(
        private readonly machine: Machine,
        private readonly host: TargetHost,
        /** Called between two slices. */
        private readonly between: () => Promise<void> = async () => undefined,
    ) {}

    /** Makes {@link run} come back with `paused` after the slice in progress. */
    requestPause(): void {
        this.pauseRequested = true;
    }

    /** Forgets a pause that came too late. */
    clearPause(): void {
        this.pauseRequested = false;
    }

    get isPauseRequested(): boolean {
        return this.pauseRequested;
    }

    /**
     * Runs until the guest stops for a reason of its own or is paused.
     * @param vcpus those that run; all unless told
     */
    async run(vcpus?: readonly number[]): Promise<RunOutcome> {
        for (;;) {
            if (this.pauseRequested) {
                this.pauseRequested = false;
                return { reason: 'paused' };
            }
            if (this.host.holdsBack?.()) {
                await this.host.sleep(IDLE_POLL);
                continue;
            }
            const stop = this.slice(vcpus);
            switch (stop.reason) {
                case 'budget':
                case 'stopRequested':
                    await this.host.yield();
                    await this.between();
                    break;
                case 'idle':
                    await this.host.sleep(IDLE_POLL);
                    await this.between();
                    break;
                default:
                    return stop;
            }
        }
    }

    private slice(vcpus: readonly number[] | undefined): MachineStop {
        const { machine, host } = this;
        const before = machine.engine.retired();
        const started = host.now();
        const stop = machine.run({ instructions: this.sliceLength, idleSkips: IDLE_SKIPS, vcpus });
        const elapsed = host.now() - started;
        // Slices that something cut short say nothing about the speed.
        if (machine.engine.retired() - before >= this.sliceLength) {
            const factor = Math.min(4, Math.max(0.25, SLICE_TIME / Math.max(elapsed, 0.1)));
            this.sliceLength = Math.min(LARGEST_SLICE, Math.max(SMALLEST_SLICE, Math.floor(this.sliceLength * factor)));
        } else if (elapsed > 2 * SLICE_TIME) {
            this.sliceLength = Math.max(SMALLEST_SLICE, this.sliceLength >>> 1);
        }
        return stop;
    }
}
