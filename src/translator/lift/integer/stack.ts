/** The stack (SDM Vol. 2: PUSH, POP, PUSHA, POPA, PUSHF, ENTER, LEAVE; Vol. 1, chapter 6). */
import { Gpr } from '../../../isa/x86/instruction';
import { Flag, ModeKey, StateOffset, gprOffset } from '../../../machine/state';
import { type Value } from '../../ir/function';
import { StateAccess } from '../../ir/opcodes';
import { type LiftContext } from '../context';
import { type Semantic, type SemanticTable } from '../semantics';

/** Selectors are pushed zero-extended to the operand size, as AMD64 CPUs do. */
function push(c: LiftContext): void {
    const width = c.operandWidth;
    c.push(width, c.resizeUnsigned(c.read(0), c.widthOf(0), width));
}

function pop(c: LiftContext): void {
    const width = c.operandWidth;
    if (!c.isMemory(0)) {
        c.write(0, c.pop(width));
        return;
    }
    // A destination addressed by rSP is addressed by its incremented value; rSP itself changes only after the store.
    const { ir } = c;
    const value = c.peek(width);
    const pointer = c.stackPointer(width / 8);
    const before = ir.get(gprOffset(Gpr.Rsp), StateAccess.I64);
    c.setStackPointer(pointer);
    const offset = c.effectiveAddress();
    ir.set(gprOffset(Gpr.Rsp), StateAccess.I64, before);
    c.store(width, c.linear(offset, width / 8, true), value);
    c.setStackPointer(pointer);
}

/** Address and width of each store of PUSHA, load of POPA: `slot` counts operand sizes from the stack pointer. */
function slotAddress(c: LiftContext, slot: number, forWrite: boolean): Value {
    const bytes = c.operandWidth / 8;
    return c.stackAddress(c.stackPointer(slot * bytes), bytes, forWrite);
}

function pushAll(c: LiftContext): void {
    const width = c.operandWidth;
    for (let register = Gpr.Rax; register <= Gpr.Rdi; register++) {
        c.store(width, slotAddress(c, -1 - register, true), c.gpr(register, width));
    }
    c.setStackPointer(c.stackPointer(-width));
}

function popAll(c: LiftContext): void {
    const width = c.operandWidth;
    const values: Value[] = [];
    for (let slot = 0; slot < 8; slot++) {
        values.push(c.load(width, slotAddress(c, slot, false)));
    }
    const pointer = c.stackPointer(width);
    values.forEach((value, slot) => {
        const register = Gpr.Rdi - slot;
        if (register !== Gpr.Rsp) {
            c.setGpr(register, width, value);
        }
    });
    c.setStackPointer(pointer);
}

/** In virtual-8086 mode it depends on IOPL and CR4.VME: a system operation. The image has VM and RF clear. */
function pushFlags(c: LiftContext): void {
    if ((c.mode & ModeKey.Virtual8086) !== 0) {
        c.system();
        return;
    }
    const { ir } = c;
    const others = ir.op(
        'i32.and',
        ir.get(StateOffset.rflags, StateAccess.I32),
        ir.i32(~(Flag.RF | Flag.VM | Flag.Arithmetic)),
    );
    const image = ir.op('i32.or', others, c.flagsAsBits());
    c.push(c.operandWidth, c.resizeUnsigned(image, 32, c.operandWidth));
}

/** The stack pointer register in full after its stack-sized part became `pointer`. */
function fullStackPointer(c: LiftContext, pointer: Value): Value {
    if (c.stackWidth !== 16) {
        return pointer;
    }
    const { ir } = c;
    const kept = ir.op('i64.and', ir.get(gprOffset(Gpr.Rsp), StateAccess.I64), ir.i64(~0xffff));
    return ir.op('i64.or', kept, pointer);
}

function enter(c: LiftContext): void {
    const { ir } = c;
    const width = c.operandWidth;
    const bytes = width / 8;
    const allocation = ir.extendU(c.read(0));
    const level = ir.op('i32.and', c.read(1), ir.i32(31));

    const framePointer = c.stackPointer(-bytes);
    const frame = c.resizeUnsigned(fullStackPointer(c, framePointer), 64, width);
    const storeAt = (pointer: Value, value: Value): void => c.store(width, c.stackAddress(pointer, bytes, true), value);
    const below = (pointer: Value): Value => c.cutToStack(ir.op('i64.sub', pointer, ir.i64(bytes)));

    // The display that is copied may overlap the copies: a second run would copy something else.
    c.interpretWhen(ir.op('i32.gt_u', level, ir.i32(1)));
    storeAt(framePointer, c.gpr(Gpr.Rbp, width));
    const stack = ir.variable(framePointer);
    const display = ir.variable(c.gpr(Gpr.Rbp, 64));
    const left = ir.variable(level);
    ir.if(ir.op('i32.gt_u', level, ir.i32(1)), () => {
        // Copies the enclosing procedures' frame pointers.
        ir.loop(() => {
            const from = below(ir.getVariable(display));
            ir.setVariable(display, from);
            const to = below(ir.getVariable(stack));
            ir.setVariable(stack, to);
            storeAt(to, c.load(width, c.stackAddress(from, bytes, false)));
            const rest = ir.op('i32.sub', ir.getVariable(left), ir.i32(1));
            ir.setVariable(left, rest);
            return ir.op('i32.gt_u', rest, ir.i32(1));
        });
    });
    ir.if(level, () => {
        const to = below(ir.getVariable(stack));
        ir.setVariable(stack, to);
        storeAt(to, frame);
    });
    const last = c.cutToStack(ir.op('i64.sub', ir.getVariable(stack), allocation));
    // SDM Vol. 2, ENTER: it faults whenever a write at the final stack pointer would.
    c.load(width, c.stackAddress(last, bytes, true), true);
    c.setGpr(Gpr.Rbp, width, frame);
    c.setStackPointer(last);
}

function leave(c: LiftContext): void {
    const { ir } = c;
    const width = c.operandWidth;
    const bytes = width / 8;
    const frame = c.cutToStack(c.gpr(Gpr.Rbp, 64));
    const saved = c.load(width, c.stackAddress(frame, bytes, false));
    c.setStackPointer(c.cutToStack(ir.op('i64.add', frame, ir.i64(bytes))));
    c.setGpr(Gpr.Rbp, width, saved);
}

const both = (first: string, second: string, semantic: Semantic): SemanticTable => ({
    [first]: semantic,
    [second]: semantic,
});

export const STACK: SemanticTable = {
    PUSH: push,
    POP: pop,
    ...both('PUSHA', 'PUSHAD', pushAll),
    ...both('POPA', 'POPAD', popAll),
    ...both('PUSHF', 'PUSHFD', pushFlags),
    PUSHFQ: pushFlags,
    ENTER: enter,
    LEAVE: leave,
};
