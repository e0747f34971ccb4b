import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { compileProgram } from '../../support/compiled';
import { needs, tool } from '../../support/requirements';
import { damaged, randomNumbers, readEverything } from '../../support/symbol-fuzz';

/** Set it to try more files: HYPERSCOPE_FUZZ=100000. */
const COUNT = Number(process.env.HYPERSCOPE_FUZZ ?? 600);
/** Host milliseconds that no file of this size may take, by far. */
const LONGEST = 10_000;

describe('damaged symbol files', function () {
    this.timeout(0);

    before(function () {
        needs(this, tool('gcc'));
    });

    for (const options of [
        ['-gdwarf-5', '-O2'],
        ['-gdwarf-4', '-O2', '-fdebug-types-section'],
        ['-gdwarf-2'],
        ['-c', '-gdwarf-5'],
        ['-c', '-gdwarf-4', '-fdebug-types-section'],
    ]) {
        it(`end in typed errors, and soon: ${options.join(' ')}`, () => {
            const original = new Uint8Array(readFileSync(compileProgram(...options)));
            readEverything(original);
            for (let seed = 0; seed < COUNT / 5; seed++) {
                const bytes = damaged(original, randomNumbers(seed));
                const started = performance.now();
                try {
                    readEverything(bytes);
                } catch (error) {
                    assert.fail(`seed ${seed}: ${(error as Error).stack}`);
                }
                const took = performance.now() - started;
                assert.ok(took < LONGEST, `seed ${seed} took ${took} ms`);
            }
        });
    }
});
