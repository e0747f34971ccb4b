/** Evaluates expressions against a stopped vCPU. */
import { HyperscopeError } from '../../common/errors';
import { bare, findMember } from '../../symbols/types';
import { arithmetic, converted, isTrue, truth, unary } from './arithmetic';
import type { BinaryOperator, Node, TypeSpelling } from './ast';
import { castTo, storedNumber } from './casts';
import type { EvaluationContext, EvaluationOptions } from './context';
import { EvaluationProblem, ExpressionError, UnknownName } from './error';
import { assignTo, checkField, loadValue, memberOf, UNREAD } from './memory';
import { offsetOf, spelledType } from './spelled-types';
import {
    DOUBLE,
    encodeFloat,
    FLOAT,
    floatOf,
    INTEGER_TYPES,
    literal,
    makeValue,
    pattern,
    type Place,
    pointedTo,
    pointerTo,
    sizeOf,
    typeName,
    U64,
    unsignedType,
    type Value,
    type ValueType,
} from './value';

/** What booleans read as, where the program has no other meaning for it. */
const CONSTANTS: ReadonlyMap<string, Value> = new Map([
    ['true', truth(true)],
    ['false', truth(false)],
]);

/** Linux has fewer (CONFIG_NR_CPUS). */
const MOST_CPUS = 8192n;

/** One evaluation of one expression. */
export class Evaluation {
    constructor(
        private readonly text: string,
        private readonly context: EvaluationContext,
        private readonly options: EvaluationOptions,
        /** Only the type is wanted, as in `sizeof`: nothing is read or changed. */
        private readonly isForType = false,
    ) {}

    /** The type of an expression, with whatever value. @throws ExpressionError */
    private unevaluated(node: Node): Value {
        const context = Object.create(this.context) as EvaluationContext;
        context.readMemory = UNREAD.readMemory;
        return new Evaluation(this.text, context, {}, true).evaluate(node);
    }

    /** The side of `? :` that was not chosen: undefined if it fails, which does not matter unless a name is wrong. */
    private unchosen(node: Node): Value | undefined {
        try {
            return this.unevaluated(node);
        } catch (error) {
            if (error instanceof UnknownName || !(error instanceof HyperscopeError)) throw error;
            return undefined;
        }
    }

    evaluate(node: Node): Value {
        switch (node.kind) {
            case 'number':
                return literal(node.value, node.unsigned, node.type);
            case 'float':
                return node.single
                    ? makeValue(encodeFloat(node.value, 4), FLOAT)
                    : makeValue(encodeFloat(node.value, 8), DOUBLE);
            case 'name':
                return node.symbol === true
                    ? this.symbol(node.name, node.position)
                    : this.at(node.position, () => this.name(node.name, node.register, node.position));
            case 'unary':
                return this.at(node.position, () => unary(node.operator, this.scalar(node.operand)));
            case 'binary':
                return this.binary(node.operator, node.left, node.right, node.position);
            case 'conditional': {
                const holds = isTrue(this.scalar(node.condition));
                // What it lacks has to be told before the chosen side assigns anything.
                const other = this.unchosen(holds ? node.otherwise : node.then);
                const chosen = this.evaluate(holds ? node.then : node.otherwise);
                return other === undefined ? chosen : converted(chosen, other);
            }
            case 'cast':
                return this.cast(this.type(node.type), this.number(node.operand), node.position);
            case 'dereference': {
                const pointer = this.number(node.operand);
                const to = pointedTo(pointer.type);
                if (to === undefined) {
                    throw this.error("'*' needs to know how much to read: write *(u32*)address", node.position);
                }
                return this.follow(pointer, to, node.position);
            }
            case 'addressOf': {
                const operand = this.placed(node.operand);
                if (operand.place?.kind !== 'memory') {
                    throw this.error('this has no address: it is not in memory', node.position);
                }
                const { space, address, field } = operand.place;
                if (field !== undefined) {
                    throw this.error('a bit-field has no address', node.position);
                }
                return makeValue(address, pointerTo(operand.type), space);
            }
            case 'memory':
                return this.load(this.number(node.address), this.type(node.type), node.position);
            case 'index': {
                const base = this.evaluate(node.base);
                const to = pointedTo(base.type);
                if (to === undefined) {
                    throw this.error('only a pointer can be indexed: write ((u32*)address)[index]', node.position);
                }
                const index = this.number(node.index);
                if (base.image !== undefined) {
                    return this.at(node.position, () =>
                        loadValue(this.context, base, { type: to, offset: Number(index.bits) * sizeOf(to) }),
                    );
                }
                return this.load(arithmetic('+', this.available(base, node.position), index), to, node.position);
            }
            case 'member':
                return this.member(this.evaluate(node.operand), node.name, node.arrow, node.position);
            case 'sizeOfType':
                return makeValue(BigInt(sizeOf(this.sizedType(node.type))), U64);
            case 'sizeOf': {
                const { constant, type } = this.unevaluated(node.operand);
                return makeValue(BigInt(sizeOf(constant?.type ?? type)), U64);
            }
            case 'offsetOf':
                return makeValue(BigInt(this.offsetOf(this.type(node.type), node.members, node.position)), U64);
            case 'containerOf': {
                const type = this.type(node.type);
                const pointer = this.number(node.operand);
                const offset = this.offsetOf(type, node.members, node.position);
                return makeValue(pattern(pointer) - BigInt(offset), pointerTo(type), pointer.space);
            }
            case 'perCpu': {
                const cpu = pattern(this.number(node.cpu));
                const name = node.operand.kind === 'name' ? node.operand.name : '';
                const found =
                    cpu < MOST_CPUS
                        ? this.at(node.position, () => this.context.perCpu?.(name, Number(cpu), !this.isForType))
                        : undefined;
                if (found === undefined) {
                    throw this.error(`there is no per-CPU variable '${name}' of a CPU ${cpu}`, node.position);
                }
                return found;
            }
            case 'space':
                return this.inSpace(node.prefix, this.number(node.operand));
            case 'assign':
                return this.assign(node.target, node.value, node.position);
        }
    }

    /** What an expression stands for, without reading it if it is in memory: its place is what counts. */
    private placed(node: Node): Value {
        switch (node.kind) {
            case 'dereference': {
                const pointer = this.number(node.operand);
                const to = pointer.pointee === undefined ? pointedTo(pointer.type) : undefined;
                return to === undefined ? this.evaluate(node) : { ...pointer, type: to, place: placeAt(pointer) };
            }
            case 'index': {
                const base = this.placed(node.base);
                const pointer = bare(base.type).kind === 'array' ? base : this.evaluate(node.base);
                const to = pointedTo(pointer.type);
                if (to === undefined || pointer.image !== undefined) return this.evaluate(node);
                const address = arithmetic('+', this.available(pointer, node.position), this.number(node.index));
                return { ...address, type: to, place: placeAt(address) };
            }
            case 'memory': {
                const address = this.number(node.address);
                return { ...address, type: this.type(node.type), place: placeAt(address) };
            }
            case 'member': {
                const operand = node.arrow ? this.evaluate(node.operand) : this.placed(node.operand);
                const isPointer = bare(operand.type).kind === 'pointer';
                const pointer = isPointer && !node.arrow ? this.evaluate(node.operand) : operand;
                return this.member(pointer, node.name, node.arrow, node.position, false);
            }
            case 'name':
                return node.symbol === true
                    ? this.evaluate(node)
                    : this.at(node.position, () => this.name(node.name, node.register, node.position, false));
            default:
                return this.evaluate(node);
        }
    }

    /** A value that can be computed with. */
    private scalar(node: Node): Value {
        const value = this.number(node);
        const type = bare(value.type);
        if (type.kind === 'record' || type.kind === 'void') {
            throw this.error(`a value of type ${typeName(value.type)} is no number`, node.position);
        }
        if (type.kind === 'float' && floatOf(value) === undefined) {
            throw this.error(`numbers of type ${typeName(value.type)} can only be read`, node.position);
        }
        return value;
    }

    /** A value that there is. */
    private number(node: Node): Value {
        return this.available(this.evaluate(node), node.position);
    }

    private available(value: Value, position: number): Value {
        if (value.unavailable !== undefined && value.pointee === undefined && !this.isForType) {
            throw this.error(value.unavailable, position);
        }
        return value;
    }

    private symbol(name: string, position: number): Value {
        const address = this.context.symbol(name);
        if (address === undefined) {
            throw this.unknownName(`there is no symbol '${name}'`, position);
        }
        return makeValue(address, U64);
    }

    /** @param isRead whether its value is wanted, and not only its place */
    private name(name: string, registerOnly: boolean, position: number, isRead = true): Value {
        const whole = this.simpleName(name, registerOnly, isRead);
        if (whole !== undefined) {
            return whole;
        }
        // The lexer cannot tell a symbol with dots from members of a record.
        const parts = registerOnly ? [] : name.split('.');
        for (let count = parts.length - 1; count > 0; count--) {
            let value = this.simpleName(parts.slice(0, count).join('.'), false, true);
            if (value !== undefined) {
                for (let index = count; index < parts.length; index++) {
                    // On the way there may be pointers.
                    value = this.member(value, parts[index], false, position, isRead || index < parts.length - 1);
                }
                return value;
            }
        }
        const constant = registerOnly ? undefined : CONSTANTS.get(name);
        if (constant !== undefined) {
            return constant;
        }
        const unknown = parts[0] ?? name;
        const others = this.context.local === undefined ? ' or symbol' : ', variable or symbol';
        const isTable = name === 'gdtr' || name === 'idtr';
        const instead = isTable ? `, but ${name}.base and ${name}.limit` : '';
        throw this.unknownName(`there is no register${registerOnly ? '' : others} '${unknown}'${instead}`, position);
    }

    private simpleName(name: string, registerOnly: boolean, isRead: boolean): Value | undefined {
        isRead &&= !this.isForType;
        const local = registerOnly ? undefined : this.context.local?.(name, isRead);
        if (local !== undefined) {
            return local;
        }
        const register = this.context.readRegister(name.toLowerCase());
        if (register !== undefined) {
            const place: Place = { kind: 'register', name: name.toLowerCase() };
            return makeValue(register.value, unsignedType(register.width), 'linear', place);
        }
        if (registerOnly) {
            return undefined;
        }
        const global = this.context.global?.(name, isRead);
        if (global !== undefined) {
            return global;
        }
        const address = this.context.symbol(name);
        return address === undefined ? undefined : makeValue(address, U64);
    }

    /** @param isRead whether its value is wanted, and not only its place */
    private member(operand: Value, name: string, arrow: boolean, position: number, isRead = true): Value {
        const target = bare(operand.type);
        let record = operand;
        if (target.kind === 'pointer' || (arrow && target.kind === 'array')) {
            // Like gdb, take '.' for '->': there is nothing else that it could mean.
            record = this.follow(this.available(operand, position), pointedTo(operand.type)!, position);
        } else if (arrow) {
            throw this.error(`'->' needs a pointer, and this is of type ${typeName(operand.type)}`, position);
        }
        const type = bare(record.type);
        if (type.kind !== 'record') {
            throw this.error(`a value of type ${typeName(record.type)} has no members`, position);
        }
        if (!type.complete) {
            throw this.error(`what ${typeName(type)} consists of is not known`, position);
        }
        const member = findMember(type, name);
        if (member === undefined) {
            throw this.error(`${typeName(type)} has no member '${name}'`, position);
        }
        if (!isRead && record.image === undefined && record.place?.kind === 'memory') {
            const { place } = record;
            const address = BigInt.asUintN(64, place.address + BigInt(member.offset));
            const field = member.bits && { offset: member.bits.offset - member.offset * 8, size: member.bits.size };
            return { ...makeValue(address, member.type, place.space), place: { ...place, address, field } };
        }
        return this.at(position, () => memberOf(this.context, record, member));
    }

    private cast(type: ValueType, operand: Value, position: number): Value {
        return this.at(position, () => castTo(type, operand, this.isForType));
    }

    private offsetOf(type: ValueType, members: readonly string[], position: number): number {
        return this.at(position, () => offsetOf(type, members));
    }

    private type(spelling: TypeSpelling): ValueType {
        return this.at(spelling.position, () => spelledType(spelling, this.context, this.text));
    }

    /** What stands in the parentheses of `sizeof`: a lone name is a variable, if there is one. */
    private sizedType(spelling: TypeSpelling): ValueType {
        const { base, pointers, dimensions } = spelling;
        if (base.kind === 'name' && pointers === 0 && dimensions.length === 0) {
            const { name } = base;
            const { position } = spelling;
            const variable = this.at(
                position,
                () => this.context.local?.(name, false) ?? this.context.global?.(name, false),
            );
            if (variable !== undefined) return variable.type;
            const isType = this.at(position, () => INTEGER_TYPES.has(name) || this.context.type?.(name) !== undefined);
            if (!isType) return this.unevaluated({ kind: 'name', name, register: false, position }).type;
        }
        return this.type(spelling);
    }

    /** What a pointer points to. */
    private follow(pointer: Value, to: ValueType, position: number): Value {
        return pointer.pointee?.() ?? this.load(pointer, to, position);
    }

    private load(address: Value, type: ValueType, position: number): Value {
        const { kind } = bare(type);
        if (kind === 'void') {
            throw this.error('void has no value: cast the pointer to what it points to', position);
        }
        return this.at(position, () =>
            loadValue(
                this.context,
                { ...address, type, image: undefined, place: placeAt(address) },
                { type, offset: 0 },
            ),
        );
    }

    /** Errors of what does not know the position. */
    private at<T>(position: number, action: () => T): T {
        try {
            return action();
        } catch (error) {
            throw error instanceof EvaluationProblem ? this.error(error.message, position) : error;
        }
    }

    private inSpace(prefix: string, operand: Value): Value {
        switch (prefix) {
            case 'phys':
                return makeValue(operand.bits, operand.type, 'physical');
            case 'linear':
                return makeValue(operand.bits, operand.type, 'linear');
            default: {
                const type = bare(operand.type).kind === 'pointer' ? operand.type : U64;
                return makeValue(this.context.segmentLinear(prefix, pattern(operand)), type);
            }
        }
    }

    private binary(operator: BinaryOperator, leftNode: Node, rightNode: Node, position: number): Value {
        const cast = this.castBefore(operator, leftNode, rightNode);
        if (cast !== undefined) {
            return cast;
        }
        const left = this.scalar(leftNode);
        if (operator === '&&' || operator === '||') {
            const decided = isTrue(left) === (operator === '||');
            return truth(decided ? operator === '||' : isTrue(this.scalar(rightNode)));
        }
        const divisor = this.isForType && (operator === '/' || operator === '%');
        const right = divisor ? notZero(this.scalar(rightNode)) : this.scalar(rightNode);
        return this.at(position, () => arithmetic(operator, left, right));
    }

    /** `(name) - x`, where the name turns out to be one of a type and of nothing else. */
    private castBefore(operator: BinaryOperator, leftNode: Node, operand: Node): Value | undefined {
        const isAmbiguous = leftNode.kind === 'name' && !leftNode.register && leftNode.symbol !== true;
        if (!isAmbiguous || !['-', '+', '*', '&'].includes(operator) || operand.kind === 'binary') {
            return undefined;
        }
        const { name, position } = leftNode;
        const type = this.at(position, () =>
            this.simpleName(name, false, false) === undefined ? this.context.type?.(name) : undefined,
        );
        if (type === undefined) {
            return undefined;
        }
        const made: Node =
            operator === '*'
                ? { kind: 'dereference', operand, position }
                : operator === '&'
                  ? { kind: 'addressOf', operand, position }
                  : { kind: 'unary', operator: operator as '-' | '+', operand, position };
        return this.cast(type, this.number(made), position);
    }

    private assign(targetNode: Node, valueNode: Node, position: number): Value {
        if (this.isForType) {
            const { type } = this.evaluate(targetNode);
            return this.cast(type, this.scalar(valueNode), position);
        }
        if (this.options.assignments !== true) {
            throw this.error("this must not change anything: '==' compares", position);
        }
        const target = this.evaluate(targetNode);
        const { kind } = bare(target.type);
        if (kind === 'record' || kind === 'array') {
            const parts = kind === 'record' ? 'members' : 'elements';
            throw this.error(`a value of type ${typeName(target.type)} is changed by its ${parts}`, position);
        }
        const given = this.scalar(valueNode);
        const value = this.cast(target.type, given, position);
        const { place } = target;
        if (place === undefined) {
            throw this.error(target.unavailable ?? 'only a register or memory can be assigned to', position);
        }
        const { field } = place.kind === 'memory' ? place : {};
        if (field !== undefined) {
            // The number itself: the cast may have cut it down to one that fits.
            this.at(position, () => checkField(storedNumber(target.type, given), target.type, field.size));
        }
        const result: Value = { ...value, place };
        this.at(position, () => assignTo(this.context, result));
        return result;
    }

    private unknownName(problem: string, position: number): UnknownName {
        return new UnknownName(problem, this.text, position);
    }

    private error(problem: string, position: number): ExpressionError {
        return new ExpressionError(problem, this.text, position);
    }
}

/** Of a divisor whose type alone counts. */
function notZero(value: Value): Value {
    const { constant } = value;
    return floatOf(value) === undefined
        ? { ...value, bits: 1n, constant: constant && { ...constant, bits: 1n } }
        : value;
}

function placeAt(address: Value): Place {
    return { kind: 'memory', space: address.space, address: pattern(address) };
}
