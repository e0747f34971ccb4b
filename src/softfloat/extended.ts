/**
 * x87 instructions that work on the parts of a register: FXAM, FXTRACT and FSCALE, and the exact widening of memory
 * operands (Intel SDM Vol. 1, 8.3.5; Vol. 2, the instructions' own pages).
 */

import { DE, type FloatEnvironment, ZE } from './environment';
import { type Extended, Kind, float80, indefinite } from './format';
import { bitLength, shiftBy } from './integerMath';
import { invalidOperation, propagateNaN, propagateNaN2 } from './nan';
import { roundAndPack } from './round';

/** 1.0 */
export const EXTENDED_ONE: Extended = float80.pack(0, 0, 1n << 63n);

/** FXAM's classes, as C3, C2, C0 in bits 2, 1, 0. An empty register (101b) is the caller's to know. */
export const ExamineClass = {
    unsupported: 0b000,
    nan: 0b001,
    normal: 0b010,
    infinity: 0b011,
    zero: 0b100,
    denormal: 0b110,
} as const;
export type ExamineClass = (typeof ExamineClass)[keyof typeof ExamineClass];

/** FXAM. C1 is the sign bit and not part of the class. */
export function examine(value: Extended): ExamineClass {
    const { kind, denormal } = float80.unpack(value);
    switch (kind) {
        case Kind.unsupported:
            return ExamineClass.unsupported;
        case Kind.quietNaN:
        case Kind.signallingNaN:
            return ExamineClass.nan;
        case Kind.infinity:
            return ExamineClass.infinity;
        case Kind.zero:
            return ExamineClass.zero;
        default:
            return denormal ? ExamineClass.denormal : ExamineClass.normal;
    }
}

/** FXTRACT: the exponent goes to the old ST(0), the significand is then pushed. */
export interface ExtractedParts {
    readonly exponent: Extended;
    readonly significand: Extended;
}

/** FXTRACT. Zero raises ZE and has the exponent -∞. */
export function extract(value: Extended, environment: FloatEnvironment): ExtractedParts {
    const operand = float80.unpack(value);
    if (operand.kind >= Kind.quietNaN) {
        const nan = propagateNaN(float80, environment, operand);
        return { exponent: nan, significand: nan };
    }
    if (operand.kind === Kind.infinity) {
        return { exponent: float80.infinity(0), significand: value };
    }
    if (operand.kind === Kind.zero) {
        environment.raiseBefore(ZE);
        return { exponent: float80.infinity(1), significand: value };
    }
    if (operand.denormal) {
        environment.raiseBefore(DE);
    }
    const length = bitLength(operand.significand);
    return {
        exponent: fromSmallInteger(operand.exponent + length - 1),
        significand: float80.pack(operand.sign, 0, operand.significand << BigInt(64 - length)),
    };
}

/** Beyond this, adding a scale to any exponent overflows or underflows all the same. */
const SCALE_LIMIT = 0x10000;

/** FSCALE: `value × 2^trunc(scale)`, rounded to 64 bits whatever the precision control says. */
export function scale(value: Extended, by: Extended, environment: FloatEnvironment): Extended {
    const a = float80.unpack(value);
    const b = float80.unpack(by);
    if (a.kind >= Kind.quietNaN || b.kind >= Kind.quietNaN) {
        return propagateNaN2(float80, environment, a, b);
    }
    if (b.kind === Kind.infinity && a.kind === (b.sign ? Kind.infinity : Kind.zero)) {
        return invalidOperation(float80, environment);
    }
    if ((a.denormal || b.denormal) && environment.raiseBefore(DE)) {
        return indefinite(float80);
    }
    if (b.kind === Kind.infinity) {
        return b.sign ? float80.zero(a.sign) : float80.infinity(a.sign);
    }
    if (a.kind !== Kind.finite) {
        return value;
    }
    let distance = 0;
    if (b.kind === Kind.finite) {
        const leading = b.exponent + bitLength(b.significand);
        if (leading > 17) {
            distance = SCALE_LIMIT;
        } else if (leading > 0) {
            distance = Math.min(SCALE_LIMIT, Number(shiftBy(b.significand, b.exponent)));
        }
    }
    return roundAndPack(float80, environment, a.sign, a.exponent + (b.sign ? -distance : distance), a.significand);
}

/** Encodes an integer of fewer than 32 bits. */
function fromSmallInteger(value: number): Extended {
    if (value === 0) {
        return float80.zero(0);
    }
    const magnitude = BigInt(Math.abs(value));
    const length = bitLength(magnitude);
    return float80.pack(value < 0 ? 1 : 0, length - 1, magnitude << BigInt(64 - length));
}
