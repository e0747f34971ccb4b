import assert from 'node:assert/strict';
import { SnapshotError } from '../../../src/common/errors';
import { Apic, ApicBench } from './apic-bench';

const LEVEL = 0x8000;
const MASKED = 0x10000;
const REMOTE_IRR = 0x4000;

describe('IOAPIC', () => {
    it('identifies itself as 24 pins, version 0x20, all masked', () => {
        const bench = new ApicBench();
        assert.equal(bench.ioRead(1), 0x00170020);
        bench.ioWrite(0, 0x0f000000);
        assert.equal(bench.ioRead(0), 0x0f000000);
        assert.equal(bench.ioRead(2), 0x0f000000);
        assert.equal(bench.ioRead(0x10 + 2 * 23), MASKED);
        assert.equal(bench.ioRead(0x40), 0);
        bench.ioWrite(0x40, 0xffffffff);
    });

    it('sends an edge once, and loses one at a masked pin', () => {
        const bench = new ApicBench().enable();
        const pin = bench.ioApic.pin(4);
        bench.redirect(4, 0x34 | MASKED);
        pin.set(true);
        bench.redirect(4, 0x34);
        assert.equal(bench.serve(), -1);
        pin.set(false);
        pin.set(true);
        assert.equal(bench.serve(), 0x34);
        assert.equal(bench.serve(), -1);
    });

    it('repeats a level after each EOI until its source lets go', () => {
        const bench = new ApicBench().enable();
        bench.redirect(10, 0x5a | LEVEL);
        bench.ioApic.pin(10).set(true);
        assert.equal(bench.ioRead(0x24) & REMOTE_IRR, REMOTE_IRR);
        assert.equal(bench.apics[0].acknowledge(), 0x5a);
        assert.equal(bench.apics[0].pendingVector(), -1);
        bench.write(Apic.Eoi, 0);
        assert.equal(bench.apics[0].acknowledge(), 0x5a);
        bench.ioApic.pin(10).set(false);
        bench.write(Apic.Eoi, 0);
        assert.equal(bench.apics[0].pendingVector(), -1);
        assert.equal(bench.ioRead(0x24), 0x5a | LEVEL);
    });

    it('delivers a level when its asserted pin is unmasked', () => {
        const bench = new ApicBench().enable();
        bench.redirect(10, 0x5a | LEVEL | MASKED);
        bench.ioApic.pin(10).set(true);
        assert.equal(bench.serve(), -1);
        bench.redirect(10, 0x5a | LEVEL);
        assert.equal(bench.apics[0].acknowledge(), 0x5a);
    });

    it('masks in the handler and unmasks after the EOI, as Linux threads interrupts', () => {
        const bench = new ApicBench().enable();
        bench.redirect(16, 0x61 | LEVEL);
        bench.ioApic.pin(16).set(true);
        bench.apics[0].acknowledge();
        bench.redirect(16, 0x61 | LEVEL | MASKED);
        bench.write(Apic.Eoi, 0);
        assert.equal(bench.apics[0].pendingVector(), -1);
        bench.redirect(16, 0x61 | LEVEL);
        assert.equal(bench.apics[0].pendingVector(), 0x61);
    });

    it('leaves the EOI to its own register when the local APIC suppresses the broadcast', () => {
        const bench = new ApicBench().enable();
        bench.write(Apic.Svr, 0x11ff);
        bench.redirect(10, 0x5a | LEVEL);
        bench.ioApic.pin(10).set(true);
        bench.apics[0].acknowledge();
        bench.write(Apic.Eoi, 0);
        assert.equal(bench.apics[0].pendingVector(), -1);
        bench.ioApic.mmio.write(0x40, 4, 0x5a);
        assert.equal(bench.apics[0].pendingVector(), 0x5a);
    });

    it('clears a stuck remote IRR when the pin is switched to edge and back', () => {
        const bench = new ApicBench().enable();
        bench.redirect(10, 0x5a | LEVEL);
        bench.ioApic.pin(10).set(true);
        bench.redirect(10, 0x5a | MASKED);
        bench.redirect(10, 0x5a | MASKED | LEVEL);
        assert.equal(bench.ioRead(0x24) & REMOTE_IRR, 0);
    });

    it('reaches logical and lowest-priority destinations, NMI and INIT', () => {
        const bench = new ApicBench({ cpus: 2 }).enable();
        bench.write(Apic.Ldr, 0x01000000, 0);
        bench.write(Apic.Ldr, 0x02000000, 1);
        bench.write(Apic.Tpr, 0x10, 0);
        bench.redirect(3, 0x0931, 0x03);
        bench.ioApic.pin(3).set(true);
        assert.deepEqual([bench.serve(0), bench.serve(1)], [-1, 0x31]);
        bench.redirect(5, 0x0400 | LEVEL, 1);
        bench.ioApic.pin(5).set(true);
        assert.equal(bench.ioRead(0x1a) & REMOTE_IRR, 0, 'an NMI is an edge');
        bench.redirect(6, 0x0500, 1);
        bench.ioApic.pin(6).set(true);
        assert.deepEqual(bench.cpus[1].log, ['nmi', 'init']);
    });

    it('broadcasts to x2APIC processors too when its 8-bit destination is all ones', () => {
        const bench = new ApicBench({ cpus: 2 }).enable();
        bench.x2apic(1);
        bench.redirect(3, 0x31, 0xff);
        bench.ioApic.pin(3).set(true);
        assert.deepEqual([bench.apics[0].pendingVector(), bench.apics[1].pendingVector()], [0x31, 0x31]);
    });

    it('passes the PIC on as an ExtINT message', () => {
        const bench = new ApicBench({ pic: { acknowledge: () => 0x77 } }).enable();
        bench.redirect(0, 0x0700);
        bench.ioApic.pin(0).set(true);
        assert.equal(bench.apics[0].extIntPending, true);
        assert.equal(bench.apics[0].acknowledge(), 0x77);
        assert.equal(bench.apics[0].interruptPending, false);
    });

    it('stays ready for a level that nobody received', () => {
        const bench = new ApicBench().enable();
        bench.redirect(10, 0x5a | LEVEL, 9);
        bench.ioApic.pin(10).set(true);
        assert.equal(bench.ioRead(0x24) & REMOTE_IRR, 0);
        bench.redirect(10, 0x5a | LEVEL, 0);
        assert.equal(bench.serve(), 0x5a);
    });

    it('stays ready for a level that a software-disabled local APIC did not accept', () => {
        const bench = new ApicBench();
        bench.redirect(10, 0x5a | LEVEL, 0);
        bench.ioApic.pin(10).set(true);
        assert.equal(bench.ioRead(0x24) & REMOTE_IRR, 0);
        bench.enable();
        bench.redirect(10, 0x5a | LEVEL, 0);
        assert.equal(bench.serve(), 0x5a);
    });

    it('goes on after save and restore with a level in service', () => {
        const bench = new ApicBench().enable();
        bench.redirect(10, 0x5a | LEVEL);
        bench.ioApic.pin(10).set(true);
        bench.apics[0].acknowledge();
        const other = new ApicBench();
        other.ioApic.pin(10).set(true); // the source, restored before, drives its line
        other.ioApic.restore(bench.ioApic.save());
        other.apics[0].restore(bench.apics[0].save());
        assert.deepEqual(other.ioApic.save(), bench.ioApic.save());
        other.write(Apic.Eoi, 0);
        assert.equal(other.apics[0].pendingVector(), 0x5a);
        assert.throws(() => other.ioApic.restore({ ...bench.ioApic.save(), fields: {} }), SnapshotError);
    });

    it('describes each pin', () => {
        const bench = new ApicBench();
        bench.redirect(4, 0x34 | MASKED, 2);
        const pin = bench.ioApic.inspect().find(register => register.name === 'pin 4');
        assert.equal(pin?.description, 'edge, fixed, vector 0x34 → APIC 2, masked');
        assert.equal(pin?.value, 0x0200_0000_0001_0034n);
    });
});
