/** Writing some of the arithmetic flags and keeping the others. */
import { FlagAux } from '../../../machine/state';
import { type Value } from '../../ir/function';
import { type LiftContext } from '../context';
import { Condition } from '../flags';

/** Writes CF (i32 0/1) and keeps OF, SF, ZF, AF and PF. */
export function setCarry(c: LiftContext, carry: Value): void {
    setCarryAndOverflow(c, carry, c.condition(Condition.O));
}

/** Writes OF (i32 0/1) and keeps CF, SF, ZF, AF and PF. */
export function setOverflow(c: LiftContext, overflow: Value): void {
    setCarryAndOverflow(c, c.carry(), overflow);
}

/** Writes CF and OF (i32 0/1) and keeps SF, ZF, AF and PF. */
export function setCarryAndOverflow(c: LiftContext, carry: Value, overflow: Value): void {
    const ir = c.ir;
    const { result, aux } = c.flagState();
    const kept = ir.op('i32.and', aux, ir.i32(~(FlagAux.CF | FlagAux.CarryIn)));
    const carryIn = ir.op('i32.xor', carry, overflow);
    const top = ir.op('i32.or', ir.op('i32.shl', carry, ir.i32(31)), ir.op('i32.shl', carryIn, ir.i32(30)));
    c.setFlagsRaw(result, ir.op('i32.or', kept, top));
}

/** Writes ZF (i32 0/1) and CF, and clears OF, SF, AF and PF: what the bit counting instructions leave. */
export function setZeroAndCarryOnly(c: LiftContext, zero: Value, carry: Value): void {
    const ir = c.ir;
    // flagResult is 1 unless ZF is set; where it is 0, the correction makes its parity odd.
    const correction = ir.op('i32.shl', zero, ir.i32(FlagAux.ParityShift));
    const top = ir.op('i32.or', ir.op('i32.shl', carry, ir.i32(31)), ir.op('i32.shl', carry, ir.i32(30)));
    c.setFlagsRaw(ir.extendU(ir.not(zero)), ir.op('i32.or', top, correction));
}

/** Lets `set` write the flags; they keep their old values where the i32 `condition` turns out to be zero. */
export function setFlagsWhen(c: LiftContext, condition: Value, set: () => void): void {
    const ir = c.ir;
    if (ir.isConst(condition)) {
        if (!ir.isConstEqual(condition, 0)) {
            set();
        }
        return;
    }
    const before = c.flagState();
    set();
    const after = c.flagState();
    c.setFlagsRaw(ir.select(condition, after.result, before.result), ir.select(condition, after.aux, before.aux));
}
