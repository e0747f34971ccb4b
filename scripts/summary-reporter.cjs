'use strict';

const fs = require('node:fs');
const { reporters, Runner } = require('mocha');

/** The reason that test/support/requirements.ts left on a test or a suite around it; undefined for a bare skip. */
function skipReason(test) {
    for (let item = test; item !== undefined; item = item.parent) {
        if (item.skipReason !== undefined) return item.skipReason;
    }
    return undefined;
}

/**
 * Mocha's `spec` report for the reader, and the counts for scripts/test.mjs: it writes
 * `{ passed, failed, skipped: [{ title, reason? }], again: [title] }` as JSON to the file that the reporter option
 * `summary` names; `again` are the tests that were tried again.
 */
module.exports = class SummaryReporter extends reporters.Spec {
    constructor(runner, options) {
        super(runner, options);
        const skipped = [];
        const again = new Set();
        runner.on(Runner.constants.EVENT_TEST_PENDING, test => {
            skipped.push({ title: test.fullTitle(), reason: skipReason(test) });
        });
        // Mocha shows only what the last try failed with.
        runner.on(Runner.constants.EVENT_TEST_RETRY, (test, error) => {
            again.add(test.fullTitle());
            reporters.Base.consoleLog(`      ${test.title}: tried again after ${error.stack ?? error}`);
        });
        runner.once(Runner.constants.EVENT_RUN_END, () => {
            const summary = { passed: this.stats.passes, failed: this.stats.failures, skipped, again: [...again] };
            fs.writeFileSync(options.reporterOptions.summary, JSON.stringify(summary));
        });
    }
};
