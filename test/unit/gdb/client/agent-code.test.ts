/** Conditions that our client has a stub evaluate, against our own evaluator. */
import assert from 'node:assert/strict';
import { compileCondition } from '../../../../src/debug/expression/compile';
import type { EvaluationContext } from '../../../../src/debug/expression/context';
import { Expression } from '../../../../src/debug/expression/expression';
import { pattern } from '../../../../src/debug/expression/value';
import { registerCondition } from '../../../../src/debug/registers/register-file';
import { translateAgentExpression } from '../../../../src/gdb/agent-expression';
import { encodeCondition, StubRegisters } from '../../../../src/gdb/client/agent-code';
import { type RegisterLayout } from '../../../../src/gdb/client/target-description';
import { WIRE_REGISTERS } from '../../../../src/gdb/register-layout';
import { Random } from '../../../support/random';

/** Of our own server. */
const LAYOUT: RegisterLayout = {
    features: [],
    registers: WIRE_REGISTERS.map(({ name, size }, number) => ({ name, number, size, offset: 0 })),
};

const VALUES: Readonly<Record<string, readonly [value: bigint, width: number]>> = {
    rax: [0xfffffffffffffff0n, 64],
    eax: [0xfffffff0n, 32],
    ax: [0xfff0n, 16],
    al: [0xf0n, 8],
    ah: [0xffn, 8],
    rdi: [7n, 64],
    r9: [0x2000n, 64],
    cs: [0x10n, 16],
    cr0: [0x80000011n, 64],
    rflags: [0x246n, 64],
    eflags: [0x246n, 32],
    zf: [1n, 1],
    cf: [0n, 1],
    pc: [0x1000n, 64],
    rip: [0x1000n, 64],
};
const MEMORY = Uint8Array.of(0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88);

const CONTEXT: EvaluationContext = {
    readRegister: name => {
        const register = (VALUES as Partial<typeof VALUES>)[name];
        return register && { value: register[0], width: register[1] };
    },
    readMemory: (_space, address, size) => MEMORY.slice(Number(address) - 0x2000, Number(address) - 0x2000 + size),
    writeRegister: () => assert.fail(),
    writeMemory: () => assert.fail(),
    symbol: name => (name === 'entry' ? 0x2000n : undefined),
    segmentLinear: (_segment, offset) => offset,
};

function encoded(text: string, layout = LAYOUT, isLinear = true): Uint8Array | undefined {
    const condition = compileCondition(new Expression(text), {
        register: registerCondition,
        symbol: name => CONTEXT.symbol(name),
    });
    return condition && encodeCondition(condition, new StubRegisters(layout, isLinear));
}

const holds = (text: string): boolean => pattern(new Expression(text).evaluate(CONTEXT)) !== 0n;

describe('bytecode of conditions', () => {
    it('holds where the condition does', () => {
        const atoms = [
            ...['rax', 'eax', 'ax', 'al', 'ah', 'rdi', 'r9', 'cs', 'cr0', 'zf', 'cf', 'pc', 'eflags', 'entry'],
            ...['0', '1', '7', '0x10', '-1', '0xfffffffffffffff0', '0x80000011', '300', '70000'],
            ...['u8[r9]', 'u32[entry]', 'i8[r9 + 7]', 'u64[0x2000]', '(i16)rax', '(u8)eax', '(i32)(al << 24)', '!rdi'],
        ];
        const operators = ['+', '-', '*', '&', '|', '^', '==', '!=', '<', '<=', '>', '>=', '&&', '||'];
        const random = new Random(20261123);
        const make = (depth: number): string =>
            depth === 0 || random.oneIn(5)
                ? random.pick(atoms)
                : random.oneIn(8)
                  ? `(${make(depth - 1)} ${random.pick(['<<', '>>'])} ${random.below(64)})`
                  : `(${make(depth - 1)} ${random.pick(operators)} ${make(depth - 1)})`;
        let compared = 0;
        let held = 0;
        for (let count = 0; count < 2_000; count++) {
            const text = make(3);
            const code = encoded(text);
            assert.ok(code, text);
            const back = translateAgentExpression(code);
            if (back === undefined) continue;
            compared++;
            const isTrue = holds(text);
            if (isTrue) held++;
            assert.equal(holds(back), isTrue, `${text} → ${back}`);
        }
        assert.ok(compared > 1_900 && held > 500 && held < 1_500, `${compared} compared, ${held} held`);
    });

    it('is none where a stub would make something else of it', () => {
        assert.ok(encoded('rdi == 7'));
        assert.equal(encoded('rdi << rax'), undefined); // what is beyond 63 is the host processor's matter
        assert.equal(encoded('rdi << 64'), undefined);
        assert.equal(encoded('dr7 == 0'), undefined); // no such register there
        assert.equal(encoded('rip == 5'), undefined); // that is linear
        assert.ok(encoded('rip == 5', LAYOUT, false));
        assert.equal(encoded('pc == 5', LAYOUT, false), undefined);
        const few = { ...LAYOUT, registers: LAYOUT.registers.slice(0, 3) };
        assert.equal(encoded('rdi == 7', few), undefined);
        assert.equal(encoded(Array.from({ length: 80 }, () => '0x1234567890123456^rdi').join('^')), undefined); // too long
    });
});
