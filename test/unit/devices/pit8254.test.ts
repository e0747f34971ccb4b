import assert from 'node:assert/strict';
import { SnapshotError } from '../../../src/common/errors';
import { PIT_HZ, Pit8254 } from '../../../src/devices/pit8254';
import { PitCounter } from '../../../src/devices/pit-counter';
import { FakeClock, FakeLine } from './fake-clock';

class Bench {
    readonly clock = new FakeClock();
    readonly irq0 = new FakeLine();
    readonly speaker = new FakeLine();
    readonly pit = new Pit8254({ clock: this.clock, irq0: this.irq0, speaker: this.speaker });

    control(value: number): void {
        this.pit.registers.write(3, 1, value);
    }

    count(counter: number, value: number): void {
        this.pit.registers.write(counter, 1, value & 0xff);
        this.pit.registers.write(counter, 1, value >>> 8);
    }

    read(counter: number): number {
        return this.pit.registers.read(counter, 1);
    }

    /** Latches and reads a two-byte count, as DOS programs do. */
    latched(counter: number): number {
        this.control(counter << 6);
        return this.read(counter) | (this.read(counter) << 8);
    }

    /** Advances to just after the next `ticks` CLK pulses. */
    ticks(ticks: number): void {
        const passed = Math.floor((this.clock.now() * PIT_HZ) / 1e9);
        this.clock.advanceTo(Math.ceil(((passed + ticks) * 1e9) / PIT_HZ));
    }
}

/** A counter driven pulse by pulse, with its OUT. */
function counter(control: number, gate = true): { counter: PitCounter; out: FakeLine } {
    const out = new FakeLine();
    const made = new PitCounter(gate, out);
    made.writeControl(control);
    return { counter: made, out };
}

/** OUT after each of `pulses` CLK pulses, as `1` and `0`. */
function trace(made: PitCounter, pulses: number): string {
    let text = '';
    for (let i = 0; i < pulses; i++) {
        made.advance(1);
        text += made.out ? '1' : '0';
    }
    return text;
}

const LSB = 0x10;

describe('8254 counter', () => {
    it('raises OUT N + 1 pulses after the count is written in mode 0, and lowers it for the next count', () => {
        const { counter: made } = counter(LSB | 0);
        assert.equal(made.out, false);
        made.writeCount(4);
        assert.equal(trace(made, 7), '0000111');
        assert.equal(made.readCount(), 0xfe, 'it goes on counting from zero');
        made.writeCount(2);
        assert.equal(made.out, false);
        assert.equal(trace(made, 4), '0011');
    });

    it('stops mode 0 between the two bytes of a count and while the gate is low', () => {
        const { counter: made } = counter(0x30);
        made.writeCount(3);
        made.writeCount(0);
        trace(made, 1);
        made.setGate(false);
        assert.equal(trace(made, 5), '00000');
        made.setGate(true);
        assert.equal(trace(made, 3), '001');
        made.writeCount(2);
        assert.equal(trace(made, 3), '000');
        made.writeCount(0);
        assert.equal(trace(made, 4), '0011');
    });

    it('gives one pulse of N for each trigger in mode 1, longer when triggered again', () => {
        const { counter: made } = counter(LSB | 2, false);
        made.writeCount(3);
        assert.equal(trace(made, 3), '111');
        made.setGate(true);
        assert.equal(trace(made, 5), '00011');
        made.setGate(false);
        made.setGate(true);
        trace(made, 2);
        made.setGate(false);
        made.setGate(true);
        assert.equal(trace(made, 1), '0');
        made.writeCount(9); // not before the next trigger
        assert.equal(trace(made, 4), '0011');
    });

    it('divides by N in mode 2 with a low pulse of one CLK', () => {
        const { counter: made } = counter(LSB | 4);
        made.writeCount(3);
        assert.equal(trace(made, 10), '1101101101');
        made.writeCount(4); // from the next period on
        assert.equal(trace(made, 9), '101110111');
    });

    it('ends the low pulse and restarts the period by the gate in mode 2', () => {
        const { counter: made } = counter(LSB | 4);
        made.writeCount(4);
        assert.equal(trace(made, 4), '1110');
        made.setGate(false);
        assert.equal(made.out, true);
        assert.equal(trace(made, 3), '111');
        made.setGate(true);
        assert.equal(trace(made, 5), '11101');
    });

    it('makes a square wave in mode 3, an odd count one CLK longer high', () => {
        const even = counter(LSB | 6).counter;
        even.writeCount(4);
        assert.equal(trace(even, 9), '110011001');
        const odd = counter(LSB | 6).counter;
        odd.writeCount(5);
        assert.equal(trace(odd, 11), '11100111001');
    });

    it('counts by twos in mode 3, an odd count from one below it', () => {
        const { counter: made } = counter(LSB | 6);
        made.writeCount(5);
        const seen: number[] = [];
        for (let i = 0; i < 7; i++) {
            made.advance(1);
            seen.push(made.readCount());
        }
        assert.deepEqual(seen, [4, 2, 0, 4, 2, 4, 2]);
    });

    it('strobes once N + 1 pulses after the count in mode 4, after the trigger in mode 5', () => {
        const software = counter(LSB | 8).counter;
        software.writeCount(3);
        assert.equal(trace(software, 6), '111011');
        assert.equal(trace(software, 300).includes('0'), false, 'not again when it wraps');
        const hardware = counter(LSB | 10, false).counter;
        hardware.writeCount(3);
        assert.equal(trace(hardware, 5), '11111');
        hardware.setGate(true);
        assert.equal(trace(hardware, 6), '111011');
    });

    it('counts in decades in BCD and takes zero for the largest count', () => {
        const { counter: made } = counter(0x31);
        made.writeCount(0x00);
        made.writeCount(0x10);
        made.advance(2);
        assert.equal(made.readCount() | (made.readCount() << 8), 0x0999);
        const largest = counter(0x31).counter;
        largest.writeCount(0);
        largest.writeCount(0);
        largest.advance(10000);
        assert.equal(largest.out, false);
        largest.advance(1);
        assert.equal(largest.out, true);
    });

    it('holds a latched count until it has been read, whatever is latched after it', () => {
        const { counter: made } = counter(0x34);
        made.writeCount(0x00);
        made.writeCount(0x20);
        made.advance(1);
        made.latchCount();
        made.advance(0x123);
        made.latchCount();
        assert.equal(made.readCount() | (made.readCount() << 8), 0x2000);
        assert.equal(made.readCount() | (made.readCount() << 8), 0x2000 - 0x123);
    });

    it('reads back status before count', () => {
        const { counter: made } = counter(0x34);
        assert.equal((made.latchStatus(), made.readCount()), 0xf4, 'OUT high, null count');
        made.writeCount(0x34);
        made.writeCount(0x12);
        made.latchStatus();
        assert.equal(made.readCount(), 0xf4);
        made.advance(1);
        made.latchStatus();
        made.latchCount();
        made.advance(5);
        assert.equal(made.readCount(), 0xb4);
        assert.equal(made.readCount() | (made.readCount() << 8), 0x1234);
    });

    it('comes to the same state in one jump as pulse by pulse, in all modes', () => {
        let seed = 12345;
        const random = (limit: number): number => {
            seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
            return (seed >>> 8) % limit;
        };
        for (let round = 0; round < 300; round++) {
            const control = [0x10, 0x30, 0x11][random(3)] | (random(6) << 1);
            const [slow, fast] = [counter(control), counter(control)];
            for (let step = 0; step < 12; step++) {
                const action = random(4);
                const value = random(3) === 0 ? random(4) : random(40);
                const pulses = random(5) === 0 ? random(2000) : random(12);
                for (const { counter: made } of [slow, fast]) {
                    if (action === 0) {
                        made.writeCount(value);
                    } else if (action === 1) {
                        made.setGate(value % 2 === 0);
                    }
                }
                for (let i = 0; i < pulses; i++) {
                    slow.counter.advance(1);
                }
                fast.counter.advance(pulses);
                assert.deepEqual(fast.counter.saveState(), slow.counter.saveState(), `round ${round}, step ${step}`);
            }
        }
    });
});

describe('8254 in a PC', () => {
    it('ticks IRQ 0 18.2 times a second as the BIOS programs it, without drift over a day', () => {
        const bench = new Bench();
        bench.control(0x36);
        bench.count(0, 0);
        const before = bench.irq0.edges;
        const ticks = 24 * 3600 * PIT_HZ;
        bench.clock.advance(24 * 3600 * 1e9);
        assert.equal(bench.irq0.edges - before, Math.floor((ticks - 1) / 65536));
    });

    it('keeps the rate when the engine looks at alarms late', () => {
        const bench = new Bench();
        bench.clock.lateness = 40_000;
        bench.control(0x34);
        bench.count(0, 1193);
        const before = bench.irq0.edges;
        bench.clock.advance(1e9);
        assert.equal(bench.irq0.edges - before, Math.floor((PIT_HZ - 1) / 1193));
    });

    it('still gives an edge when whole periods were missed', () => {
        const bench = new Bench();
        bench.control(0x34);
        bench.count(0, 1193);
        bench.clock.advance(100);
        const before = bench.irq0.edges;
        bench.clock.stall(50_000_000);
        bench.clock.advance(0);
        assert.ok(bench.irq0.edges - before >= 1);
    });

    it('runs Linux’s one-shot clock event in mode 4 or 0 only once', () => {
        const bench = new Bench();
        bench.control(0x38);
        bench.count(0, 11932);
        const before = bench.irq0.edges;
        bench.clock.advance(9_999_000);
        assert.equal(bench.irq0.edges, before);
        bench.clock.advance(10_000);
        assert.equal(bench.irq0.edges, before + 1);
        bench.clock.advance(1e9);
        assert.equal(bench.irq0.edges, before + 1);
        assert.equal(bench.clock.nextDeadline(), -1, 'an expired one-shot leaves the machine asleep');
    });

    it('measures 50 ms on counter 2 through port 0x61, as Linux calibrates the TSC', () => {
        const bench = new Bench();
        const port61 = bench.pit.systemControl;
        port61.write(0, 1, (port61.read(0, 1) & ~0x02) | 0x01);
        bench.control(0xb0);
        const latch = Math.floor(PIT_HZ / 20);
        bench.count(2, latch);
        const start = bench.clock.now();
        while ((port61.read(0, 1) & 0x20) === 0) {
            bench.clock.advance(500);
        }
        const nanoseconds = bench.clock.now() - start;
        assert.ok(Math.abs(nanoseconds - ((latch + 1) * 1e9) / PIT_HZ) < 1500, `${nanoseconds} ns`);
    });

    it('counts down between two latched reads, as old DOS delay loops expect', () => {
        const bench = new Bench();
        bench.control(0x34);
        bench.count(0, 0);
        bench.ticks(1);
        const first = bench.latched(0);
        bench.ticks(1000);
        assert.equal((first - bench.latched(0)) & 0xffff, 1000);
    });

    it('reads back several counters with one command', () => {
        const bench = new Bench();
        bench.control(0x34);
        bench.count(0, 5000);
        bench.control(0xb6);
        bench.count(2, 600);
        bench.ticks(1);
        bench.control(0xc2 | 0x08); // count and status of counters 0 and 2
        bench.ticks(10);
        assert.equal(bench.read(0), 0xb4);
        assert.equal(bench.read(0) | (bench.read(0) << 8), 5000);
        assert.equal(bench.read(2), 0xb6, 'a closed gate does not keep the count from being loaded');
        assert.equal(bench.read(2) | (bench.read(2) << 8), 600);
    });

    it('sounds the speaker only with gate and data enabled', () => {
        const bench = new Bench();
        bench.control(0xb6);
        bench.count(2, 1193);
        bench.pit.systemControl.write(0, 1, 0x01);
        bench.clock.advance(10_000_000);
        assert.equal(bench.speaker.edges, 0);
        bench.pit.systemControl.write(0, 1, 0x03);
        bench.clock.advance(10_000_000);
        assert.ok(bench.speaker.edges >= 10 && bench.speaker.edges <= 11, `${bench.speaker.edges}`);
        bench.pit.systemControl.write(0, 1, 0x00);
        assert.equal(bench.speaker.asserted, false);
    });

    it('toggles the refresh bit every 15 µs', () => {
        const bench = new Bench();
        let toggles = 0;
        let last = bench.pit.systemControl.read(0, 1) & 0x10;
        for (let i = 0; i < 10_000; i++) {
            bench.clock.advance(1000);
            const now = bench.pit.systemControl.read(0, 1) & 0x10;
            toggles += now !== last ? 1 : 0;
            last = now;
        }
        assert.ok(Math.abs(toggles - 10_000_000 / 15_086) < 2, `${toggles}`);
    });

    it('goes on after save and restore at the same tick', () => {
        const bench = new Bench();
        bench.control(0x34);
        bench.count(0, 1193);
        bench.pit.systemControl.write(0, 1, 0x01);
        bench.control(0xb6);
        bench.count(2, 777);
        bench.clock.advance(3_333_333);
        bench.control(0x80);
        const record = bench.pit.save();

        const other = new Bench();
        other.clock.stall(bench.clock.now());
        other.pit.restore(record);
        assert.deepEqual(other.pit.save(), record);
        for (let i = 0; i < 50; i++) {
            bench.clock.advance(123_457);
            other.clock.advance(123_457);
            assert.equal(other.irq0.asserted, bench.irq0.asserted);
            assert.equal(other.latched(2), bench.latched(2));
            assert.equal(other.clock.nextDeadline(), bench.clock.nextDeadline());
        }
        assert.throws(() => other.pit.restore({ ...record, version: 9 }), SnapshotError);
        assert.throws(
            () => other.pit.restore({ ...record, fields: { ...record.fields, counters: [] } }),
            SnapshotError,
        );
    });

    it('shows the running counts without moving a line', () => {
        const bench = new Bench();
        bench.control(0x30);
        bench.count(0, 10);
        bench.clock.stall(1_000_000);
        const shown = bench.pit.inspect().find(register => register.name === 'counter0.status');
        assert.equal(shown?.value, 0xb0, 'OUT high');
        assert.equal(bench.irq0.asserted, false);
    });
});
