import assert from 'node:assert/strict';
import { parseRunOptions } from '../../../src/cli/options';
import { HELP } from '../../../src/cli/usage';

describe("the options of 'hyperscope run'", () => {
    it('give each vCPU a thread, unless one of them says no', () => {
        assert.equal(parseRunOptions(['--kernel', 'kernel']).vcpuThreads, true);
        assert.equal(parseRunOptions(['--kernel', 'kernel', '--no-vcpu-threads']).vcpuThreads, false);
        assert.match(HELP, /^ {2}--no-vcpu-threads /m);
    });

    it('say what to write instead of an argument or an option that there is not', () => {
        assert.throws(
            () => parseRunOptions(['kernel.elf']),
            /^.*Unexpected argument 'kernel\.elf': what to run is given as --kernel FILE or --firmware FILE$/,
        );
        assert.throws(() => parseRunOptions(['--krnel', 'x']), /Unknown option '--krnel': 'hyperscope help' lists/);
        // What Node says of values is enough.
        assert.throws(() => parseRunOptions(['--memory', '-5']), /'--memory' argument is ambiguous$/);
    });
});
