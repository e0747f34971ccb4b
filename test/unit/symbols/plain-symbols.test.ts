import assert from 'node:assert/strict';
import { memorySource } from '../../../src/symbols/byte-source';
import { type PlainSymbols, readPlainSymbols } from '../../../src/symbols/plain-symbols';
import { SymbolTable } from '../../../src/symbols/symbol-table';

function read(text: string): PlainSymbols | undefined {
    return readPlainSymbols(memorySource('System.map', new TextEncoder().encode(text)));
}

const SYSTEM_MAP = `0000000000000000 A fixed_percpu_data
0000000000001000 A cpu_tss_rw
ffffffff81000000 T _text
ffffffff81000000 T startup_64
ffffffff81000040 t verify_cpu
ffffffff8134cc50 T vfs_read
ffffffff8134cd90 T vfs_write
ffffffff8211ffe0 D linux_banner
`;

describe('symbol files of text', () => {
    it('name the code of a kernel, wherever it has put itself', () => {
        const file = read(SYSTEM_MAP);
        assert.ok(file !== undefined);
        const table = new SymbolTable();
        table.addSource(file.symbols);
        assert.equal(table.format(0xffffffff8134cc60n), 'vfs_read+0x10');
        assert.equal(table.format(0x1010n), undefined);
        assert.deepEqual(file.linux, { text: 0xffffffff81000000n, banner: 0xffffffff8211ffe0n });

        file.slide = 0x1a000000n;
        assert.equal(table.format(0xffffffff9b34cc60n), 'vfs_read+0x10');
        assert.equal(table.format(0xffffffff8134cc60n), undefined);
        assert.equal(table.named('vfs_write')[0].address, 0xffffffff9b34cd90n);
        assert.equal(table.named('cpu_tss_rw')[0].address, 0x1000n, "a per-CPU variable's offset does not move");
        assert.equal(file.hasCode(0xffffffff9b34cc60n), true);
    });

    it('may be in the order of names, have sizes, and name what is defined elsewhere', () => {
        const file = read(
            '                 U printf\n0000000000401136 0000000000000020 T main\n0000000000401000 T _init\n',
        );
        assert.ok(file !== undefined);
        assert.deepEqual(file.symbols.at(0x401140n)?.symbol.name, 'main');
        assert.deepEqual(file.symbols.at(0x401001n)?.symbol.name, '_init');
        assert.equal(file.linux, undefined);
    });

    it('of 32-bit programs have shorter addresses', () => {
        assert.equal(read('00100000 T _start\n00100010 t loop\n')?.symbols.at(0x100012n)?.symbol.name, 'loop');
    });

    it('are told from other text, and from no text', () => {
        for (const text of [
            '',
            'hello\n',
            '#!/bin/sh\nffffffff81000000 T _text\n',
            '                 U printf\n',
            '\0\0\0',
            'ffffffffffffffff B The real System.map is in the linux-image-<version>-dbg package\n',
        ]) {
            assert.equal(read(text), undefined, JSON.stringify(text));
        }
        const long = SYSTEM_MAP + 'ffffffff82200000 D other\n'.repeat(1000);
        assert.equal(read(long)?.symbols.size, 1008);
    });
});
