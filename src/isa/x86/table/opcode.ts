/**
 * The opcode column of a row, taken apart into the conditions under which bytes select the row.
 */

import { TableError } from './parse';

/** Opcode maps: the number of escape bytes decides, or VEX.mmmmm. */
export const enum OpcodeMap {
    OneByte,
    TwoByte,
    ThreeByte38,
    ThreeByte3A,
    Vex0F,
    Vex0F38,
    Vex0F3A,
}

/** Number of {@link OpcodeMap} values. */
export const OPCODE_MAP_COUNT = 7;

/** Which prefix selects within an opcode: F2/F3 (the last one given) before 66, as SDM Vol. 2, 2.1.2 implies. */
export const enum MandatoryPrefix {
    None,
    P66,
    F3,
    F2,
}

const ANY_PREFIX = 0b1111;
const NO_F2_F3 = (1 << MandatoryPrefix.None) | (1 << MandatoryPrefix.P66);
const ANY_OF_3 = 0b111;
const ANY_OF_2 = 0b11;
const ANY_OF_8 = 0xff;

/** ModRM.mod classes. */
export const MEMORY_FORM = 1;
export const REGISTER_FORM = 2;
export const ANY_FORM = 3;

/** Conditions as bit sets of acceptable values; `1 << value` is acceptable when set. */
export interface OpcodeKey {
    map: OpcodeMap;
    opcode: number;
    /** 8 for `+r` opcodes, else 1. */
    opcodeCount: number;
    /** The opcode is followed by a ModRM byte. */
    modrm: boolean;
    /** Over {@link MandatoryPrefix}. */
    prefixes: number;
    /** Over 0 = 16 bits, 1 = 32, 2 = 64: the operand size after d64/f64. */
    operandSizes: number;
    /** Over 0 = 16 bits, 1 = 32, 2 = 64. */
    addressSizes: number;
    /** Over REX.B 0, 1. */
    rexB: number;
    /** Over VEX.L 0, 1. */
    vexL: number;
    /** Over ModRM.reg. */
    reg: number;
    /** Over ModRM.rm. */
    rm: number;
    /** {@link MEMORY_FORM}, {@link REGISTER_FORM} or both. */
    forms: number;
    /** How many conditions narrow the key: the row with most wins. */
    conditions: number;
}

const VEX_MAPS: Readonly<Record<string, OpcodeMap>> = {
    '0F': OpcodeMap.Vex0F,
    '0F38': OpcodeMap.Vex0F38,
    '0F3A': OpcodeMap.Vex0F3A,
};

const PREFIX_WORDS: Readonly<Record<string, number>> = {
    NP: 1 << MandatoryPrefix.None,
    NFx: NO_F2_F3,
    '66': 1 << MandatoryPrefix.P66,
    F3: 1 << MandatoryPrefix.F3,
    F2: 1 << MandatoryPrefix.F2,
};

const SIZE_BITS: Readonly<Record<string, number>> = { '16': 0b001, '32': 0b010, '64': 0b100 };

/** Parses an opcode column, for example `66 REX.W 0F 6E /r`. Throws {@link TableError}. */
export function parseOpcode(column: string): OpcodeKey {
    const key: OpcodeKey = {
        map: OpcodeMap.OneByte,
        opcode: -1,
        opcodeCount: 1,
        modrm: false,
        prefixes: ANY_PREFIX,
        operandSizes: ANY_OF_3,
        addressSizes: ANY_OF_3,
        rexB: ANY_OF_2,
        vexL: ANY_OF_2,
        reg: ANY_OF_8,
        rm: ANY_OF_8,
        forms: ANY_FORM,
        conditions: 1,
    };
    const words = column.split(' ');
    for (let i = 0; i < words.length; i++) {
        const word = words[i];
        if (key.opcode < 0) {
            const escape = word === '0F' && key.map === OpcodeMap.OneByte;
            if (escape) {
                key.map = OpcodeMap.TwoByte;
            } else if (key.map === OpcodeMap.TwoByte && (word === '38' || word === '3A')) {
                key.map = word === '38' ? OpcodeMap.ThreeByte38 : OpcodeMap.ThreeByte3A;
            } else if (
                key.map === OpcodeMap.OneByte &&
                i < words.length - 1 &&
                parsePrefixWord(key, word, words[i + 1])
            ) {
                key.conditions++;
            } else {
                parseOpcodeByte(key, word);
            }
        } else {
            parseModrmWord(key, word);
        }
    }
    if (key.opcode < 0) {
        throw new TableError(column, 'no opcode');
    }
    return key;
}

/** Consumes `66`, `NP`, `o32`, `REX.W`, `VEX…`; false when the word is the opcode itself (the `F3` of no row is). */
function parsePrefixWord(key: OpcodeKey, word: string, next: string): boolean {
    const prefixes = PREFIX_WORDS[word];
    if (prefixes !== undefined && next[0] !== '/') {
        key.prefixes = prefixes;
    } else if (word === 'REX.W') {
        key.operandSizes = 0b100;
    } else if (word === 'REX.B') {
        key.rexB = 0b10;
    } else if (word.startsWith('VEX.')) {
        parseVex(key, word);
    } else if (word[0] === 'o' || word[0] === 'a') {
        const bits = SIZE_BITS[word.slice(1)];
        if (word[0] === 'o') {
            key.operandSizes = bits;
        } else {
            key.addressSizes = bits;
        }
    } else {
        return false;
    }
    return true;
}

function parseVex(key: OpcodeKey, word: string): void {
    key.prefixes = 1 << MandatoryPrefix.None;
    for (const part of word.split('.').slice(1)) {
        if (part === 'LZ' || part === 'L0' || part === '128') {
            key.vexL = 0b01;
        } else if (part === 'L1' || part === '256') {
            key.vexL = 0b10;
        } else if (VEX_MAPS[part] !== undefined) {
            key.map = VEX_MAPS[part];
        } else if (PREFIX_WORDS[part] !== undefined) {
            key.prefixes = PREFIX_WORDS[part];
        } else if (part === 'W0') {
            key.operandSizes = 0b011;
        } else if (part === 'W1') {
            key.operandSizes = 0b100;
        } else if (part !== 'LIG' && part !== 'WIG') {
            throw new TableError(word, `unknown VEX field ${part}`);
        }
    }
}

function parseOpcodeByte(key: OpcodeKey, word: string): void {
    const match = /^([0-9A-F]{2})(\+r)?$/.exec(word);
    if (!match) {
        throw new TableError(word, 'not an opcode byte');
    }
    key.opcode = parseInt(match[1], 16);
    if (match[2]) {
        key.opcodeCount = 8;
        key.conditions--;
    }
}

function parseModrmWord(key: OpcodeKey, word: string): void {
    key.modrm = true;
    if (word === 'mem' || word === 'reg') {
        key.forms = word === 'mem' ? MEMORY_FORM : REGISTER_FORM;
        return;
    }
    if (word === '/r') {
        return;
    }
    key.conditions++;
    if (word[0] === '/') {
        key.reg = 1 << Number(word[1]);
        return;
    }
    const match = /^([C-F][0-9A-F])(\+i)?$/.exec(word);
    if (!match) {
        throw new TableError(word, 'not a ModRM byte');
    }
    const modrm = parseInt(match[1], 16);
    key.forms = REGISTER_FORM;
    key.reg = 1 << ((modrm >> 3) & 7);
    if (!match[2]) {
        key.rm = 1 << (modrm & 7);
        key.conditions++;
    }
}
