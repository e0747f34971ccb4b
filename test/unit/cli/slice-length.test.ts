import assert from 'node:assert/strict';
import { LONGEST_SLICE, nextSlice, SHORTEST_SLICE } from '../../../src/cli/slice-length';

describe('the length of a slice of a run', () => {
    /** The slice that a guest ends up with, which takes so many host nanoseconds for each virtual one. */
    function settled(slowness: number): number {
        let slice = LONGEST_SLICE;
        for (let i = 0; i < 20; i++) slice = nextSlice(slice, (slice * slowness) / 1e6);
        return slice;
    }

    it('is the longest for guests that run fast', () => {
        assert.equal(settled(2), LONGEST_SLICE);
    });

    it('is what takes a moment for guests that run slowly', () => {
        const slice = settled(200);
        assert.ok(slice * 200 <= 50e6 && slice * 200 >= 10e6, `${slice} ns`);
    });

    it('has a lower bound, so that a stalled host does not stop the guest', () => {
        assert.equal(settled(1e6), SHORTEST_SLICE);
        assert.equal(nextSlice(LONGEST_SLICE, 1e9), SHORTEST_SLICE);
    });

    it('grows back when the guest gets faster', () => {
        let slice = SHORTEST_SLICE;
        for (let i = 0; i < 20; i++) slice = nextSlice(slice, slice / 1e6);
        assert.equal(slice, LONGEST_SLICE);
    });
});
