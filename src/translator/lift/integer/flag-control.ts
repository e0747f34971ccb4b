/** Flags as operands (SDM Vol. 2: LAHF, SAHF, CLC, STC, CMC, CLD, STD, SALC). */
import { Gpr } from '../../../isa/x86/instruction';
import { Flag, FlagAux, StateOffset } from '../../../machine/state';
import { StateAccess } from '../../ir/opcodes';
import { type LiftContext } from '../context';
import { type Semantic, type SemanticTable } from '../semantics';
import { setCarry } from './partial-flags';

/** What AH holds of the flags; bit 1 reads as one. */
const IN_AH = Flag.SF | Flag.ZF | Flag.AF | Flag.PF | Flag.CF;

function loadFlagsToAh(c: LiftContext): void {
    const { ir } = c;
    const flags = ir.op('i32.or', ir.op('i32.and', c.flagsAsBits(), ir.i32(IN_AH)), ir.i32(2));
    c.setGpr(Gpr.Rax, 16, ir.op('i32.or', c.gpr(Gpr.Rax, 8), ir.op('i32.shl', flags, ir.i32(8))));
}

function storeAhToFlags(c: LiftContext): void {
    const { ir } = c;
    const fromAh = ir.op('i32.and', ir.op('i32.shr_u', c.gpr(Gpr.Rax, 16), ir.i32(8)), ir.i32(IN_AH));
    const kept = ir.op('i32.and', c.flagsAsBits(), ir.i32(Flag.OF));
    c.setFlagsFromBits(ir.op('i32.or', fromAh, kept));
}

/** OF is kept as the difference of two carries: both change. */
function complementCarry(c: LiftContext): void {
    const { result, aux } = c.flagState();
    c.setFlagsRaw(result, c.ir.op('i32.xor', aux, c.ir.i32(FlagAux.CF | FlagAux.CarryIn)));
}

function setDirection(set: boolean): Semantic {
    return c => {
        const { ir } = c;
        const flags = ir.get(StateOffset.rflags, StateAccess.I32);
        const changed = set ? ir.op('i32.or', flags, ir.i32(Flag.DF)) : ir.op('i32.and', flags, ir.i32(~Flag.DF));
        ir.set(StateOffset.rflags, StateAccess.I32, changed);
    };
}

/** AL = CF ? FF : 0. */
function setAlFromCarry(c: LiftContext): void {
    c.setGpr(Gpr.Rax, 8, c.integer(8, 'sub', c.constant(8, 0), c.carry()));
}

export const FLAG_CONTROL: SemanticTable = {
    LAHF: loadFlagsToAh,
    SAHF: storeAhToFlags,
    CLC: c => setCarry(c, c.ir.i32(0)),
    STC: c => setCarry(c, c.ir.i32(1)),
    CMC: complementCarry,
    CLD: setDirection(false),
    STD: setDirection(true),
    SALC: setAlFromCarry,
};
