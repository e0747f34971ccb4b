import assert from 'node:assert/strict';
import { parseRunOptions } from '../../../src/cli/options';
import { HELP } from '../../../src/cli/usage';

describe("the options of 'hyperscope run'", () => {
    it('give each vCPU a thread, unless one of them says no', () => {
        assert.equal(parseRunOptions(['--kernel', 'kernel']).vcpuThreads, true);
        assert.equal(parseRunOptions(['--kernel', 'kernel', '--no-vcpu-threads']).vcpuThreads, false);
        assert.match(HELP, /^ {2}--no-vcpu-threads /m);
    });
});
