import assert from 'node:assert/strict';
import { DeterministicEntropy } from '../../../src/devices/virtio/entropy';
import { VirtioFeature } from '../../../src/devices/virtio/virtio-device';
import { VirtioRng } from '../../../src/devices/virtio/virtio-rng';
import { assertRefusesForeignRecords } from './fixtures';
import { expected, Reverser, rng } from './virtio-devices';
import { DescriptorFlag, VirtioDriver } from './virtio-driver';

const { write } = DescriptorFlag;
const version1 = VirtioFeature.version1;

describe('virtio over PCI', () => {
    it('identifies itself as Linux and SeaBIOS look for it, transitional or modern', () => {
        const transitional = rng().pci;
        assert.equal(transitional.readConfiguration(0, 4), 0x10051af4);
        assert.equal(transitional.readConfiguration(8, 1), 0);
        assert.equal(transitional.readConfiguration(0x2e, 2), 4);
        const modern = rng({ transitional: false }).pci;
        assert.equal(modern.readConfiguration(0, 4), 0x10441af4);
        assert.equal(modern.readConfiguration(8, 1), 1);
        assert.ok(modern.readConfiguration(0x2e, 2) >= 0x40);
    });

    it('goes through the negotiation of version 1.0 and fills a buffer with entropy', () => {
        const driver = rng();
        driver.enable();
        driver.status = 0;
        assert.equal(driver.status, 0);
        driver.status = 1;
        driver.status = 3;
        const offered = driver.offered;
        assert.equal(offered & version1, version1);
        driver.accept(offered);
        driver.status = 0x0b;
        assert.equal(driver.status, 0x0b);
        assert.equal(driver.common(0x12, 2), 1);
        driver.setCommon(0x16, 2, 0);
        assert.equal(driver.common(0x18, 2), 64);
        driver.setCommon(0x16, 2, 1);
        assert.equal(driver.common(0x18, 2), 0);
        driver.setUpQueue(8);
        assert.equal(driver.common(0x1c, 2), 1);
        assert.equal(driver.common(0x20, 4), 0x1000);
        driver.status = 0x0f;
        driver.offer([{ address: 0x8000, length: 32, flags: write }]);
        driver.ring();
        assert.equal(driver.usedIndex, 1);
        assert.deepEqual(driver.used(0), { head: 0, length: 32 });
        assert.deepEqual(driver.bytes(0x8000, 33), Uint8Array.of(...expected(32), 0));
        assert.equal(driver.interrupt.asserted, true);
        const isr = driver.structure(3);
        assert.equal(driver.bar('memory 4').read(isr.offset, 1), 1);
        assert.equal(driver.interrupt.asserted, false);
        assert.equal(driver.bar('memory 4').read(isr.offset, 1), 0);
    });

    it('refuses FEATURES_OK for features it never offered, and without VERSION_1', () => {
        for (const features of [version1 | (1n << 40n), VirtioFeature.eventIndex]) {
            const driver = rng();
            driver.enable();
            driver.status = 3;
            driver.accept(features);
            driver.status = 0x0b;
            assert.equal(driver.status, 3);
        }
    });

    it('serves no queue before DRIVER_OK and bus mastering, and then what is waiting', () => {
        const driver = rng();
        driver.enable(3);
        driver.status = 3;
        driver.accept(version1);
        driver.status = 0x0b;
        driver.setUpQueue(8);
        driver.offer([{ address: 0x8000, length: 4, flags: write }]);
        driver.ring();
        driver.status = 0x0f;
        assert.equal(driver.usedIndex, 0);
        driver.pci.writeConfiguration(0x04, 2, 7);
        assert.equal(driver.usedIndex, 1);
    });

    it('interrupts by MSI-X where the driver gave vectors, and never by the pin then', () => {
        const driver = rng();
        driver.enable();
        const table = driver.bar('memory 1');
        table.write(16, 4, 0xfee00000);
        table.write(24, 4, 0x77);
        table.write(28, 4, 0);
        let at = driver.pci.readConfiguration(0x34, 1);
        while (driver.pci.readConfiguration(at, 1) !== 0x11) {
            at = driver.pci.readConfiguration(at + 1, 1);
        }
        driver.pci.writeConfiguration(at + 2, 2, 0x8000);
        driver.start(version1, 8, 1);
        assert.equal(driver.common(0x1a, 2), 1);
        driver.offer([{ address: 0x8000, length: 4, flags: write }]);
        driver.ring();
        assert.deepEqual(driver.messages, ['fee00000=77']);
        assert.equal(driver.interrupt.asserted, false);
        driver.setCommon(0x1a, 2, 9);
        assert.equal(driver.common(0x1a, 2), 0xffff);
    });

    it('serves legacy drivers through I/O ports', () => {
        const driver = rng();
        driver.enable();
        const ports = driver.bar('io 0');
        ports.write(0x12, 1, 0);
        ports.write(0x12, 1, 3);
        const offered = Number(driver.offered & 0xffffffffn);
        assert.equal(ports.read(0x00, 4), offered);
        assert.deepEqual([ports.read(0x00, 2), ports.read(0x02, 2)], [offered & 0xffff, offered >>> 16]);
        assert.equal(ports.read(0x03, 1), offered >>> 24);
        ports.write(0x04, 4, 0);
        ports.write(0x0e, 2, 0);
        assert.equal(ports.read(0x0c, 2), 64);
        assert.equal(ports.read(0x08, 4), 0);
        ports.write(0x08, 4, 0x10);
        assert.equal(ports.read(0x08, 4), 0x10);
        ports.write(0x12, 1, 7);
        // 64 descriptors of 16 bytes, then the available ring; the used ring on the next page.
        driver.describe(0x10000, 5, { address: 0x8000, length: 8, flags: write });
        driver.memory.view.setUint16(0x10404, 5, true);
        driver.memory.view.setUint16(0x10402, 1, true);
        ports.write(0x10, 2, 0);
        assert.equal(driver.memory.view.getUint16(0x11002, true), 1);
        assert.equal(driver.memory.view.getUint32(0x11004, true), 5);
        assert.deepEqual(driver.bytes(0x8000, 8), expected(8));
        assert.equal(ports.read(0x13, 1), 1);
        assert.equal(ports.read(0x13, 1), 0);
        ports.write(0x12, 1, 0);
        assert.equal(ports.read(0x08, 4), 0);
    });

    it('moves the legacy configuration behind the vector registers while MSI-X is on', () => {
        const driver = new VirtioDriver(new Reverser());
        driver.enable();
        const ports = driver.bar('io 0');
        assert.equal(ports.read(0x14, 1), 1);
        let at = driver.pci.readConfiguration(0x34, 1);
        while (driver.pci.readConfiguration(at, 1) !== 0x11) {
            at = driver.pci.readConfiguration(at + 1, 1);
        }
        driver.pci.writeConfiguration(at + 2, 2, 0x8000);
        assert.equal(ports.read(0x14, 2), 0xffff);
        ports.write(0x16, 2, 2);
        assert.equal(ports.read(0x16, 2), 2);
        assert.equal(ports.read(0x18, 1), 1);
        assert.equal(ports.read(0x20, 1), 0xff);
    });

    it('reaches BARs through the configuration access capability, as firmware does before it maps them', () => {
        const driver = rng();
        const { at } = driver.structure(5);
        const access = (offset: number, size: number) => {
            driver.pci.writeConfiguration(at + 4, 1, 4);
            driver.pci.writeConfiguration(at + 8, 4, offset);
            driver.pci.writeConfiguration(at + 12, 4, size);
        };
        access(0x14, 1);
        driver.pci.writeConfiguration(at + 16, 1, 1);
        assert.equal(driver.pci.readConfiguration(at + 16, 1), 1);
        access(0x12, 2);
        assert.equal(driver.pci.readConfiguration(at + 16, 2), 1);
        for (const [offset, size] of [
            [0x4000, 4],
            [0xffffffff, 1],
            [0, 3],
            [0, 0],
        ]) {
            access(offset, size);
            driver.pci.writeConfiguration(at + 16, 4, 0xffffffff);
            assert.equal(driver.pci.readConfiguration(at + 16, 4), 0);
        }
    });

    it('passes device configuration on and tells of its changes', () => {
        const device = new Reverser();
        const driver = new VirtioDriver(device);
        driver.start(version1);
        const { offset, length } = driver.structure(4);
        assert.equal(length, 8);
        assert.equal(driver.bar('memory 4').read(offset + 2, 2), 0x0403);
        driver.bar('memory 4').write(offset + 7, 1, 0x55);
        assert.equal(driver.bar('memory 4').read(offset + 7, 1), 0x55);
        assert.equal(driver.bar('memory 4').read(offset + 8, 1), 0);
        const generation = driver.common(0x15, 1);
        device.grow();
        assert.equal(driver.common(0x15, 1), generation + 1);
        assert.equal(driver.interrupt.asserted, true);
        assert.equal(driver.bar('memory 4').read(driver.structure(3).offset, 1), 2);
    });
});

describe('virtio device state', () => {
    it('continues after save and restore in the middle of a negotiated session', () => {
        const one = rng();
        one.start(version1 | VirtioFeature.eventIndex, 8);
        one.offer([{ address: 0x8000, length: 7, flags: write }]);
        one.ring();
        const record = one.pci.save();

        const two = new VirtioDriver(new VirtioRng(new DeterministicEntropy(99)));
        two.memory.bytes.set(one.memory.bytes);
        two.pci.restore(record);
        assert.deepEqual(two.pci.save(), record);
        assert.equal(two.interrupt.asserted, true);
        for (const driver of [one, two]) {
            driver.size = 8;
            driver.memory.view.setUint16(0x2006, 0, true);
            driver.setAvailable('index', 2);
            driver.ring();
        }
        assert.equal(two.usedIndex, 2);
        assert.deepEqual(two.memory.bytes, one.memory.bytes);
        assertRefusesForeignRecords(two.pci);
    });

    it('refuses the record of another device type', () => {
        const record = new VirtioDriver(new Reverser()).pci.save();
        assert.throws(() => rng().pci.restore(record), /type/);
    });

    it('is gone after a reset of the machine', () => {
        const driver = rng();
        driver.start(version1);
        driver.offer([{ address: 0x8000, length: 4, flags: write }]);
        driver.ring();
        driver.pci.reset();
        assert.equal(driver.interrupt.asserted, false);
        assert.throws(() => driver.status, /not mapped/);
        driver.enable();
        assert.equal(driver.status, 0);
    });
});

describe('deterministic entropy', () => {
    it('follows the published generator', () => {
        const entropy = new DeterministicEntropy(0);
        assert.equal(entropy.restore(new Uint8Array(Uint32Array.of(1, 2, 3, 4).buffer)), true);
        assert.deepEqual(
            [entropy.next(), entropy.next(), entropy.next(), entropy.next()],
            [11520, 0, 5927040, 70819200],
        );
    });

    it('differs by seed and refuses a state that would give zeros', () => {
        assert.notEqual(new DeterministicEntropy(1).next(), new DeterministicEntropy(2).next());
        assert.equal(new DeterministicEntropy(1).restore(new Uint8Array(16)), false);
        assert.equal(new DeterministicEntropy(1).restore(new Uint8Array(3)), false);
    });
});
