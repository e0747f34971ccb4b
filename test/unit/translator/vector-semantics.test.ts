import assert from 'node:assert/strict';
import { Attribute, ROWS, type Row } from '../../../src/isa/x86';
import { vectorSemantics } from '../../../src/translator/lift/vector';
import { Random } from '../../support/random';
import { defectsOf, instancesOf, modesOf } from './lifting';

/** CPUID features whose instructions work on vector registers. */
const FEATURES = new Set(['mmx', 'sse', 'sse2', 'sse3', 'ssse3', 'sse4.1', 'sse4.2', 'aes', 'pclmulqdq', 'sha']);
const VECTOR = Attribute.Sse | Attribute.Mmx;

const nameOf = ({ opcode, mnemonic }: Row): string => `${opcode} ${mnemonic}`;

describe('semantics of vector instructions', () => {
    const rows = ROWS.filter(
        ({ feature, attributes }) =>
            FEATURES.has(feature) && (attributes & VECTOR) !== 0 && (attributes & Attribute.System) === 0,
    );

    it('are there for every row of the table that is not a system operation', () => {
        assert.ok(rows.length > 350, `only ${rows.length} rows`);
        const missing = rows.filter(({ mnemonic }) => !Object.hasOwn(vectorSemantics, mnemonic));
        assert.deepEqual(missing.map(nameOf), []);
    });

    it('belong to a row of the table', () => {
        const mnemonics = new Set(rows.map(row => row.mnemonic));
        assert.deepEqual(
            Object.keys(vectorSemantics).filter(name => !mnemonics.has(name)),
            [],
        );
    });

    it('become well-formed IR in every mode, for the interpreter and for regions', () => {
        const random = new Random(1);
        const defects: string[] = [];
        const lifted = new Set<Row>();
        for (const codeSize of [16, 32, 64] as const) {
            for (const instruction of rows.flatMap(row => instancesOf(row, codeSize, random))) {
                lifted.add(instruction.row);
                for (const mode of modesOf(codeSize)) {
                    defects.push(...defectsOf(vectorSemantics, instruction, mode));
                }
            }
        }
        assert.deepEqual(defects.slice(0, 3), []);
        const untried = rows.filter(row => !lifted.has(row));
        assert.deepEqual(untried.map(nameOf), []);
    });
});
