/**
 * A timer of the HPET: comparator, period and interrupt configuration. "IA-PC HPET Specification", revision 1.0a,
 * sections 2.3.8 and 2.3.9.
 *
 * The comparator matches when the main counter reaches it, not when it is past it: a comparator written too late waits
 * for the counter to come round, as guests check for.
 */

import { type Alarm, type DeviceRegister, type StateValue } from './device';
import { type StateReader } from './state-reader';

const enum Offset {
    Configuration = 0x00,
    Routes = 0x04,
    ComparatorLow = 0x08,
    ComparatorHigh = 0x0c,
}

const enum Bit {
    Level = 1 << 1,
    InterruptEnable = 1 << 2,
    Periodic = 1 << 3,
    PeriodicCapable = 1 << 4,
    Size64Capable = 1 << 5,
    ValueSet = 1 << 6,
    Mode32 = 1 << 8,
    Writable = Level | InterruptEnable | Periodic | Mode32,
}

const ROUTE_SHIFT = 9;
const ROUTE_MASK = 0x1f;

/** Periods shorter than this many ticks (1 µs) coalesce: see `apic-timer.ts`. */
const MINIMUM_PERIOD = 100;

const CYCLE_32 = 2 ** 32;

/** What a timer needs of the HPET around it. */
export interface HpetTimerOptions {
    /** Interrupts that the timer may be routed to, as a mask. */
    readonly routes: number;
    readonly alarm: (fire: () => void) => Alarm;
    /** Virtual time when the main counter has gone on by `ticks`; Infinity while it stands. */
    readonly timeAfter: (ticks: number) => number;
    /** The main counter: bits 31:0, and then bits 63:32 as of that reading. */
    readonly counterLow: () => number;
    readonly counterHigh: () => number;
    /** The counter reached the comparator. */
    readonly matched: () => void;
}

export class HpetTimer {
    private readonly options: HpetTimerOptions;
    private readonly alarm: Alarm;
    private configuration = 0;
    private comparatorLow = 0xffff_ffff;
    private comparatorHigh = 0xffff_ffff;
    private periodLow = 0;
    private periodHigh = 0;
    /** VAL_SET: the next write to the comparator of a periodic timer sets it and not only the period. */
    private valueSet = false;
    /** The lower half of a 64-bit write has used VAL_SET up, and the upper half belongs to it. */
    private valueSetForHigh = false;
    /** An edge was sent and its line is still up. */
    private edge = false;
    /** Virtual time that the alarm is armed for, or Infinity. */
    private target = Infinity;

    constructor(options: HpetTimerOptions) {
        this.options = options;
        this.alarm = options.alarm(() => this.match());
    }

    get isLevel(): boolean {
        return (this.configuration & Bit.Level) !== 0;
    }

    get interruptEnabled(): boolean {
        return (this.configuration & Bit.InterruptEnable) !== 0;
    }

    /** Whether an edge holds the line up. */
    get edgeHeld(): boolean {
        return this.edge;
    }

    /** Lets go of a line that an edge holds up. */
    releaseEdge(): void {
        this.edge = false;
    }

    /** The IOAPIC pin that the interrupt goes to. */
    get route(): number {
        return (this.configuration >>> ROUTE_SHIFT) & ROUTE_MASK;
    }

    reset(): void {
        this.configuration = 0;
        this.comparatorLow = 0xffff_ffff;
        this.comparatorHigh = 0xffff_ffff;
        this.periodLow = 0;
        this.periodHigh = 0;
        this.valueSet = false;
        this.valueSetForHigh = false;
        this.edge = false;
        this.schedule();
    }

    read(offset: number): number {
        switch (offset as Offset) {
            case Offset.Configuration:
                return (
                    this.configuration | Bit.PeriodicCapable | Bit.Size64Capable | (this.valueSet ? Bit.ValueSet : 0)
                );
            case Offset.Routes:
                return this.options.routes;
            case Offset.ComparatorLow:
                return this.comparatorLow;
            case Offset.ComparatorHigh:
                return this.is32() ? 0 : this.comparatorHigh;
            default:
                return 0; // FSB route: not offered
        }
    }

    /** Matches that were due come first: call {@link settle} before. */
    write(offset: number, value: number): void {
        switch (offset as Offset) {
            case Offset.Configuration:
                this.writeConfiguration(value);
                break;
            case Offset.ComparatorLow:
                if (!this.isPeriodic() || this.valueSet) {
                    this.comparatorLow = value;
                }
                this.periodLow = value;
                this.valueSetForHigh = this.valueSet;
                this.valueSet = false;
                break;
            case Offset.ComparatorHigh:
                if (!this.isPeriodic() || this.valueSet || this.valueSetForHigh) {
                    this.comparatorHigh = value;
                }
                this.periodHigh = value;
                this.valueSetForHigh = false;
                this.valueSet = false;
                break;
            default:
                return;
        }
        this.schedule();
    }

    /** Takes a match whose alarm is still on its way, before something changes what it means. */
    settle(now: number): void {
        if (this.target <= now) {
            this.alarm.disarm();
            this.match();
        }
    }

    /** Arms the alarm for the next match, if anyone could see it. */
    schedule(): void {
        const visible = Bit.InterruptEnable | Bit.Level | Bit.Periodic;
        const time = (this.configuration & visible) === 0 ? Infinity : this.options.timeAfter(this.ticksToMatch());
        if (time !== this.target) {
            this.target = time;
            if (time === Infinity) {
                this.alarm.disarm();
            } else {
                this.alarm.arm(time);
            }
        }
    }

    saveState(): { readonly [field: string]: StateValue } {
        return {
            configuration: this.configuration,
            comparatorLow: this.comparatorLow,
            comparatorHigh: this.comparatorHigh,
            periodLow: this.periodLow,
            periodHigh: this.periodHigh,
            valueSet: this.valueSet,
            valueSetForHigh: this.valueSetForHigh,
            edge: this.edge,
            target: this.target === Infinity ? -1 : this.target,
        };
    }

    restoreState(state: StateReader): void {
        this.configuration = state.u32('configuration');
        this.comparatorLow = state.u32('comparatorLow');
        this.comparatorHigh = state.u32('comparatorHigh');
        this.periodLow = state.u32('periodLow');
        this.periodHigh = state.u32('periodHigh');
        this.valueSet = state.boolean('valueSet');
        this.valueSetForHigh = state.boolean('valueSetForHigh');
        this.edge = state.boolean('edge');
        // Not computed anew: a match that was due when it was saved would look like one a whole cycle away.
        const target = state.integer('target', -1, Number.MAX_SAFE_INTEGER);
        this.target = target < 0 ? Infinity : target;
        if (target < 0) {
            this.alarm.disarm();
        } else {
            this.alarm.arm(target);
        }
    }

    inspect(prefix: string): DeviceRegister[] {
        const parts = [
            this.isPeriodic() ? 'periodic' : 'one-shot',
            this.is32() ? '32-bit' : '64-bit',
            this.isLevel ? 'level' : 'edge',
            `route ${this.route}`,
            this.interruptEnabled ? 'interrupt enabled' : 'interrupt disabled',
        ];
        const wide = (high: number, low: number): bigint => (BigInt(high) << 32n) | BigInt(low);
        return [
            {
                name: `${prefix} configuration`,
                value: this.read(Offset.Configuration),
                width: 32,
                description: parts.join(', '),
            },
            { name: `${prefix} comparator`, value: wide(this.comparatorHigh, this.comparatorLow), width: 64 },
            { name: `${prefix} period`, value: wide(this.periodHigh, this.periodLow), width: 64 },
        ];
    }

    private is32(): boolean {
        return (this.configuration & Bit.Mode32) !== 0;
    }

    private isPeriodic(): boolean {
        return (this.configuration & Bit.Periodic) !== 0;
    }

    private writeConfiguration(value: number): void {
        const wanted = (value >>> ROUTE_SHIFT) & ROUTE_MASK;
        // A route that is not offered does not stick: that is how software finds out.
        const route = ((this.options.routes >>> wanted) & 1) !== 0 ? wanted : this.route;
        const configuration = (value & Bit.Writable) | (route << ROUTE_SHIFT);
        const rerouted = configuration ^ this.configuration;
        if ((rerouted & (Bit.Level | (ROUTE_MASK << ROUTE_SHIFT))) !== 0 || (value & Bit.InterruptEnable) === 0) {
            this.edge = false;
        }
        this.configuration = configuration;
        this.valueSet = (value & (Bit.ValueSet | Bit.Periodic)) === (Bit.ValueSet | Bit.Periodic);
        this.valueSetForHigh = false;
    }

    private period(): number {
        return this.is32() ? this.periodLow : this.periodHigh * CYCLE_32 + this.periodLow;
    }

    /** Ticks from the comparator back to `low` and `high`, round the cycle; exact as far as anyone could wait. */
    private distance(fromLow: number, fromHigh: number, toLow: number, toHigh: number): number {
        const low = toLow - fromLow;
        if (this.is32()) {
            return low < 0 ? low + CYCLE_32 : low;
        }
        const high = (toHigh - fromHigh - (low < 0 ? 1 : 0)) >>> 0;
        return high * CYCLE_32 + (low < 0 ? low + CYCLE_32 : low);
    }

    /** Ticks until the counter equals the comparator; a whole cycle when it does so now. */
    private ticksToMatch(): number {
        const low = this.options.counterLow();
        const ticks = this.distance(low, this.options.counterHigh(), this.comparatorLow, this.comparatorHigh);
        return ticks > 0 ? ticks : this.is32() ? CYCLE_32 : Infinity;
    }

    private match(): void {
        this.target = Infinity;
        const period = this.period();
        if (this.isPeriodic() && period > 0) {
            this.passPeriods(period);
        }
        this.schedule();
        this.edge = this.interruptEnabled && !this.isLevel;
        this.options.matched();
    }

    /** Moves the comparator to the next match that is worth an alarm. */
    private passPeriods(period: number): void {
        const low = this.options.counterLow();
        const late = this.distance(this.comparatorLow, this.comparatorHigh, low, this.options.counterHigh());
        const passed = late + Math.max(0, MINIMUM_PERIOD - period);
        const step = passed - (passed % period) + period;
        const sum = this.comparatorLow + (step % CYCLE_32);
        this.comparatorLow = sum >>> 0;
        const carry = sum >= CYCLE_32 ? 1 : 0;
        this.comparatorHigh = (this.comparatorHigh + Math.floor(step / CYCLE_32) + carry) >>> 0;
    }
}
