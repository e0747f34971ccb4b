/** What the exact slow path of floating point is asked for: one i32 that says operation, format and number of lanes. */

export const enum FloatOperation {
    Add,
    Subtract,
    Multiply,
    Divide,
    SquareRoot,
    Minimum,
    Maximum,
    /** Even lanes subtract, odd ones add. */
    AddSubtract,
    /** Detail: predicate 0–7 as CMPPS encodes it. Result: all ones or zeros in each lane. */
    Compare,
    /** Detail: 1 if quiet NaNs raise, too (COMISS). Result: low byte of flagResult and flagAux of the arithmetic flags. */
    CompareFlags,
    /** Detail: ROUNDPS's immediate. */
    Round,
    /** Detail: 1 to truncate. Result: signed 32-bit lanes. */
    ToInt32,
    /** Detail: 1 to truncate. Result: a signed 64-bit integer. */
    ToInt64,
    /** The format is the result's. */
    FromInt32,
    FromInt64,
    /** Between the formats; the format is the source's. */
    Convert,
    /** Detail: DPPS's immediate. */
    DotProduct,
    Reciprocal,
    ReciprocalSquareRoot,
}

/** Fields of the operation word. */
export const enum FloatCode {
    OperationMask = 0xff,
    Double = 0x100,
    LanesShift = 16,
}

export function floatCode(operation: FloatOperation, isDouble: boolean, lanes: number): number {
    return operation | (isDouble ? FloatCode.Double : 0) | (lanes << FloatCode.LanesShift);
}

/** Bits of MXCSR (SDM Vol. 1, 10.2.3). */
export const enum Mxcsr {
    PE = 1 << 5,
    DAZ = 1 << 6,
    ExceptionMasks = 0x3f << 7,
    PM = 1 << 12,
    RoundingMask = 3 << 13,
    RoundingShift = 13,
    FTZ = 1 << 15,
}

/** Places in the scratch area of the state: first and second operand and result, 16 bytes each. */
export const enum FloatScratch {
    a = 0,
    b = 16,
    result = 32,
}
