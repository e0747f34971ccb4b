/**
 * The two 8237A DMA controllers of a PC/AT with their page registers, for software that looks for them: no device of
 * this machine transfers by ISA DMA, so registers hold what is written and no channel ever runs.
 *
 * Datasheet: Intel 8237A (231466), "Register Description"; IBM PC AT Technical Reference for the page registers. The
 * second controller moves 16-bit words, and its registers lie two ports apart.
 */
import { ByteRegion } from './byte-region';
import { StateReader } from './state-reader';
import type { Device, DeviceRegister, IoRegion, StateRecord } from './device';

/** Registers of a controller from 8 on: read / write. */
const enum Register {
    statusCommand = 8,
    request = 9,
    singleMask = 10,
    mode = 11,
    clearFlipFlop = 12,
    temporaryMasterClear = 13,
    clearMask = 14,
    allMask = 15,
}

const channels = 4;
const pageRegisters = 15;
const recordKind = 'dma8237';
const recordVersion = 1;

class Controller {
    /** Base address and count of each channel, alternating. */
    readonly words = new Uint16Array(2 * channels);
    readonly modes = new Uint8Array(channels);
    command = 0;
    mask = 0x0f;
    /** The next access to a 16-bit register is to its high byte. */
    high = false;

    read(register: number): number {
        if (register < Register.statusCommand) {
            return (this.words[register] >>> this.nextShift()) & 0xff;
        }
        // No channel requests or has finished; the mask can be read on later chips.
        return register === Register.allMask ? this.mask | 0xf0 : 0;
    }

    write(register: number, value: number): void {
        if (register < Register.statusCommand) {
            const shift = this.nextShift();
            this.words[register] = (this.words[register] & (0xff00 >>> shift)) | (value << shift);
            return;
        }
        switch (register) {
            case Register.statusCommand:
                this.command = value;
                break;
            case Register.singleMask:
                this.mask = (this.mask & ~(1 << (value & 3))) | (((value >>> 2) & 1) << (value & 3));
                break;
            case Register.mode:
                this.modes[value & 3] = value;
                break;
            case Register.clearFlipFlop:
                this.high = false;
                break;
            case Register.temporaryMasterClear:
                this.reset();
                break;
            case Register.clearMask:
                this.mask = 0;
                break;
            case Register.allMask:
                this.mask = value & 0x0f;
                break;
        }
    }

    /** Master clear leaves addresses, counts and modes alone. */
    reset(): void {
        this.command = 0;
        this.mask = 0x0f;
        this.high = false;
    }

    private nextShift(): number {
        this.high = !this.high;
        return this.high ? 0 : 8;
    }
}

export class Dma8237 implements Device {
    readonly name: string;
    /** First controller: 16 ports from 0x00. */
    readonly first: IoRegion;
    /** Second controller: 32 ports from 0xc0. */
    readonly second: IoRegion;
    /** Page registers: 15 ports from 0x81 (0x80 is the diagnostic port). */
    readonly pages: IoRegion;
    private readonly controllers = [new Controller(), new Controller()] as const;
    private readonly page = new Uint8Array(pageRegisters);

    constructor(name: string) {
        this.name = name;
        const [first, second] = this.controllers;
        this.first = new ByteRegion(
            offset => first.read(offset),
            (offset, value) => first.write(offset, value),
        );
        this.second = new ByteRegion(
            offset => second.read(offset >>> 1),
            (offset, value) => second.write(offset >>> 1, value),
        );
        this.pages = new ByteRegion(
            offset => this.page[offset],
            (offset, value) => {
                this.page[offset] = value;
            },
        );
    }

    reset(): void {
        for (const controller of this.controllers) {
            controller.reset();
        }
    }

    save(): StateRecord {
        const controllers = this.controllers.map(({ words, modes, command, mask, high }) => ({
            words: [...words],
            modes: modes.slice(),
            command,
            mask,
            high,
        }));
        return { kind: recordKind, version: recordVersion, fields: { page: this.page.slice(), controllers } };
    }

    restore(record: StateRecord): void {
        const state = new StateReader(record, recordKind, recordVersion);
        const page = state.bytes('page', pageRegisters);
        const parts = state.parts('controllers', this.controllers.length).map(part => ({
            words: part.words('words', 2 * channels),
            modes: part.bytes('modes', channels),
            command: part.u8('command'),
            mask: part.unsigned('mask', 0x0f),
            high: part.boolean('high'),
        }));
        this.page.set(page);
        parts.forEach(({ words, modes, ...rest }, index) => {
            const controller = this.controllers[index];
            controller.words.set(words);
            controller.modes.set(modes);
            Object.assign(controller, rest);
        });
    }

    inspect(): DeviceRegister[] {
        return this.controllers.flatMap((controller, index) => [
            { name: `command ${index}`, value: controller.command, width: 8 },
            { name: `mask ${index}`, value: controller.mask, width: 4 },
            ...[0, 1, 2, 3].flatMap(channel => [
                { name: `channel ${4 * index + channel} address`, value: controller.words[2 * channel], width: 16 },
                { name: `channel ${4 * index + channel} count`, value: controller.words[2 * channel + 1], width: 16 },
            ]),
        ]);
    }
}
