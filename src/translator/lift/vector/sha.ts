/** SHA extensions (SDM Vol. 2; FIPS 180-4 for the functions' names), inline: hashing is what guests use them for. */
import { type IrBuilder } from '../../ir/builder';
import { type Value } from '../../ir/function';
import { type Semantic, type SemanticTable } from '../semantics';
import { binary, immediateByte, readVector, zeroVector } from './operands';

const add = (ir: IrBuilder, ...terms: readonly Value[]): Value =>
    terms.reduce((sum, term) => ir.op('i32.add', sum, term));
const xor = (ir: IrBuilder, ...terms: readonly Value[]): Value =>
    terms.reduce((sum, term) => ir.op('i32.xor', sum, term));
const rotateLeft = (ir: IrBuilder, x: Value, count: number): Value => ir.op('i32.rotl', x, ir.i32(count));
const rotateRight = (ir: IrBuilder, x: Value, count: number): Value => ir.op('i32.rotr', x, ir.i32(count));

/** (x and y) xor (not x and z). */
function choice(ir: IrBuilder, x: Value, y: Value, z: Value): Value {
    return ir.op('i32.xor', z, ir.op('i32.and', x, ir.op('i32.xor', y, z)));
}

function majority(ir: IrBuilder, x: Value, y: Value, z: Value): Value {
    return ir.op('i32.or', ir.op('i32.and', x, y), ir.op('i32.and', z, ir.op('i32.or', x, y)));
}

/** The four 32-bit lanes, the highest first, as the manual lists them. */
function lanesOf(ir: IrBuilder, vector: Value): Value[] {
    return [3, 2, 1, 0].map(lane => ir.lane('i32x4.extract_lane', vector, lane));
}

/** A vector from its lanes, the highest first. */
function vectorOf(ir: IrBuilder, lanes: readonly Value[]): Value {
    let vector = ir.op('i32x4.splat', lanes[3]);
    for (let lane = 1; lane < 4; lane++) {
        vector = ir.lane('i32x4.replace_lane', vector, lane, lanes[3 - lane]);
    }
    return vector;
}

function rotateLanes(ir: IrBuilder, x: Value, right: number): Value {
    return ir.op('v128.or', ir.op('i32x4.shr_u', x, ir.i32(right)), ir.op('i32x4.shl', x, ir.i32(32 - right)));
}

/** σ of SHA-256's message schedule in all lanes: two rotations and a shift. */
function smallSigma(ir: IrBuilder, x: Value, first: number, second: number, shift: number): Value {
    const rotated = ir.op('v128.xor', rotateLanes(ir, x, first), rotateLanes(ir, x, second));
    return ir.op('v128.xor', rotated, ir.op('i32x4.shr_u', x, ir.i32(shift)));
}

const sha256Rounds: Semantic = c => {
    const ir = c.ir;
    let [a, b, e, f] = lanesOf(ir, readVector(c, 1));
    let [cc, d, g, h] = lanesOf(ir, c.read(0));
    const roundInputs = c.read(2);
    for (let round = 0; round < 2; round++) {
        const input = ir.lane('i32x4.extract_lane', roundInputs, round);
        const sigma1 = xor(ir, rotateRight(ir, e, 6), rotateRight(ir, e, 11), rotateRight(ir, e, 25));
        const sigma0 = xor(ir, rotateRight(ir, a, 2), rotateRight(ir, a, 13), rotateRight(ir, a, 22));
        const t1 = add(ir, h, input, choice(ir, e, f, g), sigma1);
        const t2 = add(ir, sigma0, majority(ir, a, b, cc));
        [a, b, cc, d, e, f, g, h] = [add(ir, t1, t2), a, b, cc, add(ir, d, t1), e, f, g];
    }
    c.write(0, vectorOf(ir, [a, b, e, f]));
};

function sha256Message1(ir: IrBuilder, a: Value, b: Value): Value {
    const next = ir.shuffle(a, b, [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    return ir.op('i32x4.add', a, smallSigma(ir, next, 7, 18, 3));
}

/** The upper two words depend on the lower two. */
function sha256Message2(ir: IrBuilder, a: Value, b: Value): Value {
    const zero = zeroVector(ir);
    const last = ir.shuffle(b, zero, [8, 9, 10, 11, 12, 13, 14, 15, 16, 16, 16, 16, 16, 16, 16, 16]);
    const lower = ir.op('i32x4.add', a, smallSigma(ir, last, 17, 19, 10));
    const fresh = ir.shuffle(lower, zero, [16, 16, 16, 16, 16, 16, 16, 16, 0, 1, 2, 3, 4, 5, 6, 7]);
    return ir.op('i32x4.add', lower, smallSigma(ir, fresh, 17, 19, 10));
}

const SHA1_CONSTANTS = [0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6];

const sha1Rounds: Semantic = c => {
    const ir = c.ir;
    const { value } = immediateByte(c);
    const inputs = lanesOf(ir, readVector(c, 1));
    let [a, b, cc, d] = lanesOf(ir, c.read(0));
    const number = ir.op('i32.and', value, ir.i32(3));
    const byNumber = (first: Value, second: Value, third: Value, fourth: Value): Value => {
        const odd = ir.op('i32.and', number, ir.i32(1));
        return ir.select(
            ir.op('i32.and', number, ir.i32(2)),
            ir.select(odd, fourth, third),
            ir.select(odd, second, first),
        );
    };
    const [k0, k1, k2, k3] = SHA1_CONSTANTS.map(k => ir.i32(k | 0));
    const k = byNumber(k0, k1, k2, k3);
    let e = ir.i32(0);
    for (const input of inputs) {
        const parity = xor(ir, b, cc, d);
        const f = byNumber(choice(ir, b, cc, d), parity, majority(ir, b, cc, d), parity);
        const next = add(ir, f, rotateLeft(ir, a, 5), input, e, k);
        [a, b, cc, d, e] = [next, a, rotateLeft(ir, b, 30), cc, d];
    }
    c.write(0, vectorOf(ir, [a, b, cc, d]));
};

function sha1Message1(ir: IrBuilder, a: Value, b: Value): Value {
    return ir.op('v128.xor', a, ir.shuffle(a, b, [24, 25, 26, 27, 28, 29, 30, 31, 0, 1, 2, 3, 4, 5, 6, 7]));
}

/** The lowest word depends on the highest. */
function sha1Message2(ir: IrBuilder, a: Value, b: Value): Value {
    const zero = zeroVector(ir);
    const shifted = ir.shuffle(zero, b, [0, 0, 0, 0, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27]);
    const rotated = rotateLanes(ir, ir.op('v128.xor', a, shifted), 31);
    const highest = rotateLanes(ir, rotated, 31);
    return ir.op('v128.xor', rotated, ir.shuffle(highest, zero, [12, 13, 14, 15, ...new Array<number>(12).fill(16)]));
}

function sha1NextE(ir: IrBuilder, a: Value, b: Value): Value {
    const e = rotateLeft(ir, ir.lane('i32x4.extract_lane', a, 3), 30);
    return ir.lane('i32x4.replace_lane', b, 3, add(ir, ir.lane('i32x4.extract_lane', b, 3), e));
}

export const SHA: SemanticTable = {
    SHA256RNDS2: sha256Rounds,
    SHA256MSG1: binary(sha256Message1),
    SHA256MSG2: binary(sha256Message2),
    SHA1RNDS4: sha1Rounds,
    SHA1MSG1: binary(sha1Message1),
    SHA1MSG2: binary(sha1Message2),
    SHA1NEXTE: binary(sha1NextE),
};
