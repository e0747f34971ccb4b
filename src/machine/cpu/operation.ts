import type { Instruction } from '../../isa/x86/instruction';
import type { Cpu } from './cpu';

/**
 * Executes one system instruction. RIP addresses it; the operation leaves RIP at the next instruction or the target,
 * or throws a GuestFault with the state unchanged.
 */
export type SystemOperation = (cpu: Cpu, instruction: Instruction) => void;

/** Operations by mnemonic. */
export type OperationTable = Readonly<Record<string, SystemOperation>>;
