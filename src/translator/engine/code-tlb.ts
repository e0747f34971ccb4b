import { PageReach } from './page-reach';

/**
 * Translations of the pages a vCPU fetches from: what the soft TLB is for data. Only look-ups of blocks use it, but
 * after each change of address space there are many.
 */

const ENTRIES = 1024;
/** Never the low half of a page address. */
const EMPTY = 1;

export class CodeTlb {
    private readonly lo = new Uint32Array(ENTRIES).fill(EMPTY);
    private readonly hi = new Uint32Array(ENTRIES);
    private readonly user = new Uint8Array(ENTRIES);
    private readonly global = new Uint8Array(ENTRIES);
    private readonly large = new Uint8Array(ENTRIES);
    private readonly page = new Float64Array(ENTRIES);
    private readonly log = new Uint16Array(ENTRIES);
    private logged = 0;
    private readonly reach = new PageReach();

    /** Index of the entry of a linear page for fetches at user or supervisor level, or -1. */
    find(lo: number, hi: number, user: number): number {
        const slot = (lo >>> 12) & (ENTRIES - 1);
        return this.lo[slot] === (lo & ~0xfff) >>> 0 && this.hi[slot] === hi && this.user[slot] === user ? slot : -1;
    }

    /** Physical address of the page in an entry. */
    pageOf(slot: number): number {
        return this.page[slot];
    }

    isGlobal(slot: number): boolean {
        return this.global[slot] !== 0;
    }

    isLarge(slot: number): boolean {
        return this.large[slot] !== 0;
    }

    /** `physical` is any address in the page. `large`: it is a piece of a 2 MiB page or larger. */
    enter(lo: number, hi: number, user: number, physical: number, global: boolean, large: boolean): void {
        const slot = (lo >>> 12) & (ENTRIES - 1);
        if (this.lo[slot] === EMPTY) {
            this.log[this.logged++] = slot;
        }
        this.lo[slot] = (lo & ~0xfff) >>> 0;
        this.hi[slot] = hi;
        this.user[slot] = user;
        this.global[slot] = global ? 1 : 0;
        this.large[slot] = large ? 1 : 0;
        this.reach.add(lo, hi, large);
        this.page[slot] = physical - (physical % 0x1000);
    }

    flush(keepGlobal: boolean): void {
        let kept = 0;
        this.reach.clear();
        for (let i = 0; i < this.logged; i++) {
            const slot = this.log[i];
            if (keepGlobal && this.global[slot] !== 0) {
                this.reach.add(this.lo[slot], this.hi[slot], this.large[slot] !== 0);
                this.log[kept++] = slot;
            } else {
                this.lo[slot] = EMPTY;
            }
        }
        this.logged = kept;
    }

    /** Drops what INVLPG of this linear address makes void. */
    flushPage(lo: number, hi: number): void {
        if (!this.reach.mayHold(lo, hi)) {
            return;
        }
        let kept = 0;
        for (let i = 0; i < this.logged; i++) {
            const slot = this.log[i];
            if (this.reach.covers(lo, hi, this.lo[slot], this.hi[slot])) {
                this.lo[slot] = EMPTY;
            } else {
                this.log[kept++] = slot;
            }
        }
        this.logged = kept;
    }
}
