import { Segment } from '../../isa/x86/instruction';
import {
    gprOffset,
    MmuMode,
    ModeKey,
    segmentOffset,
    SegmentAttribute,
    SegmentOffset,
    StateOffset,
    SystemSegment,
} from '../state';

/** CR0 (SDM Vol. 3, 2.5). */
export const enum Cr0 {
    PE = 1 << 0,
    MP = 1 << 1,
    EM = 1 << 2,
    TS = 1 << 3,
    ET = 1 << 4,
    NE = 1 << 5,
    WP = 1 << 16,
    AM = 1 << 18,
    NW = 1 << 29,
    CD = 1 << 30,
    PG = 1 << 31,
}

/** CR4 (SDM Vol. 3, 2.5). */
export const enum Cr4 {
    VME = 1 << 0,
    PVI = 1 << 1,
    TSD = 1 << 2,
    DE = 1 << 3,
    PSE = 1 << 4,
    PAE = 1 << 5,
    MCE = 1 << 6,
    PGE = 1 << 7,
    PCE = 1 << 8,
    OSFXSR = 1 << 9,
    OSXMMEXCPT = 1 << 10,
    UMIP = 1 << 11,
    LA57 = 1 << 12,
    FSGSBASE = 1 << 16,
    PCIDE = 1 << 17,
    OSXSAVE = 1 << 18,
    SMEP = 1 << 20,
    SMAP = 1 << 21,
}

/** IA32_EFER (SDM Vol. 3, 2.2.1). */
export const enum Efer {
    SCE = 1 << 0,
    LME = 1 << 8,
    LMA = 1 << 10,
    NXE = 1 << 11,
}

// u32 indices of what the hot paths read.
const RIP = StateOffset.rip >> 2;
const RFLAGS = StateOffset.rflags >> 2;
const MODE = StateOffset.mode >> 2;
const CR0 = StateOffset.cr0 >> 2;
const CR3 = StateOffset.cr3 >> 2;
const CR4 = StateOffset.cr4 >> 2;
const EFER = StateOffset.efer >> 2;
const SS_ATTRIBUTES = (StateOffset.segments + Segment.Ss * SegmentOffset.size + SegmentOffset.attributes) >> 2;

/** RFLAGS.AC: bit 18. */
const AC = 1 << 18;

/**
 * A vCPU's registers in the shared memory, as numbers. 64-bit registers are two unsigned halves (`Lo`, `Hi`); the
 * bigint accessors are for code that runs seldom.
 */
export class CpuState {
    /** Address of the vCPU's area in the shared memory. */
    readonly base: number;
    readonly buffer: ArrayBufferLike;
    /** The vCPU's state area; index = StateOffset. */
    readonly bytes: Uint8Array;
    readonly words: Uint16Array;
    /** Index = StateOffset / 4. */
    readonly u32: Uint32Array;
    /** Index = StateOffset / 8. */
    readonly u64: BigUint64Array;
    readonly f64: Float64Array;

    constructor(buffer: ArrayBufferLike, base: number) {
        this.buffer = buffer;
        this.base = base;
        this.bytes = new Uint8Array(buffer, base, StateOffset.size);
        this.words = new Uint16Array(buffer, base, StateOffset.size / 2);
        this.u32 = new Uint32Array(buffer, base, StateOffset.size / 4);
        this.u64 = new BigUint64Array(buffer, base, StateOffset.size / 8);
        this.f64 = new Float64Array(buffer, base, StateOffset.size / 8);
    }

    // ---- any field -----------------------------------------------------------------------------------------------

    /** Low (or only) doubleword of the field, unsigned. */
    lo(offset: number): number {
        return this.u32[offset >> 2];
    }

    /** High doubleword of the 64-bit field, unsigned. */
    hi(offset: number): number {
        return this.u32[(offset >> 2) + 1];
    }

    setLo(offset: number, value: number): void {
        this.u32[offset >> 2] = value;
    }

    set(offset: number, lo: number, hi: number): void {
        this.u32[offset >> 2] = lo;
        this.u32[(offset >> 2) + 1] = hi;
    }

    get64(offset: number): bigint {
        return this.u64[offset >> 3];
    }

    set64(offset: number, value: bigint): void {
        this.u64[offset >> 3] = value;
    }

    // ---- general-purpose registers and RIP -----------------------------------------------------------------------

    gpr(register: number): number {
        return this.u32[register * 2];
    }

    gprHi(register: number): number {
        return this.u32[register * 2 + 1];
    }

    gpr64(register: number): bigint {
        return this.u64[gprOffset(register) >> 3];
    }

    /** Writes all 64 bits. */
    setGpr(register: number, lo: number, hi: number): void {
        this.u32[register * 2] = lo;
        this.u32[register * 2 + 1] = hi;
    }

    /** Writes 32 bits, clearing the upper half, as every 32-bit result does. */
    setGpr32(register: number, value: number): void {
        this.u32[register * 2] = value;
        this.u32[register * 2 + 1] = 0;
    }

    setGpr16(register: number, value: number): void {
        this.words[register * 4] = value;
    }

    get ripLo(): number {
        return this.u32[RIP];
    }

    get ripHi(): number {
        return this.u32[RIP + 1];
    }

    setRip(lo: number, hi: number): void {
        this.u32[RIP] = lo;
        this.u32[RIP + 1] = hi;
    }

    // ---- segments ------------------------------------------------------------------------------------------------

    selector(segment: number): number {
        return this.u32[(segmentOffset(segment) + SegmentOffset.selector) >> 2];
    }

    segmentBase(segment: number): number {
        return this.u32[segmentOffset(segment) >> 2];
    }

    segmentBaseHi(segment: number): number {
        return this.u32[(segmentOffset(segment) >> 2) + 1];
    }

    segmentLimit(segment: number): number {
        return this.u32[(segmentOffset(segment) + SegmentOffset.limit) >> 2];
    }

    segmentAttributes(segment: number): number {
        return this.u32[(segmentOffset(segment) + SegmentOffset.attributes) >> 2];
    }

    setSegmentBase(segment: number, lo: number, hi: number): void {
        this.u32[segmentOffset(segment) >> 2] = lo;
        this.u32[(segmentOffset(segment) >> 2) + 1] = hi;
    }

    /** Writes selector and hidden part. Whoever changes CS, SS, DS or ES calls `updateMode` afterwards. */
    setSegment(segment: number, selector: number, lo: number, hi: number, limit: number, attributes: number): void {
        const at = segmentOffset(segment) >> 2;
        this.u32[at] = lo;
        this.u32[at + 1] = hi;
        this.u32[at + (SegmentOffset.limit >> 2)] = limit;
        this.u32[at + (SegmentOffset.attributes >> 2)] = attributes;
        this.u32[at + (SegmentOffset.selector >> 2)] = selector & 0xffff;
    }

    setSegmentAttributes(segment: number, attributes: number): void {
        this.u32[(segmentOffset(segment) + SegmentOffset.attributes) >> 2] = attributes;
    }

    /** CPL is SS.DPL, always (SDM Vol. 3, 24.4.1): also for a null SS in 64-bit mode, in real and in v86 mode. */
    get cpl(): number {
        return (this.u32[SS_ATTRIBUTES] >> SegmentAttribute.DplShift) & 3;
    }

    // ---- control state -------------------------------------------------------------------------------------------

    /** RFLAGS without the arithmetic flags; `flags.ts` composes the whole. */
    get systemFlags(): number {
        return this.u32[RFLAGS];
    }

    set systemFlags(value: number) {
        this.u32[RFLAGS] = value;
    }

    get iopl(): number {
        return (this.u32[RFLAGS] >> 12) & 3;
    }

    get cr0(): number {
        return this.u32[CR0];
    }

    get cr3Lo(): number {
        return this.u32[CR3];
    }

    get cr3Hi(): number {
        return this.u32[CR3 + 1];
    }

    get cr4(): number {
        return this.u32[CR4];
    }

    get efer(): number {
        return this.u32[EFER];
    }

    /** {@link ModeKey}. */
    get mode(): number {
        return this.u32[MODE];
    }

    get longMode(): boolean {
        return (this.u32[MODE] & ModeKey.Long) !== 0;
    }

    /** 64-bit code segment in long mode. */
    get code64(): boolean {
        return (this.u32[MODE] & ModeKey.CodeSizeMask) === 2;
    }

    /** CR0.PE = 1 and not virtual-8086. */
    get protectedMode(): boolean {
        return (this.u32[MODE] & (ModeKey.Protected | ModeKey.Virtual8086)) === ModeKey.Protected;
    }

    get virtual8086(): boolean {
        return (this.u32[MODE] & ModeKey.Virtual8086) !== 0;
    }

    /** MMU mode of an explicit access at the given privilege level. */
    mmuModeOf(cpl: number): MmuMode {
        if (cpl === 3) return MmuMode.User;
        return (this.u32[CR4] & Cr4.SMAP) !== 0 && (this.u32[RFLAGS] & AC) === 0
            ? MmuMode.SupervisorSmap
            : MmuMode.Supervisor;
    }

    /** MMU mode of accesses to descriptor tables and TSS, which ignore CPL and RFLAGS.AC (SDM Vol. 3, 4.6.1). */
    get implicitMmuMode(): MmuMode {
        return (this.u32[CR4] & Cr4.SMAP) !== 0 ? MmuMode.SupervisorSmap : MmuMode.Supervisor;
    }
}

/** Attributes of LDTR and TR after power-on, and of a segment register in real mode (SDM Vol. 3, table 9-1). */
export const REAL_MODE_DATA =
    SegmentAttribute.Present |
    SegmentAttribute.NonSystem |
    SegmentAttribute.WritableOrReadable |
    SegmentAttribute.Accessed;
export const REAL_MODE_CODE = REAL_MODE_DATA | SegmentAttribute.Code;

/** The segment registers in encoding order, then LDTR and TR, as records and messages name them. */
export const SEGMENT_NAMES = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr'] as const;
export const SEGMENT_COUNT = SystemSegment.Tr + 1;
