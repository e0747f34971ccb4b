import assert from 'node:assert/strict';
import { type EvaluationContext, Expression } from '../../../src/debug/expression/evaluator';
import { ExpressionError } from '../../../src/debug/expression/error';
import { typeName } from '../../../src/debug/expression/value';

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
    ];
    for (const [text, problem] of errors) {
        it(`${JSON.stringify(text)} is refused at the right place`, () => assert.match(refusal(text), problem));
    }

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
