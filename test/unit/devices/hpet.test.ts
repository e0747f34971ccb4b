import assert from 'node:assert/strict';
import { SnapshotError } from '../../../src/common/errors';
import { Hpet } from '../../../src/devices/hpet';
import { FakeClock, FakeLine } from './fake-clock';

const TICK = 10;
const CONFIG = 0x010;
const STATUS = 0x020;
const COUNTER = 0x0f0;

const LEVEL = 0x02;
const ENABLE = 0x04;
const PERIODIC = 0x08;
const SET_VALUE = 0x40;
const MODE_32 = 0x100;

class Bench {
    readonly clock: FakeClock;
    readonly pins = Array.from({ length: 24 }, () => new FakeLine());
    readonly legacy = [new FakeLine(), new FakeLine()] as const;
    readonly replacements: boolean[] = [];
    readonly hpet: Hpet;

    constructor(start = 0) {
        this.clock = new FakeClock(start);
        this.hpet = new Hpet({
            clock: this.clock,
            line: pin => this.pins[pin],
            legacyLines: this.legacy,
            legacyReplacement: enabled => this.replacements.push(enabled),
        });
    }

    read(offset: number): number {
        return this.hpet.mmio.read(offset, 4);
    }

    write(offset: number, value: number): void {
        this.hpet.mmio.write(offset, 4, value >>> 0);
    }

    /** Configuration of timer `index` with its route. */
    configure(index: number, bits: number, route = 20): void {
        this.write(0x100 + 0x20 * index, bits | (route << 9));
    }

    compare(index: number, value: number): void {
        this.write(0x108 + 0x20 * index, value);
    }

    ticks(count: number): void {
        this.clock.advance(count * TICK);
    }
}

describe('HPET', () => {
    it('describes itself: 64-bit counter of 10 ns, three timers, legacy replacement, no FSB delivery', () => {
        const bench = new Bench();
        assert.equal(bench.read(0x000), 0x8086a201);
        assert.equal(bench.read(0x004), 10_000_000);
        assert.equal(bench.read(0x100), 0x30);
        assert.equal(bench.read(0x104), 0x00f00000);
        assert.equal(bench.hpet.mmio.read(0x002, 2), 0x8086);
    });

    it('counts while enabled and carries into the upper half', () => {
        const bench = new Bench();
        bench.ticks(100);
        assert.equal(bench.read(COUNTER), 0);
        bench.write(COUNTER, 0xfffffff0);
        bench.write(COUNTER + 4, 0x12);
        bench.write(CONFIG, 1);
        bench.ticks(0x20);
        assert.equal(bench.read(COUNTER), 0x10);
        assert.equal(bench.read(COUNTER + 4), 0x13);
        bench.write(CONFIG, 0);
        bench.ticks(50);
        assert.equal(bench.read(COUNTER), 0x10);
        bench.write(CONFIG, 1);
        bench.ticks(3);
        assert.equal(bench.read(COUNTER), 0x13);
    });

    it('fires a one-shot comparator as Linux’s clock event programs it', () => {
        const bench = new Bench();
        bench.write(CONFIG, 1);
        bench.configure(2, ENABLE | MODE_32, 21);
        bench.ticks(7);
        bench.compare(2, bench.read(COUNTER) + 1000);
        bench.ticks(999);
        assert.equal(bench.pins[21].edges, 0);
        bench.ticks(1);
        assert.equal(bench.pins[21].edges, 1);
        bench.compare(2, bench.read(COUNTER) + 500);
        bench.ticks(500);
        assert.equal(bench.pins[21].edges, 2, 'each match is an edge of its own');
    });

    it('misses a comparator that is written too late, until a 32-bit counter comes round', () => {
        const bench = new Bench();
        bench.write(CONFIG, 1);
        bench.configure(0, ENABLE | MODE_32);
        bench.ticks(1000);
        bench.compare(0, 999);
        bench.ticks(2 ** 32 - 2);
        assert.equal(bench.pins[20].edges, 0);
        bench.ticks(1);
        assert.equal(bench.pins[20].edges, 1);
        const wide = new Bench();
        wide.write(CONFIG, 1);
        wide.configure(0, ENABLE);
        wide.ticks(1000);
        wide.write(0x10c, 0);
        wide.compare(0, 999);
        assert.equal(wide.clock.nextDeadline(), -1, 'a 64-bit one never does');
    });

    it('repeats with the period that follows the accumulator, without drift', () => {
        const bench = new Bench();
        bench.clock.lateness = 333;
        bench.write(CONFIG, 3);
        bench.configure(0, ENABLE | PERIODIC | SET_VALUE | MODE_32);
        bench.compare(0, 5000);
        bench.compare(0, 1000);
        bench.ticks(4900);
        assert.equal(bench.legacy[0].edges, 0);
        bench.ticks(200);
        assert.equal(bench.legacy[0].edges, 1);
        bench.ticks(1_000_000);
        assert.equal(bench.legacy[0].edges, 1001);
        assert.equal(bench.read(0x108), 1_006_000);
    });

    it('takes a 64-bit accumulator in two halves and a 64-bit period after it', () => {
        const bench = new Bench();
        bench.write(COUNTER + 4, 1);
        bench.write(CONFIG, 1);
        bench.configure(0, ENABLE | PERIODIC | SET_VALUE);
        bench.compare(0, 400);
        bench.write(0x10c, 1);
        bench.compare(0, 300);
        bench.write(0x10c, 0);
        assert.deepEqual([bench.read(0x108), bench.read(0x10c)], [400, 1]);
        bench.ticks(1000);
        assert.equal(bench.pins[20].edges, 3);
    });

    it('holds a level until its status is cleared', () => {
        const bench = new Bench();
        bench.write(CONFIG, 1);
        bench.configure(1, ENABLE | LEVEL | MODE_32, 22);
        bench.compare(1, 100);
        bench.ticks(100);
        assert.equal(bench.pins[22].asserted, true);
        assert.equal(bench.read(STATUS), 2);
        bench.write(STATUS, 1);
        assert.equal(bench.pins[22].asserted, true);
        bench.write(STATUS, 2);
        assert.equal(bench.pins[22].asserted, false);
        assert.equal(bench.read(STATUS), 0);
    });

    it('lets level-triggered timers share a pin', () => {
        const bench = new Bench();
        bench.write(CONFIG, 1);
        for (const index of [1, 2]) {
            bench.configure(index, ENABLE | LEVEL | MODE_32, 22);
            bench.compare(index, 100 * index);
        }
        bench.ticks(200);
        bench.write(STATUS, 2);
        assert.equal(bench.pins[22].asserted, true);
        bench.write(STATUS, 4);
        assert.equal(bench.pins[22].asserted, false);
    });

    it('replaces the PIT and the RTC in legacy mode, whatever the routes say', () => {
        const bench = new Bench();
        bench.configure(0, ENABLE | MODE_32);
        bench.configure(1, ENABLE | MODE_32);
        bench.compare(0, 100);
        bench.compare(1, 200);
        bench.write(CONFIG, 3);
        assert.deepEqual(bench.replacements, [true]);
        bench.ticks(200);
        assert.deepEqual([bench.legacy[0].edges, bench.legacy[1].edges, bench.pins[20].edges], [1, 1, 0]);
        bench.write(CONFIG, 1);
        assert.deepEqual(bench.replacements, [true, false]);
        assert.equal(bench.legacy[0].asserted, false);
        assert.equal(bench.pins[20].edges, 0, 'the old edge does not fire again elsewhere');
    });

    it('keeps a route that it does not offer from sticking', () => {
        const bench = new Bench();
        bench.configure(0, 0, 23);
        bench.configure(0, 0, 5);
        assert.equal((bench.read(0x100) >>> 9) & 31, 23);
    });

    it('takes a match whose alarm is late before a new comparator hides it', () => {
        const bench = new Bench();
        bench.write(CONFIG, 1);
        bench.configure(0, ENABLE | MODE_32);
        bench.compare(0, 100);
        bench.clock.stall(150 * TICK);
        bench.compare(0, 1000);
        assert.equal(bench.pins[20].edges, 1);
        bench.ticks(850);
        assert.equal(bench.pins[20].edges, 2);
    });

    it('coalesces absurd periods', () => {
        const bench = new Bench();
        bench.write(CONFIG, 1);
        bench.configure(0, ENABLE | PERIODIC | SET_VALUE | MODE_32);
        bench.compare(0, 1);
        bench.clock.advance(1_000_000);
        assert.ok(bench.clock.fired <= 1010, `${bench.clock.fired}`);
    });

    it('stands still and silent after reset', () => {
        const bench = new Bench();
        bench.write(CONFIG, 3);
        bench.configure(0, ENABLE | MODE_32);
        bench.compare(0, 100);
        bench.ticks(100);
        assert.equal(bench.legacy[0].asserted, true);
        bench.hpet.reset();
        assert.equal(bench.legacy[0].asserted, false);
        assert.deepEqual(bench.replacements, [true, false]);
        assert.equal(bench.read(COUNTER), 0);
        assert.equal(bench.clock.nextDeadline(), -1);
    });

    it('goes on after save and restore', () => {
        const bench = new Bench();
        bench.write(CONFIG, 3);
        bench.configure(0, ENABLE | PERIODIC | SET_VALUE | MODE_32);
        bench.compare(0, 5000);
        bench.compare(0, 1000);
        bench.configure(2, ENABLE | LEVEL, 21);
        bench.compare(2, 7777);
        bench.write(0x14c, 0);
        bench.clock.advance(61_234);
        const record = bench.hpet.save();
        const other = new Bench(bench.clock.now());
        other.hpet.restore(record);
        assert.deepEqual(other.hpet.save(), record);
        assert.deepEqual(other.replacements, [true]);
        for (let i = 0; i < 40; i++) {
            bench.clock.advance(7003);
            other.clock.advance(7003);
            assert.equal(other.read(COUNTER), bench.read(COUNTER));
            assert.equal(other.read(STATUS), bench.read(STATUS));
            assert.equal(other.clock.nextDeadline(), bench.clock.nextDeadline());
            assert.equal(other.pins[21].asserted, bench.pins[21].asserted);
        }
        assert.throws(() => other.hpet.restore({ ...record, kind: 'rtc' }), SnapshotError);
    });

    it('shows its timers', () => {
        const bench = new Bench();
        bench.configure(0, ENABLE | PERIODIC | MODE_32);
        const timer = bench.hpet.inspect().find(register => register.name === 'timer 0 configuration');
        assert.equal(timer?.description, 'periodic, 32-bit, edge, route 20, interrupt enabled');
    });
});
