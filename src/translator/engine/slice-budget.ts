/**
 * Accounts for the instructions of a slice, exactly. Translated code subtracts a block's instructions from the vCPU's
 * `remaining` when it enters the block, and comes back once too few are left.
 */
import type { Cpu } from '../../machine/cpu/cpu';
import { StateOffset } from '../../machine/state';

/** Low half of `remaining` while an early exit is requested: every block finds too little left. */
const NOTHING_LEFT = -0x40000000;

export class SliceBudget {
    /** Instructions that the slice in progress may take. */
    private budget = 0;
    /** `remaining` was set aside because an early exit was requested. */
    private held = false;
    private heldRemaining = 0;

    begin(cpu: Cpu, budget: number): void {
        this.budget = budget;
        this.held = false;
        this.setRemaining(cpu, budget);
        this.alignTimeStamp(cpu);
    }

    /** Adds what the slice has done to the vCPU's count. */
    end(cpu: Cpu): void {
        const total =
            cpu.lo(StateOffset.instructions) + cpu.hi(StateOffset.instructions) * 0x100000000 + this.done(cpu);
        cpu.set(StateOffset.instructions, total % 0x100000000, Math.floor(total / 0x100000000));
        this.unhold(cpu);
        this.setRemaining(cpu, 0);
        this.budget = 0;
    }

    /** Instructions of the slice that are accounted for. */
    done(cpu: Cpu): number {
        return this.budget - this.remaining(cpu);
    }

    remaining(cpu: Cpu): number {
        return this.held ? this.heldRemaining : cpu.lo(StateOffset.remaining) | 0;
    }

    /** Accounts for instructions: `value` of the slice are left. Not while `remaining` is held. */
    setRemaining(cpu: Cpu, value: number): void {
        cpu.set(StateOffset.remaining, value, value < 0 ? -1 : 0);
    }

    /** Has translated code come back at the end of its block. */
    hold(cpu: Cpu): void {
        if (!this.held) {
            this.heldRemaining = this.remaining(cpu);
            this.held = true;
            this.rebase(cpu, NOTHING_LEFT);
        }
    }

    /** Takes {@link hold} back. */
    unhold(cpu: Cpu): void {
        if (this.held) {
            // Blocks entered since then would have found nothing left: none was.
            this.held = false;
            this.rebase(cpu, this.heldRemaining);
        }
    }

    /**
     * Runs one instruction: the block after it finds nothing left.
     *
     * @returns how many have been executed: none, if it faulted
     */
    single(cpu: Cpu, execute: () => void): number {
        const { budget } = this;
        const remaining = this.remaining(cpu);
        this.budget = budget - remaining + 1;
        this.rebase(cpu, 1);
        execute();
        const executed = 1 - this.remaining(cpu);
        this.budget = budget;
        this.unhold(cpu);
        this.rebase(cpu, remaining - executed);
        return executed;
    }

    /** The TSC as translated code computes it is that of the machine's clock. */
    alignTimeStamp(cpu: Cpu): void {
        const now = BigInt(cpu.hooks.tsc()) + cpu.get64(StateOffset.tscOffset);
        const left = BigInt(cpu.lo(StateOffset.remaining) | 0);
        cpu.set64(StateOffset.tscAtSliceEnd, BigInt.asUintN(64, now + left));
    }

    /** Changes `remaining` without any instruction having run: the TSC stays what it is. */
    private rebase(cpu: Cpu, value: number): void {
        const shift = value - (cpu.lo(StateOffset.remaining) | 0);
        cpu.set64(StateOffset.tscAtSliceEnd, cpu.get64(StateOffset.tscAtSliceEnd) + BigInt(shift));
        this.setRemaining(cpu, value);
    }
}
