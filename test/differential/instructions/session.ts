/** Runs generated cases on the host CPU and on every tier, and collects the differences. */

import { type CodeSize, decode, formatInstruction, type Instruction } from '../../../src/isa/x86';
import { differences, isExcluded } from './compare';
import { isOutOfReach } from './exclusions';
import type { GeneratedCase } from './generate';
import { CODE_SIZES, type InstructionCase } from './layout';
import { TestMachine, type Tier } from './machine';
import { runOnHost } from './oracle';

export interface Failure {
    readonly tier: Tier;
    readonly test: InstructionCase;
    readonly instructions: readonly Instruction[];
    readonly differences: readonly string[];
}

export interface TierFigures {
    cases: number;
    /** Cases whose code ran in a translated region. */
    translated: number;
    /** Not executed by the evaluator: a fault, or several blocks. */
    notEvaluated: number;
    /** Not compared: the code reached memory of the oracle's process. */
    outOfReach: number;
    /** Not compared: processors may differ here, see exclusions.ts. */
    excluded: number;
    compared: number;
    failed: number;
}

export class Session {
    readonly failures: Failure[] = [];
    readonly figures = new Map<Tier, TierFigures>();
    private readonly machines: TestMachine[];

    constructor(tiers: readonly Tier[]) {
        this.machines = tiers.map(tier => new TestMachine(tier));
        for (const tier of tiers) {
            this.figures.set(tier, {
                cases: 0,
                translated: 0,
                notEvaluated: 0,
                outOfReach: 0,
                excluded: 0,
                compared: 0,
                failed: 0,
            });
        }
    }

    /** Runs the cases on all tiers but those to be left out. */
    run(cases: readonly GeneratedCase[], except: readonly Tier[] = []): void {
        const host = runOnHost(cases.map(({ test }) => test));
        for (const machine of this.machines.filter(({ tier }) => !except.includes(tier))) {
            const figures = this.figures.get(machine.tier)!;
            machine.runAll(cases, (result, i, translated) => {
                const { test, instructions } = cases[i];
                figures.cases++;
                if (translated) {
                    figures.translated++;
                }
                let found: readonly string[];
                if (result instanceof Error) {
                    found = [`threw ${result.stack?.split('\n').slice(0, 6).join(' | ')}`];
                } else if (result === undefined) {
                    figures.notEvaluated++;
                    return;
                } else if (host[i] === undefined || isOutOfReach(test, result)) {
                    figures.outOfReach++;
                    return;
                } else if (isExcluded(instructions, host[i], result)) {
                    figures.excluded++;
                    return;
                } else {
                    figures.compared++;
                    found = compareTwice(test, instructions, host[i], result);
                }
                if (found.length > 0) {
                    figures.failed++;
                    this.failures.push({ tier: machine.tier, test, instructions, differences: found });
                }
            });
        }
    }
}

/** Differences that do not come from an earlier case having damaged the oracle. */
function compareTwice(
    test: InstructionCase,
    instructions: readonly Instruction[],
    host: DataView,
    ours: DataView,
): string[] {
    if (differences(test, instructions, host, ours).length === 0) {
        return [];
    }
    const [again] = runOnHost([test]);
    return again === undefined ? [] : differences(test, instructions, again, ours);
}

/** The instructions of a case, as decoded from its bytes. */
export function instructionsOf(test: InstructionCase): Instruction[] {
    const { code } = test;
    const bytes = new Uint8Array(64);
    bytes.set(code);
    const instructions: Instruction[] = [];
    for (let position = 0; position < code.length;) {
        const instruction = decode(bytes, position, bytes.length, CODE_SIZES[test.kind] as CodeSize);
        if (typeof instruction === 'number') {
            break;
        }
        instructions.push(instruction);
        position += instruction.length;
    }
    return instructions;
}

export function describeCode(test: InstructionCase, instructions: readonly Instruction[]): string {
    let position = 0;
    return instructions
        .map(instruction => {
            const text = formatInstruction(instruction, BigInt(test.entry + position));
            const bytes = Buffer.from(test.code.subarray(position, position + instruction.length)).toString('hex');
            position += instruction.length;
            return `${bytes} ${text}`;
        })
        .join('; ');
}

/** Everything needed to see and repeat a failure. */
export function describeFailure({ tier, test, instructions, differences: found }: Failure): string {
    const kind = ['64-bit', '32-bit', '32-bit segmented', '16-bit'][test.kind];
    return [
        `${tier}, ${kind}: ${describeCode(test, instructions)}`,
        ...found.map(line => `    ${line}`),
        `    HYPERSCOPE_REPLAY=${test.toReplay()}`,
    ].join('\n');
}
