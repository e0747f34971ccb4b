/**
 * One guest on two machines, executed by the translator and by KVM, instruction by instruction: where the two first
 * differ, one of them (or the host's KVM) is wrong.
 *
 * Both count instructions, so that devices, timers and interrupts are the same in both. What two processors may do
 * differently is left out of the comparison: flags that the manual leaves undefined, and instructions that read the time.
 */
import type { Cpu } from '../machine/cpu/cpu';
import { SEGMENT_COUNT, SEGMENT_NAMES } from '../machine/cpu/cpu-state';
import { readRflags, storeRflags } from '../machine/cpu/flags';
import { mappingAt } from '../machine/cpu/page-walk';
import type { Machine } from '../machine/machine';
import type { MachineStop } from '../machine/stop';
import { Flag, SegmentAttribute, StateOffset, SystemSegment } from '../machine/state';
import { decode, type Instruction, MAX_INSTRUCTION_LENGTH, RepeatPrefix, GPR_NAMES } from '../isa/x86';
import type { KvmEngine } from '../kvm/engine';
import { linearRip } from '../kvm/vcpu';

/** Instructions between two comparisons of what is not compared after each: memory, x87, SSE, MSRs. */
const FULL_INTERVAL = 256;
const MEMORY_INTERVAL = 16_384;

/** Their results are the clock's or chance's. */
const TIMED: ReadonlySet<string> = new Set(['RDTSC', 'RDTSCP', 'RDRAND', 'RDSEED', 'RDPMC']);

const GPR_FIELDS = GPR_NAMES[8].map((name, index) => [name, StateOffset.gpr + index * 8] as const);
const SYSTEM_FIELDS = [
    ['gdtr', StateOffset.gdtrBase],
    ['idtr', StateOffset.idtrBase],
    ['cr0', StateOffset.cr0],
    ['cr2', StateOffset.cr2],
    ['cr3', StateOffset.cr3],
    ['cr4', StateOffset.cr4],
    ['efer', StateOffset.efer],
] as const;
const REST_FIELDS = [
    ['star', StateOffset.star],
    ['lstar', StateOffset.lstar],
    ['cstar', StateOffset.cstar],
    ['sfmask', StateOffset.sfmask],
    ['kernel_gs_base', StateOffset.kernelGsBase],
    ['sysenter_cs', StateOffset.sysenterCs],
    ['sysenter_esp', StateOffset.sysenterEsp],
    ['sysenter_eip', StateOffset.sysenterEip],
    ['pat', StateOffset.pat],
    ...[0, 1, 2, 3, 6, 7].map(index => [`dr${index}`, StateOffset.dr + index * 8] as const),
    ...Array.from({ length: 16 }, (_, index) => [`xmm${index}.lo`, StateOffset.vector + index * 64] as const),
    ...Array.from({ length: 16 }, (_, index) => [`xmm${index}.hi`, StateOffset.vector + index * 64 + 8] as const),
    ...Array.from({ length: 8 }, (_, index) => [`r${index} (x87) significand`, StateOffset.x87 + index * 16] as const),
] as const;
const REST_WORDS = [
    ['mxcsr', StateOffset.mxcsr],
    ['fcw', StateOffset.fcw],
    ['fsw', StateOffset.fsw],
    ['x87 top', StateOffset.ftop],
] as const;

/** One register, or a place in memory, that is not the same. */
export interface Difference {
    readonly name: string;
    readonly translator: bigint;
    readonly kvm: bigint;
}

export interface Divergence {
    readonly vcpu: number;
    /** The instruction after which the two differ, with its linear address; where it is known. */
    readonly address: bigint;
    readonly instruction: Instruction | undefined;
    readonly bytes: Uint8Array;
    readonly differences: readonly Difference[];
    /** The difference may have come up in so many instructions before. */
    readonly within: number;
}

/** Instructions whose difference is expected, by mnemonic, with how often it has come up. */
export type Explained = Map<string, number>;

export interface LockstepOptions {
    /** Mnemonics whose results are taken from the translator: known faults of this host's KVM. */
    readonly except?: ReadonlySet<string>;
}

export class Lockstep {
    /** Instructions that both have executed. */
    get executed(): number {
        return this.translator.engine.retired();
    }

    readonly explained: Explained = new Map();
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
        // On KVM a repeated instruction is one, here one may come back in between.
        const limits = { instructions: 1, idleSkips: 1 };
        const first = this.translator.run(limits);
        const second = this.kvm.run(limits);
        if (first.reason !== second.reason) {
            const differences = [{ name: `stop: ${first.reason} / ${second.reason}`, translator: 0n, kvm: 0n }];
            return { vcpu, address, instruction, bytes, differences, within: 1 };
        }
        const right = this.kvm.processors[vcpu].cpu;
        this.settleRepeat(left, right, instruction);
        const differences = this.compareShared(left, right, instruction);
        if (differences.length > 0 && !this.explain(left, right, instruction)) {
            return { vcpu, address, instruction, bytes, differences, within: 1 };
        }
        const ended = first.reason !== 'budget' && first.reason !== 'idle';
        const rest = this.compareRest(left, right, ended);
        if (rest !== undefined) {
            return { vcpu, address, instruction, bytes, ...rest };
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
        const differences: Difference[] = [];
        const compare = (name: string, a: bigint, b: bigint): void => {
            if (a !== b) differences.push({ name, translator: a, kvm: b });
        };
        for (const [name, offset] of GPR_FIELDS) {
            if (left.lo(offset) !== right.lo(offset) || left.hi(offset) !== right.hi(offset)) {
                compare(name, left.get64(offset), right.get64(offset));
            }
        }
        if (left.ripLo !== right.ripLo || left.ripHi !== right.ripHi) {
            compare('rip', left.get64(StateOffset.rip), right.get64(StateOffset.rip));
        }
        left.expireResumeFlag();
        const flags = readRflags(left);
        const mask = ~((instruction?.row.flags.undefined ?? 0) | Flag.RF);
        const otherFlags = readRflags(right);
        if ((flags ^ otherFlags) & mask) {
            compare('rflags', BigInt(flags >>> 0), BigInt(otherFlags >>> 0));
        } else if (flags !== otherFlags) {
            // From here on what the manual leaves undefined is the same.
            storeRflags(right, flags);
            right.hooks.modeChanged();
        }
        for (let segment = 0; segment < SEGMENT_COUNT; segment++) compareSegment(left, right, segment, compare);
        for (const [name, offset] of SYSTEM_FIELDS) {
            if (left.lo(offset) !== right.lo(offset) || left.hi(offset) !== right.hi(offset)) {
                compare(name, left.get64(offset), right.get64(offset));
            }
        }
        compare('activity', BigInt(left.activity), BigInt(right.activity));
        return differences;
    }

    /** Whether a difference has a known reason; both go on from the translator's state then. */
    private explain(left: Cpu, right: Cpu, instruction: Instruction | undefined): boolean {
        const mnemonic = instruction?.row.mnemonic ?? '';
        if (!TIMED.has(mnemonic) && this.options.except?.has(mnemonic) !== true) {
            return false;
        }
        this.explained.set(mnemonic, (this.explained.get(mnemonic) ?? 0) + 1);
        this.engine.settle();
        const copy = (from: number, to: number): void => right.bytes.set(left.bytes.subarray(from, to), from);
        copy(0, StateOffset.zero);
        copy(StateOffset.segments, StateOffset.monitor);
        copy(StateOffset.vector, StateOffset.scratch);
        right.setLo(StateOffset.interruptShadow, left.lo(StateOffset.interruptShadow));
        right.setLo(StateOffset.activity, left.activity);
        right.stateReplaced();
        this.kvm.engine.stateChanged(this.kvm.processors.findIndex(({ cpu }) => cpu === right));
        return true;
    }

    private compareRest(left: Cpu, right: Cpu, now: boolean): Pick<Divergence, 'differences' | 'within'> | undefined {
        this.sinceFull++;
        this.sinceMemory++;
        const differences: Difference[] = [];
        let within = 0;
        if (now || this.sinceFull >= FULL_INTERVAL) {
            within = this.sinceFull;
            this.sinceFull = 0;
            this.engine.settle();
            for (const [name, offset] of REST_FIELDS) {
                const [a, b] = [left.get64(offset), right.get64(offset)];
                if (a !== b) differences.push({ name, translator: a, kvm: b });
            }
            for (const [name, offset] of REST_WORDS) {
                const [a, b] = [left.lo(offset), right.lo(offset)];
                if (a !== b) differences.push({ name, translator: BigInt(a), kvm: BigInt(b) });
            }
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

function compareSegment(
    left: Cpu,
    right: Cpu,
    segment: number,
    compare: (n: string, a: bigint, b: bigint) => void,
): void {
    const name = SEGMENT_NAMES[segment];
    if (left.selector(segment) !== right.selector(segment)) {
        compare(name, BigInt(left.selector(segment)), BigInt(right.selector(segment)));
    }
    // What an unusable segment still holds is nobody's business; nor is LDTR's, whose null selector says as much.
    if (isUnusable(left, segment) && isUnusable(right, segment)) return;
    const base = (cpu: Cpu): bigint => (BigInt(cpu.segmentBaseHi(segment)) << 32n) | BigInt(cpu.segmentBase(segment));
    if (base(left) !== base(right)) compare(`${name}.base`, base(left), base(right));
    if (left.code64 && segment < 4) return; // limits and rights play no part
    if (left.segmentLimit(segment) !== right.segmentLimit(segment)) {
        compare(`${name}.limit`, BigInt(left.segmentLimit(segment)), BigInt(right.segmentLimit(segment)));
    }
    const attributes = (cpu: Cpu): number => cpu.segmentAttributes(segment) & ~SegmentAttribute.Accessed & 0xffff;
    if (attributes(left) !== attributes(right)) {
        compare(`${name}.attributes`, BigInt(attributes(left)), BigInt(attributes(right)));
    }
}

function isUnusable(cpu: Cpu, segment: number): boolean {
    const attributes = cpu.segmentAttributes(segment);
    const absent = (attributes & SegmentAttribute.Unusable) !== 0 || (attributes & SegmentAttribute.Present) === 0;
    return absent || (segment === SystemSegment.Ldtr && (cpu.selector(segment) & ~3) === 0);
}

/** The first byte of RAM that differs. */
function differentByte(translator: Machine, kvm: Machine): Difference | undefined {
    const { base, size } = translator.memory.layout.ram;
    const other = kvm.memory.layout.ram.base;
    const left = translator.memory.bytes.subarray(base, base + size);
    const right = kvm.memory.bytes.subarray(other, other + size);
    if (Buffer.compare(left, right) === 0) return undefined;
    const at = left.findIndex((byte, index) => byte !== right[index]);
    return { name: `memory at physical ${at.toString(16)}`, translator: BigInt(left[at]), kvm: BigInt(right[at]) };
}

function codeSize(cpu: Cpu): 16 | 32 | 64 {
    return ([16, 32, 64] as const)[cpu.mode & 3];
}

/** The bytes of the instruction at a linear address, as many as can be read. */
function codeAt(cpu: Cpu, address: bigint): Uint8Array {
    const bytes: number[] = [];
    for (let index = 0; index < MAX_INSTRUCTION_LENGTH; index++) {
        const mapping = mappingAt(cpu, address + BigInt(index));
        if (mapping === undefined || cpu.port.physical.ramAddress(mapping.physical - (mapping.physical % 0x1000)) < 0)
            break;
        bytes.push(cpu.port.read(mapping.physical, 1));
    }
    return Uint8Array.from(bytes);
}

export function isDivergence(outcome: MachineStop | Divergence): outcome is Divergence {
    return 'differences' in outcome;
}
