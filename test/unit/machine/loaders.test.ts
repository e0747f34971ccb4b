import assert from 'node:assert/strict';
import { gunzipSync, gzipSync } from 'node:zlib';
import { LoadError } from '../../../src/machine/errors';
import type { BootRequest } from '../../../src/machine/loaders/boot-context';
import { detectKernel } from '../../../src/machine/loaders/detect';
import { checkFirmware } from '../../../src/machine/loaders/firmware';
import { checkInitrd } from '../../../src/machine/loaders/initrd';
import { Gpr, type InitialCpuState } from '../../../src/machine/loaders/initial-state';
import type { LoadOptions } from '../../../src/machine/loaders/load';
import { loadKernel } from '../../../src/machine/loaders/load';
import { parseModuleList } from '../../../src/machine/loaders/multiboot';
import { bootContext, bzImage, cpio, elf, multibootHeader, note, random, readBytes, readText, u32s } from './images';

const MIB = 0x100000;

function request(data: Uint8Array, more: Partial<BootRequest> = {}): BootRequest {
    return { kernel: { name: 'vmlinuz', data }, modules: [], commandLine: 'console=ttyS0', ...more };
}

function boot(wanted: BootRequest, mebibytes = 32, options: LoadOptions = {}) {
    const { memory, context } = bootContext(mebibytes);
    const loaded = loadKernel(wanted, context, options);
    assert.equal(loaded.via, 'entry');
    const state = (loaded as { state: InitialCpuState }).state;
    const gpr = (register: Gpr): number => state.gprs.find(([number]) => number === register)?.[1] ?? 0;
    return { memory, state, gpr };
}

function refusal(run: () => unknown): LoadError {
    try {
        run();
    } catch (error) {
        assert.ok(error instanceof LoadError, String(error));
        assert.ok(!error.message.includes('\n'));
        return error;
    }
    return assert.fail('was not refused');
}

/** What an option ROM has fw_cfg's DMA do: the table that its boot code goes through. */
function transfers(rom: Uint8Array): { control: number; length: number; address: number }[] {
    const view = new DataView(rom.buffer, rom.byteOffset);
    const [table, count] = [view.getUint32(0x62, true), view.getUint16(0x6a, true)];
    return Array.from({ length: count }, (_, index) => {
        const at = table + 16 * index;
        return {
            control: view.getUint32(at),
            length: view.getUint32(at + 4),
            address: Number(view.getBigUint64(at + 8)),
        };
    });
}

const INITRD = { name: 'initrd.img', data: cpio([['init', 'echo']]) };

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

describe('PVH boot protocol', () => {
    const code = { address: 2 * MIB, bytes: Uint8Array.of(0x90, 0xf4), memorySize: 0x2000 };
    const image = (entry = 2 * MIB, width: 32 | 64 = 64): Uint8Array =>
        elf(width, 0xffff, [code, { type: 4, address: 0, bytes: note('Xen', 18, u32s(entry, 0)) }]);

    for (const width of [32, 64] as const) {
        it(`enters an ELF${width} kernel at its note's address with EBX → hvm_start_info`, () => {
            const modules = [{ name: 'initrd', data: Uint8Array.of(1, 2, 3) }];
            const { memory, state, gpr } = boot(request(image(2 * MIB, width), { modules }));
            assert.equal(state.rip, 2 * MIB);
            assert.equal(state.cr0, 0x11);
            assert.equal(state.tr.limit, 0x67);
            const info = gpr(Gpr.Rbx);
            assert.equal(memory.read(info, 4), 0x336ec578);
            assert.equal(memory.read(info + 4, 4), 1);
            assert.equal(memory.read(info + 12, 4), 1);
            const module = memory.read(info + 16, 4);
            assert.deepEqual(readBytes(memory, memory.read(module, 4), 3), Uint8Array.of(1, 2, 3));
            assert.equal(memory.read(module + 8, 4), 3);
            assert.equal(readText(memory, memory.read(info + 24, 4)), 'console=ttyS0');
            assert.equal(memory.read(info + 32, 4), 0xf0000);
            const map = memory.read(info + 40, 4);
            assert.equal(memory.read(info + 48, 4), 5);
            assert.equal(memory.read(map + 3 * 24, 4), MIB);
            assert.equal(memory.read(map + 3 * 24 + 16, 4), 1);
        });
    }

    it('keeps its information out of the way of a kernel in conventional memory', () => {
        const kernel = elf(64, 0, [
            { address: 0x8000, bytes: new Uint8Array(64).fill(0x90), memorySize: 0x60000 },
            { type: 4, address: 0, bytes: note('Xen', 18, u32s(0x8000)) },
        ]);
        const { memory, state, gpr } = boot(request(kernel));
        assert.equal(state.rip, 0x8000);
        assert.ok(gpr(Gpr.Rbx) >= MIB && state.gdt.base >= MIB);
        assert.equal(memory.read(gpr(Gpr.Rbx), 4), 0x336ec578);
        assert.equal(readText(memory, memory.read(gpr(Gpr.Rbx) + 24, 4)), 'console=ttyS0');
    });

    it('does not mind addresses in the upper half where it needs none', () => {
        const kernel = image(2 * MIB, 64);
        const upper = 0xffffffff80384000n;
        new DataView(kernel.buffer).setBigUint64(0x18, upper, true);
        // The note's segment is the second program header.
        const noteHeader = 64 + 56;
        assert.equal(new DataView(kernel.buffer).getUint32(noteHeader, true), 4);
        new DataView(kernel.buffer).setBigUint64(noteHeader + 24, upper, true);
        assert.equal(boot(request(kernel)).state.rip, 2 * MIB);
    });

    it('clears what the file does not fill', () => {
        const { memory, context } = bootContext(32);
        memory.writeBytes(2 * MIB, new Uint8Array(0x3000).fill(0xee));
        loadKernel(request(image()), context);
        assert.deepEqual(readBytes(memory, 2 * MIB, 4), Uint8Array.of(0x90, 0xf4, 0, 0));
        assert.equal(memory.read(2 * MIB + 0x1fff, 1), 0);
        assert.equal(memory.read(2 * MIB + 0x2000, 1), 0xee);
    });

    for (const [what, bytes, problem] of [
        ['no note', elf(64, 0, [code]), /neither a PVH entry note nor a Multiboot header/],
        ['an entry outside of itself', image(0x1234), /PVH entry point 0x1234 lies outside/],
        ['a segment cut off', image().subarray(0, 180), /truncated: a segment/],
        ['headers cut off', image().subarray(0, 70), /truncated: the program header table/],
        ['a big-endian ELF file', image().fill(2, 5, 6), /big-endian/],
        ['an ELF file for another machine', image().fill(0xb7, 0x12, 0x13), /machine 183, not for x86/],
        [
            'segments outside RAM',
            elf(64, 0, [
                { address: 40 * MIB, bytes: note('Xen', 18, u32s(0)), type: 4 },
                { ...code, address: 40 * MIB },
            ]),
            /outside|no RAM/,
        ],
    ] as const) {
        it(`refuses a kernel with ${what}`, () => {
            assert.match(refusal(() => boot(request(bytes))).message, problem);
        });
    }
});

describe('Multiboot', () => {
    const kludge = (flags = 0x10003): Uint8Array => {
        const image = new Uint8Array(0x300).fill(0x90);
        image.set(multibootHeader(flags, MIB + 0x10, MIB, MIB + 0x200, MIB + 0x1000, MIB + 0x40), 0x110);
        return image;
    };

    it('loads an image by the addresses in its header', () => {
        const { memory, state, gpr } = boot(request(kludge()));
        assert.equal(state.rip, MIB + 0x40);
        assert.equal(memory.read(MIB + 0x10, 4), 0x1badb002);
        assert.equal(memory.read(MIB + 0x1ff, 1), 0x90);
        assert.equal(memory.read(MIB + 0x200, 1), 0);
        assert.equal(gpr(Gpr.Rax), 0x2badb002);
    });

    it('loads an ELF32 kernel and describes memory, command line and modules', () => {
        const image = elf(32, 0x300010, [{ address: 0x300000, bytes: multibootHeader(3), memorySize: 0x20 }]);
        const modules = parseModuleList('a.elf one,b.elf two,,three').map(({ file, commandLine }) => ({
            name: file,
            data: new TextEncoder().encode(`${file}!`),
            commandLine,
        }));
        const { memory, state, gpr } = boot(request(image, { modules }));
        assert.equal(state.rip, 0x300010);
        const info = gpr(Gpr.Rbx);
        assert.equal(memory.read(info, 4), 0x24d);
        assert.deepEqual([memory.read(info + 4, 4), memory.read(info + 8, 4)], [639, 31 * 1024 - 64]);
        assert.equal(readText(memory, memory.read(info + 16, 4)), 'vmlinuz console=ttyS0');
        assert.equal(readText(memory, memory.read(info + 64, 4)), 'Hyperscope');
        assert.equal(memory.read(info + 20, 4), 2);
        const list = memory.read(info + 24, 4);
        const seen = [0, 16].map(at => {
            const [start, end] = [memory.read(list + at, 4), memory.read(list + at + 4, 4)];
            assert.equal(start % 4096, 0);
            const text = new TextDecoder().decode(readBytes(memory, start, end - start));
            return [text, readText(memory, memory.read(list + at + 8, 4))];
        });
        assert.deepEqual(seen, [
            ['a.elf!', 'a.elf one'],
            ['b.elf!', 'b.elf two,three'],
        ]);
        const map = memory.read(info + 48, 4);
        assert.equal(memory.read(info + 44, 4), 5 * 24);
        assert.equal(memory.read(map, 4), 20);
        assert.equal(memory.read(map + 20, 4), 1);
        assert.equal(memory.read64(state.gdt.base + 0x10), 0xcf9b000000ffffn);
    });

    it('loads a 64-bit ELF kernel, which it enters in 32-bit code', () => {
        const { state } = boot(request(elf(64, MIB + 4, [{ address: MIB, bytes: multibootHeader(0) }])));
        assert.deepEqual([state.rip, state.efer, state.cr0], [MIB + 4, 0, 0x11]);
    });

    it('finds the physical address of an entry point in the upper half', () => {
        const upper = 0xffffffff80000000n;
        const image = elf(64, 0, [{ address: MIB, bytes: multibootHeader(0) }]);
        const view = new DataView(image.buffer);
        view.setBigUint64(0x18, upper + BigInt(MIB + 8), true);
        view.setBigUint64(64 + 16, upper + BigInt(MIB), true);
        assert.equal(boot(request(image)).state.rip, MIB + 8);
    });

    it('starts a kernel that asks for a video mode without one', () => {
        const { memory, gpr } = boot(request(kludge(0x10004)));
        assert.equal(memory.read(gpr(Gpr.Rbx), 4) & 0x1800, 0);
    });

    it('gives a firmware an option ROM that loads all that it would have loaded itself', () => {
        const modules = [{ name: 'm', data: Uint8Array.of(7, 7), commandLine: 'm x' }];
        const wanted = request(kludge(), { modules });
        const { memory, context } = bootContext(32);
        const loaded = loadKernel(wanted, context, { firmware: true });
        assert.ok(loaded.via === 'firmware');
        const [[key, content]] = loaded.optionRom.items;
        memory.writeBytes(MIB, new Uint8Array(0x3000).fill(0xee));
        let [selected, position] = [0, 0];
        for (const { control, length, address } of transfers(loaded.optionRom.rom)) {
            if ((control & 8) !== 0) {
                [selected, position] = [control >>> 16, 0];
            }
            if ((control & 2) !== 0) {
                const bytes = new Uint8Array(length);
                bytes.set(selected === key ? content.subarray(position, position + length) : []);
                memory.writeBytes(address, bytes);
            }
            position += length;
        }
        assert.equal(position, content.length);

        const { memory: expected, gpr } = boot(wanted);
        assert.deepEqual(readBytes(memory, MIB, 0x1002), readBytes(expected, MIB, 0x1002));
        const info = gpr(Gpr.Rbx);
        assert.equal(readText(memory, memory.read(info + 16, 4)), 'vmlinuz console=ttyS0');
        assert.equal(memory.read(memory.read(info + 24, 4), 4), MIB + 0x1000);
        // Room for what the firmware tells.
        assert.equal(memory.read(info + 44, 4), 32 * 24);
    });

    it('keeps its information out of the way of a kernel in conventional memory', () => {
        const image = elf(32, 0x10000, [{ address: 0x8000, bytes: multibootHeader(0), memorySize: 0x40000 }]);
        const { gpr } = boot(request(image));
        assert.ok(gpr(Gpr.Rbx) >= MIB);
    });

    for (const [what, bytes, problem] of [
        ['features that do not exist', kludge(0x10108), /features 0x108/],
        [
            'an entry point elsewhere',
            elf(64, 0, [{ address: MIB, bytes: multibootHeader(0) }]),
            /entry point 0x0 lies outside/,
        ],
        ['neither addresses nor ELF', kludge(0), /neither load addresses nor an ELF header/],
    ] as const) {
        it(`refuses a kernel with ${what}`, () => {
            assert.match(refusal(() => boot(request(bytes))).message, problem);
        });
    }

    it('refuses modules that do not fit', () => {
        const modules = [{ name: 'huge', data: new Uint8Array(32 * MIB) }];
        assert.match(refusal(() => boot(request(kludge(), { modules }))).message, /^huge: does not fit/);
    });

    it('refuses addresses that contradict each other', () => {
        const image = new Uint8Array(0x300);
        image.set(multibootHeader(0x10000, MIB, 2 * MIB, 0, 0, MIB), 0);
        assert.match(refusal(() => boot(request(image))).message, /corrupt: the Multiboot header claims/);
    });
});

describe('kernel detection', () => {
    it('unpacks a gzipped kernel', () => {
        const kernel = elf(32, MIB + 8, [{ address: MIB, bytes: multibootHeader(0) }]);
        const decompressors = { gzip: (data: Uint8Array): Uint8Array => gunzipSync(data) };
        const { memory, state } = boot(request(gzipSync(kernel), { decompressors }));
        assert.equal(state.rip, MIB + 8);
        assert.equal(memory.read(MIB, 4), 0x1badb002);

        const damaged = request(gzipSync(kernel).subarray(0, 40), { decompressors });
        assert.match(refusal(() => boot(damaged)).message, /^vmlinuz: truncated or corrupt: its gzip stream/);
        assert.match(refusal(() => boot(request(gzipSync(kernel)))).message, /^vmlinuz: compressed with gzip/);
    });

    it('tells the kinds apart', () => {
        assert.equal(detectKernel({ name: 'k', data: bzImage() }), 'linux');
        assert.equal(
            detectKernel({ name: 'k', data: elf(32, 0, [{ address: 0, bytes: multibootHeader(0) }]) }),
            'multiboot',
        );
    });

    it('tells of kernels that other boot loaders start', () => {
        const header = u32s(0xe85250d6, 0, 16, -(0xe85250d6 + 16));
        const multiboot2 = elf(64, MIB, [{ address: MIB, bytes: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, ...header) }]);
        assert.match(refusal(() => detectKernel({ name: 'k', data: multiboot2 })).message, /^k: a Multiboot 2 kernel/);

        const efi = new Uint8Array(0x200);
        efi.set([0x4d, 0x5a]);
        efi[0x3c] = 0x80;
        efi.set([0x50, 0x45], 0x80);
        assert.match(refusal(() => detectKernel({ name: 'k', data: efi })).message, /^k: an EFI program/);
    });

    for (const data of [
        new Uint8Array(0),
        Uint8Array.of(1),
        new Uint8Array(100000),
        new TextEncoder().encode('#!/bin/sh\n'),
    ]) {
        it(`refuses ${data.length} foreign bytes`, () => {
            assert.match(refusal(() => detectKernel({ name: 'foo.txt', data })).message, /^foo\.txt: .*not a kernel/);
        });
    }
});

describe('initrd check', () => {
    const check = (data: Uint8Array): string[] => checkInitrd({ name: 'initrd', data });
    const archive = cpio([
        ['init', '#!/bin/sh'],
        ['a', ''],
    ]);

    it('accepts archives, several in a row, and compressed ones', () => {
        assert.deepEqual(check(archive), ['cpio']);
        assert.deepEqual(check(Uint8Array.of(...archive, 0, 0, 0, 0, ...archive, 0x1f, 0x8b)), [
            'cpio',
            'cpio',
            'gzip',
        ]);
        assert.deepEqual(check(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 9)), ['zstd']);
    });

    it('looks into what the host can unpack', () => {
        const gzip = (data: Uint8Array) => new Uint8Array(gunzipSync(data));
        const packed = new Uint8Array(gzipSync(archive));
        assert.deepEqual(checkInitrd({ name: 'initrd', data: packed }, { gzip }), ['gzip', 'cpio']);
        const cut = { name: 'initrd', data: packed.subarray(0, packed.length - 20) };
        assert.match(refusal(() => checkInitrd(cut, { gzip })).message, /^initrd: truncated or corrupt: its gzip/);
        const text = { name: 'initrd', data: new Uint8Array(gzipSync('hello')) };
        assert.match(refusal(() => checkInitrd(text, { gzip })).message, /not an initrd/);
    });

    for (const [what, data, problem] of [
        ['nothing', new Uint8Array(0), /empty/],
        ['a foreign file', new TextEncoder().encode('hello world'), /not an initrd/],
        ['zeros', new Uint8Array(5000), /not an initrd/],
        ['an archive cut off in a header', archive.subarray(0, 150), /truncated: a cpio entry/],
        ['an archive cut off in a file', archive.subarray(0, 120), /truncated: a cpio entry/],
        ['a damaged header', Uint8Array.from(archive).fill(0x7a, 60, 62), /corrupt: a cpio header|truncated/],
        ['junk after an archive', Uint8Array.of(...archive, 1, 2, 3), /corrupt: no archive follows/],
    ] as const) {
        it(`refuses ${what}`, () => {
            assert.match(refusal(() => check(data)).message, problem);
        });
    }
});

describe('firmware check', () => {
    const rom = (size: number): Uint8Array =>
        new Uint8Array(size).fill(0xea, Math.max(0, size - 16), Math.max(0, size - 10));

    it('accepts whole blocks with a reset vector', () => {
        for (const size of [0x10000, 0x20000, 0x40000, 0x37c000, 0x400000]) {
            checkFirmware({ name: 'bios.bin', data: rom(size) });
        }
    });

    for (const [what, data, problem] of [
        ['an empty file', rom(0), /empty/],
        ['a truncated image', rom(0x20000 - 1), /no multiple of 4 KiB/],
        ['an image without a reset vector', new Uint8Array(0x20000), /no code at the reset vector/],
        ['an image that is too large', rom(17 * MIB), /at most 16 MiB/],
    ] as const) {
        it(`refuses ${what}`, () => {
            assert.match(refusal(() => checkFirmware({ name: 'bios.bin', data })).message, problem);
        });
    }
});

describe('loaders under mutated input', () => {
    const { context } = bootContext(8);
    const images: [string, Uint8Array][] = [
        ['bzImage', bzImage({ prefAddress: MIB, initSize: 0x4000 })],
        [
            'PVH',
            elf(64, 0, [
                { address: MIB, bytes: new Uint8Array(64) },
                { type: 4, address: 0, bytes: note('Xen', 18, u32s(MIB)) },
            ]),
        ],
        ['Multiboot', elf(32, MIB, [{ address: MIB, bytes: multibootHeader(0) }])],
        [
            'cpio',
            cpio([
                ['init', 'data'],
                ['other', 'more data'],
            ]),
        ],
    ];

    for (const [name, image] of images) {
        it(`load a damaged ${name} or refuse it with one line`, () => {
            const next = random(image.length);
            const hot = Math.min(image.length, 0x280);
            for (let round = 0; round < 3000; round++) {
                const data = image.slice(0, next(4) === 0 ? next(image.length + 1) : image.length);
                for (let count = next(4); count >= 0 && data.length > 0; count--) {
                    const at = next(Math.min(hot, data.length));
                    data[at] = [0, 0xff, 0x7f, 0x80, next(256)][next(5)];
                }
                const file = { name: 'damaged', data };
                const initrd = name === 'cpio';
                try {
                    loadKernel(initrd ? request(images[0][1], { modules: [file] }) : request(data), context, {
                        firmware: next(2) === 0,
                    });
                } catch (error) {
                    assert.ok(error instanceof LoadError, `round ${round}: ${String((error as Error).stack)}`);
                    assert.ok(/^[ -~–]*$/.test(error.message), error.message);
                }
            }
        });
    }
});
