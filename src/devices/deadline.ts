import type { Alarm, Clock } from './device';
import type { StateReader } from './state-reader';

/** An alarm that remembers when it will fire, so that a device can save it. */
export class Deadline {
    private readonly clock: Clock;
    private readonly alarm: Alarm;
    private at: number | undefined;

    constructor(clock: Clock, name: string, fire: () => void) {
        this.clock = clock;
        this.alarm = clock.alarm(name, () => {
            this.at = undefined;
            fire();
        });
    }

    /** Virtual time (ns) at which it fires, -1 while disarmed. The form that records hold. */
    get pending(): number {
        return this.at ?? -1;
    }

    get armed(): boolean {
        return this.at !== undefined;
    }

    /** Fires `delay` ns from now, whatever was armed before. */
    armIn(delay: number): void {
        this.armAt(this.clock.now() + Math.max(1, Math.round(delay)));
    }

    /** Fires at virtual time `deadline` (ns). */
    armAt(deadline: number): void {
        this.at = deadline;
        this.alarm.arm(deadline);
    }

    disarm(): void {
        if (this.at !== undefined) {
            this.at = undefined;
            this.alarm.disarm();
        }
    }

    /**
     * Takes the state that `pending` gave, from a record's field.
     * @throws SnapshotError when the field is neither a virtual time nor -1
     */
    restore(state: StateReader, field: string): void {
        this.disarm();
        const deadline = state.integer(field, -1, Number.MAX_SAFE_INTEGER);
        if (deadline >= 0) {
            this.armAt(deadline);
        }
    }
}
