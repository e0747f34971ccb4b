/** PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (SDM Vol. 1, 12.12; Vol. 2, 4.1). */
import { Gpr } from '../../../isa/x86/instruction';
import { StateOffset } from '../../../machine/state';
import { type IrBuilder } from '../../ir/builder';
import { type Helper, type Value } from '../../ir/function';
import { StateAccess, Type } from '../../ir/opcodes';
import { type LiftContext } from '../context';
import { type Semantic, type SemanticTable } from '../semantics';
import { fromDword, immediateByte, readVector, words } from './operands';
import { STRING_RESULT_SHIFT, StringControl } from './stringCompareHelper';

/**
 * compareStrings(immediate, length of the first, of the second): operands in the scratch area (0, 16). Lengths are in
 * elements, any i32 from 0 up; −1 means up to the first zero element. Returns the flags in their RFLAGS positions below
 * IntRes2.
 */
export const STRING_HELPER: Helper = {
    name: 'compareStrings',
    parameters: [Type.I32, Type.I32, Type.I32],
    result: Type.I32,
};

/** |rAX| or |rDX|, at most 255 (the helper cuts it to the number of elements). */
function explicitLength(c: LiftContext, register: number): Value {
    const ir = c.ir;
    const limit = ir.i32(255);
    if (c.operandWidth === 64) {
        const length = c.gpr(register, 64);
        const negative = ir.op('i64.shr_s', length, ir.i64(63));
        const size = ir.op('i64.sub', ir.op('i64.xor', length, negative), negative);
        return ir.select(ir.op('i64.gt_u', size, ir.i64(255)), limit, ir.wrap(size));
    }
    const length = c.gpr(register, 32);
    const negative = ir.op('i32.shr_s', length, ir.i32(31));
    const size = ir.op('i32.sub', ir.op('i32.xor', length, negative), negative);
    return ir.select(ir.op('i32.gt_u', size, limit), limit, size);
}

function compare(lengths: 'explicit' | 'implicit', result: 'index' | 'mask'): Semantic {
    return c => {
        const ir = c.ir;
        const second = readVector(c, 1);
        ir.set(StateOffset.scratch, StateAccess.V128, c.read(0));
        ir.set(StateOffset.scratch + 16, StateAccess.V128, second);
        const [first, last] =
            lengths === 'explicit'
                ? [explicitLength(c, Gpr.Rax), explicitLength(c, Gpr.Rdx)]
                : [ir.i32(-1), ir.i32(-1)];
        const { value: control } = immediateByte(c);
        const flags = c.call(STRING_HELPER, [control, first, last]);
        const matches = ir.op('i32.shr_u', flags, ir.i32(STRING_RESULT_SHIFT));
        if (result === 'index') {
            c.setGpr(Gpr.Rcx, 32, indexOf(ir, control, matches));
        } else {
            c.setXmm(0, maskOf(ir, control, matches));
        }
        c.setFlagsFromBits(flags);
    };
}

/** Number of the first or last matching element, or the number of elements if there is none. */
function indexOf(ir: IrBuilder, control: Value, matches: Value): Value {
    const count = ir.op('i32.shr_u', ir.i32(16), ir.op('i32.and', control, ir.i32(StringControl.Words)));
    const least = ir.op('i32.ctz', matches);
    const most = ir.op('i32.sub', ir.i32(31), ir.op('i32.clz', matches));
    const found = ir.select(ir.op('i32.and', control, ir.i32(StringControl.Most)), most, least);
    return ir.select(matches, found, count);
}

/** The matches as bits of the lowest lane, or as all ones in the elements. */
function maskOf(ir: IrBuilder, control: Value, matches: Value): Value {
    const copies = ir.op('i16x8.splat', matches);
    const bits = words(ir, 1, 2, 4, 8, 16, 32, 64, 128);
    const ofWords = ir.op('i16x8.eq', ir.op('v128.and', copies, bits), bits);
    const byteBits = ir.v128(Uint8Array.from({ length: 16 }, (_, i) => 1 << (i & 7)));
    const spread = ir.shuffle(copies, copies, [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
    const ofBytes = ir.op('i8x16.eq', ir.op('v128.and', spread, byteBits), byteBits);
    const elements = ir.select(ir.op('i32.and', control, ir.i32(StringControl.Words)), ofWords, ofBytes);
    const asElements = ir.op('i32.and', control, ir.i32(StringControl.Most));
    return ir.select(asElements, elements, fromDword(ir, matches));
}

export const STRING_COMPARE: SemanticTable = {
    PCMPESTRI: compare('explicit', 'index'),
    PCMPESTRM: compare('explicit', 'mask'),
    PCMPISTRI: compare('implicit', 'index'),
    PCMPISTRM: compare('implicit', 'mask'),
};
