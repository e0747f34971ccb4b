import type { IntegerType, ValueType } from './value';

export type UnaryOperator = '-' | '+' | '~' | '!';
export type BinaryOperator =
    '*' | '/' | '%' | '+' | '-' | '<<' | '>>' | '<' | '<=' | '>' | '>=' | '==' | '!=' | '&' | '^' | '|' | '&&' | '||';

/** A type as it is written: what its names mean, only debugging information can tell. */
export interface TypeSpelling {
    readonly position: number;
    readonly base:
        | { readonly kind: 'known'; readonly type: ValueType }
        | { readonly kind: 'tag'; readonly keyword: 'struct' | 'union' | 'enum' | 'class'; readonly name: string }
        | { readonly kind: 'name'; readonly name: string };
    /** Stars behind it. */
    readonly pointers: number;
    /** Numbers in brackets behind those. */
    readonly dimensions: readonly number[];
}

/** A node of a parsed expression; `position` is where errors about it point. */
export type Node = { readonly position: number } & (
    | { readonly kind: 'number'; readonly value: bigint; readonly unsigned: boolean; readonly type: IntegerType }
    | { readonly kind: 'float'; readonly value: number; readonly single: boolean }
    /** A variable, a register or a symbol, whichever there is; with a `$` only a register, in backquotes a symbol. */
    | { readonly kind: 'name'; readonly name: string; readonly register: boolean; readonly symbol?: boolean }
    | { readonly kind: 'unary'; readonly operator: UnaryOperator; readonly operand: Node }
    | { readonly kind: 'binary'; readonly operator: BinaryOperator; readonly left: Node; readonly right: Node }
    /** `condition ? then : otherwise`. */
    | { readonly kind: 'conditional'; readonly condition: Node; readonly then: Node; readonly otherwise: Node }
    | { readonly kind: 'cast'; readonly type: TypeSpelling; readonly operand: Node }
    | { readonly kind: 'dereference'; readonly operand: Node }
    /** The address of something in memory. */
    | { readonly kind: 'addressOf'; readonly operand: Node }
    /** `u32[address]`. */
    | { readonly kind: 'memory'; readonly type: TypeSpelling; readonly address: Node }
    /** `pointer[index]`. */
    | { readonly kind: 'index'; readonly base: Node; readonly index: Node }
    /** `record.name`, and `pointer->name`. */
    | { readonly kind: 'member'; readonly operand: Node; readonly name: string; readonly arrow: boolean }
    /** `sizeof(type)`, or of an expression's type. */
    | { readonly kind: 'sizeOfType'; readonly type: TypeSpelling }
    | { readonly kind: 'sizeOf'; readonly operand: Node }
    /** `offsetof(type, member)`. */
    | { readonly kind: 'offsetOf'; readonly type: TypeSpelling; readonly members: readonly string[] }
    /** `container_of(pointer, type, member)`. */
    | {
          readonly kind: 'containerOf';
          readonly operand: Node;
          readonly type: TypeSpelling;
          readonly members: readonly string[];
      }
    /** `per_cpu(variable, cpu)`: a kernel's variable as another CPU has it. */
    | { readonly kind: 'perCpu'; readonly operand: Node; readonly cpu: Node }
    /** `phys:address`, `linear:address`, or the offset in a segment: `ds:si`. */
    | { readonly kind: 'space'; readonly prefix: string; readonly operand: Node }
    | { readonly kind: 'assign'; readonly target: Node; readonly value: Node }
);

/** The parts of a node that are expressions themselves, in the order of the text. */
export function childrenOf(node: Node): readonly Node[] {
    switch (node.kind) {
        case 'number':
        case 'float':
        case 'name':
        case 'sizeOfType':
        case 'offsetOf':
            return [];
        case 'binary':
            return [node.left, node.right];
        case 'conditional':
            return [node.condition, node.then, node.otherwise];
        case 'memory':
            return [node.address];
        case 'index':
            return [node.base, node.index];
        case 'perCpu':
            return [node.operand, node.cpu];
        case 'assign':
            return [node.target, node.value];
        default:
            return [node.operand];
    }
}
