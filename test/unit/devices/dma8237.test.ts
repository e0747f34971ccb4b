import assert from 'node:assert/strict';
import { Dma8237 } from '../../../src/devices/dma8237';

describe('DMA controllers', () => {
    it('keep 16-bit registers that are accessed low byte first', () => {
        const dma = new Dma8237('dma');
        dma.first.write(0x0c, 1, 0);
        dma.first.write(2, 1, 0x34);
        dma.first.write(2, 1, 0x12);
        assert.deepEqual([dma.first.read(2, 1), dma.first.read(2, 1)], [0x34, 0x12]);
        dma.second.write(0xc6 - 0xc0, 1, 0x55);
        dma.second.write(0xc6 - 0xc0, 1, 0xaa);
        assert.deepEqual([dma.second.read(6, 1), dma.second.read(7, 1)], [0x55, 0xaa]);
    });

    it('mask all channels on a master clear and forget which byte comes next', () => {
        const dma = new Dma8237('dma');
        dma.first.write(0x0a, 1, 2);
        assert.equal(dma.first.read(0x0f, 1), 0xfb);
        dma.first.write(0, 1, 1);
        dma.first.write(0x0d, 1, 0);
        assert.equal(dma.first.read(0x0f, 1), 0xff);
        dma.first.write(0, 1, 0x78);
        dma.first.write(0, 1, 0x56);
        assert.deepEqual([dma.first.read(0, 1), dma.first.read(0, 1)], [0x78, 0x56]);
    });

    it('report no transfer and hold page registers', () => {
        const dma = new Dma8237('dma');
        assert.equal(dma.first.read(8, 1), 0);
        dma.pages.write(0, 4, 0x44332211);
        assert.equal(dma.pages.read(0, 4), 0x44332211);
    });

    it('come back from their record', () => {
        const dma = new Dma8237('dma');
        dma.first.write(0, 1, 0x99);
        dma.pages.write(3, 1, 7);
        const other = new Dma8237('dma');
        other.restore(dma.save());
        assert.deepEqual(other.save(), dma.save());
        other.first.write(0, 1, 0x11);
        other.first.read(0, 1);
        assert.equal(other.inspect().find(({ name }) => name === 'channel 0 address')?.value, 0x1199);
    });
});
