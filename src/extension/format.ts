/** Numbers as the views write them. */

const UNITS = ['', 'K', 'M', 'G', 'T', 'P'];

/** `712K`, `4K`, `1.5G`: binary units, one decimal where it is not whole. */
export function formatSize(bytes: bigint): string {
    let unit = 0;
    let whole = bytes;
    let rest = 0n;
    while (whole >= 1024n && unit < UNITS.length - 1) {
        rest = ((whole % 1024n) * 10n) / 1024n;
        whole /= 1024n;
        unit++;
    }
    return `${whole}${rest === 0n ? '' : `.${rest}`}${UNITS[unit]}${unit === 0 ? 'B' : ''}`;
}

/** `00:02.31`: minutes, seconds, hundredths. */
export function formatTime(nanoseconds: number): string {
    const hundredths = Math.floor(nanoseconds / 1e7);
    const two = (value: number): string => String(value).padStart(2, '0');
    return `${two(Math.floor(hundredths / 6000))}:${two(Math.floor(hundredths / 100) % 60)}.${two(hundredths % 100)}`;
}

/** `1,204,331` */
export function formatCount(count: number): string {
    return count.toString().replace(/\B(?=(\d{3})+$)/g, ',');
}

/** Two hexadecimal digits, `0x` in front. */
export function hexByte(value: number): string {
    return `0x${value.toString(16).padStart(2, '0')}`;
}
