import { wake } from '../../../src/machine/cpu/interrupts';
import type { Engine, EngineCpuHooks, EngineStatistics, RunStop } from '../../../src/machine/engine';
import type { Processor } from '../../../src/machine/processor';
import { ActivityState, StateOffset } from '../../../src/machine/state';

/** What a scripted vCPU does as its n-th instruction. */
export type Instruction = (processor: Processor) => void;

/**
 * An engine without instructions: vCPUs count, and do at given counts what a script says. Everything it knows is in the
 * shared memory, as the contract of engines wants it.
 */
export class ScriptedEngine implements Engine {
    /** By vCPU and instruction number, the first being 0. */
    readonly scripts: Map<number, Instruction>[] = [];
    /** Interrupts taken: vCPU, vector and that vCPU's instruction count. */
    readonly interrupts: string[] = [];
    readonly slices: string[] = [];
    readonly invalidated: number[] = [];
    /** vCPUs whose state was replaced, as the machine has told. */
    readonly replaced: number[] = [];
    mapChanges = 0;
    /** Called for each interrupt: a guest's handler. */
    onInterrupt: (processor: Processor, vector: number) => void = () => undefined;
    private readonly processors: Processor[] = [];
    private exitRequested = false;

    mmuHooks(): EngineCpuHooks {
        return {
            isCodePage: () => false,
            codeWritten: () => undefined,
            translationsFlushed: () => undefined,
            pageInvalidated: () => undefined,
            attention: () => undefined,
            modeChanged: () => undefined,
            retired: () => this.retired(),
        };
    }

    addProcessor(processor: Processor): void {
        this.processors.push(processor);
    }

    /** Makes a vCPU do something as its `count`-th instruction. */
    at(vcpu: number, count: number, instruction: Instruction): void {
        (this.scripts[vcpu] ??= new Map()).set(count, instruction);
    }

    count(vcpu: number): number {
        return Number(this.processors[vcpu].cpu.get64(StateOffset.instructions));
    }

    run(vcpu: number, budget: number): RunStop {
        const processor = this.processors[vcpu];
        const { cpu } = processor;
        this.exitRequested = false;
        const start = this.count(vcpu);
        const end = start + budget;
        try {
            for (;;) {
                this.takeInterrupts(processor);
                if (cpu.activity === ActivityState.Halted) return { reason: 'halted' };
                if (cpu.activity === ActivityState.WaitForSipi) return { reason: 'waiting' };
                if (cpu.activity === ActivityState.Shutdown) return { reason: 'shutdown' };
                if (this.exitRequested) return { reason: 'exit' };
                const now = this.count(vcpu);
                if (now >= end) return { reason: 'budget' };
                const instruction = this.scripts[vcpu]?.get(now);
                instruction?.(processor);
                cpu.set64(
                    StateOffset.instructions,
                    BigInt(instruction === undefined ? this.next(vcpu, now, end) : now + 1),
                );
            }
        } finally {
            this.slices.push(`${vcpu}+${this.count(vcpu) - start}`);
        }
    }

    retired(): number {
        return this.processors.reduce((sum, { index }) => sum + this.count(index), 0);
    }

    requestExit(): void {
        this.exitRequested = true;
    }

    invalidatePage(page: number): void {
        this.invalidated.push(page);
    }

    mapChanged(): void {
        this.mapChanges++;
    }

    stateChanged(vcpu: number): void {
        this.replaced.push(vcpu);
    }

    statistics(): EngineStatistics {
        return {};
    }

    private next(vcpu: number, now: number, end: number): number {
        const following = [...(this.scripts[vcpu]?.keys() ?? [])].filter(count => count > now);
        return Math.min(end, ...following);
    }

    private takeInterrupts(processor: Processor): void {
        const { cpu, index } = processor;
        if (processor.nmiPending) {
            processor.nmiPending = false;
            wake(cpu);
            this.interrupts.push(`${index}: NMI at ${this.count(index)}`);
        }
        // A script that sets IF takes interrupts between instructions.
        if (processor.interruptPending && (cpu.rflags & 0x200) !== 0) {
            const vector = processor.acknowledgeInterrupt();
            wake(cpu);
            this.interrupts.push(`${index}: ${vector} at ${this.count(index)}`);
            this.onInterrupt(processor, vector);
        }
    }
}

/** HLT. */
export const halt: Instruction = ({ cpu }) => {
    cpu.activity = ActivityState.Halted;
};

/** STI. */
export const enableInterrupts: Instruction = ({ cpu }) => cpu.writeFlags(0x202);
