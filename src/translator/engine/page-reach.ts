/**
 * Which linear pages a cache of translations may hold something of: what lets INVLPG of one page, which guests do often
 * and mostly for data, leave a cache of code alone. Hash sets: they may say yes too often, never no.
 */
import { JumpRecord } from '../../machine/state';

const SETS = 1 << JumpRecord.reachBits;

export class PageReach {
    /** The same memory in pieces of 8 bytes: where it is shared, V8 clears it element by element. */
    private readonly pieces: readonly Float64Array[];

    /**
     * @param pages hash set of pages, a byte each, at a multiple of 8 bytes
     * @param regions hash set of the 1 GiB regions with pieces of large pages: INVLPG of any address in such a page
     *     concerns all of it
     */
    constructor(
        private readonly pages: Uint8Array = new Uint8Array(SETS),
        private readonly regions: Uint8Array = new Uint8Array(SETS),
    ) {
        this.pieces = [pages, regions].map(set => new Float64Array(set.buffer, set.byteOffset, SETS / 8));
    }

    add(lo: number, hi: number, large: boolean): void {
        this.pages[pageSet(lo, hi)] = 1;
        if (large) {
            this.regions[regionSet(lo, hi)] = 1;
        }
    }

    clear(): void {
        for (const piece of this.pieces) piece.fill(0);
    }

    /** Whether anything may depend on the translation of this linear address. */
    mayHold(lo: number, hi: number): boolean {
        return this.pages[pageSet(lo, hi)] !== 0 || this.regions[regionSet(lo, hi)] !== 0;
    }

    /** Whether INVLPG of `lo`/`hi` concerns what was entered for `entryLo`/`entryHi`. */
    covers(lo: number, hi: number, entryLo: number, entryHi: number): boolean {
        const shift = this.regions[regionSet(lo, hi)] !== 0 ? 30 : 12;
        return hi === entryHi && (lo ^ entryLo) >>> shift === 0;
    }
}

// Translated code (codegen/lookup-emitter.ts) computes the same.

function pageSet(lo: number, hi: number): number {
    return ((lo >>> 12) ^ (hi << 4)) & (SETS - 1);
}

function regionSet(lo: number, hi: number): number {
    return ((lo >>> 30) ^ (hi << 2)) & (SETS - 1);
}
