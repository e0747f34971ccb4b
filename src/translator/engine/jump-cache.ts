/**
 * The jump cache of one vCPU (see `JumpCache` in state.ts): linear RIP → first record of a block. Translated code only
 * reads it. Filled entries are logged, so that a flush costs what was filled.
 */
import { CpuArea, JumpCache } from '../../machine/state';
import { PageReach } from './page-reach';
import { pageNumber } from './breakpoints';

const WORDS = JumpCache.entrySize >> 2;
const EMPTY = 0xffffffff;

/** Slots that were filled since the last flush; a slot may be in the log of each kind. */
class SlotLog {
    private readonly slots = new Uint16Array(JumpCache.entries);
    private readonly isIn = new Uint8Array(JumpCache.entries);
    private length = 0;
    /** What the slots may hold something of. */
    readonly reach = new PageReach();

    add(slot: number): void {
        if (this.isIn[slot] === 0) {
            this.isIn[slot] = 1;
            this.slots[this.length++] = slot;
        }
    }

    /** Takes out the slots for which `drop` says so. */
    remove(drop: (slot: number) => boolean): void {
        let kept = 0;
        for (let i = 0; i < this.length; i++) {
            const slot = this.slots[i];
            if (drop(slot)) {
                this.isIn[slot] = 0;
            } else {
                this.slots[kept++] = slot;
            }
        }
        this.length = kept;
    }
}

export class JumpCacheTable {
    private readonly words: Uint32Array;
    private readonly isGlobal = new Uint8Array(JumpCache.entries);
    /** Kept apart, since MOV CR3 comes often and the kernel's code is most of what is here. */
    private readonly global = new SlotLog();
    private readonly local = new SlotLog();

    constructor(buffer: ArrayBufferLike, base: number) {
        this.words = new Uint32Array(buffer, base + CpuArea.jumpCache, JumpCache.entries * WORDS);
        this.words.fill(EMPTY);
    }

    /** Enters a block. `global`: its page's translation survives MOV CR3; `large`: it came from a 2 MiB page or larger. */
    enter(lo: number, hi: number, mode: number, record: number, global: boolean, large: boolean): void {
        const slot = (lo ^ (lo >>> 12)) & (JumpCache.entries - 1);
        const at = slot * WORDS;
        this.words[at] = lo;
        this.words[at + 1] = hi;
        this.words[at + 2] = record;
        this.words[at + 3] = mode;
        this.isGlobal[slot] = global ? 1 : 0;
        const log = global ? this.global : this.local;
        log.add(slot);
        log.reach.add(lo, hi, large);
    }

    /** Drops the entries of linear pages, given by number (see `pageNumber`). */
    dropPages(pages: ReadonlySet<number>): void {
        for (const log of [this.local, this.global]) {
            log.remove(slot => {
                const at = slot * WORDS;
                const concerned = pages.has(pageNumber(this.words[at], this.words[at + 1]));
                if (concerned) {
                    this.clear(slot);
                }
                return concerned;
            });
        }
    }

    flush(keepGlobal: boolean): void {
        this.flushLog(this.local, 0);
        if (!keepGlobal) {
            this.flushLog(this.global, 1);
        }
    }

    /** Drops the blocks whose translation INVLPG of this linear address makes void: those of its page, small or large. */
    flushPage(lo: number, hi: number): void {
        for (const log of [this.local, this.global]) {
            if (log.reach.mayHold(lo, hi)) {
                log.remove(slot => {
                    const at = slot * WORDS;
                    const concerned = log.reach.covers(lo, hi, this.words[at], this.words[at + 1]);
                    if (concerned) {
                        this.clear(slot);
                    }
                    return concerned;
                });
            }
        }
    }

    private flushLog(log: SlotLog, global: number): void {
        log.reach.clear();
        log.remove(slot => {
            if (this.isGlobal[slot] === global) {
                this.clear(slot);
            }
            return true;
        });
    }

    private clear(slot: number): void {
        this.words[slot * WORDS] = EMPTY;
        this.words[slot * WORDS + 1] = EMPTY;
    }
}
