import { CpuArea, Tlb } from '../state';

const SLOTS = (Tlb.modes * Tlb.modeSize) / Tlb.entrySize;
const SLOT_WORDS = Tlb.entrySize >> 2;
const EMPTY = 0xffffffff;

/** What the fourth word of an entry says about where it came from; the fast path does not look at it. */
export const enum EntryOrigin {
    None = 0,
    /** Global page: survives MOV CR3. */
    Global = 1 << 0,
    /** Piece of a 2 or 4 MiB page. */
    Large = 1 << 1,
    /** Piece of a 1 GiB page. */
    Huge = 1 << 2,
}

/** INVLPG of any address in a large page must drop all its pieces, so regions with such pieces are remembered. */
const REGION_BITS = 12;
const REGIONS = 1 << REGION_BITS;

/**
 * The soft TLB tables of one vCPU (see `Tlb` in state.ts) as their only writer sees them. Entries are logged, so that
 * a flush costs what was filled since the last one and not the whole of the tables.
 */
export class SoftTlb {
    private readonly words: Uint32Array;
    private readonly log = new Uint16Array(SLOTS);
    private readonly isLogged = new Uint8Array(SLOTS);
    private logged = 0;
    /** Hash sets of 4 MiB regions with entries of large pages, and of 1 GiB regions with entries of huge ones. */
    private readonly largeRegions = new Uint8Array(REGIONS);
    private readonly hugeRegions = new Uint8Array(REGIONS);

    /** @param base address of the vCPU's area */
    constructor(buffer: ArrayBufferLike, base: number) {
        this.words = new Uint32Array(buffer, base + CpuArea.tlb, SLOTS * SLOT_WORDS);
        this.words.fill(EMPTY);
    }

    /**
     * Enters a page. `ram` is the page's address in the shared memory.
     * @param lo low half of the linear page address (low 12 bits 0), `hi` the high half
     */
    enter(mode: number, write: boolean, lo: number, hi: number, ram: number, origin: EntryOrigin): void {
        const slot = slotOf(mode, write, lo);
        const at = slot * SLOT_WORDS;
        const words = this.words;
        words[at] = lo;
        words[at + 1] = hi;
        words[at + 2] = ram - lo;
        words[at + 3] = origin;
        if (this.isLogged[slot] === 0) {
            this.isLogged[slot] = 1;
            this.log[this.logged++] = slot;
        }
        if (origin & EntryOrigin.Large) this.largeRegions[largeRegion(lo, hi)] = 1;
        if (origin & EntryOrigin.Huge) this.hugeRegions[hugeRegion(lo, hi)] = 1;
    }

    /** Address in the shared memory of the byte at linear address `hi:lo`, or 0 if its page is not entered. */
    find(mode: number, write: boolean, lo: number, hi: number): number {
        const at = slotOf(mode, write, lo) * SLOT_WORDS;
        const { words } = this;
        return words[at] === (lo & ~0xfff) >>> 0 && words[at + 1] === hi ? (lo + words[at + 2]) >>> 0 : 0;
    }

    flushAll(): void {
        this.flush(false);
        this.largeRegions.fill(0);
        this.hugeRegions.fill(0);
    }

    flushNonGlobal(): void {
        this.flush(true);
    }

    /** Drops the translation of one linear address, together with the whole large page it may be in. */
    flushPage(lo: number, hi: number): void {
        lo = (lo & ~0xfff) >>> 0;
        const words = this.words;
        for (let table = 0; table < 2 * Tlb.modes; table++) {
            const at = (table * Tlb.entries + ((lo >>> 12) & (Tlb.entries - 1))) * SLOT_WORDS;
            if (words[at] === lo && words[at + 1] === hi) this.clear(at);
        }
        const large = this.largeRegions[largeRegion(lo, hi)] !== 0;
        const huge = this.hugeRegions[hugeRegion(lo, hi)] !== 0;
        if (!large && !huge) return;
        for (let index = 0; index < this.logged; index++) {
            const at = this.log[index] * SLOT_WORDS;
            const origin = words[at + 3];
            if (words[at + 1] !== hi || words[at] === EMPTY) continue;
            const distance = words[at] ^ lo;
            if (
                origin & EntryOrigin.Large ? distance >>> 22 === 0 : origin & EntryOrigin.Huge && distance >>> 30 === 0
            ) {
                this.clear(at);
            }
        }
    }

    /** Makes stores to a page of RAM take the slow path from now on, wherever it is mapped. */
    dropWrites(ram: number): void {
        const words = this.words;
        for (let index = 0; index < this.logged; index++) {
            const slot = this.log[index];
            const at = slot * SLOT_WORDS;
            if ((slot & Tlb.entries) !== 0 && words[at] !== EMPTY && (words[at] + words[at + 2]) >>> 0 === ram) {
                this.clear(at);
            }
        }
    }

    private flush(keepGlobal: boolean): void {
        const words = this.words;
        let kept = 0;
        for (let index = 0; index < this.logged; index++) {
            const slot = this.log[index];
            const at = slot * SLOT_WORDS;
            if (keepGlobal && words[at] !== EMPTY && (words[at + 3] & EntryOrigin.Global) !== 0) {
                this.log[kept++] = slot;
            } else {
                this.clear(at);
                this.isLogged[slot] = 0;
            }
        }
        this.logged = kept;
    }

    private clear(at: number): void {
        this.words[at] = EMPTY;
        this.words[at + 1] = EMPTY;
        this.words[at + 3] = EntryOrigin.None;
    }
}

function slotOf(mode: number, write: boolean, lo: number): number {
    return (mode * 2 + (write ? 1 : 0)) * Tlb.entries + ((lo >>> 12) & (Tlb.entries - 1));
}

function largeRegion(lo: number, hi: number): number {
    return ((lo >>> 22) ^ (hi << 10)) & (REGIONS - 1);
}

function hugeRegion(lo: number, hi: number): number {
    return ((lo >>> 30) ^ (hi << 2)) & (REGIONS - 1);
}
