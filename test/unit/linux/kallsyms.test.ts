import assert from 'node:assert/strict';
import { findKallsyms } from '../../../src/linux/kallsyms';
import { randomNumbers, damaged } from '../../support/symbol-fuzz';
import { buildImage, type BuiltSymbol, imageOf, someSymbols, START, type TableFormat } from './kallsyms-tables';

/** As the kernels of these versions have them on x86-64. */
const FORMATS: Readonly<Record<string, TableFormat>> = {
    '4.4': { order: 'addressesFirst', addresses: 'absolute', markers: 8, alignment: 8 },
    '4.14': { order: 'addressesFirst', addresses: 'perCpu', markers: 8, alignment: 8 },
    '6.1': { order: 'addressesFirst', addresses: 'perCpu', markers: 4, alignment: 8 },
    '6.1, one processor': { order: 'addressesFirst', addresses: 'unsigned', markers: 4, alignment: 8 },
    '6.2': { order: 'addressesFirst', addresses: 'perCpu', markers: 4, index: 'beforeTokens', alignment: 8 },
    '6.6': { order: 'addressesLast', addresses: 'perCpu', markers: 4, index: 'last', alignment: 8 },
    '6.15': { order: 'addressesLast', addresses: 'unsigned', markers: 4, index: 'last', alignment: 8 },
    'without a base': { order: 'addressesLast', addresses: 'ownPlace', markers: 4, index: 'last', alignment: 4 },
};

function found(bytes: Uint8Array): BuiltSymbol[] | undefined {
    const tables = findKallsyms(imageOf(bytes));
    return tables?.names.map((name, index) => ({
        name,
        type: tables.types[index],
        address: tables.addresses[index],
    }));
}

describe('kallsyms', () => {
    for (const [version, format] of Object.entries(FORMATS)) {
        const perCpu = format.addresses === 'perCpu' || format.addresses === 'absolute' ? 40 : 0;

        it(`are found as Linux ${version} has them`, () => {
            for (const count of [1024, 1500, 4097]) {
                const symbols = someSymbols(count, perCpu);
                assert.deepEqual(found(buildImage(symbols, format)), symbols, `${count} symbols`);
            }
        });
    }

    it('are not found where there are none', () => {
        const bytes = new Uint8Array(0x200000);
        assert.equal(found(bytes), undefined);
        for (let at = 0; at + 20 < bytes.length; at += 20)
            bytes.set(
                [...'0123456789'].flatMap(digit => [digit.charCodeAt(0), 0]),
                at,
            );
        assert.equal(found(bytes), undefined);
        // Markers everywhere.
        new Uint32Array(bytes.buffer).forEach((_, index, words) => (words[index] = (index % 16) * 1000));
        assert.equal(found(bytes), undefined);
    });

    it('with holes around them are found, and with holes in them not', () => {
        const symbols = someSymbols(1500, 40);
        const bytes = buildImage(symbols, FORMATS['6.1']);
        const image = imageOf(bytes);
        const without = (hole: number): number | undefined =>
            findKallsyms({ ...image, page: offset => (offset === hole ? undefined : image.page(offset)) })?.names
                .length;
        assert.equal(without(0x20000), 1500);
        assert.equal(without(0x125000), undefined);
    });

    it('are looked for no longer than memory that is full of likely tables deserves', () => {
        const format = FORMATS['6.1'];
        const bytes = buildImage(someSymbols(1500, 40), format);
        // Numbers of symbols that fit the markers, at every place before them; no names.
        const start = 0x123450;
        const end = bytes.lastIndexOf(0x60, 0x12d000);
        new Uint32Array(bytes.buffer, start + 1500 * 4, (end - start - 1500 * 4) >> 2).fill(1500);
        assert.equal(found(bytes), undefined);
    });

    it('that are damaged end in names that a kernel can have, or none', () => {
        const random = randomNumbers(7);
        for (const format of Object.values(FORMATS)) {
            const original = buildImage(someSymbols(1100, 0), format);
            // What is damaged is the tables, not the rest of the image.
            const tables = original.subarray(0x123000, 0x12c000);
            for (let round = 0; round < 20; round++) {
                const bytes = original.slice();
                bytes.set(damaged(tables, random), 0x123000);
                for (const { name, address } of found(bytes) ?? []) {
                    assert.ok(name.length > 0 && name.length <= 1024);
                    assert.ok(address >= START - 0x80000000n || address < 0x10000000n);
                }
            }
        }
    });
});
