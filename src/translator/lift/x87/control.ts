/**
 * Control instructions (Intel SDM Vol. 1, 5.2.6; Vol. 2: FNINIT, FLDCW, FNSTCW, FNSTSW, FNCLEX, FINCSTP, FDECSTP, FFREE,
 * FNOP, FWAIT), and the 8087 and 80287 ones that do nothing. They need no helper.
 *
 * The "N" forms do not wait: they neither deliver a pending exception nor touch the last-instruction pointers.
 */

import { ModeKey, StateOffset } from '../../../machine/state';
import { type Value } from '../../ir/function';
import { StateAccess } from '../../ir/opcodes';
import { type LiftContext, Vector } from '../context';
import { deliverPending, memoryOperand, waiting } from './frame';
import { type X87Family } from './helper';
import { CONTROL_WORD_BITS, CONTROL_WORD_FIXED, INITIAL_CONTROL_WORD, Status } from './registers';

const CR0_MP = 1 << 1;
const CR0_TS = 1 << 3;
/** Each of the eight "empty" bytes set. */
const ALL_EMPTY = 0x01010101;

/** Puts the unit into the state that FNINIT and FNSAVE leave (SDM Vol. 2, FINIT). Register contents stay. */
export function initialize(c: LiftContext): void {
    const { ir } = c;
    const zero = ir.i32(0);
    ir.set(StateOffset.fcw, StateAccess.I32, ir.i32(INITIAL_CONTROL_WORD));
    ir.set(StateOffset.fempty, StateAccess.I64, ir.i64(ALL_EMPTY, ALL_EMPTY));
    for (const field of [StateOffset.fsw, StateOffset.ftop, StateOffset.fop, StateOffset.fcs, StateOffset.fds]) {
        ir.set(field, StateAccess.I32, zero);
    }
    ir.set(StateOffset.fip, StateAccess.I64, ir.i64(0));
    ir.set(StateOffset.fdp, StateAccess.I64, ir.i64(0));
}

/** The status word with TOP in its place. */
function statusWord(c: LiftContext): Value {
    const { ir } = c;
    const top = ir.op('i32.shl', ir.get(StateOffset.ftop, StateAccess.I32), ir.i32(Status.TopShift));
    return ir.op('i32.or', ir.get(StateOffset.fsw, StateAccess.I32), top);
}

/** Unmasking an exception whose flag is set makes it pending, masking it takes it back. */
function loadControlWord(c: LiftContext): void {
    const { ir } = c;
    deliverPending(c);
    const word = c.load(16, memoryOperand(c, 2, false).linear);
    const control = ir.op('i32.or', ir.op('i32.and', word, ir.i32(CONTROL_WORD_BITS)), ir.i32(CONTROL_WORD_FIXED));
    ir.set(StateOffset.fcw, StateAccess.I32, control);
    const status = ir.get(StateOffset.fsw, StateAccess.I32);
    const masked = ir.op('i32.or', control, ir.i32(~Status.Exceptions));
    const pending = ir.op('i32.and', status, ir.op('i32.xor', masked, ir.i32(-1)));
    const summary = ir.i32(Status.ErrorSummary | Status.Busy);
    const rest = ir.op('i32.and', status, ir.i32(~(Status.ErrorSummary | Status.Busy)));
    ir.set(StateOffset.fsw, StateAccess.I32, ir.op('i32.or', rest, ir.select(pending, summary, ir.i32(0))));
}

/** Moves TOP by 1 or −1 without touching a tag. */
function rotate(c: LiftContext, by: number): void {
    const { ir } = c;
    const top = ir.op('i32.add', ir.get(StateOffset.ftop, StateAccess.I32), ir.i32(by));
    ir.set(StateOffset.ftop, StateAccess.I32, ir.op('i32.and', top, ir.i32(7)));
    clearC1(c);
}

function clearC1(c: LiftContext): void {
    const { ir } = c;
    const status = ir.get(StateOffset.fsw, StateAccess.I32);
    ir.set(StateOffset.fsw, StateAccess.I32, ir.op('i32.and', status, ir.i32(~Status.C1)));
}

/** Marks ST(i) empty; FFREEP, undocumented, pops besides. */
function free(c: LiftContext, pops: boolean): void {
    const { ir } = c;
    const top = ir.get(StateOffset.ftop, StateAccess.I32);
    const physical = ir.op('i32.and', ir.op('i32.add', top, c.stackRegister(0)), ir.i32(7));
    ir.setIndexed(StateOffset.fempty, physical, StateAccess.U8, ir.i32(1));
    if (pops) {
        ir.setIndexed(StateOffset.fempty, top, StateAccess.U8, ir.i32(1));
        const next = ir.op('i32.and', ir.op('i32.add', top, ir.i32(1)), ir.i32(7));
        ir.set(StateOffset.ftop, StateAccess.I32, next);
    }
    clearC1(c);
}

/**
 * FWAIT obeys CR0.MP and CR0.TS, not CR0.EM (SDM Vol. 3, table 2-2), unlike every other x87 instruction; so it has to be
 * lifted in code whose mode key lacks {@link ModeKey.X87Usable}, too.
 */
function wait(c: LiftContext): void {
    const { ir } = c;
    if ((c.mode & ModeKey.X87Usable) === 0) {
        const both = CR0_MP | CR0_TS;
        const bits = ir.op('i32.and', ir.get(StateOffset.cr0, StateAccess.I32), ir.i32(both));
        ir.if(ir.op('i32.eq', bits, ir.i32(both)), () => c.raise(Vector.NM));
    }
    deliverPending(c);
}

function nothing(): void {}

export const CONTROL: X87Family = {
    semantics: {
        FNINIT: initialize,
        FLDCW: loadControlWord,
        FNSTCW: c => c.write(0, c.ir.get(StateOffset.fcw, StateAccess.U16)),
        FNSTSW: c => c.write(0, statusWord(c)),
        FNCLEX: c => {
            const kept = c.ir.i32(Status.Conditions);
            const status = c.ir.get(StateOffset.fsw, StateAccess.I32);
            c.ir.set(StateOffset.fsw, StateAccess.I32, c.ir.op('i32.and', status, kept));
        },
        FINCSTP: waiting(c => rotate(c, 1)),
        FDECSTP: waiting(c => rotate(c, -1)),
        FFREE: waiting(c => free(c, false)),
        FFREEP: waiting(c => free(c, true)),
        FNOP: waiting(nothing),
        FWAIT: wait,
        FNENI: nothing,
        FNDISI: nothing,
        FNSETPM: nothing,
    },
    helpers: [],
};
