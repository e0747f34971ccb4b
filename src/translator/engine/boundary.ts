/**
 * What happens at instruction boundaries, where translated code has come back: interrupts, traps, shadows, and the
 * system operation of an instruction.
 */
import { Attribute, type Instruction } from '../../isa/x86/instruction';
import { DebugStatus, matchCodeBreakpoints } from '../../machine/cpu/breakpoints';
import { Cr0, Cr4 } from '../../machine/cpu/cpu-state';
import { raise, raiseDebug, Vector } from '../../machine/cpu/fault';
import { deliverDebugTrap, deliverInterrupt, deliverNmi, interruptsOpen, nmiOpen } from '../../machine/cpu/interrupts';
import { segmentLinear } from '../../machine/cpu/operands';
import type { SystemOperation } from '../../machine/cpu/operation';
import type { Cpu } from '../../machine/cpu/cpu';
import type { Processor } from '../../machine/processor';
import { Flag, StateOffset } from '../../machine/state';

/** Where a vCPU's interrupts come from. */
export type EventSource = Pick<Processor, 'interruptPending' | 'acknowledgeInterrupt' | 'nmiPending'>;

/** A vCPU at an instruction boundary. */
export class InstructionBoundary {
    /** RFLAGS.TF when the instruction that is being stepped began. */
    private wasTracing = false;

    constructor(
        private readonly processor: EventSource,
        private readonly operations: ReadonlyMap<string, SystemOperation>,
    ) {}

    /** Takes what is due before the next instruction, in the order of SDM Vol. 3, table 6-2. */
    service(cpu: Cpu): void {
        const { processor } = this;
        if (cpu.lo(StateOffset.pendingDebug) !== 0 && cpu.lo(StateOffset.interruptShadow) === 0) {
            deliverDebugTrap(cpu);
        }
        if (processor.nmiPending && nmiOpen(cpu)) {
            processor.nmiPending = false;
            deliverNmi(cpu);
        }
        if (processor.interruptPending && interruptsOpen(cpu)) {
            deliverInterrupt(cpu, processor.acknowledgeInterrupt());
        }
    }

    /** Whether the next instruction must run alone: single-stepping, an interrupt shadow, code breakpoints. */
    mustStep(cpu: Cpu): boolean {
        return (cpu.systemFlags & Flag.TF) !== 0 || cpu.lo(StateOffset.interruptShadow) !== 0 || cpu.hasCodeBreakpoints;
    }

    /** @throws GuestFault #DB for a code breakpoint at RIP */
    beforeStep(cpu: Cpu): void {
        if (cpu.hasCodeBreakpoints) {
            cpu.expireResumeFlag();
            const status = matchCodeBreakpoints(cpu);
            if (status !== 0 && (cpu.systemFlags & Flag.RF) === 0) {
                raiseDebug(status);
            }
        }
        this.wasTracing = (cpu.systemFlags & Flag.TF) !== 0;
        // The shadow covers one instruction: that one. It may begin a new one.
        cpu.setLo(StateOffset.interruptShadow, 0);
    }

    /** After a single instruction that has completed. */
    afterStep(cpu: Cpu): void {
        if (this.wasTracing) {
            cpu.pendDebug(DebugStatus.SingleStep);
        }
    }

    /**
     * The system operation of an instruction that translated code handed over.
     * @throws GuestFault
     */
    execute(cpu: Cpu, instruction: Instruction): void {
        const operation = this.operations.get(instruction.row.mnemonic);
        if (operation !== undefined) {
            operation(cpu, instruction);
            return;
        }
        refuse(cpu, instruction);
    }

    /** Raises what an access of `bytes` at offset `accessAddress` in a segment violates, or returns if it is legal. */
    checkSegment(cpu: Cpu, segment: number, bytes: number, forWrite: boolean): void {
        const { lo, hi } = { lo: cpu.lo(StateOffset.accessAddress), hi: cpu.hi(StateOffset.accessAddress) };
        segmentLinear(cpu, segment, lo, hi, bytes, forWrite);
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
