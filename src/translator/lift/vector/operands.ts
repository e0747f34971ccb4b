/**
 * Operands of the vector instructions. MMX registers are i64 values and XMM registers v128 values; a memory operand is
 * whatever its size says. What is lane-wise is computed on v128 for both register files: an MMX operand is then repeated
 * in both halves and only the lower half of the result is kept.
 */
import { Attribute, OperandKind } from '../../../isa/x86/instruction';
import { StateOffset } from '../../../machine/state';
import { type IrBuilder } from '../../ir/builder';
import { type Value } from '../../ir/function';
import { StateAccess, Type } from '../../ir/opcodes';
import { type LiftContext, Vector } from '../context';
import { type Semantic } from '../semantics';

/** Status word bit ES: an unmasked x87 exception is pending. */
const EXCEPTION_SUMMARY = 0x80;

export function kindOf(c: LiftContext, i: number): OperandKind {
    return c.instruction.operands[i].kind;
}

export function isMmx(c: LiftContext, i: number): boolean {
    return kindOf(c, i) === OperandKind.Mmx;
}

/** A v128 constant from 32-bit lanes. */
export function dwords(ir: IrBuilder, ...lanes: readonly number[]): Value {
    return ir.v128(new Uint8Array(Int32Array.from(lanes).buffer));
}

/** A v128 constant from 16-bit lanes. */
export function words(ir: IrBuilder, ...lanes: readonly number[]): Value {
    return ir.v128(new Uint8Array(Uint16Array.from(lanes).buffer));
}

/** A v128 constant with the same 32 bits in every lane. */
export function everyDword(ir: IrBuilder, value: number): Value {
    return dwords(ir, value, value, value, value);
}

/** A v128 constant with the same 64 bits, given as halves, in both lanes. */
export function everyQword(ir: IrBuilder, low: number, high: number): Value {
    return dwords(ir, low, high, low, high);
}

export function zeroVector(ir: IrBuilder): Value {
    return ir.v128(new Uint8Array(16));
}

/** 0, 1, … 15 in the byte lanes. */
export function byteNumbers(ir: IrBuilder): Value {
    return ir.v128(Uint8Array.from({ length: 16 }, (_, lane) => lane));
}

/** An i64 as the low half of a vector, the rest zero. */
export function fromQword(ir: IrBuilder, value: Value): Value {
    return ir.lane('i64x2.replace_lane', zeroVector(ir), 0, value);
}

/** An i32 as the lowest lane of a vector, the rest zero. */
export function fromDword(ir: IrBuilder, value: Value): Value {
    return ir.lane('i32x4.replace_lane', zeroVector(ir), 0, value);
}

/** Low 64 bits of a vector. */
export function lowQword(ir: IrBuilder, vector: Value): Value {
    return ir.lane('i64x2.extract_lane', vector, 0);
}

/**
 * Raises #GP(0) for a misaligned 16-byte memory operand of a row that wants it aligned (SDM Vol. 2, Table 2-17 and
 * following, exception types 1, 2 and 4 without VEX).
 */
export function checkAlignment(c: LiftContext, forWrite: boolean): void {
    if ((c.instruction.row.attributes & Attribute.Aligned) === 0) {
        return;
    }
    const memory = c.instruction.operands.find(({ kind, size }) => kind === OperandKind.Memory && size === 16);
    if (memory === undefined) {
        return;
    }
    const ir = c.ir;
    const misaligned = ir.op('i32.and', ir.wrap(c.addressForAlignment(16, forWrite)), ir.i32(15));
    ir.if(misaligned, () => c.raise(Vector.GP, ir.i32(0)));
}

/** Operand i as a vector: what is narrower than 128 bits is repeated over the lanes. */
export function readVector(c: LiftContext, i: number): Value {
    if (c.isMemory(i)) {
        checkAlignment(c, false);
    }
    const value = c.read(i);
    switch (c.ir.typeOf(value)) {
        case Type.I64:
            return c.ir.op('i64x2.splat', value);
        case Type.I32:
            return c.ir.op('i32x4.splat', value);
    }
    return value;
}

/** Low 64 bits of operand i: all of an MMX register or m64. */
export function readQword(c: LiftContext, i: number): Value {
    const value = c.read(i);
    return c.ir.typeOf(value) === Type.V128 ? lowQword(c.ir, value) : value;
}

/** Low 32 bits of operand i. */
export function readDword(c: LiftContext, i: number): Value {
    const value = c.read(i);
    switch (c.ir.typeOf(value)) {
        case Type.V128:
            return c.ir.lane('i32x4.extract_lane', value, 0);
        case Type.I64:
            return c.ir.wrap(value);
    }
    return value;
}

/** Writes a vector to an XMM register or m128, or its low half to an MMX register or m64. */
export function writeVector(c: LiftContext, i: number, value: Value): void {
    if (isMmx(c, i) || (c.isMemory(i) && c.widthOf(i) === 64)) {
        c.write(i, lowQword(c.ir, value));
        return;
    }
    if (c.isMemory(i)) {
        checkAlignment(c, true);
    }
    c.write(i, value);
}

/** Writes an i32 to a general register of 32 or 64 bits (zero-extended) or to memory of 8, 16 or 32 bits. */
export function writeInteger(c: LiftContext, i: number, value: Value): void {
    c.write(i, c.widthOf(i) === 64 ? c.ir.extendU(value) : value);
}

/** The immediate byte as i32; `constant` is its number where that is known (it is not in the interpreter tier). */
export function immediateByte(c: LiftContext): { value: Value; constant: number | undefined } {
    const value = c.immediate(8);
    const constant = c.ir.isConst(value) ? c.ir.constLow(value) & 0xff : undefined;
    return { value, constant };
}

/**
 * An instruction that belongs to MMX (SDM Vol. 1, 9.5.1): pending x87 exceptions come first, and afterwards all x87
 * registers are valid and the top of the stack is 0. The registers' exponents are set by the write itself. CVTPI2PS and
 * CVTPI2PD from memory use no MMX register and leave the x87 state alone.
 */
export function inMmxState(semantic: Semantic): Semantic {
    return c => {
        if (!usesMmx(c)) {
            semantic(c);
            return;
        }
        raisePendingX87(c);
        semantic(c);
        enterMmxState(c);
    };
}

/** #MF if an unmasked x87 exception is pending (SDM Vol. 1, 8.7). */
export function raisePendingX87(c: LiftContext): void {
    const ir = c.ir;
    const pending = ir.op('i32.and', ir.get(StateOffset.fsw, StateAccess.I32), ir.i32(EXCEPTION_SUMMARY));
    ir.if(pending, () => c.raise(Vector.MF));
}

export function usesMmx(c: LiftContext): boolean {
    return c.instruction.operands.some(({ kind }) => kind === OperandKind.Mmx);
}

export function enterMmxState(c: LiftContext): void {
    const ir = c.ir;
    ir.set(StateOffset.fempty, StateAccess.I64, ir.i64(0));
    ir.set(StateOffset.ftop, StateAccess.I32, ir.i32(0));
}

/** EMMS: all x87 registers empty (SDM Vol. 2). */
export function emms(c: LiftContext): void {
    const ir = c.ir;
    raisePendingX87(c);
    ir.set(StateOffset.fempty, StateAccess.I64, ir.i64(0x01010101, 0x01010101));
    ir.set(StateOffset.ftop, StateAccess.I32, ir.i32(0));
}

/** A semantic from a function of the destination's old value and the source, both as vectors. */
export function binary(operation: (ir: IrBuilder, a: Value, b: Value) => Value): Semantic {
    return c => {
        const b = readVector(c, 1);
        writeVector(c, 0, operation(c.ir, readVector(c, 0), b));
    };
}

/** A semantic from a function of the source alone. */
export function unary(operation: (ir: IrBuilder, source: Value) => Value): Semantic {
    return c => writeVector(c, 0, operation(c.ir, readVector(c, 1)));
}

/** A semantic that is one IR operation on destination and source. */
export function lanewise(name: string): Semantic {
    return binary((ir, a, b) => ir.op(name, a, b));
}

/** All ones in the lanes (`i8x16`…`i64x2`) whose top bit is set. */
export function signMask(ir: IrBuilder, shape: string, vector: Value): Value {
    return ir.op(`${shape}.lt_s`, vector, zeroVector(ir));
}

/** v128.bitselect with readable operands. */
export function choose(ir: IrBuilder, mask: Value, ifSet: Value, ifClear: Value): Value {
    return ir.op('v128.bitselect', ifSet, ifClear, mask);
}
