/**
 * One guest on two machines, executed by the translator and by KVM, instruction by instruction: where the two first
 * differ, one of them (or the host's KVM) is wrong.
 *
 * Both count instructions, so that devices, timers and interrupts are the same in both. What two processors may do
 * differently is left out of the comparison: flags that the manual leaves undefined, and instructions that read the time.
 */
import type { Cpu } from '../machine/cpu/cpu';
import { codeAt } from '../machine/cpu/code-bytes';
import { readRflags, storeRflags } from '../machine/cpu/flags';
import type { Machine } from '../machine/machine';
import type { MachineStop } from '../machine/stop';
import { StateOffset } from '../machine/state';
import { decode, type Instruction, RepeatPrefix } from '../isa/x86';
import type { KvmEngine } from '../kvm/engine';
import { ExceptionTraps } from '../kvm/exception-traps';
import { linearRip } from '../kvm/vcpu';
import { faultThatExplains } from './emulator-faults';
import {
    type Difference,
    differentByte,
    restDifferences,
    sharedDifferences,
    StateBefore,
    type StateRow,
} from './lockstep-state';

/** Instructions between two comparisons of what is not compared after each: memory, x87, SSE, MSRs. */
const FULL_INTERVAL = 256;
const MEMORY_INTERVAL = 16_384;

/** Their results are the clock's or chance's. */
const TIMED: ReadonlySet<string> = new Set(['RDTSC', 'RDTSCP', 'RDRAND', 'RDSEED', 'RDPMC']);

export interface Divergence {
    readonly vcpu: number;
    /** The instruction after which the two differ, with its linear address; where it is known. */
    readonly address: bigint;
    readonly instruction: Instruction | undefined;
    readonly bytes: Uint8Array;
    readonly differences: readonly Difference[];
    /** The difference may have come up in so many instructions before. */
    readonly within: number;
    /** Why each machine came back, if for different reasons. */
    readonly stops?: { readonly translator: MachineStop; readonly kvm: MachineStop };
    /** Vectors of the exceptions to whose handlers they have gone; undefined for none. */
    readonly handlers: { readonly translator: number | undefined; readonly kvm: number | undefined };
    /** The general state of both vCPUs, after the instruction. */
    readonly state: readonly StateRow[];
}

/** Differences that are expected, by the instruction's mnemonic or the fault of KVM's, with how often they came up. */
export type Explained = Map<string, number>;

export interface LockstepOptions {
    /** Mnemonics whose results are taken from the translator: known faults of this host's KVM. */
    readonly except?: ReadonlySet<string>;
    /** KVM has no VT-x or AMD-V beneath it: known faults of its emulator explain differences (emulator-faults.ts). */
    readonly emulated?: boolean;
    /** x87, SSE and MSRs are compared after so many instructions (default 256). */
    readonly fullInterval?: number;
}

export class Lockstep {
    /** Instructions that both have executed. */
    get executed(): number {
        return this.translator.engine.retired();
    }

    readonly explained: Explained = new Map();
    private readonly before = new StateBefore();
    private sinceFull = 0;
    private sinceMemory = 0;

    /**
     * @param translator a machine on the translator
     * @param kvm the same machine on KVM, with a counted engine
     */
    constructor(
        private readonly translator: Machine,
        private readonly kvm: Machine,
        private readonly engine: KvmEngine,
        private readonly options: LockstepOptions = {},
    ) {}

    /** Instructions that KVM left to the translator: nothing is compared there. */
    get executedElsewhere(): number {
        return this.engine.statistics().executedElsewhere;
    }

    /** Executes one instruction on both; returns how the machines ended or where they differ, if so. */
    step(): MachineStop | Divergence | undefined {
        const vcpu = this.translator.loop.current;
        const { cpu: left } = this.translator.processors[vcpu];
        const address = linearRip(left);
        const bytes = codeAt(left, address);
        const found = decode(bytes, 0, bytes.length, codeSize(left));
        const instruction = typeof found === 'number' ? undefined : found;
        this.before.keep(left);
        // On KVM a repeated instruction is one, here one may come back in between.
        const limits = { instructions: 1, idleSkips: 1 };
        const first = this.translator.run(limits);
        const second = this.kvm.run(limits);
        const right = this.kvm.processors[vcpu].cpu;
        const handlers = (): Divergence['handlers'] => ({
            translator: new ExceptionTraps(this.translator.memory).vectorAt(left),
            kvm: new ExceptionTraps(this.kvm.memory).vectorAt(right),
        });
        const divergence = (differences: readonly Difference[], within = 1): Divergence => ({
            ...{ vcpu, address, instruction, bytes, differences, within },
            stops: first.reason === second.reason ? undefined : { translator: first, kvm: second },
            handlers: handlers(),
            state: this.before.sideBySide(left, right),
        });
        if (first.reason !== second.reason) {
            this.engine.settle();
            return divergence(this.compareShared(left, right, instruction));
        }
        this.settleRepeat(left, right, instruction);
        const differences = this.compareShared(left, right, instruction);
        const isExplained = (what: readonly Difference[]): boolean => {
            const reason = this.reasonFor(instruction, what, handlers);
            if (reason !== undefined) this.explain(left, right, reason);
            return reason !== undefined;
        };
        if (differences.length > 0 && !isExplained(differences)) {
            return divergence(differences);
        }
        const ended = first.reason !== 'budget' && first.reason !== 'idle';
        const rest = this.compareRest(left, right, ended);
        if (rest !== undefined && !(rest.within === 1 && isExplained(rest.differences))) {
            return divergence(rest.differences, rest.within);
        }
        return ended || first.reason === 'idle' ? first : undefined;
    }

    /** Brings a repeated instruction to the same point in both. */
    private settleRepeat(left: Cpu, right: Cpu, instruction: Instruction | undefined): void {
        if (instruction === undefined || instruction.repeat === RepeatPrefix.None) return;
        for (let more = 0; more < 0x10000; more++) {
            const behind = left.gpr64(1) > right.gpr64(1) ? this.translator : this.kvm;
            if (left.gpr64(1) === right.gpr64(1) || linearRip(left) === linearRip(right)) return;
            behind.run({ instructions: 1, idleSkips: 1 });
        }
    }

    private compareShared(left: Cpu, right: Cpu, instruction: Instruction | undefined): Difference[] {
        const differences = sharedDifferences(left, right, instruction?.row.flags.undefined ?? 0);
        const flags = readRflags(left);
        if (flags !== readRflags(right) && differences.every(({ name }) => name !== 'rflags')) {
            // From here on what the manual leaves undefined is the same.
            storeRflags(right, flags);
            right.hooks.modeChanged();
        }
        return differences;
    }

    /** Why a difference is no wonder; undefined if there is no such reason. */
    private reasonFor(
        instruction: Instruction | undefined,
        differences: readonly Difference[],
        handlers: () => Divergence['handlers'],
    ): string | undefined {
        if (instruction === undefined) return undefined;
        const { mnemonic } = instruction.row;
        if (TIMED.has(mnemonic) || this.options.except?.has(mnemonic) === true) return mnemonic;
        if (this.options.emulated !== true) return undefined;
        return faultThatExplains({ instruction, differences, handlers: handlers() });
    }

    /** Counts what has a reason, and has both go on from the translator's state. */
    private explain(left: Cpu, right: Cpu, reason: string): void {
        this.explained.set(reason, (this.explained.get(reason) ?? 0) + 1);
        this.engine.settle();
        const copy = (from: number, to: number): void => right.bytes.set(left.bytes.subarray(from, to), from);
        copy(0, StateOffset.zero);
        copy(StateOffset.segments, StateOffset.monitor);
        copy(StateOffset.vector, StateOffset.scratch);
        right.setLo(StateOffset.interruptShadow, left.lo(StateOffset.interruptShadow));
        right.setLo(StateOffset.activity, left.activity);
        right.stateReplaced();
        this.kvm.engine.stateChanged(this.kvm.processors.findIndex(({ cpu }) => cpu === right));
    }

    private compareRest(left: Cpu, right: Cpu, now: boolean): Pick<Divergence, 'differences' | 'within'> | undefined {
        this.sinceFull++;
        this.sinceMemory++;
        const differences: Difference[] = [];
        let within = 0;
        if (now || this.sinceFull >= (this.options.fullInterval ?? FULL_INTERVAL)) {
            within = this.sinceFull;
            this.sinceFull = 0;
            this.engine.settle();
            differences.push(...restDifferences(left, right));
        }
        if (now || this.sinceMemory >= MEMORY_INTERVAL) {
            const place = differentByte(this.translator, this.kvm);
            if (place !== undefined) {
                within = this.sinceMemory;
                differences.push(place);
            }
            this.sinceMemory = 0;
        }
        return differences.length === 0 ? undefined : { differences, within };
    }
}

export function codeSize(cpu: Cpu): 16 | 32 | 64 {
    return ([16, 32, 64] as const)[cpu.mode & 3];
}

export function isDivergence(outcome: MachineStop | Divergence): outcome is Divergence {
    return 'differences' in outcome;
}
