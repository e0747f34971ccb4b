/**
 * Byte strings that look enough like instructions to get past the first byte: random prefixes and opcodes, every table
 * row with varied prefixes, ModRM, SIB and displacement, and mutations of both.
 */

import { type CodeSize, type Row } from '../../../src/isa/x86';
import { OpcodeMap, parseOpcode } from '../../../src/isa/x86/table/opcode';
import { type Random } from '../../support/random';

/** Bytes per generated string; the decoders may read no further. */
export const SLOT = 16;

const PREFIXES = [0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0xf2, 0xf3];
const VEX_PP_OF_PREFIX = [0, 1, 2, 3];

/** Fills `bytes[start, start + SLOT)` with random prefixes and an opcode from a random map. */
export function generateRandom(random: Random, bytes: Uint8Array, start: number): void {
    fill(random, bytes, start);
    let position = start + putPrefixes(random, bytes, start, random.oneIn(200) ? 14 : 3);
    if (random.oneIn(3)) {
        bytes[position++] = 0x40 | random.below(16);
    }
    const map = random.below(8);
    if (map < 5) {
        if (map >= 2) {
            bytes[position++] = 0x0f;
        }
        if (map >= 4) {
            bytes[position] = random.oneIn(2) ? 0x38 : 0x3a;
        }
    } else if (map < 6) {
        bytes[position] = random.oneIn(2) ? 0xc4 : 0xc5;
    }
}

/** Fills `bytes[start, start + SLOT)` with an encoding of `row`, or nearly: some fields are deliberately off. */
export function generateRow(random: Random, row: Row, codeSize: CodeSize, bytes: Uint8Array, start: number): void {
    const key = parseOpcode(row.opcode);
    fill(random, bytes, start);
    let position = start + (random.oneIn(3) ? putPrefixes(random, bytes, start, 3) : 0);
    const opcode = key.opcode + (key.opcodeCount > 1 ? random.below(8) : 0);
    if (key.map >= OpcodeMap.Vex0F) {
        const pp = VEX_PP_OF_PREFIX.find(prefix => (key.prefixes >> prefix) & 1) ?? 0;
        const wvvvvL = random.oneIn(4) ? random.below(256) : 0x78 | (random.below(2) << 7);
        bytes[position++] = 0xc4;
        bytes[position] = (bytes[position] & 0xe0) | (key.map - OpcodeMap.Vex0F + 1);
        if (codeSize !== 64) {
            bytes[position] |= 0xc0;
        }
        position++;
        bytes[position++] = (wvvvvL & ~3) | pp;
    } else {
        if (key.prefixes !== 0b1111 && (key.prefixes & 1) === 0) {
            bytes[position++] = (key.prefixes & 2) !== 0 ? 0x66 : (key.prefixes & 4) !== 0 ? 0xf3 : 0xf2;
        }
        if (codeSize === 64 && random.oneIn(2)) {
            bytes[position++] = 0x40 | random.below(16) | (key.operandSizes === 0b100 ? 8 : 0);
        }
        if (key.map !== OpcodeMap.OneByte) {
            bytes[position++] = 0x0f;
        }
        if (key.map === OpcodeMap.ThreeByte38 || key.map === OpcodeMap.ThreeByte3A) {
            bytes[position++] = key.map === OpcodeMap.ThreeByte38 ? 0x38 : 0x3a;
        }
    }
    bytes[position++] = opcode;
    if (key.modrm) {
        const reg = choose(random, key.reg);
        const rm = choose(random, key.rm);
        const mod = key.forms === 2 || (key.forms === 3 && random.oneIn(2)) ? 3 : random.below(3);
        bytes[position] = (mod << 6) | (reg << 3) | rm;
        if (random.oneIn(4)) {
            // SIB with the special bases and indices.
            bytes[position] = (bytes[position] & ~7) | 4;
            bytes[position + 1] =
                (random.below(4) << 6) | ((random.oneIn(2) ? 4 : random.below(8)) << 3) | (4 + random.below(2));
        }
    }
}

/** Changes one to three bits or bytes of the first bytes of a string. */
export function mutate(random: Random, bytes: Uint8Array, start: number): void {
    for (let i = random.below(3); i >= 0; i--) {
        const position = start + random.below(6);
        if (random.oneIn(4)) {
            bytes.copyWithin(position + 1, position, start + SLOT - 1);
            bytes[position] = random.oneIn(2) ? PREFIXES[random.below(PREFIXES.length)] : random.below(256);
        } else {
            bytes[position] ^= 1 << random.below(8);
        }
    }
}

function fill(random: Random, bytes: Uint8Array, start: number): void {
    for (let i = 0; i < SLOT; i += 4) {
        const word = random.next();
        // Small and large displacements and immediates.
        const simple = (word & 0x700) === 0;
        bytes[start + i] = word;
        bytes[start + i + 1] = simple ? 0xff : word >> 8;
        bytes[start + i + 2] = simple ? 0xff : word >> 16;
        bytes[start + i + 3] = simple ? 0xff : word >> 24;
    }
}

function putPrefixes(random: Random, bytes: Uint8Array, start: number, most: number): number {
    const count = random.oneIn(2) ? 0 : random.below(most + 1);
    for (let i = 0; i < count; i++) {
        bytes[start + i] = PREFIXES[random.below(PREFIXES.length)];
    }
    return count;
}

function choose(random: Random, set: number): number {
    let value = random.below(8);
    while (((set >> value) & 1) === 0) {
        value = (value + 1) & 7;
    }
    return value;
}
