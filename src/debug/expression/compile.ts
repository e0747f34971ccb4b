/** Expressions as conditions that engines compile: the same values as the evaluator gives, wherever they give one. */
import { type ByteSize, type Condition, type ConditionOperator, isCompilable } from '../../machine/condition';
import { arithmetic, commonInteger, isMixed, promoted, unary } from './arithmetic';
import type { BinaryOperator, Node, TypeSpelling } from './ast';
import { EvaluationProblem } from './error';
import type { Expression } from './expression';
import {
    type AddressSpace,
    type Constant,
    I64,
    inC,
    INT,
    type IntegerType,
    isTyped,
    literal,
    makeValue,
    pattern,
    type PointerType,
    pointerTo,
    sizeOf,
    U64,
    unsignedType,
    type Value,
    type ValueType,
} from './value';

/** What names stand for. */
export interface CompilationContext {
    /** Width in bits, and how engines read it if they can; undefined: there is no such register. */
    register(name: string): { readonly condition: Condition | undefined; readonly width: number } | undefined;
    /** Address of a symbol. */
    symbol(name: string): bigint | undefined;
    /** Whether a name stands for a variable, whose type and place only debugging information tells. */
    isVariable?(name: string): boolean;
}

/** The types that engines know. */
type PlainType = IntegerType | PointerType;

/** A value while compiling: what the evaluator knows of it before it runs. */
interface Term {
    readonly node: Condition;
    readonly type: PlainType;
    readonly space: AddressSpace;
    /** Of what is written as a number, and of what is computed from nothing else. */
    readonly value?: Value;
    readonly constant?: Constant;
}

/** What the expression is made of cannot be compiled: the evaluator has to be asked. */
class NotCompilable extends Error {}

/** The expression as a condition; undefined if only the evaluator can tell its value. */
export function compileCondition(expression: Expression, context: CompilationContext): Condition | undefined {
    try {
        const { node } = new Compilation(context).compile(expression.root);
        return isCompilable(node) ? node : undefined;
    } catch (error) {
        // The evaluator says what is wrong.
        if (error instanceof NotCompilable || error instanceof EvaluationProblem) {
            return undefined;
        }
        throw error;
    }
}

class Compilation {
    constructor(private readonly context: CompilationContext) {}

    compile(node: Node): Term {
        switch (node.kind) {
            case 'number':
                return known(literal(node.value, node.unsigned, node.type));
            case 'name':
                return node.symbol === true ? this.symbol(node.name) : this.name(node.name, node.register);
            case 'unary': {
                const operand = this.compile(node.operand);
                if (operand.value !== undefined) {
                    return known(unary(node.operator, operand.value));
                }
                const type = isTyped(operand.type) ? promoted(operand) : undefined;
                const typed = (made: Condition, own: PlainType): Term =>
                    type === undefined ? term(made, own) : term(cut(made, type), type);
                switch (node.operator) {
                    case '+':
                        return type === undefined ? operand : term(operand.node, type);
                    case '-':
                        return typed(binary('sub', constant(0n), operand.node), I64);
                    case '~':
                        return typed(binary('bitXor', operand.node, constant(-1n)), U64);
                    case '!':
                        return term({ kind: 'not', operand: operand.node }, isTyped(operand.type) ? INT : I64);
                }
                break;
            }
            case 'binary':
                return this.binary(node.operator, node.left, node.right);
            case 'cast': {
                const operand = this.compile(node.operand);
                const type = plain(node.type);
                return term(cut((isTyped(type) ? asInC(operand) : operand).node, type), type, operand.space);
            }
            case 'dereference': {
                const pointer = this.compile(node.operand);
                return load(pointer, pointeeOf(pointer));
            }
            case 'memory':
                return load(this.compile(node.address), plain(node.type));
            case 'index': {
                const base = this.compile(node.base);
                const index = this.compile(node.index);
                return load(sum('add', base, isMixed(base, index) ? asInC(index) : index), pointeeOf(base));
            }
            case 'space':
                if (node.prefix === 'linear' || node.prefix === 'phys') {
                    const { node: operand, type } = this.compile(node.operand);
                    return term(operand, type, node.prefix === 'phys' ? 'physical' : 'linear');
                }
        }
        throw new NotCompilable();
    }

    private name(name: string, registerOnly: boolean): Term {
        if (!registerOnly && this.context.isVariable?.(name) === true) {
            throw new NotCompilable();
        }
        const register = this.context.register(name.toLowerCase());
        if (register !== undefined) {
            if (register.condition === undefined) {
                throw new NotCompilable();
            }
            const type = unsignedType(register.width);
            return term(cut(register.condition, type), type);
        }
        if (registerOnly) {
            throw new NotCompilable();
        }
        return this.symbol(name);
    }

    private symbol(name: string): Term {
        const address = this.context.symbol(name);
        if (address === undefined) {
            throw new NotCompilable();
        }
        return term(constant(address), U64);
    }

    private binary(operator: BinaryOperator, leftNode: Node, rightNode: Node): Term {
        let left = this.compile(leftNode);
        let right = this.compile(rightNode);
        switch (operator) {
            case '&&':
                return term({ kind: 'and', left: left.node, right: right.node }, I64);
            case '||':
                return term({ kind: 'or', left: left.node, right: right.node }, I64);
        }
        if (left.value !== undefined && right.value !== undefined) {
            return known(arithmetic(operator, left.value, right.value));
        }
        if (isMixed(left, right)) {
            // Zeros and copies of the sign come into a constant beyond 64 bits alone.
            if ((operator === '<<' || operator === '>>') && left.value !== undefined) throw new NotCompilable();
            [left, right] = [asInC(left), asInC(right)];
        }
        const common = commonInteger(left, right);
        if (operator === '<<' || operator === '>>' || common === undefined) {
            return this.own(operator, left, right);
        }
        if (common.width > 64) {
            throw new NotCompilable();
        }
        const node = operation(operator, cut(left.node, common), cut(right.node, common), !common.signed);
        return isTruth(operator) ? term(node, INT) : term(cut(node, common), common, commonSpace(left, right));
    }

    /** What has 64 bits, and shifts, whose sides do not change each other. */
    private own(operator: Exclude<BinaryOperator, '&&' | '||'>, left: Term, right: Term): Term {
        switch (operator) {
            case '+':
                return sum('add', left, right);
            case '-':
                return sum('sub', left, right);
            case '<<':
            case '>>': {
                // Zeros and copies of the sign come in beyond 64 bits alone.
                if (isTyped(left.type) && sizeOf(promoted(left) ?? left.type) !== 8) throw new NotCompilable();
                const unsigned = isUnsigned64(left);
                const type = (isTyped(left.type) ? promoted(left) : undefined) ?? (unsigned ? U64 : I64);
                return term(
                    binary(operator === '<<' ? 'shl' : unsigned ? 'shrU' : 'shrS', left.node, right.node),
                    type,
                );
            }
        }
        const type = commonType(left, right);
        const node = operation(operator, left.node, right.node, type.kind === 'pointer' || !type.signed);
        return isTruth(operator) ? term(node, truthType(left, right)) : term(node, type, commonSpace(left, right));
    }
}

type PlainOperator = Exclude<BinaryOperator, '&&' | '||' | '+' | '-' | '<<' | '>>'>;

function operation(
    operator: PlainOperator | '+' | '-',
    left: Condition,
    right: Condition,
    unsigned: boolean,
): Condition {
    const [name, swapped] = OPERATORS[operator];
    const chosen = (SIGNED.has(name) ? `${name}${unsigned ? 'U' : 'S'}` : name) as ConditionOperator;
    return swapped ? binary(chosen, right, left) : binary(chosen, left, right);
}

function truthType(left: Term, right: Term): PlainType {
    return isTyped(left.type) || isTyped(right.type) ? INT : I64;
}

function isTruth(operator: PlainOperator | '+' | '-'): boolean {
    return TRUTHS.has(OPERATORS[operator][0]);
}

/** What the evaluator computes once and for all. */
function known(value: Value): Term {
    return { ...term(constant(value.bits), plainType(value.type)), value, constant: value.constant };
}

/** What the evaluator makes of a constant together with the program's types. */
function asInC(given: Term): Term {
    return given.constant === undefined
        ? given
        : { ...term(constant(given.constant.bits), given.constant.type, given.space), value: inC(given.value!) };
}

/** The operation behind an operator, and whether its operands change sides. */
const OPERATORS: Readonly<Record<PlainOperator | '+' | '-', readonly [name: string, swapped: boolean]>> = {
    '+': ['add', false],
    '-': ['sub', false],
    '*': ['mul', false],
    '/': ['div', false],
    '%': ['rem', false],
    '&': ['bitAnd', false],
    '|': ['bitOr', false],
    '^': ['bitXor', false],
    '==': ['eq', false],
    '!=': ['ne', false],
    '<': ['lt', false],
    '<=': ['le', false],
    '>': ['lt', true],
    '>=': ['le', true],
};

/** Operations with a signed and an unsigned form. */
const SIGNED: ReadonlySet<string> = new Set(['div', 'rem', 'lt', 'le']);
const TRUTHS: ReadonlySet<string> = new Set(['eq', 'ne', 'lt', 'le']);

/** A type as it is written, if it is one that engines know. */
function plain({ base, pointers, dimensions }: TypeSpelling): PlainType {
    if (base.kind !== 'known' || dimensions.length > 0) {
        throw new NotCompilable();
    }
    let { type }: { type: ValueType } = base;
    for (let count = 0; count < pointers; count++) type = pointerTo(type);
    return plainType(type);
}

function plainType(type: ValueType): PlainType {
    if ((type.kind !== 'integer' || type.reads === 'boolean') && type.kind !== 'pointer') {
        throw new NotCompilable();
    }
    if (type.kind === 'integer' && type.width > 64) {
        throw new NotCompilable();
    }
    return type;
}

function term(node: Condition, type: PlainType, space: AddressSpace = 'linear'): Term {
    return { node, type, space };
}

function constant(value: bigint): Condition {
    return { kind: 'constant', value: pattern(makeValue(value, U64)) };
}

function binary(operator: ConditionOperator, left: Condition, right: Condition): Condition {
    return { kind: 'binary', operator, left, right };
}

/** The bits of a value as those of a type. */
function cut(node: Condition, type: PlainType): Condition {
    const bytes = sizeOf(type);
    if (bytes === 8) {
        return node;
    }
    return { kind: 'extend', operand: node, bytes: bytes as ByteSize, signed: type.kind === 'integer' && type.signed };
}

function load({ node, space }: Term, type: PlainType): Term {
    if (space !== 'linear') {
        throw new NotCompilable();
    }
    return term(cut({ kind: 'load', address: node, bytes: sizeOf(type) as ByteSize }, type), type);
}

function pointeeOf({ type }: Term): PlainType {
    if (type.kind !== 'pointer') {
        throw new NotCompilable(); // the evaluator says what is wrong
    }
    return plainType(type.to);
}

function isUnsigned64({ type }: Term): boolean {
    return type.kind === 'pointer' || (!type.signed && type.width === 64);
}

function commonType(left: Term, right: Term): PlainType {
    for (const { type } of [left, right]) {
        if (type.kind === 'pointer') return type;
    }
    return isUnsigned64(left) || isUnsigned64(right) ? U64 : I64;
}

function commonSpace(left: Term, right: Term): AddressSpace {
    return left.space === 'physical' || right.space === 'physical' ? 'physical' : 'linear';
}

/** A number added to a pointer counts in what it points to. */
function sum(operator: 'add' | 'sub', left: Term, right: Term): Term {
    if (left.type.kind === 'pointer' && right.type.kind === 'pointer') {
        throw new NotCompilable(); // the exact distance may have more than 64 bits
    }
    const node = binary(operator, scaled(left, right.type), scaled(right, left.type));
    return term(node, commonType(left, right), commonSpace(left, right));
}

function scaled({ node }: Term, other: ValueType): Condition {
    // void and functions count as bytes, as the evaluator has it.
    return other.kind === 'pointer' ? binary('mul', node, constant(BigInt(Math.max(1, sizeOf(other.to))))) : node;
}
