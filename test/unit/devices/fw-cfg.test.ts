import assert from 'node:assert/strict';
import { FwCfg, FwCfgKey } from '../../../src/devices/fw-cfg';
import { ascii, assertRefusesForeignRecords, FakeMemory } from './fixtures';

const Control = { error: 1, read: 2, skip: 4, select: 8, write: 0x10 };
const descriptor = 0x100;

function build() {
    const memory = new FakeMemory(0x4000);
    const device = new FwCfg('fw-cfg', memory);
    const select = (key: number) => device.registers.write(0, 2, key);
    const readBytes = (count: number) => Uint8Array.from({ length: count }, () => device.registers.read(1, 1));
    /** As guests do: the descriptor in memory, then two 32-bit writes in big-endian order. Returns the control word. */
    const dma = (control: number, length: number, address: number): number => {
        memory.view.setUint32(descriptor, control >>> 0);
        memory.view.setUint32(descriptor + 4, length);
        memory.view.setBigUint64(descriptor + 8, BigInt(address));
        device.dmaRegister.write(0, 4, 0);
        device.dmaRegister.write(4, 4, 0x00010000);
        return memory.view.getUint32(descriptor);
    };
    const at = (address: number, length: number) => memory.bytes.slice(address, address + length);
    return { memory, device, select, readBytes, dma, at };
}

describe('fw_cfg', () => {
    it('identifies itself by signature and announces DMA', () => {
        const { device, select, readBytes } = build();
        select(FwCfgKey.signature);
        assert.deepEqual(readBytes(6), Uint8Array.of(0x51, 0x45, 0x4d, 0x55, 0, 0));
        select(FwCfgKey.interfaceVersion);
        assert.deepEqual(readBytes(4), Uint8Array.of(3, 0, 0, 0));
        assert.equal(device.dmaRegister.read(0, 4), 0x554d4551);
        assert.equal(device.dmaRegister.read(4, 4), 0x47464320);
    });

    it('reads an unknown item as zeros and ignores byte writes to the selector', () => {
        const { device, select, readBytes } = build();
        select(0x1234);
        assert.deepEqual(readBytes(3), new Uint8Array(3));
        device.registers.write(0, 1, 0);
        device.registers.write(1, 1, 0x55);
        assert.deepEqual(readBytes(1), new Uint8Array(1));
    });

    it('tells of transfers that meet no memory, and makes none', () => {
        const { device, dma, at } = build();
        device.setItem(0x11, Uint8Array.of(1, 2, 3, 4));
        device.setItem(0x12, Uint8Array.of(5, 6), { writable: true });
        assert.equal(dma(Control.select | Control.read | (0x11 << 16), 4, 0x3ffe), Control.error);
        assert.equal(dma(Control.read, 4, 0x1000), 0);
        assert.deepEqual(at(0x1000, 4), Uint8Array.of(1, 2, 3, 4));
        assert.equal(dma(Control.select | Control.write | (0x12 << 16), 2, 0xe0000000), Control.error);
        assert.equal(dma(Control.read, 2, 0x1000), 0);
        assert.deepEqual(at(0x1000, 2), Uint8Array.of(5, 6));
    });

    it('lists its files by name and finds each through its key, by DMA as SeaBIOS does', () => {
        const { device, memory, dma, at } = build();
        device.addFile('etc/system-states', Uint8Array.of(1, 2, 3));
        device.addFile('bootorder', ascii('/pci@i0cf8/disk@4\0'));
        assert.equal(dma(Control.select | Control.read | (FwCfgKey.fileDirectory << 16), 4, 0x1000), 0);
        assert.equal(memory.view.getUint32(0x1000), 2);
        const found: { [name: string]: { size: number; key: number } } = {};
        const order: string[] = [];
        for (let index = 0; index < 2; index++) {
            assert.equal(dma(Control.read, 64, 0x1000), 0);
            const name = new TextDecoder().decode(at(0x1008, 56)).replace(/\0+$/, '');
            order.push(name);
            found[name] = { size: memory.view.getUint32(0x1000), key: memory.view.getUint16(0x1004) };
        }
        assert.deepEqual(order, ['bootorder', 'etc/system-states']);
        assert.deepEqual(found['etc/system-states'], { size: 3, key: 0x20 });
        assert.equal(dma(Control.select | Control.skip | (0x20 << 16), 1, 0), 0);
        assert.equal(dma(Control.read, 2, 0x2000), 0);
        assert.deepEqual(at(0x2000, 2), Uint8Array.of(2, 3));
    });

    it('fills up with zeros past the end of an item', () => {
        const { device, memory, dma, at } = build();
        const key = device.addFile('opt/short', Uint8Array.of(0xaa));
        memory.bytes.fill(0x55, 0x1000, 0x1010);
        assert.equal(dma(Control.select | Control.read | (key << 16), 4, 0x1000), 0);
        assert.deepEqual(at(0x1000, 5), Uint8Array.of(0xaa, 0, 0, 0, 0x55));
    });

    it('takes writes to writable items, whole ones or none', () => {
        const { device, memory, dma } = build();
        const board = Uint8Array.of(1, 2, 3, 4);
        let seen: number[] = [];
        const key = device.addFile('etc/vmgenid_addr', board, {
            writable: true,
            written: content => (seen = [...content]),
        });
        memory.bytes.set([9, 8, 7, 6, 5], 0x1000);
        assert.equal(dma(Control.select | Control.write | (key << 16), 5, 0x1000), Control.error);
        assert.equal(dma(Control.select | Control.write | (key << 16), 3, 0x1000), 0);
        assert.deepEqual(seen, [9, 8, 7, 4]);
        assert.deepEqual(board, Uint8Array.of(1, 2, 3, 4));
        assert.equal(dma(Control.write, 2, 0x1000), Control.error);
        assert.equal(dma(Control.select | Control.write | (FwCfgKey.signature << 16), 4, 0x1000), Control.error);
    });

    it('keeps its head with wild descriptors', () => {
        const { device, memory } = build();
        // A descriptor outside memory reads as ones: everything at once, with the longest length, to nowhere.
        device.dmaRegister.write(0, 4, 0xffffffff);
        device.dmaRegister.write(4, 4, 0xffffffff);
        assert.equal(
            memory.bytes.every(byte => byte === 0),
            true,
        );
        device.registers.write(0, 2, 0);
        assert.equal(device.registers.read(1, 1), 0x51);
        assert.equal(device.registers.read(0, 4), 0xffffffff);
    });

    it('replaces a file that is added again', () => {
        const { device } = build();
        const key = device.addFile('opt/a', Uint8Array.of(1));
        assert.equal(device.addFile('opt/a', Uint8Array.of(2, 3)), key);
        assert.deepEqual(device.file('opt/a'), Uint8Array.of(2, 3));
        assert.throws(() => device.addFile('x'.repeat(56), new Uint8Array(1)), RangeError);
    });

    it('continues after save and restore in the middle of an item, with what the guest wrote', () => {
        const make = () => {
            const machine = build();
            const key = machine.device.addFile('etc/w', new Uint8Array(4), { writable: true });
            return { ...machine, key };
        };
        const one = make();
        one.memory.bytes.set([1, 2, 3, 4], 0x1000);
        one.dma(Control.select | Control.write | (one.key << 16), 4, 0x1000);
        one.select(one.key);
        one.readBytes(2);
        const record = one.device.save();
        one.select(0);

        const two = make();
        two.device.restore(record);
        assert.deepEqual(two.device.save(), record);
        assert.deepEqual(two.readBytes(3), Uint8Array.of(3, 4, 0));
        assertRefusesForeignRecords(two.device);
    });
});
