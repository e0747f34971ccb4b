import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { memorySource } from '../../../src/symbols/byte-source';
import { ElfSymbols, isLoaded, readElfSymbols, SymbolFileError } from '../../../src/symbols/elf';
import { ElfFile } from '../../../src/symbols/elf-file';
import { SymbolTable } from '../../../src/symbols/symbol-table';
import { guestImage } from '../../dap/guest';
import { sampleElf } from '../../support/sample';

describe('symbols', () => {
    it('come from the symbol table of an ELF file', () => {
        const symbols = readElfSymbols('guest', guestImage('exit'));
        const names = symbols.map(({ name }) => name);
        assert.deepEqual(names, ['start', 'again', 'finish', 'increment', 'print', 'next', 'printed']);
        assert.equal(symbols[0].address, 0x10000cn);
    });

    it('without a size end with their section', () => {
        const table = new SymbolTable(readElfSymbols('sample', readFileSync(sampleElf)));
        assert.match(table.format(0x8334n - 2n) ?? '', /^message_protected\+/);
        assert.equal(table.format(0xf000n), undefined);
        assert.equal(table.format(0xfffffff0n), 'reset_vector');
    });

    it('of a file cut short or garbled are refused, or fewer', () => {
        const image = guestImage('exit');
        for (let length = 0; length < image.length; length += 13) {
            assert.throws(() => readElfSymbols('guest', image.slice(0, length)), SymbolFileError, `${length}`);
        }
        for (let at = 0; at < 52; at++) {
            const garbled = image.slice();
            garbled[at] ^= 0xff;
            try {
                readElfSymbols('guest', garbled);
            } catch (error) {
                assert.ok(error instanceof SymbolFileError, `${at}: ${String(error)}`);
            }
        }
    });

    it('name the addresses that they cover', () => {
        const table = new SymbolTable([
            { name: 'outer', address: 0x1000n, size: 0x100n, kind: 'function' },
            { name: 'alias', address: 0x1000n, size: 0x100n, kind: 'label' },
            { name: 'inner', address: 0x1010n, size: 0x10n, kind: 'object' },
            { name: 'unsized', address: 0x2000n, size: 0n, kind: 'label' },
            { name: 'after', address: 0x3000n, size: 4n, kind: 'object' },
            { name: 'last', address: 0x4000n, size: 0n, kind: 'label', sectionEnd: 0x4010n },
            { name: 'end', address: 0x4010n, size: 0n, kind: 'label', sectionEnd: 0x4010n },
        ]);
        assert.equal(table.format(0x1000n), 'outer');
        assert.equal(table.format(0x1014n), 'inner+0x4');
        assert.equal(table.format(0x1020n), 'outer+0x20');
        assert.equal(table.format(0x1100n), undefined);
        assert.equal(table.format(0x2fffn), 'unsized+0xfff');
        assert.equal(table.format(0x3004n), undefined);
        assert.equal(table.format(0xfffn), undefined);
        assert.equal(table.format(0x400fn), 'last+0xf');
        assert.equal(table.format(0x4010n), 'end');
        assert.equal(table.format(0x4011n), undefined);
        assert.equal(table.formatReturn(0x1100n), 'outer+0x100');
        assert.deepEqual(
            [...table.startingWith('a')].map(({ name }) => name),
            ['alias', 'after'],
        );
    });

    it('of a program are where the guest has it', () => {
        const elf = new ElfFile(memorySource('sample', readFileSync(sampleElf)));
        const linked = [...new ElfSymbols(elf).all()];
        let slide = 0n;
        const moved = new ElfSymbols(elf, () => slide);
        const table = new SymbolTable();
        table.addSource(moved);
        assert.equal(table.size, linked.length);
        for (slide of [0n, 0x200000n]) {
            for (const { name, address, size, sectionEnd } of linked) {
                // Constants that stand for addresses lie in no section, and stay.
                if (sectionEnd === undefined) continue;
                const found = moved.named(name);
                assert.ok(
                    found.some(symbol => symbol.address === address + slide && symbol.size === size),
                    name,
                );
                assert.equal(moved.at(address + slide)?.offset, 0n, name);
            }
        }
        assert.deepEqual(moved.named('message_protected_'), []);
        assert.deepEqual(moved.named(''), []);
        const names = linked.map(({ name }) => name).filter(name => name.startsWith('message'));
        assert.deepEqual([...table.startingWith('message')].map(({ name }) => name).sort(), [...new Set(names)].sort());
        table.removeSource(moved);
        assert.equal(table.at(linked[0].address + slide), undefined);
    });

    it('move with the program in the gaps between its sections, too', () => {
        const section = (address: number, size: number, flags = 2): object => ({ address, size, flags });
        const sections = [section(0, 0x5000), section(0x10000, 0x800), section(0x12000, 0x100), section(0x50000, 1, 0)];
        const elf = { sections } as unknown as ElfFile;
        assert.deepEqual(
            [0x100, 0x10000, 0x10fff, 0x12100, 0x12101, 0x50000].map(address => isLoaded(elf, address)),
            [false, true, true, true, false, false],
        );
        assert.equal(isLoaded({ sections: [] }, 0), false);
    });

    it('of several origins: the one that begins last names an address', () => {
        const table = new SymbolTable([{ name: 'image', address: 0x1000n, size: 0x1000n, kind: 'object' }]);
        table.add([
            { name: 'label', address: 0x1800n, size: 0x10n, kind: 'label' },
            { name: 'function', address: 0x1800n, size: 0x20n, kind: 'function' },
        ]);
        table.add([{ name: 'function', address: 0x1900n, size: 0n, kind: 'label' }]);
        assert.equal(table.format(0x1008n), 'image+0x8');
        assert.equal(table.format(0x1808n), 'function+0x8');
        assert.equal(table.named('function').length, 2);
        assert.deepEqual(
            [...table.startingWith('f')].map(({ address }) => address),
            [0x1800n],
        );
    });
});
