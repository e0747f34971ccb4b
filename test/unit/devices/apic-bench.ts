import { ApicBus } from '../../../src/devices/apic-bus';
import { IoApic } from '../../../src/devices/ioapic';
import { LocalApic } from '../../../src/devices/local-apic';
import { FakeClock } from './fake-clock';

/** Stands for a processor: writes down what its local APIC tells it. */
export class FakeCpu {
    readonly log: string[] = [];
    changes = 0;

    interruptsChanged(): void {
        this.changes++;
    }

    nmi(): void {
        this.log.push('nmi');
    }

    init(): void {
        this.log.push('init');
    }

    startUp(vector: number): void {
        this.log.push(`startUp ${vector.toString(16)}`);
    }

    apicBaseChanged(): void {
        this.log.push('base');
    }
}

/** Offset of a register in the MMIO page. */
export const enum Apic {
    Id = 0x20,
    Version = 0x30,
    Tpr = 0x80,
    Ppr = 0xa0,
    Eoi = 0xb0,
    Ldr = 0xd0,
    Dfr = 0xe0,
    Svr = 0xf0,
    Isr = 0x100,
    Tmr = 0x180,
    Irr = 0x200,
    Esr = 0x280,
    IcrLow = 0x300,
    IcrHigh = 0x310,
    LvtTimer = 0x320,
    LvtPerformance = 0x340,
    LvtLint0 = 0x350,
    LvtLint1 = 0x360,
    LvtError = 0x370,
    InitialCount = 0x380,
    CurrentCount = 0x390,
    Divide = 0x3e0,
}

export interface ApicBenchOptions {
    readonly cpus?: number;
    readonly pic?: { acknowledge(): number };
    readonly start?: number;
}

/** Some processors' local APICs and an IOAPIC on one bus. The TSC runs at 2 GHz and started at power-on. */
export class ApicBench {
    readonly clock: FakeClock;
    readonly bus = new ApicBus();
    readonly cpus: FakeCpu[] = [];
    readonly apics: LocalApic[] = [];
    readonly ioApic: IoApic;

    constructor(options: ApicBenchOptions = {}) {
        this.clock = new FakeClock(options.start ?? 0);
        for (let id = 0; id < (options.cpus ?? 1); id++) {
            const cpu = new FakeCpu();
            this.cpus.push(cpu);
            this.apics.push(
                new LocalApic({
                    id,
                    bootstrap: id === 0,
                    clock: this.clock,
                    bus: this.bus,
                    cpu,
                    pic: options.pic,
                    timeOfTsc: (low, high) => Math.ceil((high * 2 ** 32 + low) / 2),
                }),
            );
        }
        this.ioApic = new IoApic({ bus: this.bus });
    }

    /** Software-enables every local APIC, as an operating system does first. */
    enable(): this {
        for (const apic of this.apics) {
            apic.mmio.write(Apic.Svr, 4, 0x1ff);
        }
        return this;
    }

    write(offset: Apic, value: number, cpu = 0): void {
        this.apics[cpu].mmio.write(offset, 4, value);
    }

    read(offset: Apic, cpu = 0): number {
        return this.apics[cpu].mmio.read(offset, 4);
    }

    /** Sends an IPI through the ICR of an xAPIC. */
    ipi(low: number, destination = 0, cpu = 0): void {
        this.write(Apic.IcrHigh, destination << 24, cpu);
        this.write(Apic.IcrLow, low, cpu);
    }

    /** Takes the pending interrupt and ends it. */
    serve(cpu = 0): number {
        const vector = this.apics[cpu].pendingVector() < 0 ? -1 : this.apics[cpu].acknowledge();
        if (vector >= 0) {
            this.write(Apic.Eoi, 0, cpu);
        }
        return vector;
    }

    /** Programs a redirection entry. */
    redirect(pin: number, low: number, destination = 0): void {
        this.ioWrite(0x11 + 2 * pin, destination << 24);
        this.ioWrite(0x10 + 2 * pin, low);
    }

    ioWrite(index: number, value: number): void {
        this.ioApic.mmio.write(0x00, 4, index);
        this.ioApic.mmio.write(0x10, 4, value >>> 0);
    }

    ioRead(index: number): number {
        this.ioApic.mmio.write(0x00, 4, index);
        return this.ioApic.mmio.read(0x10, 4);
    }

    /** Enters x2APIC mode. */
    x2apic(cpu = 0): void {
        this.apics[cpu].readMsr(0x1b);
        this.apics[cpu].writeMsr(0x1b, this.apics[cpu].msrLow | 0x400, 0);
    }
}
