/** The AES round functions (FIPS 197, chapter 5) on four columns of 32 bits, least significant byte first. */

export const enum AesOperation {
    Encrypt,
    EncryptLast,
    Decrypt,
    DecryptLast,
    InverseMixColumns,
    KeyGenerationAssist,
}

/** Multiplication by x in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1. */
function timesX(value: number): number {
    return ((value << 1) ^ (value & 0x80 ? 0x11b : 0)) & 0xff;
}

function multiply(a: number, b: number): number {
    let product = 0;
    for (let factor = a, rest = b; rest !== 0; rest >>= 1, factor = timesX(factor)) {
        product ^= rest & 1 ? factor : 0;
    }
    return product;
}

/** The substitution box: inversion, then an affine map (FIPS 197, 5.1.1). */
function makeSubstitution(): Uint8Array {
    const box = new Uint8Array(256);
    for (let value = 0; value < 256; value++) {
        let inverse = 0;
        for (let candidate = 1; candidate < 256 && value !== 0; candidate++) {
            if (multiply(value, candidate) === 1) {
                inverse = candidate;
                break;
            }
        }
        let result = 0x63;
        for (let rotation = 0; rotation < 5; rotation++) {
            result ^= (inverse << rotation) | (inverse >> (8 - rotation));
        }
        box[value] = result;
    }
    return box;
}

const SUBSTITUTION = makeSubstitution();
const INVERSE_SUBSTITUTION = new Uint8Array(256);
SUBSTITUTION.forEach((result, value) => (INVERSE_SUBSTITUTION[result] = value));

/** A byte of row 0 times the column of the (inverse) MixColumns matrix. */
function makeColumns(factors: readonly number[], box?: Uint8Array): Int32Array {
    return Int32Array.from({ length: 256 }, (_, value) => {
        const byte = box ? box[value] : value;
        return factors.reduce((column, factor, row) => column | (multiply(byte, factor) << (8 * row)), 0);
    });
}

const MIX = [2, 1, 1, 3];
const INVERSE_MIX = [14, 9, 13, 11];
const ENCRYPT = makeColumns(MIX, SUBSTITUTION);
const DECRYPT = makeColumns(INVERSE_MIX, INVERSE_SUBSTITUTION);
const UNMIX = makeColumns(INVERSE_MIX);

const rotate = (value: number, bits: number): number => (value << bits) | (value >>> (32 - bits));

/** One column of a full round from the columns that ShiftRows takes its four rows from. */
function mixed(table: Int32Array, row0: number, row1: number, row2: number, row3: number): number {
    return (
        table[row0 & 0xff] ^
        rotate(table[(row1 >>> 8) & 0xff], 8) ^
        rotate(table[(row2 >>> 16) & 0xff], 16) ^
        rotate(table[row3 >>> 24], 24)
    );
}

/** The same without MixColumns. */
function substituted(box: Uint8Array, row0: number, row1: number, row2: number, row3: number): number {
    return (
        box[row0 & 0xff] |
        (box[(row1 >>> 8) & 0xff] << 8) |
        (box[(row2 >>> 16) & 0xff] << 16) |
        (box[row3 >>> 24] << 24)
    );
}

/**
 * Runs one AES instruction in memory.
 * @param at index of the state's first column in `memory`; the round key follows at `at + 4`. The result replaces the state.
 */
export function aes(memory: Int32Array, at: number, operation: AesOperation, immediate: number): void {
    const s0 = memory[at];
    const s1 = memory[at + 1];
    const s2 = memory[at + 2];
    const s3 = memory[at + 3];
    let r0: number, r1: number, r2: number, r3: number;
    switch (operation) {
        case AesOperation.Encrypt:
            r0 = mixed(ENCRYPT, s0, s1, s2, s3);
            r1 = mixed(ENCRYPT, s1, s2, s3, s0);
            r2 = mixed(ENCRYPT, s2, s3, s0, s1);
            r3 = mixed(ENCRYPT, s3, s0, s1, s2);
            break;
        case AesOperation.EncryptLast:
            r0 = substituted(SUBSTITUTION, s0, s1, s2, s3);
            r1 = substituted(SUBSTITUTION, s1, s2, s3, s0);
            r2 = substituted(SUBSTITUTION, s2, s3, s0, s1);
            r3 = substituted(SUBSTITUTION, s3, s0, s1, s2);
            break;
        case AesOperation.Decrypt:
            r0 = mixed(DECRYPT, s0, s3, s2, s1);
            r1 = mixed(DECRYPT, s1, s0, s3, s2);
            r2 = mixed(DECRYPT, s2, s1, s0, s3);
            r3 = mixed(DECRYPT, s3, s2, s1, s0);
            break;
        case AesOperation.DecryptLast:
            r0 = substituted(INVERSE_SUBSTITUTION, s0, s3, s2, s1);
            r1 = substituted(INVERSE_SUBSTITUTION, s1, s0, s3, s2);
            r2 = substituted(INVERSE_SUBSTITUTION, s2, s1, s0, s3);
            r3 = substituted(INVERSE_SUBSTITUTION, s3, s2, s1, s0);
            break;
        case AesOperation.InverseMixColumns:
            memory[at] = mixed(UNMIX, s0, s0, s0, s0);
            memory[at + 1] = mixed(UNMIX, s1, s1, s1, s1);
            memory[at + 2] = mixed(UNMIX, s2, s2, s2, s2);
            memory[at + 3] = mixed(UNMIX, s3, s3, s3, s3);
            return;
        case AesOperation.KeyGenerationAssist: {
            const first = substituted(SUBSTITUTION, s1, s1, s1, s1);
            const second = substituted(SUBSTITUTION, s3, s3, s3, s3);
            memory[at] = first;
            memory[at + 1] = rotate(first, 24) ^ immediate;
            memory[at + 2] = second;
            memory[at + 3] = rotate(second, 24) ^ immediate;
            return;
        }
    }
    memory[at] = r0 ^ memory[at + 4];
    memory[at + 1] = r1 ^ memory[at + 5];
    memory[at + 2] = r2 ^ memory[at + 6];
    memory[at + 3] = r3 ^ memory[at + 7];
}
