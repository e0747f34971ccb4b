/**
 * The jump cache of one vCPU (see `JumpCache` in state.ts): linear RIP → first record of a block. Filled entries are
 * logged (`JumpRecord`), so that a flush costs what was filled. Translated code looks entries up, and enters those of
 * blocks that it finds in the block table (`codegen/lookup-emitter.ts`).
 */
import { CpuArea, JumpCache, JumpRecord } from '../../machine/state';
import { pageNumber } from './breakpoints';
import { PageReach } from './page-reach';

const WORDS = JumpCache.entrySize >> 2;
const EMPTY = 0xffffffff;
const REACH = 1 << JumpRecord.reachBits;

/** Slots that were filled since the last flush; a slot may be in the log of each kind. */
class SlotLog {
    /** What the slots may hold something of. */
    readonly reach: PageReach;
    private readonly length: Uint32Array;
    private readonly slots: Uint16Array;
    private readonly inLog: Uint8Array;
    private readonly bit: number;

    constructor(buffer: ArrayBufferLike, record: number, kind: number) {
        this.length = new Uint32Array(buffer, record + JumpRecord.logged + 4 * kind, 1);
        this.slots = new Uint16Array(buffer, record + JumpRecord.log + kind * JumpRecord.logSize, JumpCache.entries);
        this.inLog = new Uint8Array(buffer, record + JumpRecord.inLog, JumpCache.entries);
        this.bit = 1 << kind;
        this.reach = new PageReach(
            new Uint8Array(buffer, record + JumpRecord.pages + kind * REACH, REACH),
            new Uint8Array(buffer, record + JumpRecord.regions + kind * REACH, REACH),
        );
    }

    add(slot: number): void {
        if ((this.inLog[slot] & this.bit) === 0) {
            this.inLog[slot] |= this.bit;
            this.slots[this.length[0]++] = slot;
        }
    }

    /** Takes out the slots for which `drop` says so. */
    remove(drop: (slot: number) => boolean): void {
        const [length] = this.length;
        let kept = 0;
        for (let i = 0; i < length; i++) {
            const slot = this.slots[i];
            if (drop(slot)) {
                this.inLog[slot] &= ~this.bit;
            } else {
                this.slots[kept++] = slot;
            }
        }
        this.length[0] = kept;
    }
}

export class JumpCacheTable {
    private readonly words: Uint32Array;
    private readonly kind: Uint8Array;
    private readonly local: SlotLog;
    private readonly global: SlotLog;

    constructor(buffer: ArrayBufferLike, base: number) {
        const record = base + CpuArea.jumpRecord;
        this.words = new Uint32Array(buffer, base + CpuArea.jumpCache, JumpCache.entries * WORDS);
        this.words.fill(EMPTY);
        this.kind = new Uint8Array(buffer, record + JumpRecord.kind, JumpCache.entries);
        this.local = new SlotLog(buffer, record, 0);
        this.global = new SlotLog(buffer, record, 1);
    }

    /** Enters a block. `global`: its page's translation survives MOV CR3; `large`: it came from a 2 MiB page or larger. */
    enter(lo: number, hi: number, mode: number, record: number, global: boolean, large: boolean): void {
        const slot = (lo ^ (lo >>> 12)) & (JumpCache.entries - 1);
        const at = slot * WORDS;
        this.words[at] = lo;
        this.words[at + 1] = hi;
        this.words[at + 2] = record;
        this.words[at + 3] = mode;
        this.kind[slot] = global ? 1 : 0;
        const log = global ? this.global : this.local;
        log.add(slot);
        log.reach.add(lo, hi, large);
    }

    /** The record that a linear address leads to in a mode; 0 if it is not here. */
    find(lo: number, hi: number, mode: number): number {
        const at = ((lo ^ (lo >>> 12)) & (JumpCache.entries - 1)) * WORDS;
        const { words } = this;
        return words[at] === lo && words[at + 1] === hi && words[at + 3] === mode ? words[at + 2] : 0;
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

    private flushLog(log: SlotLog, kind: number): void {
        log.reach.clear();
        log.remove(slot => {
            if (this.kind[slot] === kind) {
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
