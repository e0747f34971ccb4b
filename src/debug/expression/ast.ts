import type { ValueType } from './value';

export type UnaryOperator = '-' | '+' | '~' | '!';
export type BinaryOperator =
    '*' | '/' | '%' | '+' | '-' | '<<' | '>>' | '<' | '<=' | '>' | '>=' | '==' | '!=' | '&' | '^' | '|' | '&&' | '||';

/** A node of a parsed expression; `position` is where errors about it point. */
export type Node = { readonly position: number } & (
    | { readonly kind: 'number'; readonly value: bigint }
    /** A register or a symbol, whichever there is. `register`: written with a `$`, so only that. */
    | { readonly kind: 'name'; readonly name: string; readonly register: boolean }
    | { readonly kind: 'unary'; readonly operator: UnaryOperator; readonly operand: Node }
    | { readonly kind: 'binary'; readonly operator: BinaryOperator; readonly left: Node; readonly right: Node }
    | { readonly kind: 'cast'; readonly type: ValueType; readonly operand: Node }
    | { readonly kind: 'dereference'; readonly operand: Node }
    /** The address of something in memory. */
    | { readonly kind: 'addressOf'; readonly operand: Node }
    /** `u32[address]`. */
    | { readonly kind: 'memory'; readonly type: ValueType; readonly address: Node }
    /** `pointer[index]`. */
    | { readonly kind: 'index'; readonly base: Node; readonly index: Node }
    /** `phys:address`, `linear:address`, or the offset in a segment: `ds:si`. */
    | { readonly kind: 'space'; readonly prefix: string; readonly operand: Node }
    | { readonly kind: 'assign'; readonly target: Node; readonly value: Node }
);
