import assert from 'node:assert/strict';
import { Attribute, type CodeSize, decode, ROWS } from '../../../src/isa/x86';
import { parseOpcode } from '../../../src/isa/x86/table/opcode';
import { parseRows, TableError } from '../../../src/isa/x86/table/parse';
import { parseOperand } from '../../../src/isa/x86/table/operand';
import { generateRow, SLOT } from '../../differential/decoder/generate';
import { Random } from '../../support/random';

describe('instruction table', () => {
    it('numbers its rows densely', () => {
        ROWS.forEach((row, i) => assert.equal(row.id, i));
    });

    it('has no two rows with the same opcode column', () => {
        const seen = new Map<string, string>();
        const doubles = ROWS.filter(row => {
            const earlier = seen.get(row.opcode);
            seen.set(row.opcode, row.mnemonic);
            return earlier !== undefined && !isModePair(earlier, row.mnemonic);
        });
        assert.deepEqual(doubles, []);
    });

    it('has no row that other rows hide', () => {
        const random = new Random(3);
        const bytes = new Uint8Array(SLOT);
        const hidden = ROWS.filter(row => {
            for (let attempt = 0; attempt < 300; attempt++) {
                const codeSize = ([16, 32, 64] as CodeSize[])[attempt % 3];
                generateRow(random, row, codeSize, bytes, 0);
                const result = decode(bytes, 0, SLOT, codeSize);
                if (typeof result !== 'number' && result.row === row) {
                    return false;
                }
            }
            return true;
        });
        assert.deepEqual(
            hidden.map(row => `${row.opcode} ${row.mnemonic}`),
            [],
        );
    });

    it('allows LOCK only where the destination can be memory', () => {
        for (const row of ROWS) {
            if ((row.attributes & Attribute.Lock) !== 0) {
                assert.match(row.operands[0], /^[EM]/, row.opcode);
            }
        }
    });

    it('demands alignment only of 16-byte memory', () => {
        for (const row of ROWS) {
            if ((row.attributes & Attribute.Aligned) !== 0) {
                assert.ok(
                    row.operands.some(operand => /^[MW](dq|ps|pd)$/.test(operand)),
                    `${row.opcode} ${row.mnemonic}`,
                );
            }
        }
    });

    it('leaves flags undefined only where it writes them', () => {
        for (const { flags, mnemonic } of ROWS) {
            assert.equal(flags.undefined & ~flags.written, 0, mnemonic);
        }
    });

    it('keeps the string instructions apart from SSE2', () => {
        const mnemonics = (attribute: Attribute): string[] =>
            ROWS.filter(row => (row.attributes & attribute) !== 0).map(row => row.mnemonic);
        const strings = new Set(mnemonics(Attribute.Repeat));
        assert.deepEqual([...strings].sort(), ['CMPS', 'INS', 'LODS', 'MOVS', 'OUTS', 'SCAS', 'STOS']);
        assert.deepEqual(
            mnemonics(Attribute.Sse).filter(mnemonic => strings.has(mnemonic)),
            [],
        );
    });

    it('refuses rows that are not written as its notation says', () => {
        const parse = (rows: string): unknown => parseRows([{ feature: '', attributes: '', rows }]);
        assert.throws(() => parse('00 /r ADD Eb,Gb'), TableError);
        assert.throws(() => parse('00 /r  ADD Eb,Gb  lokc'), /unknown attribute lokc/);
        assert.throws(() => parse('00 /r  ADD Eb,Gb  w:y'), /unknown flag letter y/);
        assert.throws(() => parseOpcode('0F'), TableError);
        assert.throws(() => parseOpcode('0F 01 G1'), TableError);
        assert.throws(() => parseOperand('Kb', 0, false), TableError);
        assert.throws(() => parseOperand('Ef', 0, false), TableError);
    });
});

/** ARPL and MOVSXD share 63; the mode tells them apart. */
function isModePair(first: string, second: string): boolean {
    return first === 'MOVSXD' && second === 'ARPL';
}
