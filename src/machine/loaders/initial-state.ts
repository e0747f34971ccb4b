import { gprOffset, SegmentAttribute, SegmentOffset, segmentOffset, StateOffset, SystemSegment } from '../state';

/** A segment register with its hidden part, attributes as in `SegmentOffset.attributes`. */
export interface SegmentState {
    readonly selector: number;
    readonly base: number;
    /** In bytes, granularity applied. */
    readonly limit: number;
    readonly attributes: number;
}

/** GPR numbers in encoding order, as far as boot protocols name them. */
export const enum Gpr {
    Rax = 0,
    Rcx = 1,
    Rdx = 2,
    Rbx = 3,
    Rsp = 4,
    Rbp = 5,
    Rsi = 6,
    Rdi = 7,
}

/** What a boot protocol promises the kernel; everything else is as after RESET#. */
export interface InitialCpuState {
    readonly rip: number;
    readonly gprs: readonly (readonly [Gpr, number])[];
    readonly cs: SegmentState;
    /** DS, ES, SS, FS and GS. */
    readonly data: SegmentState;
    readonly tr: SegmentState;
    readonly gdt: { readonly base: number; readonly limit: number };
    readonly cr0: number;
    readonly cr3: number;
    readonly cr4: number;
    readonly efer: number;
}

const CR0_PE = 1 << 0;
const CR0_ET = 1 << 4;
const CR0_PG = 0x8000_0000;
const CR4_PAE = 1 << 5;
const EFER_LME = 1 << 8;
const EFER_LMA = 1 << 10;

const CODE = SegmentAttribute.Code | SegmentAttribute.WritableOrReadable | SegmentAttribute.Accessed;
const DATA = SegmentAttribute.WritableOrReadable | SegmentAttribute.Accessed;
const FLAT = SegmentAttribute.NonSystem | SegmentAttribute.Present | SegmentAttribute.Granularity;
const TSS_BUSY_32 = 0xb;

const FLAT_LIMIT = 0xffffffff;

/** Selectors of the table that {@link flatGdt} builds: Linux's __BOOT_CS and __BOOT_DS (boot.rst, "32-bit protocol"). */
export const BOOT_CS = 0x10;
export const BOOT_DS = 0x18;
export const BOOT_TSS = 0x20;

export const flatData: SegmentState = {
    selector: BOOT_DS,
    base: 0,
    limit: FLAT_LIMIT,
    attributes: DATA | FLAT | SegmentAttribute.Big,
};
const flatCode32: SegmentState = {
    selector: BOOT_CS,
    base: 0,
    limit: FLAT_LIMIT,
    attributes: CODE | FLAT | SegmentAttribute.Big,
};
const flatCode64: SegmentState = {
    selector: BOOT_CS,
    base: 0,
    limit: FLAT_LIMIT,
    attributes: CODE | FLAT | SegmentAttribute.Long,
};
/** PVH asks for a 32-bit TSS of limit 0x67; nobody relies on what is in it. */
const bootTss: SegmentState = {
    selector: BOOT_TSS,
    base: 0,
    limit: 0x67,
    attributes: TSS_BUSY_32 | SegmentAttribute.Present,
};

/** A GDT with null, unused, code, data and TSS descriptors that match the selectors above. */
export function flatGdt(code: 32 | 64): Uint8Array {
    const table = new Uint8Array(5 * 8);
    const view = new DataView(table.buffer);
    [undefined, undefined, code === 64 ? flatCode64 : flatCode32, flatData, bootTss].forEach((segment, index) => {
        if (segment !== undefined) {
            view.setBigUint64(8 * index, descriptor(segment), true);
        }
    });
    return table;
}

/** Flat 32-bit protected mode without paging: what Linux's 32-bit protocol, PVH and Multiboot start in. */
export function protectedModeState(rip: number, gprs: InitialCpuState['gprs'], gdt: number): InitialCpuState {
    return {
        rip,
        gprs,
        cs: flatCode32,
        data: flatData,
        tr: bootTss,
        gdt: { base: gdt, limit: 5 * 8 - 1 },
        cr0: CR0_PE | CR0_ET,
        cr3: 0,
        cr4: 0,
        efer: 0,
    };
}

/** 64-bit mode on identity-mapped pages. */
export function longModeState(rip: number, gprs: InitialCpuState['gprs'], gdt: number, cr3: number): InitialCpuState {
    return {
        ...protectedModeState(rip, gprs, gdt),
        cs: flatCode64,
        cr0: (CR0_PE | CR0_ET | CR0_PG) >>> 0,
        cr3,
        cr4: CR4_PAE,
        efer: EFER_LME | EFER_LMA,
    };
}

/**
 * Page tables that map the first 4 GiB to themselves with 2 MiB pages: PML4, PDPT and 4 page directories.
 * @param base physical address where the 6 pages will lie
 */
export function identityPageTables(base: number): Uint8Array {
    const PRESENT_WRITABLE = 3n;
    const LARGE = 0x80n;
    const tables = new Uint8Array(6 * 0x1000);
    const view = new DataView(tables.buffer);
    view.setBigUint64(0, BigInt(base + 0x1000) | PRESENT_WRITABLE, true);
    for (let directory = 0; directory < 4; directory++) {
        view.setBigUint64(0x1000 + 8 * directory, BigInt(base + (2 + directory) * 0x1000) | PRESENT_WRITABLE, true);
    }
    for (let entry = 0; entry < 2048; entry++) {
        view.setBigUint64(0x2000 + 8 * entry, (BigInt(entry) << 21n) | PRESENT_WRITABLE | LARGE, true);
    }
    return tables;
}

/** Writes the state into a vCPU area (at `base`) that was reset before; the engine must be told afterwards. */
export function applyInitialState(view: DataView, base: number, state: InitialCpuState): void {
    const u64 = (offset: number, value: number): void => view.setBigUint64(base + offset, BigInt(value), true);
    for (let register = 0; register < 16; register++) {
        u64(gprOffset(register), 0);
    }
    for (const [register, value] of state.gprs) {
        u64(gprOffset(register), value);
    }
    u64(StateOffset.rip, state.rip);
    view.setUint32(base + StateOffset.rflags, 2, true);
    // ES CS SS DS FS GS, in the order of the segment register numbers.
    for (let segment = 0; segment < 6; segment++) {
        writeSegment(view, base, segment, segment === 1 ? state.cs : state.data);
    }
    writeSegment(view, base, SystemSegment.Tr, state.tr);
    u64(StateOffset.gdtrBase, state.gdt.base);
    view.setUint32(base + StateOffset.gdtrLimit, state.gdt.limit, true);
    u64(StateOffset.cr0, state.cr0);
    u64(StateOffset.cr3, state.cr3);
    u64(StateOffset.cr4, state.cr4);
    u64(StateOffset.efer, state.efer);
}

function writeSegment(view: DataView, base: number, segment: number, state: SegmentState): void {
    const at = base + segmentOffset(segment);
    view.setBigUint64(at + SegmentOffset.base, BigInt(state.base), true);
    view.setUint32(at + SegmentOffset.limit, state.limit, true);
    view.setUint32(at + SegmentOffset.attributes, state.attributes, true);
    view.setUint32(at + SegmentOffset.selector, state.selector, true);
}

/** The descriptor that loading the selector would give `segment` (SDM Vol. 3, 3.4.5). */
function descriptor(segment: SegmentState): bigint {
    const granular = (segment.attributes & SegmentAttribute.Granularity) !== 0;
    const limit = BigInt(granular ? segment.limit >>> 12 : segment.limit);
    const base = BigInt(segment.base);
    return (
        (limit & 0xffffn) |
        ((base & 0xffffffn) << 16n) |
        (BigInt(segment.attributes & 0xf0ff) << 40n) |
        ((limit >> 16n) << 48n) |
        ((base >> 24n) << 56n)
    );
}
