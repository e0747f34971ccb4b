import assert from 'node:assert/strict';
import { hostAbilities, isEmulated } from '../../../src/kvm/host-trial';
import { kvm, needs } from '../../support/requirements';

describe('the trial of debug registers', () => {
    before(function () {
        needs(this, kvm);
    });

    it('finds that execution at CPL 0 is stopped anywhere, and all of it where there is hardware', () => {
        const abilities = hostAbilities();
        assert.equal(abilities.kernelCode, true);
        if (!isEmulated()) {
            assert.deepEqual(abilities, {
                kernelCode: true,
                data: true,
                userCode: true,
                syscall: true,
                userCpuid: true,
            });
        }
    });

    it('is made once', () => {
        assert.equal(hostAbilities(), hostAbilities());
    });
});
