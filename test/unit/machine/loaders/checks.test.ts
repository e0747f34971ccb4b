/** What loaders make of files that may be anything. */
import assert from 'node:assert/strict';
import { gunzipSync, gzipSync } from 'node:zlib';
import { LoadError } from '../../../../src/machine/errors';
import { detectKernel } from '../../../../src/machine/loaders/detect';
import { checkFirmware } from '../../../../src/machine/loaders/firmware';
import { checkInitrd } from '../../../../src/machine/loaders/initrd';
import { loadKernel } from '../../../../src/machine/loaders/load';
import { bootContext, bzImage, cpio, elf, multibootHeader, note, random, u32s } from '../images';
import { boot, MIB, refusal, request } from './boot';

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

    it('says what starts a boot sector', () => {
        const data = new Uint8Array(512);
        data.set([0xfa, 0xf4]);
        data.set([0x55, 0xaa], 510);
        const { message } = refusal(() => detectKernel({ name: 'boot.bin', data }));
        assert.match(message, /^boot\.bin: a boot sector or disk image.*memdisk as kernel, and this file as initrd$/);
        assert.match(
            refusal(() => detectKernel({ name: 'k', data: data.subarray(0, 511) })).message,
            /^k: not a kernel/,
        );
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
