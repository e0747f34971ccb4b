/**
 * Bit-exact floating-point arithmetic as x86 does it: x87's 80-bit registers, and the exact slow path of SSE and AVX.
 *
 * An operation takes a format (`float32`, `float64`, `float80`), bit patterns of that format and a `FloatEnvironment`,
 * and returns a bit pattern. It unpacks its operands into exact integers (`format.ts`), deals with NaNs and the
 * exceptions that come before computing (`nan.ts`), computes exactly or with a sticky bit, and rounds once (`round.ts`).
 * Afterwards the environment holds the accumulated flags, and says whether the result may be written at all.
 */

export * from './add';
export * from './approximate';
export * from './arctangent';
export * from './compare';
export * from './constants';
export * from './convert';
export * from './decimal';
export * from './divide';
export * from './environment';
export * from './exponential';
export * from './extended';
export {
    type Extended,
    type FloatFormat,
    Kind,
    type Operand,
    float16,
    float32,
    float64,
    float80,
    integerOperand,
    readOperand,
} from './format';
export * from './fusedMultiplyAdd';
export * from './integral';
export * from './logarithm';
export * from './multiply';
export * from './remainder';
export * from './squareRoot';
export * from './trigonometric';
