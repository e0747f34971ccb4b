/**
 * One of the three counters of an Intel 8254 Programmable Interval Timer (order number 231164).
 *
 * Followed sections: "Control Word Format", "Write Operations", "Read Operations", "Counter Latch Command", "Read-Back
 * Command" (status byte, null count), "Mode Definitions" with figures 15–20, "Operation Common to All Modes" (gate pin
 * table, counter limits, wrap-around).
 *
 * The counter is moved by whole CLK pulses: {@link PitCounter.advance} runs any number of them in a few steps, and
 * {@link PitCounter.pulsesToEvent} says after how many something happens, so that nobody has to count one by one.
 */

import { type DeviceRegister, type InterruptLine, type StateValue } from './device';
import { unconnected } from './lines';
import { StateReader } from './state-reader';

const enum Access {
    Lsb = 1,
    Msb = 2,
    LsbThenMsb = 3,
}

const MODE_NAMES = [
    'interrupt on terminal count',
    'hardware retriggerable one-shot',
    'rate generator',
    'square wave',
    'software triggered strobe',
    'hardware triggered strobe',
];

function bcdToNumber(bcd: number): number {
    return (bcd >>> 12) * 1000 + ((bcd >>> 8) & 15) * 100 + ((bcd >>> 4) & 15) * 10 + (bcd & 15);
}

function numberToBcd(value: number): number {
    let bcd = 0;
    let rest = value;
    for (let shift = 0; shift < 16; shift += 4) {
        bcd |= (rest % 10) << shift;
        rest = Math.floor(rest / 10);
    }
    return bcd;
}

export class PitCounter {
    /** Access, mode and BCD bits exactly as last written: the read-back status shows them. */
    private control = 0;
    private mode = 0;
    /** The count register: what the next load puts into the counting element. */
    private countRegister = 0;
    private countWritten = false;
    /** First byte of a two-byte count. */
    private lowByte = 0;
    private writeMsbNext = false;
    private readMsbNext = false;
    /** Set while the count register holds what the counting element has not got yet. */
    private nullCount = false;

    /** The counting element; in mode 3 the CLK pulses left in this half of the wave. */
    private element = 0;
    /** What was last loaded, 1 to the modulus. */
    private loaded = 0;
    /** The next CLK pulse loads instead of counting. */
    private loadPending = false;
    /** The counting element still has to reach zero for the first time (modes 0, 1, 4, 5). */
    private armed = false;
    /** OUT is low for this one CLK pulse (modes 4, 5). */
    private strobing = false;
    /** Mode 0 between the two bytes of a count. */
    private halted = false;

    private gateLevel: boolean;
    private outLevel = true;

    private latchedCount = 0;
    private latchedBytes = 0;
    private latchedStatus = -1;

    constructor(
        private readonly resetGate: boolean,
        private readonly output: InterruptLine,
    ) {
        this.gateLevel = resetGate;
        this.writeControl(0x36);
    }

    get out(): boolean {
        return this.outLevel;
    }

    /** Power-up leaves the chip undefined; here it is as after a control word for mode 3: idle, OUT high. */
    reset(): void {
        this.gateLevel = this.resetGate;
        this.countRegister = 0;
        this.writeControl(0x36);
    }

    /** Drives OUT even where its level does not change, for a receiver that has just been reset. */
    driveAgain(): void {
        this.output.set(this.outLevel);
    }

    /** Runs `pulses` CLK pulses. */
    advance(pulses: number): void {
        while (pulses > 0) {
            const distance = this.pulsesToEvent();
            if (distance === Infinity) {
                if (this.isCounting()) {
                    this.count(pulses);
                }
                return;
            }
            // Periodic modes look the same after each whole period, so a long pause collapses to its last period.
            const period = this.period();
            if (period > 0 && pulses > 2 * period) {
                pulses = period + (pulses % period);
            }
            if (pulses < distance) {
                this.count(pulses);
                return;
            }
            this.count(distance - 1);
            pulses -= distance;
            this.event();
        }
    }

    /** After how many CLK pulses (at least 1) OUT may change or a count is loaded; Infinity if it never will. */
    pulsesToEvent(): number {
        if (this.loadPending || this.strobing) {
            return 1;
        }
        if (!this.isCounting()) {
            return Infinity;
        }
        switch (this.mode) {
            case 2:
                return this.outLevel ? Math.max(1, this.element - 1) : 1;
            case 3:
                return this.element;
            default:
                return this.armed ? this.element : Infinity;
        }
    }

    setGate(level: boolean): void {
        if (level === this.gateLevel) {
            return;
        }
        this.gateLevel = level;
        const periodic = this.mode === 2 || this.mode === 3;
        if (!level) {
            if (periodic) {
                this.drive(true);
            }
        } else if (periodic || this.mode === 1 || this.mode === 5) {
            this.loadPending = this.countWritten;
        }
    }

    /** Programs the counter: the low six bits of a control word. Initializes its logic at once, without a CLK pulse. */
    writeControl(value: number): void {
        this.control = value & 0x3f;
        const mode = (value >>> 1) & 7;
        this.mode = mode > 5 ? mode - 4 : mode;
        this.countRegister = 0;
        this.countWritten = false;
        this.writeMsbNext = false;
        this.readMsbNext = false;
        this.nullCount = true;
        this.loaded = 0;
        this.loadPending = false;
        this.armed = false;
        this.strobing = false;
        this.halted = false;
        this.latchedBytes = 0;
        this.latchedStatus = -1;
        this.drive(this.mode !== 0);
    }

    writeCount(byte: number): void {
        switch (this.control >>> 4) {
            case Access.Lsb:
                this.setCountRegister(byte);
                break;
            case Access.Msb:
                this.setCountRegister(byte << 8);
                break;
            default:
                if (this.writeMsbNext) {
                    this.writeMsbNext = false;
                    this.setCountRegister(this.lowByte | (byte << 8));
                } else {
                    this.writeMsbNext = true;
                    this.lowByte = byte;
                    if (this.mode === 0) {
                        this.halted = true;
                        this.loadPending = false;
                        this.armed = false;
                        this.drive(false);
                    }
                }
        }
    }

    latchCount(): void {
        if (this.latchedBytes === 0) {
            this.latchedCount = this.value();
            this.latchedBytes = this.control >>> 4 === Access.LsbThenMsb ? 2 : 1;
        }
    }

    latchStatus(): void {
        if (this.latchedStatus < 0) {
            this.latchedStatus = this.status();
        }
    }

    readCount(): number {
        if (this.latchedStatus >= 0) {
            const status = this.latchedStatus;
            this.latchedStatus = -1;
            return status;
        }
        const value = this.latchedBytes > 0 ? this.latchedCount : this.value();
        let high: boolean;
        if (this.control >>> 4 !== Access.LsbThenMsb) {
            high = this.control >>> 4 === Access.Msb;
            this.latchedBytes = 0;
        } else if (this.latchedBytes > 0) {
            high = this.latchedBytes === 1;
            this.latchedBytes--;
        } else {
            high = this.readMsbNext;
            this.readMsbNext = !high;
        }
        return high ? value >>> 8 : value & 0xff;
    }

    /** The counter as it would be `pulses` later, leading nowhere: for looking without touching. */
    detachedCopy(pulses: number): PitCounter {
        const copy = new PitCounter(this.resetGate, unconnected);
        copy.restoreState(new StateReader({ kind: 'copy', version: 0, fields: this.saveState() }, 'copy', 0));
        copy.advance(pulses);
        return copy;
    }

    saveState(): { readonly [field: string]: StateValue } {
        return {
            control: this.control,
            countRegister: this.countRegister,
            countWritten: this.countWritten,
            lowByte: this.lowByte,
            writeMsbNext: this.writeMsbNext,
            readMsbNext: this.readMsbNext,
            nullCount: this.nullCount,
            element: this.element,
            loaded: this.loaded,
            loadPending: this.loadPending,
            armed: this.armed,
            strobing: this.strobing,
            halted: this.halted,
            gate: this.gateLevel,
            out: this.outLevel,
            latchedCount: this.latchedCount,
            latchedBytes: this.latchedBytes,
            latchedStatus: this.latchedStatus,
        };
    }

    restoreState(state: StateReader): void {
        this.control = state.integer('control', 0, 0x3f);
        const mode = (this.control >>> 1) & 7;
        this.mode = mode > 5 ? mode - 4 : mode;
        this.countRegister = state.u16('countRegister');
        this.countWritten = state.boolean('countWritten');
        this.lowByte = state.u8('lowByte');
        this.writeMsbNext = state.boolean('writeMsbNext');
        this.readMsbNext = state.boolean('readMsbNext');
        this.nullCount = state.boolean('nullCount');
        this.loaded = state.integer('loaded', 0, 0x10000);
        this.armed = state.boolean('armed');
        // A counter that is due to reach zero cannot be there already.
        const running = this.loaded > 0 && (this.armed || this.mode === 2 || this.mode === 3);
        this.element = state.integer('element', running ? 1 : 0, 0x10000);
        this.loadPending = state.boolean('loadPending');
        this.strobing = state.boolean('strobing');
        this.halted = state.boolean('halted');
        this.gateLevel = state.boolean('gate');
        this.latchedCount = state.u16('latchedCount');
        this.latchedBytes = state.integer('latchedBytes', 0, 2);
        this.latchedStatus = state.integer('latchedStatus', -1, 0xff);
        this.outLevel = state.boolean('out');
        this.driveAgain();
    }

    inspect(prefix: string): DeviceRegister[] {
        const access = ['', 'LSB', 'MSB', 'LSB then MSB'][this.control >>> 4];
        const flags = [
            this.nullCount ? 'count not loaded' : '',
            this.latchedBytes > 0 ? 'count latched' : '',
            this.latchedStatus >= 0 ? 'status latched' : '',
        ];
        const status = [`OUT ${this.outLevel ? 1 : 0}`, `GATE ${this.gateLevel ? 1 : 0}`, ...flags];
        return [
            {
                name: `${prefix}.control`,
                value: this.control,
                width: 6,
                description: `mode ${this.mode}, ${MODE_NAMES[this.mode]}, ${access}, ${this.isBcd() ? 'BCD' : 'binary'}`,
            },
            { name: `${prefix}.CR`, value: this.countRegister, width: 16, description: 'count register' },
            { name: `${prefix}.CE`, value: this.value(), width: 16, description: 'counting element' },
            {
                name: `${prefix}.status`,
                value: this.status(),
                width: 8,
                description: status.filter(text => text !== '').join(', '),
            },
        ];
    }

    private isBcd(): boolean {
        return (this.control & 1) !== 0;
    }

    private modulus(): number {
        return (this.control & 1) !== 0 ? 10000 : 0x10000;
    }

    /** Whether a CLK pulse that does not load decrements the counting element. */
    private isCounting(): boolean {
        return this.loaded > 0 && !this.halted && (this.gateLevel || this.mode === 1 || this.mode === 5);
    }

    /** Length of a steady period in CLK pulses, or 0 in the modes without one or while a change is due. */
    private period(): number {
        if (this.loadPending || this.nullCount) {
            return 0;
        }
        switch (this.mode) {
            case 2:
                return this.loaded;
            case 3:
                return this.halfPeriod(true) + this.halfPeriod(false);
            default:
                return 0;
        }
    }

    /** An odd count is high for one CLK pulse more than it is low. A count of 1 is illegal; it must not hang though. */
    private halfPeriod(high: boolean): number {
        return high ? (this.loaded + 1) >>> 1 : Math.max(1, this.loaded >>> 1);
    }

    private setCountRegister(value: number): void {
        this.countRegister = value;
        this.countWritten = true;
        this.nullCount = true;
        this.halted = false;
        switch (this.mode) {
            case 0:
                this.armed = false;
                this.loadPending = true;
                this.drive(false);
                break;
            case 4:
                this.loadPending = true;
                break;
            case 2:
            case 3:
                // A running wave finishes its (half) period with the old count.
                this.loadPending = this.loadPending || this.loaded === 0;
                break;
            default:
                break; // modes 1 and 5 wait for the trigger
        }
    }

    /** Decrements the counting element without passing an event. */
    private count(pulses: number): void {
        if (this.mode === 3) {
            this.element -= pulses;
        } else {
            const modulus = this.modulus();
            const next = (this.element - pulses) % modulus;
            this.element = next < 0 ? next + modulus : next;
        }
    }

    /** The CLK pulse at which something happens. */
    private event(): void {
        if (this.loadPending) {
            this.load();
            switch (this.mode) {
                case 1:
                    this.drive(false);
                    break;
                case 0:
                    break;
                default:
                    this.drive(true);
            }
            return;
        }
        if (this.strobing) {
            this.strobing = false;
            if (this.isCounting()) {
                this.count(1);
            }
            this.drive(true);
            return;
        }
        switch (this.mode) {
            case 0:
            case 1:
                this.element = 0;
                this.armed = false;
                this.drive(true);
                break;
            case 2:
                if (this.outLevel && this.element > 1) {
                    this.element = 1;
                    this.drive(false);
                } else {
                    this.load();
                    this.drive(true);
                }
                break;
            case 3: {
                const high = !this.outLevel;
                this.load();
                this.element = this.halfPeriod(high);
                this.drive(high);
                break;
            }
            default:
                this.element = 0;
                this.armed = false;
                this.strobing = true;
                this.drive(false);
        }
    }

    private load(): void {
        const count = this.isBcd() ? bcdToNumber(this.countRegister) % 10000 : this.countRegister;
        this.loaded = count === 0 ? this.modulus() : count;
        this.element = this.mode === 3 ? this.halfPeriod(true) : this.loaded;
        this.loadPending = false;
        this.nullCount = false;
        this.strobing = false;
        this.armed = true;
    }

    /** What a read of the counting element gives. */
    private value(): number {
        let value = this.element;
        if (this.mode === 3) {
            // It steps by two; in the high half of an odd count it starts one below the count and reaches zero.
            value = 2 * value - (this.outLevel && (this.loaded & 1) !== 0 ? 2 : 0);
        }
        value %= this.modulus();
        return this.isBcd() ? numberToBcd(value) : value;
    }

    private status(): number {
        return (this.outLevel ? 0x80 : 0) | (this.nullCount ? 0x40 : 0) | this.control;
    }

    private drive(level: boolean): void {
        if (level !== this.outLevel) {
            this.outLevel = level;
            this.output.set(level);
        }
    }
}
