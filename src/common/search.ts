/** How many of `count` ordered things come first, by a property that holds for those and for none after them. */
export function partitionPoint(count: number, isFirst: (index: number) => boolean): number {
    let low = 0;
    let high = count;
    while (low < high) {
        const middle = (low + high) >>> 1;
        if (isFirst(middle)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}
