import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { readElfSymbols, SymbolFileError } from '../../../src/symbols/elf';
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
});
