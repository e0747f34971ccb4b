/**
 * Known faults of KVM's instruction emulator, which executes guests where there is no VT-x or AMD-V: differences between
 * the engines that these explain. The manuals, and the host's own processor in test/differential, side with the translator.
 * What can be told from the instruction alone is left out of random streams instead (random-streams.ts).
 */
import { Attribute, type Instruction } from '../isa/x86';
import { Vector } from '../machine/cpu/fault';
import type { Difference } from './lockstep-state';

/** What is known of a difference. */
export interface Observed {
    readonly instruction: Instruction;
    readonly differences: readonly Difference[];
    /** Vectors of the exceptions to whose handlers the vCPUs have gone; undefined for none. */
    readonly handlers: { readonly translator: number | undefined; readonly kvm: number | undefined };
}

export interface EmulatorFault {
    /** In a few words. */
    readonly name: string;
    explains(observed: Observed): boolean;
}

export const EMULATOR_FAULTS: readonly EmulatorFault[] = [
    {
        // The processor checks the alignment first (SDM Vol. 2, table 2-17: #GP(0) wherever the operand is).
        name: '#SS before #GP for a misaligned operand',
        explains: ({ instruction, handlers }) =>
            (instruction.row.attributes & Attribute.Aligned) !== 0 &&
            handlers.translator === Vector.GP &&
            handlers.kvm === Vector.SS,
    },
    {
        // It executes an MMX instruction of its own to get at the registers, which marks all of them as used.
        name: 'x87 tags changed by an MMX instruction that faults',
        explains: ({ instruction, handlers, differences }) =>
            (instruction.row.attributes & Attribute.Mmx) !== 0 &&
            handlers.translator !== undefined &&
            handlers.translator === handlers.kvm &&
            differences.every(({ name }) => /^x87 (empty|top)/.test(name)),
    },
];
