import assert from 'node:assert/strict';
import { Gpr } from '../../../../src/machine/loaders/initial-state';
import { loadKernel } from '../../../../src/machine/loaders/load';
import { bootContext, elf, note, readBytes, readText, u32s } from '../images';
import { boot, MIB, refusal, request } from './boot';

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
