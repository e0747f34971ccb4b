/** Task-state segments of all three formats (SDM Vol. 3, figures 7-2, 7-10 and 7-11) and the I/O permission map. */
import type { InspectionSource, SegmentState } from '../../debug/inspection-source';
import { Efer } from '../../machine/cpu/cpu-state';
import { SegmentAttribute } from '../../machine/state';
import type { IoPermissionMap, TaskState, TaskStateField } from '../../messages/descriptor-tables';
import { hex } from '../hex';
import { littleEndian, type LinearMemory } from '../linear-memory';

type Field = readonly [name: string, offset: number, bytes: number];

const GENERAL = ['eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi'];
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];

const FIELDS: Readonly<Record<TaskState['format'], readonly Field[]>> = {
    '64-bit': [
        ...[0, 1, 2].map((n): Field => [`rsp${n}`, 4 + 8 * n, 8]),
        ...[1, 2, 3, 4, 5, 6, 7].map((n): Field => [`ist${n}`, 0x24 + 8 * (n - 1), 8]),
        ['iomap', 0x66, 2],
    ],
    '32-bit': [
        ['link', 0, 2],
        ...[0, 1, 2].flatMap((n): Field[] => [
            [`esp${n}`, 4 + 8 * n, 4],
            [`ss${n}`, 8 + 8 * n, 2],
        ]),
        ['cr3', 0x1c, 4],
        ['eip', 0x20, 4],
        ['eflags', 0x24, 4],
        ...GENERAL.map((name, index): Field => [name, 0x28 + 4 * index, 4]),
        ...SEGMENTS.map((name, index): Field => [name, 0x48 + 4 * index, 2]),
        ['ldt', 0x60, 2],
        ['trap', 0x64, 2],
        ['iomap', 0x66, 2],
    ],
    '16-bit': [
        ['link', 0, 2],
        ...[0, 1, 2].flatMap((n): Field[] => [
            [`sp${n}`, 2 + 4 * n, 2],
            [`ss${n}`, 4 + 4 * n, 2],
        ]),
        ['ip', 0x0e, 2],
        ['flags', 0x10, 2],
        ...GENERAL.map((name, index): Field => [name.slice(1), 0x12 + 2 * index, 2]),
        ...SEGMENTS.slice(0, 4).map((name, index): Field => [name, 0x22 + 2 * index, 2]),
        ['ldt', 0x2a, 2],
    ],
};

const PORTS = 0x10000;
const MOST_RANGES = 256;
/** The largest TSS that means anything: a full map behind the fixed part and a byte more. */
const LARGEST = 0x10000 + PORTS / 8 + 1;

function formatOf(tr: SegmentState, longMode: boolean): TaskState['format'] | undefined {
    if ((tr.selector & ~3) === 0 || (tr.attributes & SegmentAttribute.Unusable) !== 0) {
        return undefined;
    }
    switch (tr.attributes & 0xf) {
        case 1:
        case 3:
            return '16-bit';
        case 9:
        case 11:
            return longMode ? '64-bit' : '32-bit';
        default:
            return undefined;
    }
}

export function viewTaskState(source: InspectionSource, memory: LinearMemory): TaskState | undefined {
    const { tr, efer } = source.system;
    const format = formatOf(tr, (efer & Efer.LMA) !== 0);
    if (format === undefined) {
        return undefined;
    }
    const { bytes, problem } = memory.read(tr.base, Math.min(tr.limit + 1, LARGEST));
    const fields = FIELDS[format]
        .filter(([, offset, size]) => offset + size <= bytes.length)
        .map(([name, offset, size]): TaskStateField => {
            const value = littleEndian(bytes, offset, size);
            return {
                name,
                offset,
                width: size * 8,
                value: hex(value),
                symbol: value === 0n ? undefined : source.symbol(value),
            };
        });
    const missing = FIELDS[format].length - fields.length;
    return {
        format,
        selector: hex(tr.selector),
        base: hex(tr.base),
        limit: tr.limit,
        busy: (tr.attributes & 2) !== 0,
        fields,
        ioMap:
            format === '16-bit' ? { allowed: [], text: 'none: 16-bit TSSs have no I/O map' } : ioMap(bytes, tr.limit),
        problem:
            problem ?? (missing > 0 ? `the limit 0x${tr.limit.toString(16)} cuts off ${missing} fields` : undefined),
    };
}

/** Which ports code may use that IOPL does not allow (SDM Vol. 1, 19.5.2). */
function ioMap(bytes: Uint8Array, limit: number): IoPermissionMap {
    const offset = bytes.length >= 0x68 ? Number(littleEndian(bytes, 0x66, 2)) : undefined;
    if (offset === undefined || offset >= limit) {
        return { offset, allowed: [], text: 'no port: the map lies behind the limit' };
    }
    const allowed: { first: number; last: number }[] = [];
    let total = 0;
    const allow = (first: number, last: number): void => {
        total += last - first + 1;
        const before = allowed.at(-1);
        if (before?.last === first - 1) {
            before.last = last;
        } else if (allowed.length < MOST_RANGES) {
            allowed.push({ first, last });
        }
    };
    // The processor reads two bytes: the last byte of the segment allows nothing.
    const end = Math.min(PORTS / 8, limit - offset, bytes.length - offset);
    for (let index = 0; index < end; index++) {
        const denied = bytes[offset + index];
        if (denied === 0xff) continue;
        if (denied === 0) {
            allow(8 * index, 8 * index + 7);
            continue;
        }
        for (let bit = 0; bit < 8; bit++) {
            if ((denied & (1 << bit)) === 0) allow(8 * index + bit, 8 * index + bit);
        }
    }
    const text = total === 0 ? 'no port' : total === PORTS ? 'all ports' : `${total} ports`;
    return { offset, allowed, text };
}
