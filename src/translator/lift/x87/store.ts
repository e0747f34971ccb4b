/**
 * Stores (Intel SDM Vol. 2: FST, FSTP, FIST, FISTP, FISTTP, FBSTP).
 *
 * A store may fault, and then nothing may have changed; so a helper only prepares one: it leaves the bytes at
 * {@link RESULT} and returns the new status word, with {@link STORES} set unless an unmasked exception forbids the store.
 * The lifted code stores, then takes the status word over and pops.
 */

import { StateOffset } from '../../../machine/state';
import {
    DECIMAL_INDEFINITE,
    type Extended,
    type FloatEnvironment,
    RoundingMode,
    convert,
    convertToInteger,
    float32,
    float64,
    float80,
    storeDecimal,
} from '../../../softfloat';
import { type Value } from '../../ir/function';
import { StateAccess } from '../../ir/opcodes';
import { type LiftContext } from '../context';
import { type Semantic } from '../semantics';
import { addressAfter, deliverPending, memoryOperand, probeCrossing, recordPointers, waiting } from './frame';
import { type X87Family, type X87Helper, query, routine } from './helper';
import {
    DOUBLE_BIAS,
    EXPONENT_BIAS,
    SINGLE_BIAS,
    integerMagnitude,
    Limbs,
    newRounding,
    roundLimbs,
    roundsToNearest,
} from './limbs';
import { RESULT, Status, type X87Registers } from './registers';

/** Above the status word's 16 bits. */
const STORES = 1 << 16;

/** Prepares a store; @param indefinite what is stored if ST(0) is empty, at least 64 bits. */
function prepare(
    fpu: X87Registers,
    indefinite: bigint,
    compute: (value: Extended, environment: FloatEnvironment) => bigint,
): number {
    if (fpu.isEmpty(0)) {
        fpu.setQuad(RESULT, BigInt.asUintN(64, indefinite));
        fpu.setHalf(RESULT + 8, Number((indefinite >> 64n) & 0xffffn));
        return fpu.faultStatus(0) | (fpu.masksInvalid ? STORES : 0);
    }
    const environment = fpu.begin();
    const bits = compute(fpu.read(0), environment);
    fpu.setQuad(RESULT, BigInt.asUintN(64, bits));
    fpu.setHalf(RESULT + 8, Number((bits >> 64n) & 0xffffn));
    const status = fpu.finishedStatus(environment.roundedUp ? Status.C1 : 0, Status.C1);
    return environment.suppressed ? status : status | STORES;
}

const value = new Limbs();
const rounded = new Limbs();
const rounding = newRounding();

/**
 * Rounds an ordinary ST(0) to nearest into `rounded`, for a format of that precision and exponent range.
 * @returns false if it has to go the long way.
 */
function roundTop(fpu: X87Registers, precision: 24 | 53, bias: number): boolean {
    if (!roundsToNearest(fpu.control) || !fpu.readLimbs(0, value)) {
        return false;
    }
    roundLimbs(value, precision, rounded, rounding);
    rounded.exponent += bias - EXPONENT_BIAS;
    return rounded.exponent > 0 && rounded.exponent <= 2 * bias;
}

const PREPARE_SINGLE = query('PrepareSingle', 0, fpu => {
    if (roundTop(fpu, 24, SINGLE_BIAS)) {
        const fraction = (rounded.high >>> 8) & 0x7fffff;
        fpu.setField(RESULT, (rounded.sign << 31) | (rounded.exponent << 23) | fraction);
        return fpu.roundedStatus(rounding) | STORES;
    }
    return prepare(fpu, 0xffc00000n, (x, environment) => BigInt(convert(float80, float32, x, environment)));
});

const PREPARE_DOUBLE = query('PrepareDouble', 0, fpu => {
    if (roundTop(fpu, 53, DOUBLE_BIAS)) {
        const fraction = (rounded.high >>> 11) & 0xfffff;
        fpu.setField(RESULT, (rounded.low >>> 11) | (rounded.high << 21));
        fpu.setField(RESULT + 4, (rounded.sign << 31) | (rounded.exponent << 20) | fraction);
        return fpu.roundedStatus(rounding) | STORES;
    }
    return prepare(fpu, 0xfff8000000000000n, (x, environment) => convert(float80, float64, x, environment));
});

const PREPARE_EXTENDED = query('PrepareExtended', 0, fpu => {
    const empty = fpu.isEmpty(0);
    fpu.setField(RESULT, empty ? 0 : fpu.low(0));
    fpu.setField(RESULT + 4, empty ? 0xc0000000 : fpu.high(0));
    fpu.setHalf(RESULT + 8, empty ? 0xffff : fpu.signExponent(0));
    if (empty) {
        return fpu.faultStatus(0) | (fpu.masksInvalid ? STORES : 0);
    }
    return (fpu.status & ~Status.C1) | STORES;
});

/** @param width in bits. @param truncate 1 for FISTTP. */
const PREPARE_INTEGER = query('PrepareInteger', 2, (fpu, width, truncate) => {
    const mode = truncate !== 0 ? RoundingMode.towardZero : (fpu.control >> 10) & 3;
    const magnitude = fpu.readLimbs(0, value) ? integerMagnitude(value, mode, rounding) : undefined;
    if (magnitude !== undefined && magnitude < 2 ** (width - 1)) {
        fpu.setField(RESULT, value.sign ? -magnitude : magnitude);
        fpu.setField(RESULT + 4, value.sign ? -1 : 0);
        return fpu.roundedStatus(rounding) | STORES;
    }
    return prepare(fpu, -(1n << BigInt(width - 1)), (x, environment) =>
        convertToInteger(float80, x, { width, truncate: truncate !== 0 }, environment),
    );
});

const PREPARE_DECIMAL = query('PrepareDecimal', 0, fpu => prepare(fpu, DECIMAL_INDEFINITE, storeDecimal));

/** Stores what a helper prepared, as wide as the memory operand. */
function storePrepared(c: LiftContext, pops: boolean, helper: X87Helper, args: readonly Value[] = []): void {
    const { ir } = c;
    const width = c.widthOf(0) as number;
    deliverPending(c);
    const { offset, linear } = memoryOperand(c, width / 8, true);
    const prepared = c.call(helper, args);
    const stores = ir.op('i32.shr_u', prepared, ir.i32(16));
    const store = (): void => {
        switch (width) {
            case 16:
                c.store(16, linear, ir.get(RESULT, StateAccess.U16));
                break;
            case 32:
                c.store(32, linear, ir.get(RESULT, StateAccess.I32));
                break;
            case 64:
                c.store(64, linear, ir.get(RESULT, StateAccess.I64));
                break;
            case 80:
                probeCrossing(c, linear, 10);
                c.store(64, linear, ir.get(RESULT, StateAccess.I64));
                c.store(16, addressAfter(c, linear, 8), ir.get(RESULT + 8, StateAccess.U16));
                break;
        }
    };
    // What keeps a result from being stored does not keep the operand from being checked.
    ir.if(stores, store, () => c.load(width === 80 ? 64 : width, linear, true));
    recordPointers(c, offset);
    ir.set(StateOffset.fsw, StateAccess.I32, ir.op('i32.and', prepared, ir.i32(0xffff)));
    if (pops) {
        popIf(c, stores);
    }
}

/** Pops the stack if the i32 value `condition` is 1, not if it is 0. */
function popIf(c: LiftContext, condition: Value): void {
    const { ir } = c;
    const top = ir.get(StateOffset.ftop, StateAccess.I32);
    const tag = ir.getIndexed(StateOffset.fempty, top, StateAccess.U8);
    ir.setIndexed(StateOffset.fempty, top, StateAccess.U8, ir.op('i32.or', tag, condition));
    ir.set(StateOffset.ftop, StateAccess.I32, ir.op('i32.and', ir.op('i32.add', top, condition), ir.i32(7)));
}

/** FST(P) ST(i). @param pops 0 or 1. */
const MOVE_TO = routine('MoveTo', 2, (fpu, i, pops) => {
    if (!fpu.isEmpty(0)) {
        fpu.copy(i, 0);
        fpu.clearC1();
    } else if (fpu.underflow()) {
        fpu.writeIndefinite(i);
    } else {
        return;
    }
    if (pops !== 0) {
        fpu.pop();
    }
});

/** FSTPNCE, the undocumented FSTP that only pops an empty register. */
const MOVE_UNCHECKED = routine('MoveUnchecked', 1, (fpu, i) => {
    if (!fpu.isEmpty(0)) {
        fpu.copy(i, 0);
    }
    fpu.pop();
    fpu.clearC1();
});

function storeFloat(pops: boolean): Semantic {
    const toRegister = waiting(c => c.call(MOVE_TO, [c.stackRegister(0), c.ir.i32(pops ? 1 : 0)]));
    return c => {
        if (!c.isMemory(0)) {
            return toRegister(c);
        }
        switch (c.widthOf(0) as number) {
            case 32:
                return storePrepared(c, pops, PREPARE_SINGLE);
            case 64:
                return storePrepared(c, pops, PREPARE_DOUBLE);
            default:
                return storePrepared(c, pops, PREPARE_EXTENDED);
        }
    };
}

function storeInteger(pops: boolean, truncate: boolean): Semantic {
    return c => storePrepared(c, pops, PREPARE_INTEGER, [c.ir.i32(c.widthOf(0)), c.ir.i32(truncate ? 1 : 0)]);
}

export const STORE: X87Family = {
    semantics: {
        FST: storeFloat(false),
        FSTP: storeFloat(true),
        FSTPNCE: waiting(c => c.call(MOVE_UNCHECKED, [c.stackRegister(0)])),
        FIST: storeInteger(false, false),
        FISTP: storeInteger(true, false),
        FISTTP: storeInteger(true, true),
        FBSTP: c => storePrepared(c, true, PREPARE_DECIMAL),
    },
    helpers: [
        PREPARE_SINGLE,
        PREPARE_DOUBLE,
        PREPARE_EXTENDED,
        PREPARE_INTEGER,
        PREPARE_DECIMAL,
        MOVE_TO,
        MOVE_UNCHECKED,
    ],
};
