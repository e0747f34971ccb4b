/**
 * Exceptions that the guest causes (SDM Vol. 3, 6.15), as thrown by system operations.
 *
 * Page faults are as ordinary as cache misses, so one preallocated object is thrown, without a stack trace. Whoever
 * catches it must use it up (deliver it, or copy it) before it lets other guest code run.
 */

/** Vectors 0–31 (SDM Vol. 3, table 6-1). */
export const enum Vector {
    DE = 0,
    DB = 1,
    NMI = 2,
    BP = 3,
    OF = 4,
    BR = 5,
    UD = 6,
    NM = 7,
    DF = 8,
    TS = 10,
    NP = 11,
    SS = 12,
    GP = 13,
    PF = 14,
    MF = 16,
    AC = 17,
    MC = 18,
    XM = 19,
}

const ERROR_CODE_VECTORS =
    (1 << Vector.DF) |
    (1 << Vector.TS) |
    (1 << Vector.NP) |
    (1 << Vector.SS) |
    (1 << Vector.GP) |
    (1 << Vector.PF) |
    (1 << Vector.AC);

/** Whether the exception pushes an error code (SDM Vol. 3, table 6-1). */
export function hasErrorCode(vector: number): boolean {
    return vector < 32 && ((ERROR_CODE_VECTORS >>> vector) & 1) !== 0;
}

/** The exception that is under way: a fault, so RIP still addresses the instruction that caused it. */
export class GuestFault {
    vector = 0;
    errorCode = 0;
    /** #PF: the linear address that goes to CR2. */
    addressLo = 0;
    addressHi = 0;
    /** #DB: bits to set in DR6 (B0–B3, BD, BS, BT). */
    debugStatus = 0;
}

/** The one instance that is ever thrown. */
export const guestFault = new GuestFault();

/** @throws GuestFault always */
export function raise(vector: Vector, errorCode = 0): never {
    guestFault.vector = vector;
    guestFault.errorCode = errorCode;
    throw guestFault;
}

/** @throws GuestFault always */
export function raisePageFault(errorCode: number, lo: number, hi: number): never {
    guestFault.vector = Vector.PF;
    guestFault.errorCode = errorCode;
    guestFault.addressLo = lo;
    guestFault.addressHi = hi;
    throw guestFault;
}

/**
 * A debug exception of the fault class: code breakpoint or general detect (SDM Vol. 3, 18.3.1).
 * @throws GuestFault always
 */
export function raiseDebug(debugStatus: number): never {
    guestFault.vector = Vector.DB;
    guestFault.errorCode = 0;
    guestFault.debugStatus = debugStatus;
    throw guestFault;
}
