/** Routines in JavaScript that the lifted code of x87 instructions calls, and the parts of the unit they share. */

import { type Helper } from '../../ir/function';
import { Type } from '../../ir/opcodes';
import { type SemanticTable } from '../semantics';
import { type X87Registers } from './registers';

/** What a helper does with the selected vCPU's unit and up to three i32 arguments. */
export type X87Operation = (fpu: X87Registers, a: number, b: number, c: number) => number | void;

export interface X87Helper extends Helper {
    readonly operation: X87Operation;
}

/** A family of instructions: their meaning, and the helpers that it calls. */
export interface X87Family {
    readonly semantics: SemanticTable;
    readonly helpers: readonly X87Helper[];
}

function makeHelper(name: string, parameters: number, result: Type, operation: X87Operation): X87Helper {
    return { name: `x87${name}`, parameters: Array<Type>(parameters).fill(Type.I32), result, operation };
}

/** A helper without a result. @param parameters how many i32 arguments the lifted code passes, at most three. */
export function routine(name: string, parameters: number, operation: X87Operation): X87Helper {
    return makeHelper(name, parameters, Type.Void, operation);
}

/** A helper that returns an i32. */
export function query(name: string, parameters: number, operation: X87Operation): X87Helper {
    return makeHelper(name, parameters, Type.I32, operation);
}

/** An unsigned 64-bit number from its halves, of any sign. */
export function wide(low: number, high: number): bigint {
    return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}
