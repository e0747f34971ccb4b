/**
 * What happens at instruction boundaries and outside translated code, as the engine needs it: a thin layer over the CPU
 * system operations.
 */
import type { Instruction } from '../../isa/x86/instruction';
import type { Cpu } from '../../machine/cpu/cpu';
import type { GuestFault } from '../../machine/cpu/fault';
import type { MmuMode } from '../../machine/state';

export interface ExecutionEvents {
    /** Takes pending interrupts and traps that are due at this boundary. May throw GuestFault while delivering. */
    service(cpu: Cpu): void;
    /** The next instruction must run alone: TF, an interrupt shadow, code breakpoints. */
    mustStep(cpu: Cpu): boolean;
    /** Before a single instruction. True if something was delivered instead of it. */
    beforeStep(cpu: Cpu): boolean;
    /** After a single instruction; `completed` false if it faulted. */
    afterStep(cpu: Cpu, completed: boolean): void;
    systemOperation(cpu: Cpu, instruction: Instruction): void;
    deliverFault(cpu: Cpu, fault: GuestFault): void;
    raise(cpu: Cpu, vector: number, errorCode: number): never;
    /** Raises the violation of a segment access at offset `accessAddress`, or returns if it is legal. */
    checkSegment(cpu: Cpu, segment: number, bytes: number, forWrite: boolean): void;
    /** MMU mode of ordinary data accesses of the current code. */
    mmuMode(cpu: Cpu): MmuMode;
}
