/**
 * Agent expressions (gdb manual, appendix F): the bytecode in which gdb sends the conditions of breakpoints. They become
 * expressions of our own, which are compiled into translated code like those that users write.
 */
import { HyperscopeError } from '../common/errors';
import { WIRE_REGISTERS } from './register-layout';

/** Bytecode that is damaged, or asks for what a condition cannot do. */
export class AgentExpressionError extends HyperscopeError {}

/** Operations along one path through the bytecode, and text that may come of it: more is an attack. */
const MOST_STEPS = 2_000;
const LONGEST_TEXT = 8_000;

const enum Op {
    Add = 0x02,
    Sub = 0x03,
    Mul = 0x04,
    DivSigned = 0x05,
    DivUnsigned = 0x06,
    RemSigned = 0x07,
    RemUnsigned = 0x08,
    Lsh = 0x09,
    RshSigned = 0x0a,
    RshUnsigned = 0x0b,
    LogNot = 0x0e,
    BitAnd = 0x0f,
    BitOr = 0x10,
    BitXor = 0x11,
    BitNot = 0x12,
    Equal = 0x13,
    LessSigned = 0x14,
    LessUnsigned = 0x15,
    Ext = 0x16,
    Ref8 = 0x17,
    Ref16 = 0x18,
    Ref32 = 0x19,
    Ref64 = 0x1a,
    IfGoto = 0x20,
    Goto = 0x21,
    Const8 = 0x22,
    Const16 = 0x23,
    Const32 = 0x24,
    Const64 = 0x25,
    Reg = 0x26,
    End = 0x27,
    Dup = 0x28,
    Pop = 0x29,
    ZeroExt = 0x2a,
    Swap = 0x2b,
    Pick = 0x32,
    Rot = 0x33,
}

/** Two operands of 64 bits, as signed or unsigned. */
const BINARY: Readonly<Record<number, readonly [operator: string, type: 'i64' | 'u64']>> = {
    [Op.Add]: ['+', 'u64'],
    [Op.Sub]: ['-', 'u64'],
    [Op.Mul]: ['*', 'u64'],
    [Op.DivSigned]: ['/', 'i64'],
    [Op.DivUnsigned]: ['/', 'u64'],
    [Op.RemSigned]: ['%', 'i64'],
    [Op.RemUnsigned]: ['%', 'u64'],
    [Op.Lsh]: ['<<', 'u64'],
    [Op.RshSigned]: ['>>', 'i64'],
    [Op.RshUnsigned]: ['>>', 'u64'],
    [Op.BitAnd]: ['&', 'u64'],
    [Op.BitOr]: ['|', 'u64'],
    [Op.BitXor]: ['^', 'u64'],
    [Op.Equal]: ['==', 'u64'],
    [Op.LessSigned]: ['<', 'i64'],
    [Op.LessUnsigned]: ['<', 'u64'],
};
const REFERENCES: Readonly<Record<number, string>> = {
    [Op.Ref8]: 'u8',
    [Op.Ref16]: 'u16',
    [Op.Ref32]: 'u32',
    [Op.Ref64]: 'u64',
};
const CONSTANTS: Readonly<Record<number, number>> = {
    [Op.Const8]: 1,
    [Op.Const16]: 2,
    [Op.Const32]: 4,
    [Op.Const64]: 8,
};

/**
 * The bytecode as an expression that is not 0 where the bytecode's result is not.
 * @throws AgentExpressionError
 */
export function translateAgentExpression(code: Uint8Array): string {
    return new Translation(code).from(0, []);
}

class Translation {
    private steps = 0;

    constructor(private readonly code: Uint8Array) {}

    /** What comes of the bytecode from `at` on, with these expressions on the stack. */
    from(at: number, before: readonly string[]): string {
        const stack = [...before];
        for (;;) {
            if (++this.steps > MOST_STEPS) {
                throw new AgentExpressionError('the condition takes too many operations, or never ends');
            }
            const op = this.number(at++, 1);
            switch (op) {
                case Op.End:
                    return pop(stack);
                case Op.Goto:
                    at = this.number(at, 2);
                    break;
                case Op.IfGoto: {
                    const condition = pop(stack);
                    const taken = this.from(this.number(at, 2), stack);
                    const otherwise = this.from(at + 2, stack);
                    return checked(`((${condition} && ${taken}) || (!${condition} && ${otherwise}))`);
                }
                case Op.Reg:
                    stack.push(this.register(this.number(at, 2)));
                    at += 2;
                    break;
                case Op.Pick:
                    stack.push(peek(stack, this.number(at, 1)));
                    at++;
                    break;
                case Op.Ext:
                case Op.ZeroExt:
                    stack.push(this.extend(pop(stack), this.number(at, 1), op === Op.Ext));
                    at++;
                    break;
                default:
                    if (op in CONSTANTS) {
                        const size = CONSTANTS[op];
                        stack.push(`(u64)0x${this.constant(at, size).toString(16)}`);
                        at += size;
                    } else {
                        this.operate(op, stack);
                    }
            }
        }
    }

    private operate(op: number, stack: string[]): void {
        if (op in BINARY) {
            const [operator, type] = BINARY[op];
            const right = pop(stack);
            const left = pop(stack);
            stack.push(checked(`(u64)((${type})${left} ${operator} (${type})${right})`));
            return;
        }
        if (op in REFERENCES) {
            stack.push(checked(`(u64)${REFERENCES[op]}[${pop(stack)}]`));
            return;
        }
        switch (op) {
            case Op.LogNot:
                stack.push(checked(`(u64)(${pop(stack)} == 0)`));
                return;
            case Op.BitNot:
                stack.push(checked(`(u64)(~${pop(stack)})`));
                return;
            case Op.Dup:
                stack.push(peek(stack, 0));
                return;
            case Op.Pop:
                pop(stack);
                return;
            case Op.Swap:
                stack.push(pop(stack), pop(stack));
                return;
            case Op.Rot: {
                const [c, b, a] = [pop(stack), pop(stack), pop(stack)];
                stack.push(c, a, b);
                return;
            }
        }
        throw new AgentExpressionError(`operation 0x${op.toString(16)} means nothing in a condition`);
    }

    private extend(value: string, bits: number, signed: boolean): string {
        if (bits === 0 || bits > 64) {
            throw new AgentExpressionError(`${bits} bits cannot be extended`);
        }
        if (bits === 64) {
            return value;
        }
        if (signed) {
            const shift = 64 - bits;
            return checked(`(u64)((i64)(${value} << ${shift}) >> ${shift})`);
        }
        return checked(`(${value} & 0x${((1n << BigInt(bits)) - 1n).toString(16)})`);
    }

    private register(number: number): string {
        const register = WIRE_REGISTERS[number] as (typeof WIRE_REGISTERS)[number] | undefined;
        if (register === undefined || register.size > 8) {
            throw new AgentExpressionError(`there is no register ${number} for a condition`);
        }
        return `(u64)$${register.register}`;
    }

    private number(at: number, size: 1 | 2): number {
        return Number(this.constant(at, size));
    }

    /** Big-endian, as agent expressions have them. */
    private constant(at: number, size: number): bigint {
        if (at + size > this.code.length) {
            throw new AgentExpressionError('the condition ends in the middle of an operation');
        }
        let value = 0n;
        for (let i = 0; i < size; i++) {
            value = (value << 8n) | BigInt(this.code[at + i]);
        }
        return value;
    }
}

function pop(stack: string[]): string {
    const value = stack.pop();
    if (value === undefined) {
        throw new AgentExpressionError('the condition takes more from its stack than there is');
    }
    return value;
}

function peek(stack: readonly string[], depth: number): string {
    const value = stack[stack.length - 1 - depth] as string | undefined;
    if (value === undefined) {
        throw new AgentExpressionError('the condition takes more from its stack than there is');
    }
    return value;
}

function checked(text: string): string {
    if (text.length > LONGEST_TEXT) {
        throw new AgentExpressionError('the condition is too long');
    }
    return text;
}
