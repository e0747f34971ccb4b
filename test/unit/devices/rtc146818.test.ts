import assert from 'node:assert/strict';
import { SnapshotError } from '../../../src/common/errors';
import { Rtc146818 } from '../../../src/devices/rtc146818';
import { FakeClock, FakeLine } from './fake-clock';

const SECOND = 1_000_000_000;
const MILLISECOND = 1_000_000;

class Bench {
    readonly clock: FakeClock;
    readonly irq = new FakeLine();
    readonly rtc: Rtc146818;

    constructor(date = '2024-02-28T23:59:58Z', start = 0) {
        this.clock = new FakeClock(start);
        this.rtc = new Rtc146818({ clock: this.clock, irq: this.irq, epochSeconds: Date.parse(date) / 1000 });
    }

    read(index: number): number {
        this.rtc.registers.write(0, 1, index);
        return this.rtc.registers.read(1, 1);
    }

    write(index: number, value: number): void {
        this.rtc.registers.write(0, 1, index);
        this.rtc.registers.write(1, 1, value);
    }

    /** Century, year, month, day, hours, minutes, seconds as they stand in memory. */
    time(): string {
        return [0x32, 9, 8, 7, 4, 2, 0].map(index => this.read(index).toString(16).padStart(2, '0')).join(' ');
    }
}

describe('real-time clock: time', () => {
    it('starts at the injected date in BCD and 24 hours, and carries into the next year’s units', () => {
        const bench = new Bench();
        assert.equal(bench.time(), '20 24 02 28 23 59 58');
        assert.equal(bench.read(6), 4, 'a Wednesday');
        bench.clock.advance(2 * SECOND);
        assert.equal(bench.time(), '20 24 02 29 00 00 00');
        assert.equal(bench.read(6), 5);
        bench.clock.advance(24 * 3600 * SECOND);
        assert.equal(bench.time(), '20 24 03 01 00 00 00');
    });

    it('passes midnight of the century and long idle times', () => {
        const bench = new Bench('1999-12-31T23:59:59Z');
        bench.clock.advance(SECOND);
        assert.equal(bench.time(), '20 00 01 01 00 00 00');
        bench.clock.advance(100 * 24 * 3600 * SECOND + 12 * SECOND);
        assert.equal(bench.time(), '20 00 04 10 00 00 12');
    });

    it('counts in binary and in 12 hours when told to', () => {
        const bench = new Bench();
        bench.write(0x0b, 0x84);
        for (const [index, value] of [
            [0, 59],
            [2, 59],
            [4, 0x80 | 11],
            [7, 31],
            [8, 12],
            [9, 99],
            [0x32, 20],
        ]) {
            bench.write(index, value);
        }
        bench.write(0x0b, 0x04);
        bench.clock.advance(SECOND);
        assert.deepEqual(
            [0x32, 9, 8, 7, 4, 2, 0].map(index => bench.read(index)),
            [21, 0, 1, 1, 12, 0, 0],
        );
        bench.clock.advance(13 * 3600 * SECOND);
        assert.equal(bench.read(4), 0x81, '1 pm');
    });

    it('holds the time while SET, and loses what passes', () => {
        const bench = new Bench();
        bench.write(0x0b, 0x82);
        bench.clock.advance(5.5 * SECOND);
        assert.equal(bench.read(0), 0x58);
        assert.equal(bench.read(0x0a) & 0x80, 0, 'no update in progress');
        bench.write(0x0b, 0x02);
        bench.clock.advance(0.5 * SECOND);
        assert.equal(bench.read(0), 0x59, 'the divider kept its phase');
    });

    it('announces each update with UIP at least 244 µs ahead', () => {
        const bench = new Bench();
        bench.clock.advance(SECOND - 2_228_001);
        assert.equal(bench.read(0x0a), 0x26);
        bench.clock.advance(1);
        assert.equal(bench.read(0x0a), 0xa6);
        assert.equal(bench.read(0), 0x58);
        bench.clock.advance(2_227_999);
        assert.equal(bench.read(0x0a), 0xa6);
        bench.clock.advance(1);
        assert.equal(bench.read(0x0a), 0x26);
        assert.equal(bench.read(0), 0x59);
    });

    it('updates half a second after the divider is released, as setting the clock to the second needs', () => {
        const bench = new Bench();
        bench.write(0x0a, 0x76);
        bench.clock.advance(10 * SECOND);
        assert.equal(bench.read(0), 0x58);
        bench.write(0x0a, 0x26);
        bench.clock.advance(SECOND / 2 - 1);
        assert.equal(bench.read(0), 0x58);
        bench.clock.advance(1);
        assert.equal(bench.read(0), 0x59);
    });

    it('survives nonsense in its time bytes', () => {
        const bench = new Bench();
        for (let index = 0; index < 10; index++) {
            bench.write(index, 0xff);
        }
        bench.clock.advance(100 * SECOND);
        assert.ok(bench.read(0) <= 0x59);
    });
});

describe('real-time clock: interrupts', () => {
    it('raises the periodic interrupt at its rate until register C is read', () => {
        const bench = new Bench();
        bench.write(0x0b, 0x42);
        let interrupts = 0;
        for (let i = 0; i < 2000; i++) {
            bench.clock.advance(MILLISECOND / 2);
            if (bench.irq.asserted) {
                assert.equal(bench.read(0x0c) & 0xc0, 0xc0);
                assert.equal(bench.irq.asserted, false);
                interrupts++;
            }
        }
        assert.equal(interrupts, 1024);
        assert.equal(bench.read(0x0c) & 0xc0, 0);
    });

    it('asks for nothing more while an interrupt waits to be read', () => {
        const bench = new Bench();
        bench.write(0x0a, 0x23); // 8192 Hz
        bench.write(0x0b, 0x42);
        bench.clock.advance(SECOND);
        assert.equal(bench.irq.edges, 1);
        assert.equal(bench.clock.fired, 1);
    });

    it('raises the update-ended interrupt each second', () => {
        const bench = new Bench();
        bench.write(0x0b, 0x12);
        bench.clock.advance(SECOND - 1);
        assert.equal(bench.irq.asserted, false);
        bench.clock.advance(1);
        assert.equal(bench.irq.asserted, true);
        assert.equal(bench.read(0x0c), 0xd0, 'PF too: flags rise without their enables');
        bench.clock.advance(SECOND);
        assert.equal(bench.irq.asserted, true);
    });

    it('raises the alarm at its time, with don’t-care bytes every hour', () => {
        const bench = new Bench('2024-05-05T10:10:10Z');
        bench.write(1, 0x15);
        bench.write(3, 0x10);
        bench.write(5, 0x10);
        bench.write(0x0b, 0x22);
        bench.clock.advance(4 * SECOND);
        assert.equal(bench.irq.asserted, false);
        bench.clock.advance(SECOND);
        assert.equal(bench.irq.asserted, true);
        assert.equal(bench.read(0x0c) & ~0x40, 0xb0);
        bench.write(5, 0xff);
        bench.clock.advance(3599 * SECOND);
        assert.equal(bench.irq.asserted, false);
        bench.clock.advance(SECOND);
        assert.equal(bench.irq.asserted, true);
    });

    it('raises flags that nobody enabled without an interrupt or an alarm of the machine', () => {
        const bench = new Bench('2024-05-05T10:10:10Z');
        bench.clock.advance(2 * SECOND);
        assert.equal(bench.clock.fired, 0);
        assert.equal(bench.read(0x0c), 0x50);
        assert.equal(bench.read(0x0c), 0);
    });
});

describe('real-time clock: memory', () => {
    it('keeps two banks of memory and the NMI mask', () => {
        const bench = new Bench();
        assert.equal(bench.rtc.nmiMasked, true);
        bench.write(0x40, 0xaa);
        assert.equal(bench.rtc.nmiMasked, false);
        bench.rtc.registers.write(0, 1, 0x80 | 0x40);
        assert.equal(bench.rtc.nmiMasked, true);
        assert.equal(bench.rtc.registers.read(1, 1), 0xaa);
        bench.rtc.registers.write(2, 1, 0x40);
        bench.rtc.registers.write(3, 1, 0x55);
        assert.equal(bench.rtc.registers.read(3, 1), 0x55);
        assert.equal(bench.read(0x40), 0xaa);
        assert.equal(bench.rtc.readCmos(0x80 + 0x40), 0x55);
        assert.equal(bench.read(0x0d), 0x80, 'the battery is good');
    });

    it('tells firmware the size of memory', () => {
        const bench = new Bench();
        bench.rtc.setMemorySize(3 * 2 ** 30, 5 * 2 ** 30);
        const word = (index: number): number => bench.read(index) | (bench.read(index + 1) << 8);
        assert.equal(word(0x15), 640);
        assert.equal(word(0x17), 0xffff);
        assert.equal(word(0x34), (3 * 2 ** 30 - 16 * 2 ** 20) / 65536);
        assert.equal(word(0x5b) | (bench.read(0x5d) << 16), (5 * 2 ** 30) / 65536);
    });

    it('turns interrupts off at reset and keeps time and memory', () => {
        const bench = new Bench();
        bench.write(0x40, 0x77);
        bench.write(0x0b, 0x72);
        bench.clock.advance(SECOND);
        assert.equal(bench.irq.asserted, true);
        bench.rtc.reset();
        assert.equal(bench.irq.asserted, false);
        assert.equal(bench.read(0x0b), 0x02);
        assert.equal(bench.read(0x0c), 0);
        assert.equal(bench.read(0x40), 0x77);
        assert.equal(bench.read(0), 0x59);
    });

    it('goes on after save and restore between two seconds', () => {
        const bench = new Bench();
        bench.write(0x0b, 0x52);
        bench.clock.advance(SECOND * 1.7);
        const record = bench.rtc.save();
        const other = new Bench('1990-01-01T00:00:00Z', bench.clock.now());
        other.rtc.restore(record);
        assert.deepEqual(other.rtc.save(), record);
        assert.equal(other.irq.asserted, true);
        for (let i = 0; i < 20; i++) {
            bench.clock.advance(77 * MILLISECOND);
            other.clock.advance(77 * MILLISECOND);
            assert.equal(other.time(), bench.time());
            assert.equal(other.read(0x0c), bench.read(0x0c));
            assert.equal(other.clock.nextDeadline(), bench.clock.nextDeadline());
        }
        assert.throws(() => other.rtc.restore({ ...record, version: 3 }), SnapshotError);
        for (const field of ['index', 'bank2Index']) {
            assert.throws(
                () => other.rtc.restore({ ...record, fields: { ...record.fields, [field]: 0x80 } }),
                SnapshotError,
            );
        }
        assert.throws(
            () => other.rtc.restore({ ...record, fields: { ...record.fields, cmos: new Uint8Array(5) } }),
            SnapshotError,
        );
    });

    it('shows the present time without raising flags', () => {
        const bench = new Bench();
        bench.clock.stall(3 * SECOND);
        const before = bench.rtc.save();
        assert.equal(bench.rtc.inspect()[0].value, '2024-02-29 00:00:01');
        assert.deepEqual(bench.rtc.save(), before);
    });
});
