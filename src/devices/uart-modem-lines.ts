/** The modem control and status side of a PC16550D: MCR and MSR (datasheet sections 8.8 and 8.9). */

/** Modem lines as they come from the peer; true means asserted. */
export interface ModemInputs {
    readonly clearToSend: boolean;
    readonly dataSetReady: boolean;
    readonly ringIndicator: boolean;
    readonly dataCarrierDetect: boolean;
}

export const Mcr = { dtr: 1, rts: 2, out1: 4, out2: 8, loop: 0x10 } as const;
export const Msr = { cts: 0x10, dsr: 0x20, ri: 0x40, dcd: 0x80 } as const;
/** MSR 0–3: CTS, DSR and DCD changed, the ring ended. */
export const modemDeltas = 0x0f;
const trailingRing = 4;

export class ModemLines {
    /** Modem control register. */
    mcr = 0;
    /** Modem status register. */
    msr: number;
    /** Lines from the peer, in the bits of MSR 4–7. A peer that is simply there asserts all but the ring. */
    inputs: number = Msr.cts | Msr.dsr | Msr.dcd;

    constructor() {
        this.msr = this.inputs;
    }

    get loopback(): boolean {
        return (this.mcr & Mcr.loop) !== 0;
    }

    reset(): void {
        this.mcr = 0;
        this.msr = this.inputs;
    }

    writeControl(value: number): void {
        this.mcr = value & 0x1f;
        this.update();
    }

    setInputs(inputs: ModemInputs): void {
        this.inputs =
            (inputs.clearToSend ? Msr.cts : 0) |
            (inputs.dataSetReady ? Msr.dsr : 0) |
            (inputs.ringIndicator ? Msr.ri : 0) |
            (inputs.dataCarrierDetect ? Msr.dcd : 0);
        this.update();
    }

    /** Reading the status takes the changes with it. */
    readStatus(): number {
        const value = this.msr;
        this.msr &= ~modemDeltas;
        return value;
    }

    /** Brings MSR up to date with the lines, which loopback replaces by the modem outputs. */
    private update(): void {
        let lines = this.inputs;
        if (this.loopback) {
            lines =
                (this.mcr & Mcr.rts ? Msr.cts : 0) |
                (this.mcr & Mcr.dtr ? Msr.dsr : 0) |
                (this.mcr & Mcr.out1 ? Msr.ri : 0) |
                (this.mcr & Mcr.out2 ? Msr.dcd : 0);
        }
        let deltas = ((this.msr ^ lines) & 0xf0) >>> 4;
        if (lines & Msr.ri) {
            deltas &= ~trailingRing;
        }
        this.msr = lines | (this.msr & modemDeltas) | deltas;
    }
}
