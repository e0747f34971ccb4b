import assert from 'node:assert/strict';
import { SnapshotError } from '../../../src/common/errors';
import { AcpiPm, type AcpiPmOptions, PM_TIMER_HZ } from '../../../src/devices/acpi-pm';
import { FakeClock, FakeLine } from './fake-clock';

const STATUS = 0;
const ENABLE = 2;
const CONTROL = 4;
const TIMER = 8;
const GPE_STATUS = 12;
const GPE_ENABLE = 14;

class Bench {
    readonly clock: FakeClock;
    readonly sci = new FakeLine();
    readonly log: string[] = [];
    readonly pm: AcpiPm;

    constructor(options: Partial<AcpiPmOptions> = {}, start = 0) {
        this.clock = new FakeClock(start);
        this.pm = new AcpiPm({
            clock: this.clock,
            sci: this.sci,
            powerOff: () => this.log.push('off'),
            sleep: type => this.log.push(`sleep ${type}`),
            ...options,
        });
    }

    read(offset: number, size = 2): number {
        return this.pm.registers.read(offset, size);
    }

    write(offset: number, value: number, size = 2): void {
        this.pm.registers.write(offset, size, value);
    }

    /** Through SMI_CMD, as an operating system takes the hardware over. */
    acpiMode(): this {
        this.pm.smiCommand.write(0, 1, 0xf1);
        return this;
    }
}

describe('ACPI power management', () => {
    it('switches ACPI mode by the SMI command port', () => {
        const bench = new Bench();
        assert.equal(bench.read(CONTROL) & 1, 0);
        bench.acpiMode();
        assert.equal(bench.read(CONTROL) & 1, 1);
        assert.equal(bench.pm.smiCommand.read(0, 1), 0xf1);
        bench.pm.smiCommand.write(0, 1, 0xf0);
        assert.equal(bench.read(CONTROL) & 1, 0);
        bench.pm.smiCommand.write(1, 1, 0x5a);
        assert.equal(bench.pm.smiCommand.read(1, 1), 0x5a);
    });

    it('powers off with the sleep type of S5, by word or by bytes', () => {
        const bench = new Bench({ softOffType: 5 }).acpiMode();
        bench.write(CONTROL, 0x2000 | (3 << 10) | 1);
        assert.deepEqual(bench.log, ['sleep 3']);
        assert.equal(bench.read(STATUS) & 0x8000, 0x8000, 'woken');
        bench.write(CONTROL + 1, 0x20 | (5 << 2), 1);
        assert.deepEqual(bench.log, ['sleep 3', 'off']);
        assert.equal(bench.read(CONTROL), (5 << 10) | 1, 'SLP_EN reads as zero');
        const board = new Bench();
        board.write(CONTROL, 0x2001);
        assert.deepEqual(board.log, ['off']);
    });

    describe('in S3', () => {
        const SUSPEND = 0x2000 | (1 << 10) | 1;
        const suspended = () => {
            const bench: Bench = new Bench({
                softOffType: 0,
                suspend: () => bench.log.push('suspend'),
                wake: () => bench.log.push('wake'),
            }).acpiMode();
            return bench;
        };

        it('wakes by what is enabled, and by the power button in any case', () => {
            const bench = suspended();
            bench.write(CONTROL, SUSPEND);
            assert.deepEqual([bench.log, bench.pm.asleep], [['suspend'], true]);
            bench.pm.rtcAlarm();
            bench.pm.pressSleepButton();
            bench.pm.raiseGpe(3);
            assert.equal(bench.pm.asleep, true);
            assert.equal(bench.read(STATUS), 0x600, 'only noted');
            bench.pm.pressPowerButton();
            assert.deepEqual([bench.log, bench.pm.asleep], [['suspend', 'wake'], false]);
            assert.equal(bench.read(STATUS), 0x8700);
            bench.write(STATUS, 0xffff);

            bench.write(ENABLE, 0x400);
            bench.write(CONTROL, SUSPEND);
            bench.pm.rtcAlarm();
            assert.deepEqual(bench.log, ['suspend', 'wake', 'suspend', 'wake']);
            assert.equal(bench.read(STATUS), 0x8400);
            assert.equal(bench.read(CONTROL), (1 << 10) | 1, 'still in ACPI mode');
            bench.pm.wake();
            assert.equal(bench.log.length, 4, 'is awake already');
        });

        it('stays there only while nothing enabled waits', () => {
            const bench = suspended();
            bench.write(ENABLE, 0x400);
            bench.pm.rtcAlarm();
            bench.write(CONTROL, SUSPEND);
            assert.deepEqual(bench.log, ['suspend', 'wake']);
        });

        it('stays there although the PM timer has run over', () => {
            const bench = suspended();
            bench.clock.advance(3e9);
            assert.equal(bench.read(STATUS), 0x01);
            bench.write(ENABLE, 0x421);
            bench.write(CONTROL, SUSPEND);
            bench.clock.advance(3e9);
            assert.deepEqual([bench.log, bench.pm.asleep], [['suspend'], true]);
            bench.pm.rtcAlarm();
            assert.deepEqual(bench.log, ['suspend', 'wake']);
        });

        it('interrupts only once it is awake, for what has woken it', () => {
            const bench = suspended();
            bench.write(CONTROL, SUSPEND);
            bench.write(ENABLE, 0x100);
            bench.pm.rtcAlarm();
            assert.equal(bench.sci.asserted, false);
            bench.pm.pressPowerButton();
            assert.equal(bench.sci.asserted, true);
        });

        it('takes a record from before there was S3', () => {
            const bench = suspended();
            bench.write(ENABLE, 0x400);
            const { kind, fields } = bench.pm.save();
            const { suspended: _, ...old } = fields;
            const other = suspended();
            other.write(CONTROL, SUSPEND);
            other.pm.restore({ kind, version: 1, fields: old });
            assert.deepEqual([other.pm.asleep, other.read(ENABLE)], [false, 0x400]);
        });

        it('keeps that through save and restore, not through a reset', () => {
            const bench = suspended();
            bench.write(CONTROL, SUSPEND);
            const other = suspended();
            other.pm.restore(bench.pm.save());
            assert.equal(other.pm.asleep, true);
            other.pm.reset();
            other.pm.wake();
            assert.deepEqual(other.log, []);
        });
    });

    it('runs the PM timer at 3.579545 MHz in 24 or 32 bits', () => {
        const bench = new Bench();
        bench.clock.advance(2e9);
        assert.equal(bench.read(TIMER, 4), 2 * PM_TIMER_HZ);
        assert.equal(bench.read(TIMER, 1), (2 * PM_TIMER_HZ) & 0xff);
        bench.clock.advance(3e9);
        assert.equal(bench.read(TIMER, 4), (5 * PM_TIMER_HZ) % 2 ** 24);
        const wide = new Bench({ timerBits: 32 });
        wide.clock.advance(5e9);
        assert.equal(wide.read(TIMER, 4), 5 * PM_TIMER_HZ);
    });

    it('interrupts whenever the timer’s most significant bit changes', () => {
        const bench = new Bench().acpiMode();
        bench.write(ENABLE, 1);
        bench.clock.advance(2_343_000_000);
        assert.equal(bench.sci.asserted, false);
        bench.clock.advance(1_000_000);
        assert.equal(bench.sci.asserted, true);
        assert.equal(bench.read(STATUS), 1);
        bench.write(STATUS, 1);
        assert.equal(bench.sci.asserted, false);
        bench.clock.advance(2_344_000_000);
        assert.equal(bench.sci.edges, 2);
    });

    it('notes the timer’s change without an alarm while nobody wants the interrupt', () => {
        const bench = new Bench().acpiMode();
        bench.clock.advance(3e9);
        assert.equal(bench.clock.fired, 0);
        assert.equal(bench.read(STATUS), 1);
    });

    it('asserts the SCI for an enabled power button, in ACPI mode only', () => {
        const bench = new Bench();
        bench.write(ENABLE, 0x0120);
        bench.pm.pressPowerButton();
        assert.equal(bench.sci.asserted, false);
        bench.acpiMode();
        assert.equal(bench.sci.asserted, true);
        bench.write(STATUS, 0x0100);
        assert.equal(bench.sci.asserted, false);
        bench.pm.pressSleepButton();
        assert.equal(bench.sci.asserted, false, 'not enabled');
        assert.equal(bench.read(STATUS), 0x0200);
    });

    it('keeps a general-purpose event set while its input is', () => {
        const bench = new Bench().acpiMode();
        bench.write(GPE_ENABLE, 0x0002);
        bench.pm.raiseGpe(1);
        assert.equal(bench.sci.asserted, true);
        bench.write(GPE_STATUS, 0xffff);
        assert.equal(bench.sci.asserted, true);
        bench.pm.lowerGpe(1);
        bench.write(GPE_STATUS, 0xffff);
        assert.equal(bench.sci.asserted, false);
    });

    it('stores only what exists', () => {
        const bench = new Bench();
        bench.write(STATUS, 0xffff_ffff, 4);
        assert.equal(bench.read(STATUS, 4), 0x0721_0000);
        bench.write(CONTROL, 0xdfff);
        assert.equal(bench.read(CONTROL), 0x1c03);
        bench.write(0x20, 0xffff);
        assert.equal(bench.read(0x20, 4), 0);
    });

    it('forgets events at reset, while the timer runs on', () => {
        const bench = new Bench().acpiMode();
        bench.write(ENABLE, 0x0100);
        bench.pm.pressPowerButton();
        bench.clock.advance(3e9);
        bench.pm.reset();
        assert.equal(bench.sci.asserted, false);
        assert.equal(bench.read(STATUS, 4), 0);
        assert.equal(bench.read(CONTROL), 0);
    });

    it('goes on after save and restore', () => {
        const bench = new Bench().acpiMode();
        bench.write(ENABLE, 0x0101);
        bench.clock.advance(1_700_000_000);
        bench.pm.pressPowerButton();
        const record = bench.pm.save();
        const other = new Bench({}, bench.clock.now());
        other.pm.restore(record);
        assert.deepEqual(other.pm.save(), record);
        assert.equal(other.sci.asserted, true);
        for (const one of [bench, other]) {
            one.write(STATUS, 0x0100);
            one.clock.advance(700_000_000);
            assert.equal(one.sci.asserted, true);
            assert.equal(one.read(STATUS), 1);
        }
        assert.equal(other.read(TIMER, 4), bench.read(TIMER, 4));
        assert.throws(() => other.pm.restore({ ...record, version: 0 }), SnapshotError);
    });

    it('names events in the Devices view', () => {
        const bench = new Bench().acpiMode();
        bench.pm.pressPowerButton();
        const [status, , control] = bench.pm.inspect();
        assert.equal(status.description, 'power button');
        assert.equal(control.description, 'ACPI mode, SLP_TYP 0');
    });
});
