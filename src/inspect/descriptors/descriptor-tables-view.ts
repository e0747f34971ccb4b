/** GDT, LDT, IDT (or the vector table of real mode) and the current TSS. */
import { exceptionName } from '../../debug/faults';
import type { InspectionSource, SystemState, TableRegister } from '../../debug/inspection-source';
import { Efer } from '../../machine/cpu/cpu-state';
import { Flag, SegmentAttribute } from '../../machine/state';
import type { DescriptorItem, DescriptorTable, DescriptorTablesBody } from '../../messages/descriptor-tables';
import { hex, hexBytes } from '../hex';
import { LinearMemory, littleEndian } from '../linear-memory';
import { isCode64 } from '../memory/memory-view';
import { decodeDescriptor, isWide } from './descriptor';
import { viewTaskState } from './task-state';

const VECTORS = 256;
/** The largest GDT or LDT; an IDT that is larger has entries that no vector names. */
const LARGEST = 0x10000;

const SEGMENT_NAMES = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
const NULL_MASK = 0xfffc;

export function processorMode(system: SystemState): string {
    if ((system.cr0 & 1) === 0) return 'real mode';
    if ((system.efer & Efer.LMA) !== 0) return isCode64(system) ? '64-bit mode' : 'compatibility mode';
    return (system.rflags & Flag.VM) !== 0 ? 'virtual-8086 mode' : 'protected mode';
}

/** @param brief without the entries of the IDT, each of which has a name to be found */
export function viewDescriptorTables(source: InspectionSource, brief = false): DescriptorTablesBody {
    const { system, vcpu } = source;
    const memory = new LinearMemory(source);
    const reader = new TableReader(source, memory);
    const { ldtr } = system;
    const gdt = reader.segments('GDT', system.gdtr, 0);
    const hasLdt = (ldtr.selector & NULL_MASK) !== 0 && (ldtr.attributes & SegmentAttribute.Unusable) === 0;
    const ldt = hasLdt ? reader.segments('LDT', ldtr, 4) : undefined;
    const bases = new Map([...gdt.entries, ...(ldt?.entries ?? [])].map(entry => [Number(entry.selector), entry]));
    return {
        vcpu,
        mode: processorMode(system),
        gdt,
        ldt,
        idt: (system.cr0 & 1) === 0 ? reader.vectors(brief) : reader.gates(bases, brief),
        tss: viewTaskState(source, memory),
    };
}

class TableReader {
    private readonly longMode: boolean;
    /** Names of the registers that hold a selector, RPL aside. */
    private readonly used = new Map<number, string[]>();

    constructor(
        private readonly source: InspectionSource,
        private readonly memory: LinearMemory,
    ) {
        const { system } = source;
        this.longMode = (system.efer & Efer.LMA) !== 0;
        const inProtectedMode = (system.cr0 & 1) !== 0 && (system.rflags & Flag.VM) === 0;
        const registers = inProtectedMode
            ? system.segments.map((state, index) => [SEGMENT_NAMES[index], state] as const)
            : [];
        for (const [name, { selector }] of [...registers, ['ldtr', system.ldtr] as const, ['tr', system.tr] as const]) {
            const key = selector & NULL_MASK;
            if (key !== 0) this.used.set(key, [...(this.used.get(key) ?? []), name]);
        }
    }

    /** @param tableIndicator 4 for selectors of the LDT */
    segments(name: 'GDT' | 'LDT', { base, limit }: TableRegister, tableIndicator: 0 | 4): DescriptorTable {
        const { bytes, problem } = this.memory.read(base, Math.min(limit + 1, LARGEST) & ~7);
        const view = new DataView(bytes.buffer);
        const entries: DescriptorItem[] = [];
        for (let at = 0; at + 8 <= bytes.length;) {
            const lo = view.getUint32(at, true);
            const hi = view.getUint32(at + 4, true);
            const wide = isWide(hi, this.longMode) && at + 16 <= bytes.length;
            const size = wide ? 16 : 8;
            const selector = at | tableIndicator;
            append(entries, {
                index: at / 8,
                count: 1,
                selector: hex(selector),
                address: hex(base + BigInt(at)),
                bytes: hexBytes(bytes.subarray(at, at + size)),
                ...decodeDescriptor(lo, hi, wide ? view.getUint32(at + 8, true) : 0, this.longMode, false),
                usedBy: this.used.get(selector),
            });
            at += size;
        }
        return { name, base: hex(base), limit, entries, problem };
    }

    /** The IDT of protected and long mode. */
    gates(segments: ReadonlyMap<number, DescriptorItem>, brief: boolean): DescriptorTable {
        const { base, limit } = this.source.system.idtr;
        const size = this.longMode ? 16 : 8;
        const { bytes, problem } = this.memory.read(base, Math.min(limit + 1, VECTORS * size));
        if (brief) return { name: 'IDT', base: hex(base), limit, entries: [], problem };
        const view = new DataView(bytes.buffer);
        const entries: DescriptorItem[] = [];
        for (let index = 0; (index + 1) * size <= bytes.length; index++) {
            const at = index * size;
            const upper = this.longMode ? view.getUint32(at + 8, true) : 0;
            const decoded = decodeDescriptor(
                view.getUint32(at, true),
                view.getUint32(at + 4, true),
                upper,
                this.longMode,
                true,
            );
            const { gate } = decoded;
            append(entries, {
                index,
                count: 1,
                address: hex(base + BigInt(at)),
                bytes: hexBytes(bytes.subarray(at, at + size)),
                ...decoded,
                name: exceptionName(index),
                gate: gate && { ...gate, ...this.target(gate, segments) },
            });
        }
        return { name: 'IDT', base: hex(base), limit, entries, problem };
    }

    /** Where a gate leads to: its offset in the code segment. */
    private target(
        { selector, offset }: NonNullable<DescriptorItem['gate']>,
        segments: ReadonlyMap<number, DescriptorItem>,
    ): { linear?: string; symbol?: string } {
        const segment = segments.get(Number(selector) & 0xfffc);
        if (segment?.kind !== 'code' || segment.segment === undefined) {
            return {};
        }
        const base = this.longMode ? 0n : BigInt(segment.segment.base);
        const linear = BigInt.asUintN(this.longMode ? 64 : 32, base + BigInt(offset));
        return { linear: hex(linear), symbol: this.source.symbol(linear) };
    }

    /** The interrupt vector table of real mode: 256 far pointers. */
    vectors(brief: boolean): DescriptorTable {
        const { base, limit } = this.source.system.idtr;
        const { bytes, problem } = this.memory.read(base, Math.min(limit + 1, VECTORS * 4));
        if (brief) return { name: 'IVT', base: hex(base), limit, entries: [], problem };
        const entries: DescriptorItem[] = [];
        for (let index = 0; (index + 1) * 4 <= bytes.length; index++) {
            const at = index * 4;
            const offset = Number(littleEndian(bytes, at, 2));
            const segment = Number(littleEndian(bytes, at + 2, 2));
            const linear = BigInt(segment * 16 + offset);
            append(entries, {
                index,
                count: 1,
                address: hex(base + BigInt(at)),
                bytes: hexBytes(bytes.subarray(at, at + 4)),
                kind: 'vector',
                text: `${segment.toString(16).padStart(4, '0')}:${offset.toString(16).padStart(4, '0')}`,
                name: exceptionName(index),
                present: segment !== 0 || offset !== 0,
                dpl: 0,
                gate: {
                    selector: hex(segment),
                    offset: hex(offset),
                    linear: hex(linear),
                    symbol: this.source.symbol(linear),
                },
            });
        }
        return { name: 'IVT', base: hex(base), limit, entries, problem };
    }
}

/** Adds an entry; one that says the same as those before it and is in no use lengthens their run. */
function append(entries: DescriptorItem[], entry: DescriptorItem): void {
    const last = entries.at(-1);
    const plain = entry.usedBy === undefined && last?.usedBy === undefined;
    const named = entry.kind !== 'null' && (entry.name !== undefined || last?.name !== undefined);
    if (last !== undefined && plain && !named && last.bytes === entry.bytes) {
        entries[entries.length - 1] = { ...last, count: last.count + 1 };
    } else {
        entries.push(entry);
    }
}
