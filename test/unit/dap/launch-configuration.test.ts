import assert from 'node:assert/strict';
import { readLaunchConfiguration } from '../../../src/dap/launch-configuration';

describe('a launch configuration', () => {
    it('gives each vCPU a thread, unless an attribute says no', () => {
        const read = (attributes: object): boolean =>
            readLaunchConfiguration({ kernel: 'kernel', ...attributes }).vcpuThreads;
        assert.equal(read({}), true);
        assert.equal(read({ vcpuThreads: null }), true);
        assert.equal(read({ vcpuThreads: false }), false);
        assert.throws(() => read({ vcpuThreads: 'yes' }), /^RequestError: vcpuThreads: takes .*, not "yes"$/);
    });
});
