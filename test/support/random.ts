/** xorshift32: fast, seedable, good enough to spread over opcodes. */
export class Random {
    constructor(private state: number) {}

    /** A 32-bit unsigned number. */
    next(): number {
        let x = this.state;
        x ^= x << 13;
        x ^= x >>> 17;
        x ^= x << 5;
        this.state = x;
        return x >>> 0;
    }

    /** An integer in [0, limit). */
    below(limit: number): number {
        return Math.floor((this.next() / 0x1_0000_0000) * limit);
    }

    pick<T>(values: readonly T[]): T {
        return values[this.below(values.length)];
    }

    /** True once in `n` on average. */
    oneIn(n: number): boolean {
        return this.below(n) === 0;
    }
}
