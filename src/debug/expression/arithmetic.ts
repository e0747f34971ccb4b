/** Arithmetic on values, with C's rules for signedness, pointers and floating-point numbers, in 64 bits. */
import { bare } from '../../symbols/types';
import type { BinaryOperator, UnaryOperator } from './ast';
import {
    type AddressSpace,
    encodeFloat,
    floatOf,
    I64,
    makeValue,
    pattern,
    pointedTo,
    pointerTo,
    sizeOf,
    U64,
    type Value,
    type ValueType,
} from './value';

export function truth(value: boolean): Value {
    return makeValue(value ? 1n : 0n, I64);
}

export function unary(operator: UnaryOperator, operand: Value): Value {
    const number = floatOf(operand);
    if (number !== undefined && operator === '-') {
        return { ...operand, bits: encodeFloat(-number, sizeOf(operand.type)), place: undefined };
    }
    switch (operator) {
        case '-':
            return makeValue(-operand.bits, I64);
        case '~':
            return makeValue(~operand.bits, U64);
        case '!':
            return truth(operand.bits === 0n);
        case '+':
            return makeValue(operand.bits, operand.type, operand.space);
    }
}

/** The type of `left op right`: pointers stay pointers; an unsigned 64-bit side makes the result unsigned. */
function commonType(left: Value, right: Value): ValueType {
    for (const { type } of [left, right]) {
        const plain = bare(type);
        if (plain.kind === 'pointer') return type;
        if (plain.kind === 'array') return pointerTo(plain.element);
    }
    return isUnsigned64(left) || isUnsigned64(right) ? U64 : I64;
}

/** Smaller unsigned types fit a signed 64-bit number, as C's promotions have it. */
function isUnsigned64({ type }: Value): boolean {
    const plain = bare(type);
    return plain.kind === 'integer' || plain.kind === 'enum' ? !plain.signed && plain.width === 64 : true;
}

/** A physical address stays one when something is added to it. */
function commonSpace(left: Value, right: Value): AddressSpace {
    return left.space === 'physical' || right.space === 'physical' ? 'physical' : 'linear';
}

/** C's addition: a number added to a pointer, or the distance of two, counts in what they point to. */
export function add(left: Value, right: Value, sign: bigint): Value {
    const leftStride = stride(left);
    const rightStride = stride(right);
    if (leftStride !== undefined && rightStride !== undefined) {
        return makeValue((left.bits + sign * right.bits) / leftStride, I64);
    }
    const bits = left.bits * (rightStride ?? 1n) + sign * right.bits * (leftStride ?? 1n);
    return makeValue(bits, commonType(left, right), commonSpace(left, right));
}

/** Bytes from one element to the next behind a pointer. */
function stride({ type }: Value): bigint | undefined {
    const to = pointedTo(type);
    // void and functions count as bytes, as GCC has it.
    return to && BigInt(Math.max(1, sizeOf(to)));
}

export function arithmetic(operator: Exclude<BinaryOperator, '&&' | '||'>, left: Value, right: Value): Value {
    const floating = floatArithmetic(operator, left, right);
    if (floating !== undefined) {
        return floating;
    }
    const type = commonType(left, right);
    const unsigned = type.kind !== 'integer' || !type.signed;
    const a = unsigned ? pattern(left) : left.bits;
    const b = unsigned ? pattern(right) : right.bits;
    const result = (bits: bigint): Value => makeValue(bits, type, commonSpace(left, right));
    switch (operator) {
        case '+':
            return add(left, right, 1n);
        case '-':
            return add(left, right, -1n);
        case '*':
            return result(a * b);
        case '/':
            return result(a / b);
        case '%':
            return result(a % b);
        case '<<':
            return makeValue(right.bits >= 64n || right.bits < 0n ? 0n : left.bits << right.bits, shiftType(left));
        case '>>':
            return makeValue(left.bits >> (right.bits < 0n || right.bits > 64n ? 64n : right.bits), shiftType(left));
        case '&':
            return result(a & b);
        case '|':
            return result(a | b);
        case '^':
            return result(a ^ b);
        case '<':
        case '<=':
        case '>':
        case '>=':
            return truth(isOrdered(operator, a, b));
        case '==':
            return truth(BigInt.asUintN(64, a) === BigInt.asUintN(64, b));
        case '!=':
            return truth(BigInt.asUintN(64, a) !== BigInt.asUintN(64, b));
    }
}

/** Neither way for a NaN. */
function isOrdered<T extends bigint | number>(operator: '<' | '<=' | '>' | '>=', a: T, b: T): boolean {
    switch (operator) {
        case '<':
            return a < b;
        case '<=':
            return a <= b;
        case '>':
            return a > b;
        case '>=':
            return a >= b;
    }
}

export const DOUBLE: ValueType = { kind: 'float', size: 8, name: 'double' };

/** Undefined if neither side is a floating-point number. */
function floatArithmetic(operator: BinaryOperator, left: Value, right: Value): Value | undefined {
    const [leftNumber, rightNumber] = [floatOf(left), floatOf(right)];
    if (leftNumber === undefined && rightNumber === undefined) {
        return undefined;
    }
    const a = leftNumber ?? Number(left.bits);
    const b = rightNumber ?? Number(right.bits);
    const result = (number: number): Value => makeValue(encodeFloat(number, 8), DOUBLE);
    switch (operator) {
        case '+':
            return result(a + b);
        case '-':
            return result(a - b);
        case '*':
            return result(a * b);
        case '/':
            return result(a / b);
        case '<':
        case '<=':
        case '>':
        case '>=':
            return truth(isOrdered(operator, a, b));
        case '==':
            return truth(a === b);
        case '!=':
            return truth(a !== b);
        default:
            return undefined;
    }
}

function shiftType(left: Value): ValueType {
    return isUnsigned64(left) ? U64 : I64;
}
