/**
 * I/O APIC: Intel 82093AA (order number 290566), section 3 "Register Description" (IOREGSEL, IOWIN, ID, version,
 * arbitration, redirection table) and 4 (edge and level, remote IRR), with the EOI register of version 20H as in Intel's
 * ICH datasheets, "APIC Registers".
 *
 * new IoApic({ bus, id?, name?, pins? })
 *   mmio region: 4 KiB, usually at 0xfec00000
 *   pin(n): inputs 0–23
 *
 * The line interface has no polarity (see `InterruptLine`): asserted means that the device wants attention, whichever
 * voltage that is. So the polarity bit is stored and shown but does not invert anything; firmware tables and guests agree
 * on it anyway.
 */

import { type ApicBus, DeliveryMode, type EoiListener, widenDestination } from './apic-bus';
import { type Device, type DeviceRegister, type InterruptLine, type IoRegion, type StateRecord } from './device';
import { DELIVERY_MODE_NAMES } from './local-apic-inspect';
import { StateReader } from './state-reader';

const KIND = 'ioapic';
const RECORD_VERSION = 1;

const VERSION = 0x20;
export const IOAPIC_PINS = 24;

const enum Offset {
    Select = 0x00,
    Window = 0x10,
    Eoi = 0x40,
}

const enum Index {
    Id = 0x00,
    Version = 0x01,
    Arbitration = 0x02,
    Redirection = 0x10,
}

/** Bits of the low half of a redirection entry. */
const enum Entry {
    Logical = 1 << 11,
    ActiveLow = 1 << 13,
    RemoteIrr = 1 << 14,
    Level = 1 << 15,
    Masked = 1 << 16,
    Writable = 0x0001_afff,
}

const DESTINATION = 0xff00_0000;

/** One entry of the redirection table. */
export interface RedirectionSnapshot {
    /** The two halves of the register. */
    readonly low: number;
    readonly high: number;
    /** The pin is asserted. */
    readonly asserted: boolean;
    readonly text: string;
}

export interface IoApicOptions {
    readonly name?: string;
    readonly bus: ApicBus;
    /** ID at reset; firmware may change it. */
    readonly id?: number;
    readonly pins?: number;
}

class Pin implements InterruptLine {
    constructor(
        private readonly ioApic: IoApic,
        private readonly index: number,
    ) {}

    set(asserted: boolean): void {
        this.ioApic.setPin(this.index, asserted);
    }
}

function isLevel(low: number): boolean {
    // Only vectors can be level triggered; NMI, INIT and ExtINT are edges whatever the bit says.
    return (low & Entry.Level) !== 0 && ((low >>> 8) & 7) <= DeliveryMode.LowestPriority;
}

export class IoApic implements Device, EoiListener {
    readonly name: string;
    readonly mmio: IoRegion;

    private readonly bus: ApicBus;
    private readonly resetId: number;
    private readonly pins: readonly InterruptLine[];
    private readonly asserted: boolean[];
    /** The redirection table, low and high halves. */
    private readonly low: Uint32Array;
    private readonly high: Uint32Array;
    private id = 0;
    private select = 0;

    constructor(options: IoApicOptions) {
        const count = options.pins ?? IOAPIC_PINS;
        this.name = options.name ?? 'ioapic';
        this.bus = options.bus;
        this.resetId = options.id ?? 0;
        this.pins = Array.from({ length: count }, (_, index) => new Pin(this, index));
        this.asserted = new Array<boolean>(count).fill(false);
        this.low = new Uint32Array(count);
        this.high = new Uint32Array(count);
        this.mmio = {
            read: (offset, size) => this.readMmio(offset, size),
            write: (offset, size, value) => this.writeMmio(offset, size, value),
        };
        this.bus.attachIoApic(this);
        this.reset();
    }

    pin(index: number): InterruptLine {
        return this.pins[index];
    }

    setPin(index: number, asserted: boolean): void {
        if (this.asserted[index] === asserted) {
            return;
        }
        this.asserted[index] = asserted;
        // An edge at a masked pin is lost, as the datasheet says; a level comes through when the pin is unmasked.
        if (asserted) {
            this.request(index);
        }
    }

    /** A local APIC, or a write to the EOI register, ends a level-triggered vector. */
    endOfInterrupt(vector: number): void {
        for (let index = 0; index < this.low.length; index++) {
            const entry = this.low[index];
            if ((entry & 0xff) === vector && (entry & Entry.RemoteIrr) !== 0) {
                this.low[index] &= ~Entry.RemoteIrr;
                this.requestLevel(index);
            }
        }
    }

    reset(): void {
        this.id = this.resetId & 15;
        this.select = 0;
        this.low.fill(Entry.Masked);
        this.high.fill(0);
    }

    save(): StateRecord {
        return {
            kind: KIND,
            version: RECORD_VERSION,
            fields: {
                id: this.id,
                select: this.select,
                pins: this.asserted.map(Number),
                low: Array.from(this.low),
                high: Array.from(this.high),
            },
        };
    }

    restore(record: StateRecord): void {
        const state = new StateReader(record, KIND, RECORD_VERSION);
        const count = this.low.length;
        const pins = state.words('pins', count);
        this.id = state.integer('id', 0, 15);
        this.select = state.u8('select');
        this.low.set(state.words('low', count));
        this.high.set(state.words('high', count));
        pins.forEach((level, index) => (this.asserted[index] = level !== 0));
    }

    /** The redirection table, pin by pin; for inspection. */
    snapshot(): { readonly id: number; readonly pins: readonly RedirectionSnapshot[] } {
        return {
            id: this.id,
            pins: Array.from(this.low, (low, index) => ({
                low,
                high: this.high[index],
                asserted: this.asserted[index],
                text: this.describe(index),
            })),
        };
    }

    inspect(): DeviceRegister[] {
        const entries = Array.from(this.low, (low, index): DeviceRegister => {
            const value = (BigInt(this.high[index]) << 32n) | BigInt(low);
            return { name: `pin ${index}`, value, width: 64, description: this.describe(index) };
        });
        return [
            { name: 'ID', value: this.id, width: 4 },
            { name: 'IOREGSEL', value: this.select, width: 8 },
            ...entries,
        ];
    }

    private describe(index: number): string {
        const low = this.low[index];
        const destination = `${(low & Entry.Logical) !== 0 ? 'logical' : 'APIC'} ${this.high[index] >>> 24}`;
        const parts = [
            (low & Entry.Level) !== 0 ? 'level' : 'edge',
            (low & Entry.ActiveLow) !== 0 ? 'active low' : '',
            DELIVERY_MODE_NAMES[(low >>> 8) & 7],
            `vector 0x${(low & 0xff).toString(16)} → ${destination}`,
            this.asserted[index] ? 'asserted' : '',
            (low & Entry.RemoteIrr) !== 0 ? 'remote IRR' : '',
            (low & Entry.Masked) !== 0 ? 'masked' : '',
        ];
        return parts.filter(part => part !== '').join(', ');
    }

    private readMmio(offset: number, size: number): number {
        const shift = (offset & 3) * 8;
        const value = ((offset & ~3) === Offset.Select ? this.select : this.readWindow(offset & ~3)) >>> shift;
        return size === 4 ? value : value & (size === 2 ? 0xffff : 0xff);
    }

    private readWindow(offset: number): number {
        if (offset !== Offset.Window) {
            return 0;
        }
        switch (this.select) {
            case Index.Id:
            case Index.Arbitration:
                return (this.id << 24) >>> 0;
            case Index.Version:
                return VERSION | ((this.low.length - 1) << 16);
            default: {
                const index = (this.select - Index.Redirection) >> 1;
                if (index < 0 || index >= this.low.length) {
                    return 0;
                }
                return (this.select & 1) === 0 ? this.low[index] : this.high[index];
            }
        }
    }

    private writeMmio(offset: number, size: number, value: number): void {
        if (offset === Offset.Select) {
            this.select = value & 0xff;
        } else if (offset === Offset.Window && size === 4) {
            this.writeWindow(value);
        } else if (offset === Offset.Eoi) {
            this.endOfInterrupt(value & 0xff);
        }
    }

    private writeWindow(value: number): void {
        if (this.select === Index.Id) {
            this.id = (value >>> 24) & 15;
            return;
        }
        const index = (this.select - Index.Redirection) >> 1;
        if (index < 0 || index >= this.low.length) {
            return;
        }
        if ((this.select & 1) !== 0) {
            this.high[index] = value & DESTINATION;
            return;
        }
        // Remote IRR belongs to the hardware, but an edge-triggered pin has none: Linux clears a stuck one that way.
        const remoteIrr = (value & Entry.Level) !== 0 ? this.low[index] & Entry.RemoteIrr : 0;
        this.low[index] = (value & Entry.Writable) | remoteIrr;
        this.requestLevel(index);
    }

    /** The pin has just been asserted. */
    private request(index: number): void {
        const low = this.low[index];
        if (isLevel(low)) {
            this.requestLevel(index);
        } else if ((low & Entry.Masked) === 0) {
            this.deliver(index, false);
        }
    }

    /** A level-triggered pin asks as long as it is asserted, but not again before its EOI. */
    private requestLevel(index: number): void {
        const low = this.low[index];
        if (this.asserted[index] && isLevel(low) && (low & (Entry.Masked | Entry.RemoteIrr)) === 0) {
            // Set first: whatever the delivery sets off must find it.
            this.low[index] |= Entry.RemoteIrr;
            if (!this.deliver(index, true)) {
                this.low[index] &= ~Entry.RemoteIrr;
            }
        }
    }

    private deliver(index: number, level: boolean): boolean {
        const low = this.low[index];
        const destination = widenDestination(this.high[index] >>> 24);
        return this.bus.send(destination, (low & Entry.Logical) !== 0, (low >>> 8) & 7, low & 0xff, level);
    }
}
