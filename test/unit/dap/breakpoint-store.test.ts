import assert from 'node:assert/strict';
import { RequestArguments } from '../../../src/dap/arguments';
import { BreakpointStore, type Locate } from '../../../src/dap/breakpoint-store';
import type { BreakpointRequest } from '../../../src/debug/breakpoints';
import type { DebugTarget } from '../../../src/debug/target';

describe('the store of breakpoints', () => {
    let set: string[] = [];
    const target = {
        vcpus: 1,
        setBreakpoints: async (requests: readonly BreakpointRequest[]) => {
            set = requests.map(({ id, address }) => `${id}: ${address}`);
            return requests.map(({ id }) => ({ id }));
        },
        readMemory: async () => new Uint8Array(1),
    } as unknown as DebugTarget;
    const at = (...addresses: readonly bigint[]): Locate => {
        return async () => ({ addresses });
    };
    const wanted = (name: string, locate: Locate): { args: RequestArguments; locate: Locate } => ({
        args: new RequestArguments({ name }),
        locate,
    });

    beforeEach(() => {
        set = [];
    });

    it('has the last word on what is set, however long others look for places', async () => {
        const store = new BreakpointStore(() => undefined);
        let letGo = (): void => undefined;
        const gate = new Promise<void>(resolve => (letGo = resolve));
        const slow: Locate = async () => {
            await gate;
            return { addresses: [1n] };
        };
        store.replace('function', 'function', [wanted('slow', slow)]);
        const first = store.apply(target);
        store.replace('function', 'function', [wanted('quick', at(2n))]);
        await store.apply(target, 'function');
        letGo();
        await first;
        assert.deepEqual(set, ['2: 2']);
    });

    it('sets a breakpoint once at an address, wherever it was found how often', async () => {
        const store = new BreakpointStore(() => undefined);
        store.replace('source', 'file a.c', [wanted('a.c:1', at(5n, 7n, 5n))]);
        await store.apply(target);
        assert.deepEqual(set, ['1: 5', '1: 7']);
    });

    it('keeps the id of one that stays, of each of several alike, and of none that was edited', async () => {
        const store = new BreakpointStore(() => undefined);
        const ids = async (...names: readonly string[]): Promise<(number | undefined)[]> => {
            store.replace('function', 'function', [...names.map(name => wanted(name, at(1n)))]);
            return (await store.apply(target, 'function')).map(({ id }) => id);
        };
        assert.deepEqual(await ids('a', 'a', 'b'), [1, 2, 3]);
        assert.deepEqual(await ids('b', 'a', 'c', 'a', 'a'), [3, 1, 4, 2, 5]);
    });
});
