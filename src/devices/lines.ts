import { type InterruptLine } from './device';

/*
 * Wiring between interrupt sources and receivers.
 *
 * Snapshots: these helpers hold no state of their own. Every device drives its outputs again when it is restored, so
 * the board restores sources first, then the interrupt controllers (PIC, IOAPIC), then the local APICs: what the
 * re-driven lines stirred up in a controller is overwritten by that controller's own record.
 */

/** A wire that leads nowhere. */
export const unconnected: InterruptLine = { set: () => undefined };

/** One source of a {@link SharedLine}. */
class SharedInput implements InterruptLine {
    private asserted = false;

    constructor(private readonly change: (delta: 1 | -1) => void) {}

    set(asserted: boolean): void {
        if (asserted !== this.asserted) {
            this.asserted = asserted;
            this.change(asserted ? 1 : -1);
        }
    }
}

/**
 * Several sources on one wire (a wired OR, as PCI's INTx# or the SCI on ISA IRQ 9): asserted while any source asserts
 * it. The target only hears changes.
 */
export class SharedLine {
    private count = 0;

    constructor(private readonly target: InterruptLine) {}

    /** A new source; give each device its own. */
    input(): InterruptLine {
        return new SharedInput(delta => {
            this.count += delta;
            if (this.count === (delta === 1 ? 1 : 0)) {
                this.target.set(delta === 1);
            }
        });
    }

    /** Whether any source asserts the wire. */
    get asserted(): boolean {
        return this.count > 0;
    }
}

/** One source on several wires, as ISA IRQ 4 on both the PIC and IOAPIC pin 4. */
export class SplitLine implements InterruptLine {
    private readonly targets: readonly InterruptLine[];

    constructor(...targets: InterruptLine[]) {
        this.targets = targets;
    }

    set(asserted: boolean): void {
        for (const target of this.targets) {
            target.set(asserted);
        }
    }
}

/**
 * A wire with a switch, as ISA IRQ 0 while HPET's legacy replacement disconnects the PIT. While the switch is open the
 * target sees the line deasserted; closing it passes the source's level on.
 */
export class GatedLine implements InterruptLine {
    private asserted = false;

    constructor(
        private readonly target: InterruptLine,
        private closed = true,
    ) {}

    set(asserted: boolean): void {
        this.asserted = asserted;
        if (this.closed) {
            this.target.set(asserted);
        }
    }

    connect(closed: boolean): void {
        if (closed !== this.closed) {
            this.closed = closed;
            this.target.set(closed && this.asserted);
        }
    }
}
