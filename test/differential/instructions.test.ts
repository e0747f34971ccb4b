/**
 * Instructions against the host CPU, on every tier.
 *
 *   HYPERSCOPE_CASES=1000000    that many cases
 *   HYPERSCOPE_SEED=7           other cases
 *   HYPERSCOPE_ROWS='^IMUL'     only rows whose mnemonic matches
 *   HYPERSCOPE_REPLAY=…         only this case, as a failure printed it
 */
import assert from 'node:assert/strict';
import { ROWS } from '../../src/isa/x86';
import { nativeX86, needs } from '../support/requirements';
import { Random } from '../support/random';
import { isTested } from './instructions/exclusions';
import { CaseGenerator } from './instructions/generate';
import { InstructionCase } from './instructions/layout';
import { prepareOracle } from './instructions/oracle';
import { describeFailure, instructionsOf, Session } from './instructions/session';
import type { Tier } from './instructions/machine';

const CASES = Number(process.env.HYPERSCOPE_CASES ?? 60_000);
const SEED = Number(process.env.HYPERSCOPE_SEED ?? 1);
const BATCH = 2000;
const SHOWN = 20;
/** One batch in so many also runs on the tiers besides the two that guests run on. */
const EVALUATED = 4;
const TIERS: readonly Tier[] = ['interpreter', 'region', 'evaluator', 'device', 'device-region'];

describe('instructions against the host CPU', function () {
    this.timeout(0);

    before(function () {
        needs(this, nativeX86);
        const reason = prepareOracle();
        if (reason !== undefined) {
            throw new Error(reason);
        }
    });

    it('gives the same results, flags and faults on every tier', () => {
        const session = new Session(TIERS);
        const { HYPERSCOPE_REPLAY: replay, HYPERSCOPE_ROWS: pattern } = process.env;
        if (replay !== undefined) {
            const test = InstructionCase.replayed(replay);
            session.run([{ test, instructions: instructionsOf(test) }]);
        } else {
            const rows = ROWS.filter(row => isTested(row) && new RegExp(pattern ?? '').test(row.mnemonic));
            const generator = new CaseGenerator(new Random(SEED), rows);
            for (let done = 0; done < CASES; done += BATCH) {
                const cases = Array.from({ length: Math.min(BATCH, CASES - done) }, () => generator.generate());
                // The evaluator is slow, and its own unit tests hold it to WebAssembly.
                session.run(cases, done % (EVALUATED * BATCH) === 0 ? [] : ['evaluator', 'device', 'device-region']);
            }
        }
        for (const [tier, figures] of session.figures) {
            console.log(`      ${tier}: ${JSON.stringify(figures)}`);
        }
        const shown = session.failures.slice(0, SHOWN).map(describeFailure);
        assert.equal(session.failures.length, 0, `\n${shown.join('\n')}`);
    });
});
