/** Where breakpoints on functions go, by what a target tells of their names. */
import assert from 'node:assert/strict';
import { HyperscopeError } from '../../../src/common/errors';
import { locateFunction } from '../../../src/dap/breakpoint-store';
import { locateFailure } from '../../../src/dap/linux-stops';
import type { DebugTarget } from '../../../src/debug/target';

/** A target that has symbols, and functions whose paths end in a name. */
function targetWith(symbols: Readonly<Record<string, bigint>>, paths: Readonly<Record<string, bigint[]>>): DebugTarget {
    const target = {
        sourceLines: { functionsNamed: (name: string) => Promise.resolve(paths[name] ?? []) },
        evaluate: (_vcpu: number, expression: string) => {
            const address = symbols[expression.replace(/^`(.*)`$/, '$1')];
            return address === undefined
                ? Promise.reject(new HyperscopeError(`'${expression}' is no expression`))
                : Promise.resolve({ value: { bits: address } });
        },
    };
    return target as unknown as DebugTarget;
}

describe('places of breakpoints on functions', () => {
    it("are a kernel's own where it fails, whatever else has a path that ends so", async () => {
        const paths = { panic: [0x1000n, 0x400000n], oops_begin: [0x400100n] };
        const kernel = targetWith({ linux_banner: 0x2000n, panic: 0x1000n, oops_begin: 0x1100n }, paths);
        assert.deepEqual(await locateFailure(kernel, 'panic'), { addresses: [0x1000n] });
        assert.deepEqual(await locateFailure(kernel, 'oops'), { addresses: [0x1100n] });
        const other = await locateFailure(targetWith({ panic: 0x1000n }, paths), 'panic');
        assert.deepEqual(other, { problem: 'waits for the names of a Linux kernel' });
    });

    it('are told to be unknown for a path that no function has', async () => {
        const target = targetWith({ main: 0x1000n }, { 'ns::f': [0x2000n, 0x3000n] });
        assert.deepEqual(await locateFunction(target, 'ns::f'), { addresses: [0x2000n, 0x3000n] });
        for (const name of ['kernel::nowhere', 'ns::f<int>', 'ns::~F']) {
            assert.deepEqual(await locateFunction(target, name), { problem: `there is no function '${name}'` });
        }
        assert.deepEqual(await locateFunction(target, 'main'), { addresses: [0x1000n] });
    });
});
