/**
 * Conditions in a form that an engine can compile: expressions over a vCPU's state and memory. Every value has 64 bits;
 * operations are those of two's complement, those whose name ends in `U` or `S` take their operands as unsigned or
 * signed. What a condition can't express, or can't decide in translated code, its owner evaluates in another way.
 */

export type Condition =
    /** 64-bit pattern. */
    | { readonly kind: 'constant'; readonly value: bigint }
    /** A field of the vCPU's state (`StateOffset`), zero-extended. Not RIP or RFLAGS, which are kept otherwise. */
    | { readonly kind: 'state'; readonly offset: number; readonly bytes: ByteSize }
    /** RIP, RFLAGS, and the linear address of RIP. */
    | { readonly kind: 'rip' | 'rflags' | 'pc' }
    /** Zero-extended bytes at a linear address, as the guest's own code would read them. */
    | { readonly kind: 'load'; readonly address: Condition; readonly bytes: ByteSize }
    /** `signed`: the low `bytes` bytes, sign-extended; else zero-extended. */
    | { readonly kind: 'extend'; readonly operand: Condition; readonly bytes: ByteSize; readonly signed: boolean }
    | {
          readonly kind: 'binary';
          readonly operator: ConditionOperator;
          readonly left: Condition;
          readonly right: Condition;
      }
    /** 1 if the operand is 0, else 0. */
    | { readonly kind: 'not'; readonly operand: Condition }
    /** 0 or 1; the right side is evaluated only if the left one does not decide. */
    | { readonly kind: 'and' | 'or'; readonly left: Condition; readonly right: Condition };

export type ByteSize = 1 | 2 | 4 | 8;

/**
 * Comparisons give 0 or 1. Shifts by more than 63 give 0, or copies of the sign for `shrS`; a division by 0 leaves the
 * condition undecided.
 */
export type ConditionOperator =
    | ('add' | 'sub' | 'mul' | 'divS' | 'divU' | 'remS' | 'remU' | 'bitAnd' | 'bitOr' | 'bitXor')
    | ('shl' | 'shrS' | 'shrU' | 'eq' | 'ne' | 'ltS' | 'ltU' | 'leS' | 'leU');

/** Beyond this an expression is not worth compiling, and would be deep for recursive code. */
const LARGEST_CONDITION = 500;

/** Whether the condition is small enough for engines to compile. */
export function isCompilable(condition: Condition): boolean {
    const waiting = [condition];
    for (let seen = 0; ; seen++) {
        const node = waiting.pop();
        if (node === undefined) {
            return true;
        }
        if (seen >= LARGEST_CONDITION) {
            return false;
        }
        switch (node.kind) {
            case 'load':
                waiting.push(node.address);
                break;
            case 'extend':
            case 'not':
                waiting.push(node.operand);
                break;
            case 'binary':
            case 'and':
            case 'or':
                waiting.push(node.left, node.right);
        }
    }
}
