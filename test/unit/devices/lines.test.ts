import assert from 'node:assert/strict';
import { GatedLine, SharedLine, SplitLine } from '../../../src/devices/lines';
import { Frequency } from '../../../src/devices/frequency';
import { ByteRegion } from '../../../src/devices/byte-region';
import { FakeClock, FakeLine } from './fake-clock';

describe('interrupt wiring', () => {
    it('keeps a shared line asserted until the last source lets go', () => {
        const target = new FakeLine();
        const shared = new SharedLine(target);
        const [a, b] = [shared.input(), shared.input()];
        a.set(true);
        a.set(true);
        b.set(true);
        a.set(false);
        assert.equal(target.asserted, true);
        b.set(false);
        assert.deepEqual([target.asserted, target.edges], [false, 1]);
    });

    it('passes one source to several receivers', () => {
        const [a, b] = [new FakeLine(), new FakeLine()];
        new SplitLine(a, b).set(true);
        assert.deepEqual([a.asserted, b.asserted], [true, true]);
    });

    it('hides the source while a gated line is open and shows its level when closed', () => {
        const target = new FakeLine();
        const gated = new GatedLine(target);
        gated.set(true);
        gated.connect(false);
        assert.equal(target.asserted, false);
        gated.connect(true);
        assert.equal(target.asserted, true);
    });
});

describe('an oscillator', () => {
    it('counts exactly over months and inverts its own counting', () => {
        for (const hz of [1193182, 3579545, 32768, 100_000_000, 1_000_000_000]) {
            const frequency = new Frequency(hz);
            for (const seconds of [0, 1, 59, 86_400, 9_000_000]) {
                assert.equal(frequency.ticksAt(seconds * 1e9), seconds * hz);
            }
            for (const tick of [0, 1, 2, hz - 1, hz, hz + 1, 7_777_777 * Math.min(hz, 1e8) + 12345]) {
                const ns = frequency.timeOf(tick);
                assert.equal(frequency.ticksAt(ns), tick);
                assert.ok(ns === 0 || frequency.ticksAt(ns - 1) < tick);
            }
        }
    });

    it('refuses a frequency that it could not count without rounding', () => {
        assert.throws(() => new Frequency(999_999_937), RangeError);
    });
});

describe('an 8-bit chip on the bus', () => {
    it('sees wider accesses as bytes at ascending ports', () => {
        const written: number[][] = [];
        const region = new ByteRegion(
            offset => 0xf0 + offset,
            (offset, value) => written.push([offset, value]),
        );
        assert.equal(region.read(1, 4), 0xf4f3f2f1);
        region.write(0, 2, 0xbeef);
        assert.deepEqual(written, [
            [0, 0xef],
            [1, 0xbe],
        ]);
    });
});

describe('the fake clock', () => {
    it('fires alarms in order of deadline, then of arming, while time stands at the deadline', () => {
        const clock = new FakeClock();
        const log: string[] = [];
        const a = clock.alarm('a', () => log.push(`a@${clock.now()}`));
        const b = clock.alarm('b', () => {
            log.push(`b@${clock.now()}`);
            a.arm(30);
        });
        b.arm(20);
        a.arm(20);
        clock.advance(25);
        assert.deepEqual(log, ['b@20']);
        assert.deepEqual(clock.armed(), [{ name: 'a', deadline: 30 }]);
        clock.advance(25);
        assert.deepEqual(log, ['b@20', 'a@30']);
        assert.equal(clock.now(), 50);
    });
});
