/**
 * Instructions that change nothing a program can see here: hints, and fences, as memory accesses happen in program order.
 * Their memory operands are not accessed (SDM Vol. 2: NOP, PREFETCHh). ENDBR and RDSSP do nothing without CET.
 */
import { PATIENCE, StateOffset } from '../../../machine/state';
import { StateAccess } from '../../ir/opcodes';
import { type Semantic, type SemanticTable } from '../semantics';

const nothing: Semantic = () => {};

/** Counts; the machine is told now and then of a program that waits. */
const pause: Semantic = c => {
    const { ir } = c;
    const pauses = ir.get(StateOffset.pauses, StateAccess.I32);
    ir.if(ir.op('i32.ge_u', pauses, ir.i32(PATIENCE)), () => c.leave());
    ir.set(StateOffset.pauses, StateAccess.I32, ir.op('i32.add', pauses, ir.i32(1)));
};

export const HINT: SemanticTable = {
    NOP: nothing,
    PAUSE: pause,
    PREFETCHNTA: nothing,
    PREFETCHT0: nothing,
    PREFETCHT1: nothing,
    PREFETCHT2: nothing,
    PREFETCH: nothing,
    PREFETCHW: nothing,
    PREFETCHWT1: nothing,
    LFENCE: nothing,
    MFENCE: nothing,
    SFENCE: nothing,
    ENDBR32: nothing,
    ENDBR64: nothing,
    RDSSP: nothing,
};
