import assert from 'node:assert/strict';
import { AddressOverlapError, MemorySizeError } from '../../../src/machine/errors';
import { layOut } from '../../../src/machine/layout';
import { GuestMemory } from '../../../src/machine/memory';
import { CpuArea } from '../../../src/machine/state';

const MIB = 0x100000;

function registers(log: string[], value = 0x12345678) {
    return {
        read: (offset: number, size: number) => {
            log.push(`read ${offset} ${size}`);
            return size === 4 ? value : value & (2 ** (8 * size) - 1);
        },
        write: (offset: number, size: number, written: number) => {
            log.push(`write ${offset} ${size} ${written.toString(16)}`);
        },
    };
}

describe('layout of the shared memory', () => {
    it('places vCPU areas, arena, ROM and 2 MiB-aligned RAM one after the other', () => {
        const layout = layOut({ ramSize: 64 * MIB, cpus: 3, arenaSize: 123456, romSize: 0x20001 });
        assert.equal(layout.cpus[0], 0x10000);
        assert.equal(layout.cpus[1] - layout.cpus[0], CpuArea.size);
        assert.equal(layout.arena.base % 0x10000, 0);
        assert.ok(layout.arena.base >= layout.cpus[2] + CpuArea.size);
        assert.ok(layout.rom.base >= layout.arena.base + 123456);
        assert.equal(layout.rom.size, 0x21000);
        assert.equal(layout.ram.base % (2 * MIB), 0);
        assert.ok(layout.ram.base >= layout.rom.base + layout.rom.size);
        assert.equal(layout.size % 0x10000, 0);
    });

    it('splits RAM at 3 GiB', () => {
        const layout = layOut({ ramSize: 3584 * MIB, cpus: 1 });
        assert.equal(layout.lowRam, 3072 * MIB);
        assert.equal(layout.highRam, 512 * MIB);
    });

    for (const ramSize of [0, 4096, MIB + 1, NaN, -MIB, 1.5 * MIB + 0.5]) {
        it(`refuses a memory size of ${ramSize} bytes`, () => {
            assert.throws(() => layOut({ ramSize, cpus: 1 }), MemorySizeError);
        });
    }

    it('refuses what does not fit into 4 GiB, and says how much would', () => {
        assert.throws(() => layOut({ ramSize: 4096 * MIB, cpus: 1 }), /at most 4094 MiB/);
        layOut({ ramSize: 4094 * MIB, cpus: 1 });
    });
});

describe('guest physical memory', () => {
    it('reads back what was written, of any size and across pages', () => {
        const memory = new GuestMemory({ ramSize: 2 * MIB, cpus: 1 });
        memory.write(0x1ffe, 4, 0xdeadbeef);
        assert.equal(memory.read(0x1ffe, 4), 0xdeadbeef);
        assert.equal(memory.read(0x1fff, 2), 0xadbe);
        assert.equal(memory.read(0x2001, 1), 0xde);
        memory.write64(0x3ffc, 0x1122334455667788n);
        assert.equal(memory.read64(0x3ffc), 0x1122334455667788n);
        assert.equal(memory.bytes[memory.ramAddress(0x1000) + 0xffe], 0xef);
    });

    it('answers with ones where nothing is, and drops writes there', () => {
        const memory = new GuestMemory({ ramSize: MIB, cpus: 1 });
        for (const address of [0x100000, 0xa0000, 0xfee00000, 0x1_0000_0000, 2 ** 40]) {
            memory.write(address, 4, 0);
            assert.equal(memory.read(address, 4), 0xffffffff);
            assert.equal(memory.read(address, 2), 0xffff);
            assert.equal(memory.ramAddress(address), -1);
        }
        assert.equal(memory.read(0xffffffff, 4), 0xffffffff);
    });

    it('hands register accesses to the region with relative offsets, 8 bytes as two halves', () => {
        const memory = new GuestMemory({ ramSize: 2 * MIB, cpus: 1 });
        const log: string[] = [];
        memory.map('hpet', 0xfed00000, 0x400, registers(log));
        assert.equal(memory.read(0xfed00010, 4), 0x12345678);
        memory.write(0xfed000f0, 2, 0xabcd);
        assert.equal(memory.read64(0xfed00020), 0x1234567812345678n);
        assert.deepEqual(log, ['read 16 4', 'write 240 2 abcd', 'read 32 4', 'read 36 4']);
    });

    it('splits an access that leaves its region or its page into bytes', () => {
        const memory = new GuestMemory({ ramSize: 2 * MIB, cpus: 1 });
        const log: string[] = [];
        memory.map('small', 0xfe000000, 6, registers(log));
        assert.equal(memory.read(0xfe000004, 4), 0xffff7878);
        memory.write(0xfe000ffe, 4, 0);
        assert.deepEqual(log, ['read 4 1', 'read 5 1']);
    });

    it('refuses overlapping regions and names both', () => {
        const memory = new GuestMemory({ ramSize: 2 * MIB, cpus: 1 });
        const remove = memory.map('first', 0xfec00000, 0x1000, registers([]));
        assert.throws(
            () => memory.map('second', 0xfec00fff, 1, registers([])),
            (error: Error) => error instanceof AddressOverlapError && /'second'.*'first'/.test(error.message),
        );
        assert.throws(() => memory.map('over RAM', 0x100000, 0x1000, registers([])), AddressOverlapError);
        remove();
        memory.map('second', 0xfec00fff, 1, registers([]));
    });

    it('tells its listeners when the map changes', () => {
        const memory = new GuestMemory({ ramSize: 2 * MIB, cpus: 1 });
        let changes = 0;
        memory.onMapChange(() => changes++);
        const remove = memory.map('bar', 0xe0000000, 0x1000, registers([]));
        remove();
        memory.setShadow(0xf0000, 0x10000, { readRam: true, writeRam: true });
        memory.setShadow(0xf0000, 0x10000, { readRam: true, writeRam: true });
        assert.equal(changes, 3);
    });

    it('switches reads and writes of a shadow window separately between ROM and RAM', () => {
        const memory = new GuestMemory({ ramSize: 2 * MIB, cpus: 1, romSize: 0x10000 });
        memory.mapRom('bios', 0xf0000, 0x10000, memory.addRom(new Uint8Array(0x10000).fill(0x5a)));
        const probe = () => memory.read(0xf1234, 1);
        memory.write(0xf1234, 1, 1);
        assert.equal(probe(), 0x5a);
        assert.ok(memory.isReadOnly(0xf1000));

        memory.setShadow(0xf0000, 0x10000, { readRam: false, writeRam: true });
        memory.write(0xf1234, 1, 2);
        assert.equal(probe(), 0x5a);
        assert.ok(memory.isReadOnly(0xf1000), 'stores must not go where reads come from');

        memory.setShadow(0xf0000, 0x10000, { readRam: true, writeRam: false });
        assert.equal(probe(), 2);
        memory.write(0xf1234, 1, 3);
        assert.equal(probe(), 2);

        memory.setShadow(0xf0000, 0x10000, { readRam: true, writeRam: true });
        memory.write(0xf1234, 1, 4);
        assert.equal(probe(), 4);
        assert.ok(!memory.isReadOnly(0xf1000));
        assert.equal(memory.read(0xe1234, 1), 0xff, 'other windows are untouched');
    });

    it('shows a ROM that cannot be written, erased beyond its image', () => {
        const memory = new GuestMemory({ ramSize: 2 * MIB, cpus: 1, romSize: 0x1000 });
        const image = memory.addRom(Uint8Array.of(1, 2, 3));
        memory.mapRom('rom', 0xfffff000, 0x1000, image);
        memory.write(0xfffff000, 4, 0);
        assert.equal(memory.read(0xfffff000, 4), 0xff030201);
        assert.equal(memory.ramAddress(0xfffff000), image);
        assert.ok(memory.isReadOnly(0xfffff000));
        assert.throws(() => memory.addRom(Uint8Array.of(1)), /reserved/);
    });

    it('puts the rest of a large RAM above 4 GiB', () => {
        const memory = new GuestMemory({ ramSize: 3074 * MIB, cpus: 1 });
        memory.write(0x1_0000_0000, 4, 0xcafe);
        memory.write(0x1_001f_fffc, 4, 0xf00d);
        assert.equal(memory.read(0x1_0000_0000, 4), 0xcafe);
        assert.equal(memory.read(0x1_001f_fffc, 4), 0xf00d);
        assert.equal(memory.read(0x1_0020_0000, 4), 0xffffffff);
        assert.equal(memory.read(0xc000_0000, 4), 0xffffffff);
    });

    it('forces bit 20 to zero while the A20 gate is closed', () => {
        const memory = new GuestMemory({ ramSize: 4 * MIB, cpus: 1 });
        memory.write(0x500, 1, 1);
        memory.write(0x100500, 1, 2);
        memory.setA20(false);
        assert.equal(memory.read(0x100500, 1), 1);
        assert.equal(memory.ramAddress(0x300000), memory.ramAddress(0x200000));
        memory.setA20(true);
        assert.equal(memory.read(0x100500, 1), 2);
    });

    it('copies in bulk over pages, tells which are written, and leaves registers alone', () => {
        const memory = new GuestMemory({ ramSize: MIB, cpus: 1 });
        const log: string[] = [];
        memory.map('device', 0xa0000, 0x1000, registers(log));
        const pages: number[] = [];
        memory.onExternalWrite(page => pages.push(page));
        memory.dma.write(0x9effe, new Uint8Array(0x2004).fill(7));
        assert.deepEqual(pages, [0x9e000, 0x9f000]);
        const read = new Uint8Array(0x2006).fill(1);
        memory.dma.read(0x9effd, read);
        assert.equal(read[0], 0);
        assert.ok(read.subarray(1, 0x1003).every(byte => byte === 7));
        assert.ok(read.subarray(0x1003).every(byte => byte === 0xff));
        assert.deepEqual(log, []);
    });
});
