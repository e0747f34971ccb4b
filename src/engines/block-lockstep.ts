/**
 * Random code at CPL 3 on two machines, executed by the translator and by KVM, and compared where it has come to its end:
 * single steps there are beyond a KVM without hardware beneath it, which has the host's processor execute user code as it
 * is. Where the two differ, shorter and shorter beginnings tell after which instruction they do.
 */
import { decode } from '../isa/x86';
import { ExceptionTraps } from '../kvm/exception-traps';
import { linearRip } from '../kvm/vcpu';
import { codeAt } from '../machine/cpu/code-bytes';
import type { Machine } from '../machine/machine';
import type { MachineStop } from '../machine/stop';
import { ActivityState } from '../machine/state';
import { faultThatExplains } from './emulator-faults';
import { codeSize, type Divergence, type Explained } from './lockstep';
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

type Found = Pick<Divergence, 'differences' | 'stops'>;
type Observation = Found & Pick<Divergence, 'handlers' | 'instruction'>;

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
        if (this.isExplained(stream, this.whereFaulted(stream, found))) return undefined;
        const divergence = this.locate(stream, found);
        return divergence.within === 1 && this.isExplained(stream, divergence) ? undefined : divergence;
    }

    /** Whether a known fault explains a difference, which is counted then. */
    private isExplained(stream: Stream, found: Observation): boolean {
        const { instruction, differences, handlers, stops } = found;
        if (!this.emulated || instruction === undefined || stops !== undefined) return false;
        const fault = faultThatExplains({ instruction, differences, handlers, user: stream.user });
        if (fault === undefined) return false;
        this.explained.set(fault, (this.explained.get(fault) ?? 0) + 1);
        // One of them may have written what the next stream does not begin with.
        copyMemory(this.pair);
        return true;
    }

    /**
     * What is known of a difference at once: the instruction that has led KVM to a handler, and whether it has led the
     * translator to one. Hosts may do otherwise when asked again: what KVM emulates depends on what it has at hand.
     */
    private whereFaulted(stream: Stream, found: Found): Observation {
        const { translator, kvm } = this.pair;
        const at = faultingInstruction(kvm, stream);
        const decoded = at < 0 ? 0 : decode(stream.code, stream.starts[at], stream.code.length, stream.bits);
        const handlers = this.handlers();
        const isSame = faultingInstruction(translator, stream) === at;
        return {
            ...found,
            instruction: typeof decoded === 'number' ? undefined : decoded,
            handlers: isSame ? handlers : { translator: undefined, kvm: handlers.kvm },
        };
    }

    private handlers(): Divergence['handlers'] {
        const vector = ({ memory, processors }: Machine): number | undefined =>
            new ExceptionTraps(memory).vectorAt(processors[0].cpu);
        return { translator: vector(this.pair.translator), kvm: vector(this.pair.kvm) };
    }

    private compare(stream: Stream): Found {
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

    private locate(stream: Stream, whole: Found): Divergence {
        const { translator, kvm } = this.pair;
        const cpus = [translator, kvm].map(({ processors }) => processors[0].cpu);
        const [left, right] = cpus;
        const saved = cpus.map(({ bytes }) => bytes.slice());
        const handlersOfWhole = this.handlers();
        // Most differences are in the instruction that has faulted; the others are looked for from the start.
        let count = Math.max(1, faultingInstruction(kvm, stream) + 1);
        let found = this.compare(beginningOf(stream, count - 1));
        if (isDifferent(found)) count = 1;
        for (; count <= stream.starts.length; count++) {
            found = this.compare(beginningOf(stream, count));
            if (isDifferent(found)) break;
        }
        const isFound = count <= stream.starts.length;
        // KVM does not do the same again, or it is memory that was written by one of the streams before.
        const within = isFound ? 1 : stream.starts.length * MEMORY_INTERVAL;
        const { differences, stops } = isFound ? found : whole;
        const handlers = isFound ? this.handlers() : handlersOfWhole;
        if (!isFound) {
            count = stream.starts.length;
            cpus.forEach((cpu, index) => cpu.bytes.set(saved[index]));
        }
        const after = left.bytes.slice();
        startStream(translator, beginningOf(stream, count));
        if (count > 1) translator.run({ instructions: count - 1 });
        const before = new StateBefore();
        before.keep(left);
        const address = linearRip(left);
        const bytes = codeAt(left, address);
        const instruction = decode(bytes, 0, bytes.length, codeSize(left));
        left.bytes.set(after);
        left.stateReplaced();
        translator.engine.stateChanged(0);
        return {
            ...{ vcpu: 0, address, bytes, differences, within, handlers },
            instruction: typeof instruction === 'number' ? undefined : instruction,
            stops,
            state: before.sideBySide(left, right),
        };
    }
}

/** Index of the instruction of a stream that has led a machine to a handler; -1 if it is none of the stream's. */
function faultingInstruction({ memory }: Machine, { bits, starts }: Stream): number {
    return starts.indexOf(memory.read(INTERRUPT_STACK - PUSHED_RIP, 4) - (bits === 16 ? 0 : CODE));
}

function copyMemory({ translator, kvm }: Pair): void {
    const { base, size } = translator.memory.layout.ram;
    kvm.memory.bytes.set(translator.memory.bytes.subarray(base, base + size), kvm.memory.layout.ram.base);
}

function isDifferent({ differences, stops }: Found): boolean {
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
