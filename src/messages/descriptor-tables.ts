/**
 * The Descriptor tables view.
 *
 * `hyperscope/descriptorTables` {@link DescriptorTablesArguments} → {@link DescriptorTablesBody}
 */
import type { Hex, VcpuArguments } from './common';

export interface DescriptorTablesArguments extends VcpuArguments {
    /** Leave out what is long: the entries of the IDT. */
    readonly brief?: boolean;
}

export interface DescriptorTablesBody {
    readonly vcpu: number;
    /** `real mode`, `protected mode`, `virtual-8086 mode`, `compatibility mode`, `64-bit mode`. */
    readonly mode: string;
    readonly gdt: DescriptorTable;
    /** Absent without an LDT. */
    readonly ldt?: DescriptorTable;
    /** In real mode the interrupt vector table. */
    readonly idt: DescriptorTable;
    /** The current task; absent where TR is not usable. */
    readonly tss?: TaskState;
}

export interface DescriptorTable {
    readonly name: 'GDT' | 'LDT' | 'IDT' | 'IVT';
    /** Linear. */
    readonly base: Hex;
    /** Offset of the last byte. */
    readonly limit: number;
    /** Runs of null descriptors, and of equal gates, are one entry with a `count`. */
    readonly entries: readonly DescriptorItem[];
    /** Why (some of) it cannot be shown. */
    readonly problem?: string;
}

export type DescriptorKind =
    | 'null'
    | 'code'
    | 'data'
    | 'ldt'
    | 'tss'
    | 'callGate'
    | 'taskGate'
    | 'interruptGate'
    | 'trapGate'
    | 'vector'
    | 'reserved';

export interface DescriptorItem {
    readonly index: number;
    /** Entries that this stands for. */
    readonly count: number;
    /** Index times 8 in GDT and LDT (with TI set); absent in the IDT. */
    readonly selector?: Hex;
    /** Linear address of the entry. */
    readonly address: Hex;
    /** 8 or 16 bytes in memory order, hexadecimal. */
    readonly bytes: string;
    readonly kind: DescriptorKind;
    /** `code 64-bit readable ring 0`, `interrupt gate, IST 2`. */
    readonly text: string;
    /** IDT: `#PF page fault`, `IRQ`… */
    readonly name?: string;
    readonly present: boolean;
    readonly dpl: number;
    /** Segments. */
    readonly segment?: {
        readonly base: Hex;
        /** In bytes, granularity applied. */
        readonly limit: Hex;
        /** Names of the bits that are set: `L D G AVL A`. */
        readonly bits: string;
    };
    /** Gates and vectors. */
    readonly gate?: {
        readonly selector: Hex;
        readonly offset: Hex;
        /** Linear address, if the segment's base is known. */
        readonly linear?: Hex;
        readonly symbol?: string;
        readonly ist?: number;
        /** Call gates: parameters that are copied. */
        readonly parameters?: number;
    };
    /** Segment registers that hold this selector: `cs`, `tr`. */
    readonly usedBy?: readonly string[];
    /** `base is not canonical`, `reserved type`. */
    readonly problem?: string;
}

export interface TaskState {
    readonly format: '16-bit' | '32-bit' | '64-bit';
    readonly selector: Hex;
    readonly base: Hex;
    readonly limit: number;
    readonly busy: boolean;
    readonly fields: readonly TaskStateField[];
    readonly ioMap: IoPermissionMap;
    readonly problem?: string;
}

export interface TaskStateField {
    /** `rsp0`, `ist3`, `cr3`, `iomap`. */
    readonly name: string;
    /** Byte in the TSS. */
    readonly offset: number;
    /** Bits. */
    readonly width: number;
    readonly value: Hex;
    readonly symbol?: string;
}

export interface IoPermissionMap {
    /** Offset in the TSS; absent where the TSS has none. */
    readonly offset?: number;
    /** Port ranges, inclusive, that code above IOPL may access; at most 256. */
    readonly allowed: readonly { readonly first: number; readonly last: number }[];
    /** `no port`, `all ports`, `3 ranges`. */
    readonly text: string;
}
