/** PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (SDM Vol. 1, 12.12; Vol. 2, 4.1). */
import { Gpr } from '../../../isa/x86/instruction';
import { StateOffset } from '../../../machine/state';
import { type Helper, type Value } from '../../ir/function';
import { StateAccess, Type } from '../../ir/opcodes';
import { type LiftContext } from '../context';
import { type Semantic, type SemanticTable } from '../semantics';
import { immediateByte, readVector } from './operands';
import { STRING_RESULT } from './stringCompareHelper';

/**
 * compareStrings(immediate, length of the first, of the second): operands in the scratch area (0, 16). Lengths are in
 * elements, any i32 from 0 up; −1 means up to the first zero element. Leaves index and mask in the scratch area, see
 * {@link STRING_RESULT}, and returns the flags in their RFLAGS positions.
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
        const flags = c.call(STRING_HELPER, [immediateByte(c).value, first, last]);
        if (result === 'index') {
            const index = ir.get(StateOffset.scratch + STRING_RESULT.index, StateAccess.I32);
            c.setGpr(Gpr.Rcx, 32, index);
        } else {
            c.setXmm(0, ir.get(StateOffset.scratch + STRING_RESULT.mask, StateAccess.V128));
        }
        c.setFlagsFromBits(flags);
    };
}

export const STRING_COMPARE: SemanticTable = {
    PCMPESTRI: compare('explicit', 'index'),
    PCMPESTRM: compare('explicit', 'mask'),
    PCMPISTRI: compare('implicit', 'index'),
    PCMPISTRM: compare('implicit', 'mask'),
};
