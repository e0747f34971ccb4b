import assert from 'node:assert/strict';
import { Expression } from '../../../src/debug/expression/expression';
import { pattern } from '../../../src/debug/expression/value';
import { AgentExpressionError, translateAgentExpression } from '../../../src/gdb/agent-expression';
import { Random } from '../../support/random';

const REGISTERS: Readonly<Record<string, bigint>> = { rax: 0xfffffffffffffff0n, rdi: 7n, pc: 0x1000n };
const MEMORY = Uint8Array.of(0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88);

/** The value of bytecode, over a few registers and eight bytes of memory at 0x2000. */
function value(...code: number[]): bigint {
    const expression = new Expression(translateAgentExpression(Uint8Array.from(code)) ?? assert.fail());
    return pattern(
        expression.evaluate({
            readRegister: name => (name in REGISTERS ? { value: REGISTERS[name], width: 64 } : undefined),
            readMemory: (_space, address, size) =>
                MEMORY.slice(Number(address) - 0x2000, Number(address) - 0x2000 + size),
            writeRegister: () => assert.fail(),
            writeMemory: () => assert.fail(),
            symbol: () => undefined,
            segmentLinear: (_segment, offset) => offset,
        }),
    );
}

const END = 0x27;
const const8 = (number: number): number[] => [0x22, number];
const const16 = (number: number): number[] => [0x23, number >> 8, number & 0xff];

describe('agent expressions', () => {
    it('calculate with 64 bits, signed where they say so', () => {
        assert.equal(value(...const8(5), ...const8(7), 0x03, END), 0xfffffffffffffffen);
        assert.equal(value(...const8(5), ...const8(7), 0x03, ...const8(2), 0x05, END), 0xffffffffffffffffn);
        assert.equal(value(...const8(5), ...const8(7), 0x03, ...const8(2), 0x06, END), 0x7fffffffffffffffn);
        assert.equal(value(0x26, 0, 0, ...const8(4), 0x0a, END), 0xffffffffffffffffn);
        assert.equal(value(0x26, 0, 0, ...const8(4), 0x0b, END), 0x0fffffffffffffffn);
    });

    it('compare', () => {
        assert.equal(value(0x26, 0, 5, ...const8(7), 0x13, END), 1n); // rdi == 7
        assert.equal(value(0x26, 0, 0, ...const8(0), 0x14, END), 1n); // rax < 0
        assert.equal(value(0x26, 0, 0, ...const8(0), 0x15, END), 0n);
        assert.equal(value(...const8(0), 0x0e, END), 1n);
    });

    it('read memory and extend it', () => {
        assert.equal(value(...const16(0x2000), 0x19, END), 0x44332211n);
        assert.equal(value(...const16(0x2007), 0x17, 0x16, 8, END), 0xffffffffffffff88n);
        assert.equal(value(...const16(0x2000), 0x1a, 0x2a, 12, END), 0x211n);
    });

    it('shuffle their stack', () => {
        assert.equal(value(...const8(9), ...const8(4), 0x2b, 0x03, END), 0xfffffffffffffffbn); // swap: 4 - 9
        assert.equal(value(...const8(9), 0x28, 0x02, END), 18n); // dup
        assert.equal(value(...const8(9), ...const8(4), 0x32, 1, 0x02, END), 13n); // pick
        assert.equal(value(...const8(1), ...const8(2), ...const8(3), 0x33, 0x29, 0x29, END), 3n); // rot
    });

    it('branch', () => {
        // rdi == 7 ? 1 : 0, as gdb writes a && b
        const code = (number: number): number[] => [
            ...[0x26, 0, 5, ...const8(number), 0x13, 0x20, 0, 14],
            ...[...const8(0), 0x21, 0, 16],
            ...[...const8(1), END],
        ];
        assert.equal(value(...code(7)), 1n);
        assert.equal(value(...code(8)), 0n);
    });

    it('are refused if they are damaged, endless or ask for something else', () => {
        const bad = [[], [0x22], [0x02, END], [0x30, END], [0x26, 0x7f, 0xff, END], [0x16, 0, END], [END]];
        for (const code of bad) {
            assert.throws(() => translateAgentExpression(Uint8Array.from(code)), AgentExpressionError, String(code));
        }
    });

    it('are left to gdb if they never end, or say more than an expression can hold', () => {
        const growing = [0x26, 0, 0, ...Array.from({ length: 400 }, () => [0x28, 0x02]).flat(), END];
        assert.equal(translateAgentExpression(Uint8Array.of(0x21, 0, 0)), undefined);
        assert.equal(translateAgentExpression(Uint8Array.from(growing)), undefined);
    });

    it('mean what the manual says of them', () => {
        const random = new Random(20261123);
        let compared = 0;
        for (let count = 0; count < 5_000; count++) {
            const code = randomProgram(random);
            const expected = reference(code);
            if (expected === undefined || translateAgentExpression(Uint8Array.from(code)) === undefined) continue;
            compared++;
            assert.equal(value(...code) !== 0n, expected !== 0n, Buffer.from(code).toString('hex'));
        }
        assert.ok(compared > 3_000, `${compared} programs`);
    });

    it('stay as short as what they mean: a chain of && reads each operand once', () => {
        const both = chain(12);
        const text = translateAgentExpression(Uint8Array.from(both)) ?? assert.fail();
        assert.equal(text.match(/u32\[/g)?.length, 12);
        assert.equal(value(...both), 1n);
    });
});

/** What the manual says of the operations that the random programs are made of; undefined: a division by 0. */
function reference(code: readonly number[]): bigint | undefined {
    const u64 = (bits: bigint): bigint => BigInt.asUintN(64, bits);
    const i64 = (bits: bigint): bigint => BigInt.asIntN(64, bits);
    const binary: Readonly<Record<number, (a: bigint, b: bigint) => bigint>> = {
        0x02: (a, b) => a + b,
        0x03: (a, b) => a - b,
        0x04: (a, b) => a * b,
        0x05: (a, b) => i64(a) / i64(b),
        0x06: (a, b) => a / b,
        0x07: (a, b) => i64(a) % i64(b),
        0x08: (a, b) => a % b,
        0x09: (a, b) => (b > 63n ? 0n : a << b),
        0x0a: (a, b) => i64(a) >> (b > 63n ? 63n : b),
        0x0b: (a, b) => (b > 63n ? 0n : a >> b),
        0x0f: (a, b) => a & b,
        0x10: (a, b) => a | b,
        0x11: (a, b) => a ^ b,
        0x13: (a, b) => BigInt(a === b),
        0x14: (a, b) => BigInt(i64(a) < i64(b)),
        0x15: (a, b) => BigInt(a < b),
    };
    const stack: bigint[] = [];
    const pop = (): bigint => stack.pop() ?? assert.fail();
    for (let at = 0; ;) {
        const op = code[at++];
        if (op === END) return pop();
        if (op === 0x22) stack.push(BigInt(code[at++]));
        else if (op === 0x26) stack.push(u64(REGISTERS[['rax', 'rdi'][code[(at += 2) - 1] === 0 ? 0 : 1]]));
        else if (op === 0x16) stack.push(u64(BigInt.asIntN(code[at++], pop())));
        else if (op === 0x2a) stack.push(BigInt.asUintN(code[at++], pop()));
        else if (op === 0x0e) stack.push(BigInt(pop() === 0n));
        else if (op === 0x12) stack.push(u64(~pop()));
        else if (op === 0x28) stack.push(stack.at(-1)!);
        else if (op === 0x2b) stack.push(pop(), pop());
        else if (op === 0x20) at = pop() !== 0n ? code[at + 1] | (code[at] << 8) : at + 2;
        else {
            const [b, a] = [pop(), pop()];
            if (op >= 0x05 && op <= 0x08 && b === 0n) return undefined;
            stack.push(u64(binary[op](a, b)));
        }
    }
}

/** Straight through, but for jumps forward over one unary operation. */
function randomProgram(random: Random): number[] {
    const code: number[] = [];
    let depth = 0;
    const unary = (): number[] =>
        random.pick([
            () => [0x0e],
            () => [0x12],
            () => [0x16, 1 + random.below(64)],
            () => [0x2a, 1 + random.below(64)],
        ])();
    for (let count = 2 + random.below(9); count > 0 || depth > 1; count--) {
        const kind = depth === 0 ? 0 : depth === 1 || count > 0 ? random.below(5) : 4;
        if (kind === 0 && count > 0) {
            code.push(...random.pick([const8(random.below(256)), [0x26, 0, 0], [0x26, 0, 5]]));
            depth++;
        } else if (kind === 1) {
            code.push(...unary());
        } else if (kind === 2 && count > 0) {
            const over = unary();
            const to = code.length + 4 + over.length;
            code.push(0x28, 0x20, to >> 8, to & 0xff, ...over);
        } else if (depth > 1) {
            code.push(random.oneIn(6) ? 0x2b : random.pick([2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15, 16, 17, 19, 20, 21]));
            if (code.at(-1) !== 0x2b) depth--;
        }
    }
    return [...code, END];
}

/** `a && a && …` as gdb writes it, of a comparison of memory. */
function chain(length: number): number[] {
    const code: number[] = [];
    const operand = [...const16(0x2000), 0x19, 0x16, 32, 0x25, 0, 0, 0, 0, 0x44, 0x33, 0x22, 0x11, 0x13];
    code.push(...operand);
    for (let count = 1; count < length; count++) {
        const at = code.length;
        const yes = at + 6;
        const ones = yes + operand.length + 6;
        const zeros = ones + 5;
        const end = zeros + 2;
        code.push(0x20, yes >> 8, yes & 0xff, 0x21, zeros >> 8, zeros & 0xff, ...operand);
        code.push(0x20, ones >> 8, ones & 0xff, 0x21, zeros >> 8, zeros & 0xff);
        code.push(...const8(1), 0x21, end >> 8, end & 0xff, ...const8(0));
    }
    return [...code, END];
}
