import assert from 'node:assert/strict';
import { Expression } from '../../../src/debug/expression/evaluator';
import { pattern } from '../../../src/debug/expression/value';
import { AgentExpressionError, translateAgentExpression } from '../../../src/gdb/agent-expression';

const REGISTERS: Readonly<Record<string, bigint>> = { rax: 0xfffffffffffffff0n, rdi: 7n, pc: 0x1000n };
const MEMORY = Uint8Array.of(0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88);

/** The value of bytecode, over a few registers and eight bytes of memory at 0x2000. */
function value(...code: number[]): bigint {
    const expression = new Expression(translateAgentExpression(Uint8Array.from(code)));
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
        const bad = [
            [],
            [0x22],
            [0x02, END],
            [0x21, 0, 0],
            [0x30, END],
            [0x26, 0x7f, 0xff, END],
            [0x16, 0, END],
            [END],
        ];
        for (const code of bad) {
            assert.throws(() => translateAgentExpression(Uint8Array.from(code)), AgentExpressionError, String(code));
        }
        const growing = [...const8(1), ...Array.from({ length: 400 }, () => [0x28, 0x02]).flat(), END];
        assert.throws(() => translateAgentExpression(Uint8Array.from(growing)), AgentExpressionError);
    });
});
