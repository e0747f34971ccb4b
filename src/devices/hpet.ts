/**
 * High Precision Event Timer: "IA-PC HPET Specification", revision 1.0a, section 2.3 "Register Definitions" (general
 * capabilities, configuration, interrupt status, main counter), 2.3.8 "Timer N Configuration and Capabilities", 2.3.9
 * "Comparator", 2.4 "Interrupt Options" (legacy replacement, I/O APIC routing). FSB delivery is not offered.
 *
 * The comparators are in `hpet-timer.ts`. The main counter is 64 bits wide and ticks every 10 ns.
 *
 * new Hpet({ clock, line, legacyLines, legacyReplacement, timers?, routes?, name? })
 *   line(pin): input `pin` of the IOAPIC; routes: mask of the pins that timers may choose
 *   legacyLines: [IRQ 0 (PIC input 0 and IOAPIC pin 2), IRQ 8] for timers 0 and 1 in legacy replacement
 *   legacyReplacement(enabled): the board takes PIT and RTC off those interrupts, as with `GatedLine`
 *   region: `mmio`, 1 KiB, usually at 0xfed00000; capabilities: the block ID for the ACPI table
 *
 * An edge-triggered interrupt keeps its line asserted until just before the next edge: the PIC withdraws a request whose
 * line drops.
 */

import {
    type Clock,
    type Device,
    type DeviceRegister,
    type InterruptLine,
    type IoRegion,
    type StateRecord,
} from './device';
import { HpetTimer } from './hpet-timer';
import { SharedLine } from './lines';
import { StateReader } from './state-reader';

const KIND = 'hpet';
const VERSION = 1;

/** 10 ns in femtoseconds, the unit of the capability register. */
const PERIOD_FS = 10_000_000;
const TICK_NS = 10;

const VENDOR_ID = 0x8086;
const REVISION = 0x01;

const enum Offset {
    CapabilitiesLow = 0x000,
    CapabilitiesHigh = 0x004,
    Configuration = 0x010,
    InterruptStatus = 0x020,
    CounterLow = 0x0f0,
    CounterHigh = 0x0f4,
    FirstTimer = 0x100,
}

const TIMER_STRIDE = 0x20;
const MAX_TIMERS = 32;

const enum Capability {
    Counter64 = 1 << 13,
    LegacyReplacement = 1 << 15,
}

const enum Configuration {
    Enable = 1,
    LegacyReplacement = 2,
    Writable = 3,
}

export interface HpetOptions {
    readonly name?: string;
    readonly clock: Clock;
    /** A line for this device's own use into pin `pin` of the IOAPIC; asked once for each pin in `routes`. */
    readonly line: (pin: number) => InterruptLine;
    readonly legacyLines: readonly [InterruptLine, InterruptLine];
    readonly legacyReplacement: (enabled: boolean) => void;
    readonly timers?: number;
    /** IOAPIC pins that timers may be routed to, as a mask; 20–23 by default. */
    readonly routes?: number;
}

export class Hpet implements Device {
    readonly name: string;
    readonly mmio: IoRegion;

    private readonly options: HpetOptions;
    private readonly timers: readonly HpetTimer[];
    /** By timer and pin; timers may share a level-triggered pin. */
    private readonly lines: readonly (readonly (InterruptLine | undefined)[])[];
    private configuration = 0;
    private interruptStatus = 0;
    /** Main counter, bits 31:0 and 63:32, at virtual time `since`; it stands there while the HPET is disabled. */
    private counterLow = 0;
    private counterHigh = 0;
    private since = 0;
    /** Bits 63:32 of the counter that {@link readCounter} read. */
    private high = 0;

    constructor(options: HpetOptions) {
        this.name = options.name ?? 'hpet';
        this.options = options;
        const routes = (options.routes ?? 0x00f0_0000) >>> 0;
        const pins = Array.from({ length: 32 }, (_, pin) =>
            ((routes >>> pin) & 1) !== 0 ? new SharedLine(options.line(pin)) : undefined,
        );
        const count = Math.min(MAX_TIMERS, Math.max(3, options.timers ?? 3));
        this.timers = Array.from(
            { length: count },
            (_, index) =>
                new HpetTimer({
                    routes,
                    alarm: fire => options.clock.alarm(`${this.name}.timer${index}`, fire),
                    timeAfter: ticks => this.timeAfter(ticks),
                    counterLow: () => this.readCounter(),
                    counterHigh: () => this.high,
                    matched: () => this.matched(index),
                }),
        );
        this.lines = this.timers.map(() => pins.map(pin => pin?.input()));
        this.mmio = {
            read: (offset, size) => this.read(offset, size),
            write: (offset, size, value) => this.write(offset, size, value),
        };
    }

    /** Bits 31:0 of the capabilities, which the ACPI table repeats as "event timer block ID". */
    get capabilities(): number {
        const sizes = Capability.LegacyReplacement | Capability.Counter64 | ((this.timers.length - 1) << 8);
        return ((VENDOR_ID << 16) | sizes | REVISION) >>> 0;
    }

    reset(): void {
        const legacy = this.isLegacy();
        this.dropLines();
        this.configuration = 0;
        this.interruptStatus = 0;
        this.counterLow = 0;
        this.counterHigh = 0;
        this.since = this.options.clock.now();
        for (const timer of this.timers) {
            timer.reset();
        }
        if (legacy) {
            this.options.legacyReplacement(false);
        }
    }

    save(): StateRecord {
        return {
            kind: KIND,
            version: VERSION,
            fields: {
                configuration: this.configuration,
                interruptStatus: this.interruptStatus,
                counterLow: this.counterLow,
                counterHigh: this.counterHigh,
                since: this.since,
                timers: this.timers.map(timer => timer.saveState()),
            },
        };
    }

    restore(record: StateRecord): void {
        const state = new StateReader(record, KIND, VERSION);
        const timers = state.parts('timers', this.timers.length);
        this.dropLines();
        this.configuration = state.integer('configuration', 0, Configuration.Writable);
        this.interruptStatus = state.u32('interruptStatus');
        this.counterLow = state.u32('counterLow');
        this.counterHigh = state.u32('counterHigh');
        this.since = state.count('since');
        this.options.legacyReplacement(this.isLegacy());
        timers.forEach((timer, index) => this.timers[index].restoreState(timer));
        this.driveLines();
    }

    inspect(): DeviceRegister[] {
        const low = this.readCounter();
        const counter = (BigInt(this.high) << 32n) | BigInt(low);
        const state = this.isEnabled() ? 'running' : 'halted';
        return [
            {
                name: 'configuration',
                value: this.configuration,
                width: 32,
                description: this.isLegacy() ? `${state}, legacy replacement` : state,
            },
            { name: 'interrupt status', value: this.interruptStatus, width: 32 },
            { name: 'main counter', value: counter, width: 64, description: `${TICK_NS} ns each` },
            ...this.timers.flatMap((timer, index) => timer.inspect(`timer ${index}`)),
        ];
    }

    private isEnabled(): boolean {
        return (this.configuration & Configuration.Enable) !== 0;
    }

    private isLegacy(): boolean {
        return (this.configuration & Configuration.LegacyReplacement) !== 0;
    }

    /** Registers are 32 or 64 bits wide; the bus splits the latter. Narrower reads get their part, writes are dropped. */
    private read(offset: number, size: number): number {
        const value = this.readRegister(offset & ~3) >>> ((offset & 3) * 8);
        return size === 4 ? value : value & (size === 2 ? 0xffff : 0xff);
    }

    private readRegister(offset: number): number {
        if (offset >= Offset.FirstTimer) {
            const timer = this.timers[(offset - Offset.FirstTimer) >> 5];
            return timer === undefined ? 0 : timer.read(offset & (TIMER_STRIDE - 1));
        }
        switch (offset) {
            case Offset.CapabilitiesLow:
                return this.capabilities;
            case Offset.CapabilitiesHigh:
                return PERIOD_FS;
            case Offset.Configuration:
                return this.configuration;
            case Offset.InterruptStatus:
                return this.interruptStatus;
            case Offset.CounterLow:
                return this.readCounter();
            case Offset.CounterHigh:
                this.readCounter();
                return this.high;
            default:
                return 0;
        }
    }

    private write(offset: number, size: number, value: number): void {
        if (size !== 4 || (offset & 3) !== 0) {
            return;
        }
        if (offset >= Offset.FirstTimer) {
            const index = (offset - Offset.FirstTimer) >> 5;
            if (index < this.timers.length) {
                this.writeTimer(index, offset & (TIMER_STRIDE - 1), value);
            }
            return;
        }
        switch (offset) {
            case Offset.Configuration:
                this.writeConfiguration(value & Configuration.Writable);
                break;
            case Offset.InterruptStatus:
                this.clearStatus(value);
                break;
            case Offset.CounterLow:
            case Offset.CounterHigh:
                // The specification allows this only while halted; a running counter just goes on from there.
                this.settleAll();
                this.freezeCounter();
                if (offset === Offset.CounterLow) {
                    this.counterLow = value;
                } else {
                    this.counterHigh = value;
                }
                this.scheduleAll();
                break;
            default:
                break;
        }
    }

    private writeConfiguration(value: number): void {
        this.settleAll();
        this.freezeCounter();
        if (((value ^ this.configuration) & Configuration.LegacyReplacement) !== 0) {
            this.dropLines();
            for (const timer of this.timers) {
                timer.releaseEdge();
            }
            this.configuration = value;
            this.options.legacyReplacement(this.isLegacy());
            this.driveLines();
        }
        this.configuration = value;
        this.scheduleAll();
    }

    private writeTimer(index: number, offset: number, value: number): void {
        const timer = this.timers[index];
        timer.settle(this.options.clock.now());
        const line = this.line(index);
        timer.write(offset, value);
        if (line !== this.line(index)) {
            line?.set(false);
        }
        this.driveLine(index);
    }

    private clearStatus(bits: number): void {
        this.settleAll();
        this.interruptStatus = (this.interruptStatus & ~bits) >>> 0;
        this.driveLines();
    }

    private matched(index: number): void {
        const timer = this.timers[index];
        if (timer.isLevel) {
            this.interruptStatus = (this.interruptStatus | (1 << index)) >>> 0;
        } else {
            this.line(index)?.set(false);
        }
        this.driveLine(index);
    }

    private line(index: number): InterruptLine | undefined {
        return this.isLegacy() && index < 2
            ? this.options.legacyLines[index]
            : this.lines[index][this.timers[index].route];
    }

    private driveLine(index: number): void {
        const timer = this.timers[index];
        const status = ((this.interruptStatus >>> index) & 1) !== 0;
        this.line(index)?.set(timer.isLevel ? status && timer.interruptEnabled : timer.edgeHeld);
    }

    private driveLines(): void {
        for (let index = 0; index < this.timers.length; index++) {
            this.driveLine(index);
        }
    }

    private dropLines(): void {
        for (let index = 0; index < this.timers.length; index++) {
            this.line(index)?.set(false);
        }
    }

    private settleAll(): void {
        const now = this.options.clock.now();
        for (const timer of this.timers) {
            timer.settle(now);
        }
    }

    private scheduleAll(): void {
        for (const timer of this.timers) {
            timer.schedule();
        }
    }

    /** Bits 31:0 of the main counter; bits 63:32 go to `high`. Two halves, because a BigInt would be garbage each time. */
    private readCounter(): number {
        let low = this.counterLow;
        let high = this.counterHigh;
        if (this.isEnabled()) {
            const ticks = Math.floor((this.options.clock.now() - this.since) / TICK_NS);
            const sum = low + (ticks % 2 ** 32);
            low = sum >>> 0;
            high = (high + Math.floor(ticks / 2 ** 32) + (sum >= 2 ** 32 ? 1 : 0)) >>> 0;
        }
        this.high = high;
        return low;
    }

    /** Makes `counterLow` and `counterHigh` the counter of now. The fraction of a tick that has passed stays counted. */
    private freezeCounter(): void {
        const now = this.options.clock.now();
        if (this.isEnabled()) {
            this.counterLow = this.readCounter();
            this.counterHigh = this.high;
            this.since = now - ((now - this.since) % TICK_NS);
        } else {
            this.since = now;
        }
    }

    /** Virtual time when the counter has gone on by `ticks` from its present value, or Infinity while it stands. */
    private timeAfter(ticks: number): number {
        if (!this.isEnabled()) {
            return Infinity;
        }
        const now = this.options.clock.now();
        const time = now - ((now - this.since) % TICK_NS) + ticks * TICK_NS;
        return time < Number.MAX_SAFE_INTEGER ? time : Infinity;
    }
}
