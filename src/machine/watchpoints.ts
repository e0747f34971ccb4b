/**
 * Watchpoints: accesses to memory that a debugger wants to hear of. Pages that one touches stay out of the soft TLBs for
 * the kinds of access it watches; accesses to them take the slow path, which asks {@link Watchpoints.matching}. Accesses
 * to other pages cost nothing.
 */
import type { WatchSpace } from './breakpoint';
import { PageWatch } from './cpu/paging';

export interface Watchpoint {
    readonly id: number;
    /** At a linear address it watches every address space; at a physical one every mapping, and devices' DMA. */
    readonly space: WatchSpace;
    /** Address, as two unsigned halves. */
    readonly lo: number;
    readonly hi: number;
    /** Bytes, at least 1; the range does not go beyond the end of the address space. */
    readonly length: number;
    readonly reads: boolean;
    readonly writes: boolean;
}

/** An access as the slow path of one sees it. */
export interface WatchedAccess {
    /** Linear address; undefined for a device's DMA. */
    readonly linear: { readonly lo: number; readonly hi: number } | undefined;
    readonly physical: number;
    readonly size: number;
    readonly write: boolean;
    /** The access has been made already, and nobody knows by which instruction. */
    readonly isOver?: boolean;
    /** If it {@link isOver}: what the memory held, where that is known. */
    readonly before?: Uint8Array;
}

/** Who is told of accesses to what is watched; nothing it does may go through the vCPU's own accesses. */
export interface AccessObserver {
    /**
     * The access is about to be made, unless it {@link WatchedAccess.isOver}. The vCPU stops for {@link completed} after
     * the instruction.
     * @param vcpu the one that makes it; for DMA, the one whose turn it is
     */
    accessed(vcpu: number, watchpoint: Watchpoint, access: WatchedAccess): void;
    /** The instruction, or the delivery of an event, is complete; whether to stop. */
    completed(vcpu: number): boolean;
    /** The instruction has faulted, and starts again some time: what it did does not count. Whether anything is left. */
    abandoned(): boolean;
}

const PAGE = 0x1000;
/** Bits of the filter that tells translated code which pages may be watched. */
const FILTER_BITS = 64;

interface Range {
    readonly watchpoint: Watchpoint;
    readonly first: number;
    readonly firstOffset: number;
    readonly last: number;
    readonly lastOffset: number;
}

const NONE: readonly Watchpoint[] = [];

export class Watchpoints {
    private linear: readonly Range[] = [];
    private physical: readonly Range[] = [];

    get isEmpty(): boolean {
        return this.linear.length === 0 && this.physical.length === 0;
    }

    replace(watchpoints: readonly Watchpoint[]): void {
        this.linear = watchpoints.filter(({ space }) => space === 'linear').map(rangeOf);
        this.physical = watchpoints.filter(({ space }) => space === 'physical').map(rangeOf);
    }

    /** Bit set of {@link PageWatch} for the page at a linear address that is mapped to a physical page. */
    watch(lo: number, hi: number, page: number): number {
        return watchOfPage(this.linear, pageNumber(lo, hi)) | watchOfPage(this.physical, page / PAGE);
    }

    /** Numbers of the physical pages below `pages` that are watched. */
    physicalPages(pages: number): number[] {
        const found = new Set<number>();
        for (const { first, last } of this.physical) {
            for (let page = first; page <= last && page < pages; page++) {
                found.add(page);
            }
        }
        return [...found];
    }

    /** A bit for each watched linear page, at its number modulo 64. */
    get linearFilter(): { readonly lo: number; readonly hi: number } {
        const bits = [0, 0];
        for (const { first, last } of this.linear) {
            for (let page = first; page <= last && page < first + FILTER_BITS; page++) {
                const bit = page % FILTER_BITS;
                bits[bit >> 5] |= 1 << (bit & 31);
            }
        }
        return { lo: bits[0], hi: bits[1] };
    }

    /**
     * Those that an access touches.
     * @param physical address of the first byte
     * @param rest physical address of the first byte beyond the page boundary, if the access crosses one
     */
    matching(
        lo: number,
        hi: number,
        size: number,
        write: boolean,
        physical: number,
        rest: number,
    ): readonly Watchpoint[] {
        const offset = lo & (PAGE - 1);
        const inFirst = Math.min(size, PAGE - offset);
        let found = NONE;
        if (this.linear.length > 0) {
            const page = pageNumber(lo, hi);
            found = touched(found, this.linear, page, offset, inFirst, write);
            if (inFirst < size) {
                found = touched(found, this.linear, page + 1, 0, size - inFirst, write);
            }
        }
        if (this.physical.length > 0) {
            found = touched(found, this.physical, Math.floor(physical / PAGE), offset, inFirst, write);
            if (inFirst < size) {
                found = touched(found, this.physical, Math.floor(rest / PAGE), 0, size - inFirst, write);
            }
        }
        return found;
    }

    /** Those that a device's access to physical memory touches, with the address of the first byte of each. */
    matchingDma(address: number, size: number, write: boolean): readonly Watchpoint[] {
        let found = NONE;
        if (this.physical.length > 0) {
            for (let at = address; at < address + size;) {
                const offset = at % PAGE;
                const length = Math.min(PAGE - offset, address + size - at);
                found = touched(found, this.physical, (at - offset) / PAGE, offset, length, write);
                at += length;
            }
        }
        return found;
    }
}

function pageNumber(lo: number, hi: number): number {
    return hi * 0x100000 + (lo >>> 12);
}

function rangeOf(watchpoint: Watchpoint): Range {
    const { lo, hi, length } = watchpoint;
    const first = pageNumber(lo, hi);
    const firstOffset = lo & (PAGE - 1);
    const end = firstOffset + length - 1;
    return { watchpoint, first, firstOffset, last: first + Math.floor(end / PAGE), lastOffset: end % PAGE };
}

function watchOfPage(ranges: readonly Range[], page: number): number {
    let watch: number = PageWatch.None;
    for (const { first, last, watchpoint } of ranges) {
        if (page >= first && page <= last) {
            watch |= (watchpoint.reads ? PageWatch.Reads : 0) | (watchpoint.writes ? PageWatch.Writes : 0);
        }
    }
    return watch;
}

/** `found` and the watchpoints that `size` bytes at an offset in a page touch. */
function touched(
    found: readonly Watchpoint[],
    ranges: readonly Range[],
    page: number,
    offset: number,
    size: number,
    write: boolean,
): readonly Watchpoint[] {
    for (const { watchpoint, first, firstOffset, last, lastOffset } of ranges) {
        const kind = write ? watchpoint.writes : watchpoint.reads;
        const endsBefore = page < first || (page === first && offset + size <= firstOffset);
        const beginsAfter = page > last || (page === last && offset > lastOffset);
        if (kind && !endsBefore && !beginsAfter && !found.includes(watchpoint)) {
            found = [...found, watchpoint];
        }
    }
    return found;
}
