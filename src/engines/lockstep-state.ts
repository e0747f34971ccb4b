/** A vCPU's state for {@link Lockstep}: which parts of it are compared, and all of it side by side. */
import { GPR_NAMES } from '../isa/x86';
import type { Cpu } from '../machine/cpu/cpu';
import { SEGMENT_COUNT, SEGMENT_NAMES } from '../machine/cpu/cpu-state';
import { readRflags } from '../machine/cpu/flags';
import type { Machine } from '../machine/machine';
import { Flag, SegmentAttribute, StateOffset, SystemSegment } from '../machine/state';

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
    ...Array.from(
        { length: 8 },
        (_, index) => [`r${index} (x87) sign, exponent`, StateOffset.x87 + index * 16 + 8] as const,
    ),
    ['x87 empty r0-r3', StateOffset.fempty],
    ['x87 empty r4-r7', StateOffset.fempty + 4],
] as const;

/** One register, or a place in memory, that is not the same. */
export interface Difference {
    readonly name: string;
    readonly translator: bigint;
    readonly kvm: bigint;
}

/** One register of both, with what it was before the instruction where that was kept. */
export interface StateRow extends Difference {
    readonly before: bigint | undefined;
}

/** General registers, RIP, RFLAGS and CR2 before an instruction. */
export class StateBefore {
    private readonly registers = new Uint32Array(32);
    private ripLo = 0;
    private ripHi = 0;
    private flags = 0;
    private readonly cr2 = new Uint32Array(2);

    keep(cpu: Cpu): void {
        const first = StateOffset.gpr >> 2;
        for (let word = 0; word < 32; word++) this.registers[word] = cpu.u32[first + word];
        this.ripLo = cpu.ripLo;
        this.ripHi = cpu.ripHi;
        this.flags = readRflags(cpu);
        this.cr2[0] = cpu.lo(StateOffset.cr2);
        this.cr2[1] = cpu.hi(StateOffset.cr2);
    }

    /** The general state of both vCPUs. */
    sideBySide(translator: Cpu, kvm: Cpu): StateRow[] {
        const wide = (lo: number, hi: number): bigint => (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
        const field = (name: string, offset: number, before?: bigint): StateRow => ({
            ...{ name, before },
            translator: translator.get64(offset),
            kvm: kvm.get64(offset),
        });
        const flags = (cpu: Cpu): bigint => BigInt(readRflags(cpu) >>> 0);
        return [
            ...GPR_FIELDS.map(([name, offset], index) =>
                field(name, offset, wide(this.registers[index * 2], this.registers[index * 2 + 1])),
            ),
            field('rip', StateOffset.rip, wide(this.ripLo, this.ripHi)),
            {
                ...{ name: 'rflags', before: BigInt(this.flags >>> 0) },
                ...{ translator: flags(translator), kvm: flags(kvm) },
            },
            ...Array.from({ length: SEGMENT_COUNT }, (_, segment) => ({
                ...{ name: SEGMENT_NAMES[segment], before: undefined },
                ...{ translator: BigInt(translator.selector(segment)), kvm: BigInt(kvm.selector(segment)) },
            })),
            ...SYSTEM_FIELDS.map(([name, offset]) =>
                field(name, offset, name === 'cr2' ? wide(this.cr2[0], this.cr2[1]) : undefined),
            ),
        ];
    }
}

/**
 * What differs of what every instruction may change: general and system registers, segments.
 * @param undefinedFlags are left out, and so is RF
 */
export function sharedDifferences(left: Cpu, right: Cpu, undefinedFlags: number): Difference[] {
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
    const otherFlags = readRflags(right);
    if ((flags ^ otherFlags) & ~(undefinedFlags | Flag.RF)) {
        compare('rflags', BigInt(flags >>> 0), BigInt(otherFlags >>> 0));
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

/** What differs of x87, SSE, debug registers and MSRs. */
export function restDifferences(left: Cpu, right: Cpu): Difference[] {
    const differences: Difference[] = [];
    for (const [name, offset] of REST_FIELDS) {
        const [a, b] = [left.get64(offset), right.get64(offset)];
        if (a !== b) differences.push({ name, translator: a, kvm: b });
    }
    for (const [name, offset] of REST_WORDS) {
        const [a, b] = [left.lo(offset), right.lo(offset)];
        if (a !== b) differences.push({ name, translator: BigInt(a), kvm: BigInt(b) });
    }
    return differences;
}

/** The first byte of RAM that differs, among some of it. */
export function differentByte(
    translator: Machine,
    kvm: Machine,
    from = 0,
    size = translator.memory.layout.ram.size - from,
): Difference | undefined {
    const bytes = ({ memory }: Machine): Uint8Array => {
        const at = memory.layout.ram.base + from;
        return memory.bytes.subarray(at, at + size);
    };
    const [left, right] = [bytes(translator), bytes(kvm)];
    if (Buffer.compare(left, right) === 0) return undefined;
    const at = left.findIndex((byte, index) => byte !== right[index]);
    return {
        name: `memory at physical ${(from + at).toString(16)}`,
        translator: BigInt(left[at]),
        kvm: BigInt(right[at]),
    };
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
