/** Segment, system and gate descriptors (SDM Vol. 3, 3.4.5, 3.5, 5.8.3, 6.11, 6.14.1, 7.2.2, 7.2.3). */
import type { DescriptorItem, DescriptorKind } from '../../messages/descriptor-tables';
import { bitNames, hex } from '../hex';

const SYSTEM_KINDS: Readonly<Record<number, DescriptorKind>> = {
    1: 'tss',
    2: 'ldt',
    3: 'tss',
    4: 'callGate',
    5: 'taskGate',
    6: 'interruptGate',
    7: 'trapGate',
    9: 'tss',
    11: 'tss',
    12: 'callGate',
    14: 'interruptGate',
    15: 'trapGate',
};
/** Types that exist in long mode; the others are reserved there (SDM Vol. 3, table 3-2). */
const LONG_MODE_TYPES: ReadonlySet<number> = new Set([2, 9, 11, 12, 14, 15]);

const GATE_NAMES: Partial<Record<DescriptorKind, string>> = {
    callGate: 'call gate',
    taskGate: 'task gate',
    interruptGate: 'interrupt gate',
    trapGate: 'trap gate',
};

/** A descriptor without its place. */
export type Decoded = Pick<DescriptorItem, 'kind' | 'text' | 'present' | 'dpl' | 'segment' | 'gate' | 'problem'>;

/** Whether the descriptor takes two entries of GDT or LDT: the system descriptors of long mode. */
export function isWide(hi: number, longMode: boolean): boolean {
    const type = (hi >>> 8) & 0xf;
    return longMode && (hi & 0x1000) === 0 && LONG_MODE_TYPES.has(type) && type < 14;
}

/**
 * @param upper the third doubleword of a 16-byte descriptor, 0 for others
 * @param inIdt only gates make sense there
 */
export function decodeDescriptor(lo: number, hi: number, upper: number, longMode: boolean, inIdt: boolean): Decoded {
    const present = (hi & 0x8000) !== 0;
    const dpl = (hi >>> 13) & 3;
    if (lo === 0 && hi === 0 && upper === 0) {
        return { kind: 'null', text: 'null', present: false, dpl: 0 };
    }
    if ((hi & 0x1000) !== 0) {
        const segment = decodeSegment(lo, hi, longMode);
        return { ...segment, present, dpl, problem: inIdt ? 'a segment descriptor is no gate' : undefined };
    }
    const type = (hi >>> 8) & 0xf;
    const kind = longMode && !LONG_MODE_TYPES.has(type) ? 'reserved' : (SYSTEM_KINDS[type] ?? 'reserved');
    const absent = present ? '' : ', not present';
    switch (kind) {
        case 'reserved':
            return {
                kind,
                text: `reserved type ${type}${absent}`,
                present,
                dpl,
                problem: problemOf(present, type, longMode),
            };
        case 'ldt':
        case 'tss': {
            const busy = kind === 'tss' && (type & 2) !== 0 ? ', busy' : '';
            const size = kind === 'ldt' ? 'LDT' : type < 8 ? '16-bit TSS' : longMode ? '64-bit TSS' : '32-bit TSS';
            return {
                kind,
                text: `${size}${busy}${absent}`,
                present,
                dpl,
                segment: segmentFields(lo, hi, upper, longMode),
                problem: inIdt ? 'not a gate' : undefined,
            };
        }
        default:
            return { kind, present, dpl, ...decodeGate(lo, hi, upper, type, kind, longMode, absent) };
    }
}

function problemOf(present: boolean, type: number, longMode: boolean): string | undefined {
    if (!present) return undefined;
    return longMode && SYSTEM_KINDS[type] !== undefined ? `type ${type} is reserved in long mode` : 'reserved type';
}

function baseOf(lo: number, hi: number, upper: number): bigint {
    const low = ((lo >>> 16) | ((hi & 0xff) << 16) | (hi & 0xff000000)) >>> 0;
    return (BigInt(upper) << 32n) | BigInt(low);
}

function segmentFields(lo: number, hi: number, upper: number, longMode: boolean): NonNullable<Decoded['segment']> {
    const limit = (lo & 0xffff) | (hi & 0xf0000);
    const isCode = (hi & 0x1800) === 0x1800;
    const isSystem = (hi & 0x1000) === 0;
    const names: [string, number][] = [['G', 23]];
    if (!isSystem) {
        names.push([isCode ? 'D' : 'B', 22]);
        if (longMode) names.push(['L', 21]);
    }
    names.push(['AVL', 20], ['P', 15]);
    if (!isSystem) {
        names.push(
            ...((isCode
                ? [
                      ['C', 10],
                      ['R', 9],
                  ]
                : [
                      ['E', 10],
                      ['W', 9],
                  ]) as [string, number][]),
            ['A', 8],
        );
    }
    return {
        base: hex(baseOf(lo, hi, upper)),
        limit: hex(hi & 0x800000 ? (limit * 0x1000 + 0xfff) >>> 0 : limit),
        bits: bitNames(hi >>> 0, names),
    };
}

function decodeSegment(lo: number, hi: number, longMode: boolean): Pick<Decoded, 'kind' | 'text' | 'segment'> {
    const isCode = (hi & 0x800) !== 0;
    const words: string[] = [];
    const big = (hi & 0x400000) !== 0 ? '32-bit' : '16-bit';
    if (isCode) {
        const long = longMode && (hi & 0x200000) !== 0;
        words.push('code', long ? '64-bit' : big, (hi & 0x200) !== 0 ? 'readable' : 'execute-only');
        if ((hi & 0x400) !== 0) words.push('conforming');
    } else {
        words.push('data', (hi & 0x200) !== 0 ? 'writable' : 'read-only');
        if ((hi & 0x400) !== 0) words.push('expand-down');
        words.push(big);
    }
    words.push(`ring ${(hi >>> 13) & 3}`);
    if ((hi & 0x100) !== 0) words.push('accessed');
    if ((hi & 0x8000) === 0) words.push('not present');
    return { kind: isCode ? 'code' : 'data', text: words.join(' '), segment: segmentFields(lo, hi, 0, longMode) };
}

function decodeGate(
    lo: number,
    hi: number,
    upper: number,
    type: number,
    kind: DescriptorKind,
    longMode: boolean,
    absent: string,
): Pick<Decoded, 'text' | 'gate'> {
    const wide = type >= 8;
    const low = wide ? ((hi & 0xffff0000) | (lo & 0xffff)) >>> 0 : lo & 0xffff;
    const offset = longMode ? (BigInt(upper >>> 0) << 32n) | BigInt(low) : BigInt(low);
    const ist = longMode && kind !== 'callGate' ? hi & 7 : 0;
    const parameters = kind === 'callGate' && !longMode ? hi & 0x1f : undefined;
    const name = GATE_NAMES[kind] ?? kind;
    const size = kind === 'taskGate' ? '' : longMode ? '64-bit ' : wide ? '32-bit ' : '16-bit ';
    const words = [`${size}${name}`];
    if (ist !== 0) words.push(`IST ${ist}`);
    if (parameters !== undefined && parameters > 0) words.push(`${parameters} parameters`);
    return {
        text: `${words.join(', ')}, DPL ${(hi >>> 13) & 3}${absent}`,
        gate: { selector: hex(lo >>> 16), offset: hex(offset), ist: ist === 0 ? undefined : ist, parameters },
    };
}
