import assert from 'node:assert/strict';
import { SnapshotError } from '../../../src/common/errors';
import { PicPair } from '../../../src/devices/pic-pair';
import { FakeLine } from './fake-clock';

interface Options {
    readonly icw1?: number;
    readonly masterIcw4?: number;
    readonly slaveIcw4?: number;
    readonly slaveId?: number;
}

function createPic(): { pic: PicPair; intr: FakeLine } {
    const intr = new FakeLine();
    return { pic: new PicPair({ intr }), intr };
}

/** As a PC BIOS does: vectors 0x08 and 0x70, everything unmasked. */
function initialize(pic: PicPair, options: Options = {}): void {
    const icw1 = options.icw1 ?? 0x11;
    pic.master.write(0, 1, icw1);
    pic.slave.write(0, 1, icw1);
    pic.master.write(1, 1, 0x08);
    pic.slave.write(1, 1, 0x70);
    pic.master.write(1, 1, 0x04);
    pic.slave.write(1, 1, options.slaveId ?? 0x02);
    if ((icw1 & 1) !== 0) {
        pic.master.write(1, 1, options.masterIcw4 ?? 0x01);
        pic.slave.write(1, 1, options.slaveIcw4 ?? 0x01);
    }
    pic.master.write(1, 1, 0);
    pic.slave.write(1, 1, 0);
}

function ready(options: Options = {}): { pic: PicPair; intr: FakeLine } {
    const made = createPic();
    initialize(made.pic, options);
    return made;
}

const EOI = 0x20;
const READ_IRR = 0x0a;
const READ_ISR = 0x0b;

describe('8259A pair', () => {
    it('delivers an edge once and again only after the line has been low', () => {
        const { pic, intr } = ready();
        pic.line(4).set(true);
        assert.equal(intr.asserted, true);
        assert.equal(pic.acknowledge(), 0x0c);
        assert.equal(intr.asserted, false);
        pic.master.write(0, 1, EOI);
        assert.equal(intr.asserted, false, 'the line is still high, but there was no new edge');
        pic.line(4).set(false);
        pic.line(4).set(true);
        assert.equal(intr.asserted, true);
    });

    it('keeps requesting a level-triggered input until its source lets go', () => {
        const { pic, intr } = ready();
        pic.elcr.write(1, 1, 0x08);
        pic.line(11).set(true);
        assert.equal(pic.acknowledge(), 0x73);
        assert.equal(intr.asserted, false);
        pic.slave.write(0, 1, EOI);
        pic.master.write(0, 1, EOI);
        assert.equal(intr.asserted, true, 'asserted again after the EOI');
        pic.line(11).set(false);
        assert.equal(intr.asserted, false);
    });

    it('lets only a higher priority interrupt a handler', () => {
        const { pic, intr } = ready();
        pic.line(4).set(true);
        pic.acknowledge();
        pic.line(5).set(true);
        assert.equal(intr.asserted, false);
        pic.line(1).set(true);
        assert.equal(pic.acknowledge(), 0x09);
        pic.master.write(0, 1, EOI); // ends IRQ 1, the highest in service
        assert.equal(intr.asserted, false);
        pic.master.write(0, 1, READ_ISR);
        assert.equal(pic.master.read(0, 1), 0x10);
        pic.master.write(0, 1, EOI);
        assert.equal(pic.acknowledge(), 0x0d);
    });

    it('needs an EOI at both chips for a slave interrupt', () => {
        const { pic, intr } = ready();
        pic.line(8).set(true);
        pic.line(12).set(true);
        assert.equal(pic.acknowledge(), 0x70);
        pic.slave.write(0, 1, EOI);
        assert.equal(intr.asserted, false, 'the master still has IR2 in service');
        pic.master.write(0, 1, EOI);
        assert.equal(intr.asserted, true);
        assert.equal(pic.acknowledge(), 0x74);
    });

    it('masks as Linux does: requests wait in the IRR and come through on unmasking', () => {
        const { pic, intr } = ready();
        pic.master.write(1, 1, 0xff);
        pic.line(3).set(true);
        assert.equal(intr.asserted, false);
        pic.master.write(0, 1, READ_IRR);
        assert.equal(pic.master.read(0, 1), 0x08);
        assert.equal(pic.master.read(1, 1), 0xff);
        pic.master.write(1, 1, 0xf7);
        assert.equal(pic.acknowledge(), 0x0b);
    });

    it('answers with IRQ 7 when the request vanished, and leaves nothing in service', () => {
        const { pic } = ready();
        pic.line(5).set(true);
        pic.line(5).set(false);
        assert.equal(pic.acknowledge(), 0x0f);
        pic.master.write(0, 1, READ_ISR);
        assert.equal(pic.master.read(0, 1), 0);
    });

    it('withdraws a slave request from the master too, so that a late acknowledge is spurious there', () => {
        const { pic, intr } = ready();
        pic.line(9).set(true);
        pic.slave.write(0, 1, 0x0c);
        assert.equal(pic.slave.read(0, 1), 0x81, 'polled away behind the master');
        assert.equal(intr.asserted, false);
        assert.equal(pic.acknowledge(), 0x0f);
        pic.slave.write(0, 1, EOI);
        pic.line(8).set(true);
        pic.slave.write(1, 1, 0x01);
        assert.equal(intr.asserted, false, 'masked at the slave');
    });

    it('rotates priorities on EOI, and puts an explicit IR at the bottom', () => {
        const { pic } = ready();
        pic.line(3).set(true);
        pic.line(4).set(true);
        assert.equal(pic.acknowledge(), 0x0b);
        pic.master.write(0, 1, 0xa0); // rotate on non-specific EOI: IR3 becomes the lowest
        assert.equal(pic.acknowledge(), 0x0c);
        pic.line(3).set(false);
        pic.line(3).set(true);
        pic.line(7).set(true);
        pic.master.write(0, 1, 0x60 | 4); // specific EOI
        assert.equal(pic.acknowledge(), 0x0f, 'IR7 now ranks above IR3');
        pic.master.write(0, 1, 0xe0 | 7); // rotate on specific EOI: IR7 becomes the lowest
        assert.equal(pic.acknowledge(), 0x0b);
        pic.master.write(0, 1, EOI);
        pic.line(0).set(true);
        pic.line(5).set(true);
        pic.master.write(0, 1, 0xc0 | 4); // set priority: IR5 becomes the highest
        assert.equal(pic.acknowledge(), 0x0d);
    });

    it('ends and rotates by itself in automatic EOI mode', () => {
        const { pic, intr } = ready({ masterIcw4: 0x03 });
        pic.master.write(0, 1, 0x80); // rotate in AEOI mode
        pic.line(1).set(true);
        pic.line(6).set(true);
        assert.equal(pic.acknowledge(), 0x09);
        assert.equal(intr.asserted, true);
        pic.line(1).set(false);
        pic.line(1).set(true);
        assert.equal(pic.acknowledge(), 0x0e, 'IR1 dropped to the lowest priority');
        assert.equal(pic.acknowledge(), 0x09);
        pic.master.write(0, 1, READ_ISR);
        assert.equal(pic.master.read(0, 1), 0);
    });

    it('gives an automatic-EOI slave each of its requests through the edge-triggered cascade', () => {
        const { pic, intr } = ready({ masterIcw4: 0x03, slaveIcw4: 0x03 });
        pic.line(10).set(true);
        pic.line(14).set(true);
        assert.equal(pic.acknowledge(), 0x72);
        assert.equal(intr.asserted, true);
        assert.equal(pic.acknowledge(), 0x76);
        assert.equal(intr.asserted, false);
    });

    it('opens lower priorities in special mask mode', () => {
        const { pic, intr } = ready();
        pic.line(2 + 1).set(true);
        assert.equal(pic.acknowledge(), 0x0b);
        pic.line(6).set(true);
        assert.equal(intr.asserted, false);
        pic.master.write(1, 1, 0x08);
        assert.equal(intr.asserted, false);
        pic.master.write(0, 1, 0x68); // set special mask mode
        assert.equal(intr.asserted, true);
        assert.equal(pic.acknowledge(), 0x0e);
        pic.master.write(0, 1, EOI); // does not touch the masked IR3
        pic.master.write(0, 1, READ_ISR);
        assert.equal(pic.master.read(0, 1), 0x08);
        pic.master.write(0, 1, 0x48); // back to normal mask mode
        pic.line(7).set(true);
        assert.equal(intr.asserted, false);
    });

    it('lets a higher slave input interrupt the slave in special fully nested mode', () => {
        const { pic, intr } = ready({ masterIcw4: 0x11 });
        pic.line(12).set(true);
        assert.equal(pic.acknowledge(), 0x74);
        pic.line(3).set(true);
        assert.equal(intr.asserted, false, 'IR3 ranks below the slave in service');
        pic.line(8).set(true);
        assert.equal(intr.asserted, true);
        assert.equal(pic.acknowledge(), 0x70);

        const plain = ready();
        plain.pic.line(12).set(true);
        plain.pic.acknowledge();
        plain.pic.line(8).set(true);
        assert.equal(plain.intr.asserted, false);
    });

    it('serves a polling driver', () => {
        const { pic } = ready();
        pic.master.write(0, 1, 0x0c);
        assert.equal(pic.master.read(0, 1) & 0x80, 0, 'nothing requested');
        pic.line(14).set(true);
        pic.master.write(0, 1, 0x0c);
        assert.equal(pic.master.read(0, 1), 0x82);
        pic.slave.write(0, 1, 0x0c);
        assert.equal(pic.slave.read(0, 1), 0x86);
        pic.slave.write(0, 1, READ_ISR);
        assert.equal(pic.slave.read(0, 1), 0x40, 'the poll put it into service, and lasts for one read');
    });

    it('forgets requests, masks and priorities at ICW1 and waits for a new edge', () => {
        const { pic, intr } = ready();
        pic.master.write(1, 1, 0x0f);
        pic.master.write(0, 1, 0xc0 | 2);
        pic.line(4).set(true);
        initialize(pic);
        assert.equal(intr.asserted, false);
        pic.master.write(0, 1, READ_IRR);
        assert.equal(pic.master.read(0, 1), 0);
        pic.line(0).set(true);
        assert.equal(pic.acknowledge(), 0x08);
    });

    it('stays quiet between ICW1 and the last initialization word', () => {
        const { pic, intr } = createPic();
        pic.master.write(0, 1, 0x11);
        pic.line(0).set(true);
        pic.master.write(1, 1, 0x20);
        pic.master.write(1, 1, 0x04);
        assert.equal(intr.asserted, false);
        pic.master.write(1, 1, 0x01);
        assert.equal(intr.asserted, true);
        assert.equal(pic.acknowledge(), 0x20);
    });

    it('takes a lone chip and level triggering from ICW1', () => {
        const { pic, intr } = createPic();
        pic.line(6).set(true);
        pic.master.write(0, 1, 0x1b); // ICW4, single, level
        pic.master.write(1, 1, 0x40);
        pic.master.write(1, 1, 0x01);
        assert.equal(pic.acknowledge(), 0x46);
        pic.master.write(0, 1, EOI);
        assert.equal(intr.asserted, true);
    });

    it('gives the low byte of the CALL address in 8080 mode', () => {
        const { pic } = ready({ icw1: 0xf0 });
        pic.line(3).set(true);
        assert.equal(pic.acknowledge(), 0xc0 | (3 << 3));
    });

    it('reads a floating bus as the vector when no slave has the identity on the cascade lines', () => {
        const { pic } = ready({ slaveId: 5 });
        pic.line(9).set(true);
        assert.equal(pic.acknowledge(), 0xff);
    });

    it('keeps the edge-only inputs out of the ELCR and reads it as one word', () => {
        const { pic } = ready();
        pic.elcr.write(0, 2, 0xffff);
        assert.equal(pic.elcr.read(0, 2), 0xdef8);
    });

    it('goes on after save and restore exactly where it was', () => {
        const { pic } = ready();
        pic.elcr.write(1, 1, 0x02);
        pic.line(9).set(true);
        pic.line(4).set(true);
        assert.equal(pic.acknowledge(), 0x71);
        pic.master.write(0, 1, READ_ISR);

        const other = createPic();
        other.pic.restore(pic.save());
        assert.deepEqual(other.pic.save(), pic.save());
        for (const chip of [pic, other.pic]) {
            assert.equal(chip.master.read(0, 1), 0x04);
            chip.slave.write(0, 1, EOI);
            chip.master.write(0, 1, EOI);
            assert.equal(chip.acknowledge(), 0x71, 'level, still asserted');
            chip.line(9).set(false);
            chip.slave.write(0, 1, EOI);
            chip.master.write(0, 1, EOI);
            assert.equal(chip.acknowledge(), 0x0c);
        }
    });

    it('drives INTR when restored, and refuses records that saving never gives', () => {
        const { pic } = ready();
        pic.line(4).set(true);
        const record = pic.save();
        const other = createPic();
        other.pic.restore(record);
        assert.equal(other.intr.asserted, true);
        assert.throws(() => other.pic.restore({ ...record, version: 2 }), SnapshotError);
        assert.throws(() => other.pic.restore({ ...record, kind: 'pit8254' }), SnapshotError);
        assert.throws(() => other.pic.restore({ ...record, fields: {} }), SnapshotError);
    });

    it('shows what is in service without changing anything', () => {
        const { pic } = ready();
        pic.line(4).set(true);
        pic.acknowledge();
        const before = pic.save();
        const isr = pic.inspect().find(register => register.name === 'master.ISR');
        assert.deepEqual([isr?.value, isr?.description], [0x10, 'in service: 4']);
        assert.deepEqual(pic.save(), before);
    });
});
