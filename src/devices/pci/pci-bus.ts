/**
 * A PCI bus: functions by device and function number, and the wiring of their interrupt pins to the four PIRQ lines.
 *
 * PCI Local Bus Specification, revision 3.0, section 2.2.6 (interrupt pins) and 3.2.2.3 (configuration cycles).
 */
import { allOnes } from '../byte-wide';
import type { InterruptLine } from '../device';
import { SharedLine } from '../lines';
import type { MessageSink, PciFunction, PciMapper } from './pci-function';

export interface PciBusOptions {
    readonly mapper: PciMapper;
    readonly messages: MessageSink;
    /** The lines PIRQA# to PIRQD#. */
    readonly pirqs: readonly InterruptLine[];
    /** Which PIRQ (0–3) pin 1–4 of a device is wired to; the default is that of 440FX boards. */
    readonly swizzle?: (device: number, pin: number) => number;
}

/** Device 1 has INTA# on PIRQA#, and each next device is turned by one. */
export function i440fxSwizzle(device: number, pin: number): number {
    return (device + pin + 2) & 3;
}

/** A function's number on its bus: device in bits 3–7, function in bits 0–2. */
export function devfn(device: number, functionNumber: number): number {
    return (device << 3) | functionNumber;
}

export class PciBus {
    private readonly options: PciBusOptions;
    private readonly pirqs: readonly SharedLine[];
    private readonly swizzle: (device: number, pin: number) => number;
    private readonly slots: (PciFunction | undefined)[] = new Array<PciFunction | undefined>(256).fill(undefined);

    constructor(options: PciBusOptions) {
        this.options = options;
        this.pirqs = options.pirqs.map(line => new SharedLine(line));
        this.swizzle = options.swizzle ?? i440fxSwizzle;
    }

    /**
     * Plugs a function in. Function 0 of a device comes first.
     * @throws RangeError where the place does not exist or is taken: a defect of the board
     */
    attach(device: number, functionNumber: number, plugged: PciFunction): void {
        const place = devfn(device, functionNumber);
        const present = this.slots[place];
        const first = this.slots[devfn(device, 0)];
        if (device < 0 || device > 31 || functionNumber < 0 || functionNumber > 7) {
            throw new RangeError(`PCI place ${device}.${functionNumber} for '${plugged.name}' does not exist`);
        }
        if (present !== undefined) {
            throw new RangeError(`PCI place ${device}.${functionNumber} for '${plugged.name}' has '${present.name}'`);
        }
        if (functionNumber !== 0) {
            if (first === undefined) {
                throw new RangeError(`PCI device ${device} of '${plugged.name}' has no function 0 yet`);
            }
            first.markMultifunction();
        }
        this.slots[place] = plugged;
        const pin = plugged.interruptPin;
        plugged.plug({
            mapper: this.options.mapper,
            messages: this.options.messages,
            intx: pin === 0 ? { set: () => undefined } : this.pirqs[this.swizzle(device, pin)].input(),
        });
    }

    /** The functions plugged in, with their numbers, in order. */
    *functions(): Iterable<{ readonly devfn: number; readonly function: PciFunction }> {
        for (let place = 0; place < this.slots.length; place++) {
            const plugged = this.slots[place];
            if (plugged !== undefined) {
                yield { devfn: place, function: plugged };
            }
        }
    }

    /** A configuration read; ones where no function answers (master abort). */
    readConfiguration(place: number, offset: number, size: number): number {
        return this.slots[place]?.readConfiguration(offset, size) ?? allOnes(size);
    }

    /** A configuration write; dropped where no function answers. */
    writeConfiguration(place: number, offset: number, size: number, value: number): void {
        this.slots[place]?.writeConfiguration(offset, size, value);
    }
}
