import type { InterruptLine } from '../../devices/device';
import type { IoApic } from '../../devices/ioapic';
import { GatedLine, SharedLine, SplitLine } from '../../devices/lines';
import type { PicPair } from '../../devices/pic-pair';
import { BoardMap } from './board-map';

export const ISA_IRQS = 16;

/**
 * The ISA interrupts: each leads to the PIC and to the IOAPIC, and may have several sources. IRQ 0 reaches the IOAPIC
 * at another pin, as the interrupt source override of the MADT says, because pin 0 is the PIC's own.
 */
export class InterruptWiring {
    private readonly isa: readonly SharedLine[];
    private readonly timer: GatedLine;
    private readonly rtc: GatedLine;

    constructor(
        pic: PicPair,
        private readonly ioApic: IoApic,
    ) {
        this.isa = Array.from({ length: ISA_IRQS }, (_, irq) => {
            const pin = irq === 0 ? BoardMap.timerPin : irq;
            return new SharedLine(
                irq === BoardMap.timerPin ? pic.line(irq) : new SplitLine(pic.line(irq), ioApic.pin(pin)),
            );
        });
        this.timer = new GatedLine(this.isaInput(0));
        this.rtc = new GatedLine(this.isaInput(8));
    }

    /** A line for one more source on an ISA interrupt. */
    isaInput(irq: number): InterruptLine {
        return this.isa[irq].input();
    }

    /** An IOAPIC pin beyond the ISA interrupts. */
    ioApicPin(pin: number): InterruptLine {
        return this.ioApic.pin(pin);
    }

    /** Where the PIT and the RTC are connected: HPET's legacy replacement takes them off. */
    get timerInput(): InterruptLine {
        return this.timer;
    }

    get rtcInput(): InterruptLine {
        return this.rtc;
    }

    setLegacyReplacement(enabled: boolean): void {
        this.timer.connect(!enabled);
        this.rtc.connect(!enabled);
    }
}
