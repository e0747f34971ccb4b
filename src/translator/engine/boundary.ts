/**
 * What happens at instruction boundaries, where translated code has come back: interrupts, traps, shadows, and the
 * system operation of an instruction.
 */
import { Attribute, type Instruction } from '../../isa/x86/instruction';
import { type InterruptSource, serviceEvents } from '../../machine/cpu/boundary';
import { Cr0, Cr4 } from '../../machine/cpu/cpu-state';
import { raise, Vector } from '../../machine/cpu/fault';
import type { SystemOperation } from '../../machine/cpu/operation';
import type { Cpu } from '../../machine/cpu/cpu';
import type { Processor } from '../../machine/processor';
import { StateOffset } from '../../machine/state';

/** Where a vCPU's interrupts come from. */
export type EventSource = Pick<Processor, 'interruptPending' | 'acknowledgeInterrupt' | 'nmiPending'>;

/** What only TypeScript does for one vCPU, between translated instructions. */
export class InstructionBoundary {
    private readonly source: InterruptSource;

    constructor(
        processor: EventSource,
        private readonly operations: ReadonlyMap<string, SystemOperation>,
    ) {
        this.source = {
            nmiPending: () => processor.nmiPending,
            takeNmi: () => {
                processor.nmiPending = false;
            },
            interruptPending: () => processor.interruptPending,
            acknowledge: () => processor.acknowledgeInterrupt(),
        };
    }

    /** Delivers what is due before the next instruction: one event; true if there may be more. */
    service(cpu: Cpu): boolean {
        return serviceEvents(cpu, this.source);
    }

    /** Whether something waits, be it only for the flags to allow it. */
    eventPending(cpu: Cpu): boolean {
        const { source } = this;
        return source.interruptPending() || source.nmiPending() || cpu.lo(StateOffset.pendingDebug) !== 0;
    }

    /**
     * The system operation of an instruction that translated code handed over.
     * @throws GuestFault
     */
    execute(cpu: Cpu, instruction: Instruction): void {
        const operation = this.operations.get(instruction.row.mnemonic);
        if (operation !== undefined) {
            const { observer } = cpu.hooks;
            observer?.beginOperation(cpu);
            operation(cpu, instruction);
            observer?.endOperation();
            return;
        }
        refuse(cpu, instruction);
    }
}

/** An instruction that neither tier may execute in this mode: #UD, or #NM while CR0.TS or CR0.EM asks for it. */
function refuse(cpu: Cpu, instruction: Instruction): never {
    return raise(unavailable(cpu, instruction));
}

function unavailable(cpu: Cpu, instruction: Instruction): Vector {
    const { attributes } = instruction.row;
    const emulated = (cpu.cr0 & Cr0.EM) !== 0;
    const switched = (cpu.cr0 & Cr0.TS) !== 0;
    if ((attributes & Attribute.X87) !== 0 && (emulated || switched)) {
        return Vector.NM;
    }
    if ((attributes & (Attribute.Mmx | Attribute.Sse)) !== 0 && !emulated && switched) {
        const needsOsfxsr = (attributes & Attribute.Sse) !== 0 && (cpu.cr4 & Cr4.OSFXSR) === 0;
        return needsOsfxsr ? Vector.UD : Vector.NM;
    }
    return Vector.UD;
}
