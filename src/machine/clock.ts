import { StateReader } from '../devices/state-reader';
import type { Alarm, Clock, StateRecord } from '../devices/device';

/** Frequency of the time stamp counter: one tick a virtual nanosecond. */
export const TSC_FREQUENCY = 1_000_000_000;

interface Event extends Alarm {
    readonly name: string;
    readonly sequence: number;
    readonly fire: () => void;
    deadline: number;
    armed: boolean;
}

/**
 * Virtual time and what is due on it.
 *
 * Time is the number of instructions retired, over all vCPUs, plus what {@link skipTo} passed over: idle time while
 * every vCPU is halted, and what port accesses take. Translated code relies on an instruction being a nanosecond.
 *
 * Real-time mode: the machine calls {@link synchronize} between slices with the host's time; since those readings go
 * through the input queue, a recorded run replays to the same nanosecond. Virtual time gets ahead of the host while the
 * guest computes faster than 1 GIPS, until it idles.
 */
export class VirtualClock implements Clock {
    /** Called when an alarm becomes the next one due, for the run loop to shorten the slice it is in. */
    onEarlierDeadline: ((deadline: number) => void) | undefined;

    /** Called when the TSC has been moved: what waits for a value of it waits for another time. */
    readonly onTimeStampMoved: (() => void)[] = [];

    private readonly retired: () => number;
    /** Virtual time when the instruction count was `epochRetired`. */
    private epochTime = 0;
    private epochRetired: number;
    /** Ticks by which the TSC is ahead of virtual time, or behind it. */
    private timeStampLead = 0;
    /** Armed alarms by deadline, then by creation; a few dozen at most, so insertion beats a heap. */
    private readonly queue: Event[] = [];
    private created = 0;

    /** @param retired the exact number of instructions retired so far, also in the middle of a slice. */
    constructor(retired: () => number) {
        this.retired = retired;
        this.epochRetired = retired();
    }

    now(): number {
        return this.at(this.retired());
    }

    /** The time, for callers who know how many instructions have retired by now. */
    at(retired: number): number {
        return this.epochTime + retired - this.epochRetired;
    }

    /** Ticks of the TSC: virtual nanoseconds since power-on, unless somebody has moved it. */
    timeStamp(): number {
        return this.now() + this.timeStampLead;
    }

    /**
     * Makes the TSC what it is to be now. Virtual time stays what it is.
     * @param value an integer below 2^53
     */
    moveTimeStamp(value: number): void {
        this.timeStampLead = value - this.now();
        for (const listener of this.onTimeStampMoved) listener();
    }

    alarm(name: string, fire: () => void): Alarm {
        const event: Event = {
            name,
            fire,
            sequence: this.created++,
            deadline: 0,
            armed: false,
            arm: deadline => this.arm(event, deadline),
            disarm: () => this.disarm(event),
        };
        return event;
    }

    /** When the next alarm is due (ns), or Infinity. May lie in the past. */
    nextDeadline(): number {
        return this.queue.length === 0 ? Infinity : this.queue[0].deadline;
    }

    /** Name of the alarm that is due next. */
    nextName(): string | undefined {
        return this.queue[0]?.name;
    }

    /** How many instructions may retire before virtual time reaches `deadline`; at least 1. */
    instructionsUntil(deadline: number): number {
        return Math.max(1, deadline - this.now());
    }

    /**
     * Fires what is due. An alarm that is armed again for a time not in the future waits for the next call, so that a
     * guest's zero-length timer cannot hold the machine here.
     */
    runDue(): void {
        const now = this.now();
        if (this.nextDeadline() > now) {
            return;
        }
        const due = this.queue.filter(event => event.deadline <= now);
        for (const event of due) {
            // An alarm fired before this one may have moved or disarmed it.
            if (event.armed && event.deadline <= now) {
                this.disarm(event);
                event.fire();
            }
        }
    }

    /** Passes over time up to `time`; time never goes back. */
    skipTo(time: number): void {
        const now = this.now();
        this.epochRetired = this.retired();
        this.epochTime = Math.max(now, Math.floor(time));
    }

    /** Real-time mode: takes over the host's time (ns since power-on) where it is ahead. */
    synchronize(hostTime: number): void {
        this.skipTo(hostTime);
    }

    /** Alarms are saved by the devices that own them: each knows its next deadline and arms it again. */
    save(): StateRecord {
        const now = this.now();
        return this.timeStampLead === 0
            ? { kind: 'clock', version: 1, fields: { now } }
            : { kind: 'clock', version: 2, fields: { now, timeStamp: this.timeStamp() } };
    }

    /** Disarms every alarm: to be called before the devices are restored. */
    restore(record: StateRecord): void {
        const hasTimeStamp = record.version === 2;
        const reader = new StateReader(record, 'clock', hasTimeStamp ? 2 : 1);
        const now = reader.count('now');
        this.timeStampLead = hasTimeStamp ? reader.count('timeStamp') - now : 0;
        for (const event of this.queue) {
            event.armed = false;
        }
        this.queue.length = 0;
        this.epochRetired = this.retired();
        this.epochTime = now;
    }

    private arm(event: Event, deadline: number): void {
        if (event.armed) {
            if (event.deadline === deadline) {
                return;
            }
            this.disarm(event);
        }
        // NaN would break the order for good; a device that computes one means "now".
        event.deadline = Number.isNaN(deadline) ? 0 : deadline;
        event.armed = true;
        let index = this.queue.length;
        while (index > 0 && isBefore(event, this.queue[index - 1])) {
            index--;
        }
        this.queue.splice(index, 0, event);
        if (index === 0) {
            this.onEarlierDeadline?.(event.deadline);
        }
    }

    private disarm(event: Event): void {
        if (event.armed) {
            event.armed = false;
            this.queue.splice(this.queue.indexOf(event), 1);
        }
    }
}

function isBefore(a: Event, b: Event): boolean {
    return a.deadline < b.deadline || (a.deadline === b.deadline && a.sequence < b.sequence);
}
