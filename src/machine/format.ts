/** `0x1f` for numbers and bigints, as every message of the machine prints addresses. */
export function hex(value: number | bigint): string {
    return `0x${value.toString(16)}`;
}

/** `64 KiB`, `3.5 GiB`: a size in the largest unit that keeps it short. */
export function byteSize(bytes: number): string {
    for (const [unit, name] of [
        [2 ** 30, 'GiB'],
        [2 ** 20, 'MiB'],
        [2 ** 10, 'KiB'],
    ] as const) {
        if (bytes >= unit && (bytes * 8) % unit === 0) {
            return `${bytes / unit} ${name}`;
        }
    }
    return `${bytes} bytes`;
}
