/**
 * PS/2 keyboard with 105 keys, scan code sets 1 and 2.
 *
 * IBM PS/2 Hardware Interface Technical Reference, "101- and 102-Key Keyboards": "Commands from the System", "Commands
 * to the System", "Keyboard Buffer", "Typematic rate/delay".
 *
 * What differs: the self test takes 1 ms instead of half a second; set 3 is refused, and with it the commands that
 * concern only set 3 change nothing.
 */
import { Deadline } from '../deadline';
import { StateReader } from '../state-reader';
import type { Clock, Device, DeviceRegister, StateRecord } from '../device';
import { Answer, Ps2Device } from './ps2-device';
import { keyNames, scanCode, type Modifiers, type ScanCodeSet } from './scan-codes';

export interface Ps2KeyboardOptions {
    readonly clock: Clock;
    /** Told of the lights: bit 0 scroll lock, bit 1 num lock, bit 2 caps lock. */
    readonly leds?: (lights: number) => void;
}

const Command = {
    setLeds: 0xed,
    echo: 0xee,
    scanCodeSet: 0xf0,
    identify: 0xf2,
    typematic: 0xf3,
    enable: 0xf4,
    disable: 0xf5,
    defaults: 0xf6,
    setAllKeysFirst: 0xf7,
    setAllKeysLast: 0xfa,
    setKeyFirst: 0xfb,
    setKeyLast: 0xfd,
    resend: 0xfe,
    reset: 0xff,
} as const;

const identification = [0xab, 0x83];
const selfTestTime = 1_000_000;
/** 10.9 characters a second after 500 ms. */
const defaultTypematic = 0x2b;
const recordKind = 'ps2-keyboard';
const recordVersion = 1;

export class Ps2Keyboard extends Ps2Device implements Device {
    readonly name: string;
    private readonly leds: (lights: number) => void;
    private readonly selfTest: Deadline;
    private readonly repeat: Deadline;
    /** The command that waits for its argument; 0 for none. */
    private pendingCommand = 0;
    private scanning = true;
    private overrun = false;
    private set: ScanCodeSet = 2;
    private typematic = defaultTypematic;
    private lights = 0;
    private readonly held = new Set<string>();
    /** The key that repeats; empty for none. */
    private repeating = '';

    constructor(name: string, options: Ps2KeyboardOptions) {
        super();
        this.name = name;
        this.leds = options.leds ?? (() => undefined);
        this.selfTest = new Deadline(options.clock, `${name} self test`, () => this.answer(Answer.selfTestPassed));
        this.repeat = new Deadline(options.clock, `${name} typematic`, () => this.repeatKey());
    }

    /**
     * A key goes down or up. Pressing a held key again changes nothing: repeating is the keyboard's own affair.
     * @param key its name as in `KeyboardEvent.code`
     * @returns whether the keyboard has such a key
     */
    key(key: string, pressed: boolean): boolean {
        if (!keyNames.includes(key)) {
            return false;
        }
        if (this.held.has(key) === pressed) {
            return true;
        }
        this.send(key, pressed);
        if (pressed) {
            this.held.add(key);
            this.repeating = key === 'Pause' ? '' : key;
            if (this.scanning && this.repeating !== '') {
                this.repeat.armIn(this.typematicDelay());
            }
        } else {
            this.held.delete(key);
            if (this.repeating === key) {
                this.repeating = '';
                this.repeat.disarm();
            }
        }
        return true;
    }

    reset(): void {
        this.clearOutput();
        this.overrun = false;
        this.selfTest.disarm();
        this.pendingCommand = 0;
        this.scanning = true;
        this.setDefaults();
        this.setLights(0);
    }

    override receive(byte: number): void {
        const command = this.pendingCommand;
        this.pendingCommand = 0;
        // A command where an argument is due takes its place.
        if (command === 0 || byte >= Command.setLeds) {
            this.execute(byte);
            return;
        }
        switch (command) {
            case Command.setLeds:
                this.setLights(byte & 7);
                this.answer(Answer.acknowledge);
                break;
            case Command.scanCodeSet:
                this.chooseSet(byte);
                break;
            case Command.typematic:
                this.typematic = byte & 0x7f;
                this.answer(Answer.acknowledge);
                break;
            default:
                // The keys of set 3 that the commands 0xFB–0xFD list.
                this.pendingCommand = command;
                this.answer(Answer.acknowledge);
        }
    }

    private execute(command: number): void {
        switch (command) {
            case Command.setLeds:
            case Command.typematic:
                this.pendingCommand = command;
                this.answer(Answer.acknowledge);
                break;
            case Command.scanCodeSet:
                this.clearEvents();
                this.pendingCommand = command;
                this.answer(Answer.acknowledge);
                break;
            case Command.echo:
                this.answer(Answer.echo);
                break;
            case Command.identify:
                this.answer(Answer.acknowledge, ...identification);
                break;
            case Command.enable:
                this.clearEvents();
                this.scanning = true;
                this.answer(Answer.acknowledge);
                break;
            case Command.disable:
                this.scanning = false;
                this.setDefaults();
                this.clearEvents();
                this.answer(Answer.acknowledge);
                break;
            case Command.defaults:
                this.setDefaults();
                this.clearEvents();
                this.answer(Answer.acknowledge);
                break;
            case Command.resend:
                this.repeatLast();
                break;
            case Command.reset:
                this.reset();
                this.answer(Answer.acknowledge);
                this.selfTest.armIn(selfTestTime);
                break;
            default:
                if (command >= Command.setKeyFirst && command <= Command.setKeyLast) {
                    this.pendingCommand = command;
                    this.answer(Answer.acknowledge);
                } else if (command >= Command.setAllKeysFirst && command <= Command.setAllKeysLast) {
                    this.answer(Answer.acknowledge);
                } else {
                    this.answer(Answer.resend);
                }
        }
    }

    private clearEvents(): void {
        this.events.clear();
        this.overrun = false;
    }

    private chooseSet(argument: number): void {
        if (argument === 0) {
            this.answer(Answer.acknowledge, this.set);
        } else if (argument === 1 || argument === 2) {
            this.set = argument;
            this.answer(Answer.acknowledge);
        } else {
            this.answer(Answer.resend);
        }
    }

    private setDefaults(): void {
        this.set = 2;
        this.typematic = defaultTypematic;
        this.repeating = '';
        this.repeat.disarm();
    }

    private setLights(lights: number): void {
        if (lights !== this.lights) {
            this.lights = lights;
            this.leds(lights);
        }
    }

    private send(key: string, pressed: boolean): void {
        if (!this.scanning) {
            return;
        }
        const modifiers: Modifiers = {
            alt: this.held.has('AltLeft') || this.held.has('AltRight'),
            control: this.held.has('ControlLeft') || this.held.has('ControlRight'),
            shift: this.held.has('ShiftLeft') || this.held.has('ShiftRight'),
        };
        const bytes = scanCode(key, pressed, this.set, modifiers) ?? [];
        if (!this.overrun && bytes.length < this.eventRoom) {
            this.event(bytes);
        } else if (!this.overrun) {
            // The last place in the buffer is for saying so; then nothing until the guest has read it empty.
            this.overrun = true;
            this.event([this.set === 1 ? 0xff : 0x00]);
        }
    }

    protected override outputTaken(): void {
        if (this.events.length === 0) {
            this.overrun = false;
        }
    }

    private repeatKey(): void {
        if (this.repeating !== '' && this.scanning) {
            // Repetitions that the guest is too slow for are not worth an overrun.
            if (!this.hasOutput) {
                this.send(this.repeating, true);
            }
            this.repeat.armIn(this.typematicPeriod());
        }
    }

    /** Bits 5–6: 250 ms to 1 s. */
    private typematicDelay(): number {
        return ((this.typematic >>> 5) + 1) * 250e6;
    }

    /** Bits 0–2 are a mantissa A and bits 3–4 an exponent B: (8 + A) · 2^B · 4.17 ms. */
    private typematicPeriod(): number {
        return (8 + (this.typematic & 7)) * 2 ** ((this.typematic >>> 3) & 3) * 4.17e6;
    }

    save(): StateRecord {
        return {
            kind: recordKind,
            version: recordVersion,
            fields: {
                ...this.saveOutput(),
                selfTest: this.selfTest.pending,
                repeat: this.repeat.pending,
                pendingCommand: this.pendingCommand,
                scanning: this.scanning,
                overrun: this.overrun,
                set: this.set,
                typematic: this.typematic,
                lights: this.lights,
                held: [...this.held],
                repeating: this.repeating,
            },
        };
    }

    restore(record: StateRecord): void {
        const state = new StateReader(record, recordKind, recordVersion);
        const held = state.list('held').map(key => {
            if (typeof key !== 'string' || !keyNames.includes(key)) {
                throw state.bad('held', 'expected names of keys');
            }
            return key;
        });
        const repeating = state.string('repeating');
        if (repeating !== '' && !keyNames.includes(repeating)) {
            throw state.bad('repeating', 'expected the name of a key');
        }
        this.restoreOutput(state);
        this.selfTest.restore(state, 'selfTest');
        this.repeat.restore(state, 'repeat');
        this.pendingCommand = state.u8('pendingCommand');
        this.scanning = state.boolean('scanning');
        this.overrun = state.boolean('overrun');
        this.set = state.integer('set', 1, 2) as ScanCodeSet;
        this.typematic = state.unsigned('typematic', 0x7f);
        this.setLights(state.unsigned('lights', 7));
        this.held.clear();
        held.forEach(key => this.held.add(key));
        this.repeating = repeating;
    }

    inspect(): DeviceRegister[] {
        const delay = this.typematicDelay() / 1e6;
        const rate = (1e9 / this.typematicPeriod()).toFixed(1);
        return [
            { name: 'scanning', value: this.scanning ? 1 : 0, width: 1 },
            { name: 'scan code set', value: this.set },
            { name: 'typematic', value: this.typematic, width: 8, description: `${rate}/s after ${delay} ms` },
            { name: 'LEDs', value: this.lights, width: 3, description: 'caps, num, scroll lock' },
            { name: 'held', value: [...this.held].join(' ') },
            { name: 'buffered', value: this.answers.length + this.events.length, description: 'bytes to send' },
        ];
    }
}
