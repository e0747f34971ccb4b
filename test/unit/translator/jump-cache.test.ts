import assert from 'node:assert/strict';
import { CpuArea, JumpCache } from '../../../src/machine/state';
import { JumpCacheTable } from '../../../src/translator/engine/jump-cache';

const KERNEL = 0xffffffff;
const MODE = 0x1246;

describe('jump cache', () => {
    let words: Uint32Array;
    let cache: JumpCacheTable;

    beforeEach(() => {
        const buffer = new ArrayBuffer(CpuArea.size);
        words = new Uint32Array(buffer, CpuArea.jumpCache);
        cache = new JumpCacheTable(buffer, 0);
    });

    /** Record of the entry for a linear RIP, or undefined: what translated code would find. */
    function find(lo: number, hi: number): number | undefined {
        const at = ((lo ^ (lo >>> 12)) & (JumpCache.entries - 1)) * (JumpCache.entrySize >> 2);
        return words[at] === lo && words[at + 1] === hi ? words[at + 2] : undefined;
    }

    it('keeps global blocks when CR3 changes, and nothing when everything is flushed', () => {
        cache.enter(0x401000, 0, MODE, 64, false, false);
        cache.enter(0x81000010, KERNEL, MODE, 128, true, true);
        cache.flush(true);
        assert.equal(find(0x401000, 0), undefined);
        assert.equal(find(0x81000010, KERNEL), 128);
        cache.flush(false);
        assert.equal(find(0x81000010, KERNEL), undefined);
    });

    it('forgets the blocks of an invalidated page and no others', () => {
        cache.enter(0x401000, 0, MODE, 64, false, false);
        cache.enter(0x401ffc, 0, MODE, 128, false, false);
        cache.enter(0x402000, 0, MODE, 192, false, false);
        cache.flushPage(0x401800, 0);
        assert.deepEqual([find(0x401000, 0), find(0x401ffc, 0), find(0x402000, 0)], [undefined, undefined, 192]);
    });

    it('forgets all of a large page when any address in it is invalidated', () => {
        cache.enter(0x81000010, KERNEL, MODE, 64, true, true);
        cache.enter(0x400010, 0, MODE, 128, false, false);
        cache.flushPage(0x811ff000, KERNEL);
        assert.deepEqual([find(0x81000010, KERNEL), find(0x400010, 0)], [undefined, 128]);
    });

    it('flushes an entry that took the slot of one of the other kind', () => {
        cache.enter(0x401000, 0, MODE, 64, false, false);
        cache.enter(0x401000, 1, MODE, 128, true, false);
        cache.flush(true);
        assert.equal(find(0x401000, 1), 128);
        cache.enter(0x401000, 2, MODE, 192, false, false);
        cache.flush(true);
        assert.equal(find(0x401000, 2), undefined);
    });
});
