/** Insertion and extraction of single lanes (SDM Vol. 1, 10.4.4, 12.10). */
import { OperandKind } from '../../../isa/x86/instruction';
import { type IrBuilder } from '../../ir/builder';
import { type Value } from '../../ir/function';
import { Type } from '../../ir/opcodes';
import { type LiftContext } from '../context';
import { type Semantic, type SemanticTable } from '../semantics';
import {
    byteNumbers,
    choose,
    dwords,
    everyDword,
    immediateByte,
    isMmx,
    kindOf,
    readDword,
    readVector,
    writeInteger,
    writeVector,
    zeroVector,
} from './operands';

type LaneBits = 8 | 16 | 32 | 64;
const SHAPE: Readonly<Record<LaneBits, string>> = { 8: 'i8x16', 16: 'i16x8', 32: 'i32x4', 64: 'i64x2' };

/** Number of the highest lane in the register that operand i is. */
function highestLane(c: LiftContext, i: number, bits: LaneBits): number {
    return (isMmx(c, i) ? 64 : 128) / bits - 1;
}

/** In every byte the number of the lane of `bits` that it belongs to. */
function laneNumbers(ir: IrBuilder, bits: LaneBits): Value {
    return bits === 8
        ? byteNumbers(ir)
        : ir.v128(Uint8Array.from({ length: 16 }, (_, i) => Math.floor((8 * i) / bits)));
}

/** PINSRx: a general register's low part or memory into the lane that the immediate names. */
function insert(bits: LaneBits): Semantic {
    const shape = SHAPE[bits];
    return c => {
        const ir = c.ir;
        const { value, constant } = immediateByte(c);
        const source = c.read(1);
        const lane = ir.typeOf(source) === Type.I64 && bits !== 64 ? ir.wrap(source) : source;
        const highest = highestLane(c, 0, bits);
        const vector = readVector(c, 0);
        if (constant !== undefined) {
            writeVector(c, 0, ir.lane(`${shape}.replace_lane`, vector, constant & highest, lane));
            return;
        }
        const wanted = ir.op('i8x16.splat', ir.op('i32.and', value, ir.i32(highest)));
        const mask = ir.op('i8x16.eq', laneNumbers(ir, bits), wanted);
        writeVector(c, 0, choose(ir, mask, ir.op(`${shape}.splat`, lane), vector));
    };
}

/** PEXTRx, EXTRACTPS: zero-extended. */
function extract(bits: LaneBits): Semantic {
    const operation = `${SHAPE[bits]}.extract_lane${bits < 32 ? '_u' : ''}`;
    return c => {
        const ir = c.ir;
        const { value, constant } = immediateByte(c);
        const vector = readVector(c, 1);
        const highest = highestLane(c, 1, bits);
        let result: Value;
        if (constant !== undefined) {
            result = ir.lane(operation, vector, constant & highest);
        } else {
            const lane = ir.op('i32.and', value, ir.i32(highest));
            const firstByte = ir.op('i8x16.splat', ir.op('i32.mul', lane, ir.i32(bits / 8)));
            const index = ir.op('i8x16.add', firstByte, byteNumbers(ir));
            result = ir.lane(operation, ir.op('i8x16.swizzle', vector, index), 0);
        }
        if (bits === 64) {
            c.write(0, result);
        } else {
            writeInteger(c, 0, result);
        }
    };
}

/**
 * INSERTPS: immediate bits 7:6 choose the lane of a register source (memory is one lane), 5:4 where it goes, 3:0 the
 * lanes that become zero.
 */
const insertSingle: Semantic = c => {
    const ir = c.ir;
    const { value, constant } = immediateByte(c);
    const fromRegister = kindOf(c, 1) === OperandKind.Xmm;
    if (constant !== undefined) {
        const source = c.read(1);
        const lane = fromRegister ? ir.lane('i32x4.extract_lane', source, constant >> 6) : source;
        const inserted = ir.lane('i32x4.replace_lane', c.read(0), (constant >> 4) & 3, lane);
        const kept = dwords(ir, ...[0, 1, 2, 3].map(i => ((constant >> i) & 1 ? 0 : -1)));
        c.write(0, (constant & 15) === 0 ? inserted : ir.op('v128.and', inserted, kept));
        return;
    }
    let lane: Value;
    if (fromRegister) {
        const firstByte = ir.op('i32.shl', ir.op('i32.shr_u', value, ir.i32(6)), ir.i32(2));
        const index = ir.op('i8x16.add', ir.op('i8x16.splat', firstByte), everyDword(ir, 0x03020100));
        lane = ir.op('i8x16.swizzle', c.read(1), index);
    } else {
        lane = ir.op('i32x4.splat', readDword(c, 1));
    }
    const wanted = ir.op('i32.and', ir.op('i32.shr_u', value, ir.i32(4)), ir.i32(3));
    const mask = ir.op('i8x16.eq', laneNumbers(ir, 32), ir.op('i8x16.splat', wanted));
    const inserted = choose(ir, mask, lane, c.read(0));
    const bits = dwords(ir, 1, 2, 4, 8);
    const kept = ir.op('i32x4.eq', ir.op('v128.and', ir.op('i32x4.splat', value), bits), zeroVector(ir));
    c.write(0, ir.op('v128.and', inserted, kept));
};

export const LANES: SemanticTable = {
    PINSRB: insert(8),
    PINSRW: insert(16),
    PINSRD: insert(32),
    PINSRQ: insert(64),
    PEXTRB: extract(8),
    PEXTRW: extract(16),
    PEXTRD: extract(32),
    PEXTRQ: extract(64),
    EXTRACTPS: extract(32),
    INSERTPS: insertSingle,
};
