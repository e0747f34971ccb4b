/** Segment registers with their hidden parts, and the descriptor table registers (SDM Vol. 3, 3.4.3, 2.4). */
import { SEGMENT_NAMES } from '../../machine/cpu/cpu-state';
import type { Cpu } from '../../machine/cpu/cpu';
import { loadLdtr, loadRealSegment, loadSegment, loadTr } from '../../machine/cpu/segmentation';
import { raise, Vector } from '../../machine/cpu/fault';
import { Segment } from '../../isa/x86/instruction';
import { SegmentAttribute, SegmentOffset, segmentOffset, StateOffset, SystemSegment } from '../../machine/state';
import { bits, field, type Register, type RegisterGroup } from './register';

/** Types of system segments in LDTR and TR (SDM Vol. 3, table 3-2). */
const SYSTEM_TYPES: Readonly<Record<number, string>> = {
    1: '16-bit TSS',
    2: 'LDT',
    3: '16-bit TSS (busy)',
    9: 'TSS',
    11: 'TSS (busy)',
};

function selectSegment(cpu: Cpu, segment: number, selector: number): void {
    switch (segment) {
        case SystemSegment.Ldtr:
            loadLdtr(cpu, selector);
            return;
        case SystemSegment.Tr:
            loadTr(cpu, selector);
            return;
        case Segment.Cs:
            // In protected mode only a far transfer changes CS: its privilege checks have no meaning here.
            if (cpu.protectedMode || cpu.virtual8086) raise(Vector.GP);
            loadRealSegment(cpu, segment, selector);
            cpu.updateMode();
            return;
        default:
            loadSegment(cpu, segment, selector);
    }
}

/** Parts of the attributes (SDM Vol. 3, 3.4.5), in their order in a descriptor. */
const ATTRIBUTES: ReadonlyArray<readonly [name: string, first: number, width?: number]> = [
    ['type', 0, 4],
    ['s', 4],
    ['dpl', 5, 2],
    ['p', 7],
    ['avl', 12],
    ['l', 13],
    ['db', 14],
    ['g', 15],
    ['unusable', 16],
];

/** What the hidden part says: `code 64-bit ring 0`. */
export function describeAttributes(cpu: Cpu, segment: number): string {
    const attributes = cpu.segmentAttributes(segment);
    if (attributes & SegmentAttribute.Unusable) {
        return 'unusable';
    }
    const words: string[] = [];
    if (!(attributes & SegmentAttribute.NonSystem)) {
        words.push(SYSTEM_TYPES[attributes & 0xf] ?? `system type ${attributes & 0xf}`);
    } else if (attributes & SegmentAttribute.Code) {
        const big = attributes & SegmentAttribute.Big ? '32-bit' : '16-bit';
        words.push('code', attributes & SegmentAttribute.Long && cpu.longMode ? '64-bit' : big);
        words.push(attributes & SegmentAttribute.WritableOrReadable ? 'readable' : 'execute-only');
        if (attributes & SegmentAttribute.ExpandDownOrConforming) words.push('conforming');
    } else {
        words.push('data', attributes & SegmentAttribute.WritableOrReadable ? 'writable' : 'read-only');
        if (attributes & SegmentAttribute.ExpandDownOrConforming) words.push('expand-down');
    }
    words.push(`ring ${(attributes >> SegmentAttribute.DplShift) & 3}`);
    if (!(attributes & SegmentAttribute.Present)) words.push('not present');
    return words.join(' ');
}

function segmentRegister(name: string, segment: number): Register {
    const at = segmentOffset(segment);
    const hidden = (part: string, width: 32 | 64, offset: number, more: Partial<Register> = {}): Register => {
        const plain = field(`${name}.${part}`, width, at + offset);
        return {
            ...plain,
            write: (cpu, value) => {
                plain.write!(cpu, value);
                cpu.stateReplaced();
            },
            ...more,
        };
    };
    const attributes = hidden('attributes', 32, SegmentOffset.attributes, {
        describe: cpu => describeAttributes(cpu, segment),
    });
    return {
        name,
        width: 16,
        format: 'hex',
        condition: { kind: 'state', offset: at + SegmentOffset.selector, bytes: 2 },
        read: cpu => BigInt(cpu.selector(segment) & 0xffff),
        write: (cpu, value) => selectSegment(cpu, segment, Number(value)),
        describe: cpu => describeAttributes(cpu, segment),
        parts: [
            hidden('base', 64, SegmentOffset.base, { address: 'linear' }),
            hidden('limit', 32, SegmentOffset.limit),
            attributes,
            ...ATTRIBUTES.map(([part, first, width = 1]) => bits(`${name}.${part}`, attributes, first, width)),
        ],
    };
}

export const SEGMENTS_GROUP: RegisterGroup = {
    name: 'Segments',
    registers: [
        ...SEGMENT_NAMES.map(segmentRegister),
        field('gdtr.base', 64, StateOffset.gdtrBase, { address: 'linear' }),
        field('gdtr.limit', 16, StateOffset.gdtrLimit),
        field('idtr.base', 64, StateOffset.idtrBase, { address: 'linear' }),
        field('idtr.limit', 16, StateOffset.idtrLimit),
    ],
};
