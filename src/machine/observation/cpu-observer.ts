import type { Cpu } from '../cpu/cpu';

/** What a vCPU tells while it executes. Calls come from its slow operations only, so they cost nothing elsewhere. */
export interface CpuObserver {
    /** An instruction that TypeScript executes begins, RIP still at it; {@link endOperation} follows unless it faults. */
    beginOperation(cpu: Cpu): void;
    endOperation(): void;
    /** A control register was written by an instruction, or CR3 by a task switch. */
    controlWritten(cpu: Cpu, register: number, oldLo: number, oldHi: number, lo: number, hi: number): void;
    msrRead(cpu: Cpu, index: number, lo: number, hi: number): void;
    /** `hasOld`: the register can be read, and held `old` before. */
    msrWritten(cpu: Cpu, index: number, hasOld: boolean, oldLo: number, oldHi: number, lo: number, hi: number): void;
    identified(cpu: Cpu, leaf: number, subleaf: number): void;
    /** HLT, or MWAIT. */
    halted(cpu: Cpu, byMwait: boolean): void;
    /**
     * An exception is about to be delivered; nothing of that has happened.
     * @param errorCode -1 if the vector has none
     * @param preventable the caller can leave it undone
     * @throws StopBeforeEvent where somebody wants to stop, if it is preventable
     */
    exception(
        cpu: Cpu,
        vector: number,
        errorCode: number,
        addressLo: number,
        addressHi: number,
        preventable: boolean,
    ): void;
    /**
     * INT n, INT3, INTO or INT1 at RIP is about to go to its handler.
     * @throws StopBeforeEvent where somebody wants to stop
     */
    softwareInterrupt(cpu: Cpu, vector: number): void;
    /** An interrupt that was acknowledged, or an NMI, is about to go to its handler. */
    interrupt(cpu: Cpu, vector: number, nmi: boolean): void;
    /** What {@link operatingMode} tells may have changed: by the guest, or from outside. */
    modeMayHaveChanged(cpu: Cpu): void;
    shutDown(cpu: Cpu): void;
}

/**
 * Thrown instead of letting an event happen, to stop at the instruction that caused it. Whoever executes instructions
 * catches it and ends the run with `EVENT_STOP`; the state is as before the instruction.
 */
export class StopBeforeEvent {}

export const stopBeforeEvent = new StopBeforeEvent();
