/**
 * Agent expressions (gdb manual, appendix F): the bytecode in which gdb sends the conditions of breakpoints. They become
 * expressions of our own, which are compiled into translated code like those that users write.
 */
import { HyperscopeError } from '../common/errors';
import { ExpressionError } from '../debug/expression/error';
import { Expression } from '../debug/expression/expression';
import { WIRE_REGISTERS } from './register-layout';

/** Bytecode that is damaged, or asks for what a condition cannot do. */
export class AgentExpressionError extends HyperscopeError {}

/** It means something, but more than an expression can hold. */
class TooLong extends Error {}

/** Operations along all paths through the bytecode, and text that may come of it: more is an attack. */
const MOST_STEPS = 2_000;
const LONGEST_TEXT = 8_000;

/** A value of the bytecode's stack. All have 64 bits; the type is that of the text, which decides how operators take it. */
interface Term {
    readonly text: string;
    readonly type: 'i64' | 'u64';
    /** Its value, if it is a constant. */
    readonly constant?: bigint;
}

/** Operations, by their codes (gdb manual, F.2). */
export const enum Op {
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
const COMPARISONS: ReadonlySet<string> = new Set(['==', '<']);
/** Bits that a cast extends; other numbers take two shifts. */
const CAST_WIDTHS: ReadonlySet<number> = new Set([8, 16, 32]);
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
 * The bytecode as an expression that is not 0 where the bytecode's result is not; undefined if it would be longer or
 * deeper than expressions may be, or never ends. gdb itself asks again when a breakpoint stops the guest, so one without a condition is
 * slower, but stops it at the same places.
 * @throws AgentExpressionError
 */
export function translateAgentExpression(code: Uint8Array): string | undefined {
    try {
        const { text } = new Translation(code).from(0, []);
        new Expression(text);
        return text;
    } catch (error) {
        if (error instanceof TooLong || error instanceof ExpressionError) {
            return undefined;
        }
        throw error;
    }
}

class Translation {
    private steps = 0;

    constructor(private readonly code: Uint8Array) {}

    /** What comes of the bytecode from `at` on, with these values on the stack. */
    from(at: number, before: readonly Term[]): Term {
        const stack = [...before];
        for (;;) {
            if (++this.steps > MOST_STEPS) {
                throw new TooLong();
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
                    const target = this.number(at, 2);
                    if (condition.constant === undefined) {
                        return choose(condition, this.from(target, stack), this.from(at + 2, stack));
                    }
                    at = condition.constant === 0n ? at + 2 : target;
                    break;
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
                        stack.push(literal(this.constant(at, size)));
                        at += size;
                    } else {
                        this.operate(op, stack);
                    }
            }
        }
    }

    private operate(op: number, stack: Term[]): void {
        if (op in BINARY) {
            const [operator, type] = BINARY[op];
            const right = as(type, pop(stack));
            const left = as(type, pop(stack));
            stack.push(term(`(${left} ${operator} ${right})`, COMPARISONS.has(operator) ? 'i64' : type));
            return;
        }
        if (op in REFERENCES) {
            stack.push(term(`(u64)${REFERENCES[op]}[${pop(stack).text}]`, 'u64'));
            return;
        }
        switch (op) {
            case Op.LogNot:
                stack.push(negated(pop(stack)));
                return;
            case Op.BitNot:
                stack.push(term(`(u64)~${pop(stack).text}`, 'u64'));
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

    private extend(value: Term, bits: number, signed: boolean): Term {
        if (bits === 0 || bits > 64) {
            throw new AgentExpressionError(`${bits} bits cannot be extended`);
        }
        if (bits === 64) {
            return value;
        }
        if (signed) {
            const shift = 64 - bits;
            return CAST_WIDTHS.has(bits)
                ? term(`(i64)(i${bits})${value.text}`, 'i64')
                : term(`((i64)(${value.text} << ${shift}) >> ${shift})`, 'i64');
        }
        const mask = (1n << BigInt(bits)) - 1n;
        return value.constant === undefined
            ? term(`(${as('u64', value)} & 0x${mask.toString(16)})`, 'u64')
            : literal(value.constant & mask);
    }

    private register(number: number): Term {
        const register = WIRE_REGISTERS[number] as (typeof WIRE_REGISTERS)[number] | undefined;
        if (register === undefined || register.size > 8) {
            throw new AgentExpressionError(`there is no register ${number} for a condition`);
        }
        return term(`(u64)$${register.register}`, 'u64');
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

function pop(stack: Term[]): Term {
    const value = stack.pop();
    if (value === undefined) {
        throw new AgentExpressionError('the condition takes more from its stack than there is');
    }
    return value;
}

function peek(stack: readonly Term[], depth: number): Term {
    const value = stack[stack.length - 1 - depth] as Term | undefined;
    if (value === undefined) {
        throw new AgentExpressionError('the condition takes more from its stack than there is');
    }
    return value;
}

function term(text: string, type: Term['type']): Term {
    if (text.length > LONGEST_TEXT) {
        throw new TooLong();
    }
    return { text, type };
}

/** Digits of a number below 2⁶³ are an `i64`, others a `u64`. */
function literal(constant: bigint): Term {
    return { text: `0x${constant.toString(16)}`, type: constant < 1n << 63n ? 'i64' : 'u64', constant };
}

function as(type: Term['type'], value: Term): string {
    return value.type === type ? value.text : `(${type})${value.text}`;
}

function negated({ text, constant }: Term): Term {
    return constant === undefined ? term(`(!${text})`, 'i64') : literal(constant === 0n ? 1n : 0n);
}

/** Where the bytecode parts: only whether its result is 0 counts from here on. gdb's `&&` and `||` are such places. */
function choose(condition: Term, taken: Term, otherwise: Term): Term {
    const inverse = negated(condition);
    if (taken.constant !== undefined && otherwise.constant !== undefined) {
        const [yes, no] = [taken.constant !== 0n, otherwise.constant !== 0n];
        return yes === no ? literal(yes ? 1n : 0n) : yes ? condition : inverse;
    }
    if (otherwise.constant !== undefined) {
        return term(
            otherwise.constant === 0n ? `(${condition.text} && ${taken.text})` : `(${inverse.text} || ${taken.text})`,
            'i64',
        );
    }
    if (taken.constant !== undefined) {
        return term(
            taken.constant === 0n
                ? `(${inverse.text} && ${otherwise.text})`
                : `(${condition.text} || ${otherwise.text})`,
            'i64',
        );
    }
    return term(`((${condition.text} && ${taken.text}) || (${inverse.text} && ${otherwise.text}))`, 'i64');
}
