/** A range of memory as the inspector shows it: bytes, what its pages are, which values are addresses of something. */
import type { InspectionSource, SystemState } from '../../debug/inspection-source';
import { Efer } from '../../machine/cpu/cpu-state';
import { Flag, SegmentAttribute } from '../../machine/state';
import type { MemorySpace } from '../../messages/common';
import type { MemoryAnnotation, MemoryPage } from '../../messages/memory';
import { InspectionError } from '../errors';
import { hex } from '../hex';
import type { GuestNaming } from '../naming';
import { isCanonical, type PageTables, pageTables } from '../paging/paging-format';
import { walk } from '../paging/walk';
import { regionAt } from '../physical-map';

const PAGE = 0x1000;
const PAGE_BITS = 0xfffn;
const MOST_ANNOTATIONS = 10_000;
/** Smaller values are numbers, whatever symbol stands at such an address (Linux's per-CPU ones do). */
const LEAST_ADDRESS = 0x10000n;

const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];

/** Whether the vCPU is in 64-bit code. */
export function isCode64({ efer, segments }: SystemState): boolean {
    return (efer & Efer.LMA) !== 0 && (segments[1].attributes & SegmentAttribute.Long) !== 0;
}

/**
 * The linear address of an offset in a segment (SDM Vol. 3, 3.4).
 * @throws InspectionError for a segment that there is none of
 */
export function linearAddress(system: SystemState, segment: string, offset: bigint): bigint {
    const index = SEGMENTS.indexOf(segment.toLowerCase());
    if (index < 0) {
        throw new InspectionError(`there is no segment '${segment}': it has to be one of ${SEGMENTS.join(', ')}`);
    }
    const { base } = system.segments[index];
    if (isCode64(system)) {
        return BigInt.asUintN(64, (index < 4 ? 0n : base) + offset);
    }
    return BigInt.asUintN(32, base + offset);
}

export interface MemoryRange {
    /** `virtual` has become `linear` by now. */
    readonly space: Exclude<MemorySpace, 'virtual'>;
    readonly address: bigint;
    readonly count: number;
}

export interface MemoryContents {
    readonly bytes: Uint8Array;
    readonly pages: readonly MemoryPage[];
    readonly annotations: readonly MemoryAnnotation[];
}

interface Place {
    readonly physical?: number;
    readonly permissions?: MemoryPage['permissions'];
    readonly pageSize?: number;
    readonly problem?: string;
}

function place(source: InspectionSource, tables: PageTables, { space, address }: MemoryRange): Place {
    if (space === 'physical') {
        return address < 1n << 52n ? { physical: Number(address) } : { problem: 'physical addresses have 52 bits' };
    }
    if (tables.mode === 'none') {
        return address < 1n << 32n
            ? { physical: Number(address) }
            : { problem: 'without paging linear addresses have 32 bits' };
    }
    if (!isCanonical(tables, address)) {
        return { problem: tables.linearBits === 32 ? 'linear addresses have 32 bits' : 'the address is not canonical' };
    }
    const { mapping, problem } = walk(source, tables, address);
    if (mapping === undefined) {
        return { problem };
    }
    return { physical: mapping.physical, permissions: mapping.permissions, pageSize: mapping.pageSize };
}

export function viewMemory(
    source: InspectionSource,
    range: MemoryRange,
    annotate: boolean,
    naming: GuestNaming = {},
): MemoryContents {
    const tables = pageTables(source.system);
    const use = range.space === 'linear' ? naming.regions?.(source, tables.root) : undefined;
    const bytes = new Uint8Array(range.count);
    const pages: MemoryPage[] = [];
    for (let offset = 0; offset < range.count;) {
        const address = BigInt.asUintN(64, range.address + BigInt(offset));
        const length = Math.min(PAGE - Number(address & PAGE_BITS), range.count - offset);
        const { physical, ...rest } = place(source, tables, { ...range, address });
        const inPage = physical === undefined ? 0 : physical % PAGE;
        const contents = physical === undefined ? undefined : source.page(physical - inPage);
        if (contents !== undefined) {
            bytes.set(contents.subarray(inPage, inPage + length), offset);
        }
        const region = physical === undefined ? undefined : regionAt(source, physical);
        pages.push({
            offset,
            length,
            physical: physical === undefined ? undefined : hex(physical),
            readable: contents !== undefined,
            kind: kindOf(physical, contents !== undefined, region?.kind),
            region: region?.name,
            use: use?.(address, address + BigInt(length - 1)),
            ...rest,
            problem: rest.problem ?? (contents === undefined ? unreadable(region?.name) : undefined),
        });
        offset += length;
    }
    return { bytes, pages, annotations: annotate ? annotations(source, range, bytes) : [] };
}

function kindOf(
    physical: number | undefined,
    isMemory: boolean,
    kind: 'ram' | 'rom' | 'device' | undefined,
): MemoryPage['kind'] {
    if (physical === undefined) return 'unmapped';
    if (isMemory) return kind === 'rom' ? 'rom' : 'ram';
    return kind === undefined ? 'nothing' : 'device';
}

function unreadable(region: string | undefined): string {
    return region === undefined
        ? 'nothing answers at this physical address'
        : `registers of '${region}': looking at them could change them`;
}

/** Aligned values that are addresses with a name. */
function annotations(source: InspectionSource, { address }: MemoryRange, bytes: Uint8Array): MemoryAnnotation[] {
    const { system } = source;
    const size = isCode64(system) ? 8 : (system.rflags & Flag.VM) === 0 && (system.cr0 & 1) !== 0 ? 4 : 0;
    const found: MemoryAnnotation[] = [];
    if (size === 0) {
        return found;
    }
    const view = new DataView(bytes.buffer);
    const first = (size - Number(address % BigInt(size))) % size;
    for (let offset = first; offset + size <= bytes.length && found.length < MOST_ANNOTATIONS; offset += size) {
        const value = size === 8 ? view.getBigUint64(offset, true) : BigInt(view.getUint32(offset, true));
        if (value < LEAST_ADDRESS) continue;
        const symbol = source.symbol(value);
        if (symbol !== undefined) {
            found.push({ offset, size, value: hex(value), symbol });
        }
    }
    return found;
}
