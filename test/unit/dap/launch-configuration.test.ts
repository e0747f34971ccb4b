import assert from 'node:assert/strict';
import { readLaunchConfiguration } from '../../../src/dap/launch-configuration';

describe('a launch configuration', () => {
    it('asks for threads of vCPUs by an attribute of its own, which is off', () => {
        const read = (attributes: object): boolean =>
            readLaunchConfiguration({ kernel: 'kernel', ...attributes }).vcpuThreads;
        assert.equal(read({}), false);
        assert.equal(read({ vcpuThreads: null }), false);
        assert.equal(read({ vcpuThreads: true }), true);
        assert.throws(() => read({ vcpuThreads: 'yes' }), /^RequestError: vcpuThreads: takes .*, not "yes"$/);
    });
});
