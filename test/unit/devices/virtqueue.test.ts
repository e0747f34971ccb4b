import assert from 'node:assert/strict';
import { DescriptorChain } from '../../../src/devices/virtio/descriptor-chain';
import { VirtioFeature } from '../../../src/devices/virtio/virtio-device';
import { ascii, FakeMemory } from './fixtures';
import { expected, Reverser, rng } from './virtio-devices';
import { type Descriptor, DescriptorFlag, VirtioDriver } from './virtio-driver';

const { next, write, indirect } = DescriptorFlag;
const version1 = VirtioFeature.version1;
const needsReset = 0x40;

describe('split virtqueue', () => {
    it('joins the buffers of a chain, readable ones before writable ones', () => {
        const driver = new VirtioDriver(new Reverser());
        driver.start(version1);
        driver.memory.bytes.set(ascii('hel'), 0x8000);
        driver.memory.bytes.set(ascii('lo!'), 0x9000);
        driver.offer([
            { address: 0x8000, length: 3, flags: next, next: 2 },
            { address: 0xa004, length: 10, flags: write },
            { address: 0x9000, length: 3, flags: next, next: 3 },
            { address: 0xa000, length: 4, flags: next | write, next: 1 },
        ]);
        driver.ring();
        assert.deepEqual(driver.used(0), { head: 0, length: 6 });
        assert.deepEqual(driver.bytes(0xa000, 7), ascii('!olleh\0'));
    });

    it('follows an indirect table', () => {
        const driver = new VirtioDriver(new Reverser());
        driver.start(version1 | VirtioFeature.indirectDescriptors);
        driver.memory.bytes.set(ascii('ab'), 0x8000);
        driver.describe(0x5000, 0, { address: 0x8000, length: 2, flags: next, next: 1 });
        driver.describe(0x5000, 1, { address: 0xa000, length: 2, flags: write });
        driver.offer([{ address: 0x5000, length: 32, flags: indirect }]);
        driver.ring();
        assert.deepEqual(driver.bytes(0xa000, 2), ascii('ba'));
    });

    it('goes round its rings and past 16-bit indices', () => {
        const driver = rng();
        driver.start(version1, 4);
        for (let count = 0; count < 70_000; count++) {
            driver.offer([{ address: 0x8000, length: 1, flags: write }]);
            driver.ring();
        }
        assert.equal(driver.usedIndex, 70_000 & 0xffff);
    });

    it('keeps quiet where the driver asked for no interrupts', () => {
        const driver = rng();
        driver.start(version1);
        driver.setAvailable('flags', 1);
        driver.offer([{ address: 0x8000, length: 1, flags: write }]);
        driver.ring();
        assert.equal(driver.interrupt.asserted, false);
        driver.setAvailable('flags', 0);
        driver.offer([{ address: 0x8000, length: 1, flags: write }]);
        driver.ring();
        assert.equal(driver.interrupt.asserted, true);
    });

    it('interrupts at the used index that the driver named, and asks to be told of the next chain', () => {
        const driver = rng();
        driver.start(version1 | VirtioFeature.eventIndex);
        driver.setAvailable('usedEvent', 1);
        driver.offer([{ address: 0x8000, length: 1, flags: write }]);
        driver.ring();
        assert.equal(driver.availableEvent, 1);
        assert.equal(driver.interrupt.asserted, false);
        driver.offer([{ address: 0x8000, length: 1, flags: write }]);
        driver.ring();
        assert.equal(driver.interrupt.asserted, true);
    });

    const chains: [string, RegExp, bigint, Descriptor[], number?][] = [
        ['a loop', /loops/, version1, [{ address: 0, length: 1, flags: next | write, next: 0 }]],
        [
            'a loop of two',
            /loops/,
            version1,
            [
                { address: 0, length: 1, flags: next | write, next: 1 },
                { address: 0, length: 1, flags: next | write, next: 0 },
            ],
        ],
        [
            'a next descriptor outside the table',
            /leads to 8 of 8/,
            version1,
            [{ address: 0, length: 1, flags: next | write, next: 8 }],
        ],
        ['a head outside the table', /starts at descriptor 8/, version1, [], 8],
        [
            'an address that no processor has',
            /address 0x1000000000000000/,
            version1,
            [{ address: 1n << 60n, length: 1, flags: write }],
        ],
        [
            'more than 4 GiB',
            /4 GiB/,
            version1,
            [
                { address: 0, length: 0xffffffff, flags: next | write, next: 1 },
                { address: 0, length: 0xffffffff, flags: write },
            ],
        ],
        [
            'a readable buffer after a writable one',
            /readable buffer after/,
            version1,
            [
                { address: 0, length: 1, flags: next | write, next: 1 },
                { address: 0, length: 1 },
            ],
        ],
        [
            'an indirect table that was not negotiated',
            /not negotiated/,
            version1,
            [{ address: 0x5000, length: 16, flags: indirect }],
        ],
        [
            'an indirect table of odd size',
            /table of 17 bytes/,
            version1 | VirtioFeature.indirectDescriptors,
            [{ address: 0x5000, length: 17, flags: indirect }],
        ],
        [
            'an empty indirect table',
            /table of 0 bytes/,
            version1 | VirtioFeature.indirectDescriptors,
            [{ address: 0x5000, length: 0, flags: indirect }],
        ],
        [
            'an indirect table in another',
            /within an indirect/,
            version1 | VirtioFeature.indirectDescriptors,
            [{ address: 0x1000, length: 16, flags: indirect }],
        ],
        [
            'an endless indirect table outside memory',
            /address 0x/,
            version1 | VirtioFeature.indirectDescriptors,
            [{ address: 0xfff00000, length: 0xfffffff0, flags: indirect }],
        ],
    ];
    for (const [name, reason, features, descriptors, head] of chains) {
        it(`breaks, and works again after a reset, on ${name}`, () => {
            const driver = rng();
            driver.start(features);
            driver.offer(descriptors, head);
            driver.ring();
            assert.equal(driver.status & needsReset, needsReset);
            assert.equal(driver.usedIndex, 0);
            assert.equal(driver.bar('memory 4').read(driver.structure(3).offset, 1), 2);
            const line = driver.pci.inspect().find(register => register.name === 'device status');
            assert.match(line?.description ?? '', reason);
            driver.ring();
            driver.start(version1);
            assert.equal(driver.status, 0x0f);
            driver.offer([{ address: 0x8000, length: 4, flags: write }]);
            driver.ring();
            assert.deepEqual(driver.used(0), { head: 0, length: 4 });
        });
    }

    it('breaks when the available index runs away', () => {
        const driver = rng();
        driver.start(version1);
        driver.setAvailable('index', 9);
        driver.ring();
        assert.equal(driver.status & needsReset, needsReset);
    });

    it('stays disabled with a size that is no power of two, and keeps its rings once enabled', () => {
        const driver = rng();
        driver.enable();
        driver.status = 3;
        driver.accept(version1);
        driver.status = 0x0b;
        driver.setUpQueue(7);
        assert.equal(driver.common(0x1c, 2), 0);
        const restored = rng();
        restored.pci.restore(driver.pci.save());
        assert.deepEqual(restored.pci.save(), driver.pci.save());
        driver.setUpQueue(8);
        driver.setCommon(0x20, 4, 0xdead0000);
        assert.equal(driver.common(0x20, 4), 0x1000);
    });

    it('gives a huge buffer a part of what it could take, and nothing outside memory', () => {
        const driver = rng();
        driver.start(version1);
        driver.offer([{ address: 0x3ff00, length: 0xffffffff, flags: write }]);
        driver.ring();
        assert.equal(driver.used(0).length, 0x10000);
        assert.deepEqual(driver.bytes(0x3ff00, 0x100), expected(0x100));
    });

    it('ends even where the buffer overlies the rings', () => {
        const driver = rng();
        driver.start(version1);
        driver.offer([{ address: 0x1000, length: 0x3000, flags: write }]);
        driver.ring();
        driver.status = 0;
        assert.equal(driver.status, 0);
    });

    it('reads and writes chains in pieces of any size', () => {
        const memory = new FakeMemory(64);
        const chain = new DescriptorChain(0, memory);
        memory.bytes.set(ascii('abcdefgh'), 0);
        chain.add(0, 3, false);
        chain.add(3, 0, false);
        chain.add(3, 5, false);
        chain.add(32, 2, true);
        chain.add(40, 2, true);
        const piece = new Uint8Array(4);
        assert.equal(chain.read(piece), 4);
        assert.deepEqual(piece, ascii('abcd'));
        assert.equal(chain.read(piece), 4);
        assert.equal(chain.read(piece), 0);
        assert.equal(chain.write(ascii('x')), 1);
        assert.equal(chain.write(ascii('yz123')), 3);
        assert.deepEqual(memory.bytes.slice(32, 34), ascii('xy'));
        assert.deepEqual(memory.bytes.slice(40, 43), ascii('z1\0'));
        assert.equal(chain.written, 4);
    });
});
