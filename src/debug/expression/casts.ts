/** Values as those of other types: casts, and what `=` stores. */
import { bare } from '../../symbols/types';
import { isTrue, truth } from './arithmetic';
import { EvaluationProblem } from './error';
import { encodeFloat, floatOf, inC, isTyped, makeValue, typeName, type Value, type ValueType } from './value';

/**
 * @param isForType whether only the type counts: it does not matter then that the number is not known
 * @throws EvaluationProblem for what C does not cast, and for numbers that cannot be computed with
 */
export function castTo(type: ValueType, operand: Value, isForType: boolean): Value {
    const to = bare(type);
    const from = bare(operand.type).kind;
    if (from === 'record' || from === 'void') {
        throw new EvaluationProblem(`a value of type ${typeName(operand.type)} is no number`);
    }
    if (isTyped(type)) {
        operand = inC(operand);
    }
    const number = floatOf(operand);
    if (from === 'float' && number === undefined && !isForType) {
        throw new EvaluationProblem(`numbers of type ${typeName(operand.type)} can only be read`);
    }
    switch (to.kind) {
        case 'float':
            if ((to.size !== 4 && to.size !== 8) || to.complex === true) {
                throw new EvaluationProblem(`numbers of type ${typeName(type)} can only be read`);
            }
            return { ...makeValue(encodeFloat(number ?? Number(operand.bits), to.size), type), space: operand.space };
        case 'integer':
        case 'enum':
        case 'pointer':
            return makeValue(storedNumber(type, operand), type, operand.space);
        default:
            throw new EvaluationProblem(`nothing can be cast to ${typeName(type)}: cast to a pointer to it`);
    }
}

/** The whole number that an integer type is given, before it is cut down to what the type holds. */
export function storedNumber(type: ValueType, value: Value): bigint {
    const to = bare(type);
    if (to.kind === 'integer' && to.reads === 'boolean') {
        return truth(isTrue(value)).bits;
    }
    const number = floatOf(value);
    return number === undefined ? value.bits : BigInt(Math.trunc(Number.isFinite(number) ? number : 0));
}
