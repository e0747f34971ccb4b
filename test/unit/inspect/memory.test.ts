import assert from 'node:assert/strict';
import { linearAddress, viewMemory } from '../../../src/inspect/memory/memory-view';
import { type BytePattern, expressionIn, parsePattern } from '../../../src/inspect/memory/pattern';
import { Scanner } from '../../../src/inspect/memory/scanner';
import { searchMemory, type SearchRequest } from '../../../src/inspect/memory/search';
import { pageTables } from '../../../src/inspect/paging/paging-format';
import { FakeSource, LONG_MODE, NX, REAL_MODE } from './fake-source';

const MOST = BigInt.asUintN(64, -1n);

function written({ values, masks }: BytePattern): string {
    return Array.from(values, (value, index) => `${value.toString(16)}/${masks[index].toString(16)}`).join(' ');
}

describe('search pattern', () => {
    it('reads bytes with wildcards, texts and numbers', () => {
        assert.equal(written(parsePattern('48 8b ?? c3')), '48/ff 8b/ff 0/0 c3/ff');
        assert.equal(written(parsePattern('4?8B')), '40/f0 8b/ff');
        assert.equal(written(parsePattern('0x48, 0x0f')), '48/ff f/ff');
        assert.equal(written(parsePattern('"a\\x00\\n"')), '61/ff 0/ff a/ff');
        assert.equal(written(parsePattern('"aZ1"', { ignoreCase: true })), '41/df 5a/df 31/ff');
        assert.equal(written(parsePattern('L"hé"')), '68/ff 0/ff e9/ff 0/ff');
        assert.equal(written(parsePattern('"€"')), 'e2/ff 82/ff ac/ff');
        assert.equal(written(parsePattern('u16 = x', { number: 0x1234n })), '34/ff 12/ff');
        assert.equal(parsePattern('u64 = x', { number: 1n }).alignment, 8);
        assert.equal(written(parsePattern('i16 = x', { number: MOST })), 'ff/ff ff/ff');
        assert.equal(written(parsePattern('f32 = 1.5')), '0/ff 0/ff c0/ff 3f/ff');
        assert.equal(expressionIn('u64 = rsp + 8'), 'rsp + 8');
        assert.equal(expressionIn('f64 = 1.5'), undefined);
        assert.equal(expressionIn('48 8b'), undefined);
    });

    it('says what is wrong with others', () => {
        const problems: readonly [string, RegExp, bigint?][] = [
            ['', /nothing to search for/],
            ['48 8', /3 digits do not make whole bytes/],
            ['48 xyz', /'x' is no hexadecimal digit/],
            ['?? ??', /matches everything/],
            ['"a\\q"', /'\\q' is no escape/],
            ['""', /nothing to search for/],
            ['u8 = 256', /0x100 does not fit into 8 bits/, 256n],
            ['f16 = 1', /f16 is no type/],
            ['f64 = one', /'one' is no number/],
            ['00'.repeat(5000), /at most 4096/],
        ];
        for (const [text, problem, number] of problems) {
            assert.throws(() => parsePattern(text, { number }), problem, text);
        }
    });
});

describe('scanner', () => {
    /** The plain definition, to compare with. */
    function naive(bytes: Uint8Array, { values, masks }: BytePattern): number[] {
        const found: number[] = [];
        for (let at = 0; at + values.length <= bytes.length; at++) {
            if (values.every((value, index) => (bytes[at + index] & masks[index]) === value)) found.push(at);
        }
        return found;
    }

    function all(scanner: Scanner, bytes: Uint8Array, memory?: WebAssembly.Memory): number[] {
        const found: number[] = [];
        for (let at = scanner.find(bytes, 0, memory); at >= 0; at = scanner.find(bytes, at + 1, memory)) found.push(at);
        return found;
    }

    it('finds in WebAssembly and in JavaScript what the definition says, at every alignment and length', () => {
        const memory = new WebAssembly.Memory({ initial: 2, maximum: 2, shared: true });
        const whole = new Uint8Array(memory.buffer);
        let state = 1;
        const next = (): number => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) >>> 16;
        for (let index = 0; index < whole.length; index++) whole[index] = next() % 3;
        const patterns = ['00', '00 01', '01 ?? 02', '0? 01 00', '?? 02 01 00 01', '02'.repeat(9), '00 '.repeat(20)];
        let total = 0;
        for (const text of patterns) {
            const pattern = parsePattern(text);
            const scanner = new Scanner(pattern);
            for (const [from, length] of [
                [0, 700],
                [13, 64],
                [1, 5],
                [whole.length - 333, 333],
                [whole.length - 7, 7],
            ]) {
                const bytes = whole.subarray(from, from + length);
                const expected = naive(bytes, pattern);
                assert.deepEqual(all(scanner, bytes, memory), expected, `${text} at ${from}`);
                assert.deepEqual(all(scanner, bytes.slice()), expected, `${text} at ${from}, copied`);
                total += expected.length;
            }
        }
        assert.ok(total > 500);
    });
});

describe('memory search', () => {
    function search(source: FakeSource, text: string, more: Partial<SearchRequest> & { physical?: boolean } = {}) {
        const pattern = parsePattern(text);
        return searchMemory(source, {
            pattern,
            tables: more.physical === true ? undefined : pageTables(source.system),
            first: 0n,
            last: MOST,
            alignment: 1,
            limit: 100,
            bytes: 2 ** 30,
            ...more,
        });
    }

    function guest(): FakeSource {
        const source = new FakeSource();
        source.regions = [
            { name: 'RAM', first: 0, last: 0x1ffff, kind: 'ram' },
            { name: 'device', first: 0xfee00000, last: 0xfee00fff, kind: 'device' },
        ];
        for (let page = 0; page < 0x20; page++) source.addMemory(page * 0x1000);
        source.nextTable = 0x18000;
        // Neighbours in linear memory, apart in physical memory.
        source.map(0x400000n, 0x5000n | 7n);
        source.map(0x401000n, 0x3000n | 7n | NX);
        source.map(0x402000n, 0x9000n | 7n);
        source.map(0x500000n, 0xfee00000n | 7n);
        source.poke(0x5ffe, [0xde, 0xad]);
        source.poke(0x3000, [0xbe, 0xef]);
        source.poke(0x9000, [0xde, 0xad, 0xbe, 0xef]);
        return source;
    }
    const found = (piece: ReturnType<typeof searchMemory>): string[] =>
        piece.matches.map(({ address, physical }) => `${address} ${physical}`);

    it('finds a match that goes over from one page to another that lies elsewhere', () => {
        const source = guest();
        assert.deepEqual(found(search(source, 'de ad be ef')), ['0x400ffe 0x5ffe', '0x402000 0x9000']);
        assert.deepEqual(found(search(source, 'de ad be ef', { physical: true })), ['0x9000 0x9000']);
        assert.equal(search(source, 'de ad be ef', { physical: true }).matches[0].memoryReference, 'phys:0x9000');
    });

    it('comes in pieces that together find the same', () => {
        const source = guest();
        for (const bytes of [1, 16, 0x1001, 0x2000]) {
            const matches: string[] = [];
            for (let first: bigint | undefined = 0n; first !== undefined;) {
                const piece = search(source, 'de ad be ef', { first, bytes });
                matches.push(...found(piece));
                assert.ok(piece.next === undefined || piece.next > first, 'it gets on');
                first = piece.next;
            }
            assert.deepEqual(matches, ['0x400ffe 0x5ffe', '0x402000 0x9000'], `pieces of ${bytes}`);
        }
    });

    it('keeps to its limits: addresses, alignment, matches', () => {
        const source = guest();
        assert.deepEqual(found(search(source, 'de ad', { first: 0x400fffn })), ['0x402000 0x9000']);
        assert.deepEqual(found(search(source, 'de ad', { last: 0x400ffen })), ['0x400ffe 0x5ffe']);
        assert.deepEqual(found(search(source, 'de ad', { alignment: 16 })), ['0x402000 0x9000']);
        const one = search(source, 'de ad', { limit: 1 });
        assert.deepEqual(found(one), ['0x400ffe 0x5ffe']);
        assert.equal(one.next, 0x402000n);
    });

    it('finds patterns that are longer than a page', () => {
        const source = guest();
        source.poke(0x5000, new Uint8Array(0x1000).fill(7));
        source.poke(0x3000, new Uint8Array(0x1000).fill(7));
        source.poke(0x9000, [9]);
        const pattern = parsePattern(`${'07'.repeat(4000)} 09`);
        const long = { values: new Uint8Array(0x1801).fill(7), masks: new Uint8Array(0x1801).fill(255), alignment: 1 };
        long.values[0x1800] = 9;
        assert.deepEqual(found(search(source, '00', { pattern })), ['0x401060 0x3060']);
        assert.deepEqual(found(search(source, '00', { pattern: long })), ['0x400800 0x5800']);
    });

    it('ends each piece on page tables that have no end', () => {
        const source = new FakeSource();
        for (let index = 0; index < 512; index++) {
            source.poke64(0x10000 + index * 8, 0x11000n | 7n);
            source.poke64(0x11000 + index * 8, 0x11000n | 7n);
        }
        let first = 0n;
        for (let piece = 0; piece < 3; piece++) {
            const { next, searched } = search(source, '77 77', { first, bytes: 2 ** 20 });
            assert.ok(next !== undefined && next > first && searched > 0);
            first = next;
        }
        // Tables that map nothing but what is not there, for ever.
        for (let index = 0; index < 512; index++) source.poke64(0x12000 + index * 8, 0xfee00000n | 7n);
        for (let index = 0; index < 512; index++) source.poke64(0x11000 + index * 8, 0x12000n | 7n);
        const nothing = search(source, '77 77', { first: 0n });
        assert.ok(nothing.next !== undefined && nothing.next > 0n);
        assert.equal(nothing.searched, 0);
        // Nor does looking for pages come to an end by finding one.
        for (let index = 0; index < 512; index++) source.poke64(0x11000 + index * 8, 0x11000n | 3n | (1n << 50n));
        assert.deepEqual(found(search(source, '77 77', { first: 0n })), []);
    });

    it('looks through physical memory where paging is off', () => {
        const source = guest();
        source.system = REAL_MODE;
        assert.deepEqual(found(search(source, 'de ad be ef')), ['0x9000 0x9000']);
    });
});

describe('memory view', () => {
    it('tells page by page what is there, and why it cannot be read', () => {
        const source = new FakeSource();
        source.regions = [
            { name: 'RAM', first: 0, last: 0xfffff, kind: 'ram' },
            { name: 'hpet', first: 0xfed00000, last: 0xfed003ff, kind: 'device' },
        ];
        source.addMemory(0x5000);
        source.poke(0x5ff0, [1, 2, 3]);
        source.map(0x400000n, 0x5000n | 5n);
        source.map(0x402000n, 0xfed00000n | 3n | NX);
        source.map(0x403000n, 0x1_0000_0000n | 7n);
        const { bytes, pages } = viewMemory(source, { space: 'linear', address: 0x400ff0n, count: 0x3020 }, false);
        assert.deepEqual([...bytes.subarray(0, 4)], [1, 2, 3, 0]);
        const named = viewMemory(source, { space: 'linear', address: 0x400ff0n, count: 0x20 }, false, {
            regions: (_source, root) => (first, last) => `${root} ${first.toString(16)} ${last.toString(16)}`,
        });
        assert.deepEqual(
            named.pages.map(({ use }) => use),
            ['65536 400ff0 400fff', '65536 401000 40100f'],
        );
        assert.deepEqual(
            pages.map(({ offset, length, physical, kind, region }) => [offset, length, physical, kind, region]),
            [
                [0, 0x10, '0x5ff0', 'ram', 'RAM'],
                [0x10, 0x1000, undefined, 'unmapped', undefined],
                [0x1010, 0x1000, '0xfed00000', 'device', 'hpet'],
                [0x2010, 0x1000, '0x100000000', 'nothing', undefined],
                [0x3010, 0x10, undefined, 'unmapped', undefined],
            ],
        );
        assert.deepEqual(pages[0].permissions, { writable: false, user: true, executable: true });
        assert.match(pages[1].problem ?? '', /pte\[0x1\] = 0x0 is not present/);
        assert.match(pages[2].problem ?? '', /registers of 'hpet'/);
    });

    it('is bounded by nothing but what exists at the ends of address spaces', () => {
        const source = new FakeSource();
        const at = (space: 'linear' | 'physical', address: bigint): (string | undefined)[] =>
            viewMemory(source, { space, address, count: 0x20 }, true).pages.map(({ problem }) => problem);
        assert.equal(at('linear', MOST - 0xfn).length, 2);
        assert.match(at('linear', 0x8000_0000_0000n)[0] ?? '', /not canonical/);
        assert.match(at('physical', MOST)[0] ?? '', /52 bits/);
    });

    it('names the addresses that memory holds', () => {
        const source = new FakeSource({
            ...LONG_MODE,
            segments: LONG_MODE.segments.map(segment => ({ ...segment, attributes: 0xa09b })),
        });
        source.symbols.set(0xffffffff81000000n, 'startup_64');
        source.addMemory(0x5000);
        source.poke64(0x5008, 0xffffffff81000000n);
        source.map(0x400000n, 0x5000n | 5n);
        const { annotations } = viewMemory(source, { space: 'linear', address: 0x400004n, count: 0x20 }, true);
        assert.deepEqual(annotations, [{ offset: 4, size: 8, value: '0xffffffff81000000', symbol: 'startup_64' }]);
    });

    it('adds the base of a segment to virtual addresses', () => {
        const segments = REAL_MODE.segments.map((segment, index) => ({ ...segment, base: BigInt(index) << 16n }));
        const real = { ...REAL_MODE, segments };
        assert.equal(linearAddress(real, 'ss', 0x10n), 0x20010n);
        assert.equal(linearAddress(real, 'ES', 0xfffffff0n), 0xfffffff0n);
        assert.equal(linearAddress(real, 'cs', 0xffffffffn), 0xffffn);
        const long = { ...LONG_MODE, segments: segments.map(segment => ({ ...segment, attributes: 0xa09b })) };
        assert.equal(linearAddress(long, 'ss', 0x10n), 0x10n);
        assert.equal(linearAddress(long, 'gs', 0x10n), 0x50010n);
        assert.throws(() => linearAddress(long, 'xs', 0n), /no segment 'xs'/);
    });
});
