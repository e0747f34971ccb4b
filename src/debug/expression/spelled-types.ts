/** What the types in an expression's text mean. */
import { bare, findMember } from '../../symbols/types';
import type { TypeSpelling } from './ast';
import type { EvaluationContext } from './context';
import { EvaluationProblem, UnknownName } from './error';
import { INTEGER_TYPES, pointerTo, typeName, type ValueType } from './value';

/**
 * @param text the whole expression, for the message
 * @throws UnknownName
 */
export function spelledType(
    { base, pointers, dimensions, position }: TypeSpelling,
    context: EvaluationContext,
    text: string,
): ValueType {
    let type: ValueType | undefined;
    switch (base.kind) {
        case 'known':
            ({ type } = base);
            break;
        case 'tag':
            type = context.type?.(base.name, base.keyword);
            break;
        case 'name':
            type = INTEGER_TYPES.get(base.name) ?? context.type?.(base.name);
    }
    if (type === undefined) {
        const name = base.kind === 'tag' ? `${base.keyword} ${base.name}` : base.kind === 'name' ? base.name : '';
        const looked = context.type === undefined ? ': there is no debug information' : '';
        throw new UnknownName(`there is no type '${name}'${looked}`, text, position);
    }
    for (let count = 0; count < pointers; count++) type = pointerTo(type);
    return dimensions.reduceRight<ValueType>((element, count) => ({ kind: 'array', element, count }), type);
}

/** Bytes to a member, or to a member of a member. @throws EvaluationProblem if there is none */
export function offsetOf(type: ValueType, members: readonly string[]): number {
    let offset = 0;
    for (const name of members) {
        const record = bare(type);
        const member = record.kind === 'record' ? findMember(record, name) : undefined;
        if (member === undefined) {
            throw new EvaluationProblem(`${typeName(type)} has no member '${name}'`);
        }
        offset += member.offset;
        type = member.type;
    }
    return offset;
}
