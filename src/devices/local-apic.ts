/**
 * Local APIC of a processor, as xAPIC (MMIO) and x2APIC (MSRs) over one set of registers.
 *
 * Intel SDM Vol. 3A, chapter "Advanced Programmable Interrupt Controller (APIC)": "Local APIC", "Issuing
 * Interprocessor Interrupts", "Spurious Interrupt", "Extended xAPIC (x2APIC)" with its state transitions. What happens to
 * an accepted interrupt is in `local-apic-interrupts.ts`, modes and destinations in `apic-identity.ts`, the timer in
 * `apic-timer.ts`.
 *
 * new LocalApic({ id, bootstrap, clock, bus, cpu, pic?, timeOfTsc, name?, physicalAddressBits?, timerTickNs? })
 *   mmio region: `mmio`, 4 KiB, to be mapped at `baseAddress` while `mmioEnabled` (see `cpu.apicBaseChanged`)
 *   MSRs 1BH, 6E0H and 800H–8FFH: readMsr/writeMsr; CR8: readCr8/writeCr8
 *   lines in: lint0 (the PIC's INTR), lint1 (NMI)
 *   CPU side: interruptPending, pendingVector(), acknowledge(), and the callbacks of `cpu`
 *
 * The line interface has no polarity (see `InterruptLine`), so the polarity bits of LINT0 and LINT1 are only stored.
 */

import { type ApicBus, type ApicTarget, DeliveryMode, sendIpi, widenDestination } from './apic-bus';
import { ApicIdentity, BaseWrite } from './apic-identity';
import { ApicTimer, type TimerMode } from './apic-timer';
import {
    type Clock,
    type Device,
    type DeviceRegister,
    type InterruptLine,
    type IoRegion,
    type StateRecord,
} from './device';
import { inspectLocalApic, type LocalApicView } from './local-apic-inspect';
import { LocalApicInterrupts, LOWEST_LEGAL_VECTOR } from './local-apic-interrupts';
import {
    ApicError,
    isReadable,
    isReadableMsr,
    isWritableMsr,
    Lvt,
    Msr,
    Register,
    REGISTER_COUNT,
    Svr,
    VERSION,
    writableBits,
} from './local-apic-registers';
import { StateReader } from './state-reader';

const KIND = 'local-apic';
const RECORD_VERSION = 1;

/** The processor that the local APIC belongs to. */
export interface ApicCpu {
    /** `interruptPending` or the vector may have changed. */
    interruptsChanged(): void;
    nmi(): void;
    /** INIT: the local APIC is reset already. The processor resets itself and waits for a start-up IPI. */
    init(): void;
    /** Start-up IPI: execution begins at `vector` << 12, if the processor waits for it. */
    startUp(vector: number): void;
    /** IA32_APIC_BASE changed: `baseAddress` and `mmioEnabled` have to be mapped anew. */
    apicBaseChanged?(): void;
    /** The guest sends an interprocessor interrupt: the low half of the ICR, and a 32-bit destination. */
    ipiSent?(icrLow: number, destination: number): void;
}

export interface LocalApicOptions {
    readonly name?: string;
    /** Initial (x2)APIC ID. */
    readonly id: number;
    /** Whether this is the bootstrap processor. */
    readonly bootstrap: boolean;
    readonly clock: Clock;
    readonly bus: ApicBus;
    readonly cpu: ApicCpu;
    /** Gives the vector of an external interrupt: the PIC's INTA cycle. */
    readonly pic?: { acknowledge(): number };
    /**
     * The virtual time (ns, rounded up) at which this processor's TSC reaches the value: now or earlier if it has passed
     * it, Infinity if it lies beyond all virtual time.
     */
    readonly timeOfTsc: (low: number, high: number) => number;
    /** MAXPHYADDR: bits of the base address beyond it fault. */
    readonly physicalAddressBits?: number;
    /** Virtual ns for each tick of the timer's input clock (before division); 1, a bus clock of 1 GHz, by default. */
    readonly timerTickNs?: number;
}

export class LocalApic implements Device, ApicTarget {
    readonly name: string;
    readonly mmio: IoRegion;
    readonly lint0: InterruptLine = { set: asserted => this.interrupts.setLint(0, asserted) };
    readonly lint1: InterruptLine = { set: asserted => this.interrupts.setLint(1, asserted) };
    /** What {@link readMsr} read: EAX and EDX. */
    msrLow = 0;
    msrHigh = 0;

    private readonly identity: ApicIdentity;
    private readonly bus: ApicBus;
    private readonly cpu: ApicCpu;
    private readonly pic: { acknowledge(): number } | undefined;
    private readonly interrupts: LocalApicInterrupts;
    private readonly timer: ApicTimer;
    private icrLow = 0;
    private icrHigh = 0;

    constructor(options: LocalApicOptions) {
        this.name = options.name ?? `lapic${options.id}`;
        this.bus = options.bus;
        this.cpu = options.cpu;
        this.pic = options.pic;
        this.identity = new ApicIdentity(options.id, options.bootstrap, options.physicalAddressBits ?? 40);
        this.interrupts = new LocalApicInterrupts({
            interruptsChanged: () => this.cpu.interruptsChanged(),
            deliverSpecial: mode => this.receive(mode, 0, false),
            broadcastEoi: vector => this.bus.broadcastEoi(vector),
        });
        this.timer = new ApicTimer({
            name: `${this.name}.timer`,
            clock: options.clock,
            tickNs: options.timerTickNs ?? 1,
            timeOfTsc: options.timeOfTsc,
            expired: () => this.interrupts.deliverLocal(Register.LvtTimer),
        });
        this.mmio = {
            read: (offset, size) => this.readMmio(offset, size),
            write: (offset, size, value) => this.writeMmio(offset, size, value),
        };
        this.bus.attach(this);
    }

    // ---- The processor's side ----

    /** Whether the processor has an interrupt to take, from here or from the PIC. */
    get interruptPending(): boolean {
        return this.interrupts.extInt || this.interrupts.deliverable >= 0;
    }

    /** Whether the PIC's request reaches the processor; it has no vector before {@link acknowledge}. */
    get extIntPending(): boolean {
        return this.interrupts.extInt;
    }

    /** The highest vector that task and processor priority let through, or -1. */
    pendingVector(): number {
        return this.interrupts.deliverable;
    }

    /** Takes the interrupt: the PIC's first, then the highest vector. Returns the spurious vector if there is none. */
    acknowledge(): number {
        if (!this.interrupts.extInt) {
            return this.interrupts.acknowledge();
        }
        const vector = this.pic === undefined ? this.interrupts.svr & 0xff : this.pic.acknowledge();
        this.interrupts.endExtInt();
        return vector;
    }

    /** CR8: bits 7:4 of the TPR. */
    readCr8(): number {
        return this.interrupts.tpr >>> 4;
    }

    writeCr8(value: number): void {
        this.interrupts.tpr = (value & 15) << 4;
    }

    get bootstrap(): boolean {
        return this.identity.bootstrap;
    }

    /** Bit 11 of IA32_APIC_BASE; CPUID shows no APIC while it is clear. */
    get enabled(): boolean {
        return this.identity.enabled;
    }

    get x2apic(): boolean {
        return this.identity.x2apic;
    }

    get mmioEnabled(): boolean {
        return this.enabled && !this.x2apic;
    }

    /** Physical address of the MMIO page. */
    get baseAddress(): number {
        return this.identity.baseAddress;
    }

    /** RDMSR of 1BH, 6E0H or 800H–8FFH into msrLow and msrHigh. Returns whether it faults with #GP(0). */
    readMsr(index: number): boolean {
        this.msrHigh = 0;
        if (index === Msr.ApicBase) {
            this.msrLow = this.identity.baseLow;
            this.msrHigh = this.identity.baseHigh;
            return false;
        }
        if (index === Msr.TscDeadline) {
            this.msrLow = this.timer.deadlineLow;
            this.msrHigh = this.timer.deadlineHigh;
            return false;
        }
        const register = index - Msr.X2ApicFirst;
        if (!this.x2apic || !isReadableMsr(register)) {
            return true;
        }
        this.msrLow = this.readRegister(register);
        if (register === Register.IcrLow) {
            this.msrHigh = this.icrHigh;
        }
        return false;
    }

    /** WRMSR of EDX:EAX, signed or unsigned. Returns whether it faults with #GP(0). */
    writeMsr(index: number, eax: number, edx: number): boolean {
        const low = eax >>> 0;
        const high = edx >>> 0;
        if (index === Msr.ApicBase) {
            return this.writeBase(low, high);
        }
        if (index === Msr.TscDeadline) {
            this.timer.writeDeadline(low, high);
            return false;
        }
        const register = index - Msr.X2ApicFirst;
        if (!this.x2apic || !isWritableMsr(register, low, high)) {
            return true;
        }
        if (register === Register.IcrLow) {
            this.icrHigh = high;
        }
        this.writeRegister(register, low);
        return false;
    }

    /** The processor's TSC was written, so a TSC deadline comes at another time. */
    tscChanged(): void {
        this.timer.tscChanged();
    }

    /** A performance counter overflowed. The LVT entry masks itself. */
    performanceInterrupt(): void {
        this.interrupts.deliverLocal(Register.LvtPerformance);
        this.interrupts.maskLvt(Register.LvtPerformance);
    }

    thermalInterrupt(): void {
        this.interrupts.deliverLocal(Register.LvtThermal);
    }

    /** What a PC BIOS leaves behind ("virtual wire mode"): software-enabled, PIC on LINT0, NMI on LINT1. */
    configureVirtualWire(): void {
        this.writeRegister(Register.Svr, Svr.Enabled | 0xff);
        this.writeRegister(Register.LvtLint0, DeliveryMode.ExtInt << 8);
        this.writeRegister(Register.LvtLint1, DeliveryMode.Nmi << 8);
    }

    // ---- The bus's side ----

    matchesPhysical(destination: number): boolean {
        return this.identity.matchesPhysical(destination);
    }

    matchesLogical(destination: number): boolean {
        return this.identity.matchesLogical(destination);
    }

    get acceptsInterrupts(): boolean {
        return this.enabled && this.interrupts.softwareEnabled;
    }

    get arbitrationPriority(): number {
        return this.interrupts.processorPriority();
    }

    receive(mode: DeliveryMode, vector: number, levelTriggered: boolean): void {
        switch (mode) {
            case DeliveryMode.Fixed:
            case DeliveryMode.LowestPriority:
                this.interrupts.accept(vector, levelTriggered);
                break;
            case DeliveryMode.Nmi:
                this.cpu.nmi();
                break;
            case DeliveryMode.Init:
                this.resetRegisters();
                this.cpu.init();
                break;
            case DeliveryMode.StartUp:
                this.cpu.startUp(vector);
                break;
            case DeliveryMode.ExtInt:
                this.interrupts.receiveExtInt();
                break;
            default:
                break; // SMI: there is no system management mode
        }
    }

    // ---- Device ----

    reset(): void {
        this.identity.reset();
        this.interrupts.enabled = true;
        this.resetRegisters();
        this.cpu.apicBaseChanged?.();
    }

    save(): StateRecord {
        return {
            kind: KIND,
            version: RECORD_VERSION,
            fields: {
                ...this.identity.saveState(),
                icrLow: this.icrLow,
                icrHigh: this.icrHigh,
                ...this.interrupts.saveState(),
                ...this.timer.saveState(),
            },
        };
    }

    restore(record: StateRecord): void {
        const state = new StateReader(record, KIND, RECORD_VERSION);
        this.identity.restoreState(state);
        this.icrLow = state.u32('icrLow');
        this.icrHigh = state.u32('icrHigh');
        this.interrupts.restoreState(state, this.enabled);
        this.timer.restoreState(state, this.timerMode(), (this.interrupts.lvt[0] & Lvt.Masked) !== 0);
        this.cpu.apicBaseChanged?.();
    }

    /** All there is to see; to be looked at only. */
    get view(): LocalApicView {
        const { identity, icrLow, icrHigh, interrupts, timer } = this;
        return { identity, icrLow, icrHigh, interrupts, timer };
    }

    inspect(): DeviceRegister[] {
        return inspectLocalApic(this.view);
    }

    // ---- Registers ----

    private readMmio(offset: number, size: number): number {
        const register = offset >>> 4;
        const shift = (offset & 15) * 8;
        if (!this.mmioEnabled || shift >= 32) {
            return 0;
        }
        if (!isReadable(register)) {
            this.interrupts.raise(ApicError.IllegalRegister);
            return 0;
        }
        const value = this.readRegister(register) >>> shift;
        return size === 4 ? value : value & (size === 2 ? 0xffff : 0xff);
    }

    /** Registers are written by aligned 32-bit stores; the manual leaves others undefined, here they are dropped. */
    private writeMmio(offset: number, size: number, value: number): void {
        const register = offset >>> 4;
        if (!this.mmioEnabled || size !== 4 || (offset & 15) !== 0) {
            return;
        }
        const writable = register < REGISTER_COUNT && register !== Register.SelfIpi ? writableBits[register] : -1;
        if (writable < 0) {
            this.interrupts.raise(ApicError.IllegalRegister);
        } else {
            this.writeRegister(register, value);
        }
    }

    private readRegister(register: number): number {
        if (register >= Register.Isr && register < Register.Esr) {
            const { isr, tmr, irr } = this.interrupts;
            return (register < Register.Tmr ? isr : register < Register.Irr ? tmr : irr).word(register & 7);
        }
        switch (register) {
            case Register.Id:
                return this.x2apic ? this.identity.id : (this.identity.id << 24) >>> 0;
            case Register.Version:
                return VERSION;
            case Register.Tpr:
                return this.interrupts.tpr;
            case Register.Ppr:
                return this.interrupts.processorPriority();
            case Register.Ldr:
                return this.identity.ldr;
            case Register.Dfr:
                return this.identity.dfr;
            case Register.Svr:
                return this.interrupts.svr;
            case Register.Esr:
                return this.interrupts.esr;
            case Register.IcrLow:
                return this.icrLow;
            case Register.IcrHigh:
                return this.icrHigh;
            case Register.InitialCount:
                return this.timer.initialCount;
            case Register.CurrentCount:
                return this.timer.currentCount;
            case Register.DivideConfiguration:
                return this.timer.divideConfiguration;
            default:
                // APR and RRD exist in name only since the Pentium 4.
                return register >= Register.LvtTimer && register <= Register.LvtError
                    ? this.interrupts.lvt[register - Register.LvtTimer]
                    : 0;
        }
    }

    private writeRegister(register: number, written: number): void {
        const value = (written & writableBits[register]) >>> 0;
        switch (register) {
            case Register.Id:
                this.identity.xapicId = value >>> 24;
                break;
            case Register.Tpr:
                this.interrupts.tpr = value;
                break;
            case Register.Eoi:
                this.interrupts.endOfInterrupt();
                break;
            case Register.Ldr:
                this.identity.ldr = value;
                break;
            case Register.Dfr:
                this.identity.dfr = (value | 0x0fff_ffff) >>> 0;
                break;
            case Register.Svr:
                this.interrupts.svr = value;
                this.configureTimer();
                break;
            case Register.Esr:
                this.interrupts.latchErrors();
                break;
            case Register.IcrLow:
                this.icrLow = value;
                this.sendIpi();
                break;
            case Register.IcrHigh:
                this.icrHigh = value;
                break;
            case Register.InitialCount:
                this.timer.initialCount = value;
                break;
            case Register.DivideConfiguration:
                this.timer.divideConfiguration = value;
                break;
            case Register.SelfIpi:
                this.interrupts.accept(value, false);
                break;
            default:
                this.interrupts.writeLvt(register, value);
                if (register === Register.LvtTimer) {
                    this.configureTimer();
                }
        }
    }

    private timerMode(): TimerMode {
        const mode = (this.interrupts.lvt[0] >>> 17) & 3;
        return mode === 3 ? 0 : mode;
    }

    private configureTimer(): void {
        this.timer.configure(this.timerMode(), (this.interrupts.lvt[0] & Lvt.Masked) !== 0);
    }

    private writeBase(low: number, high: number): boolean {
        const result = this.identity.writeBase(low, high);
        if (result === BaseWrite.Faulted) {
            return true;
        }
        if (result === BaseWrite.Disabled) {
            this.resetRegisters();
        }
        this.interrupts.enabled = this.enabled;
        this.cpu.apicBaseChanged?.();
        return false;
    }

    /** All but what {@link ApicIdentity} keeps through an INIT. */
    private resetRegisters(): void {
        this.identity.initReset();
        this.icrLow = 0;
        this.icrHigh = 0;
        this.interrupts.reset();
        this.timer.reset();
    }

    private sendIpi(): void {
        const vector = this.icrLow & 0xff;
        if (((this.icrLow >>> 8) & 7) <= DeliveryMode.LowestPriority && vector < LOWEST_LEGAL_VECTOR) {
            this.interrupts.raise(ApicError.SendIllegalVector);
        } else {
            const destination = this.x2apic ? this.icrHigh : widenDestination(this.icrHigh >>> 24);
            this.cpu.ipiSent?.(this.icrLow, destination);
            sendIpi(this.bus, this, this.icrLow, destination);
        }
    }
}
