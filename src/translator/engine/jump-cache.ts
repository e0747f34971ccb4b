/**
 * The jump cache of one vCPU (see `JumpCache` in state.ts): linear RIP → first record of a block. Translated code only
 * reads it. Filled entries are logged, so that a flush costs what was filled.
 */
import { CpuArea, JumpCache } from '../../machine/state';

const WORDS = JumpCache.entrySize >> 2;

export class JumpCacheTable {
    private readonly words: Uint32Array;
    private readonly isGlobal = new Uint8Array(JumpCache.entries);
    private readonly isLogged = new Uint8Array(JumpCache.entries);
    private readonly log = new Uint16Array(JumpCache.entries);
    private logged = 0;

    constructor(buffer: ArrayBufferLike, base: number) {
        this.words = new Uint32Array(buffer, base + CpuArea.jumpCache, JumpCache.entries * WORDS);
        this.words.fill(0xffffffff);
    }

    /** Enters a block. `global`: its page's translation survives MOV CR3. */
    enter(lo: number, hi: number, mode: number, record: number, global: boolean): void {
        const slot = (lo ^ (lo >>> 12)) & (JumpCache.entries - 1);
        const at = slot * WORDS;
        this.words[at] = lo;
        this.words[at + 1] = hi;
        this.words[at + 2] = record;
        this.words[at + 3] = mode;
        this.isGlobal[slot] = global ? 1 : 0;
        if (this.isLogged[slot] === 0) {
            this.isLogged[slot] = 1;
            this.log[this.logged++] = slot;
        }
    }

    flush(keepGlobal: boolean): void {
        let kept = 0;
        for (let i = 0; i < this.logged; i++) {
            const slot = this.log[i];
            if (keepGlobal && this.isGlobal[slot] !== 0) {
                this.log[kept++] = slot;
            } else {
                this.words[slot * WORDS] = 0xffffffff;
                this.words[slot * WORDS + 1] = 0xffffffff;
                this.isLogged[slot] = 0;
            }
        }
        this.logged = kept;
    }
}
