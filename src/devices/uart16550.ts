/**
 * 16550A asynchronous receiver/transmitter.
 *
 * Datasheet: National Semiconductor PC16550D, "Universal Asynchronous Receiver/Transmitter with FIFOs" (June 1995):
 * section 8 (registers; table II for the register bits, table IV for interrupt priorities), section 8.4 FIFO control,
 * section 8.6 interrupt identification, section 8.7 interrupt enable, section 8.11 FIFO interrupt mode operation.
 *
 * What differs from the chip: a character leaves in no time, so the transmitter is always empty once a write to THR has
 * ended (the THRE interrupt still follows the writes as table IV says); received characters take their time on the line.
 */
import { ByteRegion } from './byte-region';
import { Deadline } from './deadline';
import { IncomingWire } from './incoming-wire';
import { StateReader } from './state-reader';
import { bitNames } from './bit-names';
import { Mcr, ModemLines, modemDeltas, Msr, type ModemInputs } from './uart-modem-lines';
import {
    bitsPerCharacter,
    characterFormat,
    Ier,
    Iir,
    Lcr,
    lineErrors,
    Lsr,
    triggerLevels,
    wordLength,
} from './uart-registers';
import { ReceiverFifo, receiverFifoDepth } from './uart-receiver-fifo';
import type { Clock, Device, DeviceRegister, InterruptLine, IoRegion, StateRecord } from './device';

export interface Uart16550Options {
    readonly clock: Clock;
    readonly irq: InterruptLine;
    /** Takes each character sent. Must not call back into this device. */
    readonly transmit: (byte: number) => void;
    /** Told when the guest starts and stops holding the line in the break condition. */
    readonly lineBreak?: (held: boolean) => void;
    /** Input clock in Hz; a PC has 1.8432 MHz. */
    readonly inputClock?: number;
    /**
     * Whether the peer waits while the receiver is full, as over RTS/CTS flow control (default). Otherwise characters
     * arrive at their time and overrun.
     */
    readonly flowControl?: boolean;
    /**
     * Whether OUT2 gates the interrupt line, as PC boards wire it. Off by default: guests written against emulators
     * (xv6, say) never set OUT2, and none relies on it being low.
     */
    readonly out2GatesInterrupt?: boolean;
}

/** 9600 baud: the divisor is undefined after power-on, and some guests never set it. */
const resetDivisor = 12;
const recordKind = 'uart16550';
const recordVersion = 1;

export class Uart16550 implements Device {
    readonly name: string;
    /** Eight byte registers. */
    readonly registers: IoRegion = new ByteRegion(
        offset => this.readByte(offset),
        (offset, value) => this.writeByte(offset, value),
    );
    private readonly irq: InterruptLine;
    private readonly transmit: (byte: number) => void;
    private readonly lineBreak: (held: boolean) => void;
    private readonly inputClock: number;
    private readonly flowControl: boolean;
    private readonly out2GatesInterrupt: boolean;
    private readonly characterTimeout: Deadline;
    /** Characters on their way from the peer. */
    private readonly wire: IncomingWire;
    private readonly fifo = new ReceiverFifo();

    private ier = 0;
    private fcr = 0;
    private lcr = 0;
    private lineProgrammed = false;
    private lsrErrors = 0;
    private readonly modem = new ModemLines();
    private scr = 0;
    private divisor = resetDivisor;
    private transmitterEmptyPending = false;
    private timeoutPending = false;
    private asserted = false;
    private received = 0;
    private transmitted = 0;

    constructor(name: string, options: Uart16550Options) {
        this.name = name;
        this.irq = options.irq;
        this.transmit = options.transmit;
        this.lineBreak = options.lineBreak ?? (() => undefined);
        this.inputClock = options.inputClock ?? 1_843_200;
        this.flowControl = options.flowControl ?? true;
        this.out2GatesInterrupt = options.out2GatesInterrupt ?? false;
        this.wire = new IncomingWire(options.clock, name, {
            characterTime: () => this.characterTime(),
            holdsPeer: () => this.modem.loopback || (this.flowControl && this.receiverFull()),
            deliver: byte => this.deliver(byte, 0),
        });
        this.characterTimeout = new Deadline(options.clock, `${name} character timeout`, () => {
            this.timeoutPending = this.fifo.count > 0;
            this.updateInterrupt();
        });
    }

    /** Characters that the peer sends; they arrive one by one at the programmed speed. */
    receive(bytes: Uint8Array): void {
        this.wire.send(bytes);
    }

    /** The peer holds the line in the break condition for at least a character. */
    receiveBreak(): void {
        if (!this.modem.loopback) {
            this.deliver(0, Lsr.break);
        }
    }

    /** Characters given to `receive` that have not reached the receiver. */
    get charactersOnWire(): number {
        return this.wire.length;
    }

    /** Sets the modem lines that come from the peer. */
    setModemInputs(inputs: ModemInputs): void {
        this.modem.setInputs(inputs);
        this.updateInterrupt();
    }

    reset(): void {
        this.ier = 0;
        this.fcr = 0;
        this.setLineControl(0);
        this.lineProgrammed = false;
        this.modem.reset();
        this.lsrErrors = 0;
        this.scr = 0;
        this.divisor = resetDivisor;
        this.transmitterEmptyPending = false;
        this.clearReceiver();
        this.updateInterrupt();
        this.wire.resume();
    }

    private readByte(offset: number): number {
        switch (offset) {
            case 0:
                return this.lcr & Lcr.dlab ? this.divisor & 0xff : this.readReceiver();
            case 1:
                return this.lcr & Lcr.dlab ? this.divisor >>> 8 : this.ier;
            case 2:
                return this.readInterruptIdentification();
            case 3:
                return this.lcr;
            case 4:
                return this.modem.mcr;
            case 5:
                return this.readLineStatus();
            case 6: {
                const value = this.modem.readStatus();
                this.updateInterrupt();
                return value;
            }
            case 7:
                return this.scr;
            default:
                return 0xff;
        }
    }

    private writeByte(offset: number, value: number): void {
        switch (offset) {
            case 0:
                if (this.lcr & Lcr.dlab) {
                    this.divisor = (this.divisor & 0xff00) | value;
                } else {
                    this.writeTransmitter(value);
                }
                break;
            case 1:
                if (this.lcr & Lcr.dlab) {
                    this.divisor = (this.divisor & 0xff) | (value << 8);
                } else {
                    this.writeInterruptEnable(value);
                }
                break;
            case 2:
                this.writeFifoControl(value);
                break;
            case 3:
                this.setLineControl(value);
                this.lineProgrammed = true;
                break;
            case 4:
                this.modem.writeControl(value);
                this.updateInterrupt();
                this.wire.resume();
                break;
            case 7:
                this.scr = value;
                break;
            default:
                // LSR is for factory tests and MSR is read-only (section 8.5 and 8.9).
                break;
        }
    }

    // --- Receiver ---

    /** One character's time on the line in ns. */
    private characterTime(): number {
        return bitsPerCharacter(this.lineFormat()) * 16 * Math.max(1, this.divisor) * (1e9 / this.inputClock);
    }

    /**
     * LCR, but 8N1 until the guest has written it: firmware has programmed the port on a PC, and kernels started without
     * any send to it all the same.
     */
    private lineFormat(): number {
        return this.lineProgrammed ? this.lcr : 3;
    }

    private wordMask(): number {
        return (1 << wordLength(this.lineFormat())) - 1;
    }

    private fifoEnabled(): boolean {
        return (this.fcr & 1) !== 0;
    }

    private receiverFull(): boolean {
        return this.fifo.count >= (this.fifoEnabled() ? receiverFifoDepth : 1);
    }

    /** A character reaches the receiver shift register with its error bits. */
    private deliver(byte: number, errors: number): void {
        this.received++;
        if (this.receiverFull()) {
            this.lsrErrors |= Lsr.overrun;
            if (this.fifoEnabled()) {
                // The FIFO keeps what it holds; the character in the shift register is lost.
                this.updateInterrupt();
                return;
            }
            this.fifo.pop();
        }
        this.fifo.push(byte & this.wordMask(), errors);
        this.lsrErrors |= this.fifo.topErrors;
        this.timeoutPending = false;
        this.startCharacterTimeout();
        this.updateInterrupt();
    }

    private readReceiver(): number {
        const byte = this.fifo.pop();
        this.lsrErrors |= this.fifo.topErrors;
        this.timeoutPending = false;
        this.startCharacterTimeout();
        this.updateInterrupt();
        this.wire.resume();
        return byte;
    }

    /** Section 8.11: four character times without a character received or read while the FIFO holds some. */
    private startCharacterTimeout(): void {
        if (this.fifoEnabled() && this.fifo.count > 0) {
            this.characterTimeout.armIn(4 * this.characterTime());
        } else {
            this.characterTimeout.disarm();
        }
    }

    private clearReceiver(): void {
        this.fifo.clear();
        this.timeoutPending = false;
        this.characterTimeout.disarm();
    }

    // --- Transmitter ---

    private writeTransmitter(value: number): void {
        const byte = value & this.wordMask();
        // The line falls before it rises again, so that an edge-triggered controller sees each emptying.
        this.transmitterEmptyPending = false;
        this.updateInterrupt();
        if (this.modem.loopback) {
            this.deliver(byte, 0);
        } else if ((this.lcr & Lcr.break) === 0) {
            this.transmitted++;
            this.transmit(byte);
        }
        this.transmitterEmptyPending = true;
        this.updateInterrupt();
    }

    // --- Control ---

    private writeInterruptEnable(value: number): void {
        // Enabling the interrupt while THR is empty raises it at once; drivers probe for chips that forget to.
        if (value & ~this.ier & Ier.transmitterEmpty) {
            this.transmitterEmptyPending = true;
        }
        this.ier = value & 0x0f;
        this.updateInterrupt();
    }

    private writeFifoControl(value: number): void {
        const enabled = (value & 1) !== 0;
        if (enabled !== this.fifoEnabled()) {
            this.clearReceiver();
        }
        // The other bits are programmed only together with bit 0 (section 8.4).
        this.fcr = enabled ? value & 0xc9 : 0;
        if (enabled && value & 2) {
            this.clearReceiver();
        }
        this.updateInterrupt();
        this.wire.resume();
    }

    private setLineControl(value: number): void {
        const changed = this.lcr ^ value;
        this.lcr = value;
        if (changed & Lcr.break) {
            const held = (value & Lcr.break) !== 0;
            if (!this.modem.loopback) {
                this.lineBreak(held);
            } else if (held) {
                this.deliver(0, Lsr.break);
            }
        }
    }

    private readLineStatus(): number {
        const value =
            (this.fifo.count > 0 ? Lsr.ready : 0) |
            this.lsrErrors |
            Lsr.thre |
            Lsr.temt |
            (this.fifoEnabled() && this.fifo.errorCount > 0 ? Lsr.fifoError : 0);
        this.lsrErrors = 0;
        this.fifo.clearTopErrors();
        this.updateInterrupt();
        return value;
    }

    // --- Interrupts ---

    private receiveThresholdReached(): boolean {
        return this.fifo.count >= (this.fifoEnabled() ? triggerLevels[this.fcr >>> 6] : 1);
    }

    /** IIR bits 0–3 by the priorities of table IV. */
    private interruptIdentification(): number {
        if (this.ier & Ier.lineStatus && this.lsrErrors & lineErrors) {
            return Iir.lineStatus;
        }
        if (this.ier & Ier.receivedData) {
            if (this.receiveThresholdReached()) {
                return Iir.receivedData;
            }
            if (this.timeoutPending) {
                return Iir.timeout;
            }
        }
        if (this.ier & Ier.transmitterEmpty && this.transmitterEmptyPending) {
            return Iir.transmitterEmpty;
        }
        if (this.ier & Ier.modemStatus && this.modem.msr & modemDeltas) {
            return Iir.modemStatus;
        }
        return Iir.none;
    }

    private readInterruptIdentification(): number {
        const source = this.interruptIdentification();
        if (source === Iir.transmitterEmpty) {
            this.transmitterEmptyPending = false;
            this.updateInterrupt();
        }
        return source | (this.fifoEnabled() ? 0xc0 : 0);
    }

    private interruptRequested(): boolean {
        const gate = !this.out2GatesInterrupt || (this.modem.mcr & (Mcr.out2 | Mcr.loop)) === Mcr.out2;
        return gate && this.interruptIdentification() !== Iir.none;
    }

    private updateInterrupt(): void {
        const asserted = this.interruptRequested();
        if (asserted !== this.asserted) {
            this.asserted = asserted;
            this.irq.set(asserted);
        }
    }

    // --- State ---

    save(): StateRecord {
        return {
            kind: recordKind,
            version: recordVersion,
            fields: {
                ier: this.ier,
                fcr: this.fcr,
                lcr: this.lcr,
                lineProgrammed: this.lineProgrammed,
                mcr: this.modem.mcr,
                lsrErrors: this.lsrErrors,
                msr: this.modem.msr,
                scr: this.scr,
                divisor: this.divisor,
                modemInputs: this.modem.inputs,
                fifo: this.fifo.toBytes(),
                ...this.wire.save(),
                transmitterEmptyPending: this.transmitterEmptyPending,
                timeoutPending: this.timeoutPending,
                characterTimeout: this.characterTimeout.pending,
                received: this.received,
                transmitted: this.transmitted,
            },
        };
    }

    restore(record: StateRecord): void {
        const state = new StateReader(record, recordKind, recordVersion);
        if (!this.fifo.assign(state.bytes('fifo'))) {
            throw state.bad('fifo', 'not the content of a receiver FIFO');
        }
        this.ier = state.unsigned('ier', 0x0f);
        this.fcr = state.unsigned('fcr', 0xc9);
        this.lcr = state.u8('lcr');
        this.lineProgrammed = state.boolean('lineProgrammed');
        this.modem.mcr = state.unsigned('mcr', 0x1f);
        this.lsrErrors = state.u8('lsrErrors') & lineErrors;
        this.modem.msr = state.u8('msr');
        this.scr = state.u8('scr');
        this.divisor = state.u16('divisor');
        this.modem.inputs = state.u8('modemInputs') & 0xf0;
        this.wire.restore(state);
        this.transmitterEmptyPending = state.boolean('transmitterEmptyPending');
        this.timeoutPending = state.boolean('timeoutPending');
        this.characterTimeout.restore(state, 'characterTimeout');
        this.received = state.count('received');
        this.transmitted = state.count('transmitted');
        this.asserted = this.interruptRequested();
        this.irq.set(this.asserted);
    }

    inspect(): DeviceRegister[] {
        const baud = Math.round(this.inputClock / (16 * Math.max(1, this.divisor)));
        const source = this.interruptIdentification();
        const lsr = (this.fifo.count > 0 ? Lsr.ready : 0) | this.lsrErrors | Lsr.thre | Lsr.temt;
        const fifo = this.fifoEnabled() ? `FIFOs on, trigger at ${triggerLevels[this.fcr >>> 6]}` : 'FIFOs off';
        const iir = source | (this.fifoEnabled() ? 0xc0 : 0);
        const sourceName = Object.entries(Iir).find(([, code]) => code === source)?.[0];
        return [
            { name: 'IER', value: this.ier, width: 8, description: bitNames(Ier, this.ier) },
            { name: 'IIR', value: iir, width: 8, description: sourceName },
            { name: 'FCR', value: this.fcr, width: 8, description: fifo },
            {
                name: 'LCR',
                value: this.lcr,
                width: 8,
                description: `${baud} baud, ${characterFormat(this.lineFormat())}`,
            },
            { name: 'MCR', value: this.modem.mcr, width: 8, description: bitNames(Mcr, this.modem.mcr) },
            { name: 'LSR', value: lsr, width: 8, description: bitNames(Lsr, lsr) },
            { name: 'MSR', value: this.modem.msr, width: 8, description: bitNames(Msr, this.modem.msr) },
            { name: 'SCR', value: this.scr, width: 8 },
            { name: 'DL', value: this.divisor, width: 16, description: `${baud} baud` },
            { name: 'receiver', value: this.fifo.count, description: `${this.wire.length} more on the wire` },
            { name: 'received', value: this.received, description: 'characters since power-on' },
            { name: 'transmitted', value: this.transmitted, description: 'characters since power-on' },
            { name: 'INTR', value: this.asserted ? 1 : 0, width: 1 },
        ];
    }
}
