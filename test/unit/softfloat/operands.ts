/** Random operands that meet the corners of a format much more often than chance would. */

import type { Extended } from '../../../src/softfloat';

/** A reproducible generator (xorshift32). */
export class Random {
    constructor(private state: number) {}

    /** 32 random bits. */
    bits32(): number {
        this.state ^= this.state << 13;
        this.state ^= this.state >>> 17;
        this.state ^= this.state << 5;
        return this.state >>> 0;
    }

    bits64(): bigint {
        return (BigInt(this.bits32()) << 32n) | BigInt(this.bits32());
    }

    /** An integer from 0 up to, and without, `limit`. */
    below(limit: number): number {
        return this.bits32() % limit;
    }

    pick<T>(list: readonly T[]): T {
        return list[this.below(list.length)];
    }

    /** `width` bits of one of several textures: random, sparse, long runs, few high bits, near a boundary. */
    textured(width: number): bigint {
        const mask = (1n << BigInt(width)) - 1n;
        const shift = BigInt(this.below(width));
        switch (this.below(7)) {
            case 0:
                return (1n << shift) & mask;
            case 1:
                return (mask << shift) & mask;
            case 2:
                return mask >> shift;
            case 3:
                return ((1n << shift) | BigInt(this.below(4))) & mask;
            case 4:
                return (this.bits64() << BigInt(this.below(64))) & mask;
            default:
                return this.bits64() & mask;
        }
    }
}

/** A layout: widths of the fraction and the exponent, and whether the integer bit is stored. */
interface Layout {
    readonly fractionBits: number;
    readonly exponentBits: number;
}

/** A value's fields before encoding. */
interface Fields {
    readonly sign: number;
    readonly exponent: number;
    readonly fraction: bigint;
}

function randomExponent(random: Random, { exponentBits, fractionBits }: Layout): number {
    const top = (1 << exponentBits) - 1;
    const bias = top >> 1;
    const clamp = (value: number) => Math.max(0, Math.min(top, value));
    switch (random.below(8)) {
        case 0:
            return random.below(3);
        case 1:
            return top - random.below(3);
        case 2:
            return random.below(top + 1);
        case 3:
            return clamp(random.below(2 * fractionBits));
        case 4:
            return clamp(top - random.below(2 * fractionBits));
        case 5:
            // Products and quotients of these lie about the limits.
            return clamp(bias + (random.below(2) ? 1 : -1) * ((bias >> 1) + random.below(fractionBits) - 20));
        default:
            return clamp(bias + random.below(140) - 70);
    }
}

function randomFields(random: Random, layout: Layout): Fields {
    const sign = random.below(2);
    const exponent = randomExponent(random, layout);
    const fraction = random.below(10) === 0 ? 0n : random.textured(layout.fractionBits);
    return { sign, exponent, fraction };
}

/** Fields that collide with the given ones: same or neighbouring exponents and fractions. */
function relatedFields(random: Random, layout: Layout, to: Fields): Fields {
    const exponent = to.exponent + random.below(5) - 2;
    const top = (1 << layout.exponentBits) - 1;
    const mask = (1n << BigInt(layout.fractionBits)) - 1n;
    const near = [to.fraction, to.fraction + 1n, to.fraction - 1n, to.fraction ^ random.textured(8)];
    return {
        sign: random.below(2),
        exponent: Math.max(0, Math.min(top, exponent)),
        fraction: random.below(3) ? random.pick(near) & mask : random.textured(layout.fractionBits),
    };
}

/** A value near an integer or a half, which conversions and FRNDINT care about. */
function integerFields(random: Random, { fractionBits, exponentBits }: Layout): Fields {
    const bias = (1 << (exponentBits - 1)) - 1;
    const power = random.below(67);
    const low = Math.max(0, fractionBits - power - random.below(3));
    const fraction = (random.textured(fractionBits) >> BigInt(low)) << BigInt(low);
    const nudge = random.below(4) === 0 ? BigInt(random.below(2)) : 0n;
    return { sign: random.below(2), exponent: Math.min(2 * bias, bias + power), fraction: fraction | nudge };
}

/** Produces operand tuples of one format. */
export class OperandSource<Bits> {
    constructor(
        private readonly random: Random,
        private readonly layout: Layout,
        private readonly encode: (fields: Fields) => Bits,
    ) {}

    private fields(): Fields {
        return this.random.below(6) === 0
            ? integerFields(this.random, this.layout)
            : randomFields(this.random, this.layout);
    }

    one(): Bits {
        return this.encode(this.fields());
    }

    /** A value whose exponent lies in a range, for functions whose domain is narrow. */
    within(lowestExponent: number, highestExponent: number): Bits {
        const bias = (1 << (this.layout.exponentBits - 1)) - 1;
        const exponent = bias + lowestExponent + this.random.below(highestExponent - lowestExponent + 1);
        const fraction = this.random.textured(this.layout.fractionBits);
        return this.encode({ sign: this.random.below(2), exponent, fraction });
    }

    /** Three values, often related to each other. */
    tuple(): { a: Bits; b: Bits; c: Bits } {
        const a = this.fields();
        const b = this.random.below(3) === 0 ? relatedFields(this.random, this.layout, a) : this.fields();
        const c = this.random.below(3) === 0 ? relatedFields(this.random, this.layout, a) : this.fields();
        return {
            a: this.encode(a),
            b: this.encode(b),
            c: this.encode(c),
        };
    }
}

export function operands16(random: Random): OperandSource<number> {
    return new OperandSource(random, { fractionBits: 10, exponentBits: 5 }, ({ sign, exponent, fraction }) =>
        Number((BigInt(sign) << 15n) | (BigInt(exponent) << 10n) | fraction),
    );
}

export function operands32(random: Random): OperandSource<number> {
    return new OperandSource(random, { fractionBits: 23, exponentBits: 8 }, ({ sign, exponent, fraction }) =>
        Number((BigInt(sign) << 31n) | (BigInt(exponent) << 23n) | fraction),
    );
}

export function operands64(random: Random): OperandSource<bigint> {
    return new OperandSource(
        random,
        { fractionBits: 52, exponentBits: 11 },
        ({ sign, exponent, fraction }) => (BigInt(sign) << 63n) | (BigInt(exponent) << 52n) | fraction,
    );
}

/** Includes encodings whose integer bit contradicts the exponent: pseudo-denormals and unsupported ones. */
export function operands80(random: Random): OperandSource<Extended> {
    return new OperandSource(random, { fractionBits: 63, exponentBits: 15 }, ({ sign, exponent, fraction }) => {
        const contradicts = random.below(24) === 0;
        const integerBit = (exponent !== 0) !== contradicts ? 1n << 63n : 0n;
        return { signExponent: (sign << 15) | exponent, significand: integerBit | fraction };
    });
}
