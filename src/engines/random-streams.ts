/**
 * Random instructions for {@link Lockstep}: streams of them in 64-bit code, or in 32- and 16-bit code of compatibility
 * mode, at CPL 0 or 3, over a page-table identity map, with an IDT whose every handler is a HLT. Each stream ends at its
 * last instruction or at the first exception.
 */
import { Attribute, decode, type Instruction, OperandKind, RepeatPrefix } from '../isa/x86';
import { Cr0, Cr4, Efer } from '../machine/cpu/cpu-state';
import type { Cpu } from '../machine/cpu/cpu';
import { storeRflags } from '../machine/cpu/flags';
import type { Machine } from '../machine/machine';
import { ActivityState, SegmentAttribute, StateOffset, SystemSegment } from '../machine/state';

const PAGE_TABLES = 0x10000;
const GDT = 0x9000;
const GDT_SIZE = 0x68;
const TSS = 0xa000;
const IDT = 0xb000;
/** Ends here. */
export const INTERRUPT_STACK = 0x80000;
const HANDLERS = 0x90000;
export const CODE = 0x200000;
export const DATA = 0x400000;
export const DATA_SIZE = 0x10000;
const MAPPED_PAGES = 8;
const CODE_SELECTORS: Readonly<Record<StreamBits, number>> = { 16: 0x30, 32: 0x28, 64: 8 };
const USER_CODE_SELECTORS: Readonly<Record<StreamBits, number>> = { 16: 0x5b, 32: 0x53, 64: 0x43 };
const CPL_3 = 3 << SegmentAttribute.DplShift;
/** CMP of AX, EAX with itself leaves no flag undefined. */
const DEFINE_FLAGS = [0x39, 0xc0];
const HLT = 0xf4;
const NOP = 0x90;
const IGNORED_OVERRIDES = [0x26, 0x2e, 0x36, 0x3e];
const CS_OVERRIDE = 0x2e;
const MOST_PREFIXES = 5;
/** ModR/M bytes from here on name registers only. */
const FIRST_REGISTER_FORM = 0xc0;

/** What a stream must not hold: it would leave the stream, or hide where the two differ. */
const LEFT_OUT =
    /^(HLT|IN|OUT|INS|OUTS|CLI|STI|POPF[DQ]?|PUSHF[DQ]?|CPUID|RD(TSC|TSCP|PMC|RAND|SEED|PID)|UD[012]|INT[13O]?|XGETBV|PAUSE|WBINVD|INVD|CLFLUSH(OPT)?|CLWB|MOV(BE)?.*S[A-Z]|ENTER|LEAVE|BSWAP16)$/;
const FLOATING = Attribute.X87 | Attribute.Mmx | Attribute.Sse;
const NOT_FOR_STREAMS = Attribute.System | Attribute.Branch | Attribute.Vex;

/**
 * The same of x87, MMX and SSE: approximations, and functions whose last place the manual leaves open; images with the
 * last instruction's address, of which processors keep different parts.
 */
const FLOATING_LEFT_OUT =
    /^(RCP|RSQRT|F2XM1|FYL2X|FSIN|FCOS|FPTAN|FPATAN|FN?SAVE|FN?STENV|FRSTOR|FLDENV|F?X(SAVE|RSTOR)|MASKMOV|SHA)/;

/**
 * The same of instructions that 64-bit code has not: those that load segment registers; PUSH of one, of which processors
 * may leave the upper half of the slot alone; AAD and AAM, whose SF KVM's emulator does not take from AL.
 */
const LEGACY_LEFT_OUT = /^(L[DEFGS]S|(PUSH|POP) [C-GS]S|BOUND|INTO|ARPL|SALC|AA[DM])/;

/** xorshift32: the same numbers for a seed, everywhere. */
export class RandomNumbers {
    private state: number;

    constructor(seed: number) {
        this.state = seed >>> 0 || 0x9e3779b9;
    }

    /** 32 bits, unsigned. */
    next(): number {
        let x = this.state;
        x ^= x << 13;
        x ^= x >>> 17;
        x ^= x << 5;
        this.state = x >>> 0;
        return this.state;
    }

    below(limit: number): number {
        return this.next() % limit;
    }
}

/** Operand size of the code that a stream is in. */
export type StreamBits = 16 | 32 | 64;

/** What x87 and SSE hold when a stream begins. */
interface FloatingState {
    /** XMM0–15 in 32-bit words. */
    readonly vectors: Uint32Array;
    /** R0–R7 in 32-bit words, four each. */
    readonly x87: Uint32Array;
    readonly empty: readonly boolean[];
    readonly top: number;
    readonly control: number;
    readonly mxcsr: number;
}

export interface StreamKind {
    readonly bits?: StreamBits;
    /** Most instructions are of x87, MMX and SSE; none otherwise. */
    readonly floating?: boolean;
    /**
     * At CPL 3, for being compared at its end: whatever leaves flags undefined is followed by an instruction that defines
     * them.
     */
    readonly user?: boolean;
}

export interface Stream {
    readonly bits: StreamBits;
    readonly user: boolean;
    readonly code: Uint8Array;
    /** Where each instruction begins. */
    readonly starts: readonly number[];
    readonly registers: readonly bigint[];
    readonly flags: number;
    readonly floating: FloatingState;
}

/** @param count instructions */
export function randomStream(random: RandomNumbers, count: number, kind: StreamKind = {}): Stream {
    const { bits = 64, floating: isFloating = false, user = false } = kind;
    const code: number[] = [];
    const starts: number[] = [];
    while (starts.length < count) {
        const bytes = Uint8Array.from({ length: 16 }, () => random.next() & 0xff);
        const mustFloat = isFloating && random.below(4) !== 0;
        if (mustFloat) {
            bytes.set(floatingOpcode(random, bits));
        } else if (bits === 64 && random.below(3) === 0) {
            bytes[0] = 0x40 | (bytes[0] & 0xf);
        }
        const found = decode(bytes, 0, bytes.length, bits);
        if (typeof found === 'number' || (mustFloat && (found.row.attributes & FLOATING) === 0)) continue;
        // Operands in memory end most streams.
        const accessesMemory = user ? usesMemory(found) : mustFloat && found.modrm < FIRST_REGISTER_FORM;
        if (accessesMemory && random.below(user && isFloating ? 16 : 4) !== 0) continue;
        if (isFit(found, bits, isFloating) && !meetsEmulatorFault(bytes, found, bits, user)) {
            starts.push(code.length);
            code.push(...bytes.subarray(0, found.length));
            if (user && found.row.flags.undefined !== 0) {
                starts.push(code.length);
                code.push(...DEFINE_FLAGS);
            }
        }
    }
    code.push(HLT);
    // Offsets of 16-bit code reach 64 KiB: its segments begin at the data.
    const base = bits === 16 ? 0 : DATA;
    const registers = Array.from({ length: 16 }, () => {
        // Pointers into the data, small numbers, and anything.
        const kind = random.below(4);
        if (kind < 2) return BigInt(base + DATA_SIZE / 4 + random.below(DATA_SIZE / 2));
        if (kind === 2) return BigInt(random.below(256));
        const high = BigInt(random.next()) << 32n;
        const low = BigInt(random.next());
        return bits === 64 ? high | low : low;
    });
    registers[4] = BigInt(base + DATA_SIZE / 2);
    const flags = (random.next() & 0x8d5) | 2;
    return {
        ...{ bits, user, code: Uint8Array.from(code), starts, registers, flags },
        floating: isFloating ? floatingState(random) : INITIAL_STATE,
    };
}

const DATA_BYTES = new Uint8Array(DATA_SIZE).map((_, index) => (index * 37) & 0xff);

/** The first instructions of a stream. */
export function beginningOf(stream: Stream, count: number): Stream {
    const { code, starts } = stream;
    const end = starts[count] ?? code.length - 1;
    return { ...stream, code: Uint8Array.of(...code.subarray(0, end), HLT), starts: starts.slice(0, count) };
}

/** The beginning of an instruction that may be one of x87, MMX or SSE. */
function floatingOpcode(random: RandomNumbers, bits: StreamBits): number[] {
    if (random.below(3) === 0) return [0xd8 | random.below(8)];
    const prefix = [[], [0x66], [0xf2], [0xf3]][random.below(4)];
    const rex = bits === 64 && random.below(3) === 0 ? [0x40 | random.below(16)] : [];
    const map = [[0x0f], [0x0f], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]][random.below(5)];
    return [...prefix, ...rex, ...map];
}

const INITIAL_STATE: FloatingState = {
    vectors: new Uint32Array(64),
    x87: new Uint32Array(32),
    empty: new Array<boolean>(8).fill(true),
    top: 0,
    control: 0x37f,
    mxcsr: 0x1f80,
};

/** Zeros, small and large numbers, NaNs and infinities among chance; exceptions are unmasked now and then. */
function floatingState(random: RandomNumbers): FloatingState {
    const special = [0, 0x3f800000, 0xbf800000, 0x7f800000, 0x7fc00000, 0x7f800001, 0x00000001, 0x80000000, 0x4f000000];
    const word = (): number => (random.below(2) === 0 ? random.next() : special[random.below(special.length)]);
    const exponents = [0, 0x3fff, 0x4000, 0x7fff, 0xbfff, 0x3fe0, 0x403e];
    const x87 = new Uint32Array(32);
    for (let register = 0; register < 8; register++) {
        const exponent = random.below(4) === 0 ? random.next() & 0xffff : exponents[random.below(exponents.length)];
        // Numbers without the integer bit are a matter of their own: now and then.
        const integer = (exponent & 0x7fff) === 0 || random.below(16) === 0 ? 0 : 0x80000000;
        x87.set([random.next(), ((random.next() & 0x7fffffff) | integer) >>> 0, exponent], register * 4);
    }
    const masks = random.below(4) === 0 ? random.below(64) : 0x3f;
    const rounding = random.below(4);
    return {
        vectors: Uint32Array.from({ length: 64 }, word),
        x87,
        empty: Array.from({ length: 8 }, () => random.below(4) === 0),
        top: random.below(8),
        control: 0x40 | masks | (rounding << 10) | ([0, 2, 3, 3][random.below(4)] << 8),
        mxcsr: (masks << 7) | (rounding << 13) | (random.below(4) === 0 ? 0x8040 : 0),
    };
}

/**
 * Known faults of KVM's instruction emulator, which hosts without VT-x or AMD-V execute everything by:
 * - it heeds ES, CS, SS and DS overrides in 64-bit code, where they are ignored: #GP and #SS change places for an address
 *   that is not canonical (SDM Vol. 1, 3.4.4.1; Vol. 2, 2.2.1.3)
 * - it lets 32-bit code write through CS, up to the page fault, where #GP is due (SDM Vol. 3, 5.5)
 * - at CPL 3, the host's processor executes PUSH FS and PUSH GS with the selectors that the host has there
 */
function meetsEmulatorFault(bytes: Uint8Array, instruction: Instruction, bits: StreamBits, user: boolean): boolean {
    const { length, row, operands } = instruction;
    const prefixes = bytes.subarray(0, Math.min(length, MOST_PREFIXES));
    return (
        prefixes.some(byte => (bits === 64 ? IGNORED_OVERRIDES.includes(byte) : byte === CS_OVERRIDE)) ||
        (user && row.mnemonic === 'PUSH' && operands[0].kind === OperandKind.Segment)
    );
}

const MEMORY_OPERANDS = [OperandKind.Memory, OperandKind.StringSource, OperandKind.StringDestination];

/** Apart from the stack. */
function usesMemory({ operands }: Instruction): boolean {
    return operands.some(({ kind }) => MEMORY_OPERANDS.includes(kind));
}

function isFit({ row, repeat }: Instruction, bits: StreamBits, isFloating: boolean): boolean {
    return (
        (isFloating ? !FLOATING_LEFT_OUT.test(row.mnemonic) : (row.attributes & FLOATING) === 0) &&
        (bits === 64 || !LEGACY_LEFT_OUT.test(`${row.mnemonic} ${row.operands.join(' ')}`)) &&
        (row.attributes & NOT_FOR_STREAMS) === 0 &&
        (repeat === RepeatPrefix.None || (row.attributes & Attribute.Repeat) === 0) &&
        !LEFT_OUT.test(row.mnemonic) &&
        !/\bSw\b|Cd|Dd/.test(row.operands.join(' '))
    );
}

/** Puts a machine at the start of a stream. */
export function startStream(machine: Machine, stream: Stream): void {
    const { bits, user, code, registers, flags, floating } = stream;
    const { memory, processors } = machine;
    const { cpu } = processors[0];
    prepareTables(machine);
    memory.writeBytes(CODE, code);
    memory.writeBytes(DATA, DATA_BYTES);
    registers.forEach((value, index) => cpu.set64(StateOffset.gpr + index * 8, value));
    setFloatingState(cpu, floating);
    const isSmall = bits === 16;
    cpu.setRip(isSmall ? 0 : CODE, 0);
    storeRflags(cpu, flags);
    cpu.setLo(StateOffset.interruptShadow, 0);
    cpu.setLo(StateOffset.pendingDebug, 0);
    cpu.setLo(StateOffset.cr0, (Cr0.PE | Cr0.ET | Cr0.NE | Cr0.WP | Cr0.PG) >>> 0);
    cpu.set(StateOffset.cr2, 0, 0);
    cpu.set(StateOffset.cr3, PAGE_TABLES, 0);
    cpu.setLo(StateOffset.cr4, Cr4.PAE | Cr4.OSFXSR | Cr4.OSXMMEXCPT);
    cpu.setLo(StateOffset.efer, Efer.LME | Efer.LMA);
    const { Present, NonSystem, WritableOrReadable, Accessed, Code, Long, Granularity, Big } = flagsOfSegments;
    const common = Present | NonSystem | WritableOrReadable | Accessed | (user ? CPL_3 : 0);
    const wide = isSmall ? 0 : Granularity;
    const limit = isSmall ? 0xffff : 0xffffffff;
    const size = bits === 64 ? Long : bits === 32 ? Big : 0;
    cpu.setSegment(
        1,
        (user ? USER_CODE_SELECTORS : CODE_SELECTORS)[bits],
        isSmall ? CODE : 0,
        0,
        limit,
        common | Code | wide | size,
    );
    // Whether an access wraps around at 4 GiB or faults is the processor's choice (SDM Vol. 3, 5.3): nothing gets there.
    const dataLimit = bits === 32 ? 0xbfffffff : limit;
    const data = common | wide | (isSmall ? 0 : Big);
    const dataSelector = user ? (isSmall ? 0x63 : 0x4b) : isSmall ? 0x38 : 0x10;
    for (const segment of [0, 2, 3, 4, 5]) {
        cpu.setSegment(segment, dataSelector, isSmall ? DATA : 0, 0, dataLimit, data);
    }
    cpu.setSegment(SystemSegment.Tr, 0x18, TSS, 0, 0x67, Present | 11);
    cpu.set(StateOffset.gdtrBase, GDT, 0);
    cpu.setLo(StateOffset.gdtrLimit, GDT_SIZE - 1);
    cpu.set(StateOffset.idtrBase, IDT, 0);
    cpu.setLo(StateOffset.idtrLimit, 0xfff);
    cpu.activity = ActivityState.Active;
    cpu.stateReplaced();
    machine.engine.stateChanged(0);
}

function setFloatingState(cpu: Cpu, { vectors, x87, empty, top, control, mxcsr }: FloatingState): void {
    for (let register = 0; register < 16; register++) {
        cpu.u32.set(vectors.subarray(register * 4, register * 4 + 4), (StateOffset.vector + register * 64) >> 2);
    }
    cpu.u32.set(x87, StateOffset.x87 >> 2);
    empty.forEach((is, register) => (cpu.bytes[StateOffset.fempty + register] = is ? 1 : 0));
    cpu.setLo(StateOffset.ftop, top);
    cpu.setLo(StateOffset.fcw, control);
    cpu.setLo(StateOffset.fsw, 0);
    cpu.setLo(StateOffset.mxcsr, mxcsr);
}

const flagsOfSegments = {
    Present: SegmentAttribute.Present,
    NonSystem: SegmentAttribute.NonSystem,
    WritableOrReadable: SegmentAttribute.WritableOrReadable,
    Accessed: SegmentAttribute.Accessed,
    Code: SegmentAttribute.Code,
    Long: SegmentAttribute.Long,
    Granularity: SegmentAttribute.Granularity,
    Big: SegmentAttribute.Big,
};

function prepareTables({ memory }: Machine): void {
    const tables = new Uint8Array(0x3000);
    const view = new DataView(tables.buffer);
    view.setBigUint64(0, BigInt(PAGE_TABLES + 0x1000) | 0x27n, true);
    view.setBigUint64(0x1000, BigInt(PAGE_TABLES + 0x2000) | 0x27n, true);
    // Accessed and dirty from the start: when a processor sets them is its own affair.
    for (let page = 0; page < MAPPED_PAGES; page++) {
        // The tables below are the system's.
        view.setBigUint64(0x2000 + page * 8, BigInt(page * 0x200000) | (page === 0 ? 0xe3n : 0xe7n), true);
    }
    memory.writeBytes(PAGE_TABLES, tables);

    const gdt = new DataView(new ArrayBuffer(GDT_SIZE));
    gdt.setBigUint64(8, 0x00af9b000000ffffn, true);
    gdt.setBigUint64(0x10, 0x00cf93000000ffffn, true);
    gdt.setBigUint64(0x18, 0x0000890000000067n | (BigInt(TSS) << 16n) | (2n << 40n), true);
    gdt.setBigUint64(0x28, 0x00cf9b000000ffffn, true);
    gdt.setBigUint64(0x30, 0x00009b000000ffffn | (BigInt(CODE) << 16n), true);
    gdt.setBigUint64(0x38, 0x000093000000ffffn | (BigInt(DATA) << 16n), true);
    gdt.setBigUint64(0x40, 0x00affb000000ffffn, true);
    gdt.setBigUint64(0x48, 0x00cff3000000ffffn, true);
    gdt.setBigUint64(0x50, 0x00cffb000000ffffn, true);
    gdt.setBigUint64(0x58, 0x0000fb000000ffffn | (BigInt(CODE) << 16n), true);
    gdt.setBigUint64(0x60, 0x0000f3000000ffffn | (BigInt(DATA) << 16n), true);
    memory.writeBytes(GDT, new Uint8Array(gdt.buffer));

    const tss = new DataView(new ArrayBuffer(0x68));
    tss.setBigUint64(0x24, BigInt(INTERRUPT_STACK), true); // IST1
    memory.writeBytes(TSS, new Uint8Array(tss.buffer));

    const idt = new DataView(new ArrayBuffer(0x1000));
    for (let vector = 0; vector < 256; vector++) {
        const handler = HANDLERS + vector * 16;
        idt.setUint16(vector * 16, handler & 0xffff, true);
        idt.setUint16(vector * 16 + 2, 8, true);
        idt.setUint16(vector * 16 + 4, 0x8e01, true); // interrupt gate, IST1
        idt.setUint32(vector * 16 + 6, handler >>> 16, true);
    }
    memory.writeBytes(IDT, new Uint8Array(idt.buffer));
    // NOP, HLT: KVM without hardware beneath it does not tell of a HLT that follows an exception at once.
    memory.writeBytes(
        HANDLERS,
        new Uint8Array(0x1000).map((_, index) => (index % 16 === 0 ? NOP : HLT)),
    );
    memory.writeBytes(INTERRUPT_STACK - 0x100, new Uint8Array(0x100));
}

/** A kernel that does nothing: a Multiboot ELF file of one instruction. */
export function idleKernel(): Uint8Array {
    const image = new Uint8Array(0x1020);
    const view = new DataView(image.buffer);
    const base = 0x100000;
    const words = (at: number, ...values: readonly number[]): void =>
        values.forEach((value, index) => view.setUint32(at + index * 4, value >>> 0, true));
    words(0, 0x464c457f, 0x00010101);
    words(16, 0x00030002, 1, base + 12, 52, 0, 0, 0x00200034, 1);
    words(52, 1, 0x1000, base, base, 0x20, 0x20, 7, 0x1000);
    words(0x1000, 0x1badb002, 0, -0x1badb002, HLT);
    return image;
}
