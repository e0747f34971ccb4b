/**
 * Registers of the local APIC: Intel SDM Vol. 3A, chapter "APIC", tables "Local APIC Register Address Map" and "Local
 * APIC Register Address Map Supported by x2APIC". Numbers are MMIO offset / 16, which is x2APIC MSR − 800H.
 */

export const enum Register {
    Id = 0x02,
    Version = 0x03,
    Tpr = 0x08,
    Apr = 0x09,
    Ppr = 0x0a,
    Eoi = 0x0b,
    Rrd = 0x0c,
    Ldr = 0x0d,
    Dfr = 0x0e,
    Svr = 0x0f,
    Isr = 0x10,
    Tmr = 0x18,
    Irr = 0x20,
    Esr = 0x28,
    IcrLow = 0x30,
    IcrHigh = 0x31,
    LvtTimer = 0x32,
    LvtThermal = 0x33,
    LvtPerformance = 0x34,
    LvtLint0 = 0x35,
    LvtLint1 = 0x36,
    LvtError = 0x37,
    InitialCount = 0x38,
    CurrentCount = 0x39,
    DivideConfiguration = 0x3e,
    SelfIpi = 0x3f,
}

/** Number of 16-byte register slots that hold a register. */
export const REGISTER_COUNT = 0x40;

/** An integrated xAPIC with LVT entries 0–5 and EOI-broadcast suppression. */
export const VERSION = 0x0105_0014;

export const enum Lvt {
    DeliveryStatus = 1 << 12,
    RemoteIrr = 1 << 14,
    LevelTriggered = 1 << 15,
    Masked = 1 << 16,
}

export const enum Svr {
    Enabled = 1 << 8,
    SuppressEoiBroadcast = 1 << 12,
}

/** Errors of the ESR that this APIC can meet. */
export const enum ApicError {
    SendIllegalVector = 1 << 5,
    ReceiveIllegalVector = 1 << 6,
    IllegalRegister = 1 << 7,
}

export const enum BaseMsr {
    Bootstrap = 1 << 8,
    X2Apic = 1 << 10,
    Enabled = 1 << 11,
    /** Bits 0–7 and 9. */
    Reserved = 0x2ff,
}

export const enum Msr {
    ApicBase = 0x1b,
    TscDeadline = 0x6e0,
    X2ApicFirst = 0x800,
    X2ApicLast = 0x8ff,
}

/** Writable bits of each register; -1 where writing is an error. EOI and ESR take any write, but an x2APIC only zero. */
export const writableBits: readonly number[] = (() => {
    const bits = new Array<number>(REGISTER_COUNT).fill(-1);
    bits[Register.Id] = 0xff00_0000;
    bits[Register.Tpr] = 0xff;
    bits[Register.Eoi] = 0;
    bits[Register.Ldr] = 0xff00_0000;
    bits[Register.Dfr] = 0xf000_0000;
    bits[Register.Svr] = 0x13ff;
    bits[Register.Esr] = 0;
    bits[Register.IcrLow] = 0x000c_cfff;
    bits[Register.IcrHigh] = 0xff00_0000;
    bits[Register.LvtTimer] = 0x0007_00ff;
    bits[Register.LvtThermal] = 0x0001_07ff;
    bits[Register.LvtPerformance] = 0x0001_07ff;
    bits[Register.LvtLint0] = 0x0001_a7ff;
    bits[Register.LvtLint1] = 0x0001_a7ff;
    bits[Register.LvtError] = 0x0001_00ff;
    bits[Register.InitialCount] = 0xffff_ffff;
    bits[Register.DivideConfiguration] = 0x0b;
    bits[Register.SelfIpi] = 0xff;
    return bits;
})();

/** Whether reading the register is not an error; `register` may be any offset / 16. */
export function isReadable(register: number): boolean {
    if (register >= Register.Isr && register <= Register.Esr) {
        return true;
    }
    if (register >= Register.IcrLow && register <= Register.CurrentCount) {
        return true;
    }
    switch (register) {
        case Register.Id:
        case Register.Version:
        case Register.DivideConfiguration:
            return true;
        default:
            return register >= Register.Tpr && register <= Register.Svr;
    }
}

/** Whether an x2APIC has the register as an MSR at all (the ICR is one MSR, IDs and formats are fixed). */
function existsInX2Apic(register: number): boolean {
    switch (register) {
        case Register.Apr:
        case Register.Rrd:
        case Register.Dfr:
        case Register.IcrHigh:
            return false;
        default:
            return true;
    }
}

/** Bits that hardware owns but software may write back as read: LVT delivery status and remote IRR, ICR status. */
function ignoredBits(register: number): number {
    if (register === Register.IcrLow) {
        return Lvt.DeliveryStatus;
    }
    return register >= Register.LvtTimer && register <= Register.LvtError ? Lvt.DeliveryStatus | Lvt.RemoteIrr : 0;
}

/** Whether RDMSR of 800H + `register` succeeds in x2APIC mode. */
export function isReadableMsr(register: number): boolean {
    return isReadable(register) && existsInX2Apic(register) && register !== Register.Eoi;
}

/** Whether WRMSR of 800H + `register` with EDX:EAX = `high`:`low` succeeds in x2APIC mode. */
export function isWritableMsr(register: number, low: number, high: number): boolean {
    if (register < 0 || register >= REGISTER_COUNT || !existsInX2Apic(register)) {
        return false;
    }
    const writable = writableBits[register];
    if (writable < 0 || register === Register.Id || register === Register.Ldr) {
        return false;
    }
    const noReservedBits = (low & ~(writable | ignoredBits(register))) === 0;
    return noReservedBits && (high === 0 || register === Register.IcrLow);
}
