import assert from 'node:assert/strict';
import { compileCondition } from '../../../src/debug/expression/compile';
import type { EvaluationContext } from '../../../src/debug/expression/context';
import { Expression } from '../../../src/debug/expression/expression';
import { EvaluationProblem, ExpressionError } from '../../../src/debug/expression/error';
import { INT, makeValue, pointerTo, typeName, UNSIGNED_INT, type Value } from '../../../src/debug/expression/value';
import type { Condition, ConditionOperator } from '../../../src/machine/condition';
import type { CType, RecordType } from '../../../src/symbols/types';
import { ValuePresenter } from '../../../src/debug/source/value-text';
import { type WatchHit, withValues } from '../../../src/debug/watchpoints';
import { NOTHING } from '../../support/evaluation';

/** A vCPU with a few registers, 256 bytes of memory at 0x1000 whose values are their offsets, and one symbol. */
function machine(): { context: EvaluationContext; registers: Map<string, bigint>; memory: Uint8Array } {
    const registers = new Map([
        ['rax', 0xffff_ffff_ffff_fffen],
        ['ecx', 7n],
        ['ds', 0x20n],
        ['si', 0x10n],
    ]);
    const memory = Uint8Array.from({ length: 0x100 }, (_, index) => index);
    const context: EvaluationContext = {
        readRegister: name => {
            const value = registers.get(name);
            return value === undefined ? undefined : { value, width: name.startsWith('r') ? 64 : 32 };
        },
        writeRegister: (name, value) => void registers.set(name, value),
        // Physical memory lies 0x1000 lower.
        readMemory: (space, address, size) => {
            const at = Number(address) - (space === 'linear' ? 0x1000 : 0);
            return at >= 0 && at + size <= memory.length ? memory.slice(at, at + size) : undefined;
        },
        writeMemory: (_space, address, bytes) => {
            memory.set(bytes, Number(address) - 0x1000);
            return true;
        },
        symbol: name => ({ start_kernel: 0x1040n, 'foo.isra.0': 5n })[name],
        segmentLinear: (_segment, offset) => 0x1000n + offset,
    };
    return { context, registers, memory };
}

function evaluate(text: string): string {
    const { bits, type, space } = new Expression(text).evaluate(machine().context);
    return `${typeName(type)} ${bits}${space === 'physical' ? ' physical' : ''}`;
}

function refusal(text: string, context = machine().context): string {
    try {
        new Expression(text).evaluate(context);
    } catch (error) {
        assert.ok(error instanceof ExpressionError, String(error));
        return `${error.position}: ${error.problem}`;
    }
    return assert.fail(`${text} was not refused`);
}

const NO_HIT = { watched: { space: 'linear', offset: 0n, length: 4 }, old: 0n, now: 0n } as WatchHit;

describe('expressions', () => {
    const cases: readonly (readonly [text: string, result: string])[] = [
        ['1 + 2 * 3', 'i64 7'],
        ['(1 + 2) * 3', 'i64 9'],
        ['0x_ff', 'i64 255'],
        ["'A'", 'i64 65'],
        ['0x10UL + 1', 'u64 17'],
        ['-1 > 1ull', 'i64 1'],
        ['-1 > 1u', 'i64 0'],
        ['-1 > 0x100000000u', 'i64 1'],
        ['1.5 * 2 == 3', 'i64 1'],
        ['1e3 > 999.5f', 'i64 1'],
        ['!true || false', 'i64 0'],
        ['1 << 63 >> 63', 'i64 -1'],
        ['rax >> 60', 'u64 15'],
        ['~0 == rax + 1', 'i64 1'],
        ['-1 < 0', 'i64 1'],
        ['rax < 0', 'i64 0'],
        ['(i64)rax < 0', 'i64 1'],
        ['(i8)0x80', 'i8 -128'],
        ['(u8)0x1ff', 'u8 255'],
        ['1 || 1 / 0', 'i64 1'],
        ['0 && 1 / 0', 'i64 0'],
        ['10 % 4 | 8', 'i64 10'],
        ['1 == 1 & 2', 'i64 0'],
        ['RAX + 2', 'u64 0'],
        ['$ecx', 'u32 7'],
        ['u8[0x1004]', 'u8 4'],
        ['u32[0x1004]', 'u32 117835012'],
        ['i16[0x1000 + 0xfe]', 'i16 -2'],
        ['*(u16*)0x1004', 'u16 1284'],
        ['((u16*)0x1004)[1]', 'u16 1798'],
        ['(u32*)0x1000 + 2', 'u32* 4104'],
        ['(u32*)0x1010 - (u32*)0x1000', 'i64 4'],
        ['&u32[0x1008]', 'u32* 4104'],
        ['phys:4 + 4', 'i64 8 physical'],
        ['u8[phys:4 + 4]', 'u8 8'],
        ['u8[ds:si]', 'u8 16'],
        ['start_kernel + 1', 'u64 4161'],
        ['foo.isra.0', 'u64 5'],
        ['`start_kernel`', 'u64 4160'],
    ];
    for (const [text, result] of cases) {
        it(`${text} is ${result}`, () => assert.equal(evaluate(text), result));
    }

    const errors: readonly (readonly [text: string, problem: RegExp])[] = [
        ['', /^0: an expression is missing/],
        ['1 +', /^3: a value is missing/],
        ['(1', /^2: '\)' is missing/],
        ['1 2', /^2: an operator/],
        ['1ulu', /^0: '1ulu' is not a number/],
        ['1.5e', /^\d: /],
        ['0x', /^0: '0x' is not a number/],
        ['12ab', /^0: '12ab' is not a number/],
        ['0x10000000000000000', /^0: .*64 bits/],
        ['2 * ecx / (1 - 1)', /^8: division by zero/],
        ['eax#', /^3: '#' has no meaning/],
        ['nothing', /^0: there is no register or symbol/],
        ['$start_kernel', /^0: there is no register 'start_kernel'$/],
        ['*rax', /^0: '\*' needs to know how much/],
        ['u32', /^3: 'u32' is a type/],
        ['1 + u64[0x5000]', /^4: no memory to read at linear address 0x5000/],
        ['xx:4', /^0: 'xx:' is no address space/],
        ['rax = 1', /^4: this must not change anything/],
        ['rax += 1', /^5: only '=' assigns: write x = x \+ 1/],
        ['1 + = 2', /^4: only '=' assigns/],
        ['(= 2)', /^1: a value is missing before '='/],
        ['start_kernel(1)', /^12: functions of the guest cannot be called/],
        ['gdtr', /^0: there is no register or symbol 'gdtr', but gdtr.base and gdtr.limit$/],
    ];
    for (const [text, problem] of errors) {
        it(`${JSON.stringify(text)} is refused at the right place`, () => assert.match(refusal(text), problem));
    }

    it("know gdb's names of the stack and frame pointers, which are as wide as the registers", () => {
        const { context, registers } = machine();
        for (const [name, value] of [
            ['rsp', 0x12345678n],
            ['sp', 0x5678n],
            ['rbp', 0x9abcdef0n],
        ] as const) {
            registers.set(name, value);
        }
        const run = (text: string): bigint => new Expression(text).evaluate(context, { assignments: true }).bits;
        assert.equal(run('$sp'), 0x12345678n);
        assert.equal(run('sp'), 0x5678n);
        assert.equal(run('$fp + 0'), 0x9abcdef0n);
        run('$sp = 16');
        assert.equal(registers.get('rsp'), 16n);
    });

    it('refuse nesting and length that could exhaust the stack', () => {
        assert.match(refusal('('.repeat(1500)), /nested too deeply/);
        assert.match(refusal('-'.repeat(1500)), /nested too deeply/);
        assert.match(refusal('1+'.repeat(10_000)), /longer than/);
        assert.equal(evaluate(`${'1+'.repeat(900)}1`), 'i64 901');
    });

    it('assign to registers and memory where that is allowed', () => {
        const { context, registers, memory } = machine();
        const run = (text: string): bigint => new Expression(text).evaluate(context, { assignments: true }).bits;
        assert.equal(run('ecx = u8[0x1000] = 0x1ff'), 0xffn);
        assert.equal(registers.get('ecx'), 0xffn);
        assert.equal(memory[0], 0xff);
        run('*(u16*)0x1002 = -2');
        assert.deepEqual([...memory.subarray(1, 5)], [1, 0xfe, 0xff, 4]);
        assert.throws(() => run('1 = 2'), /only a register or memory/);
    });
});

const SHORT: CType = { kind: 'integer', width: 16, signed: true, name: 'short' };
const BYTE: CType = {
    kind: 'typedef',
    name: 'byte',
    target: { kind: 'integer', width: 8, signed: false, name: 'unsigned char' },
};
const FLOAT: CType = { kind: 'float', size: 4, name: 'float' };
const COMPLEX: CType = { kind: 'float', size: 8, name: 'float _Complex', complex: true };
const TINY: CType = { kind: 'float', size: 2, name: '_Float16' };
const PAIR: RecordType = {
    ...{ kind: 'record', keyword: 'struct', name: 'pair', size: 16, complete: true },
    members: [
        { name: 'first', type: INT, offset: 0 },
        { name: 'flags', type: UNSIGNED_INT, offset: 4, bits: { offset: 32, size: 3 } },
        { name: 'text', type: { kind: 'array', element: BYTE, count: 8 }, offset: 8 },
    ],
};

const KNOWN = new Array<boolean>(16).fill(true);

/** A program with variables of C's types; what they point to is not in memory. */
const program: EvaluationContext = {
    ...NOTHING,
    global(name): Value | undefined {
        const values: Readonly<Record<string, Value>> = {
            minus: makeValue(-1n, INT),
            most: makeValue(0xffffffffn, UNSIGNED_INT),
            small: makeValue(-300n, SHORT),
            byte: makeValue(250n, BYTE),
            half: makeValue(0x3f000000n, FLOAT),
            zero: makeValue(0x80000000n, FLOAT),
            complex: makeValue(0x3f8000003f800000n, COMPLEX),
            tiny: { ...makeValue(0n, TINY), place: { kind: 'memory', space: 'linear', address: 0n } },
            pair: makeValue(0x1000n, pointerTo(PAIR)),
            held: {
                ...makeValue(0n, PAIR),
                image: { bytes: Uint8Array.of(1, 0, 0, 0, 0xfd, ...new Array<number>(11).fill(0)), known: KNOWN },
            },
            field: {
                ...makeValue(5n, UNSIGNED_INT),
                place: { kind: 'memory', space: 'linear', address: 0n, field: { offset: 0, size: 3 } },
            },
        };
        return Object.hasOwn(values, name) ? values[name] : undefined;
    },
    type: (name, keyword) =>
        name === 'pair' && keyword === 'struct' ? PAIR : name === 'u_char' && keyword === undefined ? BYTE : undefined,
};

describe("expressions over a program's variables", () => {
    const cases: readonly (readonly [text: string, result: string])[] = [
        // Held against gdb and GCC.
        ['minus > most', 'int 0'],
        ['minus == 0xffffffff', 'int 1'],
        ['minus == 4294967295', 'int 0'],
        ['most > -1', 'int 0'],
        ['most + 1', 'unsigned int 0'],
        ['most + 1l', 'long 4294967296'],
        ['-most', 'unsigned int 1'],
        ['~byte', 'int -251'],
        ['byte + byte', 'int 500'],
        ['small * small', 'int 90000'],
        ['small >> 1', 'int -150'],
        ['most << 4', 'unsigned int 4294967280'],
        ['minus << 40', 'int 0'],
        ['1 << field', 'int 32'],
        ['1 << byte', 'int 0'],
        ['-field', 'int -5'],
        ['held.flags', 'unsigned int 5'],
        ['-held.flags', 'int -5'],
        ['!minus', 'int 0'],
        ['minus && zero', 'i64 0'],
        ['!zero', 'int 1'],
        ['half + half', `float ${0x3f800000}`],
        ['half + 1.0 == 1.5', 'i64 1'],
        ['half * 3', `float ${0x3fc00000}`],
        ['(int)(half * 3)', 'int 1'],
        ['minus ? byte : most', 'unsigned int 250'],
        ['0 ? 1 / 0 : minus', 'int -1'],
        ['1 ? 2 ? 3 : 4 : 5', 'i64 3'],
        ['1 ? byte : per_cpu(x, 9)', 'byte 250'],
        ['0 ? *pair + 1 : minus', 'int -1'],
        ['sizeof(byte / 0)', 'u64 4'],
        ['half / 0 > 1', 'i64 1'],
        ['byte > 200 ? pair : 0', 'struct pair* 4096'],
        ['(u_char)-minus', 'byte 1'],
        ['(u_char)+most', 'byte 255'],
        ['sizeof(byte)', 'u64 1'],
        ['sizeof(byte + byte)', 'u64 4'],
        ['sizeof(pair)', 'u64 8'],
        ['sizeof(*pair)', 'u64 16'],
        ['sizeof(pair->text)', 'u64 8'],
        ['sizeof(1)', 'u64 4'],
        ['(long)&((struct pair *)0)->text[3]', 'long 11'],
        ['&pair->first == (int *)pair', 'int 1'],
        ['&pair[2] - pair', 'long 2'],
        ["'\\xff' == minus", 'int 1'],
        ["'\\101'", 'i64 65'],
        ['017', 'i64 15'],
        // Constants are C's where they meet the program's types, and have 64 bits by themselves.
        ['~0u >> 4', `u64 ${0xfff_ffff_ffff_ffffn}`],
        ['most >> 4 == ~0u >> 4', 'int 1'],
        ['most - (~0u / 3) * 2', `unsigned int ${0x55555555}`],
        ['most + (~0u % 10)', 'unsigned int 4'],
        ['most == -1u / 1', 'int 1'],
        ['most == (0xffffffff + 1) - 1', 'int 1'],
        ['!minus + (1 << 40)', `long ${1n << 40n}`],
        ['!minus + (0x7fffffff + 1)', `long ${1n << 31n}`],
        ['!minus + (-1 > 1u)', 'int 1'],
        ['-1 > 1u', 'i64 0'],
        ['(int)(~0u >> 4)', `int ${0xfff_ffff}`],
        ['(u64)(~0u >> 4)', `u64 ${0xfff_ffff_ffff_ffffn}`],
        ['&pair[~0u >> 28] - pair', 'long 15'],
        ['half * (~0u >> 31)', `float ${0x3f000000}`],
        ['1 ? ~0u >> 4 : minus', `unsigned int ${0xfff_ffff}`],
        ['1 << minus + 5', 'int 16'],
        ['sizeof(1 / 0 + byte)', 'u64 4'],
    ];
    for (const [text, result] of cases) {
        it(`${text} is ${result}`, () => {
            const { bits, type } = new Expression(text).evaluate(program);
            assert.equal(`${typeName(type)} ${bits}`.replace('struct pair *', 'struct pair*'), result);
        });
    }

    const refusals: readonly (readonly [text: string, problem: RegExp])[] = [
        ['(int)complex', /numbers of type float _Complex can only be read/],
        ['1 ? 2 : other', /there is no register or symbol 'other'/],
        ['*pair + 1', /a value of type struct pair is no number/],
        ['(int)*pair', /a value of type struct pair is no number/],
        ['minus / ~0xffffffff', /^6: division by zero/],
        ['minus / (0x80000000 * 2)', /^6: division by zero/],
        ['half % 2', /'%' takes no floating-point numbers/],
        ['~half', /'~' takes no floating-point number/],
        ['pair->first', /no memory to read at linear address 0x1000/],
        ['&pair->flags', /a bit-field has no address/],
        ['sizeof(other)', /there is no register, variable or symbol 'other'|there is no register or symbol 'other'/],
        ['1 ? 2', /':' is missing/],
        ['089', /'089' is not a number/],
    ];
    for (const [text, problem] of refusals) {
        it(`${text} is refused`, () => assert.match(refusal(text, program), problem));
    }

    it('tell where a name stands that cannot be looked up, also where it may be one of a type', () => {
        const context: EvaluationContext = {
            ...machine().context,
            local: name => {
                if (name === 'lost') throw new EvaluationProblem('lost: this engine does not tell');
                return undefined;
            },
        };
        for (const text of ['1 + lost', '2 + (lost) - 1', 'sizeof(lost)']) {
            assert.equal(refusal(text, context), `${text.indexOf('lost')}: lost: this engine does not tell`);
        }
    });

    it('read no variables whose values do not count', () => {
        const asked: string[] = [];
        const variable = (name: string, isRead = true): Value | undefined => {
            if (name.length !== 1) return undefined;
            asked.push(`${name}${isRead ? '' : ' unread'}`);
            const place = { kind: 'memory', space: 'linear', address: 0x1000n } as const;
            return { ...makeValue(1n, name === 'p' ? pointerTo(INT) : INT), place };
        };
        const context: EvaluationContext = {
            ...machine().context,
            global: variable,
            perCpu: (name, cpu, isRead) => variable(name, isRead),
        };
        const cases: readonly (readonly [text: string, asked: readonly string[]])[] = [
            ['x', ['x']],
            ['sizeof x', ['x unread']],
            ['sizeof(x)', ['x unread']],
            ['sizeof(x == *p)', ['x unread', 'p unread']],
            ['sizeof(per_cpu(x, 0))', ['x unread']],
            ['per_cpu(x, 0)', ['x']],
            ['&x', ['x unread']],
            ['&p[1]', ['p unread', 'p']],
            ['1 ? x : y', ['y unread', 'x']],
        ];
        for (const below of [context, withValues(context, NO_HIT)]) {
            for (const [text, expected] of cases) {
                asked.length = 0;
                new Expression(text).evaluate(below);
                assert.deepEqual(asked, expected, text);
            }
        }
    });

    it('say by what records and arrays can be changed', () => {
        const run = (text: string) => () => new Expression(text).evaluate(program, { assignments: true });
        assert.throws(run('held = 1'), /a value of type struct pair is changed by its members/);
        assert.throws(run('held.text = 1'), /a value of type byte\[8\] is changed by its elements/);
    });

    it('assign on the chosen side of ?: alone', () => {
        const { context, registers } = machine();
        const run = (text: string): bigint => new Expression(text).evaluate(context, { assignments: true }).bits;
        assert.equal(run('ecx == 7 ? (ecx = 1) : (ecx = 2)'), 1n);
        assert.equal(registers.get('ecx'), 1n);
        assert.throws(() => run('ecx == 1 ? (ecx = 5) : nothing'), /there is no register or symbol 'nothing'/);
        assert.equal(registers.get('ecx'), 1n, 'nothing has been assigned');
    });

    it('write no floating-point numbers of types that have no encoding here', () => {
        for (const text of ['tiny = 1', 'tiny = 1.5', '(float)complex']) {
            const run = (): Value => new Expression(text).evaluate(program, { assignments: true });
            assert.throws(run, /numbers of type .* can only be read/, text);
        }
    });

    it('conditions of what engines have not are left to the evaluator', () => {
        const context = {
            register: () => ({ condition: { kind: 'constant', value: 0x1000n } as const, width: 64 }),
            symbol: () => undefined,
        };
        const compiled = (text: string): Condition | undefined => compileCondition(new Expression(text), context);
        for (const text of ['1 / 0', '5 % (1 - 1)', '(__int128)rax == 5', '(unsigned __int128)rax + 1 > 5']) {
            assert.equal(compiled(text), undefined, text);
        }
        assert.equal(evaluateCondition(compiled('(void *)rax + 8 == 0x1008')!), true);
        assert.equal(evaluateCondition(compiled('(void *)rax - 8 == 0xff8')!), true);
    });

    it('numbers of 128 bits that are computed read as what they are', () => {
        const presenter = new ValuePresenter({ context: program, symbol: () => undefined });
        const text = (expression: string): string => presenter.text(new Expression(expression).evaluate(program));
        assert.equal(text('(__int128)most * most * 4'), `${0xffffffffn * 0xffffffffn * 4n}`);
        assert.equal(text('(__int128)minus - 1'), '-2');
    });

    it('conditions that engines compile mean the same', () => {
        const registers: Readonly<Record<string, bigint>> = { eax: 0xffffffffn, ebx: 250n };
        const context: EvaluationContext = {
            ...NOTHING,
            readRegister: name => (name in registers ? { value: registers[name], width: 32 } : undefined),
        };
        const texts = [
            ...['(int)eax < 0', '(unsigned int)eax > -1', '(int)eax > (unsigned)5', '(unsigned)eax + 1 == 0'],
            ...[
                '~(unsigned char)ebx == -251',
                '(signed char)ebx * 2 == -12',
                '-(unsigned)eax == 1',
                '(short)eax == 0xffff',
            ],
            ...['(int)eax >> 1 == -1', '(long)(int)eax >> 1 == -1', '!(int)eax == 0', '(1 << 4) + (int)ebx == 266'],
            ...[
                '(int)eax == 0xffffffff',
                '(int)eax == 4294967295',
                '(int)eax / 2 == 0',
                '(unsigned)eax / 2 == 0x7fffffff',
            ],
            ...[
                '(unsigned)eax >> 4 == ~0u >> 4',
                '(unsigned)eax / 3 == ~0u / 3',
                '(unsigned)eax == 0xffffffff + 1 - 1',
            ],
            ...[
                'eax == ~0u',
                '(unsigned)eax == ~0u',
                '(long)(~0u >> 4) == (int)ebx + 0xfffff05',
                '(u64)(~0u >> 4) > eax',
            ],
            ...['(unsigned)ebx + (-1 > 1u) == 251', '(void *)eax + (~0u >> 28) == (void *)0x10000000e'],
        ];
        const left: string[] = [];
        for (const text of texts) {
            const expression = new Expression(text);
            const condition = compileCondition(expression, {
                register: name =>
                    name in registers
                        ? { condition: { kind: 'constant', value: registers[name] }, width: 32 }
                        : undefined,
                symbol: () => undefined,
            });
            if (condition === undefined) {
                left.push(text);
                continue;
            }
            assert.equal(evaluateCondition(condition), expression.evaluate(context).bits !== 0n, text);
        }
        assert.deepEqual(left, ['(int)eax >> 1 == -1', '(unsigned)eax >> 4 == ~0u >> 4'], 'shifts in 32 bits');
    });
});

/** As engines do. */
function evaluateCondition(condition: Condition): boolean {
    const value = (node: Condition): bigint => {
        switch (node.kind) {
            case 'constant':
                return node.value;
            case 'extend': {
                const bits = node.bytes * 8;
                const operand = value(node.operand);
                return BigInt.asUintN(64, node.signed ? BigInt.asIntN(bits, operand) : BigInt.asUintN(bits, operand));
            }
            case 'not':
                return value(node.operand) === 0n ? 1n : 0n;
            case 'binary': {
                const [a, b] = [value(node.left), value(node.right)];
                const [c, d] = [BigInt.asIntN(64, a), BigInt.asIntN(64, b)];
                const number = (holds: boolean): bigint => (holds ? 1n : 0n);
                const operations: Readonly<Record<ConditionOperator, () => bigint>> = {
                    ...{ add: () => a + b, sub: () => a - b, mul: () => a * b },
                    ...{ divS: () => c / d, divU: () => a / b, remS: () => c % d, remU: () => a % b },
                    ...{ bitAnd: () => a & b, bitOr: () => a | b, bitXor: () => a ^ b },
                    ...{ shl: () => (b > 63n ? 0n : a << b), shrS: () => c >> b, shrU: () => (b > 63n ? 0n : a >> b) },
                    ...{ eq: () => number(a === b), ne: () => number(a !== b) },
                    ...{ ltS: () => number(c < d), ltU: () => number(a < b) },
                    ...{ leS: () => number(c <= d), leU: () => number(a <= b) },
                };
                return BigInt.asUintN(64, operations[node.operator]());
            }
            default:
                return assert.fail(`${node.kind} has no value here`);
        }
    };
    return value(condition) !== 0n;
}
