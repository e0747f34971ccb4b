import assert from 'node:assert/strict';
import { Attribute, ROWS } from '../../../src/isa/x86';
import { vectorSemantics } from '../../../src/translator/lift/vector';

/** CPUID features whose instructions work on vector registers, or order memory for those that do. */
const FEATURES = new Set(['mmx', 'sse', 'sse2', 'sse3', 'ssse3', 'sse4.1', 'sse4.2', 'aes', 'pclmulqdq', 'sha']);
const VECTOR = Attribute.Sse | Attribute.Mmx;

describe('vector semantics', () => {
    const rows = ROWS.filter(
        ({ feature, attributes }) =>
            FEATURES.has(feature) && (attributes & VECTOR) !== 0 && (attributes & Attribute.System) === 0,
    );

    it('finds the vector rows of the table', () => {
        assert.ok(rows.length > 350, `only ${rows.length} rows`);
    });

    it('gives a meaning to every row', () => {
        const missing = rows.filter(({ mnemonic }) => !Object.hasOwn(vectorSemantics, mnemonic));
        assert.deepEqual(
            missing.map(({ opcode, mnemonic }) => `${opcode} ${mnemonic}`),
            [],
        );
    });

    it('holds no meaning that no row asks for', () => {
        const mnemonics = new Set(ROWS.map(row => row.mnemonic));
        assert.deepEqual(
            Object.keys(vectorSemantics).filter(name => !mnemonics.has(name)),
            [],
        );
    });
});
