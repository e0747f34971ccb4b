/**
 * Intel 8259A Programmable Interrupt Controller (order number 231468), one chip.
 *
 * Followed sections: "Interrupt Sequence", "Initialization Command Words" (figures 7 and 9), "Operation Command Words"
 * (figure 8), "Fully Nested Mode", "End of Interrupt", "Automatic Rotation", "Special Mask Mode", "Poll Command",
 * "Reading the 8259A Status", "Edge and Level Triggered Modes" (figure 10), "The Special Fully Nested Mode",
 * "Cascade Mode". The edge/level control register is the one of Intel 82371AB (PIIX4), section 4.2.4.3.
 *
 * As the datasheet has it, an edge-triggered request has to stay high until it is acknowledged: a source that drops its
 * line withdraws the request. A device on the PIC must therefore hold its line and never just pulse it.
 *
 * new Pic8259(int)
 *   int: the chip's INT output
 *   read(a0), write(a0, value): its two ports; line(ir): inputs IR0–IR7; elcr: mask of level-triggered inputs
 */

import { type DeviceRegister, type InterruptLine, type StateValue } from './device';
import { type StateReader } from './state-reader';

/** What the vector comes from when no request is left at the acknowledge cycle: "a default IR7". */
const SPURIOUS_IR = 7;

const enum Icw1 {
    /** ICW4 follows. */
    Ic4 = 0x01,
    /** The only 8259A in the system: no ICW3. */
    Single = 0x02,
    /** Call address interval of 4 instead of 8 (8080 mode only). */
    Interval4 = 0x04,
    LevelTriggered = 0x08,
    /** Tells ICW1 from OCW2 and OCW3. */
    Initialize = 0x10,
}

const enum Icw4 {
    Mode8086 = 0x01,
    AutoEoi = 0x02,
    SpecialFullyNested = 0x10,
}

const enum Ocw3 {
    ReadIsr = 0x01,
    ReadRegister = 0x02,
    Poll = 0x04,
    SpecialMask = 0x20,
    EnableSpecialMask = 0x40,
}

/** One chip's registers. Masks have a bit for each of IR0–IR7. */
export interface PicSnapshot {
    readonly irr: number;
    readonly isr: number;
    readonly imr: number;
    /** Levels of the inputs. */
    readonly pins: number;
    /** Inputs that are level triggered, be it by ICW1 or by the edge/level control register. */
    readonly level: number;
    readonly elcr: number;
    readonly vectorBase: number;
    readonly highestPriority: number;
    /** Such as `automatic EOI, 8086 mode`. */
    readonly mode: string;
    /** INT is asserted. */
    readonly requesting: boolean;
    /** The input that the next acknowledge cycle would give, or -1. */
    readonly next: number;
    /** Inputs that have a slave. */
    readonly slaves: number;
}

class IrInput implements InterruptLine {
    constructor(
        private readonly pic: Pic8259,
        private readonly ir: number,
    ) {}

    set(asserted: boolean): void {
        this.pic.setInput(this.ir, asserted);
    }
}

export class Pic8259 {
    /** Levels of the inputs IR0–IR7. */
    private pins = 0;
    private irr = 0;
    private isr = 0;
    private imr = 0;
    private icw1 = 0;
    private icw2 = 0;
    private icw3 = 0;
    private icw4 = 0;
    /** Next word expected at A0 = 1: 2, 3 or 4 for an ICW, 0 for OCW1. */
    private nextIcw = 0;
    /** The IR with the lowest priority; the next one up (modulo 8) has the highest. */
    private lowest = 7;
    private rotateOnAutoEoi = false;
    private specialMask = false;
    private readIsr = false;
    private poll = false;
    private elcrMask = 0;
    private intLevel = false;
    private readonly inputs: readonly InterruptLine[];

    constructor(private readonly int: InterruptLine) {
        this.inputs = Array.from({ length: 8 }, (_, ir) => new IrInput(this, ir));
    }

    line(ir: number): InterruptLine {
        return this.inputs[ir];
    }

    /** The chip has no RESET pin; this is power-up. The inputs keep their levels, which belong to the sources. */
    reset(): void {
        this.imr = 0;
        this.isr = 0;
        this.irr = 0;
        this.icw1 = 0;
        this.icw2 = 0;
        this.icw3 = 0;
        this.icw4 = 0;
        this.nextIcw = 0;
        this.lowest = 7;
        this.rotateOnAutoEoi = false;
        this.specialMask = false;
        this.readIsr = false;
        this.poll = false;
        this.elcrMask = 0;
        this.update();
    }

    /** Edge/level control: inputs with a 1 are level triggered, beside what ICW1 says. */
    get elcr(): number {
        return this.elcrMask;
    }

    set elcr(mask: number) {
        this.elcrMask = mask;
        this.irr = (this.irr & ~mask) | (this.pins & mask);
        this.update();
    }

    setInput(ir: number, asserted: boolean): void {
        const bit = 1 << ir;
        if (((this.pins & bit) !== 0) === asserted) {
            return;
        }
        this.pins ^= bit;
        // The edge latch and the level both end with the pin: see the head of this file.
        this.irr = asserted ? this.irr | bit : this.irr & ~bit;
        this.update();
    }

    /** Whether INT is asserted. */
    get requesting(): boolean {
        return this.intLevel;
    }

    /**
     * The first INTA cycle: freezes priorities and puts the request into service.
     * Returns the IR, or 8 + 7 when there is none left (nothing is in service then).
     */
    beginAcknowledge(): number {
        const ir = this.highestRequest();
        if (ir < 0) {
            return SPURIOUS_IR + 8;
        }
        const bit = 1 << ir;
        this.isr |= bit;
        // A level-triggered request stays as long as its pin does.
        this.irr &= ~bit | this.levelMask();
        // INT drops during the cycle, so that a cascaded master sees an edge for the next request.
        this.driveInt(false);
        return ir;
    }

    /** Vector of IR0. */
    get vectorBase(): number {
        return this.icw2 & 0xf8;
    }

    /** The last INTA cycle, with the IR that {@link beginAcknowledge} gave: ends it in AEOI mode. Returns the vector. */
    endAcknowledge(ir: number): number {
        if (ir < 8 && (this.icw4 & Icw4.AutoEoi) !== 0) {
            this.isr &= ~(1 << ir);
            if (this.rotateOnAutoEoi) {
                this.lowest = ir;
            }
        }
        this.update();
        return this.vector(ir & 7);
    }

    /** Whether ICW3 says that a slave sits on this input. */
    hasSlave(ir: number): boolean {
        return (this.icw1 & Icw1.Single) === 0 && (this.icw3 & (1 << ir)) !== 0;
    }

    /** The identity that ICW3 gives to a slave. */
    get slaveId(): number {
        return this.icw3 & 7;
    }

    read(a0: number): number {
        if (this.poll) {
            return this.pollRead();
        }
        if (a0 !== 0) {
            return this.imr;
        }
        return this.readIsr ? this.isr : this.irr;
    }

    write(a0: number, value: number): void {
        if (a0 !== 0) {
            this.writeData(value);
        } else if ((value & Icw1.Initialize) !== 0) {
            this.initialize(value);
        } else if ((value & 0x08) !== 0) {
            this.writeOcw3(value);
        } else {
            this.writeOcw2(value);
        }
    }

    /** State as saved; `restoreState` takes it back. */
    saveState(): { readonly [field: string]: StateValue } {
        return {
            pins: this.pins,
            irr: this.irr,
            isr: this.isr,
            imr: this.imr,
            icw1: this.icw1,
            icw2: this.icw2,
            icw3: this.icw3,
            icw4: this.icw4,
            nextIcw: this.nextIcw,
            lowestPriority: this.lowest,
            rotateOnAutoEoi: this.rotateOnAutoEoi,
            specialMask: this.specialMask,
            readIsr: this.readIsr,
            poll: this.poll,
            elcr: this.elcrMask,
        };
    }

    restoreState(state: StateReader): void {
        this.pins = state.u8('pins');
        this.irr = state.u8('irr');
        this.isr = state.u8('isr');
        this.imr = state.u8('imr');
        this.icw1 = state.u8('icw1');
        this.icw2 = state.u8('icw2');
        this.icw3 = state.u8('icw3');
        this.icw4 = state.u8('icw4');
        this.nextIcw = state.integer('nextIcw', 0, 4);
        this.lowest = state.integer('lowestPriority', 0, 7);
        this.rotateOnAutoEoi = state.boolean('rotateOnAutoEoi');
        this.specialMask = state.boolean('specialMask');
        this.readIsr = state.boolean('readIsr');
        this.poll = state.boolean('poll');
        this.elcrMask = state.u8('elcr');
        this.intLevel = this.highestRequest() >= 0;
        this.int.set(this.intLevel);
    }

    /** The chip's registers as they are now, for inspection. */
    snapshot(): PicSnapshot {
        const { irr, isr, imr, pins, vectorBase, requesting } = this;
        return {
            irr,
            isr,
            imr,
            pins,
            level: this.levelMask(),
            elcr: this.elcrMask,
            vectorBase,
            highestPriority: (this.lowest + 1) & 7,
            mode: this.describeMode(),
            requesting,
            next: this.highestRequest(),
            slaves: (this.icw1 & Icw1.Single) === 0 ? this.icw3 : 0,
        };
    }

    private describeMode(): string {
        const modes = [
            this.nextIcw !== 0 ? `expects ICW${this.nextIcw}` : '',
            (this.icw4 & Icw4.AutoEoi) !== 0 ? 'automatic EOI' : '',
            this.rotateOnAutoEoi ? 'rotates on automatic EOI' : '',
            (this.icw4 & Icw4.SpecialFullyNested) !== 0 ? 'special fully nested' : '',
            this.specialMask ? 'special mask mode' : '',
            (this.icw4 & Icw4.Mode8086) !== 0 ? '8086 mode' : '8080 mode',
        ];
        return modes.filter(mode => mode !== '').join(', ');
    }

    inspect(prefix: string): DeviceRegister[] {
        const inputs = (mask: number): string =>
            mask === 0 ? 'none' : [0, 1, 2, 3, 4, 5, 6, 7].filter(ir => mask & (1 << ir)).join(', ');
        const register = (name: string, value: number, description: string): DeviceRegister => {
            return { name: `${prefix}.${name}`, value, width: 8, description };
        };
        return [
            register('IRR', this.irr, `requested: ${inputs(this.irr)}`),
            register('ISR', this.isr, `in service: ${inputs(this.isr)}`),
            register('IMR', this.imr, `masked: ${inputs(this.imr)}`),
            register('ICW2', this.icw2, `vectors from 0x${(this.icw2 & 0xf8).toString(16)}`),
            register('ICW3', this.icw3, 'cascade'),
            register('ICW4', this.icw4, this.describeMode()),
            register('ELCR', this.elcrMask, `level triggered: ${inputs(this.levelMask())}`),
            register('pins', this.pins, `asserted: ${inputs(this.pins)}`),
            register('lowest priority', this.lowest, `IR${(this.lowest + 1) & 7} has the highest`),
        ];
    }

    private levelMask(): number {
        return (this.icw1 & Icw1.LevelTriggered) !== 0 ? 0xff : this.elcrMask;
    }

    /** ICW1 resets the edge sense circuit, the mask, the priorities and the modes, and starts the sequence. */
    private initialize(icw1: number): void {
        this.icw1 = icw1;
        this.icw3 = 0;
        if ((icw1 & Icw1.Ic4) === 0) {
            this.icw4 = 0;
        }
        this.imr = 0;
        this.isr = 0;
        this.irr = this.pins & this.levelMask();
        this.lowest = 7;
        this.rotateOnAutoEoi = false;
        this.specialMask = false;
        this.readIsr = false;
        this.poll = false;
        this.nextIcw = 2;
        this.update();
    }

    private writeData(value: number): void {
        switch (this.nextIcw) {
            case 2:
                this.icw2 = value;
                this.nextIcw = (this.icw1 & Icw1.Single) === 0 ? 3 : (this.icw1 & Icw1.Ic4) !== 0 ? 4 : 0;
                break;
            case 3:
                this.icw3 = value;
                this.nextIcw = (this.icw1 & Icw1.Ic4) !== 0 ? 4 : 0;
                break;
            case 4:
                this.icw4 = value & 0x1f;
                this.nextIcw = 0;
                break;
            default:
                this.imr = value;
                break;
        }
        this.update();
    }

    private writeOcw2(value: number): void {
        const ir = value & 7;
        switch (value >>> 5) {
            case 0b000:
                this.rotateOnAutoEoi = false;
                break;
            case 0b100:
                this.rotateOnAutoEoi = true;
                break;
            case 0b001:
                this.endOfInterrupt(this.highestInService(), false);
                break;
            case 0b101:
                this.endOfInterrupt(this.highestInService(), true);
                break;
            case 0b011:
                this.endOfInterrupt(ir, false);
                break;
            case 0b111:
                this.endOfInterrupt(ir, true);
                break;
            case 0b110:
                this.lowest = ir;
                break;
            default:
                break; // 0b010: no operation
        }
        this.update();
    }

    private writeOcw3(value: number): void {
        if ((value & Ocw3.EnableSpecialMask) !== 0) {
            this.specialMask = (value & Ocw3.SpecialMask) !== 0;
        }
        if ((value & Ocw3.ReadRegister) !== 0) {
            this.readIsr = (value & Ocw3.ReadIsr) !== 0;
        }
        this.poll = (value & Ocw3.Poll) !== 0;
        this.update();
    }

    private endOfInterrupt(ir: number, rotate: boolean): void {
        if (ir < 0) {
            return;
        }
        this.isr &= ~(1 << ir);
        if (rotate) {
            this.lowest = ir;
        }
    }

    /** The read after a poll command acts as an acknowledge cycle and gives the level instead of a vector. */
    private pollRead(): number {
        this.poll = false;
        const ir = this.beginAcknowledge();
        this.endAcknowledge(ir);
        return ir < 8 ? 0x80 | ir : SPURIOUS_IR;
    }

    /** The byte that the CPU reads as its vector. */
    private vector(ir: number): number {
        if ((this.icw4 & Icw4.Mode8086) !== 0) {
            return (this.icw2 & 0xf8) | ir;
        }
        // In 8080 mode the chip answers with CALL and an address; an x86 takes the second byte, the address's low half.
        return (this.icw1 & Icw1.Interval4) !== 0 ? (this.icw1 & 0xe0) | (ir << 2) : (this.icw1 & 0xc0) | (ir << 3);
    }

    /** The IR in service that a non-specific EOI ends, or -1. */
    private highestInService(): number {
        const candidates = this.specialMask ? this.isr & ~this.imr : this.isr;
        for (let i = 1; i <= 8; i++) {
            const ir = (this.lowest + i) & 7;
            if ((candidates & (1 << ir)) !== 0) {
                return ir;
            }
        }
        return -1;
    }

    /** The unmasked request with the highest priority that nothing in service holds back, or -1. */
    private highestRequest(): number {
        const requests = this.irr & ~this.imr;
        if (requests === 0 || this.nextIcw !== 0) {
            return -1;
        }
        const nested = (this.icw4 & Icw4.SpecialFullyNested) !== 0 ? this.icw3 : 0;
        const inService = this.specialMask ? this.isr & ~this.imr : this.isr;
        for (let i = 1; i <= 8; i++) {
            const ir = (this.lowest + i) & 7;
            const bit = 1 << ir;
            if ((inService & bit) !== 0) {
                // In special fully nested mode a slave in service may interrupt again with a higher input of its own.
                return (requests & nested & bit) !== 0 ? ir : -1;
            }
            if ((requests & bit) !== 0) {
                return ir;
            }
        }
        return -1;
    }

    private update(): void {
        this.driveInt(this.highestRequest() >= 0);
    }

    private driveInt(level: boolean): void {
        if (level !== this.intLevel) {
            this.intLevel = level;
            this.int.set(level);
        }
    }
}
