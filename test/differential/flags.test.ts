import assert from 'node:assert/strict';
import * as iced from 'iced-x86';
import { type CodeSize, decode, ROWS, type Row } from '../../src/isa/x86';
import { generateRow, SLOT } from './decoder/generate';
import { Random } from '../support/random';

/** Encodings tried per row. */
const SAMPLES = 90;

const EFLAGS_BITS: ReadonlyArray<readonly [iced.RflagsBits, number]> = [
    [iced.RflagsBits.CF, 1 << 0],
    [iced.RflagsBits.PF, 1 << 2],
    [iced.RflagsBits.AF, 1 << 4],
    [iced.RflagsBits.ZF, 1 << 6],
    [iced.RflagsBits.SF, 1 << 7],
    [iced.RflagsBits.IF, 1 << 9],
    [iced.RflagsBits.DF, 1 << 10],
    [iced.RflagsBits.OF, 1 << 11],
];

const COMPARED = EFLAGS_BITS.reduce((mask, [, bit]) => mask | bit, 0);

/** The effects on flags that the reference knows, united over encodings of a row. */
interface Effects {
    read: number;
    written: number;
    undefined: number;
}

interface FlagsException {
    readonly reason: string;
    readonly applies: (row: Row) => boolean;
}

/** Rows whose flags column is meant to differ. */
const EXCEPTIONS: readonly FlagsException[] = [
    {
        reason: 'shifts by an immediate: the reference looks at the count, a row speaks for every count',
        applies: row => /^(RO|RC|SH|SA)/.test(row.mnemonic) && row.operands.at(-1) === 'Ib',
    },
    {
        reason: 'MOV to and from control registers: undefined by the manual, kept by every CPU, and so kept here',
        applies: row => row.mnemonic === 'MOV' && row.operands.some(operand => operand === 'Rd'),
    },
    { reason: 'VMCALL raises #UD here, and changes nothing', applies: row => row.mnemonic === 'VMCALL' },
];

describe('flags column against iced-x86', () => {
    it('writes and leaves undefined the same flags, and reads at least the same', () => {
        const random = new Random(5);
        const wrong: string[] = [];
        for (const row of ROWS) {
            const theirs = sample(random, row);
            const { flags } = row;
            const agrees =
                (flags.written & COMPARED) === theirs.written &&
                (flags.undefined & COMPARED) === theirs.undefined &&
                (theirs.read & ~flags.read) === 0;
            const excused = EXCEPTIONS.some(exception => exception.applies(row));
            if (!agrees && !excused) {
                wrong.push(`${row.opcode} ${row.mnemonic}`);
            }
        }
        assert.deepEqual(wrong, []);
    });
});

function sample(random: Random, row: Row): Effects {
    const bytes = new Uint8Array(SLOT);
    const effects: Effects = { read: 0, written: 0, undefined: 0 };
    for (let i = 0; i < SAMPLES; i++) {
        const codeSize = ([16, 32, 64] as CodeSize[])[i % 3];
        generateRow(random, row, codeSize, bytes, 0);
        const ours = decode(bytes, 0, SLOT, codeSize);
        if (typeof ours === 'number' || ours.row !== row) {
            continue;
        }
        const decoder = new iced.Decoder(codeSize, bytes, iced.DecoderOptions.None);
        const theirs = decoder.decode();
        effects.read |= toEflags(theirs.rflagsRead);
        effects.undefined |= toEflags(theirs.rflagsUndefined);
        effects.written |= toEflags(
            theirs.rflagsWritten | theirs.rflagsCleared | theirs.rflagsSet | theirs.rflagsUndefined,
        );
        theirs.free();
        decoder.free();
    }
    return effects;
}

function toEflags(bits: number): number {
    return EFLAGS_BITS.reduce((mask, [theirs, ours]) => ((bits & theirs) !== 0 ? mask | ours : mask), 0);
}
