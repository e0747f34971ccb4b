/** Every instruction that runs through the CPU rather than through translated code, by mnemonic. */

import { type Instruction } from '../../isa/x86/instruction';
import { Flag } from '../state';
import { CONTROL_INSTRUCTIONS } from './control';
import type { Cpu } from './cpu';
import { EventKind } from './event';
import { farReturn } from './far-return';
import { Vector } from './fault';
import { FLAG_INSTRUCTIONS } from './flag-instructions';
import { arithmeticFlags } from './flags';
import { interruptReturn } from './interrupt-return';
import { softwareInterrupt } from './interrupts';
import { IO_INSTRUCTIONS } from './io';
import { advance } from './operands';
import type { OperationTable, SystemOperation } from './operation';
import { PROCESSOR_INSTRUCTIONS } from './processor-instructions';
import { SEGMENT_INSTRUCTIONS } from './segment-instructions';
import { SYSCALL_INSTRUCTIONS } from './syscall';
import { farCall, farJump } from './transfer';
import { EXTENDED_STATE_INSTRUCTIONS } from './xsave';

const TRANSFER_INSTRUCTIONS: OperationTable = {
    // Only the far forms come here.
    JMP: farJump,
    CALL: farCall,
    RETF: farReturn,
    IRET: interruptReturn,
    IRETD: interruptReturn,
    IRETQ: interruptReturn,
    INT: (cpu, instruction) =>
        softwareInterrupt(cpu, instruction, instruction.immediate & 0xff, EventKind.SoftwareInterrupt),
    INT3: (cpu, instruction) => softwareInterrupt(cpu, instruction, Vector.BP, EventKind.SoftwareException),
    INT1: (cpu, instruction) => softwareInterrupt(cpu, instruction, Vector.DB, EventKind.PrivilegedSoftwareException),
    INTO: (cpu, instruction) => {
        if (arithmeticFlags(cpu) & Flag.OF) {
            softwareInterrupt(cpu, instruction, Vector.OF, EventKind.SoftwareException);
        } else {
            advance(cpu, instruction);
        }
    },
};

/**
 * The operations. Each is called with RIP at the instruction and all state in memory; it completes, with RIP at the next
 * instruction or the target, or throws a GuestFault with nothing changed.
 */
export const systemOperations: ReadonlyMap<string, SystemOperation> = new Map(
    [
        TRANSFER_INSTRUCTIONS,
        SEGMENT_INSTRUCTIONS,
        CONTROL_INSTRUCTIONS,
        FLAG_INSTRUCTIONS,
        IO_INSTRUCTIONS,
        SYSCALL_INSTRUCTIONS,
        PROCESSOR_INSTRUCTIONS,
        EXTENDED_STATE_INSTRUCTIONS,
    ].flatMap(table => Object.entries(table)),
);

/** Executes a system instruction. @throws GuestFault, #UD for an instruction that is not one */
export function executeSystem(cpu: Cpu, instruction: Instruction): void {
    const operation = systemOperations.get(instruction.row.mnemonic);
    if (operation === undefined) throw new Error(`${instruction.row.mnemonic} is not a system instruction`);
    operation(cpu, instruction);
}
