/**
 * Has translated code leave right after the instruction in progress, also in the middle of a block or of a repeated
 * string: where blocks happen to end must not decide when a guest sees an event.
 */
import { Gpr, RepeatPrefix } from '../../isa/x86/instruction';
import type { Cpu } from '../../machine/cpu/cpu';
import { Flag, StateOffset } from '../../machine/state';
import { FixedHandler } from '../codegen/handler-emitter';
import { RecordOffset } from '../codegen/record';
import { CHUNK } from '../lift/integer/string';
import type { CodeCache } from './blocks';
import type { RunningInstruction } from './running-instruction';

export class EarlyExit {
    /** Address of a record whose handler is overwritten by one that leaves, or 0. */
    private leaveAt = 0;
    /** The handler that stood there. */
    private leaveHandler = 0;
    /** The instruction in progress is a repeated one that has been told to end early. */
    private repeatStopped = false;
    private repeatRip = { lo: 0, hi: 0 };
    private readonly words: Uint32Array;

    constructor(
        buffer: ArrayBufferLike,
        private readonly cache: CodeCache,
        private readonly running: RunningInstruction,
    ) {
        this.words = new Uint32Array(buffer);
    }

    /** Has the next record of the block leave. */
    afterInstruction(cpu: Cpu): void {
        if (this.leaveAt !== 0) {
            return;
        }
        const record = cpu.lo(StateOffset.currentRecord) + RecordOffset.size;
        const { block, index } = this.cache.blockOf(record);
        // The end record finds nothing left, and those of a block that is gone leave anyway.
        if (index < block.count && block.valid) {
            this.leaveAt = record;
            this.leaveHandler = this.words[record >>> 2];
            this.words[record >>> 2] = FixedHandler.Stale;
        }
    }

    /** Has a repeated string instruction, if it is one that runs, end after the present element. */
    afterElement(cpu: Cpu): void {
        if (this.running.of(cpu).repeat !== RepeatPrefix.None) {
            this.running.noteRip(cpu);
            this.repeatStopped = true;
            this.repeatRip = { lo: cpu.ripLo, hi: cpu.ripHi };
            cpu.setLo(StateOffset.repeatStop, 1);
        }
    }

    /** Translated code has come back: its records are as before. */
    restore(): void {
        if (this.leaveAt === 0) {
            return;
        }
        if (this.cache.blockOf(this.leaveAt).block.valid) {
            this.words[this.leaveAt >>> 2] = this.leaveHandler;
        }
        this.leaveAt = 0;
    }

    /**
     * Translated code has come back at the end of a block, with RIP there.
     *
     * @returns whether it was a repeated instruction that ended early and would have gone on at once. Then it is as if
     * it had not begun: it counts when it does the rest.
     */
    endRepeat(cpu: Cpu): boolean {
        if (!this.repeatStopped) {
            return false;
        }
        this.abandonRepeat(cpu);
        const { lo, hi } = this.repeatRip;
        const comesUpForAir =
            (cpu.lo(StateOffset.gpr + 8 * Gpr.Rcx) & (CHUNK - 1)) === 0 ||
            (cpu.systemFlags & Flag.TF) !== 0 ||
            cpu.lo(StateOffset.pendingDebug) !== 0;
        return cpu.ripLo === lo && cpu.ripHi === hi && !comesUpForAir;
    }

    /** The instruction in progress has faulted. */
    abandonRepeat(cpu: Cpu): void {
        this.repeatStopped = false;
        cpu.setLo(StateOffset.repeatStop, 0);
    }
}
