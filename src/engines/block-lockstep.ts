/**
 * Random code at CPL 3 on two machines, executed by the translator and by KVM, and compared where it has come to its end:
 * single steps there are beyond a KVM without hardware beneath it, which has the host's processor execute user code as it
 * is. Where the two differ, shorter and shorter beginnings tell after which instruction they do.
 */
import { decode, MAX_INSTRUCTION_LENGTH } from '../isa/x86';
import { ExceptionTraps } from '../kvm/exception-traps';
import { linearRip } from '../kvm/vcpu';
import type { Machine } from '../machine/machine';
import type { MachineStop } from '../machine/stop';
import { ActivityState } from '../machine/state';
import { faultThatExplains } from './emulator-faults';
import { codeAt, codeSize, type Divergence, type Explained } from './lockstep';
import type { Pair } from './lockstep-pair';
import { type Difference, differentByte, restDifferences, sharedDifferences, StateBefore } from './lockstep-state';
import { beginningOf, CODE, DATA, DATA_SIZE, INTERRUPT_STACK, startStream, type Stream } from './random-streams';

/** Instructions, and on KVM ticks, of one run: no stream takes as many. */
const SLICE = 1e6;
/** A stream that has not come to its end after so many runs never will, however busy the host is. */
const MOST_SLICES = 2000;
/** NOP and HLT: see `startStream`. */
const HANDLER_LENGTH = 2;
/** Streams between two comparisons of all memory. */
const MEMORY_INTERVAL = 16;
/** Where an interrupt frame of 64-bit code has RIP, below the stack's end: SS, RSP, RFLAGS and CS are above. */
const PUSHED_RIP = 40;
const PAGE = 0x1000;
const HALTED: MachineStop = { reason: 'idle', deadline: undefined };

export class BlockLockstep {
    /** Instructions of streams that both have executed. */
    executed = 0;
    readonly explained: Explained = new Map();
    private sinceMemory = 0;

    /**
     * @param pair whose KVM runs freely
     * @param emulated as in `LockstepOptions`
     */
    constructor(
        private readonly pair: Pair,
        private readonly emulated = false,
    ) {}

    /** Executes a stream on both; returns where they differ for no known reason, if so. */
    run(stream: Stream): Divergence | undefined {
        const before = this.pair.translator.engine.retired();
        const found = this.compare(stream);
        this.executed += this.pair.translator.engine.retired() - before - HANDLER_LENGTH;
        if (!isDifferent(found)) return undefined;
        const divergence = this.locate(stream, found);
        const { instruction, differences, handlers, stops, within } = divergence;
        if (!this.emulated || instruction === undefined || stops !== undefined || within !== 1) return divergence;
        const fault = faultThatExplains({ instruction, differences, handlers, user: stream.user });
        if (fault === undefined) return divergence;
        this.explained.set(fault, (this.explained.get(fault) ?? 0) + 1);
        // One of them may have written what the next stream does not begin with.
        copyMemory(this.pair);
        return undefined;
    }

    private compare(stream: Stream): Pick<Divergence, 'differences' | 'stops'> {
        const { translator, kvm } = this.pair;
        startStream(translator, stream);
        startStream(kvm, stream);
        const stops = { translator: runToEnd(translator), kvm: runToEnd(kvm) };
        const [left, right] = [translator, kvm].map(({ processors }) => processors[0].cpu);
        const differences: (Difference | undefined)[] = [
            ...sharedDifferences(left, right, 0),
            ...restDifferences(left, right),
            differentByte(translator, kvm, DATA, DATA_SIZE),
            differentByte(translator, kvm, INTERRUPT_STACK - PAGE, PAGE),
        ];
        if (++this.sinceMemory === MEMORY_INTERVAL) {
            this.sinceMemory = 0;
            differences.push(differentByte(translator, kvm));
        }
        return {
            differences: differences.filter(difference => difference !== undefined),
            stops: stops.translator === HALTED && stops.kvm === HALTED ? undefined : stops,
        };
    }

    /** Number of instructions up to the one that has led KVM to a handler, or 0 if that is none of the stream. */
    private whereKvmFaulted({ bits, starts }: Stream): number {
        const { memory } = this.pair.kvm;
        const rip = memory.read(INTERRUPT_STACK - PUSHED_RIP, 4) - (bits === 16 ? 0 : CODE);
        return starts.indexOf(rip) + 1;
    }

    private locate(stream: Stream, whole: Pick<Divergence, 'differences' | 'stops'>): Divergence {
        let count = Math.max(1, this.whereKvmFaulted(stream));
        let found = this.compare(beginningOf(stream, count - 1));
        // Most differences are in the instruction that has faulted; the others are looked for from the start.
        if (isDifferent(found)) count = 1;
        for (; count <= stream.starts.length; count++) {
            found = this.compare(beginningOf(stream, count));
            if (isDifferent(found)) break;
        }
        // Only all of it shows the difference, or memory that was written by one of the streams before.
        const within = count <= stream.starts.length ? 1 : stream.starts.length * MEMORY_INTERVAL;
        if (within !== 1) {
            count = stream.starts.length;
            found = this.compare(stream);
        }
        const { translator, kvm } = this.pair;
        const [left, right] = [translator, kvm].map(({ processors }) => processors[0].cpu);
        const differences = found.differences.length === 0 ? whole.differences : found.differences;
        const handlers = {
            translator: new ExceptionTraps(translator.memory).vectorAt(left),
            kvm: new ExceptionTraps(kvm.memory).vectorAt(right),
        };
        const after = left.bytes.slice();
        startStream(translator, beginningOf(stream, count));
        if (count > 1) translator.run({ instructions: count - 1 });
        const before = new StateBefore();
        before.keep(left);
        const address = linearRip(left);
        const bytes = codeAt(left, address).subarray(0, MAX_INSTRUCTION_LENGTH);
        const instruction = decode(bytes, 0, bytes.length, codeSize(left));
        left.bytes.set(after);
        left.stateReplaced();
        translator.engine.stateChanged(0);
        return {
            ...{ vcpu: 0, address, bytes, differences, within, handlers },
            instruction: typeof instruction === 'number' ? undefined : instruction,
            stops: found.stops ?? whole.stops,
            state: before.sideBySide(left, right),
        };
    }
}

function copyMemory({ translator, kvm }: Pair): void {
    const { base, size } = translator.memory.layout.ram;
    kvm.memory.bytes.set(translator.memory.bytes.subarray(base, base + size), kvm.memory.layout.ram.base);
}

function isDifferent({ differences, stops }: Pick<Divergence, 'differences' | 'stops'>): boolean {
    return differences.length > 0 || stops !== undefined;
}

/** Until the guest has halted, or something else stops it. */
function runToEnd(machine: Machine): MachineStop {
    const { cpu } = machine.processors[0];
    for (let slices = 0; slices < MOST_SLICES; slices++) {
        const stop = machine.run({ instructions: SLICE, idleSkips: 0 });
        if (cpu.activity === ActivityState.Halted) return HALTED;
        if (stop.reason !== 'budget' && stop.reason !== 'idle') return stop;
    }
    return { reason: 'budget' };
}
