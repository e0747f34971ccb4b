/**
 * Loads, register moves and constants (Intel SDM Vol. 1, 5.2.1, 5.2.5, 8.3.3, 8.3.4; Vol. 2: FLD, FILD, FBLD, FXCH,
 * FCMOVcc, FLD1…FLDZ). Stores are in store.ts.
 *
 * Loads of numbers that are neither denormal nor special widen in 32-bit arithmetic: softfloat and its bigints see the
 * others only.
 */

import {
    type ConstantName,
    type Extended,
    type FloatEnvironment,
    convert,
    convertFromInteger,
    float32,
    float64,
    float80,
    loadConstant,
    loadDecimal,
} from '../../../softfloat';
import { type LiftContext } from '../context';
import { Condition } from '../flags';
import { type Semantic, type SemanticTable } from '../semantics';
import { isStackOperand, stackOperand, waiting } from './frame';
import { type X87Family, type X87Helper, routine, wide } from './helper';
import { EXPONENT_BIAS, Limbs, setDouble, setSingle } from './limbs';
import { halves, loadThen } from './memory-source';
import { type X87Registers } from './registers';

// --- pushing -----------------------------------------------------------------------------------------------------------

/** Whether a push finds a free register; if not, the masked response is already done. */
function hasRoom(fpu: X87Registers): boolean {
    if (fpu.isEmpty(-1)) {
        return true;
    }
    if (fpu.overflow()) {
        fpu.push();
        fpu.writeIndefinite(0);
    }
    return false;
}

function pushParts(fpu: X87Registers, signExponent: number, high: number, low: number): void {
    if (hasRoom(fpu)) {
        fpu.push();
        fpu.writeParts(0, signExponent, high, low);
        fpu.clearC1();
    }
}

/** Pushes what `compute` makes; C1 is clear even if it was rounded up. */
function pushComputed(fpu: X87Registers, compute: (environment: FloatEnvironment) => Extended): void {
    if (!hasRoom(fpu)) {
        return;
    }
    const environment = fpu.begin();
    const value = compute(environment);
    if (!environment.suppressed) {
        fpu.push();
        fpu.write(0, value);
    }
    fpu.finish(0);
}

const loaded = new Limbs();

function pushLimbs(fpu: X87Registers): void {
    pushParts(fpu, (loaded.sign << 15) | loaded.exponent, loaded.high, loaded.low);
}

const LOAD_SINGLE = routine('LoadSingle', 1, (fpu, bits) => {
    if (setSingle(loaded, bits)) {
        pushLimbs(fpu);
    } else if ((bits & 0x7fffffff) === 0) {
        pushParts(fpu, (bits >>> 16) & 0x8000, 0, 0);
    } else {
        pushComputed(fpu, environment => convert(float32, float80, bits >>> 0, environment));
    }
});

const LOAD_DOUBLE = routine('LoadDouble', 2, (fpu, low, high) => {
    if (setDouble(loaded, low, high)) {
        pushLimbs(fpu);
    } else if (((high & 0x7fffffff) | low) === 0) {
        pushParts(fpu, (high >>> 16) & 0x8000, 0, 0);
    } else {
        pushComputed(fpu, environment => convert(float64, float80, wide(low, high), environment));
    }
});

const LOAD_EXTENDED = routine('LoadExtended', 3, (fpu, low, high, signExponent) => {
    pushParts(fpu, signExponent, high, low);
});

/** Pushes a signed 32-bit integer. */
function pushInteger(fpu: X87Registers, value: number): void {
    const magnitude = Math.abs(value);
    const leadingZeros = Math.clz32(magnitude);
    if (magnitude === 0) {
        pushParts(fpu, 0, 0, 0);
    } else {
        pushParts(fpu, (value < 0 ? 0x8000 : 0) | (EXPONENT_BIAS + 31 - leadingZeros), magnitude << leadingZeros, 0);
    }
}

const LOAD_INTEGER = routine('LoadInteger', 1, pushInteger);

const LOAD_LONG_INTEGER = routine('LoadLongInteger', 2, (fpu, low, high) => {
    if (high === low >> 31) {
        pushInteger(fpu, low);
    } else {
        pushComputed(fpu, environment => convertFromInteger(float80, BigInt.asIntN(64, wide(low, high)), environment));
    }
});

const LOAD_DECIMAL = routine('LoadDecimal', 3, (fpu, low, high, top) => {
    pushComputed(fpu, environment => loadDecimal(wide(low, high) | (BigInt(top) << 64n), environment));
});

/** FLD ST(i): the source is named before TOP moves. */
const LOAD_REGISTER = routine('LoadRegister', 1, (fpu, i) => {
    if (fpu.isEmpty(i)) {
        // Of both stack faults, underflow is the one reported.
        if (fpu.underflow()) {
            fpu.push();
            fpu.writeIndefinite(0);
        }
        return;
    }
    if (hasRoom(fpu)) {
        const signExponent = fpu.signExponent(i);
        const high = fpu.high(i);
        const low = fpu.low(i);
        fpu.push();
        fpu.writeParts(0, signExponent, high, low);
        fpu.clearC1();
    }
});

function loadTenBytes(c: LiftContext, helper: X87Helper): void {
    loadThen(c, 10, helper, load => [...halves(c, load(64, 0)), load(16, 8)]);
}

const loadRegister = waiting(c => c.call(LOAD_REGISTER, [c.stackRegister(0)]));

function loadFloat(c: LiftContext): void {
    if (isStackOperand(c, 0)) {
        return loadRegister(c);
    }
    switch (c.widthOf(0) as number) {
        case 32:
            return loadThen(c, 4, LOAD_SINGLE, load => [load(32, 0)]);
        case 64:
            return loadThen(c, 8, LOAD_DOUBLE, load => halves(c, load(64, 0)));
        default:
            return loadTenBytes(c, LOAD_EXTENDED);
    }
}

function loadInteger(c: LiftContext): void {
    switch (c.widthOf(0)) {
        case 16:
            return loadThen(c, 2, LOAD_INTEGER, load => [c.signed(16, load(16, 0))]);
        case 32:
            return loadThen(c, 4, LOAD_INTEGER, load => [load(32, 0)]);
        default:
            return loadThen(c, 8, LOAD_LONG_INTEGER, load => halves(c, load(64, 0)));
    }
}

// --- constants -----------------------------------------------------------------------------------------------------------

/** Constants in the order of their mnemonics' encodings, D9 E8–EE. */
const CONSTANTS: readonly (readonly [mnemonic: string, name: ConstantName])[] = [
    ['FLD1', 'one'],
    ['FLDL2T', 'log2of10'],
    ['FLDL2E', 'log2e'],
    ['FLDPI', 'pi'],
    ['FLDLG2', 'log10of2'],
    ['FLDLN2', 'ln2'],
    ['FLDZ', 'zero'],
];

const LOAD_CONSTANT = routine('LoadConstant', 1, (fpu, number) =>
    pushComputed(fpu, environment => loadConstant(CONSTANTS[number][1], environment)),
);

const CONSTANT_SEMANTICS: SemanticTable = Object.fromEntries(
    CONSTANTS.map(([mnemonic], number) => [mnemonic, waiting(c => c.call(LOAD_CONSTANT, [c.ir.i32(number)]))]),
);

// --- register moves ------------------------------------------------------------------------------------------------------

const EXCHANGE = routine('Exchange', 1, (fpu, i) => {
    const emptyTop = fpu.isEmpty(0);
    const emptyOther = fpu.isEmpty(i);
    if (!emptyTop && !emptyOther) {
        fpu.exchange(i);
        fpu.clearC1();
    } else if (fpu.underflow()) {
        if (emptyTop) {
            fpu.writeIndefinite(0);
        }
        if (emptyOther) {
            fpu.writeIndefinite(i);
        }
        fpu.exchange(i);
    }
});

/** Both registers are checked whether or not the condition holds. C1 changes with a stack fault only. */
const MOVE_IF = routine('MoveIf', 2, (fpu, i, condition) => {
    if (fpu.isEmpty(0) || fpu.isEmpty(i)) {
        if (fpu.underflow()) {
            fpu.writeIndefinite(0);
        }
        return;
    }
    if (condition !== 0) {
        fpu.copy(0, i);
    }
});

function conditionalMove(code: Condition): Semantic {
    return waiting(c => c.call(MOVE_IF, [c.stackRegister(1), c.condition(code)]));
}

/** FABS and FCHS change the sign of anything, NaNs included, and raise a stack fault only. */
const SIGN = routine('Sign', 2, (fpu, keep, flip) => {
    if (!fpu.isEmpty(0)) {
        fpu.setSignExponent(0, (fpu.signExponent(0) & keep) ^ flip);
        fpu.clearC1();
    } else if (fpu.underflow()) {
        fpu.writeIndefinite(0);
    }
});

function changeSign(keep: number, flip: number): Semantic {
    return waiting(c => c.call(SIGN, [c.ir.i32(keep), c.ir.i32(flip)]));
}

export const TRANSFER: X87Family = {
    semantics: {
        FLD: loadFloat,
        FILD: loadInteger,
        FBLD: c => loadTenBytes(c, LOAD_DECIMAL),
        ...CONSTANT_SEMANTICS,
        FXCH: waiting(c => c.call(EXCHANGE, [stackOperand(c)])),
        FABS: changeSign(0x7fff, 0),
        FCHS: changeSign(0xffff, 0x8000),
        FCMOVB: conditionalMove(Condition.B),
        FCMOVE: conditionalMove(Condition.E),
        FCMOVBE: conditionalMove(Condition.BE),
        FCMOVU: conditionalMove(Condition.P),
        FCMOVNB: conditionalMove(Condition.AE),
        FCMOVNE: conditionalMove(Condition.NE),
        FCMOVNBE: conditionalMove(Condition.A),
        FCMOVNU: conditionalMove(Condition.NP),
    },
    helpers: [
        LOAD_SINGLE,
        LOAD_DOUBLE,
        LOAD_EXTENDED,
        LOAD_INTEGER,
        LOAD_LONG_INTEGER,
        LOAD_DECIMAL,
        LOAD_REGISTER,
        LOAD_CONSTANT,
        EXCHANGE,
        MOVE_IF,
        SIGN,
    ],
};
