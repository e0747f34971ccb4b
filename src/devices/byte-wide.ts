/** An unsigned value of all ones in `size` bytes: what a bus reads where nothing answers. */
export function allOnes(size: number): number {
    return size === 4 ? 0xffffffff : size === 2 ? 0xffff : 0xff;
}
