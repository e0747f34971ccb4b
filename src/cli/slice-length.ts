/** How far `hyperscope run` lets a guest go between two looks at the terminal, the timeout and the signals. */

/** Virtual nanoseconds of a slice: most, and least. */
export const LONGEST_SLICE = 5_000_000;
export const SHORTEST_SLICE = 50_000;
/** Host milliseconds that a slice may take: guests whose every instruction leaves translated code get shorter ones. */
const SLICE_TIME = 50;

/** Virtual nanoseconds of the next slice, after one of `slice` that took so many milliseconds of the host. */
export function nextSlice(slice: number, elapsed: number): number {
    if (elapsed > SLICE_TIME) {
        return Math.max(SHORTEST_SLICE, Math.floor((slice * SLICE_TIME) / elapsed));
    }
    return elapsed < SLICE_TIME / 4 ? Math.min(LONGEST_SLICE, slice * 2) : slice;
}
