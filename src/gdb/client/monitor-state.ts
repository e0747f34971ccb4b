/** What QEMU's monitor tells beyond the registers of its stub: `info registers -a`, and the map of physical memory. */
import type { PhysicalRegion } from '../../debug/inspection-source';
import { parseHex } from '../text';

export interface SegmentText {
    readonly selector: number;
    readonly base: bigint;
    /** Bytes. */
    readonly limit: number;
    /** As `SegmentAttribute` has them. */
    readonly attributes: number;
}

/** One vCPU, by our names of registers. */
export interface MonitorState {
    readonly segments: ReadonlyMap<string, SegmentText>;
    readonly tables: ReadonlyMap<string, { readonly base: bigint; readonly limit: number }>;
    /** Control and debug registers, EFER. */
    readonly others: ReadonlyMap<string, bigint>;
    /** The x87 tags: a bit set for each physical register in use. */
    readonly tags: number | undefined;
}

const SEGMENT =
    /^(ES|CS|SS|DS|FS|GS|LDT|TR)\s*=\s*([0-9a-f]{4})\s+([0-9a-f]{1,16})\s+([0-9a-f]{1,8})\s+([0-9a-f]{1,8})\b/i;
const TABLE = /^(GDT|IDT)\s*=\s*([0-9a-f]{1,16})\s+([0-9a-f]{1,8})\b/i;
const OTHER = /\b(CR[0-8]|DR[0-7]|EFER)=([0-9a-f]{1,16})\b/gi;
const SYSTEM_NAMES: Readonly<Record<string, string>> = { LDT: 'ldtr', GDT: 'gdtr', IDT: 'idtr' };
const MOST_VCPUS = 1024;

/** Bits 8 to 15 and 20 to 23 of a descriptor's second doubleword, which QEMU shows whole. */
function attributesOf(flags: number): number {
    return (flags >>> 8) & 0xf0ff;
}

/** The vCPUs in order; undefined for a text that is something else. */
export function parseRegisters(text: string): MonitorState[] | undefined {
    const found: MonitorState[] = [];
    for (const part of text.split(/^\s*CPU#\d+\s*$/m).slice(text.includes('CPU#') ? 1 : 0, MOST_VCPUS)) {
        const segments = new Map<string, SegmentText>();
        const tables = new Map<string, { base: bigint; limit: number }>();
        const others = new Map<string, bigint>();
        for (const line of part.split(/\r?\n/)) {
            const segment = SEGMENT.exec(line);
            const table = TABLE.exec(line);
            if (segment !== null) {
                const name = segment[1].toUpperCase();
                segments.set(SYSTEM_NAMES[name] ?? name.toLowerCase(), {
                    selector: parseInt(segment[2], 16),
                    base: parseHex(segment[3])!,
                    limit: parseInt(segment[4], 16),
                    attributes: attributesOf(parseInt(segment[5], 16)),
                });
            } else if (table !== null) {
                const base = parseHex(table[2])!;
                tables.set(SYSTEM_NAMES[table[1].toUpperCase()], { base, limit: parseInt(table[3], 16) });
            } else if (line.length < 400) {
                for (const [, name, digits] of line.matchAll(OTHER)) others.set(name.toLowerCase(), parseHex(digits)!);
            }
        }
        if (!segments.has('cs') || !tables.has('gdtr')) return undefined;
        const tags = /\bFTW=([0-9a-f]{2})\b/.exec(part)?.[1];
        found.push({ segments, tables, others, tags: tags === undefined ? undefined : parseInt(tags, 16) });
    }
    return found.length === 0 ? undefined : found;
}

const REGION = /^\s*([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, ([a-z/]+)\): (.*?)(?: @[0-9a-f]+)?(?: KVM)?\s*$/i;
const MOST_REGIONS = 4096;

/** Who answers to physical addresses, from `info mtree -f`; undefined for a text that tells of none. */
export function parseMemoryMap(text: string): PhysicalRegion[] | undefined {
    const views = text.split(/^FlatView #\d+/m);
    const memory = views.find(view => /AS "memory"/.test(view));
    const regions: PhysicalRegion[] = [];
    for (const line of memory?.split(/\r?\n/) ?? []) {
        const match = line.length < 300 ? REGION.exec(line) : null;
        if (match === null) continue;
        const [first, last] = [Number(`0x${match[1]}`), Number(`0x${match[2]}`)];
        if (!Number.isSafeInteger(last) || last < first || (regions.at(-1)?.last ?? -1) >= first) continue;
        const kind = match[3] === 'ram' || match[3] === 'ramd' ? 'ram' : match[3].startsWith('rom') ? 'rom' : 'device';
        regions.push({ name: match[4], first, last, kind });
        if (regions.length === MOST_REGIONS) break;
    }
    return regions.length === 0 ? undefined : regions;
}
