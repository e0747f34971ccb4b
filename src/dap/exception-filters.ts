/** Exceptions as DAP's filters. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { FAULT_VECTORS, vectorName, vectorTitle } from '../debug/faults';
import { parseCondition } from '../debug/breakpoints';
import { ExpressionError } from '../debug/expression/error';
import type { FaultFilter } from '../debug/target';

const TRIPLE_FAULT = 'tripleFault';

function filterId(vector: number): string {
    return vectorName(vector).slice(1).toLowerCase();
}

const VECTOR_BY_FILTER: ReadonlyMap<string, number> = new Map(FAULT_VECTORS.map(vector => [filterId(vector), vector]));

export const EXCEPTION_FILTERS: readonly DebugProtocol.ExceptionBreakpointsFilter[] = [
    {
        filter: TRIPLE_FAULT,
        label: 'Triple fault',
        description: 'Stops where the processor shuts down because exceptions could not be delivered',
        default: true,
    },
    ...FAULT_VECTORS.map(vector => ({
        filter: filterId(vector),
        label: `${vectorName(vector)} ${vectorTitle(vector)}`,
        description: `Stops at the instruction that raises ${vectorName(vector)}, before the guest handles it`,
        default: false,
        supportsCondition: true,
        conditionDescription: 'Expression over registers and memory, such as cpl == 3',
    })),
];

export interface ChosenFilter {
    readonly filter: string;
    readonly condition?: string;
}

/** What the target has to stop at, and for each chosen filter why it cannot be. */
export function readFilters(chosen: readonly ChosenFilter[]): {
    filter: FaultFilter;
    problems: (string | undefined)[];
} {
    const vectors = new Map<number, string | undefined>();
    let tripleFault = false;
    const problems = chosen.map(({ filter, condition }) => {
        if (filter === TRIPLE_FAULT) {
            tripleFault = true;
            return undefined;
        }
        const vector = VECTOR_BY_FILTER.get(filter);
        if (vector === undefined) {
            return `there is no exception filter '${filter}'`;
        }
        const text = condition === undefined || condition.trim() === '' ? undefined : condition;
        try {
            if (text !== undefined) parseCondition(text);
        } catch (error) {
            if (error instanceof ExpressionError) return error.message;
            throw error;
        }
        vectors.set(vector, text);
        return undefined;
    });
    return { filter: { vectors, tripleFault }, problems };
}
