/** Privilege and the choice of the soft TLB, as IR. */
import { ModeKey, StateOffset, Tlb } from '../../../machine/state';
import { StateAccess } from '../../ir/opcodes';
import type { Value } from '../../ir/function';
import type { LiftContext } from '../context';

const SMAP_BIT = 21;
const AC_BIT = 18;

/** CPL as i32: that of the code being run; a handler serves all privilege levels. */
export function currentPrivilege(c: LiftContext): Value {
    const { ir } = c;
    const mode = ir.get(StateOffset.mode, StateAccess.I32);
    return ir.op('i32.and', ir.op('i32.shr_u', mode, ir.i32(ModeKey.CplShift)), ir.i32(3));
}

/** 1 if supervisor accesses to user pages fault: CR4.SMAP is set and RFLAGS.AC, in `flags`, is clear. */
export function smapApplies(c: LiftContext, flags: Value): Value {
    const { ir } = c;
    const smap = ir.op('i32.shr_u', ir.get(StateOffset.cr4, StateAccess.I32), ir.i32(SMAP_BIT));
    const noAc = ir.op('i32.xor', ir.op('i32.shr_u', flags, ir.i32(AC_BIT)), ir.i32(1));
    return ir.op('i32.and', ir.op('i32.and', smap, noAc), ir.i32(1));
}

/** Selects the soft TLB that is `distance` (i32) MMU modes further (see `MmuMode`). */
export function switchTlb(c: LiftContext, distance: Value): void {
    const { ir } = c;
    const bytes = ir.op('i32.mul', distance, ir.i32(Tlb.modeSize));
    ir.set(StateOffset.tlb, StateAccess.I32, ir.op('i32.add', ir.get(StateOffset.tlb, StateAccess.I32), bytes));
}
