import assert from 'node:assert/strict';
import type { DeviceRegister, IoRegion, StateRecord } from '../../../src/devices/device';
import { PciConfigurationPorts } from '../../../src/devices/pci/configuration-ports';
import { HostBridge } from '../../../src/devices/pci/host-bridge';
import { MsiCapability } from '../../../src/devices/pci/msi';
import { MsixCapability } from '../../../src/devices/pci/msix';
import { i440fxSwizzle, PciBus } from '../../../src/devices/pci/pci-bus';
import { PciFunction } from '../../../src/devices/pci/pci-function';
import { Piix3IsaBridge } from '../../../src/devices/pci/piix3-isa-bridge';
import { Piix4PowerManagement } from '../../../src/devices/pci/piix4-power-management';
import { StateReader } from '../../../src/devices/state-reader';
import { FakeLine } from './fake-clock';
import { assertRefusesForeignRecords } from './fixtures';

const silent: IoRegion = { read: () => 0, write: () => undefined };

/** A card with one BAR of each kind, a ROM, MSI and MSI-X. */
class Card extends PciFunction {
    readonly msi: MsiCapability;
    readonly msix: MsixCapability;

    constructor(name = 'card') {
        super(name, { vendorId: 0x1234, deviceId: 0x5678, revision: 9, classCode: 0x020000, interruptPin: 1 });
        const send = (address: number, data: number) => this.sendMessage(address, data);
        this.msi = new MsiCapability(this.configuration, 4, send);
        this.msix = new MsixCapability(this.configuration, { vectors: 3, bar: 1, send });
        this.addBar({ index: 0, space: 'io', size: 32, region: silent });
        this.addBar({ index: 1, space: 'memory', size: this.msix.regionSize, region: this.msix.region });
        this.addBar({ index: 4, space: 'memory', size: 0x4000, wide: true, prefetchable: true, region: silent });
        this.addRom(0x10000, silent);
    }

    raise(asserted: boolean): void {
        this.setInterrupt(asserted);
    }

    protected override configurationWritten(): void {
        this.msi.configurationWritten();
        this.msix.configurationWritten();
    }

    save(): StateRecord {
        return { kind: 'card', version: 1, fields: { ...this.saveFunction(), ...this.msix.save() } };
    }

    restore(record: StateRecord): void {
        const state = new StateReader(record, 'card', 1);
        this.msix.restore(state);
        this.restoreFunction(state);
    }

    inspect(): DeviceRegister[] {
        return this.inspectFunction();
    }
}

function build() {
    const mapped = new Map<string, string>();
    const messages: string[] = [];
    const shadows: string[] = [];
    const resets: string[] = [];
    const pmBases: (number | undefined)[] = [];
    const isaIrqs = Array.from({ length: 16 }, () => new FakeLine());
    const isaBridge = new Piix3IsaBridge('isa-bridge', isaIrqs);
    const bus = new PciBus({
        mapper: {
            map: (space, name, address, size) => {
                mapped.set(name, `${space} ${address.toString(16)}+${size.toString(16)}`);
                return () => mapped.delete(name);
            },
        },
        messages: { send: (address, data) => messages.push(`${address.toString(16)}=${data.toString(16)}`) },
        pirqs: isaBridge.pirqs,
    });
    const ports = new PciConfigurationPorts('pci', { bus, reset: hard => resets.push(hard ? 'hard' : 'soft') });
    const hostBridge = new HostBridge('host-bridge', {
        shadow: (address, size, read, write) =>
            shadows.push(`${address.toString(16)}+${size.toString(16)} ${read ? 'r' : '-'}${write ? 'w' : '-'}`),
    });
    const pm = new Piix4PowerManagement('pm', { powerManagementBase: base => pmBases.push(base) });
    const card = new Card();
    bus.attach(0, 0, hostBridge);
    bus.attach(1, 0, isaBridge);
    bus.attach(1, 3, pm);
    bus.attach(3, 0, card);
    const select = (device: number, fn: number, offset: number) =>
        ports.registers.write(0, 4, (0x80000000 | (device << 11) | (fn << 8) | (offset & 0xfc)) >>> 0);
    const read = (device: number, fn: number, offset: number, size = 4) => {
        select(device, fn, offset);
        return ports.registers.read(4 + (offset & 3), size);
    };
    const write = (device: number, fn: number, offset: number, value: number, size = 4) => {
        select(device, fn, offset);
        ports.registers.write(4 + (offset & 3), size, value >>> 0);
    };
    return {
        mapped,
        messages,
        shadows,
        resets,
        pmBases,
        isaIrqs,
        isaBridge,
        bus,
        ports,
        hostBridge,
        pm,
        card,
        read,
        write,
    };
}

describe('PCI configuration mechanism #1', () => {
    it('is found by the check that Linux does before it trusts it', () => {
        const { ports } = build();
        ports.registers.write(3, 1, 0x01);
        ports.registers.write(0, 4, 0x80000000);
        assert.equal(ports.registers.read(0, 4), 0x80000000);
        ports.registers.write(0, 4, 0xffffffff);
        assert.equal(ports.registers.read(0, 4), 0x80fffffc);
    });

    it('enumerates the functions, multifunction devices marked, nothing elsewhere', () => {
        const { read } = build();
        const found: string[] = [];
        for (let device = 0; device < 32; device++) {
            for (let fn = 0; fn < 8; fn++) {
                const id = read(device, fn, 0);
                if (id !== 0xffffffff) {
                    found.push(`${device}.${fn} ${id.toString(16)} ${read(device, fn, 0x0e, 1).toString(16)}`);
                }
            }
        }
        assert.deepEqual(found, ['0.0 12378086 0', '1.0 70008086 80', '1.3 71138086 0', '3.0 56781234 0']);
        assert.equal(read(3, 0, 0x08), 0x02000009);
        assert.equal(read(0, 0, 0x2c), 0x11001af4);
        assert.deepEqual([read(1, 0, 0x06, 2), read(1, 3, 0x06, 2)], [0x0200, 0x0280], 'status');
    });

    it('answers on bus 0 only and while enabled', () => {
        const { ports } = build();
        for (const address of [0x00000000, 0x80010000]) {
            ports.registers.write(0, 4, address);
            assert.equal(ports.registers.read(4, 4), 0xffffffff);
            ports.registers.write(4, 4, 0);
        }
    });

    it('resets by a rising bit 2 of port 0xcf9', () => {
        const { ports, resets } = build();
        ports.registers.write(1, 1, 0x02);
        ports.registers.write(1, 1, 0x06);
        ports.registers.write(1, 1, 0x06);
        ports.registers.write(1, 1, 0x00);
        ports.registers.write(1, 1, 0x04);
        assert.deepEqual(resets, ['hard', 'soft']);
        assert.equal(ports.registers.read(1, 1), 0x04);
    });

    it('refuses to plug two functions into one place', () => {
        const { bus } = build();
        assert.throws(() => bus.attach(3, 0, new Card('other')), /'card'/);
        assert.throws(() => bus.attach(4, 1, new Card('other')), /no function 0/);
    });
});

describe('PCI function', () => {
    it('tells the sizes of its BARs and keeps their addresses', () => {
        const { read, write } = build();
        const size = (offset: number) => {
            const old = read(3, 0, offset);
            write(3, 0, offset, 0xffffffff);
            const mask = read(3, 0, offset);
            write(3, 0, offset, old);
            return mask;
        };
        assert.equal(size(0x10), 0xffffffe1);
        assert.equal(size(0x14), 0xfffff000);
        assert.equal(size(0x18), 0);
        assert.equal(size(0x20), 0xffffc00c);
        assert.equal(size(0x24), 0xffffffff);
        assert.equal(size(0x30), 0xffff0001);
        write(3, 0, 0x14, 0xfebd1234);
        assert.equal(read(3, 0, 0x14), 0xfebd1000);
    });

    it('maps a BAR while decoding is on, moves it with its address, and never while it is sized', () => {
        const { mapped, write } = build();
        write(3, 0, 0x10, 0xc000);
        write(3, 0, 0x14, 0xfebd0000);
        assert.equal(mapped.size, 0);
        write(3, 0, 0x04, 0x0007, 2);
        assert.deepEqual(
            [...mapped],
            [
                ['card BAR 0', 'io c000+20'],
                ['card BAR 1', 'memory febd0000+1000'],
            ],
        );
        write(3, 0, 0x14, 0xffffffff);
        assert.equal(mapped.has('card BAR 1'), false);
        write(3, 0, 0x14, 0xe0000000);
        assert.equal(mapped.get('card BAR 1'), 'memory e0000000+1000');
        write(3, 0, 0x24, 0x00000008);
        write(3, 0, 0x20, 0x00004000);
        assert.equal(mapped.get('card BAR 4'), 'memory 800004000+4000');
        write(3, 0, 0x30, 0xfeb00001);
        assert.equal(mapped.get('card ROM'), 'memory feb00000+10000');
        write(3, 0, 0x04, 0x0001, 2);
        assert.deepEqual([...mapped.keys()], ['card BAR 0']);
    });

    it('keeps read-only registers read-only and clears status bits by writing ones', () => {
        const { read, write, card } = build();
        card.configuration.set(6, 2, 0x2010);
        for (let offset = 0; offset < 0x40; offset += 4) {
            write(3, 0, offset, offset === 0x04 ? 0xffff0000 : 0xffffffff);
        }
        assert.equal(read(3, 0, 0x00), 0x56781234);
        assert.equal(read(3, 0, 0x08), 0x02000009);
        assert.equal(read(3, 0, 0x06, 2), 0x0010);
        assert.equal(read(3, 0, 0x3c, 2), 0x01ff);
    });

    it('lists its capabilities', () => {
        const { read } = build();
        assert.equal(read(3, 0, 0x06, 2) & 0x10, 0x10);
        const capabilities: number[] = [];
        for (let at = read(3, 0, 0x34, 1); at !== 0; at = read(3, 0, at + 1, 1)) {
            capabilities.push(read(3, 0, at, 1));
        }
        assert.deepEqual(capabilities, [0x05, 0x11]);
    });

    it('drives the PIRQ of its device, unless the command register disables INTx', () => {
        const { card, isaIrqs, read, write, isaBridge } = build();
        // Device 3, INTA#: the third line.
        assert.equal(i440fxSwizzle(1, 1), 0);
        assert.equal(i440fxSwizzle(3, 1), 2);
        write(1, 0, 0x60, 0x0b0b0a0a);
        card.raise(true);
        assert.equal(isaIrqs[11].asserted, true);
        assert.equal(read(3, 0, 0x06, 2) & 8, 8);
        write(3, 0, 0x04, 0x0400, 2);
        assert.equal(isaIrqs[11].asserted, false);
        assert.equal(read(3, 0, 0x06, 2) & 8, 8);
        write(3, 0, 0x04, 0x0000, 2);
        write(1, 0, 0x62, 0x05, 1);
        assert.deepEqual([isaIrqs[11].asserted, isaIrqs[5].asserted], [false, true]);
        write(1, 0, 0x62, 0x82, 1);
        assert.equal(isaIrqs[5].asserted, false);
        for (const forbidden of [0, 1, 2, 8, 13]) {
            write(1, 0, 0x62, forbidden, 1);
            assert.equal(isaBridge.route(2), -1);
        }
    });

    it('shares one ISA interrupt between several PIRQs', () => {
        const { bus, card, isaIrqs, write } = build();
        const other = new Card('other');
        bus.attach(4, 0, other);
        write(1, 0, 0x60, 0x0b0b0b0b);
        card.raise(true);
        other.raise(true);
        card.raise(false);
        assert.equal(isaIrqs[11].asserted, true);
        other.raise(false);
        assert.equal(isaIrqs[11].asserted, false);
    });

    it('continues after save and restore, mappings and interrupt included', () => {
        const one = build();
        one.write(3, 0, 0x10, 0xc000);
        one.write(3, 0, 0x04, 0x0007, 2);
        one.write(1, 0, 0x60, 0x0b0b0b0b);
        one.card.raise(true);
        const two = build();
        for (const [from, to] of [
            [one.isaBridge, two.isaBridge],
            [one.hostBridge, two.hostBridge],
            [one.pm, two.pm],
            [one.ports, two.ports],
            [one.card, two.card],
        ]) {
            to.restore(from.save());
            assert.deepEqual(to.save(), from.save());
            assertRefusesForeignRecords(to);
        }
        assert.deepEqual([...two.mapped], [...one.mapped]);
        assert.equal(two.isaIrqs[11].asserted, true);
        two.card.reset();
        assert.equal(two.mapped.size, 0);
        assert.equal(two.isaIrqs[11].asserted, false);
    });
});

describe('message signalled interrupts', () => {
    it('send MSI with the vector in the low data bits, once bus mastering is on', () => {
        const { card, messages, write, read } = build();
        const at = card.msi.offset;
        assert.equal(read(3, 0, at + 2, 2), 0x0184);
        write(3, 0, at + 4, 0xfee00000);
        write(3, 0, at + 12, 0x4030, 2);
        write(3, 0, at + 2, 0x0021, 2);
        card.msi.signal(3);
        assert.deepEqual(messages, []);
        write(3, 0, 0x04, 0x0004, 2);
        card.msi.signal(3);
        write(3, 0, at + 16, 0x00000008);
        card.msi.signal(3);
        assert.equal(read(3, 0, at + 20), 8);
        write(3, 0, at + 16, 0);
        assert.deepEqual(messages, ['fee00000=4033', 'fee00000=4033']);
        assert.equal(read(3, 0, at + 20), 0);
    });

    it('send MSI-X from the table, and later what was masked', () => {
        const { card, messages, write, read } = build();
        const at = card.msix.offset;
        assert.equal(read(3, 0, at + 2, 2), 2);
        assert.equal(read(3, 0, at + 4), 1);
        const table = card.msix.region;
        assert.equal(table.read(16 + 12, 4), 1);
        table.write(16, 4, 0xfee01000);
        table.write(20, 4, 0);
        table.write(24, 4, 0x51);
        write(3, 0, 0x04, 0x0006, 2);
        write(3, 0, at + 2, 0x8000, 2);
        card.msix.signal(1);
        assert.equal(table.read(card.msix.regionSize / 2, 4), 2);
        table.write(28, 4, 0);
        assert.deepEqual(messages, ['fee01000=51']);
        write(3, 0, at + 2, 0xc000, 2);
        card.msix.signal(1);
        card.msix.signal(77);
        assert.equal(messages.length, 1);
        write(3, 0, at + 2, 0x8000, 2);
        assert.equal(messages.length, 2);
        assert.equal(table.read(card.msix.regionSize / 2, 4), 0);
    });

    it('survive writes anywhere in the table region', () => {
        const { card } = build();
        for (let offset = 0; offset < card.msix.regionSize; offset++) {
            for (const size of [1, 2, 4]) {
                card.msix.region.write(offset, size, 0xffffffff);
                card.msix.region.read(offset, size);
            }
        }
        card.msix.signal(0);
    });
});

describe('440FX host bridge', () => {
    it('shadows segments as SeaBIOS asks when it makes the BIOS area writable', () => {
        const { read, write, shadows } = build();
        assert.equal(read(0, 0, 0x59, 1), 0);
        write(0, 0, 0x59, 0x30, 1);
        assert.equal(shadows.shift(), 'f0000+10000 rw');
        shadows.length = 0;
        for (let register = 0x5a; register <= 0x5f; register++) {
            write(0, 0, register, 0x33, 1);
        }
        assert.equal(shadows.length, 12);
        assert.deepEqual([shadows[0], shadows[11]], ['c0000+4000 rw', 'ec000+4000 rw']);
        shadows.length = 0;
        write(0, 0, 0x59, 0x10, 1);
        write(0, 0, 0x5a, 0x31, 1);
        assert.deepEqual(shadows, ['f0000+10000 r-', 'c0000+4000 r-']);
    });

    it('returns every segment to the ROM on reset', () => {
        const { write, shadows, hostBridge } = build();
        write(0, 0, 0x58, 0x33333333);
        shadows.length = 0;
        hostBridge.reset();
        assert.equal(shadows.length, 13);
        assert.ok(shadows.every(shadow => shadow.endsWith('--')));
    });

    it('locks SMRAM until reset', () => {
        const { read, write, hostBridge } = build();
        write(0, 0, 0x72, 0x4a, 1);
        assert.equal(read(0, 0, 0x72, 1), 0x4a);
        write(0, 0, 0x72, 0x5a, 1);
        assert.equal(read(0, 0, 0x72, 1), 0x1a);
        write(0, 0, 0x72, 0x4a, 1);
        assert.equal(read(0, 0, 0x72, 1), 0x1a);
        hostBridge.reset();
        assert.equal(read(0, 0, 0x72, 1), 0x02);
    });
});

describe('PIIX4 power management function', () => {
    it('places the registers where firmware says, and says that SMM is set up', () => {
        const { read, write, pmBases } = build();
        assert.equal(read(1, 3, 0x58) & 0x02000000, 0x02000000);
        write(1, 3, 0x40, 0x0601);
        assert.deepEqual(pmBases, []);
        write(1, 3, 0x80, 0x01, 1);
        assert.deepEqual(pmBases, [0x600]);
        assert.equal(read(1, 3, 0x40), 0x601);
        write(1, 3, 0x40, 0xb001);
        write(1, 3, 0x80, 0x00, 1);
        assert.deepEqual(pmBases, [0x600, 0xb000, undefined]);
    });

    it('starts at the board’s base where no firmware runs, and returns there on reset', () => {
        const bases: (number | undefined)[] = [];
        const pm = new Piix4PowerManagement('pm', {
            powerManagementBase: base => bases.push(base),
            initialBase: 0x600,
        });
        pm.writeConfiguration(0x40, 4, 0xb000);
        pm.reset();
        assert.deepEqual(bases, [0x600, 0xb000, 0x600]);
    });
});
