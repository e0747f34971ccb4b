/** Near branches (SDM Vol. 2: JMP, Jcc, CALL, RET, LOOPcc, JCXZ) and BOUND. */
import { Gpr, OperandKind } from '../../../isa/x86/instruction';
import { type Value } from '../../ir/function';
import { type LiftContext, Vector } from '../context';
import { Condition, type Width } from '../flags';
import { type Semantic, type SemanticTable } from '../semantics';
import { forEachCondition } from './conditions';

function isRelative(c: LiftContext): boolean {
    return c.instruction.operands[0].kind === OperandKind.Relative;
}

function jump(c: LiftContext): void {
    if (isRelative(c)) {
        c.flushFlags();
        c.checkRelativeTarget();
        c.jumpToImmediate();
    } else {
        const target = c.read(0);
        c.checkTarget(c.operandWidth, target);
        c.jumpTo(c.operandWidth, target);
    }
}

function jumpIf(code: Condition): Semantic {
    return c => c.branchIf(c.condition(code));
}

function call(c: LiftContext): void {
    const width = c.operandWidth;
    // Before the push: the target may be addressed by rSP, or be rSP.
    const target = isRelative(c) ? undefined : c.read(0);
    if (target === undefined) {
        c.checkRelativeTarget();
    } else {
        const bytes = width / 8;
        c.checkTarget(width, target, () => {
            c.load(width, c.stackAddress(c.stackPointer(-bytes), bytes, true), true);
        });
    }
    c.push(width, c.resizeUnsigned(c.nextRip(), 64, width));
    if (target === undefined) {
        c.flushFlags();
        c.jumpToImmediate();
    } else {
        c.jumpTo(width, target);
    }
}

function returnNear(c: LiftContext): void {
    const { ir } = c;
    const width = c.operandWidth;
    const target = c.peek(width);
    c.checkTarget(width, target);
    let pointer = c.stackPointer(width / 8);
    if (c.instruction.operands.length > 0) {
        pointer = c.cutToStack(ir.op('i64.add', pointer, ir.extendU(c.read(0))));
    }
    c.setStackPointer(pointer);
    c.jumpTo(width, target);
}

/** Decrements the counter, whose width is the address size; branches while it is not zero and `also` holds. */
function loop(also?: Condition.E | Condition.NE): Semantic {
    return c => {
        const { ir } = c;
        const width = c.instruction.addressSize;
        const count = c.integer(width, 'sub', c.gpr(Gpr.Rcx, width), c.constant(width, 1));
        c.setGpr(Gpr.Rcx, width, count);
        const goOn = ir.not(c.isZero(width, count));
        c.branchIf(also === undefined ? goOn : ir.op('i32.and', goOn, c.condition(also)));
    };
}

function jumpIfCounterIsZero(c: LiftContext): void {
    const width = c.instruction.addressSize;
    c.branchIf(c.isZero(width, c.gpr(Gpr.Rcx, width)));
}

/** #BR unless the signed index lies between the two bounds in memory, both included. */
function bound(c: LiftContext): void {
    const { ir } = c;
    const width = c.widthOf(0);
    const bytes = width / 8;
    const signed = (value: Value): Value => c.signed(width as Width, value);
    const index = signed(c.read(0));
    // Two accesses: a page fault of the first comes before the limit that the second exceeds.
    const lower = signed(c.load(width, c.memoryOperand(bytes, false)));
    const lowerAddress = c.memoryOperand(2 * bytes, false);
    const upperAddress = ir.op('i64.and', ir.op('i64.add', lowerAddress, ir.i64(bytes)), ir.i64(-1, 0));
    const upper = signed(c.load(width, upperAddress));
    const outside = ir.op('i32.or', ir.op('i32.lt_s', index, lower), ir.op('i32.gt_s', index, upper));
    ir.if(outside, () => c.raise(Vector.BR));
}

export const BRANCH: SemanticTable = {
    JMP: jump,
    ...forEachCondition('J', jumpIf),
    CALL: call,
    RET: returnNear,
    LOOP: loop(),
    LOOPE: loop(Condition.E),
    LOOPNE: loop(Condition.NE),
    JCXZ: jumpIfCounterIsZero,
    JECXZ: jumpIfCounterIsZero,
    JRCXZ: jumpIfCounterIsZero,
    BOUND: bound,
};
