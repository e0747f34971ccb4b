/** Memory operands that are loaded: as arguments of a helper, and as the second operand of arithmetic and comparison. */

import { type Operand, float32, float64, integerOperand } from '../../../softfloat';
import { type Value } from '../../ir/function';
import { type LiftContext } from '../context';
import { addressAfter, deliverPending, memoryOperand, recordPointers } from './frame';
import { type X87Helper, routine, wide } from './helper';
import { Limbs, setDouble, setSingle } from './limbs';
import { type X87Registers } from './registers';

/** The halves of an i64 value, low first, as helpers take them. */
export function halves(c: LiftContext, value: Value): Value[] {
    return [c.ir.wrap(value), c.ir.wrap(c.ir.op('i64.shr_u', value, c.ir.i64(32)))];
}

/** Emits a load of `bits` at `displacement` bytes from the start of the operand. */
type Load = (bits: number, displacement: number) => Value;

/** An instruction that loads from its memory operand of `bytes` and passes what `args` makes of it to a helper. */
export function loadThen(c: LiftContext, bytes: number, helper: X87Helper, args: (load: Load) => Value[]): void {
    deliverPending(c);
    const { offset, linear } = memoryOperand(c, bytes, false);
    const values = args((bits, displacement) =>
        c.load(bits, displacement === 0 ? linear : addressAfter(c, linear, displacement)),
    );
    recordPointers(c, offset);
    c.call(helper, values);
}

/** One operation with each type of memory operand. */
export interface MemoryForms {
    readonly single: X87Helper;
    readonly double: X87Helper;
    /** Takes 16-bit integers sign-extended. */
    readonly integer: X87Helper;
}

/** The memory operand of a quick operation. */
const operandLimbs = new Limbs();

/**
 * Makes the helpers of an operation with a memory operand.
 * @param quick is tried first if the operand is a normal number; false if it refuses and has done nothing.
 */
export function memoryForms(
    name: string,
    operation: (fpu: X87Registers, operand: Operand) => void,
    quick: (fpu: X87Registers, operand: Limbs) => boolean,
): MemoryForms {
    return {
        single: routine(`${name}Single`, 1, (fpu, bits) => {
            if (!setSingle(operandLimbs, bits) || !quick(fpu, operandLimbs)) {
                operation(fpu, float32.unpack(bits));
            }
        }),
        double: routine(`${name}Double`, 2, (fpu, low, high) => {
            if (!setDouble(operandLimbs, low, high) || !quick(fpu, operandLimbs)) {
                operation(fpu, float64.unpack(wide(low, high)));
            }
        }),
        integer: routine(`${name}Integer`, 1, (fpu, value) =>
            operation(fpu, integerOperand(value < 0 ? 1 : 0, BigInt(Math.abs(value)))),
        ),
    };
}

/** The instruction with a floating-point memory operand. */
export function withFloat(c: LiftContext, forms: MemoryForms): void {
    if (c.widthOf(0) === 32) {
        loadThen(c, 4, forms.single, load => [load(32, 0)]);
    } else {
        loadThen(c, 8, forms.double, load => halves(c, load(64, 0)));
    }
}

/** The instruction with an integer memory operand. */
export function withInteger(c: LiftContext, forms: MemoryForms): void {
    if (c.widthOf(0) === 16) {
        loadThen(c, 2, forms.integer, load => [c.signed(16, load(16, 0))]);
    } else {
        loadThen(c, 4, forms.integer, load => [load(32, 0)]);
    }
}
