/**
 * The local APIC's timer: Intel SDM Vol. 3A, chapter "APIC", section "APIC Timer" (one-shot, periodic, TSC-deadline;
 * divide configuration register).
 *
 * Nothing counts: the expiry is a virtual time, and the current count is computed from it.
 */

import { type Alarm, type Clock, type StateValue } from './device';
import { type StateReader } from './state-reader';

/** Mode bits of the LVT timer entry (bits 18:17). */
export const enum TimerMode {
    OneShot,
    Periodic,
    TscDeadline,
}

/**
 * No guest serves interrupts faster than this (ns). Periods below it coalesce as they would in the IRR, and a guest that
 * programs a period of one tick does not make the machine crawl from alarm to alarm.
 */
const MINIMUM_PERIOD = 1000;

const STOPPED = -1;

export interface ApicTimerOptions {
    readonly name: string;
    readonly clock: Clock;
    /** Virtual ns for each tick of the timer's input clock. */
    readonly tickNs: number;
    /** When this processor's TSC reaches a 64-bit value; see `LocalApicOptions`. */
    readonly timeOfTsc: (low: number, high: number) => number;
    readonly expired: () => void;
}

export class ApicTimer {
    private mode = TimerMode.OneShot;
    private masked = true;
    private initial = 0;
    private divide = 0;
    private tscLow = 0;
    private tscHigh = 0;
    /** Virtual time of the expiry that the current count leads to, or STOPPED. */
    private expiry = STOPPED;
    /** Virtual time that the alarm is armed for, or STOPPED. */
    private armedFor = STOPPED;
    private readonly alarm: Alarm;

    constructor(private readonly options: ApicTimerOptions) {
        this.alarm = options.clock.alarm(options.name, () => this.fire());
    }

    reset(): void {
        this.mode = TimerMode.OneShot;
        this.masked = true;
        this.divide = 0;
        this.stop();
        this.schedule();
    }

    /** Takes over mode and mask from the LVT entry. */
    configure(mode: TimerMode, masked: boolean): void {
        this.settle();
        // To and from TSC-deadline mode disarms the timer; the two count-down modes share the count.
        if (mode !== this.mode && (mode === TimerMode.TscDeadline || this.mode === TimerMode.TscDeadline)) {
            this.stop();
        } else if (this.expiry !== STOPPED && this.expiry <= this.options.clock.now()) {
            // A count that ran out while masked; a periodic one has begun anew.
            if (this.mode === TimerMode.Periodic) {
                this.skipPassedPeriods();
            } else {
                this.expiry = STOPPED;
            }
        }
        this.mode = mode;
        this.masked = masked;
        this.schedule();
    }

    get initialCount(): number {
        return this.initial;
    }

    set initialCount(count: number) {
        if (this.mode === TimerMode.TscDeadline) {
            return;
        }
        this.settle();
        this.initial = count;
        this.expiry = count === 0 ? STOPPED : this.options.clock.now() + count * this.unit();
        this.schedule();
    }

    get currentCount(): number {
        if (this.expiry === STOPPED || this.mode === TimerMode.TscDeadline) {
            return 0;
        }
        let left = this.expiry - this.options.clock.now();
        if (this.mode === TimerMode.Periodic) {
            // The expiry lies in the past where it is masked, and more than a period ahead where periods coalesce.
            const period = this.period();
            left = left <= 0 ? period - (-left % period) : ((left - 1) % period) + 1;
        }
        return left <= 0 ? 0 : Math.min(0xffff_ffff, Math.ceil(left / this.unit()));
    }

    get divideConfiguration(): number {
        return this.divide;
    }

    /** Changing the divisor keeps the current count. */
    set divideConfiguration(value: number) {
        this.settle();
        const count = this.currentCount;
        this.divide = value & 0x0b;
        if (count !== 0) {
            this.expiry = this.options.clock.now() + count * this.unit();
        }
        this.schedule();
    }

    /** IA32_TSC_DEADLINE, bits 31:0 and 63:32; zero when disarmed or in another mode. */
    get deadlineLow(): number {
        return this.tscLow;
    }

    get deadlineHigh(): number {
        return this.tscHigh;
    }

    writeDeadline(low: number, high: number): void {
        if (this.mode !== TimerMode.TscDeadline) {
            return;
        }
        this.settle();
        this.tscLow = low;
        this.tscHigh = high;
        this.tscChanged();
    }

    /** The processor's TSC was written: the deadline lies elsewhere in time now. */
    tscChanged(): void {
        if (this.mode !== TimerMode.TscDeadline) {
            return;
        }
        this.expiry = STOPPED;
        if (this.tscLow !== 0 || this.tscHigh !== 0) {
            const time = this.options.timeOfTsc(this.tscLow, this.tscHigh);
            this.expiry = time < Number.MAX_SAFE_INTEGER ? Math.max(0, time) : STOPPED;
        }
        this.schedule();
    }

    saveState(): { readonly [field: string]: StateValue } {
        return {
            initialCount: this.initial,
            divideConfiguration: this.divide,
            tscDeadlineLow: this.tscLow,
            tscDeadlineHigh: this.tscHigh,
            expiry: this.expiry,
        };
    }

    /** Mode and mask come from the LVT entry, which the local APIC restores. */
    restoreState(state: StateReader, mode: TimerMode, masked: boolean): void {
        this.initial = state.u32('initialCount');
        this.divide = state.integer('divideConfiguration', 0, 0x0b);
        this.tscLow = state.u32('tscDeadlineLow');
        this.tscHigh = state.u32('tscDeadlineHigh');
        this.expiry = state.integer('expiry', STOPPED, Number.MAX_SAFE_INTEGER);
        this.mode = mode;
        this.masked = masked;
        // The machine's clock has disarmed all alarms, whatever this timer remembers.
        this.alarm.disarm();
        this.armedFor = STOPPED;
        if (mode !== TimerMode.TscDeadline && this.initial === 0) {
            this.expiry = STOPPED;
        }
        this.schedule();
    }

    private stop(): void {
        this.initial = 0;
        this.tscLow = 0;
        this.tscHigh = 0;
        this.expiry = STOPPED;
    }

    /** Virtual ns for each count. */
    private unit(): number {
        const code = (this.divide & 3) | ((this.divide >>> 1) & 4);
        return this.options.tickNs * (code === 7 ? 1 : 2 << code);
    }

    private period(): number {
        return this.initial * this.unit();
    }

    /** Delivers an expiry whose alarm is still on its way, before a register write changes what it means. */
    private settle(): void {
        if (this.armedFor !== STOPPED && this.options.clock.now() >= this.armedFor) {
            this.alarm.disarm();
            this.fire();
        }
    }

    private fire(): void {
        this.armedFor = STOPPED;
        if (this.mode === TimerMode.Periodic) {
            this.skipPassedPeriods();
        } else {
            this.expiry = STOPPED;
            this.tscLow = 0;
            this.tscHigh = 0;
        }
        this.schedule();
        this.options.expired();
    }

    /** Moves a periodic expiry to the next one that is worth an alarm. */
    private skipPassedPeriods(): void {
        const period = this.period();
        const late = this.options.clock.now() + Math.max(0, MINIMUM_PERIOD - period) - this.expiry;
        if (late >= 0) {
            this.expiry += late - (late % period) + period;
        }
    }

    private schedule(): void {
        // A masked count-down leaves no trace, but a masked TSC deadline clears its MSR when it passes.
        let target = STOPPED;
        if (this.expiry !== STOPPED && (!this.masked || this.mode === TimerMode.TscDeadline)) {
            if (this.mode === TimerMode.Periodic && this.expiry <= this.options.clock.now()) {
                this.skipPassedPeriods();
            }
            if (this.mode !== TimerMode.OneShot || this.expiry > this.options.clock.now()) {
                target = this.expiry;
            }
        }
        if (target !== this.armedFor) {
            this.armedFor = target;
            if (target === STOPPED) {
                this.alarm.disarm();
            } else {
                this.alarm.arm(target);
            }
        }
    }
}
