/**
 * The floating-point formats of x86 and their encodings (Intel SDM Vol. 1, 4.2.2 "Floating-Point Data Types",
 * 4.8 "Real Numbers and Floating-Point Formats", 8.2.2 "Unsupported Double Extended-Precision Encodings").
 */

import { type FloatEnvironment } from './environment';

/** Double extended precision. `signExponent` is 16 bits, `significand` 64 bits with the explicit integer bit. */
export interface Extended {
    readonly signExponent: number;
    readonly significand: bigint;
}

/** Classes of operands, ordered so that everything from `quietNaN` on takes the exceptional path. */
export const Kind = {
    zero: 0,
    finite: 1,
    infinity: 2,
    quietNaN: 3,
    signallingNaN: 4,
    /** An x87 encoding that the FPU rejects: unnormal, pseudo-NaN or pseudo-infinity. */
    unsupported: 5,
} as const;
export type Kind = (typeof Kind)[keyof typeof Kind];

/**
 * A decoded value. A finite one is exactly `(-1)^sign × significand × 2^exponent`. A NaN's significand is aligned as
 * in f80 (integer bit 63, quiet bit 62) whatever its format, so that payloads survive conversion.
 */
export interface Operand {
    readonly kind: Kind;
    readonly sign: number;
    readonly exponent: number;
    readonly significand: bigint;
    /** The encoding is a denormal (or pseudo-denormal), the condition of DE. */
    readonly denormal: boolean;
}

/** One format: how its bit patterns (`Bits`) decode and encode. */
export interface FloatFormat<Bits> {
    readonly name: 'f16' | 'f32' | 'f64' | 'f80';
    /** Significand bits including the integer bit. */
    readonly precision: number;
    /** Exponent of the largest and of the smallest normal number's leading bit. */
    readonly maxExponent: number;
    readonly minExponent: number;
    unpack(bits: Bits): Operand;
    /**
     * Encodes a finite number. `significand` has exactly `precision` bits, of which the leading one may be clear
     * only if `exponent`, that of the leading bit, is `minExponent`.
     */
    pack(sign: number, exponent: number, significand: bigint): Bits;
    zero(sign: number): Bits;
    infinity(sign: number): Bits;
    /** Encodes a NaN from its f80-aligned significand; bits that do not fit are dropped. */
    nan(sign: number, significand: bigint): Bits;
}

const INTEGER_BIT = 1n << 63n;
/** The quiet bit of an f80-aligned significand. */
export const QUIET_BIT = 1n << 62n;
/** The significand of the default NaN, "QNaN floating-point indefinite" (SDM Vol. 1, 4.8.3.7). */
export const INDEFINITE_SIGNIFICAND = INTEGER_BIT | QUIET_BIT;

const ZEROS: readonly Operand[] = [0, 1].map(sign => ({
    kind: Kind.zero,
    sign,
    exponent: 0,
    significand: 0n,
    denormal: false,
}));
const INFINITIES: readonly Operand[] = [0, 1].map(sign => ({
    kind: Kind.infinity,
    sign,
    exponent: 0,
    significand: 0n,
    denormal: false,
}));

/** The signed zero as an operand. */
export function zeroOperand(sign: number): Operand {
    return ZEROS[sign]!;
}

/** An exact finite or zero operand from an integer magnitude. */
export function integerOperand(sign: number, magnitude: bigint): Operand {
    return magnitude === 0n
        ? zeroOperand(sign)
        : { kind: Kind.finite, sign, exponent: 0, significand: magnitude, denormal: false };
}

/** Builds a format whose integer bit is implied by the exponent (IEEE 754 binary interchange formats). */
function interchangeFormat<Bits>(
    name: 'f16' | 'f32' | 'f64',
    exponentBits: number,
    precision: number,
    fromInteger: (bits: bigint) => Bits,
    toInteger: (bits: Bits) => bigint,
): FloatFormat<Bits> {
    const fractionBits = precision - 1;
    const fractionShift = BigInt(fractionBits);
    const signShift = BigInt(fractionBits + exponentBits);
    const fractionMask = (1n << fractionShift) - 1n;
    const exponentMask = (1n << BigInt(exponentBits)) - 1n;
    const hiddenBit = 1n << fractionShift;
    const nanAlignment = BigInt(64 - precision);
    const bias = (1 << (exponentBits - 1)) - 1;
    const topExponent = Number(exponentMask);
    const encode = (sign: number, exponent: bigint, fraction: bigint): Bits =>
        fromInteger((BigInt(sign) << signShift) | (exponent << fractionShift) | fraction);
    return {
        name,
        precision,
        maxExponent: bias,
        minExponent: 1 - bias,
        unpack(bits) {
            const integer = toInteger(bits);
            const sign = Number(integer >> signShift);
            const exponent = Number((integer >> fractionShift) & exponentMask);
            const fraction = integer & fractionMask;
            if (exponent === 0) {
                return fraction === 0n
                    ? ZEROS[sign]!
                    : {
                          kind: Kind.finite,
                          sign,
                          exponent: 1 - bias - fractionBits,
                          significand: fraction,
                          denormal: true,
                      };
            }
            if (exponent !== topExponent) {
                return {
                    kind: Kind.finite,
                    sign,
                    exponent: exponent - bias - fractionBits,
                    significand: fraction | hiddenBit,
                    denormal: false,
                };
            }
            if (fraction === 0n) {
                return INFINITIES[sign]!;
            }
            const significand = INTEGER_BIT | (fraction << nanAlignment);
            const kind = significand & QUIET_BIT ? Kind.quietNaN : Kind.signallingNaN;
            return { kind, sign, exponent: 0, significand, denormal: false };
        },
        pack(sign, exponent, significand) {
            const biased = significand & hiddenBit ? BigInt(exponent + bias) : 0n;
            return encode(sign, biased, significand & fractionMask);
        },
        zero: sign => encode(sign, 0n, 0n),
        infinity: sign => encode(sign, exponentMask, 0n),
        nan: (sign, significand) => encode(sign, exponentMask, (significand >> nanAlignment) & fractionMask),
    };
}

/** Half precision (VCVTPH2PS, VCVTPS2PH): a 16-bit pattern. */
export const float16: FloatFormat<number> = interchangeFormat('f16', 5, 11, Number, BigInt);

/** Single precision: a 32-bit pattern, unsigned. */
export const float32: FloatFormat<number> = interchangeFormat('f32', 8, 24, Number, bits => BigInt(bits >>> 0));

/** Double precision: a 64-bit pattern, unsigned. */
export const float64: FloatFormat<bigint> = interchangeFormat(
    'f64',
    11,
    53,
    bits => bits,
    bits => BigInt.asUintN(64, bits),
);

const EXTENDED_BIAS = 0x3fff;

/** Double extended precision. */
export const float80: FloatFormat<Extended> = {
    name: 'f80',
    precision: 64,
    maxExponent: EXTENDED_BIAS,
    minExponent: 1 - EXTENDED_BIAS,
    unpack({ signExponent, significand }) {
        const sign = (signExponent >> 15) & 1;
        const exponent = signExponent & 0x7fff;
        if (exponent === 0) {
            return significand === 0n
                ? ZEROS[sign]!
                : { kind: Kind.finite, sign, exponent: 1 - EXTENDED_BIAS - 63, significand, denormal: true };
        }
        if ((significand & INTEGER_BIT) === 0n) {
            return { kind: Kind.unsupported, sign, exponent: 0, significand, denormal: false };
        }
        if (exponent !== 0x7fff) {
            return { kind: Kind.finite, sign, exponent: exponent - EXTENDED_BIAS - 63, significand, denormal: false };
        }
        if (significand === INTEGER_BIT) {
            return INFINITIES[sign]!;
        }
        const kind = significand & QUIET_BIT ? Kind.quietNaN : Kind.signallingNaN;
        return { kind, sign, exponent: 0, significand, denormal: false };
    },
    pack: (sign, exponent, significand) => ({
        signExponent: (sign << 15) | (significand & INTEGER_BIT ? exponent + EXTENDED_BIAS : 0),
        significand,
    }),
    zero: sign => ({ signExponent: sign << 15, significand: 0n }),
    infinity: sign => ({ signExponent: (sign << 15) | 0x7fff, significand: INTEGER_BIT }),
    nan: (sign, significand) => ({ signExponent: (sign << 15) | 0x7fff, significand }),
};

/** The default NaN of a format: negative, quiet, no payload. */
export function indefinite<Bits>(format: FloatFormat<Bits>): Bits {
    return format.nan(1, INDEFINITE_SIGNIFICAND);
}

/** Decodes an operand as an instruction sees it, that is with DAZ applied. */
export function readOperand<Bits>(format: FloatFormat<Bits>, bits: Bits, environment: FloatEnvironment): Operand {
    const operand = format.unpack(bits);
    return operand.denormal && environment.daz ? zeroOperand(operand.sign) : operand;
}
