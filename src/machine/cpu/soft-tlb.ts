import { CpuArea, EntryOrigin, type RefillObstacle, Tlb, TlbRecord } from '../state';

const SLOT_WORDS = Tlb.entrySize >> 2;
const EMPTY = 0xffffffff;

const REGIONS = 1 << TlbRecord.regionBits;

/**
 * The soft TLB tables of one vCPU (see `Tlb` in state.ts) and the record of what is in them (`TlbRecord`). An engine may
 * fill entries by itself, as long as it keeps that record and there is no {@link setObstacle | obstacle}.
 */
export class SoftTlb {
    private readonly words: Uint32Array;
    private readonly counters: Uint32Array;
    private readonly log: Uint16Array;
    private readonly isLogged: Uint8Array;
    private readonly largeRegions: Uint8Array;
    private readonly hugeRegions: Uint8Array;

    /** @param base address of the vCPU's area */
    constructor(buffer: ArrayBufferLike, base: number) {
        const record = base + CpuArea.tlbRecord;
        this.words = new Uint32Array(buffer, base + CpuArea.tlb, TlbRecord.slots * SLOT_WORDS);
        this.counters = new Uint32Array(buffer, record, 4);
        this.log = new Uint16Array(buffer, record + TlbRecord.log, TlbRecord.slots);
        this.isLogged = new Uint8Array(buffer, record + TlbRecord.isLogged, TlbRecord.slots);
        this.largeRegions = new Uint8Array(buffer, record + TlbRecord.largeRegions, REGIONS);
        this.hugeRegions = new Uint8Array(buffer, record + TlbRecord.hugeRegions, REGIONS);
        this.words.fill(EMPTY);
    }

    private get logged(): number {
        return this.counters[TlbRecord.logged >> 2];
    }

    private set logged(count: number) {
        this.counters[TlbRecord.logged >> 2] = count;
    }

    /** Says whether something keeps others than the MMU from filling entries. */
    setObstacle(obstacle: RefillObstacle, present: boolean): void {
        const at = TlbRecord.obstacles >> 2;
        this.counters[at] = present ? this.counters[at] | obstacle : this.counters[at] & ~obstacle;
    }

    /** Which linear pages only the MMU may enter: see `TlbRecord.watchFilter`. */
    setWatchFilter(lo: number, hi: number): void {
        const at = TlbRecord.watchFilter >> 2;
        this.counters[at] = lo;
        this.counters[at + 1] = hi;
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
            const { logged } = this;
            this.log[logged] = slot;
            this.logged = logged + 1;
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
        const { logged } = this;
        lo = (lo & ~0xfff) >>> 0;
        const words = this.words;
        for (let table = 0; table < 2 * Tlb.modes; table++) {
            const at = (table * Tlb.entries + ((lo >>> 12) & (Tlb.entries - 1))) * SLOT_WORDS;
            if (words[at] === lo && words[at + 1] === hi) this.clear(at);
        }
        const large = this.largeRegions[largeRegion(lo, hi)] !== 0;
        const huge = this.hugeRegions[hugeRegion(lo, hi)] !== 0;
        if (!large && !huge) return;
        for (let index = 0; index < logged; index++) {
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
        const { words, logged } = this;
        for (let index = 0; index < logged; index++) {
            const slot = this.log[index];
            const at = slot * SLOT_WORDS;
            if ((slot & Tlb.entries) !== 0 && words[at] !== EMPTY && (words[at] + words[at + 2]) >>> 0 === ram) {
                this.clear(at);
            }
        }
    }

    private flush(keepGlobal: boolean): void {
        const { words, logged } = this;
        let kept = 0;
        for (let index = 0; index < logged; index++) {
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
