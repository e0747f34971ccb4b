/** Searches memory, a piece at a time: what comes back says where to go on. */
import type { InspectionSource } from '../../debug/inspection-source';
import type { MemoryMatch } from '../../messages/memory';
import { hex, hexBytes } from '../hex';
import { linearOf, pageOf, type PageTables } from '../paging/paging-format';
import { foldRanges } from '../paging/ranges';
import { Scanner } from './scanner';
import type { BytePattern } from './pattern';

const PAGE = 0x1000;
const PREVIEW = 16;
/** Pieces of page tables looked at in one go. */
const RANGES = 1024;
/** Tables looked at in one go, and pages without memory passed over: hostile page tables have no end of either. */
const MOST_TABLES = 0x4000;
const MOST_PASSED = 0x40000;
/** RAM that hides behind ROM and graphics memory is in no region of its own. */
const LEGACY = { first: 0xa0000, last: 0xfffff };
/** Places that fit but are not aligned: so many, and the search lets others have a turn. */
const MOST_REJECTED = 200_000;

export interface SearchRequest {
    readonly pattern: BytePattern;
    /** Undefined: physical memory. */
    readonly tables: PageTables | undefined;
    /** First and last address at which a match may begin. */
    readonly first: bigint;
    readonly last: bigint;
    readonly alignment: number;
    readonly limit: number;
    /** Bytes to look at, roughly. */
    readonly bytes: number;
}

export interface SearchPiece {
    readonly matches: readonly MemoryMatch[];
    readonly searched: number;
    /** Where to go on; undefined at the end. */
    readonly next: bigint | undefined;
}

/** A stretch of addresses that are next to each other in physical memory. */
interface Stretch {
    readonly address: bigint;
    readonly physical: number;
    readonly length: number;
}

/** Where to go on if page tables were too many. */
interface Cursor {
    next?: bigint;
}

/** What there is to search, ascending, from an address on. */
function* stretches(source: InspectionSource, request: SearchRequest, cursor: Cursor): Generator<Stretch> {
    const { tables, first, last } = request;
    if (tables === undefined || tables.mode === 'none') {
        const regions = (source.regions ?? [])
            .filter(({ kind }) => kind !== 'device')
            .concat({ name: '', kind: 'ram', ...LEGACY });
        const sorted = regions.sort((a, b) => a.first - b.first);
        let end = 0;
        for (const region of sorted) {
            const from = Math.max(region.first, end);
            end = Math.max(end, region.last + 1);
            const begin = BigInt(from) < first ? first : BigInt(from);
            const stop = BigInt(region.last) > last ? last : BigInt(region.last);
            if (begin <= stop) {
                yield { address: begin, physical: Number(begin), length: Number(stop - begin) + 1 };
            }
        }
        return;
    }
    let page: number | undefined = pageOf(tables, first);
    const lastPage = pageOf(tables, last);
    let seen = 0;
    while (page !== undefined && page <= lastPage) {
        if (seen >= MOST_TABLES) {
            cursor.next = linearOf(tables, page);
            return;
        }
        const folding = foldRanges(source, tables, { first: page, last: lastPage, contiguous: true, limit: RANGES });
        for (const range of folding.ranges) {
            const begin = linearOf(tables, range.first);
            const end = begin + BigInt(range.pages * PAGE) - 1n;
            const from = begin < first ? first : begin;
            const stop = end > last ? last : end;
            if (from <= stop) {
                const length = Number(stop - from) + 1;
                yield { address: from, physical: range.physical + Number(from - begin), length };
            }
        }
        seen += folding.tables;
        page = folding.next;
    }
}

/** Bytes that a search looks at altogether, as far as that can be told at once. */
export function searchable(source: InspectionSource, request: SearchRequest): number {
    let total = 0;
    for (const { length } of stretches(source, request, {})) total += length;
    return total;
}

class Searcher {
    readonly matches: MemoryMatch[] = [];
    searched = 0;
    next: bigint | undefined;
    private readonly scanner: Scanner;
    /** The last bytes before the present chunk, if it follows them: a match may begin there. */
    private tail: Uint8Array = new Uint8Array(0);
    private tailPhysical = 0;
    private tailEnd = -1n;
    private rejected = 0;
    private passed = 0;
    /** Bytes to look at: always enough to get on. */
    private readonly budget: number;

    constructor(
        private readonly source: InspectionSource,
        private readonly request: SearchRequest,
    ) {
        this.scanner = new Scanner(request.pattern);
        this.budget = Math.max(request.bytes, 2 * this.scanner.length);
    }

    run(): SearchPiece {
        // The last match may reach beyond the last address at which it may begin.
        const reach = BigInt(this.scanner.length - 1);
        const { last } = this.request;
        const most = BigInt.asUintN(64, -1n);
        const extended = last > most - reach ? most : last + reach;
        const cursor: Cursor = {};
        let ended = true;
        for (const stretch of stretches(this.source, { ...this.request, last: extended }, cursor)) {
            if (!this.search(stretch)) {
                ended = false;
                break;
            }
        }
        if (ended && cursor.next !== undefined && cursor.next <= last) {
            this.next = cursor.next;
        }
        return { matches: this.matches, searched: this.searched, next: this.next };
    }

    /** @returns whether to go on */
    private search({ address, physical, length }: Stretch): boolean {
        let done = 0;
        while (done < length) {
            const chunk = this.chunk(physical + done, Math.min(length - done, this.budget - this.searched));
            const at = address + BigInt(done);
            if (chunk === undefined) {
                if (++this.passed >= MOST_PASSED && at <= this.request.last) {
                    this.next = at;
                    return false;
                }
                done += PAGE - ((physical + done) % PAGE);
                continue;
            }
            if (!this.searchChunk(chunk, at, physical + done)) {
                return false;
            }
            done += chunk.length;
            this.searched += chunk.length;
            if (this.searched >= this.budget) {
                // A match may begin in the last bytes and go on in what follows.
                const next = this.tailEnd - BigInt(this.tail.length);
                this.next = next > this.request.last ? undefined : next;
                return false;
            }
        }
        return true;
    }

    /** Bytes from a physical address on, as long as they lie next to each other in the host's memory too. */
    private chunk(physical: number, length: number): Uint8Array | undefined {
        const offset = physical % PAGE;
        const first = this.source.page(physical - offset);
        if (first === undefined) {
            return undefined;
        }
        let end = PAGE - offset;
        while (end < length) {
            const next = this.source.page(physical + end);
            if (next?.buffer !== first.buffer || next.byteOffset !== first.byteOffset + offset + end) break;
            end += PAGE;
        }
        return new Uint8Array(first.buffer, first.byteOffset + offset, Math.min(end, Math.max(1, length)));
    }

    private searchChunk(bytes: Uint8Array, address: bigint, physical: number): boolean {
        const { tail, tailPhysical } = this;
        const reach = this.scanner.length - 1;
        const goesOn = this.tailEnd === address && tail.length > 0;
        const seam = goesOn ? joined(tail, bytes.subarray(0, reach)) : undefined;
        if (seam !== undefined && bytes.length < reach) {
            this.keepTail(seam, tailPhysical, address + BigInt(bytes.length));
        } else {
            this.keepTail(bytes, physical, address + BigInt(bytes.length));
        }
        if (seam !== undefined) {
            const begin = address - BigInt(tail.length);
            if (!this.collect(seam, begin, tailPhysical, tail.length, undefined)) {
                return false;
            }
        }
        return this.collect(bytes, address, physical, bytes.length, this.source.machine?.memory.memory);
    }

    /** Holds on to the bytes before `end` at which a match may begin that goes on behind it. */
    private keepTail(bytes: Uint8Array, physical: number, end: bigint): void {
        const from = Math.max(0, bytes.length - (this.scanner.length - 1));
        this.tail = bytes.slice(from);
        this.tailPhysical = physical + from;
        this.tailEnd = end;
    }

    /** Collects the matches that begin before `end`. */
    private collect(
        bytes: Uint8Array,
        address: bigint,
        physical: number,
        end: number,
        memory: WebAssembly.Memory | undefined,
    ): boolean {
        const { alignment, limit, last } = this.request;
        for (let at = this.scanner.find(bytes, 0, memory); at >= 0 && at < end;) {
            const place = address + BigInt(at);
            if (place > last) {
                return true;
            }
            if (place % BigInt(alignment) === 0n) {
                if (this.matches.length >= limit) {
                    this.next = place;
                    return false;
                }
                this.add(bytes, at, place, physical + at);
            } else if (++this.rejected >= MOST_REJECTED) {
                this.next = place + 1n;
                return false;
            }
            at = this.scanner.find(bytes, at + 1, memory);
        }
        return true;
    }

    private add(bytes: Uint8Array, at: number, address: bigint, physical: number): void {
        const isPhysical = this.request.tables === undefined;
        this.matches.push({
            address: hex(address),
            physical: hex(physical),
            memoryReference: `${isPhysical ? 'phys:' : ''}${hex(address)}`,
            symbol: isPhysical ? undefined : this.source.symbol(address),
            bytes: hexBytes(bytes.subarray(at, at + PREVIEW)),
        });
    }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
    const both = new Uint8Array(first.length + second.length);
    both.set(first);
    both.set(second, first.length);
    return both;
}

export function searchMemory(source: InspectionSource, request: SearchRequest): SearchPiece {
    return new Searcher(source, request).run();
}
