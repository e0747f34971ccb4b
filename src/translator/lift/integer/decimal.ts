/** Decimal adjustment (SDM Vol. 2: AAA, AAS, DAA, DAS, AAM, AAD). */
import { Gpr } from '../../../isa/x86/instruction';
import { type Value } from '../../ir/function';
import { type LiftContext, Vector } from '../context';
import { type Semantic, type SemanticTable } from '../semantics';

/** AF as i32 0/1. */
function adjustFlag(c: LiftContext): Value {
    const { ir } = c;
    return ir.op('i32.and', ir.op('i32.shr_u', c.flagState().aux, ir.i32(3)), ir.i32(1));
}

/** 1 if the low digit of AL is no decimal digit or AF is set. */
function lowDigitNeedsAdjustment(c: LiftContext, al: Value): Value {
    const { ir } = c;
    const invalid = ir.op('i32.gt_u', ir.op('i32.and', al, ir.i32(0xf)), ir.i32(9));
    return ir.op('i32.or', invalid, adjustFlag(c));
}

/** AAA and AAS; the adjustment of AX as a whole is what CPUs do since the 80286. */
function unpackedAdjustment(operation: 'add' | 'sub'): Semantic {
    return c => {
        const { ir } = c;
        const ax = c.gpr(Gpr.Rax, 16);
        const adjust = lowDigitNeedsAdjustment(c, c.gpr(Gpr.Rax, 8));
        const adjusted = c.integer(16, operation, ax, ir.select(adjust, ir.i32(0x106), ir.i32(0)));
        c.setGpr(Gpr.Rax, 16, ir.op('i32.and', adjusted, ir.i32(0xff0f)));
        c.setFlagsParts(8, c.truncate(8, adjusted), adjust, ir.i32(0), adjust);
    };
}

/** DAA and DAS. */
function packedAdjustment(operation: 'add' | 'sub'): Semantic {
    return c => {
        const { ir } = c;
        const al = c.gpr(Gpr.Rax, 8);
        const carryIn = c.carry();
        const adjustLow = lowDigitNeedsAdjustment(c, al);
        const adjustHigh = ir.op('i32.or', carryIn, ir.op('i32.gt_u', al, ir.i32(0x99)));
        const low = ir.select(adjustLow, ir.i32(6), ir.i32(0));
        const high = ir.select(adjustHigh, ir.i32(0x60), ir.i32(0));
        const result = c.integer(8, operation, al, ir.op('i32.add', low, high));
        c.setGpr(Gpr.Rax, 8, result);
        // DAS also takes the borrow of its first step.
        const carry = operation === 'add' ? adjustHigh : ir.op('i32.or', adjustHigh, ir.op('i32.lt_u', al, low));
        c.setFlagsParts(8, result, carry, ir.i32(0), adjustLow);
    };
}

/** AH = AL ÷ base, AL = AL mod base; #DE for base 0. */
function adjustAfterMultiply(c: LiftContext): void {
    const { ir } = c;
    const base = c.read(0);
    ir.if(ir.not(base), () => c.raise(Vector.DE));
    const al = c.gpr(Gpr.Rax, 8);
    const low = ir.op('i32.rem_u', al, base);
    const high = ir.op('i32.div_u', al, base);
    c.setGpr(Gpr.Rax, 16, ir.op('i32.or', low, ir.op('i32.shl', high, ir.i32(8))));
    c.setFlagsLogic(8, low);
}

/** AL = AL + AH × base, AH = 0. The undefined flags are those of the addition. */
function adjustBeforeDivide(c: LiftContext): void {
    const { ir } = c;
    const ax = c.gpr(Gpr.Rax, 16);
    const al = c.gpr(Gpr.Rax, 8);
    const tens = c.integer(8, 'mul', ir.op('i32.shr_u', ax, ir.i32(8)), c.read(0));
    const sum = c.integer(8, 'add', al, tens);
    c.setGpr(Gpr.Rax, 16, sum);
    c.setFlagsAdd(8, al, tens, sum);
}

export const DECIMAL: SemanticTable = {
    AAA: unpackedAdjustment('add'),
    AAS: unpackedAdjustment('sub'),
    DAA: packedAdjustment('add'),
    DAS: packedAdjustment('sub'),
    AAM: adjustAfterMultiply,
    AAD: adjustBeforeDivide,
};
