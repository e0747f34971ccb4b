import type { MachineEvent } from '../../machine/observation/event';
import { MachineEventKind } from '../../machine/observation/kinds';
import { parseCondition } from '../breakpoints';
import { isTrue } from '../expression/arithmetic';
import { EvaluationProblem, ExpressionError } from '../expression/error';
import type { EvaluationContext } from '../expression/context';
import type { Expression } from '../expression/expression';
import { eventContext, fieldNames, hasField, listedField, readField } from './event-fields';

/** What has to hold for an event to count. */
export interface EventCondition {
    /** Whether it does. @throws HyperscopeError if that cannot be told */
    holds(event: MachineEvent, context: EvaluationContext): boolean;
}

const NUMBER = String.raw`(?:0x[0-9a-f]{1,16}|\d{1,20})`;
const LIST = new RegExp(
    String.raw`^\s*${NUMBER}\s*(?:-\s*${NUMBER}\s*)?(?:,\s*${NUMBER}\s*(?:-\s*${NUMBER}\s*)?)*$`,
    'i',
);
/** Nothing that could be an expression. */
const LIKE_A_LIST = /^[\da-fx\s-]*,[\da-fx,\s-]*$/i;
const MOST_RANGES = 256;

/**
 * Reads a condition on events of a kind: an expression over the event's fields, registers, memory and symbols, or a
 * list of numbers and ranges such as `0x3f8, 0x60-0x64`.
 *
 * @param oneCause the only cause that these events have, if there is one
 * @throws ExpressionError
 */
export function parseEventCondition(
    text: string,
    kind: MachineEventKind,
    oneCause: number | undefined,
    context: EvaluationContext | undefined,
): EventCondition {
    const listed = listedField(kind, oneCause);
    if (LIST.test(text)) {
        if (listed === undefined) {
            throw new ExpressionError(
                'these events have no number to compare with a list: write an expression',
                text,
                0,
            );
        }
        return new ListCondition(text, kind, listed);
    }
    if (LIKE_A_LIST.test(text)) {
        throw new ExpressionError('a list is numbers and ranges with commas between: 0x3f8, 0x60-0x64', text, 0);
    }
    const expression = parseCondition(text);
    for (const { name, position } of expression.names) {
        const known =
            hasField(kind, name.toLowerCase()) ||
            context === undefined ||
            context.readRegister(name.toLowerCase()) !== undefined ||
            context.symbol(name) !== undefined ||
            isVariable(name, context);
        if (!known) {
            const fields = fieldNames(kind).join(', ');
            throw new ExpressionError(
                `there is no register, symbol or field '${name}' (fields: ${fields})`,
                text,
                position,
            );
        }
    }
    return new ExpressionCondition(expression);
}

/** Whether a name begins with a variable: `statistics.faults` is one's member. */
function isVariable(name: string, context: EvaluationContext): boolean {
    const [variable] = name.split('.');
    try {
        return (context.local?.(variable, false) ?? context.global?.(variable, false)) !== undefined;
    } catch (error) {
        // There is one: whether it can be read is asked at each event.
        if (!(error instanceof EvaluationProblem)) throw error;
        return true;
    }
}

class ListCondition implements EventCondition {
    private readonly ranges: (readonly [first: bigint, last: bigint])[];
    /** Accesses cover several addresses. */
    private readonly spans: boolean;

    constructor(
        text: string,
        kind: MachineEventKind,
        private readonly field: string,
    ) {
        const items = text.split(',');
        if (items.length > MOST_RANGES) {
            throw new ExpressionError(`${items.length} ranges: at most ${MOST_RANGES} are possible`, text, 0);
        }
        let position = 0;
        this.ranges = items.map(item => {
            const [first, last = first] = item.split('-').map(number => BigInt(number.trim()));
            if (last < first) {
                throw new ExpressionError('a range begins with its lower end', text, position);
            }
            position += item.length + 1;
            return [first, last];
        });
        this.spans = kind <= MachineEventKind.MmioWrite;
    }

    holds(event: MachineEvent): boolean {
        const value = readField(event, this.field);
        const end = this.spans ? value + BigInt(Math.max(0, event.size - 1)) : value;
        return this.ranges.some(([first, last]) => value <= last && end >= first);
    }
}

class ExpressionCondition implements EventCondition {
    constructor(private readonly expression: Expression) {}

    holds(event: MachineEvent, context: EvaluationContext): boolean {
        return isTrue(this.expression.evaluate(eventContext(event, context)));
    }
}
