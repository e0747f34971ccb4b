import assert from 'node:assert/strict';
import { PortBus } from '../../../src/machine/bus';
import { AddressOverlapError } from '../../../src/machine/errors';

class Recorder {
    readonly log: string[] = [];

    constructor(private readonly name: string) {}

    read(offset: number, size: number): number {
        this.log.push(`${this.name} read ${offset} ${size}`);
        return 0x44332211 % 2 ** (8 * size);
    }

    write(offset: number, size: number, value: number): void {
        this.log.push(`${this.name} write ${offset} ${size} ${value.toString(16)}`);
    }
}

describe('I/O ports', () => {
    it('reach their region with relative offsets', () => {
        const bus = new PortBus();
        const device = new Recorder('uart');
        bus.map('uart', 0x3f8, 8, device);
        assert.equal(bus.read(0x3fd, 1), 0x11);
        bus.write(0x3f8, 1, 0x41);
        bus.write(0x3f8, 4, 0xfedcba98);
        assert.deepEqual(device.log, ['uart read 5 1', 'uart write 0 1 41', 'uart write 0 4 fedcba98']);
    });

    it('read ones where nothing is mapped, also past the end of the space', () => {
        const bus = new PortBus();
        assert.deepEqual(
            [1, 2, 4].map(size => bus.read(0x1234, size)),
            [0xff, 0xffff, 0xffffffff],
        );
        assert.equal(bus.read(0xffff, 4), 0xffffffff);
        bus.write(0xfffe, 4, 0);
    });

    it('split accesses wider than what is mapped', () => {
        const bus = new PortBus();
        const first = new Recorder('first');
        const second = new Recorder('second');
        bus.map('first', 0x70, 2, first);
        bus.map('second', 0x73, 1, second);
        assert.equal(bus.read(0x70, 4), 0x11ff2211);
        bus.write(0x70, 4, 0xd3c2b1a0);
        bus.write(0x72, 2, 0xd3c2);
        assert.deepEqual(first.log, ['first read 0 2', 'first write 0 2 b1a0']);
        assert.deepEqual(second.log, ['second read 0 1', 'second write 0 1 d3', 'second write 0 1 d3']);
    });

    it('refuse overlaps and regions outside the space', () => {
        const bus = new PortBus();
        const remove = bus.map('pm', 0x600, 64, new Recorder('pm'));
        assert.throws(() => bus.map('other', 0x63f, 2, new Recorder('other')), AddressOverlapError);
        assert.throws(() => bus.map('late', 0xffff, 2, new Recorder('late')), /not in the I\/O space/);
        remove();
        bus.map('other', 0x63f, 2, new Recorder('other'));
        assert.deepEqual(bus.list(), [{ name: 'other', base: 0x63f, size: 2 }]);
    });

    it('forget a removed mapping only once', () => {
        const bus = new PortBus();
        const remove = bus.map('a', 0x100, 4, new Recorder('a'));
        remove();
        bus.map('b', 0x100, 4, new Recorder('b'));
        remove();
        assert.equal(bus.read(0x100, 1), 0x11);
    });

    it('show every access to an observer, with the region that answers', () => {
        const bus = new PortBus();
        bus.map('post', 0x80, 1, new Recorder('post'));
        const seen: unknown[][] = [];
        bus.observer = { accessed: (...access) => seen.push(access) };
        bus.write(0x80, 1, 0x55);
        bus.read(0x81, 1);
        assert.deepEqual(seen, [
            ['write', 0x80, 1, 0x55, 'post'],
            ['read', 0x81, 1, 0xff, undefined],
        ]);
    });
});
