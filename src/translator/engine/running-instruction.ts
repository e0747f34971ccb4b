/** Where a vCPU is in translated code: the instruction whose record it noted last. */
import type { Instruction } from '../../isa/x86/instruction';
import type { Cpu } from '../../machine/cpu/cpu';
import { ModeKey, StateOffset } from '../../machine/state';
import { HeaderOffset, RecordOffset } from '../codegen/record';
import type { CodeCache } from './blocks';

export class RunningInstruction {
    private readonly view: DataView;

    constructor(
        buffer: ArrayBufferLike,
        private readonly cache: CodeCache,
    ) {
        this.view = new DataView(buffer);
    }

    of(cpu: Cpu): Instruction {
        return this.cache.instructionOf(cpu.lo(StateOffset.currentRecord));
    }

    /** Instructions of its block, from it on: the block's header has accounted for them, but they have not completed. */
    unexecuted(cpu: Cpu): number {
        const record = cpu.lo(StateOffset.currentRecord);
        const ordinal = this.view.getUint8(record + RecordOffset.ordinal);
        const header = record - (ordinal + 1) * RecordOffset.size;
        return this.view.getUint32(header + HeaderOffset.count, true) - ordinal;
    }

    /** Makes RIP that of the instruction, for whoever looks. */
    noteRip(cpu: Cpu): void {
        const lo = this.offsetFromBlock(cpu);
        const long = (cpu.mode & ModeKey.CodeSizeMask) === 2;
        cpu.setRip(lo, lo > 0xffffffff && long ? cpu.hi(StateOffset.blockRip) + 1 : cpu.hi(StateOffset.blockRip));
    }

    /** Its RIP, without changing anything. */
    locate(cpu: Cpu, target: { ripLo: number; ripHi: number }): void {
        const lo = this.offsetFromBlock(cpu);
        target.ripLo = lo >>> 0;
        target.ripHi = cpu.hi(StateOffset.blockRip) + (lo > 0xffffffff ? 1 : 0);
    }

    /** Low half of RIP, before it wraps. */
    private offsetFromBlock(cpu: Cpu): number {
        const record = cpu.lo(StateOffset.currentRecord);
        return cpu.lo(StateOffset.blockRip) + this.view.getUint16(record + RecordOffset.ipOffset, true);
    }
}
