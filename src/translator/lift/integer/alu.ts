/**
 * Addition, subtraction, comparison and logic (SDM Vol. 2: ADD, ADC, SUB, SBB, CMP, INC, DEC, NEG, AND, OR, XOR, TEST,
 * NOT, and the carry chains ADCX and ADOX).
 */
import { type Value } from '../../ir/function';
import { type LiftContext } from '../context';
import { Condition, type Width } from '../flags';
import { type Semantic, type SemanticTable } from '../semantics';
import { setCarry, setOverflow } from './partial-flags';

function addition(c: LiftContext): void {
    const width = c.widthOf(0);
    const a = c.readForWrite(0);
    const b = c.read(1);
    const sum = c.integer(width, 'add', a, b);
    c.write(0, sum);
    c.setFlagsAdd(width, a, b, sum);
}

function subtraction(c: LiftContext): void {
    const width = c.widthOf(0);
    if (c.sameRegister(0, 1)) {
        // Compilers clear registers so. CF, OF and AF are zero as after a logical operation.
        const zero = c.constant(width, 0);
        c.write(0, zero);
        c.setFlagsLogic(width, zero);
        return;
    }
    const a = c.readForWrite(0);
    const b = c.read(1);
    const difference = c.integer(width, 'sub', a, b);
    c.write(0, difference);
    c.setFlagsSubtract(width, a, b, difference);
}

function withCarryIn(operation: 'add' | 'sub'): Semantic {
    return c => {
        const width = c.widthOf(0);
        const a = c.readForWrite(0);
        const b = c.read(1);
        const carry = atWidth(c, width, c.carry());
        const result = c.integer(width, operation, c.integer(width, operation, a, b), carry);
        c.write(0, result);
        if (operation === 'add') {
            c.setFlagsAdd(width, a, b, result, true);
        } else {
            c.setFlagsSubtract(width, a, b, result, true);
        }
    };
}

function compare(c: LiftContext): void {
    const width = c.widthOf(0);
    const a = c.read(0);
    const b = c.read(1);
    c.setFlagsSubtract(width, a, b, c.integer(width, 'sub', a, b));
}

/** INC and DEC keep CF. */
function step(operation: 'add' | 'sub'): Semantic {
    const overflowed = (width: Width): number => (operation === 'add' ? -(2 ** (width - 1)) : 2 ** (width - 1) - 1);
    const lowDigit = operation === 'add' ? 0 : 0xf;
    return c => {
        const { ir } = c;
        const width = c.widthOf(0);
        const result = c.integer(width, operation, c.readForWrite(0), c.constant(width, 1));
        c.write(0, result);
        const type = width === 64 ? 'i64' : 'i32';
        const limit =
            width === 64
                ? ir.i64(operation === 'add' ? 0 : -1, operation === 'add' ? -0x80000000 : 0x7fffffff)
                : c.constant(width, overflowed(width));
        const overflow = ir.op(`${type}.eq`, result, limit);
        const digit = ir.op('i32.and', c.resizeUnsigned(result, width, 32), ir.i32(0xf));
        c.setFlagsParts(width, result, c.carry(), overflow, ir.op('i32.eq', digit, ir.i32(lowDigit)));
    };
}

function negation(c: LiftContext): void {
    const width = c.widthOf(0);
    const a = c.readForWrite(0);
    const zero = c.constant(width, 0);
    const result = c.integer(width, 'sub', zero, a);
    c.write(0, result);
    c.setFlagsSubtract(width, zero, a, result);
}

function complement(c: LiftContext): void {
    const width = c.widthOf(0);
    c.write(0, c.integer(width, 'xor', c.readForWrite(0), c.constant(width, -1)));
}

/** AND and OR; AF is undefined and cleared, as CPUs of both vendors do. */
function logic(operation: 'and' | 'or'): Semantic {
    return c => {
        const width = c.widthOf(0);
        const a = c.readForWrite(0);
        const result = c.sameRegister(0, 1) ? a : c.integer(width, operation, a, c.read(1));
        c.write(0, result);
        c.setFlagsLogic(width, result);
    };
}

function exclusiveOr(c: LiftContext): void {
    const width = c.widthOf(0);
    const result = c.sameRegister(0, 1) ? c.constant(width, 0) : c.integer(width, 'xor', c.readForWrite(0), c.read(1));
    c.write(0, result);
    c.setFlagsLogic(width, result);
}

function test(c: LiftContext): void {
    const width = c.widthOf(0);
    const a = c.read(0);
    c.setFlagsLogic(width, c.sameRegister(0, 1) ? a : c.integer(width, 'and', a, c.read(1)));
}

/** ADCX and ADOX: an addition whose carry in and out is one flag, all others kept. */
function carryChain(flag: Condition.B | Condition.O): Semantic {
    return c => {
        const { ir } = c;
        const width = c.widthOf(0);
        const type = width === 64 ? 'i64' : 'i32';
        const a = c.read(0);
        const partial = c.integer(width, 'add', a, c.read(1));
        const sum = c.integer(width, 'add', partial, atWidth(c, width, c.condition(flag)));
        const carry = ir.op('i32.or', ir.op(`${type}.lt_u`, partial, a), ir.op(`${type}.lt_u`, sum, partial));
        c.write(0, sum);
        if (flag === Condition.B) {
            setCarry(c, carry);
        } else {
            setOverflow(c, carry);
        }
    };
}

/** An i32 flag as a value of guest width. */
function atWidth(c: LiftContext, width: Width, flag: Value): Value {
    return width === 64 ? c.ir.extendU(flag) : flag;
}

export const ALU: SemanticTable = {
    ADD: addition,
    ADC: withCarryIn('add'),
    SUB: subtraction,
    SBB: withCarryIn('sub'),
    CMP: compare,
    INC: step('add'),
    DEC: step('sub'),
    NEG: negation,
    NOT: complement,
    AND: logic('and'),
    OR: logic('or'),
    XOR: exclusiveOr,
    TEST: test,
    ADCX: carryChain(Condition.B),
    ADOX: carryChain(Condition.O),
};
