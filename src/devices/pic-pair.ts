/**
 * The PC/AT interrupt controller: two 8259A (see `pic8259.ts`), the slave's INT on the master's IR2, and the two
 * edge/level control registers of Intel 82371AB (PIIX4), section 4.2.4.3.
 *
 * new PicPair({ name?, intr })
 *   intr: the CPU's INTR pin, usually through LINT0 of the bootstrap processor's local APIC
 *   regions: master (2 bytes, port 0x20), slave (2 bytes, port 0xa0), elcr (2 bytes, port 0x4d0)
 *   line(irq): ISA inputs 0–15; IRQ 2 is the cascade and leads nowhere
 *   acknowledge(): the INTA cycle; returns the vector
 */

import { ByteRegion } from './byte-region';
import { type Device, type DeviceRegister, type InterruptLine, type StateRecord } from './device';
import { unconnected } from './lines';
import { Pic8259, type PicSnapshot } from './pic8259';
import { StateReader } from './state-reader';

const KIND = 'pic8259-pair';
const VERSION = 1;

/** The master's input that the board wires to the slave's INT. */
const CASCADE_IR = 2;
/** What nobody drives reads as ones: no slave answers to the identity on the cascade lines. */
const FLOATING_BUS = 0xff;

/** IRQ 0, 1 and 2 stay edge triggered, on the second chip IRQ 8 and 13. */
const ELCR_WRITABLE = [0xf8, 0xde];

export interface PicPairOptions {
    readonly name?: string;
    readonly intr: InterruptLine;
}

export class PicPair implements Device {
    readonly name: string;
    readonly master: ByteRegion;
    readonly slave: ByteRegion;
    readonly elcr: ByteRegion;

    private readonly masterChip: Pic8259;
    private readonly slaveChip: Pic8259;

    constructor(options: PicPairOptions) {
        this.name = options.name ?? 'pic';
        const master = new Pic8259(options.intr);
        const slave = new Pic8259(master.line(CASCADE_IR));
        this.masterChip = master;
        this.slaveChip = slave;
        this.master = new ByteRegion(
            offset => (offset < 2 ? master.read(offset) : FLOATING_BUS),
            (offset, value) => offset < 2 && master.write(offset, value),
        );
        this.slave = new ByteRegion(
            offset => (offset < 2 ? slave.read(offset) : FLOATING_BUS),
            (offset, value) => offset < 2 && slave.write(offset, value),
        );
        this.elcr = new ByteRegion(
            offset => (offset === 0 ? master.elcr : offset === 1 ? slave.elcr : FLOATING_BUS),
            (offset, value) => {
                if (offset < 2) {
                    (offset === 0 ? master : slave).elcr = value & ELCR_WRITABLE[offset];
                }
            },
        );
    }

    line(irq: number): InterruptLine {
        return irq === CASCADE_IR ? unconnected : irq < 8 ? this.masterChip.line(irq) : this.slaveChip.line(irq - 8);
    }

    /** Whether INTR is asserted. */
    get requesting(): boolean {
        return this.masterChip.requesting;
    }

    /** The CPU's two INTA cycles. Without a request left: the spurious vector of IRQ 7, or of IRQ 15 from the slave. */
    acknowledge(): number {
        const ir = this.masterChip.beginAcknowledge();
        let vector: number;
        if (ir === CASCADE_IR && this.masterChip.hasSlave(ir)) {
            // Master first: its ISR bit is set even if the slave's request has gone in between.
            vector = FLOATING_BUS;
            if (this.slaveChip.slaveId === CASCADE_IR) {
                vector = this.slaveChip.endAcknowledge(this.slaveChip.beginAcknowledge());
            }
            this.masterChip.endAcknowledge(ir);
        } else {
            vector = this.masterChip.endAcknowledge(ir);
        }
        return vector;
    }

    /** The input that interrupts with `vector`, as the chips are programmed now; for inspection. */
    irqOf(vector: number): number | undefined {
        const base = vector & ~7;
        if (base === this.masterChip.vectorBase) {
            return vector & 7;
        }
        return base === this.slaveChip.vectorBase ? 8 + (vector & 7) : undefined;
    }

    /** Both chips, the master first; for inspection. */
    snapshot(): readonly [PicSnapshot, PicSnapshot] {
        return [this.masterChip.snapshot(), this.slaveChip.snapshot()];
    }

    /** The vector that {@link acknowledge} would give now; for inspection. Undefined without a request. */
    nextVector(): number | undefined {
        const [master, slave] = this.snapshot();
        if (master.next < 0) {
            return undefined;
        }
        const fromSlave = master.next === CASCADE_IR && (master.slaves & (1 << CASCADE_IR)) !== 0;
        return fromSlave && slave.next >= 0 ? slave.vectorBase + slave.next : master.vectorBase + master.next;
    }

    reset(): void {
        this.slaveChip.reset();
        this.masterChip.reset();
    }

    save(): StateRecord {
        return {
            kind: KIND,
            version: VERSION,
            fields: { chips: [this.masterChip.saveState(), this.slaveChip.saveState()] },
        };
    }

    restore(record: StateRecord): void {
        const [master, slave] = new StateReader(record, KIND, VERSION).parts('chips', 2);
        // The slave drives the master's IR2 as it is restored; the master's own record then has the last word.
        this.slaveChip.restoreState(slave);
        this.masterChip.restoreState(master);
    }

    inspect(): DeviceRegister[] {
        return [...this.masterChip.inspect('master'), ...this.slaveChip.inspect('slave')];
    }
}
