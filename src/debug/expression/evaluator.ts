/** Evaluates expressions against a stopped vCPU: 64-bit arithmetic with C's rules for signedness. */
import type { BinaryOperator, Node, UnaryOperator } from './ast';
import { EvaluationProblem, ExpressionError } from './error';
import { parseExpression } from './parser';
import {
    type AddressSpace,
    I64,
    makeValue,
    pattern,
    type Place,
    sizeOf,
    U64,
    unsignedType,
    type Value,
    type ValueType,
} from './value';

/** What expressions are about. Synchronous, so that a breakpoint's condition can be asked in the middle of a run. */
export interface EvaluationContext {
    /** Value and width in bits, or undefined if there is no such register. */
    readRegister(name: string): { readonly value: bigint; readonly width: number } | undefined;
    /** @throws EvaluationProblem if it cannot take this value */
    writeRegister(name: string, value: bigint): void;
    /** `size` bytes, or undefined if not all of them can be read. */
    readMemory(space: AddressSpace, address: bigint, size: number): Uint8Array | undefined;
    /** False if the memory is not there. */
    writeMemory(space: AddressSpace, address: bigint, bytes: Uint8Array): boolean;
    /** Address of a symbol. */
    symbol(name: string): bigint | undefined;
    /** Linear address of an offset in a segment. */
    segmentLinear(segment: string, offset: bigint): bigint;
}

export interface EvaluationOptions {
    /** Whether `=` may change registers and memory. */
    readonly assignments?: boolean;
}

/** An expression that has been parsed. */
export class Expression {
    readonly root: Node;

    /** @throws ExpressionError */
    constructor(readonly text: string) {
        this.root = parseExpression(text);
    }

    /** Whether evaluating it would change anything. */
    get assigns(): boolean {
        return assigns(this.root);
    }

    /** Names of registers and symbols in it, with their places in the text. */
    get names(): readonly NamePlace[] {
        const found: NamePlace[] = [];
        collectNames(this.root, found);
        return found;
    }

    /** @throws ExpressionError */
    evaluate(context: EvaluationContext, options: EvaluationOptions = {}): Value {
        return new Evaluation(this.text, context, options).evaluate(this.root);
    }
}

export interface NamePlace {
    readonly name: string;
    readonly position: number;
}

function collectNames(node: Node, found: NamePlace[]): void {
    switch (node.kind) {
        case 'name':
            found.push({ name: node.name, position: node.position });
            return;
        case 'number':
            return;
        case 'assign':
            collectNames(node.target, found);
            collectNames(node.value, found);
            return;
        case 'binary':
            collectNames(node.left, found);
            collectNames(node.right, found);
            return;
        case 'index':
            collectNames(node.base, found);
            collectNames(node.index, found);
            return;
        case 'memory':
            collectNames(node.address, found);
            return;
        default:
            collectNames(node.operand, found);
    }
}

function assigns(node: Node): boolean {
    switch (node.kind) {
        case 'assign':
            return true;
        case 'number':
        case 'name':
            return false;
        case 'binary':
            return assigns(node.left) || assigns(node.right);
        case 'index':
            return assigns(node.base) || assigns(node.index);
        case 'memory':
            return assigns(node.address);
        default:
            return assigns(node.operand);
    }
}

class Evaluation {
    constructor(
        private readonly text: string,
        private readonly context: EvaluationContext,
        private readonly options: EvaluationOptions,
    ) {}

    evaluate(node: Node): Value {
        switch (node.kind) {
            case 'number':
                return makeValue(node.value, node.value < 1n << 63n ? I64 : U64);
            case 'name':
                return this.name(node.name, node.register, node.position);
            case 'unary':
                return unary(node.operator, this.evaluate(node.operand));
            case 'binary':
                return this.binary(node.operator, node.left, node.right, node.position);
            case 'cast': {
                const operand = this.evaluate(node.operand);
                return makeValue(operand.bits, node.type, operand.space);
            }
            case 'dereference': {
                const pointer = this.evaluate(node.operand);
                if (pointer.type.kind !== 'pointer') {
                    throw this.error("'*' needs to know how much to read: write *(u32*)address", node.position);
                }
                return this.load(pointer, pointer.type.to, node.position);
            }
            case 'addressOf': {
                const operand = this.evaluate(node.operand);
                if (operand.place?.kind !== 'memory') {
                    throw this.error('this has no address: it is not in memory', node.position);
                }
                const { space, address } = operand.place;
                return makeValue(address, { kind: 'pointer', to: operand.type }, space);
            }
            case 'memory':
                return this.load(this.evaluate(node.address), node.type, node.position);
            case 'index': {
                const base = this.evaluate(node.base);
                if (base.type.kind !== 'pointer') {
                    throw this.error('only a pointer can be indexed: write ((u32*)address)[index]', node.position);
                }
                return this.load(add(base, this.evaluate(node.index), 1n), base.type.to, node.position);
            }
            case 'space':
                return this.inSpace(node.prefix, this.evaluate(node.operand));
            case 'assign':
                return this.assign(node.target, node.value, node.position);
        }
    }

    private name(name: string, registerOnly: boolean, position: number): Value {
        const register = this.context.readRegister(name.toLowerCase());
        if (register !== undefined) {
            const place: Place = { kind: 'register', name: name.toLowerCase() };
            return makeValue(register.value, unsignedType(register.width), 'linear', place);
        }
        const address = registerOnly ? undefined : this.context.symbol(name);
        if (address === undefined) {
            throw this.error(`there is no register${registerOnly ? '' : ' or symbol'} '${name}'`, position);
        }
        return makeValue(address, U64);
    }

    private inSpace(prefix: string, operand: Value): Value {
        switch (prefix) {
            case 'phys':
                return makeValue(operand.bits, operand.type, 'physical');
            case 'linear':
                return makeValue(operand.bits, operand.type, 'linear');
            default: {
                const type = operand.type.kind === 'pointer' ? operand.type : U64;
                return makeValue(this.context.segmentLinear(prefix, pattern(operand)), type);
            }
        }
    }

    private load(address: Value, type: ValueType, position: number): Value {
        const at = pattern(address);
        const bytes = this.context.readMemory(address.space, at, sizeOf(type));
        if (bytes === undefined) {
            throw this.error(unreadable(address.space, at), position);
        }
        let bits = 0n;
        for (let index = bytes.length - 1; index >= 0; index--) {
            bits = (bits << 8n) | BigInt(bytes[index]);
        }
        return makeValue(bits, type, 'linear', { kind: 'memory', space: address.space, address: at });
    }

    private binary(operator: BinaryOperator, leftNode: Node, rightNode: Node, position: number): Value {
        const left = this.evaluate(leftNode);
        if (operator === '&&' || operator === '||') {
            const decided = (left.bits !== 0n) === (operator === '||');
            return truth(decided ? operator === '||' : this.evaluate(rightNode).bits !== 0n);
        }
        const right = this.evaluate(rightNode);
        if ((operator === '/' || operator === '%') && right.bits === 0n) {
            throw this.error('division by zero', position);
        }
        return arithmetic(operator, left, right);
    }

    private assign(targetNode: Node, valueNode: Node, position: number): Value {
        if (this.options.assignments !== true) {
            throw this.error("this must not change anything: '==' compares", position);
        }
        const target = this.evaluate(targetNode);
        const value = this.evaluate(valueNode);
        if (target.place === undefined) {
            throw this.error('only a register or memory can be assigned to', position);
        }
        const result = makeValue(value.bits, target.type, value.space, target.place);
        const bits = pattern(result);
        if (target.place.kind === 'register') {
            try {
                this.context.writeRegister(target.place.name, bits);
            } catch (error) {
                throw error instanceof EvaluationProblem ? this.error(error.message, position) : error;
            }
            return result;
        }
        const bytes = Uint8Array.from({ length: sizeOf(target.type) }, (_, index) =>
            Number((bits >> BigInt(8 * index)) & 0xffn),
        );
        const { space, address } = target.place;
        if (!this.context.writeMemory(space, address, bytes)) {
            throw this.error(`no memory to write at ${describeAddress(space, address)}`, position);
        }
        return result;
    }

    private error(problem: string, position: number): ExpressionError {
        return new ExpressionError(problem, this.text, position);
    }
}

function describeAddress(space: AddressSpace, address: bigint): string {
    return `${space} address 0x${address.toString(16)}`;
}

function unreadable(space: AddressSpace, address: bigint): string {
    const reason = space === 'linear' ? 'nothing is mapped there' : 'there is no RAM';
    return `no memory to read at ${describeAddress(space, address)}: ${reason}`;
}

function truth(value: boolean): Value {
    return makeValue(value ? 1n : 0n, I64);
}

function unary(operator: UnaryOperator, operand: Value): Value {
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
        if (type.kind === 'pointer') return type;
    }
    return isUnsigned64(left) || isUnsigned64(right) ? U64 : I64;
}

/** Smaller unsigned types fit a signed 64-bit number, as C's promotions have it. */
function isUnsigned64({ type }: Value): boolean {
    return type.kind === 'pointer' || (!type.signed && type.width === 64);
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
        return makeValue((left.bits + sign * right.bits) / leftStride, I64);
    }
    const bits = left.bits * (rightStride ?? 1n) + sign * right.bits * (leftStride ?? 1n);
    return makeValue(bits, commonType(left, right), commonSpace(left, right));
}

/** Bytes from one element to the next behind a pointer. */
function stride({ type }: Value): bigint | undefined {
    return type.kind === 'pointer' ? BigInt(sizeOf(type.to)) : undefined;
}

function arithmetic(operator: Exclude<BinaryOperator, '&&' | '||'>, left: Value, right: Value): Value {
    const type = commonType(left, right);
    const unsigned = type.kind === 'pointer' || !type.signed;
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
            return truth(a < b);
        case '<=':
            return truth(a <= b);
        case '>':
            return truth(a > b);
        case '>=':
            return truth(a >= b);
        case '==':
            return truth(BigInt.asUintN(64, a) === BigInt.asUintN(64, b));
        case '!=':
            return truth(BigInt.asUintN(64, a) !== BigInt.asUintN(64, b));
    }
}

function shiftType(left: Value): ValueType {
    return isUnsigned64(left) ? U64 : I64;
}
