/**
 * Keyboard controller with two PS/2 ports.
 *
 * Datasheet: Intel UPI-41/42 (8042) for the host interface (status and data bus buffer registers), IBM PS/2 Hardware
 * Interface Technical Reference, "Keyboard and Auxiliary Device Controller" (August 1991) for the firmware's commands,
 * status, command byte, input and output port.
 *
 * What differs: a command to the controller is carried out at once, and a byte from a device takes 100 µs, a tenth of
 * what the serial line needs: guests wait for it in loops.
 */
import { ByteQueue } from './byte-queue';
import { bitNames } from './bit-names';
import { ByteRegion } from './byte-region';
import { Deadline } from './deadline';
import { StateReader } from './state-reader';
import type { Clock, Device, DeviceRegister, InterruptLine, IoRegion, StateRecord } from './device';
import { translate } from './ps2/scan-codes';
import type { Ps2Device } from './ps2/ps2-device';

export interface I8042Options {
    readonly clock: Clock;
    readonly keyboard: Ps2Device;
    readonly mouse: Ps2Device;
    /** IRQ 1. */
    readonly keyboardIrq: InterruptLine;
    /** IRQ 12. */
    readonly mouseIrq: InterruptLine;
    /** Told whenever the guest writes the A20 gate's bit. The board owns the gate. */
    readonly setA20: (enabled: boolean) => void;
    /** The guest pulses the processors' reset line. */
    readonly reset: () => void;
}

const Status = { outputFull: 1, inputFull: 2, system: 4, command: 8, unlocked: 0x10, auxiliary: 0x20 } as const;
const CommandByte = {
    keyboardInterrupt: 1,
    mouseInterrupt: 2,
    system: 4,
    keyboardDisabled: 0x10,
    mouseDisabled: 0x20,
    translate: 0x40,
} as const;
const OutputPort = { notReset: 1, a20: 2, keyboardFull: 0x10, mouseFull: 0x20, alwaysOne: 0xcc } as const;
/** Manufacturing jumper open, keyboard not locked. */
const inputPort = 0xa0;

const Command = {
    readRam: 0x20,
    writeRam: 0x60,
    testPassword: 0xa4,
    loadPassword: 0xa5,
    disableMouse: 0xa7,
    enableMouse: 0xa8,
    testMouse: 0xa9,
    selfTest: 0xaa,
    testKeyboard: 0xab,
    disableKeyboard: 0xad,
    enableKeyboard: 0xae,
    readInputPort: 0xc0,
    readOutputPort: 0xd0,
    writeOutputPort: 0xd1,
    writeKeyboardBuffer: 0xd2,
    writeMouseBuffer: 0xd3,
    writeMouse: 0xd4,
    maskA20: 0xdd,
    openA20: 0xdf,
    readTestInputs: 0xe0,
    pulse: 0xf0,
} as const;

const selfTestPassed = 0x55;
const interfaceGood = 0x00;
const noPassword = 0xf1;
const byteTime = 100_000;
/** As firmware leaves it, for guests that are started without any: translating, keyboard interrupts, mouse off. */
const initialCommandByte =
    CommandByte.keyboardInterrupt | CommandByte.system | CommandByte.mouseDisabled | CommandByte.translate;
/** Results that wait while the guest does not read; each takes two places. */
const resultDepth = 16;
const recordKind = 'i8042';
const recordVersion = 1;

export class I8042 implements Device {
    readonly name: string;
    /** Port 0x60. */
    readonly data: IoRegion;
    /** Port 0x64. */
    readonly command: IoRegion;
    private readonly options: I8042Options;
    private readonly transfer: Deadline;
    /** The controller's RAM; its first byte is the command byte. */
    private readonly ram = new Uint8Array(32);
    private status: number = Status.system | Status.unlocked;
    private outputBuffer = 0;
    private outputPort: number = OutputPort.notReset | OutputPort.a20 | OutputPort.alwaysOne;
    /** The command that waits for its byte at port 0x60; 0 for none. */
    private pendingCommand = 0;
    /** The keyboard sent the break prefix, which translation swallows. */
    private breakPrefix = false;
    /** Pairs of a result byte and whether it counts as the mouse's. */
    private readonly results = new ByteQueue(resultDepth);

    constructor(name: string, options: I8042Options) {
        this.name = name;
        this.options = options;
        this.transfer = new Deadline(options.clock, `${name} transfer`, () => this.transferByte());
        this.ram[0] = initialCommandByte;
        this.data = new ByteRegion(
            offset => (offset === 0 ? this.readData() : 0xff),
            (offset, value) => {
                if (offset === 0) {
                    this.writeData(value);
                }
            },
        );
        this.command = new ByteRegion(
            offset => (offset === 0 ? this.status : 0xff),
            (offset, value) => {
                if (offset === 0) {
                    this.writeCommand(value);
                }
            },
        );
        options.keyboard.attach(() => this.fillOutput());
        options.mouse.attach(() => this.fillOutput());
    }

    reset(): void {
        this.transfer.disarm();
        this.ram.fill(0);
        this.ram[0] = initialCommandByte;
        this.status = Status.system | Status.unlocked;
        this.outputBuffer = 0;
        this.outputPort = OutputPort.notReset | OutputPort.a20 | OutputPort.alwaysOne;
        this.pendingCommand = 0;
        this.breakPrefix = false;
        this.results.clear();
        this.updateInterrupts();
    }

    // --- Host interface ---

    private readData(): number {
        const value = this.outputBuffer;
        if (this.status & Status.outputFull) {
            this.status &= ~(Status.outputFull | Status.auxiliary);
            this.updateInterrupts();
            this.fillOutput();
        }
        return value;
    }

    private writeData(value: number): void {
        this.status &= ~Status.command;
        const command = this.pendingCommand;
        this.pendingCommand = 0;
        switch (command) {
            case 0:
                // Talking to the keyboard enables its interface.
                this.ram[0] &= ~CommandByte.keyboardDisabled;
                this.options.keyboard.receive(value);
                break;
            case Command.writeOutputPort:
                this.writeOutputPort(value);
                break;
            case Command.writeKeyboardBuffer:
                this.result(value, false);
                break;
            case Command.writeMouseBuffer:
                this.result(value, true);
                break;
            case Command.writeMouse:
                this.ram[0] &= ~CommandByte.mouseDisabled;
                this.options.mouse.receive(value);
                break;
            case Command.loadPassword:
                // The password ends with a zero; there is no lock that it could open.
                this.pendingCommand = value === 0 ? 0 : command;
                break;
            default:
                this.writeRam(command & 0x1f, value);
        }
        this.fillOutput();
    }

    private writeCommand(command: number): void {
        this.status |= Status.command;
        this.pendingCommand = 0;
        if (command >= Command.pulse) {
            // Bits 0–3 low pulse the output port's bits; only bit 0, the reset line, goes anywhere.
            if ((command & 1) === 0) {
                this.options.reset();
            }
        } else if (command >= Command.writeRam && command < Command.writeRam + 32) {
            this.pendingCommand = command;
        } else if (command >= Command.readRam && command < Command.readRam + 32) {
            this.result(this.ram[command & 0x1f], false);
        } else {
            this.execute(command);
        }
        this.fillOutput();
    }

    private execute(command: number): void {
        switch (command) {
            case Command.testPassword:
                this.result(noPassword, false);
                break;
            case Command.loadPassword:
            case Command.writeOutputPort:
            case Command.writeKeyboardBuffer:
            case Command.writeMouseBuffer:
            case Command.writeMouse:
                this.pendingCommand = command;
                break;
            case Command.disableMouse:
                this.ram[0] |= CommandByte.mouseDisabled;
                break;
            case Command.enableMouse:
                this.ram[0] &= ~CommandByte.mouseDisabled;
                break;
            case Command.testMouse:
            case Command.testKeyboard:
                this.result(interfaceGood, false);
                break;
            case Command.selfTest:
                this.status |= Status.system;
                this.ram[0] |= CommandByte.system;
                this.results.clear();
                this.result(selfTestPassed, false);
                break;
            case Command.disableKeyboard:
                this.ram[0] |= CommandByte.keyboardDisabled;
                break;
            case Command.enableKeyboard:
                this.ram[0] &= ~CommandByte.keyboardDisabled;
                break;
            case Command.readInputPort:
                this.result(inputPort, false);
                break;
            case Command.readOutputPort:
                this.result(this.outputPort | this.fullBits(), false);
                break;
            case Command.maskA20:
                this.setA20(false);
                break;
            case Command.openA20:
                this.setA20(true);
                break;
            case Command.readTestInputs:
                this.result(0, false);
                break;
            default:
                // Unassigned: the firmware of the controller ignores it.
                break;
        }
    }

    private writeRam(index: number, value: number): void {
        this.ram[index] = value;
        if (index === 0) {
            this.status = (this.status & ~Status.system) | (value & CommandByte.system);
            this.updateInterrupts();
        }
    }

    private writeOutputPort(value: number): void {
        this.setA20((value & OutputPort.a20) !== 0);
        if ((value & OutputPort.notReset) === 0) {
            this.options.reset();
        }
    }

    private setA20(enabled: boolean): void {
        this.outputPort = (this.outputPort & ~OutputPort.a20) | (enabled ? OutputPort.a20 : 0);
        this.options.setA20(enabled);
    }

    // --- Output buffer ---

    /** A byte of the controller's own; it waits where the guest has not read the last one. */
    private result(byte: number, auxiliary: boolean): void {
        if (this.results.length + 2 <= resultDepth) {
            this.results.push(byte);
            this.results.push(auxiliary ? 1 : 0);
        }
    }

    /** Fills the empty output buffer from the controller itself, or sets a device's byte on its way. */
    private fillOutput(): void {
        if (this.status & Status.outputFull) {
            return;
        }
        if (this.results.length > 0) {
            const byte = this.results.shift();
            this.setOutput(byte, this.results.shift() !== 0);
        } else if (!this.transfer.armed && (this.keyboardReady() || this.mouseReady())) {
            this.transfer.armIn(byteTime);
        }
    }

    private transferByte(): void {
        if (this.status & Status.outputFull) {
            // A result came first; reading it starts the transfer again.
            return;
        }
        if (this.keyboardReady()) {
            this.keyboardByte(this.options.keyboard.take());
        } else if (this.mouseReady()) {
            this.setOutput(this.options.mouse.take(), true);
        }
        this.fillOutput();
    }

    private keyboardByte(byte: number): void {
        if ((this.ram[0] & CommandByte.translate) === 0) {
            this.breakPrefix = false;
            this.setOutput(byte, false);
        } else if (byte === 0xf0) {
            this.breakPrefix = true;
        } else {
            this.setOutput(translate(byte) | (this.breakPrefix ? 0x80 : 0), false);
            this.breakPrefix = false;
        }
    }

    private keyboardReady(): boolean {
        return (this.ram[0] & CommandByte.keyboardDisabled) === 0 && this.options.keyboard.hasOutput;
    }

    private mouseReady(): boolean {
        return (this.ram[0] & CommandByte.mouseDisabled) === 0 && this.options.mouse.hasOutput;
    }

    private setOutput(byte: number, auxiliary: boolean): void {
        this.outputBuffer = byte;
        this.status |= Status.outputFull | (auxiliary ? Status.auxiliary : 0);
        this.updateInterrupts();
    }

    /** The output port's bits 4 and 5 are the interrupt lines before the command byte's gates. */
    private fullBits(): number {
        if ((this.status & Status.outputFull) === 0) {
            return 0;
        }
        return this.status & Status.auxiliary ? OutputPort.mouseFull : OutputPort.keyboardFull;
    }

    private updateInterrupts(): void {
        const full = this.fullBits();
        const enabled = this.ram[0];
        this.options.keyboardIrq.set(
            full === OutputPort.keyboardFull && (enabled & CommandByte.keyboardInterrupt) !== 0,
        );
        this.options.mouseIrq.set(full === OutputPort.mouseFull && (enabled & CommandByte.mouseInterrupt) !== 0);
    }

    // --- State ---

    save(): StateRecord {
        return {
            kind: recordKind,
            version: recordVersion,
            fields: {
                ram: this.ram.slice(),
                status: this.status,
                outputBuffer: this.outputBuffer,
                outputPort: this.outputPort,
                pendingCommand: this.pendingCommand,
                breakPrefix: this.breakPrefix,
                results: this.results.toBytes(),
                transfer: this.transfer.pending,
            },
        };
    }

    restore(record: StateRecord): void {
        const state = new StateReader(record, recordKind, recordVersion);
        const results = state.bytes('results');
        if (results.length % 2 !== 0 || results.length > resultDepth) {
            throw state.bad('results', 'expected pairs of bytes');
        }
        this.ram.set(state.bytes('ram', this.ram.length));
        this.status = state.u8('status');
        this.outputBuffer = state.u8('outputBuffer');
        this.outputPort = state.u8('outputPort');
        this.pendingCommand = state.u8('pendingCommand');
        this.breakPrefix = state.boolean('breakPrefix');
        this.results.assign(results);
        this.transfer.restore(state, 'transfer');
        this.updateInterrupts();
    }

    inspect(): DeviceRegister[] {
        const commandByte = this.ram[0];
        const gate = this.outputPort & OutputPort.a20 ? 'open' : 'masked';
        const waiting = this.pendingCommand === 0 ? 'none' : 'waits for its byte at port 0x60';
        return [
            { name: 'status', value: this.status, width: 8, description: bitNames(Status, this.status) },
            { name: 'output buffer', value: this.outputBuffer, width: 8 },
            { name: 'command byte', value: commandByte, width: 8, description: bitNames(CommandByte, commandByte) },
            { name: 'output port', value: this.outputPort | this.fullBits(), width: 8, description: `A20 ${gate}` },
            { name: 'pending command', value: this.pendingCommand, width: 8, description: waiting },
        ];
    }
}
