import assert from 'node:assert/strict';
import type { BreakpointRequest } from '../../../src/debug/breakpoints';
import type { BreakpointStatus, DebugTarget } from '../../../src/debug/target';
import type { WatchpointRequest } from '../../../src/debug/watchpoints';
import { type Point, Points } from '../../../src/gdb/breakpoints';
import { PointKind } from '../../../src/gdb/point-kind';

/** Takes breakpoints, and has something against watchpoints. */
class Target {
    readonly calls: string[] = [];

    setBreakpoints = async (requests: readonly BreakpointRequest[]): Promise<BreakpointStatus[]> => {
        this.calls.push(requests.map(({ id, address }) => `${id}:${address.toString(16)}`).join(' '));
        return requests.map(({ id }) => ({ id }));
    };

    setWatchpoints = async (requests: readonly WatchpointRequest[]): Promise<BreakpointStatus[]> =>
        requests.map(({ id }) => ({ id, problem: 'nobody watches here' }));
}

const point = (kind: PointKind, address: bigint): Point => ({
    kind,
    address,
    length: 1,
    condition: undefined,
    physical: false,
});

describe('what gdb stops at', () => {
    it('is handed over when the guest goes on, and only if it has changed', async () => {
        const target = new Target();
        const points = new Points(target as unknown as DebugTarget);
        for (let round = 0; round < 3; round++) {
            points.insert(point(PointKind.Software, 0x1000n));
            points.insert(point(PointKind.Hardware, 0x2000n));
            assert.deepEqual(await points.apply(), []);
            points.remove(point(PointKind.Software, 0x1000n));
            points.remove(point(PointKind.Hardware, 0x2000n));
        }
        await points.apply();

        assert.deepEqual(target.calls, ['1:1000 2:2000', '']);
    });

    it('comes with what the target has against it', async () => {
        const points = new Points(new Target() as unknown as DebugTarget);
        points.insert(point(PointKind.Write, 0x3000n));

        assert.deepEqual(await points.apply(), ['the stop at 0x3000 does not work: nobody watches here']);
    });
});
