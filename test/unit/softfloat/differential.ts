/** Comparing an implementation with the oracle, case by case. */

import { type Oracle, type OracleCase, type OracleResult } from './oracle';
import { Random } from './operands';

/** Cases for each operation; the environment variable multiplies them. */
const CASES = 8000 * Number(process.env['HYPERSCOPE_SOFTFLOAT_SCALE'] ?? 1);

const SEED = 0x2545f491;

/** How many cases `compareWithHost` has compared so far. */
export let comparedCases = 0;

/** How one operation is compared. */
export interface Comparison {
    readonly operation: string;
    /** Makes the next case. */
    readonly generate: () => OracleCase;
    /** Describes what the implementation makes of a case, in the terms in which `observe` describes the CPU's result. */
    readonly expect: (input: OracleCase) => string;
    readonly observe: (output: OracleResult, input: OracleCase) => string;
    readonly cases?: number;
}

/** Runs an operation on both sides and lists the first few differences; empty when there are none. */
export function compareWithHost(oracle: Oracle, comparison: Comparison): string[] {
    const { operation, generate, expect, observe, cases = CASES } = comparison;
    const inputs = Array.from({ length: cases }, generate);
    const outputs = oracle.run(operation, inputs);
    const differences: string[] = [];
    inputs.forEach((input, index) => {
        const [ours, host] = [expect(input), observe(outputs[index], input)];
        if (ours !== host) {
            differences.push(`${operation} ${describe(input)}\n    ours ${ours}\n    host ${host}`);
        }
    });
    comparedCases += cases;
    return differences;
}

/** A generator of its own for each operation, so that adding one does not change the others' cases. */
export function randomFor(operation: string): Random {
    let seed = SEED;
    for (const character of operation) {
        seed = (Math.imul(seed, 31) + character.charCodeAt(0)) | 0;
    }
    return new Random(seed || 1);
}

/** Renders operands and results in hexadecimal. */
export function hexadecimal(value: unknown): string {
    if (typeof value === 'number' || typeof value === 'bigint') {
        return value.toString(16);
    }
    const { signExponent, significand } = value as { signExponent: number; significand: bigint };
    return `${signExponent.toString(16).padStart(4, '0')}:${significand.toString(16).padStart(16, '0')}`;
}

function describe(input: OracleCase): string {
    return Object.entries(input)
        .map(([name, value]) => `${name}=${hexadecimal(value)}`)
        .join(' ');
}
