/** Single bits and bit counts (SDM Vol. 2: BT, BTS, BTR, BTC, BSF, BSR, TZCNT, LZCNT, POPCNT). */
import { OperandKind } from '../../../isa/x86/instruction';
import { type Value } from '../../ir/function';
import { type LiftContext } from '../context';
import { type Width } from '../flags';
import { type Semantic, type SemanticTable } from '../semantics';
import { setCarry, setZeroAndCarryOnly } from './partial-flags';

/** From a value and a mask with the tested bit set: the new value. Undefined for BT, which writes nothing. */
type Change = ((c: LiftContext, width: Width, value: Value, mask: Value) => Value) | undefined;

/** The other flags but ZF are undefined; CPUs keep them all. */
function bitTest(change: Change): Semantic {
    return c => {
        const { ir } = c;
        const width = c.widthOf(0);
        const type = width === 64 ? 'i64' : 'i32';
        const forWrite = change !== undefined;
        const offset = c.resizeUnsigned(c.read(1), c.widthOf(1), width);
        const isBitString = c.isMemory(0) && c.instruction.operands[1].kind === OperandKind.Gpr;
        const address = isBitString ? bitStringAddress(c, width, offset, forWrite) : undefined;
        let value: Value;
        if (address !== undefined) {
            value = c.load(width, address, forWrite);
        } else {
            value = forWrite ? c.readForWrite(0) : c.read(0);
        }
        const position = ir.op(`${type}.and`, offset, c.constant(width, width - 1));
        const shifted = ir.op(`${type}.shr_u`, value, position);
        if (change !== undefined) {
            const mask = ir.op(`${type}.shl`, c.constant(width, 1), position);
            const changed = change(c, width, value, mask);
            if (address !== undefined) {
                c.store(width, address, changed);
            } else {
                c.write(0, changed);
            }
        }
        setCarry(c, ir.op('i32.and', c.resizeUnsigned(shifted, width, 32), ir.i32(1)));
    };
}

/** A bit offset in a register is signed and reaches beyond the operand, in steps of its size. */
function bitStringAddress(c: LiftContext, width: Width, offset: Value, forWrite: boolean): Value {
    const { ir } = c;
    const bytes = width / 8;
    const element = ir.op('i64.shr_s', c.resizeSigned(offset, width, 64), ir.i64(Math.log2(width)));
    const displacement = ir.op('i64.shl', element, ir.i64(Math.log2(bytes)));
    return c.linear(c.cutToAddressSize(ir.op('i64.add', c.effectiveAddress(), displacement)), bytes, forWrite);
}

const setBit: Change = (c, width, value, mask) => c.integer(width, 'or', value, mask);
const complementBit: Change = (c, width, value, mask) => c.integer(width, 'xor', value, mask);
const resetBit: Change = (c, width, value, mask) =>
    c.integer(width, 'and', value, c.integer(width, 'xor', mask, c.constant(width, -1)));

/** Zeros above the top set bit; the width for zero. */
function leadingZeros(c: LiftContext, width: Width, value: Value): Value {
    if (width === 64) {
        return c.ir.op('i64.clz', value);
    }
    const count = c.ir.op('i32.clz', value);
    return width === 32 ? count : c.ir.op('i32.sub', count, c.ir.i32(32 - width));
}

/** Zeros below the lowest set bit; the width for zero. */
function trailingZeros(c: LiftContext, width: Width, value: Value): Value {
    if (width === 64) {
        return c.ir.op('i64.ctz', value);
    }
    return c.ir.op('i32.ctz', width === 32 ? value : c.ir.op('i32.or', value, c.ir.i32(1 << width)));
}

/** Of a zero source BSF and BSR leave the destination as it is, upper half of a 32-bit register included (AMD APM). */
function bitScan(index: typeof trailingZeros): Semantic {
    return c => {
        const width = c.widthOf(0);
        const value = c.read(1);
        c.ir.if(c.ir.not(c.isZero(width, value)), () => c.write(0, index(c, width, value)));
        // Only ZF is defined; AMD CPUs clear the others but PF, which equals it.
        c.setFlagsLogic(32, c.ir.not(c.isZero(width, value)));
    };
}

const lowestBit = trailingZeros;

const highestBit: typeof trailingZeros = (c, width, value) =>
    c.integer(width, 'sub', c.constant(width, width - 1), leadingZeros(c, width, value));

/** CF: the source is zero; ZF: the count is. */
function countZeros(count: typeof trailingZeros): Semantic {
    return c => {
        const width = c.widthOf(0);
        const value = c.read(1);
        const result = count(c, width, value);
        c.write(0, result);
        setZeroAndCarryOnly(c, c.isZero(width, result), c.isZero(width, value));
    };
}

function populationCount(c: LiftContext): void {
    const { ir } = c;
    const width = c.widthOf(0);
    const value = c.read(1);
    c.write(0, ir.op(width === 64 ? 'i64.popcnt' : 'i32.popcnt', value));
    setZeroAndCarryOnly(c, c.isZero(width, value), ir.i32(0));
}

export const BITS: SemanticTable = {
    BT: bitTest(undefined),
    BTS: bitTest(setBit),
    BTR: bitTest(resetBit),
    BTC: bitTest(complementBit),
    BSF: bitScan(lowestBit),
    BSR: bitScan(highestBit),
    TZCNT: countZeros(trailingZeros),
    LZCNT: countZeros(leadingZeros),
    POPCNT: populationCount,
};
