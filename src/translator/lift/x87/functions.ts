/**
 * Functions of the top of the stack (Intel SDM Vol. 1, 5.2.2, 5.2.4, 8.3.5–8.3.10; Vol. 2: FSQRT, FRNDINT, FSCALE, FPREM,
 * FPREM1, FXTRACT, F2XM1, FSIN, FCOS, FSINCOS, FPTAN, FPATAN, FYL2X, FYL2XP1).
 */

import {
    EXTENDED_ONE,
    type Extended,
    type FloatEnvironment,
    type PartialRemainder,
    type Trigonometric,
    arctangent2,
    cosine,
    exponentialMinusOne,
    extract,
    float80,
    remainder,
    remainderNearest,
    roundToIntegral,
    scale,
    sine,
    sineCosine,
    squareRoot,
    tangent,
    yLog2X,
    yLog2XPlusOne,
} from '../../../softfloat';
import { type SemanticTable } from '../semantics';
import { waiting } from './frame';
import { type X87Operation, type X87Family, routine } from './helper';
import { Status, type X87Registers } from './registers';

/** A stack fault of the instructions that report an incomplete reduction in C2 reports none. */
function faultClearsC2(fpu: X87Registers): void {
    fpu.status &= ~Status.C2;
}

/** Whether the operands ST(0) … ST(count - 1) are there; if not, the masked response puts a NaN into ST(0). */
function hasOperands(fpu: X87Registers, count: 1 | 2): boolean {
    if (!fpu.isEmpty(0) && (count === 1 || !fpu.isEmpty(1))) {
        return true;
    }
    if (fpu.underflow()) {
        fpu.writeIndefinite(0);
    }
    return false;
}

/** ST(0) = f(ST(0)). */
function unary(compute: (x: Extended, environment: FloatEnvironment) => Extended): X87Operation {
    return fpu => {
        if (hasOperands(fpu, 1)) {
            const environment = fpu.begin();
            const result = compute(fpu.read(0), environment);
            if (!environment.suppressed) {
                fpu.write(0, result);
            }
            fpu.finish();
        }
    };
}

/** Pops, and ST(0), the former ST(1), = f(ST(1), ST(0)). */
function binaryPopping(compute: (y: Extended, x: Extended, environment: FloatEnvironment) => Extended): X87Operation {
    return fpu => {
        if (fpu.isEmpty(0) || fpu.isEmpty(1)) {
            if (fpu.underflow()) {
                fpu.writeIndefinite(1);
                fpu.pop();
            }
            return;
        }
        const environment = fpu.begin();
        const result = compute(fpu.read(1), fpu.read(0), environment);
        if (!environment.suppressed) {
            fpu.write(1, result);
            fpu.pop();
        }
        fpu.finish();
    };
}

/** FPREM, FPREM1: C2 tells that the reduction is incomplete, C0, C3 and C1 are bits 2, 1 and 0 of the quotient. */
function partialRemainder(
    compute: (dividend: Extended, divisor: Extended, environment: FloatEnvironment) => PartialRemainder,
): X87Operation {
    return fpu => {
        if (!hasOperands(fpu, 2)) {
            faultClearsC2(fpu);
            return;
        }
        const environment = fpu.begin();
        const { value, incomplete, quotient } = compute(fpu.read(0), fpu.read(1), environment);
        if (!environment.suppressed) {
            fpu.write(0, value);
        }
        if (environment.suppressed || (value.signExponent & 0x7fff) === 0x7fff) {
            // There is no quotient: C0 and C3 stay.
            fpu.finish(0, Status.C1 | Status.C2);
            return;
        }
        fpu.finish(
            (incomplete ? Status.C2 : 0) |
                (quotient & 4 ? Status.C0 : 0) |
                (quotient & 2 ? Status.C3 : 0) |
                (quotient & 1 ? Status.C1 : 0),
            Status.Conditions,
        );
    };
}

const scaleTop: X87Operation = fpu => {
    if (hasOperands(fpu, 2)) {
        const environment = fpu.begin();
        const result = scale(fpu.read(0), fpu.read(1), environment);
        if (!environment.suppressed) {
            fpu.write(0, result);
        }
        fpu.finish();
    }
};

/** Whether there is an operand, and a free register for the second result; both get NaNs if not. */
function canPush(fpu: X87Registers): boolean {
    const empty = fpu.isEmpty(0);
    if (!empty && fpu.isEmpty(-1)) {
        return true;
    }
    if (empty ? fpu.underflow() : fpu.overflow()) {
        fpu.writeIndefinite(0);
        fpu.push();
        fpu.writeIndefinite(0);
    }
    return false;
}

/** ST(0) is replaced by one result and the other is pushed. */
function replaceAndPush(fpu: X87Registers, replacement: Extended, pushed: Extended): void {
    fpu.write(0, replacement);
    fpu.push();
    fpu.write(0, pushed);
}

const extractParts: X87Operation = fpu => {
    if (canPush(fpu)) {
        const environment = fpu.begin();
        const { exponent, significand } = extract(fpu.read(0), environment);
        if (!environment.suppressed) {
            replaceAndPush(fpu, exponent, significand);
        }
        fpu.finish();
    }
};

/** FSIN, FCOS. C2 tells that the operand is out of range and left as it is. */
function circular(compute: (x: Extended, environment: FloatEnvironment) => Trigonometric): X87Operation {
    return fpu => {
        if (hasOperands(fpu, 1)) {
            const environment = fpu.begin();
            const { outOfRange, value } = compute(fpu.read(0), environment);
            if (!environment.suppressed) {
                fpu.write(0, value);
            }
            finishCircular(fpu, outOfRange);
        } else {
            faultClearsC2(fpu);
        }
    };
}

function finishCircular(fpu: X87Registers, outOfRange: boolean): void {
    const c1 = fpu.environment.roundedUp ? Status.C1 : 0;
    fpu.finish(outOfRange ? Status.C2 : c1, Status.C1 | Status.C2);
}

const sineAndCosine: X87Operation = fpu => {
    if (canPush(fpu)) {
        const environment = fpu.begin();
        const { outOfRange, sine: first, cosine: second } = sineCosine(fpu.read(0), environment);
        if (!environment.suppressed && !outOfRange) {
            replaceAndPush(fpu, first, second);
        }
        finishCircular(fpu, outOfRange);
    } else {
        faultClearsC2(fpu);
    }
};

const partialTangent: X87Operation = fpu => {
    if (canPush(fpu)) {
        const environment = fpu.begin();
        const { outOfRange, value } = tangent(fpu.read(0), environment);
        if (!environment.suppressed && !outOfRange) {
            // A NaN is pushed in place of 1.0.
            const isNaN = (value.signExponent & 0x7fff) === 0x7fff && value.significand << 1n !== 1n << 64n;
            replaceAndPush(fpu, value, isNaN ? value : EXTENDED_ONE);
        }
        finishCircular(fpu, outOfRange);
    } else {
        faultClearsC2(fpu);
    }
};

/** By mnemonic. */
const FUNCTIONS_OF_TOP: Readonly<Record<string, X87Operation>> = {
    FSQRT: unary((x, environment) => squareRoot(float80, x, environment)),
    FRNDINT: unary((x, environment) => roundToIntegral(float80, x, environment)),
    F2XM1: unary(exponentialMinusOne),
    FYL2X: binaryPopping(yLog2X),
    FYL2XP1: binaryPopping(yLog2XPlusOne),
    FPATAN: binaryPopping(arctangent2),
    FPREM: partialRemainder(remainder),
    FPREM1: partialRemainder(remainderNearest),
    FSCALE: scaleTop,
    FXTRACT: extractParts,
    FSIN: circular(sine),
    FCOS: circular(cosine),
    FSINCOS: sineAndCosine,
    FPTAN: partialTangent,
};

const HELPERS = Object.entries(FUNCTIONS_OF_TOP).map(([mnemonic, operation]) => routine(mnemonic, 0, operation));

export const FUNCTIONS: X87Family = {
    semantics: Object.fromEntries(
        Object.keys(FUNCTIONS_OF_TOP).map((mnemonic, i) => [mnemonic, waiting(c => c.call(HELPERS[i], []))]),
    ) as SemanticTable,
    helpers: HELPERS,
};
