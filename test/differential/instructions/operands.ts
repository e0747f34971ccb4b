/** Random values with a bias to where instructions go wrong: ends of ranges, carries, special floating-point numbers. */

import { type Random } from '../../support/random';
import { DATA, DATA_SIZE } from './layout';

const EDGES: readonly bigint[] = [
    0n, 1n, 2n, 3n, 7n, 8n, 15n, 16n, 31n, 32n, 33n, 63n, 64n, 0x7fn, 0x80n, 0xffn, 0x7fffn, 0x8000n, 0xffffn, 0x10000n,
    0x7fffffffn, 0x80000000n, 0xffffffffn, 0x100000000n, 0x7fffffffffffffffn, 0x8000000000000000n, -1n, -2n, -128n,
    -32768n, -0x80000000n, 0xaaaaaaaaaaaaaaaan, 0x5555555555555555n, 0x9999999999999999n, 0x0102040810204080n,
]; // prettier-ignore

export function random64(random: Random): bigint {
    return (BigInt(random.next()) << 32n) | BigInt(random.next());
}

/** A 64-bit integer. */
export function integer(random: Random): bigint {
    switch (random.below(8)) {
        case 0:
        case 1:
            return BigInt.asUintN(64, EDGES[random.below(EDGES.length)]);
        case 2:
            return BigInt.asUintN(64, EDGES[random.below(EDGES.length)] + BigInt(random.below(5) - 2));
        case 3:
            // Edges in each 8-, 16- or 32-bit part.
            return BigInt(edge32(random)) | (BigInt(edge32(random)) << 32n);
        case 4:
            return BigInt(random.below(300));
        case 5:
            return 1n << BigInt(random.below(64));
        default:
            return random64(random);
    }
}

function edge32(random: Random): number {
    switch (random.below(4)) {
        case 0:
            return Number(BigInt.asUintN(32, EDGES[random.below(EDGES.length)]));
        case 1: {
            const part = Number(BigInt.asUintN(16, EDGES[random.below(EDGES.length)]));
            return (part | (part << 16)) >>> 0;
        }
        case 2:
            return (random.below(256) * 0x01010101) >>> 0;
    }
    return random.next();
}

/** A linear address: mostly inside the data pages, often near the end of a page. */
export function address(random: Random): bigint {
    const near = BigInt(random.below(80) - 40);
    switch (random.below(16)) {
        case 0:
            return BigInt(DATA) + near;
        case 1:
            return BigInt(DATA + DATA_SIZE) + near;
        case 2:
            return integer(random);
        case 3:
        case 4:
            return BigInt(DATA + 0x1000) + near;
        case 5:
            return BigInt(DATA + random.below(DATA_SIZE));
        case 6:
        case 7:
            return BigInt(DATA + 0x1000 - 256 + random.below(512));
        default:
            return BigInt(DATA + 0x1000 - 256 + 16 * random.below(32));
    }
}

function float32(random: Random): number {
    const sign = (random.next() & 1) << 31;
    const special = [
        0, 1, 0x7fffff, 0x800000, 0x800001, 0x7f7fffff, 0x7f800000, 0x7f800001, 0x7fbfffff, 0x7fc00000, 0x7fffffff,
        0x3f800000, 0x3f7fffff, 0x3f800001, 0x3f000000, 0x4f000000, 0x4effffff, 0x5f000000, 0x5effffff, 0x4b000000,
        0x4b800000, 0x33800000, 0x34000000, 0x40000000, 0x3fc00000, 0x20000000, 0x1f800000,
    ]; // prettier-ignore
    switch (random.below(4)) {
        case 0:
            return sign | special[random.below(special.length)];
        case 1:
            return sign | (random.next() & 0x7fffff) | ((random.below(64) + 96) << 23);
        case 2:
            return sign | (random.next() & 0x7fff0000) | ((random.below(6) + 124) << 23);
    }
    return random.next() | 0;
}

function float64(random: Random): bigint {
    const sign = BigInt(random.next() & 1) << 63n;
    const special = [
        0n, 1n, 0xfffffffffffffn, 0x10000000000000n, 0x10000000000001n, 0x7fefffffffffffffn, 0x7ff0000000000000n,
        0x7ff0000000000001n, 0x7ff7ffffffffffffn, 0x7ff8000000000000n, 0x7fffffffffffffffn, 0x3ff0000000000000n,
        0x3fefffffffffffffn, 0x3ff0000000000001n, 0x3fe0000000000000n, 0x41dfffffffc00000n, 0x41e0000000000000n,
        0x43e0000000000000n, 0x43dfffffffffffffn, 0x36a0000000000000n, 0x3690000000000000n, 0x47efffffe0000000n,
        0x47effffff0000000n, 0x380fffffffffffffn, 0x3810000000000000n, 0x4000000000000000n, 0x3ff8000000000000n,
        0x4330000000000000n, 0x4340000000000000n,
    ]; // prettier-ignore
    const fraction = random64(random) & 0xfffffffffffffn;
    switch (random.below(4)) {
        case 0:
            return sign | special[random.below(special.length)];
        case 1:
            return sign | fraction | (BigInt(random.below(128) + 960) << 52n);
        case 2:
            return sign | (fraction & 0xfffff00000000n) | (BigInt(random.below(6) + 1020) << 52n);
    }
    return random64(random);
}

function putExtended(random: Random, view: DataView, at: number): void {
    const sign = (random.next() & 1) << 15;
    const exponents = [
        0,
        1,
        0x3ffe,
        0x3fff,
        0x4000,
        0x3fff + 31,
        0x3fff + 63,
        0x3fff + 62,
        0x7ffe,
        0x7fff,
        0x3fff - 64,
    ];
    const exponent = random.oneIn(2)
        ? exponents[random.below(exponents.length)]
        : random.oneIn(2)
          ? 0x3fff - 40 + random.below(110)
          : random.below(0x8000);
    const significands = [
        0n,
        1n << 63n,
        3n << 62n,
        (1n << 64n) - 1n,
        (1n << 63n) | 1n,
        1n,
        1n << 62n,
        0xa000000000000000n,
    ];
    let significand = random.oneIn(2) ? significands[random.below(significands.length)] : random64(random);
    // Unnormals, pseudo-infinities and the like are rare.
    if (!random.oneIn(12)) {
        significand = exponent === 0 ? significand & ~(1n << 63n) : significand | (1n << 63n);
    }
    view.setBigUint64(at, significand, true);
    view.setUint16(at + 8, exponent | sign, true);
}

/** A packed decimal number of 18 digits, or something close. */
function putDecimal(random: Random, view: DataView, at: number): void {
    for (let i = 0; i < 10; i++) {
        const digit = (): number => random.below(random.oneIn(20) ? 16 : 10);
        view.setUint8(at + i, digit() | (digit() << 4));
    }
    view.setUint8(at + 9, random.oneIn(2) ? 0x80 : 0);
}

/** 16 bytes of one of the types that instructions give a meaning to. */
export function putVector(random: Random, view: DataView, at: number): void {
    switch (random.below(6)) {
        case 0:
            for (let i = 0; i < 16; i += 4) {
                view.setInt32(at + i, float32(random), true);
            }
            return;
        case 1:
            view.setBigUint64(at, float64(random), true);
            view.setBigUint64(at + 8, float64(random), true);
            return;
        case 2:
            view.setBigUint64(at, integer(random), true);
            view.setBigUint64(at + 8, integer(random), true);
            return;
        case 3:
            for (let i = 0; i < 16; i += 4) {
                view.setUint32(at + i, edge32(random), true);
            }
            return;
    }
    for (let i = 0; i < 16; i += 4) {
        view.setUint32(at + i, random.next(), true);
    }
}

/** 16 bytes of data memory: as {@link putVector}, or an 80-bit operand of the x87. */
export function putData(random: Random, view: DataView, at: number): void {
    putVector(random, view, at);
    switch (random.below(8)) {
        case 0:
            putExtended(random, view, at);
            break;
        case 1:
            putDecimal(random, view, at);
            break;
    }
}

/** The 10 bytes of an x87 register. */
export function putStackRegister(random: Random, view: DataView, at: number): void {
    putExtended(random, view, at);
    if (random.oneIn(8)) {
        // An MMX register.
        view.setBigUint64(at, integer(random), true);
        view.setUint16(at + 8, 0xffff, true);
    }
}
