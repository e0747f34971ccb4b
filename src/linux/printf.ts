/** What the kernel's printf makes of a format and its arguments, for messages that have not been printed yet. */

export interface PrintfArguments {
    /** The next argument, 64 bits as the caller passed it. */
    next(): bigint;
    /** The string at an address. */
    string(address: bigint): string;
    /** The place that an address lies in: `%pS`. */
    symbol(address: bigint): string | undefined;
}

const CONVERSION = /%([-+ #0]*)(\*|\d+)?(?:\.(\*|\d+))?(hh|h|ll|l|L|z|t|j)?(p[A-Za-z]*|[diouxXcs%])/g;
/** Wider fields come from arguments that are none. */
const WIDEST = 256;

export function printf(format: string, args: PrintfArguments): string {
    return format.replace(
        CONVERSION,
        (whole: string, flags: string, width: string, precision: string, length: string, kind: string) => {
            if (kind === '%') return '%';
            const size = (text: string | undefined): number | undefined =>
                text === undefined ? undefined : Math.min(WIDEST, Number(text === '*' ? args.next() & 0xffffn : text));
            const columns = size(width) ?? 0;
            const digits = size(precision);
            const text = convert(kind, args, length, digits, flags.includes('#'));
            if (flags.includes('-')) return text.padEnd(columns);
            const zeros = flags.includes('0') && kind !== 's' && digits === undefined;
            const [, sign, rest] = /^(-|0x)?(.*)$/s.exec(text)!;
            return zeros ? (sign ?? '') + rest.padStart(columns - (sign ?? '').length, '0') : text.padStart(columns);
        },
    );
}

function convert(
    kind: string,
    args: PrintfArguments,
    length: string | undefined,
    digits: number | undefined,
    alternative: boolean,
): string {
    const value = args.next();
    const bits = { hh: 8, h: 16 }[length ?? ''] ?? (length === undefined ? 32 : 64);
    const unsigned = BigInt.asUintN(bits, value);
    const padded = (text: string): string => text.padStart(digits ?? 0, '0');
    switch (kind[0]) {
        case 's':
            return value === 0n ? '(null)' : args.string(value).slice(0, digits);
        case 'c':
            return String.fromCharCode(Number(value & 0xffn));
        case 'd':
        case 'i': {
            const signed = BigInt.asIntN(bits, value);
            return signed < 0n ? `-${padded((-signed).toString())}` : padded(signed.toString());
        }
        case 'u':
            return padded(unsigned.toString());
        case 'o':
            return padded(unsigned.toString(8));
        case 'p':
            return /^p[SsBF]/.test(kind)
                ? (args.symbol(value) ?? `0x${value.toString(16)}`)
                : value.toString(16).padStart(16, '0');
        default: {
            const text = padded(unsigned.toString(16));
            return (alternative ? '0x' : '') + (kind === 'X' ? text.toUpperCase() : text);
        }
    }
}
