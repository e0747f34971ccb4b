/**
 * The interrupt core of a local APIC: what is requested, in service and deliverable; the local vector table with its
 * pins; errors. Registers and messages are in `local-apic.ts`.
 *
 * Intel SDM Vol. 3A, chapter "Advanced Programmable Interrupt Controller (APIC)": "Handling Local Interrupts" and
 * "Handling Interrupts" (IRR, ISR, TMR, task and processor priority, EOI, error handling).
 */

import { DeliveryMode } from './apic-bus';
import { type StateValue } from './device';
import { ApicError, Lvt, Register, Svr } from './local-apic-registers';
import { type StateReader } from './state-reader';
import { VectorSet } from './vector-set';

const LVT_COUNT = Register.LvtError - Register.LvtTimer + 1;
const LINT0 = Register.LvtLint0 - Register.LvtTimer;
const ERROR = Register.LvtError - Register.LvtTimer;
export const LOWEST_LEGAL_VECTOR = 16;

/** What the core needs of the APIC around it. */
export interface LocalApicSurroundings {
    /** What the processor has to take may have changed. */
    interruptsChanged(): void;
    /** An LVT entry delivers something else than a vector: NMI, SMI or INIT. */
    deliverSpecial(mode: DeliveryMode): void;
    /** A level-triggered interrupt ended and the IOAPICs are to hear of it. */
    broadcastEoi(vector: number): void;
}

export class LocalApicInterrupts {
    readonly isr = new VectorSet();
    readonly tmr = new VectorSet();
    readonly irr = new VectorSet();
    /** LVT timer to LVT error, by register − LvtTimer. */
    readonly lvt = new Uint32Array(LVT_COUNT);
    /** ESR as software sees it. */
    esr = 0;

    private tprValue = 0;
    private svrValue = 0xff;
    /** Errors that the next write to the ESR will show. */
    private errors = 0;
    /** Levels of LINT0 and LINT1. */
    private readonly lint = [false, false];
    /** An ExtINT message from an IOAPIC waits for its INTA cycle. */
    private extIntMessage = false;
    private globallyEnabled = true;

    /** Highest deliverable vector or -1, and whether the PIC requests: kept up to date by {@link update}. */
    private deliverableVector = -1;
    private extIntLevel = false;

    constructor(private readonly surroundings: LocalApicSurroundings) {
        this.lvt.fill(Lvt.Masked);
    }

    get deliverable(): number {
        return this.deliverableVector;
    }

    get extInt(): boolean {
        return this.extIntLevel;
    }

    get tpr(): number {
        return this.tprValue;
    }

    set tpr(value: number) {
        this.tprValue = value;
        this.update();
    }

    get svr(): number {
        return this.svrValue;
    }

    set svr(value: number) {
        this.svrValue = value;
        if (!this.softwareEnabled) {
            for (let entry = 0; entry < LVT_COUNT; entry++) {
                this.lvt[entry] |= Lvt.Masked;
            }
        }
        this.update();
    }

    get softwareEnabled(): boolean {
        return (this.svrValue & Svr.Enabled) !== 0;
    }

    /** Bit 11 of IA32_APIC_BASE. */
    get enabled(): boolean {
        return this.globallyEnabled;
    }

    set enabled(enabled: boolean) {
        this.globallyEnabled = enabled;
        this.update();
    }

    /** All but the pins, whose levels belong to their sources. */
    reset(): void {
        this.tprValue = 0;
        this.svrValue = 0xff;
        this.isr.clear();
        this.tmr.clear();
        this.irr.clear();
        this.esr = 0;
        this.errors = 0;
        this.lvt.fill(Lvt.Masked);
        this.extIntMessage = false;
        this.update();
    }

    /** Takes the deliverable vector into service; the spurious vector if there is none. */
    acknowledge(): number {
        const vector = this.deliverableVector;
        if (vector < 0) {
            return this.svrValue & 0xff;
        }
        this.irr.delete(vector);
        this.isr.add(vector);
        this.update();
        return vector;
    }

    receiveExtInt(): void {
        this.extIntMessage = true;
        this.update();
    }

    /** The INTA cycle took what an ExtINT message asked for. */
    endExtInt(): void {
        this.extIntMessage = false;
        this.update();
    }

    accept(vector: number, levelTriggered: boolean): void {
        if (vector < LOWEST_LEGAL_VECTOR) {
            this.raise(ApicError.ReceiveIllegalVector);
            return;
        }
        if (!this.globallyEnabled || !this.softwareEnabled) {
            return;
        }
        this.irr.add(vector);
        if (levelTriggered) {
            this.tmr.add(vector);
        } else {
            this.tmr.delete(vector);
        }
        this.update();
    }

    endOfInterrupt(): void {
        const vector = this.isr.highest();
        if (vector < 0) {
            return;
        }
        this.isr.delete(vector);
        if (this.tmr.has(vector)) {
            if ((this.lvt[LINT0] & Lvt.RemoteIrr) !== 0 && (this.lvt[LINT0] & 0xff) === vector) {
                this.lvt[LINT0] &= ~Lvt.RemoteIrr;
                this.deliverLint0Level();
            }
            if ((this.svrValue & Svr.SuppressEoiBroadcast) === 0) {
                this.surroundings.broadcastEoi(vector);
            }
        }
        this.update();
    }

    writeLvt(register: Register, value: number): void {
        const entry = register - Register.LvtTimer;
        // While the APIC is software disabled the mask bits cannot be cleared.
        const mask = this.softwareEnabled ? 0 : Lvt.Masked;
        const remoteIrr = (value & Lvt.LevelTriggered) !== 0 ? this.lvt[entry] & Lvt.RemoteIrr : 0;
        this.lvt[entry] = value | mask | remoteIrr;
        if (entry === LINT0) {
            this.deliverLint0Level();
        }
        this.update();
    }

    setLint(pin: number, asserted: boolean): void {
        if (this.lint[pin] === asserted) {
            return;
        }
        this.lint[pin] = asserted;
        if (!this.globallyEnabled) {
            // A disabled APIC leaves the pins to the processor: LINT0 is INTR, LINT1 is NMI.
            if (pin === 1 && asserted) {
                this.surroundings.deliverSpecial(DeliveryMode.Nmi);
            }
        } else if (asserted) {
            if (pin === 0 && this.isLevelLint0()) {
                this.deliverLint0Level();
            } else {
                this.deliverLocal(Register.LvtLint0 + pin);
            }
        }
        this.update();
    }

    /** An event of an LVT entry. ExtINT is a level and taken up by {@link update} instead. */
    deliverLocal(register: Register): void {
        const entry = this.lvt[register - Register.LvtTimer];
        if ((entry & Lvt.Masked) !== 0) {
            return;
        }
        const carriesMode = register !== Register.LvtTimer && register !== Register.LvtError;
        const mode: DeliveryMode = carriesMode ? (entry >>> 8) & 7 : DeliveryMode.Fixed;
        switch (mode) {
            case DeliveryMode.Fixed:
                this.accept(entry & 0xff, false);
                break;
            case DeliveryMode.Smi:
            case DeliveryMode.Nmi:
            case DeliveryMode.Init:
                this.surroundings.deliverSpecial(mode);
                break;
            default:
                break;
        }
    }

    maskLvt(register: Register): void {
        this.lvt[register - Register.LvtTimer] |= Lvt.Masked;
    }

    raise(error: ApicError): void {
        if ((this.errors & error) !== 0) {
            return;
        }
        this.errors |= error;
        // An illegal vector in the error entry itself would report itself forever.
        if ((this.lvt[ERROR] & 0xff) >= LOWEST_LEGAL_VECTOR) {
            this.deliverLocal(Register.LvtError);
        }
    }

    /** A write to the ESR shows the errors since the last one. */
    latchErrors(): void {
        this.esr = this.errors;
        this.errors = 0;
    }

    processorPriority(): number {
        const inService = Math.max(0, this.isr.highest()) & 0xf0;
        return (this.tprValue & 0xf0) >= inService ? this.tprValue : inService;
    }

    saveState(): { readonly [field: string]: StateValue } {
        return {
            tpr: this.tprValue,
            svr: this.svrValue,
            isr: this.isr.toArray(),
            tmr: this.tmr.toArray(),
            irr: this.irr.toArray(),
            esr: this.esr,
            errors: this.errors,
            lvt: Array.from(this.lvt),
            lint0: this.lint[0],
            lint1: this.lint[1],
            extIntMessage: this.extIntMessage,
        };
    }

    restoreState(state: StateReader, enabled: boolean): void {
        this.tprValue = state.u8('tpr');
        this.svrValue = state.u32('svr');
        this.isr.assign(state.words('isr', 8));
        this.tmr.assign(state.words('tmr', 8));
        this.irr.assign(state.words('irr', 8));
        this.esr = state.u32('esr');
        this.errors = state.u32('errors');
        this.lvt.set(state.words('lvt', LVT_COUNT));
        this.lint[0] = state.boolean('lint0');
        this.lint[1] = state.boolean('lint1');
        this.extIntMessage = state.boolean('extIntMessage');
        this.globallyEnabled = enabled;
        this.update();
        this.surroundings.interruptsChanged();
    }

    /** Only LINT0 and only fixed interrupts may be level triggered. */
    private isLevelLint0(): boolean {
        return (this.lvt[LINT0] & (Lvt.LevelTriggered | 0x700)) === Lvt.LevelTriggered;
    }

    private deliverLint0Level(): void {
        const entry = this.lvt[LINT0];
        if (this.lint[0] && this.isLevelLint0() && (entry & (Lvt.Masked | Lvt.RemoteIrr)) === 0) {
            this.lvt[LINT0] |= Lvt.RemoteIrr;
            this.accept(entry & 0xff, true);
        }
    }

    private lintExtInt(pin: number): boolean {
        return this.lint[pin] && (this.lvt[LINT0 + pin] & (Lvt.Masked | 0x700)) === DeliveryMode.ExtInt << 8;
    }

    /** Recomputes what the processor sees and tells it of a change. */
    private update(): void {
        let deliverable = -1;
        let extInt = this.lint[0];
        if (this.globallyEnabled) {
            const vector = this.irr.highest();
            if (vector >= 0 && (vector & 0xf0) > (this.processorPriority() & 0xf0)) {
                deliverable = vector;
            }
            extInt = this.extIntMessage || this.lintExtInt(0) || this.lintExtInt(1);
        }
        if (deliverable !== this.deliverableVector || extInt !== this.extIntLevel) {
            this.deliverableVector = deliverable;
            this.extIntLevel = extInt;
            this.surroundings.interruptsChanged();
        }
    }
}
