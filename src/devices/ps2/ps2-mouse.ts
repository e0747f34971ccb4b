/**
 * PS/2 mouse with wheel and five buttons.
 *
 * IBM PS/2 Hardware Interface Technical Reference, "Auxiliary Device" (commands, modes, data packet); the wheel and the
 * two extra buttons as Microsoft's IntelliMouse and IntelliMouse Explorer announce them: the sample rates 200, 100, 80
 * turn identification 0 into 3, and then 200, 200, 80 turn 3 into 4.
 *
 * What differs: the self test takes 1 ms instead of half a second.
 */
import { ByteQueue } from '../byte-queue';
import { Deadline } from '../deadline';
import { StateReader } from '../state-reader';
import type { Clock, Device, DeviceRegister, StateRecord } from '../device';
import { Answer, Ps2Device } from './ps2-device';

/** Buttons held, as the first byte of a packet has them; the last two only in Explorer packets. */
export const MouseButton = { left: 1, right: 2, middle: 4, back: 8, forward: 16 } as const;

const Command = {
    scaling1: 0xe6,
    scaling2: 0xe7,
    resolution: 0xe8,
    status: 0xe9,
    stream: 0xea,
    read: 0xeb,
    endWrap: 0xec,
    wrap: 0xee,
    remote: 0xf0,
    identify: 0xf2,
    sampleRate: 0xf3,
    enable: 0xf4,
    disable: 0xf5,
    defaults: 0xf6,
    resend: 0xfe,
    reset: 0xff,
} as const;

const selfTestTime = 1_000_000;
const validRates = [10, 20, 40, 60, 80, 100, 200];
/** What 2:1 scaling makes of the counts 0–5; above, it doubles. */
const scaled = [0, 1, 1, 3, 6, 9];
/** A pointer that left the desk behind: movement beyond this is lost, as counters on the chip are. */
const movementLimit = 1 << 15;
const recordKind = 'ps2-mouse';
const recordVersion = 1;

export class Ps2Mouse extends Ps2Device implements Device {
    readonly name: string;
    private readonly selfTest: Deadline;
    /** Until when the sample rate forbids the next packet. */
    private readonly sample: Deadline;
    private pendingCommand = 0;
    private erred = false;
    private remote = false;
    private wrap = false;
    private reporting = false;
    private scaling2 = false;
    private resolution = 2;
    private sampleRate = 100;
    private identification = 0;
    /** The last three sample rates set, latest last. */
    private rates: number[] = [0, 0, 0];
    private dx = 0;
    private dy = 0;
    private dz = 0;
    /** Buttons as the last packet showed them, and the states that packets have yet to show. */
    private buttons = 0;
    private readonly buttonStates = new ByteQueue(16);

    constructor(name: string, options: { readonly clock: Clock }) {
        super();
        this.name = name;
        this.selfTest = new Deadline(options.clock, `${name} self test`, () =>
            this.answer(Answer.selfTestPassed, this.identification),
        );
        this.sample = new Deadline(options.clock, `${name} sample`, () => this.sendPacket());
    }

    /** Movement in counts: right, down, wheel towards the user are positive. */
    move(right: number, down: number, wheel = 0): void {
        const limited = (value: number) => Math.max(-movementLimit, Math.min(movementLimit, Math.trunc(value)));
        this.dx = limited(this.dx + right);
        this.dy = limited(this.dy - down);
        this.dz = limited(this.dz + wheel);
        this.sendPacket();
    }

    /** Which buttons are held now: a sum of `MouseButton`s. */
    setButtons(buttons: number): void {
        // Where the guest is too slow, old clicks are lost, and never the last state.
        if (!this.buttonStates.push(buttons & 0x1f)) {
            this.buttonStates.shift();
            this.buttonStates.push(buttons & 0x1f);
        }
        this.sendPacket();
    }

    reset(): void {
        this.clearOutput();
        this.selfTest.disarm();
        this.pendingCommand = 0;
        this.erred = false;
        this.wrap = false;
        this.identification = 0;
        this.rates = [0, 0, 0];
        this.setDefaults();
    }

    override receive(byte: number): void {
        if (this.wrap && byte !== Command.reset && byte !== Command.endWrap) {
            this.answer(byte);
            return;
        }
        const command = this.pendingCommand;
        this.pendingCommand = 0;
        // The device stops talking about movement when it is spoken to.
        this.events.clear();
        if (command === Command.sampleRate) {
            this.setSampleRate(byte);
        } else if (command === Command.resolution) {
            this.setResolution(byte);
        } else {
            this.execute(byte);
        }
    }

    private execute(command: number): void {
        switch (command) {
            case Command.scaling1:
            case Command.scaling2:
                this.scaling2 = command === Command.scaling2;
                break;
            case Command.resolution:
            case Command.sampleRate:
                this.pendingCommand = command;
                break;
            case Command.status:
                this.acknowledge(this.statusByte(), this.resolution, this.sampleRate);
                return;
            case Command.stream:
                this.remote = false;
                this.discardMovement();
                break;
            case Command.remote:
                this.remote = true;
                this.discardMovement();
                break;
            case Command.read:
                this.acknowledge(...this.packet());
                return;
            case Command.wrap:
                this.wrap = true;
                break;
            case Command.endWrap:
                this.wrap = false;
                break;
            case Command.identify:
                this.acknowledge(this.identification);
                return;
            case Command.enable:
                this.reporting = true;
                this.discardMovement();
                break;
            case Command.disable:
                this.reporting = false;
                break;
            case Command.defaults:
                this.setDefaults();
                break;
            case Command.resend:
                this.repeatLast();
                return;
            case Command.reset:
                this.reset();
                this.selfTest.armIn(selfTestTime);
                break;
            default:
                this.refuse();
                return;
        }
        this.acknowledge();
    }

    private acknowledge(...bytes: number[]): void {
        this.erred = false;
        this.answer(Answer.acknowledge, ...bytes);
    }

    /** The first invalid byte is asked for again, a second one in a row is an error. */
    private refuse(): void {
        this.answer(this.erred ? Answer.error : Answer.resend);
        this.erred = !this.erred;
    }

    private setSampleRate(rate: number): void {
        if (!validRates.includes(rate)) {
            this.pendingCommand = this.erred ? 0 : Command.sampleRate;
            this.refuse();
            return;
        }
        this.sampleRate = rate;
        this.rates = [this.rates[1], this.rates[2], rate];
        const knock = this.rates.join();
        if (knock === '200,100,80' && this.identification === 0) {
            this.identification = 3;
        } else if (knock === '200,200,80' && this.identification !== 0) {
            this.identification = 4;
        }
        this.acknowledge();
    }

    private setResolution(resolution: number): void {
        if (resolution > 3) {
            this.pendingCommand = this.erred ? 0 : Command.resolution;
            this.refuse();
            return;
        }
        this.resolution = resolution;
        this.acknowledge();
    }

    private setDefaults(): void {
        this.reporting = false;
        this.remote = false;
        this.scaling2 = false;
        this.resolution = 2;
        this.sampleRate = 100;
        this.sample.disarm();
        this.discardMovement();
    }

    /** What has happened up to now is not shown any more; the buttons are as they are. */
    private discardMovement(): void {
        while (this.buttonStates.length > 0) {
            this.buttons = this.buttonStates.shift();
        }
        this.dx = 0;
        this.dy = 0;
        this.dz = 0;
    }

    private statusByte(): number {
        return (
            (this.remote ? 0x40 : 0) |
            (this.reporting ? 0x20 : 0) |
            (this.scaling2 ? 0x10 : 0) |
            (this.buttons & MouseButton.left ? 4 : 0) |
            (this.buttons & MouseButton.middle ? 2 : 0) |
            (this.buttons & MouseButton.right ? 1 : 0)
        );
    }

    /** In stream mode, once the last packet is out and its sample time over. */
    private sendPacket(): void {
        const something = this.dx !== 0 || this.dy !== 0 || this.dz !== 0 || this.buttonStates.length > 0;
        if (!this.reporting || this.remote || this.wrap || this.hasOutput || this.sample.armed || !something) {
            return;
        }
        this.sample.armIn(1e9 / this.sampleRate);
        this.event(this.packet());
    }

    protected override outputTaken(): void {
        if (!this.hasOutput) {
            this.sendPacket();
        }
    }

    /** Takes the next packet from what has accumulated; what exceeds its range waits for the one after. */
    private packet(): number[] {
        if (this.buttonStates.length > 0) {
            this.buttons = this.buttonStates.shift();
        }
        const clamp = (value: number, limit: number) => Math.max(-limit - 1, Math.min(limit, value));
        const dx = clamp(this.dx, 255);
        const dy = clamp(this.dy, 255);
        this.dx -= dx;
        this.dy -= dy;
        const x = this.scale(dx);
        const y = this.scale(dy);
        const bytes = [(this.buttons & 7) | 8 | (x < 0 ? 0x10 : 0) | (y < 0 ? 0x20 : 0), x & 0xff, y & 0xff];
        const wheel = clamp(this.dz, 7);
        if (this.identification === 0) {
            this.dz = 0;
            return bytes;
        }
        this.dz -= wheel;
        const extraButtons = this.identification === 4 ? ((this.buttons >>> 3) & 3) << 4 : 0;
        return [...bytes, this.identification === 4 ? (wheel & 0x0f) | extraButtons : wheel & 0xff];
    }

    /** Scaling 2:1 holds for streaming only. */
    private scale(counts: number): number {
        if (!this.scaling2 || this.remote) {
            return counts;
        }
        const magnitude = Math.abs(counts);
        const result = Math.min(255, magnitude < scaled.length ? scaled[magnitude] : 2 * magnitude);
        return counts < 0 ? -result : result;
    }

    save(): StateRecord {
        return {
            kind: recordKind,
            version: recordVersion,
            fields: {
                ...this.saveOutput(),
                selfTest: this.selfTest.pending,
                sample: this.sample.pending,
                pendingCommand: this.pendingCommand,
                erred: this.erred,
                remote: this.remote,
                wrap: this.wrap,
                reporting: this.reporting,
                scaling2: this.scaling2,
                resolution: this.resolution,
                sampleRate: this.sampleRate,
                identification: this.identification,
                rates: Uint8Array.from(this.rates),
                dx: this.dx,
                dy: this.dy,
                dz: this.dz,
                buttons: this.buttons,
                buttonStates: this.buttonStates.toBytes(),
            },
        };
    }

    restore(record: StateRecord): void {
        const state = new StateReader(record, recordKind, recordVersion);
        const sampleRate = state.u8('sampleRate');
        if (!validRates.includes(sampleRate)) {
            throw state.bad('sampleRate', `${sampleRate} is no sample rate`);
        }
        this.restoreOutput(state);
        this.selfTest.restore(state, 'selfTest');
        this.sample.restore(state, 'sample');
        this.pendingCommand = state.u8('pendingCommand');
        this.erred = state.boolean('erred');
        this.remote = state.boolean('remote');
        this.wrap = state.boolean('wrap');
        this.reporting = state.boolean('reporting');
        this.scaling2 = state.boolean('scaling2');
        this.resolution = state.unsigned('resolution', 3);
        this.sampleRate = sampleRate;
        this.identification = state.unsigned('identification', 4);
        this.rates = [...state.bytes('rates', 3)];
        this.dx = state.integer('dx', -movementLimit, movementLimit);
        this.dy = state.integer('dy', -movementLimit, movementLimit);
        this.dz = state.integer('dz', -movementLimit, movementLimit);
        this.buttons = state.unsigned('buttons', 0x1f);
        this.buttonStates.assign(state.bytes('buttonStates'));
    }

    inspect(): DeviceRegister[] {
        const mode = this.wrap ? 'wrap' : this.remote ? 'remote' : 'stream';
        const kinds: { readonly [id: number]: string } = { 0: 'plain', 3: 'wheel', 4: 'wheel and five buttons' };
        return [
            { name: 'status', value: this.statusByte(), width: 8, description: mode },
            { name: 'reporting', value: this.reporting ? 1 : 0, width: 1 },
            { name: 'identification', value: this.identification, width: 8, description: kinds[this.identification] },
            { name: 'sample rate', value: this.sampleRate, description: 'packets a second' },
            { name: 'resolution', value: this.resolution, description: `${2 ** this.resolution} counts/mm` },
            { name: 'buttons', value: this.buttons, width: 5 },
            { name: 'buffered', value: this.answers.length + this.events.length, description: 'bytes to send' },
        ];
    }
}
