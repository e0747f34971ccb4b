import assert from 'node:assert/strict';
import { Apic, ApicBench } from './apic-bench';

describe('local APIC: timer', () => {
    const DIVIDE_BY_1 = 0xb;
    const DIVIDE_BY_16 = 0x3;

    it('counts down once and stops at zero', () => {
        const bench = new ApicBench().enable();
        bench.write(Apic.Divide, DIVIDE_BY_16);
        bench.write(Apic.LvtTimer, 0xec);
        bench.write(Apic.InitialCount, 1000);
        bench.clock.advance(8000);
        assert.equal(bench.read(Apic.CurrentCount), 500);
        assert.equal(bench.apics[0].pendingVector(), -1);
        bench.clock.advance(8000);
        assert.equal(bench.read(Apic.CurrentCount), 0);
        assert.equal(bench.serve(), 0xec);
        assert.equal(bench.clock.nextDeadline(), -1);
    });

    it('repeats without drift in periodic mode, however late the alarms are', () => {
        const bench = new ApicBench().enable();
        bench.clock.lateness = 300;
        bench.write(Apic.Divide, DIVIDE_BY_1);
        bench.write(Apic.LvtTimer, 0x200ec);
        bench.write(Apic.InitialCount, 10_000);
        let served = 0;
        for (let i = 0; i < 1000; i++) {
            bench.clock.advance(10_000);
            served += bench.serve() >= 0 ? 1 : 0;
        }
        assert.ok(served >= 999);
        bench.clock.advance(2500);
        assert.equal(bench.read(Apic.CurrentCount), 7500);
    });

    it('lets a guest measure it while masked, as calibration does, without an alarm', () => {
        const bench = new ApicBench().enable();
        bench.write(Apic.Divide, DIVIDE_BY_16);
        bench.write(Apic.LvtTimer, 0x30000 | 0xec);
        bench.write(Apic.InitialCount, 0xffffffff);
        assert.equal(bench.clock.nextDeadline(), -1);
        bench.clock.advance(100_000_000);
        assert.equal(0xffffffff - bench.read(Apic.CurrentCount), 100_000_000 / 16);
    });

    it('keeps the count of a masked period when it becomes one-shot', () => {
        const bench = new ApicBench().enable();
        bench.write(Apic.Divide, DIVIDE_BY_1);
        bench.write(Apic.LvtTimer, 0x30000 | 0xec);
        bench.write(Apic.InitialCount, 10_000);
        bench.clock.advance(34_000);
        assert.equal(bench.read(Apic.CurrentCount), 6000);
        bench.write(Apic.LvtTimer, 0xec);
        assert.equal(bench.read(Apic.CurrentCount), 6000);
        bench.clock.advance(6000);
        assert.equal(bench.serve(), 0xec);
        assert.equal(bench.read(Apic.CurrentCount), 0);
    });

    it('keeps the count when the divisor changes, and stops at an initial count of zero', () => {
        const bench = new ApicBench().enable();
        bench.write(Apic.Divide, DIVIDE_BY_1);
        bench.write(Apic.LvtTimer, 0xec);
        bench.write(Apic.InitialCount, 1000);
        bench.clock.advance(400);
        bench.write(Apic.Divide, DIVIDE_BY_16);
        assert.equal(bench.read(Apic.CurrentCount), 600);
        bench.clock.advance(160);
        assert.equal(bench.read(Apic.CurrentCount), 590);
        bench.write(Apic.InitialCount, 0);
        assert.equal(bench.read(Apic.CurrentCount), 0);
        assert.equal(bench.clock.nextDeadline(), -1);
    });

    it('delivers an expiry that the engine has not fired yet before a write changes the timer', () => {
        const bench = new ApicBench().enable();
        bench.write(Apic.Divide, DIVIDE_BY_1);
        bench.write(Apic.LvtTimer, 0xec);
        bench.write(Apic.InitialCount, 1000);
        bench.clock.stall(1500);
        bench.write(Apic.InitialCount, 5000);
        assert.equal(bench.serve(), 0xec);
        assert.equal(bench.clock.nextDeadline(), 6500);
    });

    it('coalesces absurdly short periods instead of waking the machine for each', () => {
        const bench = new ApicBench().enable();
        bench.write(Apic.Divide, DIVIDE_BY_1);
        bench.write(Apic.LvtTimer, 0x200ec);
        bench.write(Apic.InitialCount, 1);
        bench.clock.advance(1_000_000);
        assert.ok(bench.clock.fired <= 1002, `${bench.clock.fired} alarms`);
        assert.equal(bench.serve(), 0xec);
        assert.equal(bench.read(Apic.CurrentCount), 1);
    });

    it('fires at a TSC deadline and clears the MSR', () => {
        const bench = new ApicBench().enable();
        const apic = bench.apics[0];
        assert.equal(apic.writeMsr(0x6e0, 1000, 0), false);
        apic.readMsr(0x6e0);
        assert.equal(apic.msrLow, 0, 'ignored outside TSC-deadline mode');
        bench.write(Apic.LvtTimer, 0x400ec);
        apic.writeMsr(0x6e0, 2001, 0);
        bench.clock.advance(1000);
        assert.equal(apic.pendingVector(), -1);
        apic.readMsr(0x6e0);
        assert.deepEqual([apic.msrLow, apic.msrHigh], [2001, 0]);
        bench.clock.advance(1);
        assert.equal(bench.serve(), 0xec);
        apic.readMsr(0x6e0);
        assert.equal(apic.msrLow, 0);
        apic.writeMsr(0x6e0, 5, 0);
        bench.clock.advance(0);
        assert.equal(bench.serve(), 0xec, 'a deadline in the past expires at once');
        apic.writeMsr(0x6e0, 0xffffffff, 0xffffffff);
        assert.equal(bench.clock.nextDeadline(), -1, 'beyond all virtual time');
        apic.writeMsr(0x6e0, 0xffff, 0);
        bench.write(Apic.LvtTimer, 0xec);
        assert.equal(bench.clock.nextDeadline(), -1, 'leaving the mode disarms');
    });
});
