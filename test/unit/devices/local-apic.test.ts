import assert from 'node:assert/strict';
import { SnapshotError } from '../../../src/common/errors';
import { PicPair } from '../../../src/devices/pic-pair';
import { Apic, ApicBench } from './apic-bench';

describe('local APIC: accepting interrupts', () => {
    it('comes out of reset software disabled, with everything masked', () => {
        const bench = new ApicBench();
        assert.equal(bench.read(Apic.Svr), 0xff);
        assert.equal(bench.read(Apic.Version), 0x01050014);
        assert.equal(bench.read(Apic.LvtLint0), 0x10000);
        assert.equal(bench.read(Apic.Dfr), 0xffffffff);
        bench.ipi(0x40040);
        assert.equal(bench.apics[0].pendingVector(), -1);
        bench.write(Apic.LvtTimer, 0x30);
        assert.equal(bench.read(Apic.LvtTimer), 0x10030, 'the mask cannot be cleared while disabled');
    });

    it('delivers by priority class and nests only higher classes', () => {
        const bench = new ApicBench().enable();
        bench.ipi(0x40041);
        bench.ipi(0x40045);
        const apic = bench.apics[0];
        assert.equal(apic.acknowledge(), 0x45);
        assert.equal(bench.read(Apic.Ppr), 0x40);
        assert.equal(apic.pendingVector(), -1, '0x41 is of the class in service');
        bench.ipi(0x40050);
        assert.equal(apic.acknowledge(), 0x50);
        bench.write(Apic.Eoi, 0);
        assert.equal(apic.pendingVector(), -1);
        bench.write(Apic.Eoi, 0);
        assert.equal(apic.acknowledge(), 0x41);
    });

    it('holds back what the task priority covers, through the TPR and CR8 alike', () => {
        const bench = new ApicBench().enable();
        const apic = bench.apics[0];
        bench.write(Apic.Tpr, 0x53);
        bench.ipi(0x40055);
        assert.equal(apic.pendingVector(), -1);
        assert.equal(bench.read(Apic.Ppr), 0x53);
        assert.equal(apic.readCr8(), 5);
        apic.writeCr8(4);
        assert.equal(bench.read(Apic.Tpr), 0x40);
        assert.equal(apic.pendingVector(), 0x55);
    });

    it('shows vectors in IRR and ISR words', () => {
        const bench = new ApicBench().enable();
        bench.ipi(0x400e3);
        assert.equal(bench.read((Apic.Irr + 0x70) as Apic), 8);
        bench.apics[0].acknowledge();
        assert.equal(bench.read((Apic.Irr + 0x70) as Apic), 0);
        assert.equal(bench.read((Apic.Isr + 0x70) as Apic), 8);
    });

    it('gives the spurious vector when nothing is deliverable any more', () => {
        const bench = new ApicBench().enable();
        bench.ipi(0x40055);
        bench.write(Apic.Tpr, 0xf0);
        assert.equal(bench.apics[0].acknowledge(), 0xff);
        assert.equal(bench.read((Apic.Isr + 0x70) as Apic), 0);
    });

    it('tells the processor of each change once', () => {
        const bench = new ApicBench().enable();
        bench.ipi(0x40055);
        bench.ipi(0x40055);
        bench.ipi(0x40032);
        assert.equal(bench.cpus[0].changes, 1);
    });

    it('reports illegal vectors and registers in the ESR and by the error interrupt', () => {
        const bench = new ApicBench().enable();
        bench.write(Apic.LvtError, 0xfe);
        bench.ipi(0x40003);
        assert.equal(bench.read(Apic.Esr), 0, 'visible only after a write');
        assert.equal(bench.serve(), 0xfe);
        bench.write(0x40 as Apic, 1);
        bench.bus.send(0, false, 0, 2, false);
        bench.write(Apic.Esr, 0);
        assert.equal(bench.read(Apic.Esr), 0xe0);
        bench.write(Apic.Esr, 0);
        assert.equal(bench.read(Apic.Esr), 0);
    });

    it('drops stores that are not aligned 32-bit ones', () => {
        const bench = new ApicBench().enable();
        bench.apics[0].mmio.write(Apic.Tpr, 1, 0x40);
        bench.apics[0].mmio.write(Apic.Tpr + 4, 4, 0x40);
        assert.equal(bench.read(Apic.Tpr), 0);
        assert.equal(bench.apics[0].mmio.read(Apic.Version + 2, 1), 0x05);
    });
});

describe('local APIC: pins', () => {
    it('passes the PIC through LINT0 in virtual wire mode, beside its own vectors', () => {
        const lint0 = { set: (asserted: boolean): void => bench.apics[0].lint0.set(asserted) };
        const pic = new PicPair({ intr: lint0 });
        const bench: ApicBench = new ApicBench({ pic });
        for (const [port, value] of [
            [0, 0x11],
            [1, 0x30],
            [1, 0x04],
            [1, 0x01],
            [1, 0x00],
        ]) {
            pic.master.write(port, 1, value);
        }
        bench.apics[0].configureVirtualWire();
        pic.line(0).set(true);
        assert.equal(bench.apics[0].interruptPending, true);
        assert.equal(bench.apics[0].pendingVector(), -1);
        bench.ipi(0x400a0);
        assert.equal(bench.apics[0].acknowledge(), 0x30, 'the PIC first');
        assert.equal(bench.apics[0].acknowledge(), 0xa0);
        pic.master.write(0, 1, 0x20);
        bench.write(Apic.LvtLint0, 0x10700);
        pic.line(1).set(true);
        assert.equal(bench.apics[0].interruptPending, false, 'masked, as Linux leaves it with an IOAPIC');
    });

    it('leaves the pins to the processor while globally disabled', () => {
        const bench = new ApicBench({ pic: { acknowledge: () => 0x21 } });
        const apic = bench.apics[0];
        apic.writeMsr(0x1b, 0xfee00100, 0);
        assert.equal(apic.enabled, false);
        apic.lint0.set(true);
        assert.equal(apic.acknowledge(), 0x21);
        apic.lint1.set(true);
        assert.deepEqual(bench.cpus[0].log, ['base', 'nmi']);
    });

    it('takes an NMI edge on LINT1', () => {
        const bench = new ApicBench().enable();
        bench.write(Apic.LvtLint1, 0x400);
        bench.apics[0].lint1.set(true);
        bench.apics[0].lint1.set(true);
        bench.apics[0].lint1.set(false);
        bench.apics[0].lint1.set(true);
        assert.deepEqual(bench.cpus[0].log, ['nmi', 'nmi']);
    });

    it('repeats a level-triggered LINT0 after its EOI while it stays asserted', () => {
        const bench = new ApicBench().enable();
        const apic = bench.apics[0];
        bench.write(Apic.LvtLint0, 0x8061);
        apic.lint0.set(true);
        assert.equal(bench.read(Apic.LvtLint0), 0xc061, 'remote IRR');
        assert.equal(apic.acknowledge(), 0x61);
        assert.equal(apic.pendingVector(), -1);
        bench.write(Apic.Eoi, 0);
        assert.equal(apic.acknowledge(), 0x61);
        apic.lint0.set(false);
        bench.write(Apic.Eoi, 0);
        assert.equal(apic.pendingVector(), -1);
        assert.equal(bench.read(Apic.LvtLint0), 0x8061);
    });

    it('masks the performance entry after each overflow', () => {
        const bench = new ApicBench().enable();
        bench.write(Apic.LvtPerformance, 0x400);
        bench.apics[0].performanceInterrupt();
        bench.apics[0].performanceInterrupt();
        assert.deepEqual(bench.cpus[0].log, ['nmi']);
        assert.equal(bench.read(Apic.LvtPerformance), 0x10400);
    });
});

describe('local APIC: interprocessor interrupts', () => {
    it('starts a processor as an operating system does: INIT, de-assert, two start-up IPIs', () => {
        const bench = new ApicBench({ cpus: 2 }).enable();
        bench.ipi(0xc500, 1);
        bench.ipi(0x8500, 1);
        bench.ipi(0x0699, 1);
        bench.ipi(0x0699, 1);
        assert.deepEqual(bench.cpus[1].log, ['init', 'startUp 99', 'startUp 99']);
        assert.equal(bench.read(Apic.Svr, 1), 0xff, 'INIT reset the local APIC');
        assert.deepEqual(bench.cpus[0].log, []);
    });

    it('reaches physical, logical flat and logical cluster destinations', () => {
        const bench = new ApicBench({ cpus: 4 }).enable();
        const received = (): number[] => bench.apics.map((_, cpu) => bench.serve(cpu));
        bench.ipi(0x4041, 2);
        assert.deepEqual(received(), [-1, -1, 0x41, -1]);
        bench.ipi(0x4041, 0xff);
        assert.deepEqual(received(), [0x41, 0x41, 0x41, 0x41]);
        bench.apics.forEach((_, cpu) => bench.write(Apic.Ldr, (1 << cpu) << 24, cpu));
        bench.ipi(0x4842, 0b1010);
        assert.deepEqual(received(), [-1, 0x42, -1, 0x42]);
        bench.apics.forEach((_, cpu) => {
            bench.write(Apic.Dfr, 0x0fffffff, cpu);
            bench.write(Apic.Ldr, (((cpu >> 1) << 4) | (1 << (cpu & 1))) << 24, cpu);
        });
        bench.ipi(0x4843, 0x12);
        assert.deepEqual(received(), [-1, -1, -1, 0x43]);
        bench.ipi(0x4843, 0x03);
        assert.deepEqual(received(), [0x43, 0x43, -1, -1]);
        bench.ipi(0x4843, 0xff);
        assert.deepEqual(received(), [0x43, 0x43, 0x43, 0x43]);
    });

    it('understands the shorthands', () => {
        const bench = new ApicBench({ cpus: 3 }).enable();
        bench.ipi(0x80051, 0, 1);
        bench.ipi(0xc0052, 0, 1);
        bench.ipi(0x40053, 0, 1);
        assert.deepEqual([bench.serve(1), bench.serve(1)], [0x53, 0x51]);
        assert.deepEqual([bench.serve(0), bench.serve(0)], [0x52, 0x51]);
        bench.ipi(0xc0400, 0, 0);
        assert.deepEqual(
            bench.cpus.map(cpu => cpu.log),
            [[], ['nmi'], ['nmi']],
        );
        bench.apics[2].writeMsr(0x1b, 0xfee00000, 0);
        bench.ipi(0xc0400, 0, 0);
        assert.deepEqual(
            bench.cpus.map(cpu => cpu.log),
            [[], ['nmi', 'nmi'], ['nmi', 'base']],
        );
    });

    it('gives a lowest-priority interrupt to the least busy enabled processor', () => {
        const bench = new ApicBench({ cpus: 3 }).enable();
        bench.apics.forEach((_, cpu) => bench.write(Apic.Ldr, (1 << cpu) << 24, cpu));
        bench.write(Apic.Svr, 0xff, 2);
        bench.write(Apic.Tpr, 0x20, 0);
        bench.ipi(0x4961, 0x07);
        assert.deepEqual([bench.serve(0), bench.serve(1), bench.serve(2)], [-1, 0x61, -1]);
        bench.write(Apic.Tpr, 0x30, 1);
        bench.ipi(0x4961, 0x07);
        assert.deepEqual([bench.serve(0), bench.serve(1), bench.serve(2)], [0x61, -1, -1]);
    });

    it('decodes message-signalled interrupts', () => {
        const bench = new ApicBench({ cpus: 2 }).enable();
        bench.bus.sendMsi(0xfee01000, 0x4045);
        assert.deepEqual([bench.serve(0), bench.serve(1)], [-1, 0x45]);
        bench.write(Apic.Ldr, 0x01000000, 0);
        bench.bus.sendMsi(0xfee0100c, 0x0146);
        assert.deepEqual([bench.serve(0), bench.serve(1)], [0x46, -1]);
        bench.write(Apic.Ldr, 0x02000000, 1);
        bench.bus.sendMsi(0xfee03004, 0x0047);
        assert.deepEqual([bench.serve(0), bench.serve(1)], [0x47, 0x47]);
        // With the redirection hint, one of them takes it.
        bench.write(Apic.Tpr, 0x20, 0);
        bench.bus.sendMsi(0xfee0300c, 0x0048);
        assert.deepEqual([bench.serve(0), bench.serve(1)], [-1, 0x48]);
    });
});

describe('local APIC: modes', () => {
    it('allows only the transitions of the state diagram', () => {
        const base = (bench: ApicBench, low: number, high = 0): boolean => bench.apics[0].writeMsr(0x1b, low, high);
        const bench = new ApicBench();
        assert.equal(base(bench, 0xfee00500), true, 'x2APIC without enable');
        assert.equal(base(bench, 0xfee00900), false);
        assert.equal(base(bench, 0xfee00901), true, 'reserved bit');
        assert.equal(base(bench, 0xfee00900, 0x100), true, 'beyond the physical address width');
        assert.equal(base(bench, 0xfee00d00), false, 'xAPIC to x2APIC');
        assert.equal(base(bench, 0xfee00900), true, 'x2APIC to xAPIC');
        assert.equal(base(bench, 0xfee00100), false, 'x2APIC to disabled');
        assert.equal(base(bench, 0xfee00d00), true, 'disabled to x2APIC');
        assert.equal(base(bench, 0xfee00900), false, 'disabled to xAPIC');
    });

    it('moves its page, and answers nothing there in x2APIC mode', () => {
        const bench = new ApicBench().enable();
        const apic = bench.apics[0];
        apic.writeMsr(0x1b, 0xd0000900, 0x12);
        assert.equal(apic.baseAddress, 0x12_d000_0000);
        bench.x2apic();
        assert.equal(apic.mmioEnabled, false);
        assert.equal(bench.read(Apic.Version), 0);
    });

    it('offers the registers as MSRs and faults on what does not exist there', () => {
        const bench = new ApicBench({ cpus: 20 }).enable();
        const apic = bench.apics[18];
        assert.equal(apic.readMsr(0x802), true, 'not in xAPIC mode');
        bench.x2apic(18);
        const read = (index: number): number | 'fault' => (apic.readMsr(index) ? 'fault' : apic.msrLow);
        assert.equal(read(0x802), 18);
        assert.equal(read(0x80d), 0x10004, 'cluster 1, third of its sixteen');
        assert.equal(read(0x80f), 0x1ff, 'state survives the change of mode');
        for (const index of [0x800, 0x809, 0x80b, 0x80c, 0x80e, 0x831, 0x83f, 0x840, 0x8ff]) {
            assert.equal(read(index), 'fault', index.toString(16));
        }
        for (const index of [0x802, 0x803, 0x80a, 0x80d, 0x80e, 0x810, 0x820, 0x831, 0x839]) {
            assert.equal(apic.writeMsr(index, 0, 0), true, index.toString(16));
        }
        assert.equal(apic.writeMsr(0x808, 0x100, 0), true, 'reserved bits of the TPR');
        assert.equal(apic.writeMsr(0x808, 0x10, 1), true, 'high half');
        assert.equal(apic.writeMsr(0x80b, 1, 0), true, 'EOI takes only zero');
        assert.equal(apic.writeMsr(0x828, 1, 0), true, 'ESR takes only zero');
        assert.equal(apic.writeMsr(0x808, 0x10, 0), false);
        assert.equal(apic.readCr8(), 1);
    });

    it('sends IPIs with 32-bit destinations and to itself', () => {
        const bench = new ApicBench({ cpus: 20 }).enable();
        bench.apics.forEach((_, cpu) => bench.x2apic(cpu));
        const sender = bench.apics[0];
        sender.writeMsr(0x830, 0x45, 17);
        assert.equal(bench.apics[17].pendingVector(), 0x45);
        sender.writeMsr(0x830, 0x846, 0x1_0006);
        assert.deepEqual(
            bench.apics.map((apic, cpu) => (apic.pendingVector() === 0x46 ? cpu : -1)).filter(cpu => cpu >= 0),
            [17, 18],
        );
        sender.writeMsr(0x83f, 0x47, 0);
        assert.equal(sender.pendingVector(), 0x47);
        sender.writeMsr(0x830, 0x48, 0xffffffff);
        assert.ok(bench.apics.every(apic => apic.pendingVector() === 0x48));
        sender.readMsr(0x830);
        assert.deepEqual([sender.msrLow, sender.msrHigh], [0x48, 0xffffffff]);
    });

    it('keeps ID and x2APIC mode through an INIT', () => {
        const bench = new ApicBench({ cpus: 2 }).enable();
        bench.x2apic(1);
        bench.ipi(0xc500, 1);
        assert.equal(bench.apics[1].x2apic, true);
        bench.apics[1].readMsr(0x80d);
        assert.equal(bench.apics[1].msrLow, 2);
    });

    it('forgets everything when disabled', () => {
        const bench = new ApicBench().enable();
        bench.ipi(0x40055);
        bench.write(Apic.Id, 0x05000000);
        assert.equal(bench.read(Apic.Id), 0x05000000);
        bench.apics[0].writeMsr(0x1b, 0xfee00100, 0);
        assert.equal(bench.apics[0].interruptPending, false);
        bench.apics[0].writeMsr(0x1b, 0xfee00900, 0);
        assert.equal(bench.read(Apic.Svr), 0xff);
        assert.equal(bench.read(Apic.Id), 0);
        assert.equal(bench.apics[0].interruptPending, false);
    });
});

describe('local APIC: state', () => {
    it('goes on after save and restore, with the timer at the same deadline', () => {
        const bench = new ApicBench().enable();
        bench.write(Apic.Divide, 0xb);
        bench.write(Apic.LvtTimer, 0x200ec);
        bench.write(Apic.InitialCount, 100_000);
        bench.write(Apic.LvtLint0, 0x8061);
        bench.apics[0].lint0.set(true);
        bench.ipi(0x40031);
        bench.apics[0].acknowledge();
        bench.clock.advance(123_456);
        const record = bench.apics[0].save();

        const other = new ApicBench({ start: bench.clock.now() });
        other.apics[0].restore(record);
        assert.deepEqual(other.apics[0].save(), record);
        for (const one of [bench, other]) {
            const served: number[] = [];
            for (let i = 0; i < 6; i++) {
                one.clock.advance(70_000);
                served.push(one.serve(), one.read(Apic.CurrentCount));
                one.apics[0].lint0.set(false);
            }
            bench.cpus[0].log.push(served.join(' '));
        }
        assert.equal(bench.cpus[0].log[0], bench.cpus[0].log[1]);
    });

    it('goes back to an earlier state of itself with its alarm armed again', () => {
        const bench = new ApicBench().enable();
        bench.write(Apic.LvtTimer, 0xec);
        bench.write(Apic.InitialCount, 100_000);
        const record = bench.apics[0].save();
        bench.clock.restore(0);
        bench.apics[0].restore(record);
        assert.equal(bench.clock.nextDeadline(), 200_000);
    });

    it('restores x2APIC mode and a TSC deadline, and tells the processor', () => {
        const bench = new ApicBench().enable();
        bench.x2apic();
        const apic = bench.apics[0];
        apic.writeMsr(0x832, 0x400ec, 0);
        apic.writeMsr(0x6e0, 5000, 0);
        apic.writeMsr(0x83f, 0x44, 0);
        const other = new ApicBench();
        other.apics[0].restore(apic.save());
        assert.ok(other.cpus[0].changes > 0);
        assert.ok(other.cpus[0].log.includes('base'));
        assert.equal(other.apics[0].acknowledge(), 0x44);
        other.apics[0].writeMsr(0x80b, 0, 0);
        other.clock.advance(2500);
        assert.equal(other.apics[0].pendingVector(), 0xec);
        assert.throws(() => other.apics[0].restore({ ...apic.save(), version: 7 }), SnapshotError);
    });

    it('explains itself in the Devices view without changing', () => {
        const bench = new ApicBench().enable();
        bench.write(Apic.LvtTimer, 0x200ec);
        bench.ipi(0x40031);
        const before = bench.apics[0].save();
        const registers = new Map(bench.apics[0].inspect().map(register => [register.name, register]));
        assert.equal(registers.get('IRR')?.value, '0x31');
        assert.equal(registers.get('LVT timer')?.description, 'periodic, vector 0xec');
        assert.equal(registers.get('IA32_APIC_BASE')?.description, 'xAPIC, bootstrap processor');
        assert.equal(registers.get('ICR')?.description, 'fixed, vector 0x31 → self');
        assert.deepEqual(bench.apics[0].save(), before);
    });

    it('returns to power-up at reset but keeps its pins', () => {
        const bench = new ApicBench().enable();
        const apic = bench.apics[0];
        apic.lint0.set(true);
        bench.x2apic();
        apic.reset();
        assert.equal(apic.extIntPending, false);
        apic.configureVirtualWire();
        assert.equal(apic.extIntPending, true);
        apic.reset();
        assert.equal(bench.apics[0].mmioEnabled, true);
        assert.equal(bench.read(Apic.Svr), 0xff);
        assert.equal(bench.apics[0].bootstrap, true);
    });
});
