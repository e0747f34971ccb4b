/**
 * Reads the text of the table files (see `notation.ts`) into rows.
 */

import { HyperscopeError } from '../../../common/errors';
import { Attribute, type FlagEffects, type Row } from '../instruction';
import { FLAG_LETTERS, type RowGroup } from './notation';

/** A line of a table file that is not written as `notation.ts` says: a mistake of ours, found at start-up. */
export class TableError extends HyperscopeError {
    public constructor(
        public readonly line: string,
        problem: string,
    ) {
        super(`instruction table: ${problem} in row "${line}"`);
    }
}

const ATTRIBUTE_WORDS: Readonly<Record<string, number>> = {
    lock: Attribute.Lock,
    i64: Attribute.Invalid64,
    o64: Attribute.Only64,
    d64: Attribute.Default64,
    f64: Attribute.Force64,
    rep: Attribute.Repeat,
    branch: Attribute.Branch,
    cond: Attribute.Branch | Attribute.Conditional,
    sys: Attribute.System,
    x87: Attribute.X87,
    mmx: Attribute.Mmx,
    sse: Attribute.Sse,
    aligned: Attribute.Aligned,
    unaligned: 0,
    vex: Attribute.Vex,
    prot: Attribute.ProtectedOnly,
};

/** Columns are two or more blanks apart. */
const COLUMN_GAP = '  ';

/** A memory operand of 16 bytes: what `aligned` speaks of. */
const SIXTEEN_BYTE_MEMORY = /(?:^|\/)[MW](?:dq|x|ps|pd|qs)$/;

const NO_FLAGS: FlagEffects = { read: 0, written: 0, undefined: 0 };

/** Parses the groups' lines; a row's id is its position over all groups. Throws {@link TableError}. */
export function parseRows(groups: readonly RowGroup[]): Row[] {
    const rows: Row[] = [];
    for (const group of groups) {
        const inherited = group.attributes === '' ? [] : group.attributes.split(' ');
        for (const line of group.rows.split('\n')) {
            if (line !== '' && line[0] !== '#') {
                rows.push(parseRow(rows.length, line, inherited, group.feature));
            }
        }
    }
    return rows;
}

function parseRow(id: number, line: string, inherited: readonly string[], groupFeature: string): Row {
    const opcodeEnd = line.indexOf(COLUMN_GAP);
    if (opcodeEnd < 0) {
        throw new TableError(line, 'no instruction column');
    }
    const opcode = line.slice(0, opcodeEnd);
    const rest = line.slice(opcodeEnd).trimStart();
    const instructionEnd = rest.indexOf(COLUMN_GAP);
    const instruction = instructionEnd < 0 ? rest : rest.slice(0, instructionEnd);
    const words = instructionEnd < 0 ? '' : rest.slice(instructionEnd).trimStart();
    const blank = instruction.indexOf(' ');
    const mnemonic = blank < 0 ? instruction : instruction.slice(0, blank);
    const operands = blank < 0 ? [] : instruction.slice(blank + 1).split(',');

    let attributes = 0;
    let feature = groupFeature;
    let read = 0;
    let written = 0;
    let undefinedFlags = 0;
    let unaligned = !operands.some(operand => SIXTEEN_BYTE_MEMORY.test(operand));
    for (const word of words === '' ? inherited : [...inherited, ...words.split(' ')]) {
        if (word[0] === '@') {
            feature = word.slice(1);
        } else if (word[1] === ':') {
            const flags = parseFlags(line, word);
            read |= word[0] === 'r' ? flags : 0;
            written |= word[0] === 'r' ? 0 : flags;
            undefinedFlags |= word[0] === 'u' ? flags : 0;
        } else {
            if (ATTRIBUTE_WORDS[word] === undefined) {
                throw new TableError(line, `unknown attribute ${word}`);
            }
            attributes |= ATTRIBUTE_WORDS[word];
            unaligned ||= word === 'unaligned';
        }
    }
    if (unaligned) {
        attributes &= ~Attribute.Aligned;
    }
    const flags = (read | written) === 0 ? NO_FLAGS : { read, written, undefined: undefinedFlags };
    return { id, opcode, mnemonic, operands, attributes, flags, feature };
}

function parseFlags(line: string, word: string): number {
    let mask = 0;
    for (let i = 2; i < word.length; i++) {
        const bit = FLAG_LETTERS[word[i]];
        if (bit === undefined) {
            throw new TableError(line, `unknown flag letter ${word[i]}`);
        }
        mask |= bit;
    }
    return mask;
}
