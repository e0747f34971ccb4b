import assert from 'node:assert/strict';
import { BlockPlace, blockKeyOf, placeOf } from '../../../src/translator/codegen/lookup-emitter';
import { BlockTable } from '../../../src/translator/engine/block-table';

const MODE = 0x1246;

describe('block table', () => {
    let words: Uint32Array;
    let table: BlockTable;

    beforeEach(() => {
        const buffer = new ArrayBuffer(BlockPlace.tableSize);
        words = new Uint32Array(buffer);
        table = new BlockTable(buffer, 0);
    });

    /** The records entered for a block: translated code takes the first that it meets. */
    function find(physical: number, mode: number): number[] {
        const page = Math.floor(physical / 0x1000);
        const key = blockKeyOf(mode, physical & 0xfff);
        const first = placeOf(page, key);
        return [first, first ^ BlockPlace.size]
            .map(place => place >> 2)
            .filter(at => words[at] === page && words[at + 1] === key)
            .map(at => words[at + 2]);
    }

    /** Physical addresses whose blocks have the same two places as the one at 0x100000. */
    function rivals(count: number): number[] {
        const pair = (physical: number): number =>
            Math.floor(placeOf(physical / 0x1000, blockKeyOf(MODE, 0)) / (2 * BlockPlace.size));
        const wanted = pair(0x100000);
        const found: number[] = [];
        for (let physical = 0x101000; found.length < count; physical += 0x1000) {
            if (pair(physical) === wanted) found.push(physical);
        }
        return found;
    }

    it('tells blocks by address and mode', () => {
        table.enter(0x123456, MODE, 64);
        table.enter(0x123456, MODE + 1, 128);
        table.enter(0x10_0012_3456, MODE, 192);
        assert.deepEqual(
            [find(0x123456, MODE), find(0x123456, MODE + 1), find(0x10_0012_3456, MODE), find(0x123457, MODE)],
            [[64], [128], [192], []],
        );
    });

    it('keeps two blocks that share their places, and replaces one for a third', () => {
        const [second, third] = rivals(2);
        table.enter(0x100000, MODE, 64);
        table.enter(second, MODE, 128);
        assert.deepEqual([find(0x100000, MODE), find(second, MODE)], [[64], [128]]);
        table.enter(third, MODE, 192);
        assert.deepEqual(find(third, MODE), [192]);
    });

    it('never holds two records of one block', () => {
        const [second] = rivals(1);
        table.enter(0x100000, MODE, 64);
        table.enter(second, MODE, 128);
        for (const record of [192, 256, 320]) {
            table.enter(second, MODE, record);
            table.enter(0x100000, MODE, record + 1);
            assert.deepEqual([find(second, MODE), find(0x100000, MODE)], [[record], [record + 1]]);
        }
    });

    it('forgets all when records are used anew', () => {
        table.enter(0x100000, MODE, 64);
        table.clear();
        assert.deepEqual(find(0x100000, MODE), []);
    });
});
