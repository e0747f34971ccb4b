/**
 * Motorola MC146818A Real-Time Clock plus RAM, as in a PC with a second bank of memory (Intel 82371AB (PIIX4), section
 * 4.2.5 "RTC Registers").
 *
 * Followed sections: "Address Map", "Update Cycle" (UIP, tBUC = 244 µs and tUC = 1984 µs with the 32.768 kHz time base),
 * "Divider Stages", "Periodic Interrupt" (table 5), "Alarm Interrupt", "Register A" to "Register D". Time and date are in
 * `rtc-calendar.ts`. The century is counted in CMOS byte 32H as later clocks do. The oscillator is always 32.768 kHz: other
 * settings of the divider stop it. Daylight saving (DSE) is stored without effect, as in Intel's chipsets.
 *
 * new Rtc146818({ clock, irq, epochSeconds, alarm?, name? })
 *   irq: IRQ 8, a level until register C is read; epochSeconds: the date at power-on
 *   region: `registers`, 4 bytes, port 0x70 (index and NMI mask, data, index and data of the second bank)
 *   nmiMasked: bit 7 of port 0x70; setMemorySize(), readCmos(), writeCmos() for the board
 */

import { ByteRegion } from './byte-region';
import {
    type Alarm,
    type Clock,
    type Device,
    type DeviceRegister,
    type InterruptLine,
    type StateRecord,
} from './device';
import { Frequency } from './frequency';
import { RtcCalendar } from './rtc-calendar';
import { StateReader } from './state-reader';

const KIND = 'rtc146818';
const VERSION = 1;

const BANK_SIZE = 128;
const CMOS_SIZE = 2 * BANK_SIZE;

const NS_PER_SECOND = 1_000_000_000;
/** UIP rises this long before the new time shows: 244 µs of warning and 1984 µs of updating. */
const UPDATE_IN_PROGRESS_NS = 2_228_000;

const enum Cmos {
    RegisterA = 0x0a,
    RegisterB = 0x0b,
    RegisterC = 0x0c,
    RegisterD = 0x0d,
    BaseMemory = 0x15,
    ExtendedMemory = 0x17,
    ChecksumHigh = 0x2e,
    ExtendedMemoryPost = 0x30,
    MemoryAbove16M = 0x34,
    MemoryAbove4G = 0x5b,
}

const UIP = 0x80;
const DIVIDER = 0x70;
const DIVIDER_RUNNING = 0x20;
/** Divider settings 11x hold the divider chain in reset. */
const DIVIDER_RESET = 0x60;

const enum B {
    Set = 0x80,
    Periodic = 0x40,
    Alarm = 0x20,
    Update = 0x10,
    SquareWave = 0x08,
    Hours24 = 0x02,
}

/** Flags of register C; they stand where register B has their enables. */
const IRQF = 0x80;
const FLAGS = B.Periodic | B.Alarm | B.Update;

/** Valid RAM and time: the battery is good. */
const VRT = 0x80;

export interface Rtc146818Options {
    readonly name?: string;
    readonly clock: Clock;
    readonly irq: InterruptLine;
    /** The alarm went off, and its interrupt is enabled: what ACPI calls an RTC event. */
    readonly alarm?: () => void;
    /** Date and time at power-on, in seconds since 1970-01-01 00:00 UTC. */
    readonly epochSeconds: number;
}

export class Rtc146818 implements Device {
    readonly name: string;
    readonly registers = new ByteRegion(
        offset => this.readPort(offset),
        (offset, value) => this.writePort(offset, value),
    );

    private readonly clock: Clock;
    private readonly irq: InterruptLine;
    private readonly alarmed: (() => void) | undefined;
    private readonly alarm: Alarm;
    private readonly oscillator = new Frequency(32_768);
    private readonly cmos = new Uint8Array(CMOS_SIZE);
    private readonly calendar: RtcCalendar;

    private index = 0;
    private bank2Index = 0;
    private nmiMask = true;
    /** Flags PF, AF and UF of register C. */
    private flags = 0;
    /**
     * Virtual time (ns) at which the divider chain last passed a whole second: all seconds and periods are counted from
     * here. Negative shortly after power-on, because the first second is half a second away when the chain starts.
     */
    private second = 0;
    /** Periodic ticks of the chain since `second` that have been taken up. */
    private periods = 0;

    constructor(options: Rtc146818Options) {
        this.name = options.name ?? 'rtc';
        this.clock = options.clock;
        this.irq = options.irq;
        this.alarmed = options.alarm;
        this.alarm = options.clock.alarm(`${this.name}.event`, () => this.synchronize());
        this.calendar = new RtcCalendar(this.cmos, () => this.cmos[Cmos.RegisterB]);
        this.cmos[Cmos.RegisterA] = DIVIDER_RUNNING | 0x06;
        this.cmos[Cmos.RegisterB] = B.Hours24;
        this.calendar.setEpochSeconds(options.epochSeconds);
        this.second = options.clock.now();
    }

    /** Bit 7 of port 0x70: the board keeps NMIs from the processor while it is set. */
    get nmiMasked(): boolean {
        return this.nmiMask;
    }

    /** A byte of CMOS memory, 0–255; from 80H on the second bank. For the board and firmware tables. */
    readCmos(index: number): number {
        return this.cmos[index];
    }

    writeCmos(index: number, value: number): void {
        this.cmos[index] = value;
    }

    /**
     * Fills in the memory sizes that PC firmware expects, as QEMU's machines do, and the checksum over them.
     * @param below4G bytes of RAM below 4 GiB; @param above4G bytes above
     */
    setMemorySize(below4G: number, above4G = 0): void {
        const word = (index: number, value: number): void => {
            this.cmos[index] = value & 0xff;
            this.cmos[index + 1] = (value >>> 8) & 0xff;
        };
        const extendedKib = Math.min(0xffff, Math.max(0, below4G / 1024 - 1024));
        word(Cmos.BaseMemory, Math.min(640, below4G / 1024));
        word(Cmos.ExtendedMemory, extendedKib);
        word(Cmos.ExtendedMemoryPost, extendedKib);
        word(Cmos.MemoryAbove16M, Math.min(0xffff, Math.max(0, below4G / 65536 - 256)));
        const blocks = above4G / 65536;
        word(Cmos.MemoryAbove4G, blocks & 0xffff);
        this.cmos[Cmos.MemoryAbove4G + 2] = Math.floor(blocks / 65536);
        let sum = 0;
        for (let index = 0x10; index < Cmos.ChecksumHigh; index++) {
            sum += this.cmos[index];
        }
        this.cmos[Cmos.ChecksumHigh] = sum >>> 8;
        this.cmos[Cmos.ChecksumHigh + 1] = sum & 0xff;
    }

    /** The RESET# pin: interrupts off; time, alarm and memory live on their battery. */
    reset(): void {
        this.synchronize();
        this.index = 0;
        this.bank2Index = 0;
        this.nmiMask = true;
        this.cmos[Cmos.RegisterB] &= ~(B.Periodic | B.Alarm | B.Update | B.SquareWave);
        this.flags = 0;
        this.update();
    }

    save(): StateRecord {
        return {
            kind: KIND,
            version: VERSION,
            fields: {
                cmos: this.cmos.slice(),
                index: this.index,
                bank2Index: this.bank2Index,
                nmiMask: this.nmiMask,
                flags: this.flags,
                second: this.second,
                periods: this.periods,
            },
        };
    }

    restore(record: StateRecord): void {
        const state = new StateReader(record, KIND, VERSION);
        this.cmos.set(state.bytes('cmos', CMOS_SIZE));
        this.index = state.unsigned('index', 0x7f);
        this.bank2Index = state.unsigned('bank2Index', 0x7f);
        this.nmiMask = state.boolean('nmiMask');
        this.flags = state.u8('flags') & FLAGS;
        this.second = state.integer('second', -NS_PER_SECOND, Number.MAX_SAFE_INTEGER);
        this.periods = state.count('periods');
        this.update();
    }

    inspect(): DeviceRegister[] {
        const b = this.cmos[Cmos.RegisterB];
        const modes = [
            (b & B.Set) !== 0 ? 'updates held' : '',
            (b & B.Periodic) !== 0 ? 'periodic interrupt' : '',
            (b & B.Alarm) !== 0 ? 'alarm interrupt' : '',
            (b & B.Update) !== 0 ? 'update interrupt' : '',
        ];
        const period = this.periodTicks();
        return [
            { name: 'time', value: this.timeAsText() },
            { name: 'index', value: this.index, width: 7, description: this.nmiMask ? 'NMI masked' : 'NMI open' },
            {
                name: 'A',
                value: this.registerA(),
                width: 8,
                description: period === 0 ? 'no periodic rate' : `${32_768 / period} Hz`,
            },
            { name: 'B', value: b, width: 8, description: modes.filter(mode => mode !== '').join(', ') },
            { name: 'C', value: this.registerC(), width: 8, description: 'flags' },
            { name: 'D', value: VRT, width: 8, description: 'battery good' },
        ];
    }

    /** On a copy, because looking must not raise flags. */
    private timeAsText(): string {
        const b = this.cmos[Cmos.RegisterB];
        const calendar = new RtcCalendar(this.cmos.slice(), () => b);
        if (this.isUpdating()) {
            calendar.advance(Math.floor((this.clock.now() - this.second) / NS_PER_SECOND));
        }
        return calendar.toString();
    }

    private readPort(offset: number): number {
        switch (offset) {
            case 1:
                return this.readIndexed();
            case 3:
                return this.cmos[BANK_SIZE + this.bank2Index];
            default:
                return 0xff; // the index ports are write-only
        }
    }

    private writePort(offset: number, value: number): void {
        switch (offset) {
            case 0:
                this.index = value & 0x7f;
                this.nmiMask = (value & 0x80) !== 0;
                break;
            case 1:
                this.writeIndexed(value);
                break;
            case 2:
                this.bank2Index = value & 0x7f;
                break;
            case 3:
                this.cmos[BANK_SIZE + this.bank2Index] = value;
                break;
            default:
                break;
        }
    }

    private readIndexed(): number {
        this.synchronize();
        switch (this.index) {
            case Cmos.RegisterA:
                return this.registerA();
            case Cmos.RegisterC: {
                const value = this.registerC();
                this.flags = 0;
                this.update();
                return value;
            }
            case Cmos.RegisterD:
                return VRT;
            default:
                return this.cmos[this.index];
        }
    }

    private writeIndexed(value: number): void {
        this.synchronize();
        switch (this.index) {
            case Cmos.RegisterA:
                this.writeRegisterA(value & ~UIP);
                break;
            case Cmos.RegisterB:
                // Setting SET also takes UIE back.
                this.cmos[Cmos.RegisterB] = (value & B.Set) !== 0 ? value & ~B.Update : value;
                break;
            case Cmos.RegisterC:
            case Cmos.RegisterD:
                return;
            default:
                this.cmos[this.index] = value;
        }
        this.update();
    }

    private writeRegisterA(value: number): void {
        const wasRunning = this.isRunning();
        this.cmos[Cmos.RegisterA] = value;
        if (!wasRunning && this.isRunning()) {
            // The first update comes half a second after the chain is released.
            this.second = this.clock.now() - NS_PER_SECOND / 2;
        }
        const period = this.periodTicks();
        this.periods = period === 0 ? 0 : Math.floor(this.ticks() / period);
    }

    private isRunning(): boolean {
        return (this.cmos[Cmos.RegisterA] & DIVIDER) === DIVIDER_RUNNING;
    }

    private isUpdating(): boolean {
        return this.isRunning() && (this.cmos[Cmos.RegisterB] & B.Set) === 0;
    }

    private registerA(): number {
        const value = this.cmos[Cmos.RegisterA];
        const left = NS_PER_SECOND - ((this.clock.now() - this.second) % NS_PER_SECOND);
        return this.isUpdating() && left <= UPDATE_IN_PROGRESS_NS ? value | UIP : value;
    }

    private registerC(): number {
        return this.flags | ((this.flags & this.cmos[Cmos.RegisterB]) !== 0 ? IRQF : 0);
    }

    /** 32.768 kHz ticks since `second`. */
    private ticks(): number {
        return this.oscillator.ticksAt(this.clock.now() - this.second);
    }

    /** Ticks in a period of the periodic interrupt; 0 when there is none. */
    private periodTicks(): number {
        const rate = this.cmos[Cmos.RegisterA] & 15;
        if (rate === 0 || (this.cmos[Cmos.RegisterA] & DIVIDER) >= DIVIDER_RESET) {
            return 0;
        }
        return 1 << (rate < 3 ? rate + 6 : rate - 1);
    }

    /** Takes up the seconds and periods that have passed. */
    private synchronize(): void {
        if (!this.isRunning()) {
            return;
        }
        const period = this.periodTicks();
        const periods = period === 0 ? 0 : Math.floor(this.ticks() / period);
        if (periods > this.periods) {
            this.flags |= B.Periodic;
            this.periods = periods;
        }
        const elapsed = this.clock.now() - this.second;
        const seconds = Math.floor(elapsed / NS_PER_SECOND);
        if (seconds > 0) {
            this.second += seconds * NS_PER_SECOND;
            // Every period divides a second, so the count starts over with it.
            this.periods = period === 0 ? 0 : Math.floor(this.ticks() / period);
            if (this.isUpdating()) {
                const alarm = this.calendar.advance(seconds);
                this.flags |= B.Update | (alarm ? B.Alarm : 0);
                if (alarm && (this.cmos[Cmos.RegisterB] & B.Alarm) !== 0) {
                    this.alarmed?.();
                }
            }
        }
        this.update();
    }

    /** Drives the line and arms the alarm for what may assert it next. */
    private update(): void {
        const enabled = this.cmos[Cmos.RegisterB];
        this.irq.set((this.flags & enabled) !== 0);
        // A flag that is up already changes nothing when it comes again before register C is read.
        const awaited = this.isRunning() ? enabled & ~this.flags : 0;
        const period = this.periodTicks();
        let next = Infinity;
        if ((awaited & (B.Update | B.Alarm)) !== 0 && this.isUpdating()) {
            next = this.second + NS_PER_SECOND;
        }
        if ((awaited & B.Periodic) !== 0 && period !== 0) {
            next = Math.min(next, this.second + this.oscillator.timeOf((this.periods + 1) * period));
        }
        if (next === Infinity) {
            this.alarm.disarm();
        } else {
            this.alarm.arm(next);
        }
    }
}
