/**
 * Code outside of all functions that jumps back into one, with the stack as it was: kernels keep unlikely ways apart from
 * their functions (Linux: `.altinstr_aux`), and no table describes them.
 */
import { Attribute, decode, Gpr, OperandKind } from '../../isa/x86';
import type { UnwindMemory } from '../../symbols/unwind';

const MOST_INSTRUCTIONS = 8;
const LONGEST_INSTRUCTION = 15;
const TOUCHES_STACK = /^(?:PUSH|POP|ENTER|LEAVE|CALL|RET|IRET|INT|SYS)/;

/** Where code goes on by a jump that is sure to come; undefined if nothing tells, or the stack changes before. */
export function jumpTarget(pc: bigint, bits: 32 | 64, memory: UnwindMemory): bigint | undefined {
    for (let at = pc, count = 0; count < MOST_INSTRUCTIONS; count++) {
        const code = memory.readMemory(at, LONGEST_INSTRUCTION) ?? new Uint8Array(0);
        const instruction = decode(code, 0, code.length, bits);
        if (typeof instruction === 'number') return undefined;
        const { row, operands } = instruction;
        const first = operands.at(0);
        at += BigInt(instruction.length);
        if (row.mnemonic === 'JMP') {
            return first?.kind === OperandKind.Relative
                ? BigInt.asUintN(bits, at + BigInt(instruction.immediate))
                : undefined;
        }
        const isConditional = (row.attributes & Attribute.Conditional) !== 0;
        const isOther = (row.attributes & (Attribute.Branch | Attribute.System)) !== 0 && !isConditional;
        const isOnStack = first?.kind === OperandKind.Gpr && !first.highByte && first.register === (Gpr.Rsp as number);
        if (isOther || isOnStack || TOUCHES_STACK.test(row.mnemonic)) return undefined;
    }
    return undefined;
}
