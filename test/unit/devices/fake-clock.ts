import { type Alarm, type Clock } from '../../../src/devices/device';

/** What a test may look at: who is due when. */
export interface ArmedAlarm {
    readonly name: string;
    readonly deadline: number;
}

class FakeAlarm implements Alarm {
    deadline = -1;
    order = 0;

    constructor(
        private readonly clock: FakeClock,
        readonly name: string,
        readonly fire: () => void,
    ) {}

    arm(deadline: number): void {
        if (!Number.isSafeInteger(deadline) || deadline < 0) {
            throw new RangeError(`alarm '${this.name}' armed for ${deadline}, which is no virtual time`);
        }
        this.deadline = deadline;
        this.order = this.clock.nextOrder();
    }

    disarm(): void {
        this.deadline = -1;
    }
}

/**
 * Virtual time under the test's control. Alarms fire in the order of their deadlines (ties: in the order of arming)
 * while `now()` shows the deadline, plus `lateness` where a test wants the engine's coarse polling. An alarm armed in
 * the past fires on the next advance, even by 0 ns.
 */
export class FakeClock implements Clock {
    /** How many ns after its deadline an alarm fires, as with an engine that only looks between translated regions. */
    lateness = 0;
    /** Number of alarms fired so far: shows that an idle device leaves the machine asleep. */
    fired = 0;

    private time: number;
    private orders = 0;
    private readonly alarms: FakeAlarm[] = [];

    constructor(start = 0) {
        this.time = start;
    }

    now(): number {
        return this.time;
    }

    alarm(name: string, fire: () => void): Alarm {
        const alarm = new FakeAlarm(this, name, fire);
        this.alarms.push(alarm);
        return alarm;
    }

    /** Runs `ns` of virtual time. */
    advance(ns: number): void {
        this.advanceTo(this.time + ns);
    }

    /** Runs up to and including virtual time `target` (ns). */
    advanceTo(target: number): void {
        for (;;) {
            const next = this.earliest();
            if (next === undefined || next.deadline > target) {
                break;
            }
            this.time = Math.max(this.time, Math.min(next.deadline + this.lateness, target));
            next.deadline = -1;
            this.fired++;
            next.fire();
        }
        this.time = Math.max(this.time, target);
    }

    /** Lets time pass without looking at alarms: they fire late, on the next advance. */
    stall(ns: number): void {
        this.time += ns;
    }

    /** As the machine's clock does before devices are restored: time jumps and every alarm is disarmed. */
    restore(now: number): void {
        this.time = now;
        for (const alarm of this.alarms) {
            alarm.disarm();
        }
    }

    /** Deadline (ns) of the next alarm, or -1 when nothing is armed. */
    nextDeadline(): number {
        return this.earliest()?.deadline ?? -1;
    }

    /** Everything armed, in firing order. */
    armed(): ArmedAlarm[] {
        return this.alarms
            .filter(alarm => alarm.deadline >= 0)
            .sort((a, b) => a.deadline - b.deadline || a.order - b.order)
            .map(({ name, deadline }) => ({ name, deadline }));
    }

    /** For the alarms: arming order breaks ties. */
    nextOrder(): number {
        return this.orders++;
    }

    private earliest(): FakeAlarm | undefined {
        let first: FakeAlarm | undefined;
        for (const alarm of this.alarms) {
            if (alarm.deadline < 0) {
                continue;
            }
            if (
                first === undefined ||
                alarm.deadline < first.deadline ||
                (alarm.deadline === first.deadline && alarm.order < first.order)
            ) {
                first = alarm;
            }
        }
        return first;
    }
}

/** An interrupt line that remembers its level and counts its rising edges. */
export class FakeLine {
    asserted = false;
    edges = 0;

    set(asserted: boolean): void {
        if (asserted && !this.asserted) {
            this.edges++;
        }
        this.asserted = asserted;
    }
}
