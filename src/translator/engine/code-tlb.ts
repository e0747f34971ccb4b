/**
 * Translations of the pages a vCPU fetches from (see `FetchTlb` in state.ts): what the soft TLB is for data. Only
 * look-ups of blocks use it, but after each change of address space there are many.
 */
import { CpuArea, FetchOrigin, FetchTlb } from '../../machine/state';
import { PageReach } from './page-reach';

const WORDS = FetchTlb.entrySize >> 2;
/** Never the low half of a page address. */
const EMPTY = 1;

export class CodeTlb {
    private readonly words: Uint32Array;
    private readonly log = new Uint16Array(FetchTlb.entries);
    private logged = 0;
    private readonly reach = new PageReach();

    constructor(buffer: ArrayBufferLike, base: number) {
        this.words = new Uint32Array(buffer, base + CpuArea.fetchTlb, FetchTlb.entries * WORDS);
        for (let at = 0; at < this.words.length; at += WORDS) {
            this.words[at] = EMPTY;
        }
    }

    /** Index of the entry of a linear page for fetches at user or supervisor level, or -1. */
    find(lo: number, hi: number, user: boolean): number {
        const slot = (lo >>> 12) & (FetchTlb.entries - 1);
        const at = slot * WORDS;
        const { words } = this;
        return words[at] === (lo & ~0xfff) >>> 0 &&
            words[at + 1] === hi &&
            ((words[at + 3] & FetchOrigin.User) !== 0) === user
            ? slot
            : -1;
    }

    /** Physical address of the page in an entry. */
    pageOf(slot: number): number {
        return this.words[slot * WORDS + 2] * 0x1000;
    }

    isGlobal(slot: number): boolean {
        return (this.words[slot * WORDS + 3] & FetchOrigin.Global) !== 0;
    }

    isLarge(slot: number): boolean {
        return (this.words[slot * WORDS + 3] & FetchOrigin.Large) !== 0;
    }

    /** `physical` is any address in the page. `large`: it is a piece of a 2 MiB page or larger. */
    enter(lo: number, hi: number, user: boolean, physical: number, global: boolean, large: boolean): void {
        const slot = (lo >>> 12) & (FetchTlb.entries - 1);
        const at = slot * WORDS;
        const { words } = this;
        if (words[at] === EMPTY) {
            this.log[this.logged++] = slot;
        }
        words[at] = (lo & ~0xfff) >>> 0;
        words[at + 1] = hi;
        words[at + 2] = Math.floor(physical / 0x1000);
        words[at + 3] =
            (global ? FetchOrigin.Global : 0) | (large ? FetchOrigin.Large : 0) | (user ? FetchOrigin.User : 0);
        this.reach.add(lo, hi, large);
    }

    flush(keepGlobal: boolean): void {
        this.reach.clear();
        this.remove(at => {
            const kept = keepGlobal && (this.words[at + 3] & FetchOrigin.Global) !== 0;
            if (kept) {
                this.reach.add(this.words[at], this.words[at + 1], (this.words[at + 3] & FetchOrigin.Large) !== 0);
            }
            return !kept;
        });
    }

    /** Drops what INVLPG of this linear address makes void. */
    flushPage(lo: number, hi: number): void {
        if (this.reach.mayHold(lo, hi)) {
            this.remove(at => this.reach.covers(lo, hi, this.words[at], this.words[at + 1]));
        }
    }

    /** Drops the entries for which `drop`, given the entry's index in `words`, says so. */
    private remove(drop: (at: number) => boolean): void {
        let kept = 0;
        for (let i = 0; i < this.logged; i++) {
            const slot = this.log[i];
            if (drop(slot * WORDS)) {
                this.words[slot * WORDS] = EMPTY;
            } else {
                this.log[kept++] = slot;
            }
        }
        this.logged = kept;
    }
}
