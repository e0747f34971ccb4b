/**
 * ORC unwind tables of Linux (Documentation/arch/x86/orc-unwinder.rst, arch/x86/include/asm/orc_types.h): two arrays,
 * of code addresses relative to their own places, and of what holds from there on. They lie in `vmlinux` and, the same,
 * in the memory of a running kernel.
 */
import {
    type FrameState,
    lookupAddress,
    numberOf,
    readUnsigned,
    type UnwindMemory,
    type UnwindSource,
    type UnwindStep,
    USER32_CS,
} from './unwind';

/** ORC_REG_*. */
const enum OrcRegister {
    Undefined = 0,
    PreviousSp = 1,
    Dx = 2,
    Di = 3,
    Bp = 4,
    Sp = 5,
    R10 = 6,
    R13 = 7,
    BpIndirect = 8,
    SpIndirect = 9,
}

/** DWARF's numbers of the registers that ORC names. */
const DWARF_NUMBER: Readonly<Partial<Record<number, number>>> = {
    [OrcRegister.Dx]: 1,
    [OrcRegister.Di]: 5,
    [OrcRegister.Bp]: 6,
    [OrcRegister.Sp]: 7,
    [OrcRegister.R10]: 10,
    [OrcRegister.R13]: 13,
};
const RBP = 6;
const RSP = 7;
const RIP = 16;

/** DWARF's numbers of `struct pt_regs`' registers in their order; -1 for what is no register of ours. */
const PT_REGS = [15, 14, 13, 12, 6, 3, 11, 10, 9, 8, 0, 2, 1, 4, 5, -1, 16, -1, -1, 7, -1];
/** Place of CS from the end. */
const CS_FROM_END = 4;
/** Offsets in `struct pt_regs` of what an interrupt itself saves. */
const IRET_OFFSET = 16 * 8;

const ENTRY_SIZE = 6;

type EntryKind = 'undefined' | 'end' | 'call' | 'registers' | 'interrupt';

interface OrcEntry {
    readonly kind: EntryKind;
    readonly spRegister: number;
    readonly spOffset: number;
    readonly bpRegister: number;
    readonly bpOffset: number;
    /** Since 6.3: the frame is of something that was interrupted. */
    readonly signal: boolean;
}

/**
 * `classic`: until Linux 6.3 (two bits of type, one that marks the end); `typed`: since 6.4 (three bits of type, among
 * them the undefined and the last frame). Kernels with the second have a section `.orc_header`.
 */
export type OrcLayout = 'classic' | 'typed';

/** The tables, read where they lie. */
export interface OrcTables {
    readonly layout: OrcLayout;
    readonly count: number;
    /** Linear address of the table of addresses. */
    ipTable(): bigint;
    /** A part of either table; undefined if it cannot be read. */
    readIps(first: number, count: number): Uint8Array | undefined;
    readEntries(first: number, count: number): Uint8Array | undefined;
}

/** Tables in the order in which they were compiled, as modules have them until a kernel sorts them. */
export function sortedTables(
    tables: Omit<OrcTables, 'readIps' | 'readEntries'>,
    ips: Uint8Array,
    entries: Uint8Array,
): OrcTables {
    const { count } = tables;
    const view = new DataView(ips.buffer, ips.byteOffset, ips.byteLength);
    const places = Float64Array.from({ length: count }, (_, index) => 4 * index + view.getInt32(4 * index, true));
    const order = Uint32Array.from({ length: count }, (_, index) => index).sort((a, b) => places[a] - places[b]);
    const sortedIps = new Uint8Array(4 * count);
    const sortedEntries = new Uint8Array(ENTRY_SIZE * count);
    const sortedView = new DataView(sortedIps.buffer);
    order.forEach((from, to) => {
        sortedView.setInt32(4 * to, places[from] - 4 * to, true);
        sortedEntries.set(entries.subarray(ENTRY_SIZE * from, ENTRY_SIZE * (from + 1)), ENTRY_SIZE * to);
    });
    const read = (bytes: Uint8Array, size: number, first: number, length: number): Uint8Array | undefined =>
        first + length <= count ? bytes.subarray(first * size, (first + length) * size) : undefined;
    return {
        ...tables,
        readIps: (first, length) => read(sortedIps, 4, first, length),
        readEntries: (first, length) => read(sortedEntries, ENTRY_SIZE, first, length),
    };
}

export class OrcUnwinder implements UnwindSource {
    readonly method = 'orc';

    constructor(
        private readonly tables: OrcTables,
        /** Code that the tables are about: elsewhere they say nothing. */
        private readonly isKernelCode: (address: bigint) => boolean,
    ) {}

    isAbout(address: bigint): boolean {
        return this.isKernelCode(address);
    }

    cfa(frame: FrameState, memory: UnwindMemory): bigint | undefined {
        const entry = this.entryOf(frame);
        return entry?.kind === 'call' ? this.previousStackPointer(entry, frame, memory) : undefined;
    }

    step(frame: FrameState, memory: UnwindMemory): UnwindStep | undefined {
        const entry = this.entryOf(frame);
        if (entry === undefined || entry.kind === 'undefined') {
            return undefined;
        }
        if (entry.kind === 'end') {
            return { kind: 'end' };
        }
        const cfa = this.previousStackPointer(entry, frame, memory);
        if (cfa === undefined) {
            return undefined;
        }
        switch (entry.kind) {
            case 'call':
                return this.caller(entry, cfa, frame, memory);
            case 'registers':
                return interrupted(readUnsignedWords(memory, cfa, PT_REGS.length), PT_REGS, cfa, frame);
            case 'interrupt':
                return interrupted(
                    readUnsignedWords(memory, cfa, PT_REGS.length - 16),
                    PT_REGS.slice(16),
                    cfa - BigInt(IRET_OFFSET),
                    frame,
                );
        }
    }

    private caller(entry: OrcEntry, cfa: bigint, frame: FrameState, memory: UnwindMemory): UnwindStep | undefined {
        const pc = readUnsigned(memory, cfa - 8n, 8);
        if (pc === undefined) {
            return undefined;
        }
        const registers: (bigint | undefined)[] = frame.registers.map(() => undefined);
        registers[RSP] = cfa;
        registers[RIP] = pc;
        switch (entry.bpRegister as OrcRegister) {
            case OrcRegister.PreviousSp:
                registers[RBP] = readUnsigned(memory, cfa + BigInt(entry.bpOffset), 8);
                break;
            case OrcRegister.Bp: {
                const bp = frame.registers[RBP];
                registers[RBP] = bp === undefined ? undefined : readUnsigned(memory, bp + BigInt(entry.bpOffset), 8);
                break;
            }
            default:
                registers[RBP] = frame.registers[RBP];
        }
        return { kind: 'caller', cfa, frame: { pc, registers, isReturn: !entry.signal } };
    }

    private previousStackPointer(entry: OrcEntry, frame: FrameState, memory: UnwindMemory): bigint | undefined {
        const { spRegister, spOffset } = entry;
        const offset = BigInt(spOffset);
        switch (spRegister as OrcRegister) {
            case OrcRegister.SpIndirect: {
                const sp = frame.registers[RSP];
                const value = sp === undefined ? undefined : readUnsigned(memory, sp, 8);
                return value === undefined ? undefined : value + offset;
            }
            case OrcRegister.BpIndirect: {
                const bp = frame.registers[RBP];
                return bp === undefined ? undefined : readUnsigned(memory, bp + offset, 8);
            }
            default: {
                const number = DWARF_NUMBER[spRegister];
                const value = number === undefined ? undefined : frame.registers[number];
                return value === undefined ? undefined : BigInt.asUintN(64, value + offset);
            }
        }
    }

    private entryOf(frame: FrameState): OrcEntry | undefined {
        const address = lookupAddress(frame);
        if (!this.isKernelCode(address)) {
            return undefined;
        }
        let low = 0;
        let high = this.tables.count;
        while (low < high) {
            const middle = (low + high) >>> 1;
            const ip = this.ipAt(middle);
            if (ip === undefined) return undefined;
            if (ip <= address) low = middle + 1;
            else high = middle;
        }
        const bytes = low === 0 ? undefined : this.tables.readEntries(low - 1, 1);
        return bytes && decodeEntry(bytes, this.tables.layout);
    }

    private ipAt(index: number): bigint | undefined {
        const bytes = this.tables.readIps(index, 1);
        return (
            bytes && BigInt.asUintN(64, this.tables.ipTable() + BigInt(4 * index) + BigInt.asIntN(32, numberOf(bytes)))
        );
    }
}

/** @param bytes six of them */
export function decodeEntry(bytes: Uint8Array, layout: OrcLayout): OrcEntry {
    const word = (at: number): number => ((bytes[at] | (bytes[at + 1] << 8)) << 16) >> 16;
    const flags = bytes[5];
    const spRegister = bytes[4] & 0xf;
    let kind: EntryKind;
    let signal = false;
    if (layout === 'classic') {
        const isEnd = (flags & 8) !== 0 || (flags & 4) !== 0;
        const kinds: EntryKind[] = ['call', 'registers', 'interrupt', 'undefined'];
        kind = spRegister === (OrcRegister.Undefined as number) ? (isEnd ? 'end' : 'undefined') : kinds[flags & 3];
    } else {
        const kinds: EntryKind[] = ['undefined', 'end', 'call', 'registers', 'interrupt'];
        kind = kinds[flags & 7] ?? 'undefined';
        signal = (flags & 8) !== 0;
    }
    return { kind, spRegister, spOffset: word(0), bpRegister: bytes[4] >> 4, bpOffset: word(2), signal };
}

export const ORC_ENTRY_SIZE = ENTRY_SIZE;

function readUnsignedWords(memory: UnwindMemory, address: bigint, count: number): bigint[] | undefined {
    const bytes = memory.readMemory(BigInt.asUintN(64, address), count * 8);
    if (bytes === undefined) {
        return undefined;
    }
    return Array.from({ length: count }, (_, index) => numberOf(bytes.subarray(index * 8, index * 8 + 8)));
}

/** Selectors that x86-64 Linux runs with: the kernel's, and user code's of 32 and 64 bits. */
const LINUX_CS: ReadonlySet<bigint> = new Set([0x10n, USER32_CS, 0x33n]);

/**
 * The frame whose registers a Linux kernel has saved as `struct pt_regs`.
 * @param base its linear address
 * @returns undefined where there is none, as far as can be told
 */
export function savedFrame(base: bigint, frame: FrameState, memory: UnwindMemory): FrameState | undefined {
    const words = readUnsignedWords(memory, base, PT_REGS.length);
    if (words === undefined || !LINUX_CS.has(words[words.length - CS_FROM_END] & 0xffffn)) {
        return undefined;
    }
    const step = interrupted(words, PT_REGS, base, frame);
    return step?.kind === 'caller' ? step.frame : undefined;
}

/** The frame that an interrupt or a system call came from; what was not saved may still be in the registers. */
function interrupted(
    words: readonly bigint[] | undefined,
    numbers: readonly number[],
    base: bigint,
    frame: FrameState,
): UnwindStep | undefined {
    if (words === undefined) {
        return undefined;
    }
    const registers = [...frame.registers];
    numbers.forEach((number, index) => {
        if (number >= 0) registers[number] = words[index];
    });
    const pc = registers[RIP];
    const cs = words[words.length - CS_FROM_END];
    const user = (cs & 3n) !== 3n ? undefined : cs === USER32_CS ? 32 : 64;
    return pc === undefined
        ? undefined
        : { kind: 'caller', cfa: base + BigInt(PT_REGS.length * 8), frame: { pc, registers, isReturn: false, user } };
}
