const NS_PER_SECOND = 1_000_000_000;

function greatestCommonDivisor(a: number, b: number): number {
    return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/**
 * Exact conversion between virtual time (ns) and the ticks of an oscillator that has been running since power-on.
 * A tick count computed from absolute time cannot drift; integers below 2^53 all the way, hence no BigInt.
 */
export class Frequency {
    private readonly numerator: number;
    private readonly denominator: number;

    /** @param hz whole Hertz; refused where the exact product would leave the safe integers. */
    constructor(readonly hz: number) {
        const divisor = greatestCommonDivisor(hz, NS_PER_SECOND);
        this.numerator = hz / divisor;
        this.denominator = NS_PER_SECOND / divisor;
        if (!Number.isInteger(hz) || hz <= 0 || !Number.isSafeInteger(this.numerator * this.denominator)) {
            throw new RangeError(`a clock of ${hz} Hz cannot be counted exactly`);
        }
    }

    /** Number of ticks (rising edges) up to and including virtual time `ns`. */
    ticksAt(ns: number): number {
        const rest = ns % this.denominator;
        const product = rest * this.numerator;
        return (
            ((ns - rest) / this.denominator) * this.numerator +
            (product - (product % this.denominator)) / this.denominator
        );
    }

    /** The earliest virtual time (ns) at which {@link ticksAt} gives `tick`. */
    timeOf(tick: number): number {
        const rest = tick % this.numerator;
        const product = rest * this.denominator;
        const remainder = product % this.numerator;
        return (
            ((tick - rest) / this.numerator) * this.denominator +
            (product - remainder) / this.numerator +
            (remainder === 0 ? 0 : 1)
        );
    }
}
