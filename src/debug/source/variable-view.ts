/** Variables as a front end shows them: plain data. */
import type { Address } from '../address';

/** Which variables of a frame. */
export type VariableScope = 'arguments' | 'locals' | 'statics';

export interface VariableView {
    readonly name: string;
    readonly value: string;
    readonly type: string;
    /** Gives the value again, and its parts by {@link FrameVariables.children}; absent for a variable that is hidden. */
    readonly evaluateName?: string;
    /** How many parts it unfolds into, if any: named ones, and elements of an array. */
    readonly named?: number;
    readonly indexed?: number;
    /** Where it is, or what it points to. */
    readonly address?: Address;
    readonly readOnly?: boolean;
}

/** Variables of stack frames, by the depth of the frame in the target's stack. */
export interface FrameVariables {
    /** The scopes that have variables. */
    scopes(vcpu: number, depth: number): Promise<readonly { readonly scope: VariableScope; readonly count: number }[]>;
    list(vcpu: number, depth: number, scope: VariableScope): Promise<readonly VariableView[]>;
    /** The parts of what an expression gives: those of an array from `start` on, at most `count` if that is not 0. */
    children(
        vcpu: number,
        depth: number,
        expression: string,
        start: number,
        count: number,
    ): Promise<readonly VariableView[]>;
}
