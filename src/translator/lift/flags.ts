/**
 * The arithmetic flags while code is being lifted: what the last flag-writing instruction did, kept symbolically, so
 * that a following condition compiles to one comparison and flags nobody reads cost nothing.
 */
import { type Value } from '../ir/function';

/** How the flags were last set. */
export const enum FlagSource {
    /** They are in the guest state (flagResult, flagAux). */
    State,
    /** Addition, possibly with carry in: a + b (+ carry) = result. */
    Add,
    /** Subtraction or comparison, possibly with borrow in: a − b (− borrow) = result. */
    Subtract,
    /** Logical operation: CF = OF = AF = 0. */
    Logic,
    /** flagResult and flagAux themselves are given as values. */
    Raw,
}

/** Width of an operation in bits. */
export type Width = 8 | 16 | 32 | 64;

/** Symbolic state of the arithmetic flags. Values are zero-extended at `width` (i64 for 64, else i32). */
export interface PendingFlags {
    readonly source: FlagSource;
    readonly width: Width;
    /** Operands of Add and Subtract. */
    readonly a: Value;
    readonly b: Value;
    /** Result; for Raw: the flagResult value (i64). */
    readonly result: Value;
    /** Add and Subtract: a carry/borrow was added in, so comparisons of a and b do not tell the flags. */
    readonly withCarry: boolean;
    /** Raw: the flagAux value (i32). */
    readonly aux: Value;
}

/** Condition codes as encoded in Jcc, SETcc and CMOVcc (the low bit negates). */
export const enum Condition {
    O,
    NO,
    B,
    AE,
    E,
    NE,
    BE,
    A,
    S,
    NS,
    P,
    NP,
    L,
    GE,
    LE,
    G,
}
