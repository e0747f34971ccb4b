/**
 * System instructions that are frequent enough to run inside translated code: the ordinary case in IR, every other one
 * handed to the CPU system operations by `leave`.
 */
import { Gpr, Segment } from '../../../isa/x86/instruction';
import { Cr4 } from '../../../machine/cpu/cpu-state';
import { Flag, SegmentOffset, StateOffset, segmentOffset } from '../../../machine/state';
import { StateAccess } from '../../ir/opcodes';
import type { LiftContext } from '../context';
import type { SemanticTable } from '../semantics';
import { currentPrivilege, smapApplies, switchTlb } from './privilege';
import { systemCall, systemReturn } from './system-calls';

/** EDX:EAX = TSC (SDM Vol. 2, RDTSC): instructions retired drive it, so it is known from what is left of the slice. */
function readTimeStamp(c: LiftContext): void {
    const { ir } = c;
    // With CR4.TSD it depends on CPL.
    const disabled = ir.op('i32.and', ir.get(StateOffset.cr4, StateAccess.I32), ir.i32(Cr4.TSD));
    ir.if(disabled, () => c.leave());
    const left = ir.op('i64.add', ir.get(StateOffset.remaining, StateAccess.I64), c.unexecuted());
    const tsc = ir.op('i64.sub', ir.get(StateOffset.tscAtSliceEnd, StateAccess.I64), left);
    c.setGpr(Gpr.Rax, 32, ir.wrap(tsc));
    c.setGpr(Gpr.Rdx, 32, ir.wrap(ir.op('i64.shr_u', tsc, ir.i64(32))));
}

function readTimeStampAndProcessor(c: LiftContext): void {
    readTimeStamp(c);
    c.setGpr(Gpr.Rcx, 32, c.ir.get(StateOffset.tscAux, StateAccess.I32));
}

/** Clears IF where CPL ≤ IOPL; virtual interrupts and #GP are the dispatcher's. */
function clearInterruptFlag(c: LiftContext): void {
    const { ir } = c;
    const flags = ir.get(StateOffset.rflags, StateAccess.I32);
    const iopl = ir.op('i32.and', ir.op('i32.shr_u', flags, ir.i32(12)), ir.i32(3));
    ir.if(ir.op('i32.gt_u', currentPrivilege(c), iopl), () => c.leave());
    ir.set(StateOffset.rflags, StateAccess.I32, ir.op('i32.and', flags, ir.i32(~Flag.IF)));
}

/**
 * Sets IF where CPL ≤ IOPL. Its shadow over the next instruction can only be seen if an event waits already or the slice
 * ends before that instruction: then the dispatcher does it.
 */
function setInterruptFlag(c: LiftContext): void {
    const { ir } = c;
    const flags = ir.get(StateOffset.rflags, StateAccess.I32);
    const iopl = ir.op('i32.and', ir.op('i32.shr_u', flags, ir.i32(12)), ir.i32(3));
    const left = ir.op('i64.add', ir.get(StateOffset.remaining, StateAccess.I64), c.unexecuted());
    const last = ir.op('i64.le_s', left, ir.i64(1));
    const pending = ir.get(StateOffset.eventPending, StateAccess.I32);
    const denied = ir.op('i32.gt_u', currentPrivilege(c), iopl);
    ir.if(ir.op('i32.or', ir.op('i32.or', denied, last), pending), () => c.leave());
    ir.set(StateOffset.rflags, StateAccess.I32, ir.op('i32.or', flags, ir.i32(Flag.IF)));
}

/** STAC and CLAC: RFLAGS.AC, and with it whether SMAP applies. */
function setAccessCheck(c: LiftContext, set: boolean): void {
    const { ir } = c;
    // Without CR4.SMAP they are still defined, but rare; at other levels #UD.
    ir.if(currentPrivilege(c), () => c.leave());
    const flags = ir.get(StateOffset.rflags, StateAccess.I32);
    const changed = ir.op(set ? 'i32.or' : 'i32.and', flags, ir.i32(set ? Flag.AC : ~Flag.AC));
    switchTlb(c, ir.op('i32.sub', smapApplies(c, changed), smapApplies(c, flags)));
    ir.set(StateOffset.rflags, StateAccess.I32, changed);
}

function swapGs(c: LiftContext): void {
    const { ir } = c;
    ir.if(currentPrivilege(c), () => c.leave());
    const base = segmentOffset(Segment.Gs) + SegmentOffset.base;
    const current = ir.get(base, StateAccess.I64);
    const other = ir.get(StateOffset.kernelGsBase, StateAccess.I64);
    ir.set(base, StateAccess.I64, other);
    ir.set(StateOffset.kernelGsBase, StateAccess.I64, current);
}

export const systemSemantics: SemanticTable = {
    RDTSC: readTimeStamp,
    RDTSCP: readTimeStampAndProcessor,
    CLI: clearInterruptFlag,
    STI: setInterruptFlag,
    STAC: c => setAccessCheck(c, true),
    CLAC: c => setAccessCheck(c, false),
    SWAPGS: swapGs,
    SYSCALL: systemCall,
    SYSRET: systemReturn,
};
