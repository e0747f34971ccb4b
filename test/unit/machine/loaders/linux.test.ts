import assert from 'node:assert/strict';
import { Gpr } from '../../../../src/machine/loaders/initial-state';
import { loadKernel } from '../../../../src/machine/loaders/load';
import { bootContext, bzImage, readBytes, readText, u32s } from '../images';
import { boot, INITRD, MIB, refusal, request, transfers } from './boot';

describe('Linux boot protocol', () => {
    it('enters a 64-bit kernel at its 64-bit entry, in long mode on identity-mapped pages', () => {
        const { memory, state, gpr } = boot(request(bzImage(), { modules: [INITRD] }));
        assert.equal(state.rip, 0x200200);
        assert.equal(state.cr0, 0x80000011);
        assert.equal(state.efer, 0x500);
        assert.deepEqual([state.cs.selector, state.data.selector], [0x10, 0x18]);
        const params = gpr(Gpr.Rsi);
        assert.equal(memory.read(params + 0x202, 4), 0x53726448);
        assert.equal(memory.read(params + 0x210, 1), 0xff);
        assert.equal(memory.read64(params + 0x70), 0xf0000n);
        assert.equal(readText(memory, memory.read(params + 0x228, 4)), 'console=ttyS0');
        assert.equal(memory.read(0x200007, 1), 49);
        const initrd = memory.read(params + 0x218, 4);
        assert.equal(memory.read(params + 0x21c, 4), INITRD.data.length);
        assert.deepEqual(readBytes(memory, initrd, INITRD.data.length), INITRD.data);
        assert.ok(initrd > 31 * MIB, 'as high as possible');
        // PML4 → PDPT → directory 0, entry 1 maps 2 MiB to itself.
        const directory = memory.read(memory.read(state.cr3, 4) & ~0xfff, 4) & ~0xfff;
        assert.equal(memory.read64(directory + 8), 0x200083n);
        assert.equal(memory.read64(state.gdt.base + 0x10), 0xaf9b000000ffffn);
        assert.equal(memory.read64(state.gdt.base + 0x18), 0xcf93000000ffffn);
    });

    it('hands over the memory map', () => {
        const { memory, gpr } = boot(request(bzImage()));
        const params = gpr(Gpr.Rsi);
        const entries = memory.read(params + 0x1e8, 1);
        const map = Array.from({ length: entries }, (_, index) => [
            Number(memory.read64(params + 0x2d0 + 20 * index)),
            Number(memory.read64(params + 0x2d8 + 20 * index)),
            memory.read(params + 0x2e0 + 20 * index, 4),
        ]);
        assert.deepEqual(map, [
            [0, 0x9fc00, 1],
            [0x9fc00, 0x400, 2],
            [0xf0000, 0x10000, 2],
            [MIB, 31 * MIB - 0x10000, 1],
            [32 * MIB - 0x10000, 0x10000, 3],
        ]);
    });

    it('uses the 32-bit entry where there is no other, or when asked to', () => {
        for (const [image, options] of [
            [bzImage({ xloadFlags: 0 }), {}],
            [bzImage({ protocol: 0x20b }), {}],
            [bzImage(), { entry: '32-bit' }],
        ] as const) {
            const { state, memory } = boot(request(image), 32, options);
            assert.equal(state.rip, 0x200000);
            assert.equal(state.cr0, 0x11);
            assert.equal(state.efer, 0);
            assert.equal(memory.read64(state.gdt.base + 0x10), 0xcf9b000000ffffn);
        }
    });

    it('loads an old kernel to 1 MiB', () => {
        const { state } = boot(request(bzImage({ protocol: 0x202, xloadFlags: 0 })));
        assert.equal(state.rip, MIB);
    });

    it('gives a firmware also what follows the kernel in its file, which UEFI may need', () => {
        const image = bzImage({ systemSize: 0x3000 });
        new DataView(image.buffer).setUint32(0x1f4, 0x2800 / 16, true);
        const loaded = loadKernel(request(image), bootContext(32).context, { firmware: true });
        assert.ok(loaded.via === 'firmware');
        assert.equal(new Map(loaded.optionRom.items).get(0x11)?.length, 0x3000);
    });

    it('gives a kernel from before protocol 2.02 its command line by the magic number', () => {
        const { memory, state, gpr } = boot(request(bzImage({ protocol: 0x201 })));
        assert.equal(state.rip, MIB);
        assert.equal(gpr(Gpr.Rsi), 0x90000);
        assert.equal(memory.read(0x90020, 2), 0xa33f);
        assert.equal(readText(memory, 0x90000 + memory.read(0x90022, 2)), 'console=ttyS0');
    });

    it('has a firmware load a zImage to 64 KiB, with its setup code where it has to be', () => {
        const load = (systemSize: number, setupSects?: number) => {
            const image = bzImage({ protocol: 0x201, loadFlags: 0, systemSize, setupSects });
            const loaded = loadKernel(request(image), bootContext(32).context, { firmware: true });
            assert.ok(loaded.via === 'firmware');
            return transfers(loaded.optionRom.rom).map(({ address, length }) => [address, length]);
        };
        assert.deepEqual(load(0x80000), [
            [0x90000, 5 * 512],
            [0x99800, 14],
            [0x10000, 0x80000],
        ]);
        assert.equal(load(0x1000, 64)[0][1], 65 * 512);
        assert.match(refusal(() => load(0x80010)).message, /a zImage of 524304 bytes: at most 512 KiB/);
        assert.match(refusal(() => load(0x1000, 80)).message, /setup code has 41472 bytes, too many/);
    });

    it('keeps the initrd below the limit of the kernel', () => {
        const { memory, gpr } = boot(request(bzImage({ initrdMax: 0x7fffff }), { modules: [INITRD] }));
        const initrd = memory.read(gpr(Gpr.Rsi) + 0x218, 4);
        assert.ok(initrd + INITRD.data.length <= 8 * MIB && initrd > 7 * MIB);
    });

    for (const [what, wanted, problem] of [
        ['a truncated setup area', request(bzImage().subarray(0, 1000)), /^vmlinuz: truncated: the setup code/],
        [
            'a truncated kernel',
            request(bzImage().subarray(0, 5000)),
            /^vmlinuz: truncated: the kernel ends at byte 14848/,
        ],
        [
            'a header that ends in nowhere',
            request(bzImage().fill(0, 0x200, 0x202)),
            /corrupt: the boot protocol header/,
        ],
        ['a missing boot signature', request(bzImage().fill(0, 0x1fe, 0x200)), /corrupt: no boot sector signature/],
        ['an absurd version', request(bzImage({ protocol: 0x7777 })), /corrupt: boot protocol version 0x7777/],
        ['an absurd alignment', request(bzImage({ alignment: 0x300001 })), /not a power of two/],
        ['a command line that is too long', request(bzImage({ cmdlineSize: 12 })), /at most 12 bytes, this one has 13/],
        ['a kernel larger than memory', request(bzImage({ initSize: 40 * MIB })), /needs RAM up to 42 MiB/],
        [
            'an initrd larger than memory',
            request(bzImage({ initSize: 30 * MIB - 0x10000 }), { modules: [INITRD] }),
            /^initrd.img: 1 MiB do not fit/,
        ],
        [
            'two initrds',
            request(bzImage(), { modules: [INITRD, { name: 'b', data: INITRD.data }] }),
            /^b: .*one initrd/,
        ],
        ['a real-mode kernel without firmware', request(bzImage({ code32Start: 0, protocol: 0x207 })), /firmware/],
    ] as const) {
        it(`refuses ${what}`, () => {
            assert.match(refusal(() => boot(wanted)).message, problem);
        });
    }

    it('leaves the initrd of what is not Linux to itself', () => {
        const image = { name: 'floppy.img', data: new Uint8Array(1440 * 1024).fill(0xf6) };
        const kernelWithVersion = (version: string): Uint8Array => {
            const data = bzImage();
            new DataView(data.buffer).setUint16(0x20e, 0x300, true);
            data.set(new TextEncoder().encode(`${version}\0`), 0x500);
            return data;
        };
        for (const version of ['MEMDISK 6.04 20200816', '1.0.0+git-20190125.36a4c85-5.1']) {
            const { memory, gpr } = boot(request(kernelWithVersion(version), { modules: [image] }));
            assert.equal(memory.read(gpr(Gpr.Rsi) + 0x21c, 4), image.data.length);
        }
        const linux = kernelWithVersion('6.1.0-56-amd64 (builder@host) #1 SMP');
        assert.match(refusal(() => boot(request(linux, { modules: [image] }))).message, /^floppy.img: not an initrd/);
    });

    it('refuses an entry that the kernel does not offer', () => {
        const { message } = refusal(() => boot(request(bzImage({ xloadFlags: 0 })), 32, { entry: '64-bit' }));
        assert.match(message, /no 64-bit entry, only 32-bit and 16-bit/);
    });

    it('gives a firmware an option ROM that fetches the kernel and enters its setup code', () => {
        const { context } = bootContext(32);
        const loaded = loadKernel(request(bzImage(), { modules: [INITRD] }), context, { firmware: true });
        assert.ok(loaded.via === 'firmware');
        const { rom, items } = loaded.optionRom;
        const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => (total + byte) & 0xff, 0);
        assert.equal(rom.length, rom[2] * 512);
        assert.equal(sum(rom), 0);
        const pnp = rom[0x1a];
        assert.equal(sum(rom.subarray(pnp, pnp + 0x20)), 0);
        const setup = new Map(items).get(0x18);
        assert.equal(setup?.[0x211], 0x81);
        assert.equal(new DataView(setup?.buffer ?? new ArrayBuffer(0)).getUint32(0x21c, true), INITRD.data.length);
        // The kernel's 32-bit part starts at 1 MiB, where its setup code jumps to.
        assert.equal(new DataView(setup?.buffer ?? new ArrayBuffer(0)).getUint32(0x214, true), MIB);
        assert.deepEqual(new Map(items).get(0x07), u32s(MIB));
        const fetched = transfers(rom);
        assert.deepEqual(fetched[0], { control: 0x18000a, length: setup?.length, address: 0x10000 });
        assert.equal(fetched[3].control, 0x12000a);
    });
});
