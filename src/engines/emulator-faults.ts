/**
 * Known faults of KVM's instruction emulator, which executes guests where there is no VT-x or AMD-V: differences between
 * the engines that these explain. The manuals, and the host's own processor in test/differential, side with the translator.
 * What can be told from the instruction alone is left out of random streams instead (random-streams.ts).
 */
import { Attribute, type Instruction, OperandKind } from '../isa/x86';
import { Vector } from '../machine/cpu/fault';
import type { Difference } from './lockstep-state';

/** What is known of a difference. */
export interface Observed {
    readonly instruction: Instruction;
    readonly differences: readonly Difference[];
    /** Vectors of the exceptions to whose handlers the vCPUs have gone; undefined for none. */
    readonly handlers: { readonly translator: number | undefined; readonly kvm: number | undefined };
    /** The instruction was executed at CPL 3. */
    readonly user?: boolean;
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
    {
        // Where both operands fault, processors tell of the one at ES:rDI (this host's at CPL 3, and QEMU's translator).
        name: 'CMPS reads DS:rSI before ES:rDI',
        explains: ({ instruction, handlers }) =>
            instruction.row.mnemonic === 'CMPS' && handlers.translator !== undefined && handlers.kvm !== undefined,
    },
    {
        // What it cannot emulate ends KVM_RUN at CPL 0, but is #UD at CPL 3 (Linux, handle_emulation_failure), and user code
        // gets there for accesses to memory that the host's processor may not make as they are. CR0 and CR4 are the same for
        // instructions on registers, which are executed.
        name: '#UD for x87, MMX or SSE with memory at CPL 3',
        explains: ({ instruction: { row, operands }, handlers, user }) =>
            user === true &&
            (row.attributes & (Attribute.X87 | Attribute.Mmx | Attribute.Sse)) !== 0 &&
            operands.some(({ kind }) => kind === OperandKind.Memory) &&
            handlers.translator !== Vector.UD &&
            handlers.kvm === Vector.UD,
    },
];

/** The name of the fault that explains a difference, if one does. */
export function faultThatExplains(observed: Observed): string | undefined {
    return EMULATOR_FAULTS.find(fault => fault.explains(observed))?.name;
}
