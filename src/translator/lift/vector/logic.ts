/** Bitwise logic, blends and tests on vectors (SDM Vol. 1, 9.4.6, 10.4.2, 11.4.2, 12.10). */
import { type LiftContext } from '../context';
import { type IrBuilder } from '../../ir/builder';
import { type Value } from '../../ir/function';
import { type Semantic, type SemanticTable } from '../semantics';
import {
    binary,
    choose,
    immediateByte,
    lanewise,
    readVector,
    signMask,
    words,
    dwords,
    writeVector,
    zeroVector,
} from './operands';

const and = lanewise('v128.and');
const or = lanewise('v128.or');

/** XOR and PXOR; of a register with itself it is the usual way to make zero. */
const xor: Semantic = c => {
    if (c.sameRegister(0, 1)) {
        writeVector(c, 0, zeroVector(c.ir));
    } else {
        lanewise('v128.xor')(c);
    }
};

/** Not destination, and source. */
const andNot = binary((ir, a, b) => ir.op('v128.andnot', b, a));

/** PTEST: ZF if no bit of the source is set in the destination, CF if all of them are; other flags are cleared. */
const test: Semantic = c => {
    const ir = c.ir;
    const b = readVector(c, 1);
    const a = c.read(0);
    const common = ir.op('v128.any_true', ir.op('v128.and', a, b));
    const lacking = ir.op('v128.any_true', ir.op('v128.andnot', b, a));
    const carry = ir.not(lacking);
    c.setFlagsFromBits(ir.op('i32.or', carry, ir.op('i32.shl', ir.not(common), ir.i32(6))));
};

/** BLENDVPS, BLENDVPD, PBLENDVB: the lanes of the source whose top bit is set in XMM0. */
function blendByRegister(shape: string): Semantic {
    return c => {
        const b = readVector(c, 1);
        writeVector(c, 0, choose(c.ir, signMask(c.ir, shape, c.read(2)), b, c.read(0)));
    };
}

/** BLENDPS, BLENDPD, PBLENDW: the lanes of the source whose bit is set in the immediate. */
function blendByImmediate(shape: 'i16x8' | 'i32x4' | 'i64x2'): Semantic {
    return c => {
        const b = readVector(c, 1);
        writeVector(c, 0, choose(c.ir, laneMask(c, shape), b, c.read(0)));
    };
}

/** All ones in the lanes whose bit is set in the immediate. */
function laneMask(c: LiftContext, shape: 'i16x8' | 'i32x4' | 'i64x2'): Value {
    const ir = c.ir;
    const { value, constant } = immediateByte(c);
    const bytes = shape === 'i16x8' ? 2 : shape === 'i32x4' ? 4 : 8;
    if (constant !== undefined) {
        return ir.v128(Uint8Array.from({ length: 16 }, (_, i) => ((constant >> Math.floor(i / bytes)) & 1 ? 0xff : 0)));
    }
    const bits = laneBits(ir, shape);
    const splat = shape === 'i16x8' ? 'i16x8' : 'i32x4';
    const selected = ir.op('v128.and', ir.op(`${splat}.splat`, value), bits);
    return ir.op(`${splat}.eq`, selected, bits);
}

/** In each lane the immediate's bit that selects it. */
function laneBits(ir: IrBuilder, shape: 'i16x8' | 'i32x4' | 'i64x2'): Value {
    switch (shape) {
        case 'i16x8':
            return words(ir, 1, 2, 4, 8, 16, 32, 64, 128);
        case 'i32x4':
            return dwords(ir, 1, 2, 4, 8);
        case 'i64x2':
            return dwords(ir, 1, 1, 2, 2);
    }
}

export const LOGIC: SemanticTable = {
    PAND: and,
    ANDPS: and,
    ANDPD: and,
    POR: or,
    ORPS: or,
    ORPD: or,
    PXOR: xor,
    XORPS: xor,
    XORPD: xor,
    PANDN: andNot,
    ANDNPS: andNot,
    ANDNPD: andNot,
    PTEST: test,
    PBLENDVB: blendByRegister('i8x16'),
    BLENDVPS: blendByRegister('i32x4'),
    BLENDVPD: blendByRegister('i64x2'),
    PBLENDW: blendByImmediate('i16x8'),
    BLENDPS: blendByImmediate('i32x4'),
    BLENDPD: blendByImmediate('i64x2'),
};
