/** BMI1 and BMI2 (SDM Vol. 2: ANDN, BEXTR, BLSI, BLSMSK, BLSR, BZHI, PDEP, PEXT, RORX, SARX, SHLX, SHRX). */
import { type Value } from '../../ir/function';
import { type LiftContext } from '../context';
import { type Width } from '../flags';
import { type Semantic, type SemanticTable } from '../semantics';

type BmiWidth = 32 | 64;

function widthOf(c: LiftContext): BmiWidth {
    return c.widthOf(0) as BmiWidth;
}

/** ZF and SF from the result, CF as given; OF clear. */
function finish(c: LiftContext, result: Value, carry: Value): void {
    c.write(0, result);
    c.setFlagsParts(widthOf(c), result, carry, c.ir.i32(0));
}

function andNot(c: LiftContext): void {
    const width = widthOf(c);
    const inverted = c.integer(width, 'xor', c.read(1), c.constant(width, -1));
    const result = c.integer(width, 'and', inverted, c.read(2));
    c.write(0, result);
    c.setFlagsLogic(width, result);
}

/** A byte of the control operand, as i32. */
function controlByte(c: LiftContext, width: Width, control: Value, shift: 0 | 8): Value {
    const low = c.resizeUnsigned(control, width, 32);
    return c.ir.op('i32.and', c.ir.op('i32.shr_u', low, c.ir.i32(shift)), c.ir.i32(0xff));
}

/** Bits 0 … length − 1 of the value; all of it if length (i32) is not less than the width. */
function lowBits(c: LiftContext, width: BmiWidth, value: Value, length: Value): Value {
    const { ir } = c;
    const type = `i${width}`;
    const amount = width === 64 ? ir.extendU(length) : length;
    const mask = ir.op(`${type}.sub`, ir.op(`${type}.shl`, c.constant(width, 1), amount), c.constant(width, 1));
    const kept = ir.op(`${type}.and`, value, mask);
    return ir.select(ir.op('i32.lt_u', length, ir.i32(width)), kept, value);
}

/** Control: bits 0–7 the start, bits 8–15 the length. */
function extractField(c: LiftContext): void {
    const { ir } = c;
    const width = widthOf(c);
    const value = c.read(1);
    const control = c.read(2);
    const start = controlByte(c, width, control, 0);
    const amount = width === 64 ? ir.extendU(start) : start;
    const shifted = ir.select(
        ir.op('i32.lt_u', start, ir.i32(width)),
        c.integer(width, 'shr_u', value, amount),
        c.constant(width, 0),
    );
    finish(c, lowBits(c, width, shifted, controlByte(c, width, control, 8)), ir.i32(0));
}

function zeroHighBits(c: LiftContext): void {
    const width = widthOf(c);
    const value = c.read(1);
    const length = controlByte(c, width, c.read(2), 0);
    finish(c, lowBits(c, width, value, length), c.ir.op('i32.ge_u', length, c.ir.i32(width)));
}

/** BLSI, BLSR and BLSMSK combine the source with a neighbour: its negation or its predecessor. */
function lowestSetBit(operation: 'and' | 'xor', neighbour: 'negation' | 'predecessor'): Semantic {
    return c => {
        const width = widthOf(c);
        const value = c.read(1);
        const other =
            neighbour === 'negation'
                ? c.integer(width, 'sub', c.constant(width, 0), value)
                : c.integer(width, 'sub', value, c.constant(width, 1));
        const isZero = c.isZero(width, value);
        finish(c, c.integer(width, operation, value, other), neighbour === 'negation' ? c.ir.not(isZero) : isZero);
    };
}

/**
 * PDEP and PEXT: one turn for each set bit of the mask, lowest first. `from` and `to` choose where a bit is read and
 * written: at the mask's bit or at the next of the packed bits.
 */
function gatherOrScatter(direction: 'deposit' | 'extract'): Semantic {
    return c => {
        const { ir } = c;
        const width = widthOf(c);
        const type = `i${width}`;
        const source = c.read(1);
        const mask = c.read(2);
        const zero = c.constant(width, 0);
        const one = c.constant(width, 1);
        const left = ir.variable(mask);
        const packed = ir.variable(one);
        const result = ir.variable(zero);
        ir.if(ir.not(c.isZero(width, mask)), () => {
            ir.loop(() => {
                const rest = ir.getVariable(left);
                const maskBit = ir.op(`${type}.and`, rest, ir.op(`${type}.sub`, zero, rest));
                const packedBit = ir.getVariable(packed);
                const [from, to] = direction === 'deposit' ? [packedBit, maskBit] : [maskBit, packedBit];
                const isClear = c.isZero(width, ir.op(`${type}.and`, source, from));
                const bit = ir.select(isClear, zero, to);
                ir.setVariable(result, ir.op(`${type}.or`, ir.getVariable(result), bit));
                ir.setVariable(packed, ir.op(`${type}.shl`, packedBit, one));
                const next = ir.op(`${type}.xor`, rest, maskBit);
                ir.setVariable(left, next);
                return ir.not(c.isZero(width, next));
            });
        });
        c.write(0, ir.getVariable(result));
    };
}

/** RORX, SARX, SHLX, SHRX: WebAssembly cuts the count to the width as they do. */
function shiftWithoutFlags(operation: 'rotr' | 'shr_s' | 'shl' | 'shr_u'): Semantic {
    return c => {
        const width = widthOf(c);
        const count = c.resizeUnsigned(c.read(2), c.widthOf(2), width);
        c.write(0, c.integer(width, operation, c.read(1), count));
    };
}

export const BMI: SemanticTable = {
    ANDN: andNot,
    BEXTR: extractField,
    BLSI: lowestSetBit('and', 'negation'),
    BLSMSK: lowestSetBit('xor', 'predecessor'),
    BLSR: lowestSetBit('and', 'predecessor'),
    BZHI: zeroHighBits,
    PDEP: gatherOrScatter('deposit'),
    PEXT: gatherOrScatter('extract'),
    RORX: shiftWithoutFlags('rotr'),
    SARX: shiftWithoutFlags('shr_s'),
    SHLX: shiftWithoutFlags('shl'),
    SHRX: shiftWithoutFlags('shr_u'),
};
