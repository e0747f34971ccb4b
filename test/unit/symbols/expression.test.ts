import assert from 'node:assert/strict';
import { evaluateLocation, evaluateNumber, type ExpressionContext } from '../../../src/symbols/dwarf/expression';
import { SymbolFileError } from '../../../src/symbols/errors';

const context: ExpressionContext = {
    addressSize: 8,
    offsetSize: 4,
    version: 5,
    register: number => (number < 16 ? BigInt(0x1000 * number) : undefined),
    memory: (address, size) =>
        address < 0x100n ? Uint8Array.from({ length: size }, () => Number(address)) : undefined,
    relocate: address => address,
    frameBase: () => 0x8000n,
    cfa: () => 0x9000n,
    entryValue: () => undefined,
    indexedAddress: () => undefined,
    baseType: () => undefined,
    threadLocal: offset => 0x7f00n - offset,
};

/** DW_OP_lit0 and what follows. */
const lit = (value: number): number => 0x30 + value;

describe('location expressions', () => {
    const cases: readonly (readonly [what: string, code: readonly number[], result: bigint | undefined])[] = [
        ['swap', [lit(7), lit(2), 0x16, 0x1c], BigInt.asUintN(64, -5n)],
        ['rot: the third comes up, the first goes below', [lit(9), lit(4), lit(2), 0x17, 0x22], 13n],
        ['over and pick', [lit(3), lit(5), 0x14, 0x15, 1, 0x1e, 0x22], 20n],
        ['signed division', [0x09, 0xf8, lit(3), 0x1b], BigInt.asUintN(64, -2n)],
        ['a shift beyond the width', [lit(1), 0x08, 64, 0x24], 0n],
        ['an arithmetic shift', [0x09, 0x80, lit(4), 0x26], BigInt.asUintN(64, -8n)],
        ['signed comparison', [0x09, 0xff, lit(1), 0x2d], 1n],
        ['a branch', [lit(1), 0x28, 1, 0, lit(5), lit(6)], 6n],
        ['memory', [lit(9), 0x94, 2], 0x0909n],
        ['the frame base', [0x91, 0x78], 0x7ff8n],
        ['a thread', [0x08, 0x10, 0x9b], 0x7ef0n],
        ['division by zero', [lit(1), lit(0), 0x1b], undefined],
        ['a register that is not known', [0x92, 20, 0], undefined],
        ['memory that is not there', [0x0a, 0, 2, 0x06], undefined],
    ];
    for (const [what, code, result] of cases) {
        it(`compute: ${what}`, () => {
            assert.equal(evaluateNumber(Uint8Array.from(code), context), result);
        });
    }

    it('say what is in pieces, and what is nowhere', () => {
        // One register and a number on the stack; then nothing.
        const found = evaluateLocation(Uint8Array.of(0x53, 0x93, 4, lit(7), 0x9f, 0x93, 2, 0x93, 2), context);
        assert.ok(found.kind === 'pieces');
        assert.deepEqual(
            found.pieces.map(({ size, location }) => [size, location.kind]),
            [
                [32, 'register'],
                [16, 'value'],
                [16, 'unavailable'],
            ],
        );
    });

    it('are refused where they are corrupt', () => {
        for (const code of [[0x22], [0x16], [0x15, 3], [0x2f, 0xfd, 0xff], [0xf9], [0x0a, 1], [0x28, 0, 0]]) {
            assert.throws(() => evaluateNumber(Uint8Array.from(code), context), SymbolFileError, String(code));
        }
        const deep = Uint8Array.from({ length: 2000 }, () => lit(1));
        assert.throws(() => evaluateNumber(deep, context), /too deep a stack/);
    });
});
