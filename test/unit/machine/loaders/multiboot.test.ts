import assert from 'node:assert/strict';
import { Gpr } from '../../../../src/machine/loaders/initial-state';
import { loadKernel } from '../../../../src/machine/loaders/load';
import { parseModuleList } from '../../../../src/machine/loaders/multiboot';
import { bootContext, elf, multibootHeader, readBytes, readText } from '../images';
import { boot, MIB, refusal, request, transfers } from './boot';

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
