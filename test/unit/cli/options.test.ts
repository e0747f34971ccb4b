import assert from 'node:assert/strict';
import { parseRunOptions } from '../../../src/cli/options';
import { HELP } from '../../../src/cli/usage';

describe("the options of 'hyperscope run'", () => {
    it('ask for threads of vCPUs by one of their own, which is off', () => {
        assert.equal(parseRunOptions(['--kernel', 'kernel']).vcpuThreads, false);
        assert.equal(parseRunOptions(['--kernel', 'kernel', '--vcpu-threads']).vcpuThreads, true);
        assert.match(HELP, /^ {2}--vcpu-threads /m);
    });
});
