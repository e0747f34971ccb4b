/**
 * PCI-to-ISA bridge that routes PCI interrupts to ISA ones.
 *
 * Datasheet: Intel 82371SB (PIIX3), "PCI ISA IDE Xcelerator" (April 1997), section 2.2: 2.2.10 PIRQRC[A:D] (0x60–0x63).
 * The other registers keep what is written and do nothing; the reset control register is with the configuration ports.
 */
import { StateReader } from '../state-reader';
import type { DeviceRegister, InterruptLine, StateRecord } from '../device';
import { ConfigRegister } from './configuration-space';
import { PciFunction } from './pci-function';

const pirqRoute = 0x60;
/** Bit 7 of a route disables it. */
const routeDisabled = 0x80;
/** ISA interrupts that a PIRQ can be routed to: not those of the timer, keyboard, cascade, RTC and coprocessor. */
const routable = 0b1101_1110_1111_1000;
/** PCISTS: medium DEVSEL# timing. */
const STATUS = 0x0200;
const recordKind = 'piix3-isa-bridge';
const recordVersion = 1;

export class Piix3IsaBridge extends PciFunction {
    /** PIRQA# to PIRQD#, for the bus to drive. */
    readonly pirqs: readonly InterruptLine[];
    private readonly isaIrqs: readonly InterruptLine[];
    private readonly asserted = [false, false, false, false];
    /** ISA interrupts that a PIRQ asserts, one bit each. */
    private driven = 0;

    /**
     * @param isaIrqs the 16 ISA interrupt lines, shared with ISA devices by the board; those that cannot be routed to
     *     are never driven
     */
    constructor(name: string, isaIrqs: readonly InterruptLine[]) {
        super(name, {
            vendorId: 0x8086,
            deviceId: 0x7000,
            classCode: 0x060100,
            subsystemVendorId: 0x1af4,
            subsystemId: 0x1100,
        });
        this.isaIrqs = isaIrqs;
        this.configuration.set(ConfigRegister.status, 2, STATUS);
        for (let offset = 0x40; offset < 0x100; offset += 4) {
            this.configuration.allow(offset, 4, 0xffffffff);
        }
        this.configuration.set(0x4c, 1, 0x4d);
        this.configuration.set(0x4e, 2, 0x03);
        this.configuration.set(0x69, 1, 0x02);
        for (let pirq = 0; pirq < 4; pirq++) {
            this.configuration.set(pirqRoute + pirq, 1, routeDisabled);
            this.configuration.allow(pirqRoute + pirq, 1, 0x8f);
        }
        this.configuration.freeze();
        this.pirqs = this.asserted.map((_, pirq) => ({
            set: asserted => {
                this.asserted[pirq] = asserted;
                this.drive();
            },
        }));
    }

    /** The ISA interrupt that a PIRQ (0–3) is routed to; -1 for none. */
    route(pirq: number): number {
        const route = this.configuration.bytes[pirqRoute + pirq];
        const irq = route & 0x0f;
        return (route & routeDisabled) === 0 && (routable >>> irq) & 1 ? irq : -1;
    }

    protected override configurationWritten(offset: number, size: number): void {
        if (offset < pirqRoute + 4 && offset + size > pirqRoute) {
            this.drive();
        }
    }

    private drive(): void {
        let wanted = 0;
        for (let pirq = 0; pirq < 4; pirq++) {
            const irq = this.asserted[pirq] ? this.route(pirq) : -1;
            wanted |= irq < 0 ? 0 : 1 << irq;
        }
        const changed = wanted ^ this.driven;
        this.driven = wanted;
        for (let irq = 0; irq < 16; irq++) {
            if ((changed >>> irq) & 1) {
                this.isaIrqs[irq].set(((wanted >>> irq) & 1) !== 0);
            }
        }
    }

    override reset(): void {
        super.reset();
        this.drive();
    }

    /** The levels of the PIRQs are the functions' to drive again. */
    save(): StateRecord {
        return { kind: recordKind, version: recordVersion, fields: this.saveFunction() };
    }

    restore(record: StateRecord): void {
        this.restoreFunction(new StateReader(record, recordKind, recordVersion));
        this.drive();
    }

    inspect(): DeviceRegister[] {
        return [
            ...this.inspectFunction(),
            ...this.asserted.map((asserted, pirq) => {
                const irq = this.route(pirq);
                const target = irq < 0 ? 'not routed' : `IRQ ${irq}`;
                return {
                    name: `PIRQRC${'ABCD'[pirq]}`,
                    value: this.configuration.bytes[pirqRoute + pirq],
                    width: 8,
                    description: asserted ? `${target}, asserted` : target,
                };
            }),
        ];
    }
}
