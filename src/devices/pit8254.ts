/**
 * Intel 8254 Programmable Interval Timer (order number 231164) as the PC wires it, with the gate and output of counter 2
 * and the refresh toggle in System Control Port B (port 0x61; Intel 82371AB, section 4.2.6.1 "NMISC"). The counters
 * themselves are in `pit-counter.ts`.
 *
 * All counters run from one clock of 1,193,182 Hz counted from power-on, so nothing drifts however late an alarm fires.
 *
 * new Pit8254({ name?, clock, irq0, speaker? })
 *   irq0: OUT of counter 0; speaker: OUT of counter 2 while port 0x61 bit 1 lets it through
 *   regions: registers (4 bytes, port 0x40), systemControl (1 byte, port 0x61)
 *
 * At reset, irq0 is driven high (mode 3 idles high): the PIC's ICW1 forgets that edge, as on a real PC.
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
import { unconnected } from './lines';
import { PitCounter } from './pit-counter';
import { StateReader } from './state-reader';

const KIND = 'pit8254';
const VERSION = 1;

/** The PC's 14.31818 MHz crystal divided by 12, as every operating system rounds it. */
export const PIT_HZ = 1_193_182;

/** DRAM refresh requests come every 18 counts (15.09 µs); the refresh bit toggles with each. */
const REFRESH_COUNTS = 18;

const enum PortB {
    Gate2 = 0x01,
    SpeakerData = 0x02,
    /** Bits that hold what was written: the above, and the two NMI source disables. */
    Writable = 0x0f,
    RefreshToggle = 0x10,
    Out2 = 0x20,
}

export interface Pit8254Options {
    readonly name?: string;
    readonly clock: Clock;
    readonly irq0: InterruptLine;
    readonly speaker?: InterruptLine;
}

export class Pit8254 implements Device {
    readonly name: string;
    readonly registers = new ByteRegion(
        offset => this.readRegister(offset),
        (offset, value) => this.writeRegister(offset, value),
    );
    readonly systemControl = new ByteRegion(
        offset => (offset === 0 ? this.readSystemControl() : 0xff),
        (offset, value) => {
            if (offset === 0) {
                this.writeSystemControl(value);
            }
        },
    );

    private readonly clock: Clock;
    private readonly speaker: InterruptLine | undefined;
    private readonly frequency = new Frequency(PIT_HZ);
    private readonly counters: readonly PitCounter[];
    /** Counters whose OUT leads somewhere need alarms; the others are only looked at when read. */
    private readonly alarms: readonly (Alarm | undefined)[];
    /** Tick up to which all counters have run. */
    private tick = 0;
    private portB = 0;

    constructor(options: Pit8254Options) {
        this.name = options.name ?? 'pit';
        this.clock = options.clock;
        this.speaker = options.speaker;
        this.counters = [
            new PitCounter(true, options.irq0),
            new PitCounter(true, unconnected),
            new PitCounter(false, { set: () => this.driveSpeaker() }),
        ];
        const fire = (): void => {
            this.synchronize();
            this.schedule();
        };
        this.alarms = [
            options.clock.alarm(`${this.name}.counter0`, fire),
            undefined,
            options.speaker && options.clock.alarm(`${this.name}.counter2`, fire),
        ];
        this.reset();
    }

    reset(): void {
        this.synchronize();
        for (const counter of this.counters) {
            counter.reset();
        }
        this.portB = 0;
        this.counters[0].driveAgain();
        this.driveSpeaker();
        this.schedule();
    }

    /** Not synchronized first: looking at a machine must not move its lines. The tick says how far the counters are. */
    save(): StateRecord {
        return {
            kind: KIND,
            version: VERSION,
            fields: {
                tick: this.tick,
                portB: this.portB,
                counters: this.counters.map(counter => counter.saveState()),
            },
        };
    }

    restore(record: StateRecord): void {
        const state = new StateReader(record, KIND, VERSION);
        const counters = state.parts('counters', this.counters.length);
        this.tick = state.count('tick');
        this.portB = state.integer('portB', 0, PortB.Writable);
        counters.forEach((counter, index) => this.counters[index].restoreState(counter));
        this.driveSpeaker();
        this.schedule();
    }

    inspect(): DeviceRegister[] {
        const pulses = this.frequency.ticksAt(this.clock.now()) - this.tick;
        const registers = this.counters.flatMap((counter, index) =>
            counter.detachedCopy(pulses).inspect(`counter${index}`),
        );
        const description = [
            (this.portB & PortB.Gate2) !== 0 ? 'gate 2 open' : 'gate 2 closed',
            (this.portB & PortB.SpeakerData) !== 0 ? 'speaker on' : 'speaker off',
        ];
        return [
            ...registers,
            { name: 'port 0x61', value: this.portB, width: 8, description: description.join(', ') },
            { name: 'ticks', value: this.tick + pulses, description: `of ${PIT_HZ} Hz since power-on` },
        ];
    }

    private readRegister(offset: number): number {
        if (offset > 2) {
            return 0xff; // the control word register cannot be read
        }
        this.synchronize();
        return this.counters[offset].readCount();
    }

    private writeRegister(offset: number, value: number): void {
        if (offset > 3) {
            return;
        }
        this.synchronize();
        if (offset < 3) {
            this.counters[offset].writeCount(value);
        } else if (value >>> 6 === 3) {
            this.readBack(value);
        } else if ((value & 0x30) === 0) {
            this.counters[value >>> 6].latchCount();
        } else {
            this.counters[value >>> 6].writeControl(value);
        }
        this.schedule();
    }

    /** The read-back command; its COUNT and STATUS bits are active low. */
    private readBack(command: number): void {
        for (let index = 0; index < 3; index++) {
            if ((command & (2 << index)) === 0) {
                continue;
            }
            if ((command & 0x20) === 0) {
                this.counters[index].latchCount();
            }
            if ((command & 0x10) === 0) {
                this.counters[index].latchStatus();
            }
        }
    }

    private readSystemControl(): number {
        this.synchronize();
        const refresh = Math.floor(this.tick / REFRESH_COUNTS) % 2 === 1 ? PortB.RefreshToggle : 0;
        return this.portB | refresh | (this.counters[2].out ? PortB.Out2 : 0);
    }

    private writeSystemControl(value: number): void {
        this.synchronize();
        this.portB = value & PortB.Writable;
        this.counters[2].setGate((value & PortB.Gate2) !== 0);
        this.driveSpeaker();
        this.schedule();
    }

    private driveSpeaker(): void {
        this.speaker?.set((this.portB & PortB.SpeakerData) !== 0 && this.counters[2].out);
    }

    /** Runs the counters up to now. OUT lines move with it. */
    private synchronize(): void {
        const tick = this.frequency.ticksAt(this.clock.now());
        const pulses = tick - this.tick;
        if (pulses > 0) {
            this.tick = tick;
            this.counters[0].advance(pulses);
            this.counters[1].advance(pulses);
            this.counters[2].advance(pulses);
        }
    }

    private schedule(): void {
        for (let index = 0; index < 3; index++) {
            const alarm = this.alarms[index];
            if (alarm === undefined) {
                continue;
            }
            const pulses = this.counters[index].pulsesToEvent();
            if (pulses === Infinity) {
                alarm.disarm();
            } else {
                alarm.arm(this.frequency.timeOf(this.tick + pulses));
            }
        }
    }
}
