import assert from 'node:assert/strict';
import { VirtualClock } from '../../../src/machine/clock';

function setUp() {
    const cpu = { retired: 0 };
    const clock = new VirtualClock(() => cpu.retired);
    const fired: string[] = [];
    const alarm = (name: string) => clock.alarm(name, () => fired.push(name));
    return { cpu, clock, fired, alarm };
}

describe('virtual clock', () => {
    it('counts one nanosecond an instruction', () => {
        const { cpu, clock } = setUp();
        cpu.retired = 12345;
        assert.equal(clock.now(), 12345);
    });

    it('fires alarms in order of their deadlines', () => {
        const { cpu, clock, fired, alarm } = setUp();
        alarm('c').arm(30);
        alarm('a').arm(10);
        alarm('b').arm(20);
        assert.equal(clock.nextDeadline(), 10);
        cpu.retired = 20;
        clock.runDue();
        assert.deepEqual(fired, ['a', 'b']);
        assert.equal(clock.nextDeadline(), 30);
        assert.equal(clock.nextName(), 'c');
    });

    it('breaks ties by creation, whatever the order of arming', () => {
        const { cpu, clock, fired, alarm } = setUp();
        const alarms = ['a', 'b', 'c', 'd'].map(alarm);
        for (const index of [2, 0, 3, 1]) {
            alarms[index].arm(5);
        }
        cpu.retired = 5;
        clock.runDue();
        assert.deepEqual(fired, ['a', 'b', 'c', 'd']);
    });

    it('moves an armed alarm and forgets a disarmed one', () => {
        const { cpu, clock, fired, alarm } = setUp();
        const moved = alarm('moved');
        moved.arm(10);
        moved.arm(40);
        const dropped = alarm('dropped');
        dropped.arm(10);
        dropped.disarm();
        dropped.disarm();
        cpu.retired = 39;
        clock.runDue();
        assert.deepEqual(fired, []);
        cpu.retired = 40;
        clock.runDue();
        assert.deepEqual(fired, ['moved']);
        assert.equal(clock.nextDeadline(), Infinity);
    });

    it('fires an alarm that another one disarms or moves away no more', () => {
        const { cpu, clock, fired, alarm } = setUp();
        const second = alarm('second');
        const third = alarm('third');
        clock
            .alarm('first', () => {
                second.disarm();
                third.arm(100);
            })
            .arm(1);
        second.arm(2);
        third.arm(3);
        cpu.retired = 5;
        clock.runDue();
        assert.deepEqual(fired, []);
        assert.equal(clock.nextDeadline(), 100);
    });

    it('does not let an alarm that is always due hold the machine', () => {
        const { clock } = setUp();
        let fires = 0;
        const endless = clock.alarm('endless', () => {
            fires++;
            endless.arm(0);
        });
        endless.arm(0);
        clock.runDue();
        clock.runDue();
        assert.equal(fires, 2);
        assert.equal(clock.instructionsUntil(clock.nextDeadline()), 1);
    });

    it('skips idle time, never backwards', () => {
        const { cpu, clock } = setUp();
        cpu.retired = 100;
        clock.skipTo(1_000_000);
        assert.equal(clock.now(), 1_000_000);
        cpu.retired = 150;
        assert.equal(clock.now(), 1_000_050);
        clock.skipTo(10);
        assert.equal(clock.now(), 1_000_050);
    });

    it('announces an alarm that becomes the next one due', () => {
        const { clock, alarm } = setUp();
        const announced: number[] = [];
        clock.onEarlierDeadline = deadline => announced.push(deadline);
        alarm('a').arm(100);
        alarm('b').arm(200);
        alarm('c').arm(50);
        assert.deepEqual(announced, [100, 50]);
    });

    it('follows the host where that is ahead, and never goes back', () => {
        const { cpu, clock } = setUp();
        cpu.retired = 1000;
        clock.synchronize(5000);
        assert.equal(clock.now(), 5000);
        cpu.retired = 2000;
        clock.synchronize(5500);
        assert.equal(clock.now(), 6000);
        assert.equal(clock.instructionsUntil(6010), 10);
    });

    it('has a time stamp that can be moved, and goes on from there, also after it was restored', () => {
        const { cpu, clock } = setUp();
        let told = 0;
        clock.onTimeStampMoved.push(() => told++);
        cpu.retired = 100;
        assert.equal(clock.timeStamp(), 100);
        clock.moveTimeStamp(5000);
        cpu.retired = 101;
        assert.deepEqual([clock.now(), clock.timeStamp(), told], [101, 5001, 1]);
        const saved = clock.save();
        const { clock: other } = setUp();
        other.restore(saved);
        assert.deepEqual([other.now(), other.timeStamp()], [101, 5001]);
        assert.throws(() => other.restore({ ...saved, fields: { now: 101, timeStamp: -1 } }), /timeStamp/);
        assert.deepEqual(setUp().clock.save().version, 1);
    });

    it('restores its time whatever has been retired since, with nothing armed', () => {
        const { cpu, clock, alarm } = setUp();
        cpu.retired = 77;
        clock.skipTo(1000);
        const saved = clock.save();
        alarm('a').arm(2000);
        cpu.retired = 500;
        clock.restore(saved);
        assert.equal(clock.now(), 1000);
        assert.equal(clock.nextDeadline(), Infinity);
        assert.throws(() => clock.restore({ ...saved, version: 9 }), /version 9/);
    });
});
