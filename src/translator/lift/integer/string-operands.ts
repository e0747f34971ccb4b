/** Operands of string instructions (SDM Vol. 1, 7.3.9): DS:rSI with segment override, ES:rDI, and their step. */
import { Gpr, Segment } from '../../../isa/x86/instruction';
import { Flag, ModeKey, StateOffset } from '../../../machine/state';
import { type Value } from '../../ir/function';
import { StateAccess } from '../../ir/opcodes';
import { type LiftContext } from '../context';

type IndexRegister = Gpr.Rsi | Gpr.Rdi;

/** rSI or rDI: the offset as i64. */
export function indexOffset(c: LiftContext, register: IndexRegister): Value {
    const addressSize = c.instruction.addressSize;
    return c.resizeUnsigned(c.gpr(register, addressSize), addressSize, 64);
}

/** Adds an i64 to rSI or rDI at the address size. */
export function advance(c: LiftContext, register: IndexRegister, by: Value): void {
    const addressSize = c.instruction.addressSize;
    const sum = c.ir.op('i64.add', indexOffset(c, register), by);
    c.setGpr(register, addressSize, c.resizeUnsigned(sum, 64, addressSize));
}

/** Linear address of the source element. */
export function sourceAddress(c: LiftContext, bytes: number): Value {
    return c.linear(indexOffset(c, Gpr.Rsi), bytes, false);
}

/** Linear address of the destination element: in ES whatever the prefixes. */
export function destinationAddress(c: LiftContext, bytes: number, forWrite: boolean): Value {
    const offset = indexOffset(c, Gpr.Rdi);
    return isFlat(c, Segment.Es) ? offset : c.segmented(Segment.Es, offset, bytes, forWrite);
}

/**
 * True where offsets in the segment are linear addresses (base zero, no limit): then a page of offsets is a page of
 * memory, and neither the segment's limit nor the address size can end inside it.
 */
export function isFlat(c: LiftContext, segment: number): boolean {
    if (segment === Segment.Fs || segment === Segment.Gs) {
        return false;
    }
    if (c.is64) {
        return true;
    }
    return (c.mode & ModeKey.Flat) !== 0 && (segment !== Segment.Cs || (c.mode & ModeKey.FlatCode) !== 0);
}

/** Not zero when DF is set: strings are processed from high to low addresses. */
export function directionFlag(c: LiftContext): Value {
    return c.ir.op('i32.and', c.ir.get(StateOffset.rflags, StateAccess.I32), c.ir.i32(Flag.DF));
}

/** What each element adds to the index registers: its size in bytes, negative when DF is set; i64. */
export function elementStep(c: LiftContext, bytes: number): Value {
    const { ir } = c;
    return ir.select(directionFlag(c), ir.i64(-bytes), ir.i64(bytes));
}
