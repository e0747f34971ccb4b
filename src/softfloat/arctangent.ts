/** FPATAN (Intel SDM Vol. 2, Table "FPATAN Results"). */

import { DE, type FloatEnvironment } from './environment';
import { type Extended, Kind, type Operand, float80, indefinite } from './format';
import { FIXED_PI, FRACTION_BITS, type Magnitude, arctangent } from './fixedPoint';
import { bitLength, shiftBy } from './integerMath';
import { propagateNaN2 } from './nan';
import { roundIrrational } from './transcendental';

/** The angle of the point (x, y) in (-π, π] (y in ST(1), x in ST(0)). */
export function arctangent2(y: Extended, x: Extended, environment: FloatEnvironment): Extended {
    const a = float80.unpack(x);
    const b = float80.unpack(y);
    if (a.kind >= Kind.quietNaN || b.kind >= Kind.quietNaN) {
        return propagateNaN2(float80, environment, a, b);
    }
    if ((a.denormal || b.denormal) && environment.raiseBefore(DE)) {
        return indefinite(float80);
    }
    if (b.kind === Kind.infinity) {
        // ±π/2, or a diagonal between infinite coordinates.
        return roundIrrational(environment, b.sign, eighths(a.kind !== Kind.infinity ? 4n : a.sign ? 6n : 2n));
    }
    if (b.kind === Kind.zero || a.kind === Kind.infinity) {
        return a.sign ? roundIrrational(environment, b.sign, eighths(8n)) : float80.zero(b.sign);
    }
    if (a.kind === Kind.zero) {
        return roundIrrational(environment, b.sign, eighths(4n));
    }
    return finiteAngle(b, a, environment);
}

function finiteAngle(y: Operand, x: Operand, environment: FloatEnvironment): Extended {
    const steep = exceeds(y, x);
    const ratio = divide(steep ? x : y, steep ? y : x);
    const angle = arctangent(ratio);
    if (!steep && !x.sign) {
        return roundIrrational(environment, y.sign, angle);
    }
    const fixed = shiftBy(angle.significand, angle.exponent + FRACTION_BITS);
    const base = steep ? FIXED_PI >> 1n : FIXED_PI;
    const significand = steep && x.sign ? base + fixed : base - fixed;
    return roundIrrational(environment, y.sign, { exponent: -FRACTION_BITS, significand });
}

/** A multiple of π/8. */
function eighths(count: bigint): Magnitude {
    return { exponent: -FRACTION_BITS - 3, significand: FIXED_PI * count };
}

/** |a| > |b|, both finite and not zero. */
function exceeds(a: Operand, b: Operand): boolean {
    const distance = a.exponent - b.exponent;
    const leading = distance + bitLength(a.significand) - bitLength(b.significand);
    if (leading !== 0) {
        return leading > 0;
    }
    return distance > 0
        ? a.significand << BigInt(distance) > b.significand
        : a.significand > b.significand << BigInt(-distance);
}

/** |a / b| to at least FRACTION_BITS significant bits. */
function divide(a: Operand, b: Operand): Magnitude {
    const shift = FRACTION_BITS + 64;
    const significand = (a.significand << BigInt(shift)) / b.significand;
    return { exponent: a.exponent - b.exponent - shift, significand };
}
