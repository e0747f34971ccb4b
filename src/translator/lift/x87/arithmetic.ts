/**
 * The basic operations (Intel SDM Vol. 1, 5.2.2; Vol. 2: FADD, FSUB, FMUL, FDIV, their reversed forms FSUBR and FDIVR,
 * those with an integer, FIADD…, and those that pop, FADDP…).
 */

import {
    type Extended,
    type FloatEnvironment,
    type Operand,
    addOperands,
    divideOperands,
    float80,
    multiplyOperands,
    subtractOperands,
} from '../../../softfloat';
import { type Semantic, type SemanticTable } from '../semantics';
import { isStackOperand, waiting } from './frame';
import { type X87Family, type X87Helper, routine } from './helper';
import { type Rounding, addLimbs, multiplyLimbs, Limbs, newRounding, roundsToNearest, subtractLimbs } from './limbs';
import { memoryForms, withFloat, withInteger } from './memory-source';
import { type X87Registers } from './registers';

type Binary = (destination: Operand, source: Operand, environment: FloatEnvironment) => Extended;

/** The operations by the stem of their mnemonics. */
const OPERATIONS: Readonly<Record<string, Binary>> = {
    ADD: (a, b, environment) => addOperands(float80, a, b, environment),
    MUL: (a, b, environment) => multiplyOperands(float80, a, b, environment),
    SUB: (a, b, environment) => subtractOperands(float80, a, b, environment),
    SUBR: (a, b, environment) => subtractOperands(float80, b, a, environment),
    DIV: (a, b, environment) => divideOperands(float80, a, b, environment),
    DIVR: (a, b, environment) => divideOperands(float80, b, a, environment),
};

type Quick = (destination: Limbs, source: Limbs, controlWord: number, result: Limbs, rounding: Rounding) => boolean;

/** Those of them that have a quick way for ordinary operands. */
const QUICK_OPERATIONS: Readonly<Record<string, Quick | undefined>> = {
    ADD: addLimbs,
    MUL: multiplyLimbs,
    SUB: subtractLimbs,
    SUBR: (a, b, controlWord, result, rounding) => subtractLimbs(b, a, controlWord, result, rounding),
};

// Helpers neither nest nor keep anything.
const left = new Limbs();
const right = new Limbs();
const result = new Limbs();
const rounding = newRounding();

/** {@link combine} without popping for ordinary operands; false if these are not, and nothing was done. */
function combineQuickly(fpu: X87Registers, compute: Quick, destination: number, source: Limbs): boolean {
    const { control } = fpu;
    if (
        !roundsToNearest(control) ||
        !fpu.readLimbs(destination, left) ||
        !compute(left, source, control, result, rounding)
    ) {
        return false;
    }
    fpu.writeParts(destination, (result.sign << 15) | result.exponent, result.high, result.low);
    fpu.status = fpu.roundedStatus(rounding);
    return true;
}

/** ST(destination) = ST(destination) operation source, unless an unmasked exception forbids it. */
function combine(fpu: X87Registers, compute: Binary, destination: number, source: Operand, pops: boolean): void {
    const environment = fpu.begin();
    const value = compute(float80.unpack(fpu.read(destination)), source, environment);
    if (!environment.suppressed) {
        fpu.write(destination, value);
        if (pops) {
            fpu.pop();
        }
    }
    fpu.finish();
}

/** The masked response to an empty operand. */
function combineEmpty(fpu: X87Registers, destination: number, pops: boolean): void {
    if (fpu.underflow()) {
        fpu.writeIndefinite(destination);
        if (pops) {
            fpu.pop();
        }
    }
}

function family(stem: string, compute: Binary): X87Family {
    const name = stem[0] + stem.slice(1).toLowerCase();
    const quick = QUICK_OPERATIONS[stem];
    const memory = memoryForms(
        name,
        (fpu, operand) => {
            if (fpu.isEmpty(0)) {
                combineEmpty(fpu, 0, false);
            } else {
                combine(fpu, compute, 0, operand, false);
            }
        },
        (fpu, operand) => quick !== undefined && combineQuickly(fpu, quick, 0, operand),
    );
    const registers = routine(name, 3, (fpu, destination, source, pops) => {
        if (quick && fpu.readLimbs(source, right) && combineQuickly(fpu, quick, destination, right)) {
            if (pops !== 0) {
                fpu.pop();
            }
        } else if (fpu.isEmpty(destination) || fpu.isEmpty(source)) {
            combineEmpty(fpu, destination, pops !== 0);
        } else {
            combine(fpu, compute, destination, float80.unpack(fpu.read(source)), pops !== 0);
        }
    });
    const withRegisters = registerForm(registers, false);
    return {
        semantics: {
            [`F${stem}`]: c => (c.isMemory(0) ? withFloat(c, memory) : withRegisters(c)),
            [`F${stem}P`]: registerForm(registers, true),
            [`FI${stem}`]: c => withInteger(c, memory),
        },
        helpers: [registers, memory.single, memory.double, memory.integer],
    };
}

function registerForm(helper: X87Helper, pops: boolean): Semantic {
    return waiting(c => {
        const top = c.ir.i32(0);
        const last = c.ir.i32(pops ? 1 : 0);
        if (isStackOperand(c, 0)) {
            c.call(helper, [c.stackRegister(0), top, last]);
        } else {
            c.call(helper, [top, c.stackRegister(1), last]);
        }
    });
}

const FAMILIES = Object.entries(OPERATIONS).map(([stem, compute]) => family(stem, compute));

export const ARITHMETIC: X87Family = {
    semantics: Object.assign({}, ...FAMILIES.map(({ semantics }) => semantics)) as SemanticTable,
    helpers: FAMILIES.flatMap(({ helpers }) => helpers),
};
