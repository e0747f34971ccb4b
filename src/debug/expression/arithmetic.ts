/**
 * Arithmetic on values. The debugger's own numbers, registers and memory read with a width, have 64 bits, so that
 * nothing is lost; as soon as a value has one of the program's types, C's conversions hold (C17, 6.3.1): `int` and
 * `unsigned int` have 32 bits, and -1 is greater than an unsigned number.
 */
import { bare } from '../../symbols/types';
import type { BinaryOperator, UnaryOperator } from './ast';
import { EvaluationProblem } from './error';
import {
    type AddressSpace,
    type Constant,
    DOUBLE,
    encodeFloat,
    FLOAT,
    floatOf,
    I64,
    inC,
    INT,
    type IntegerType,
    isTyped,
    LONG,
    makeValue,
    pattern,
    type Place,
    pointedTo,
    pointerTo,
    sizeOf,
    U64,
    UNSIGNED_INT,
    UNSIGNED_LONG,
    type Value,
    type ValueType,
    wrap,
} from './value';

/** What conversions go by. */
export interface Operand {
    readonly type: ValueType;
    readonly constant?: { readonly type: IntegerType };
    readonly place?: Place;
    readonly fieldSize?: number;
}

/** @param operands C's `int` is the type, if one of them has a type of the program's */
export function truth(value: boolean, ...operands: readonly Operand[]): Value {
    return makeValue(value ? 1n : 0n, operands.some(({ type }) => isTyped(type)) ? INT : I64);
}

/** Whether a value counts as true. */
export function isTrue(value: Value): boolean {
    const number = floatOf(value);
    return number === undefined ? value.bits !== 0n : number !== 0;
}

/** An integer's type after C's promotions; undefined for what is no integer. */
export function promoted({ type, constant, place, fieldSize }: Operand): IntegerType | undefined {
    if (constant !== undefined) {
        return constant.type;
    }
    const plain = bare(type);
    if (plain.kind !== 'integer' && plain.kind !== 'enum') {
        return undefined;
    }
    const field = place?.kind === 'memory' ? place.field?.size : fieldSize;
    const bits = field ?? plain.width;
    if (bits < 32 || (bits === 32 && plain.signed)) {
        return INT;
    }
    if (bits === 32) {
        return UNSIGNED_INT;
    }
    if (plain.width <= 64) {
        return plain.signed ? LONG : UNSIGNED_LONG;
    }
    return { kind: 'integer', width: plain.width, signed: plain.signed, name: typeNameOf(plain.signed) };
}

function typeNameOf(signed: boolean): string {
    return signed ? '__int128' : 'unsigned __int128';
}

/**
 * The type in which C computes with two integers.
 * @returns undefined where one is none, and where both are the debugger's own
 */
export function commonInteger(left: Operand, right: Operand): IntegerType | undefined {
    if (!isTyped(left.type) && !isTyped(right.type)) {
        return undefined;
    }
    const [a, b] = [promoted(left), promoted(right)];
    return a === undefined || b === undefined ? undefined : wider(a, b);
}

function wider(a: IntegerType, b: IntegerType): IntegerType {
    if (a.width !== b.width) {
        return a.width > b.width ? a : b;
    }
    return a.signed ? b : a;
}

/** Whether one side alone has a type of the program's: the other is then what it is in C. */
export function isMixed(left: Operand, right: Operand): boolean {
    return isTyped(left.type) !== isTyped(right.type);
}

type Arithmetic = Exclude<BinaryOperator, '&&' | '||'>;

/**
 * What C makes of an operation on constants. Where it leaves that open, as for signed numbers that do not fit, it is the
 * number itself in a type that holds it.
 * @returns undefined where one side is no constant, or C has no result
 */
function folded(operator: Arithmetic, a: Constant | undefined, b: Constant | undefined): Constant | undefined {
    if (a === undefined || b === undefined) {
        return undefined;
    }
    const isShift = operator === '<<' || operator === '>>';
    const common = isShift ? a.type : wider(a.type, b.type);
    if ((operator === '/' || operator === '%') && wrap(b.bits, common) === 0n) {
        return undefined;
    }
    const compute = (type: IntegerType): Constant => {
        const right = isShift ? makeValue(b.bits, b.type) : makeValue(wrap(b.bits, common), type);
        return typedConstant(computed(operator, makeValue(wrap(a.bits, common), type), right));
    };
    const result = compute(common);
    const isOpen = common.signed || (isShift && b.bits >= BigInt(common.width));
    const exact = isOpen ? compute(common.signed ? LONG : UNSIGNED_LONG) : result;
    return wrap(exact.bits, result.type) === exact.bits ? { ...exact, type: result.type } : exact;
}

/** Of a value that was computed from C's integers. */
function typedConstant({ bits, type }: Value): Constant {
    return { bits, type: type as IntegerType };
}

export function unary(operator: UnaryOperator, operand: Value): Value {
    if (operator === '!') {
        const isFalse = !isTrue(operand);
        return { ...truth(isFalse, operand), constant: operand.constant && { bits: isFalse ? 1n : 0n, type: INT } };
    }
    const number = floatOf(operand);
    if (number !== undefined) {
        if (operator === '~') throw new EvaluationProblem("'~' takes no floating-point number");
        return floating(operator === '-' ? -number : number, sizeOf(operand.type));
    }
    const type = isTyped(operand.type) ? promoted(operand) : undefined;
    if (type !== undefined) {
        const { bits } = operand;
        return makeValue(operator === '-' ? -bits : operator === '~' ? ~bits : bits, type);
    }
    const constant = operand.constant && typedConstant(unary(operator, inC(operand)));
    switch (operator) {
        case '-':
            return { ...makeValue(-operand.bits, I64), constant };
        case '~':
            return { ...makeValue(~operand.bits, constant?.type.signed === true ? I64 : U64), constant };
        case '+':
            return { ...makeValue(operand.bits, operand.type, operand.space), constant };
    }
}

/** The type of `left op right`: pointers stay pointers; an unsigned 64-bit side makes the result unsigned. */
function commonType(left: Value, right: Value): ValueType {
    for (const { type } of [left, right]) {
        const plain = bare(type);
        if (plain.kind === 'pointer') return type;
        if (plain.kind === 'array') return pointerTo(plain.element);
    }
    return commonInteger(left, right) ?? (isUnsigned64(left) || isUnsigned64(right) ? U64 : I64);
}

/** Smaller unsigned types fit a signed 64-bit number. */
function isUnsigned64({ type }: Value): boolean {
    const plain = bare(type);
    return plain.kind === 'integer' || plain.kind === 'enum' ? !plain.signed && plain.width === 64 : true;
}

/** A physical address stays one when something is added to it. */
function commonSpace(left: Value, right: Value): AddressSpace {
    return left.space === 'physical' || right.space === 'physical' ? 'physical' : 'linear';
}

/** C's addition: a number added to a pointer, or the distance of two, counts in what they point to. */
function add(left: Value, right: Value, sign: bigint): Value {
    const leftStride = stride(left);
    const rightStride = stride(right);
    if (leftStride !== undefined && rightStride !== undefined) {
        const type = isTyped(left.type) || isTyped(right.type) ? LONG : I64;
        return makeValue((left.bits + sign * right.bits) / leftStride, type);
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

/** @throws EvaluationProblem for what C does not have */
export function arithmetic(operator: Arithmetic, left: Value, right: Value): Value {
    if (!isMixed(left, right)) {
        const constant = folded(operator, left.constant, right.constant);
        const result = computed(operator, left, right);
        return constant === undefined ? result : { ...result, constant };
    }
    if (left.constant !== undefined && (operator === '<<' || operator === '>>')) {
        // The constant grows with what it is shifted by.
        const type = promoted(right);
        const constant = type && folded(operator, left.constant, { bits: right.bits, type });
        if (constant !== undefined) return makeValue(constant.bits, constant.type);
    }
    return computed(operator, inC(left), inC(right));
}

/** Of values as they are. */
function computed(operator: Arithmetic, left: Value, right: Value): Value {
    const ofFloats = floatArithmetic(operator, left, right);
    if (ofFloats !== undefined) {
        return ofFloats;
    }
    const type = commonType(left, right);
    const unsigned = type.kind !== 'integer' || !type.signed;
    const common = commonInteger(left, right);
    const convert = (value: Value): bigint =>
        common !== undefined ? wrap(value.bits, common) : unsigned ? pattern(value) : value.bits;
    const [a, b] = [convert(left), convert(right)];
    const result = (bits: bigint): Value => makeValue(bits, type, commonSpace(left, right));
    const decided = (holds: boolean): Value => truth(holds, left, right);
    switch (operator) {
        case '+':
            return common === undefined ? add(left, right, 1n) : result(a + b);
        case '-':
            return common === undefined ? add(left, right, -1n) : result(a - b);
        case '*':
            return result(a * b);
        case '/':
        case '%':
            // It may have become 0 where C's conversion cut it down.
            if (b === 0n) throw new EvaluationProblem('division by zero');
            return result(operator === '/' ? a / b : a % b);
        case '<<':
        case '>>':
            return shift(operator, left, right);
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
            return decided(isOrdered(operator, a, b));
        case '==':
            return decided(BigInt.asUintN(128, a) === BigInt.asUintN(128, b));
        case '!=':
            return decided(BigInt.asUintN(128, a) !== BigInt.asUintN(128, b));
    }
}

/** By as many bits as the type has, or more, nothing is left but copies of the sign. */
function shift(operator: '<<' | '>>', left: Value, right: Value): Value {
    const type = shiftType(left);
    const width = type.kind === 'integer' ? BigInt(type.width) : 64n;
    const isTooFar = right.bits < 0n || right.bits >= width;
    const bits =
        operator === '<<'
            ? isTooFar
                ? 0n
                : left.bits << right.bits
            : wrap(left.bits, type) >> (isTooFar ? width : right.bits);
    return makeValue(bits, type);
}

function shiftType(left: Value): ValueType {
    return (isTyped(left.type) ? promoted(left) : undefined) ?? (isUnsigned64(left) ? U64 : I64);
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

/** @param size of the widest number that it was computed from */
function floating(number: number, size: number): Value {
    return size > 4 ? makeValue(encodeFloat(number, 8), DOUBLE) : makeValue(encodeFloat(number, 4), FLOAT);
}

/** Undefined if neither side is a floating-point number. */
function floatArithmetic(operator: BinaryOperator, left: Value, right: Value): Value | undefined {
    const [leftNumber, rightNumber] = [floatOf(left), floatOf(right)];
    if (leftNumber === undefined && rightNumber === undefined) {
        return undefined;
    }
    const size = Math.max(
        leftNumber === undefined ? 0 : sizeOf(left.type),
        rightNumber === undefined ? 0 : sizeOf(right.type),
    );
    const toFloat = (bits: bigint): number => (size > 4 ? Number(bits) : Math.fround(Number(bits)));
    const a = leftNumber ?? toFloat(left.bits);
    const b = rightNumber ?? toFloat(right.bits);
    switch (operator) {
        case '+':
            return floating(a + b, size);
        case '-':
            return floating(a - b, size);
        case '*':
            return floating(a * b, size);
        case '/':
            return floating(a / b, size);
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
            throw new EvaluationProblem(`'${operator}' takes no floating-point numbers`);
    }
}

/** The value of `? :`, which has one type whichever side was chosen. */
export function converted(chosen: Value, other: Value): Value {
    if (isMixed(chosen, other)) {
        [chosen, other] = [inC(chosen), inC(other)];
    }
    const [number, otherNumber] = [floatOf(chosen), floatOf(other)];
    if (otherNumber !== undefined && (number !== undefined || promoted(chosen) !== undefined)) {
        return floating(
            number ?? Number(chosen.bits),
            Math.max(sizeOf(other.type), number === undefined ? 0 : sizeOf(chosen.type)),
        );
    }
    const common = commonInteger(chosen, other);
    return common === undefined ? chosen : makeValue(chosen.bits, common);
}
