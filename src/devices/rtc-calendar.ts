/**
 * The ten clock, alarm and calendar bytes of a real-time clock: BCD or binary, 12 or 24 hours (MC146818A datasheet,
 * "Address Map", tables 1 and 2). Works on the CMOS memory itself, so a guest may write whatever it likes.
 */

export const enum TimeByte {
    Seconds = 0x00,
    SecondsAlarm = 0x01,
    Minutes = 0x02,
    MinutesAlarm = 0x03,
    Hours = 0x04,
    HoursAlarm = 0x05,
    DayOfWeek = 0x06,
    DayOfMonth = 0x07,
    Month = 0x08,
    Year = 0x09,
    /** Where PCs keep the century, as the ACPI FADT tells the guest. */
    Century = 0x32,
}

/** Register B. */
const DATA_MODE_BINARY = 0x04;
const HOURS_24 = 0x02;

const PM = 0x80;
/** Alarm bytes from C0H on match anything. */
const DONT_CARE = 0xc0;

const SECONDS_PER_DAY = 86_400;

function daysInMonth(month: number, year: number): number {
    switch (month) {
        case 2:
            // The chip knows leap years by the year's two digits alone.
            return year % 4 === 0 ? 29 : 28;
        case 4:
        case 6:
        case 9:
        case 11:
            return 30;
        default:
            return 31;
    }
}

export class RtcCalendar {
    /** @param cmos the memory that holds the bytes; @param registerB gives the data mode as it is now */
    constructor(
        private readonly cmos: Uint8Array,
        private readonly registerB: () => number,
    ) {}

    /** Sets date and time from seconds since 1970-01-01 00:00 UTC. */
    setEpochSeconds(seconds: number): void {
        const date = new Date(seconds * 1000);
        const year = date.getUTCFullYear();
        this.write(TimeByte.Seconds, date.getUTCSeconds());
        this.write(TimeByte.Minutes, date.getUTCMinutes());
        this.writeHours(date.getUTCHours());
        this.write(TimeByte.DayOfWeek, date.getUTCDay() + 1);
        this.write(TimeByte.DayOfMonth, date.getUTCDate());
        this.write(TimeByte.Month, date.getUTCMonth() + 1);
        this.write(TimeByte.Year, year % 100);
        this.write(TimeByte.Century, Math.floor(year / 100));
    }

    /** The time as text, for display; whatever nonsense the bytes hold shows. */
    toString(): string {
        const two = (value: number): string => value.toString().padStart(2, '0');
        const date = [this.read(TimeByte.Month), this.read(TimeByte.DayOfMonth)].map(two).join('-');
        const time = [this.hours(), this.read(TimeByte.Minutes), this.read(TimeByte.Seconds)].map(two).join(':');
        return `${two(this.read(TimeByte.Century))}${two(this.read(TimeByte.Year))}-${date} ${time}`;
    }

    /**
     * Moves the time on. Returns whether one of the seconds passed was the one of the alarm.
     */
    advance(seconds: number): boolean {
        // After a day every alarm has matched that can match; what is beyond needs no comparing.
        const compared = Math.min(seconds, SECONDS_PER_DAY);
        this.addDays(Math.floor((seconds - compared) / SECONDS_PER_DAY));
        let rest = (seconds - compared) % SECONDS_PER_DAY;
        let matched = false;
        for (; rest > 0; rest--) {
            this.tick();
        }
        for (let i = 0; i < compared; i++) {
            this.tick();
            matched = matched || this.alarmMatches();
        }
        return matched;
    }

    private alarmMatches(): boolean {
        return (
            this.matches(TimeByte.Seconds, TimeByte.SecondsAlarm) &&
            this.matches(TimeByte.Minutes, TimeByte.MinutesAlarm) &&
            this.matches(TimeByte.Hours, TimeByte.HoursAlarm)
        );
    }

    private matches(time: TimeByte, alarm: TimeByte): boolean {
        return (this.cmos[alarm] & DONT_CARE) === DONT_CARE || this.cmos[alarm] === this.cmos[time];
    }

    /** One second. Each unit carries into the next when it reaches its end, or is beyond it. */
    private tick(): void {
        if (!this.carry(TimeByte.Seconds, 59, 0) || !this.carry(TimeByte.Minutes, 59, 0)) {
            return;
        }
        const hours = this.hours();
        if (hours < 23) {
            this.writeHours(hours + 1);
            return;
        }
        this.writeHours(0);
        this.addDays(1);
    }

    private addDays(days: number): void {
        for (let i = 0; i < days; i++) {
            this.carry(TimeByte.DayOfWeek, 7, 1);
            const last = daysInMonth(this.read(TimeByte.Month), this.read(TimeByte.Year));
            if (this.carry(TimeByte.DayOfMonth, last, 1) && this.carry(TimeByte.Month, 12, 1)) {
                if (this.carry(TimeByte.Year, 99, 0)) {
                    this.carry(TimeByte.Century, 99, 0);
                }
            }
        }
    }

    /** Increments a unit; at its last value it starts over and the result is true. */
    private carry(unit: TimeByte, last: number, first: number): boolean {
        const value = this.read(unit);
        const over = value >= last;
        this.write(unit, over ? first : value + 1);
        return over;
    }

    private isBinary(): boolean {
        return (this.registerB() & DATA_MODE_BINARY) !== 0;
    }

    private decode(value: number): number {
        return this.isBinary() ? value : (value >>> 4) * 10 + (value & 15);
    }

    private encode(value: number): number {
        return this.isBinary() ? value : (Math.floor(value / 10) << 4) | (value % 10);
    }

    private read(unit: TimeByte): number {
        return this.decode(this.cmos[unit]);
    }

    private write(unit: TimeByte, value: number): void {
        this.cmos[unit] = this.encode(value);
    }

    private hours(): number {
        const byte = this.cmos[TimeByte.Hours];
        if ((this.registerB() & HOURS_24) !== 0) {
            return this.decode(byte);
        }
        return (this.decode(byte & ~PM) % 12) + ((byte & PM) !== 0 ? 12 : 0);
    }

    private writeHours(hours: number): void {
        if ((this.registerB() & HOURS_24) !== 0) {
            this.write(TimeByte.Hours, hours);
        } else {
            this.cmos[TimeByte.Hours] = this.encode(hours % 12 === 0 ? 12 : hours % 12) | (hours >= 12 ? PM : 0);
        }
    }
}
