/** SYSCALL and SYSRET between 64-bit code of level 3 and 0, as systems use them; the rest is the dispatcher's. */
import { Gpr, Segment } from '../../../isa/x86/instruction';
import { Efer } from '../../../machine/cpu/cpu-state';
import { Flag, ModeKey, SegmentAttribute, SegmentOffset, StateOffset, segmentOffset } from '../../../machine/state';
import { StateAccess } from '../../ir/opcodes';
import type { Value } from '../../ir/function';
import type { LiftContext } from '../context';
import { currentPrivilege, smapApplies, switchTlb } from './privilege';

const FLAT =
    SegmentAttribute.Accessed |
    SegmentAttribute.WritableOrReadable |
    SegmentAttribute.NonSystem |
    SegmentAttribute.Present |
    SegmentAttribute.Granularity;
const CODE64 = FLAT | SegmentAttribute.Code | SegmentAttribute.Long;
const DATA = FLAT | SegmentAttribute.Big;
const PRIVILEGE_MASK = 3 << ModeKey.CplShift;
/** Flags that ask for more than translated code does. */
const UNUSUAL = Flag.TF | Flag.RF | Flag.VM | Flag.VIF | Flag.VIP;
/** SYSRET takes all flags from R11 but RF, VM and the reserved ones. */
const SYSRET_FLAGS = 0x3c7fd7;

function setFlatSegment(c: LiftContext, segment: Segment, selector: Value, attributes: number): void {
    const { ir } = c;
    const at = segmentOffset(segment);
    ir.set(at + SegmentOffset.selector, StateAccess.I32, selector);
    ir.set(at + SegmentOffset.base, StateAccess.I64, ir.i64(0));
    ir.set(at + SegmentOffset.limit, StateAccess.I32, ir.i32(-1));
    ir.set(at + SegmentOffset.attributes, StateAccess.I32, ir.i32(attributes));
}

function setPrivilege(c: LiftContext, cpl: number): void {
    const { ir } = c;
    const kept = ir.op('i32.and', ir.get(StateOffset.mode, StateAccess.I32), ir.i32(~PRIVILEGE_MASK));
    ir.set(StateOffset.mode, StateAccess.I32, ir.op('i32.or', kept, ir.i32(cpl << ModeKey.CplShift)));
}

/** Leaves unless EFER.SCE is set and CPL is `cpl`. */
function requireEnabled(c: LiftContext, cpl: number): void {
    const { ir } = c;
    const disabled = ir.not(ir.op('i32.and', ir.get(StateOffset.efer, StateAccess.I32), ir.i32(Efer.SCE)));
    ir.if(ir.op('i32.or', disabled, ir.op('i32.ne', currentPrivilege(c), ir.i32(cpl))), () => c.leave());
}

export function systemCall(c: LiftContext): void {
    const { ir } = c;
    if (!c.is64) {
        c.leave();
        return;
    }
    requireEnabled(c, 3);
    const systemFlags = ir.get(StateOffset.rflags, StateAccess.I32);
    ir.if(ir.op('i32.and', systemFlags, ir.i32(UNUSUAL)), () => c.leave());
    const flags = ir.op('i32.or', systemFlags, c.flagsAsBits());
    const mask = ir.op('i32.xor', ir.get(StateOffset.sfmask, StateAccess.I32), ir.i32(-1));
    const kept = ir.op('i32.and', flags, mask);
    const selector = ir.op('i32.and', ir.get(StateOffset.star + 4, StateAccess.I32), ir.i32(0xfffc));
    c.setGpr(Gpr.Rcx, 64, c.nextRip());
    c.setGpr(Gpr.R11, 32, flags);
    setFlatSegment(c, Segment.Cs, selector, CODE64);
    setFlatSegment(c, Segment.Ss, ir.op('i32.add', selector, ir.i32(8)), DATA);
    c.setFlagsFromBits(kept);
    const cleared = ir.op('i32.and', kept, ir.i32(~Flag.Arithmetic));
    const newFlags = ir.op('i32.or', cleared, ir.i32(2));
    ir.set(StateOffset.rflags, StateAccess.I32, newFlags);
    setPrivilege(c, 0);
    // From the user tables to those of SMAP or not.
    switchTlb(c, ir.op('i32.sub', smapApplies(c, newFlags), ir.i32(2)));
    c.jumpTo(64, ir.get(StateOffset.lstar, StateAccess.I64));
}

export function systemReturn(c: LiftContext): void {
    const { ir } = c;
    if (!c.is64 || c.operandWidth !== 64) {
        c.leave();
        return;
    }
    requireEnabled(c, 0);
    const target = c.gpr(Gpr.Rcx, 64);
    const r11 = c.gpr(Gpr.R11, 32);
    // Kernel-half and non-canonical targets, unusual flags, and an interrupt that may be taken at once.
    const high = ir.wrap(ir.op('i64.shr_u', target, ir.i64(47)));
    const unusual = ir.op('i32.and', r11, ir.i32(Flag.TF | Flag.AC | Flag.VIF | Flag.VIP));
    const pending = ir.get(StateOffset.eventPending, StateAccess.I32);
    ir.if(ir.op('i32.or', ir.op('i32.or', high, unusual), pending), () => c.leave());
    const selector = ir.op('i32.shr_u', ir.get(StateOffset.star + 4, StateAccess.I32), ir.i32(16));
    const select = (offset: number): Value => {
        const sum = ir.op('i32.add', selector, ir.i32(offset));
        return ir.op('i32.or', ir.op('i32.and', sum, ir.i32(0xfffc)), ir.i32(3));
    };
    const oldFlags = ir.get(StateOffset.rflags, StateAccess.I32);
    setFlatSegment(c, Segment.Cs, select(16), CODE64 | (3 << SegmentAttribute.DplShift));
    setFlatSegment(c, Segment.Ss, select(8), DATA | (3 << SegmentAttribute.DplShift));
    switchTlb(c, ir.op('i32.sub', ir.i32(2), smapApplies(c, oldFlags)));
    c.setFlagsFromBits(r11);
    const kept = ir.op('i32.and', r11, ir.i32(SYSRET_FLAGS & ~Flag.Arithmetic));
    ir.set(StateOffset.rflags, StateAccess.I32, ir.op('i32.or', kept, ir.i32(2)));
    setPrivilege(c, 3);
    c.jumpTo(64, target);
}
