import assert from 'node:assert/strict';
import { ROWS } from '../../../../src/isa/x86';
import { semantics } from '../../../../src/translator';
import { IrSyntaxError, parseIr, printIr } from '../../../../src/translator/ir/text';
import { semanticOf } from '../../../../src/translator/engine/handlers';
import { HandlerContext } from '../../../../src/translator/lift/handler-context';
import { ModeKey } from '../../../../src/machine/state';
import { liftBlock } from '../../../../src/translator/region/translate';
import { Random } from '../../../support/random';
import { instancesOf } from '../lifting';

const MODE =
    2 |
    (2 << ModeKey.StackSizeShift) |
    ModeKey.Long |
    ModeKey.Protected |
    ModeKey.Flat |
    ModeKey.FlatCode |
    ModeKey.X87Usable |
    ModeKey.SseUsable;

describe('IR text form', () => {
    it('survives printing and parsing for every row of the table', () => {
        const random = new Random(3);
        let count = 0;
        for (const row of ROWS) {
            const [instruction] = instancesOf(row, 64, random);
            const semantic = instruction && semanticOf(instruction, MODE, semantics);
            if (semantic === undefined) {
                continue;
            }
            const handler = new HandlerContext(MODE);
            handler.begin(instruction);
            semantic(handler);
            handler.finish();
            const region = liftBlock({ mode: MODE, instructions: [instruction] }, 0x100, semantics);
            for (const ir of [handler.ir.ir, region]) {
                const text = printIr(ir);
                assert.equal(printIr(parseIr(text)), text, row.mnemonic);
                count++;
            }
        }
        assert.ok(count > 1000, `only ${count} sequences`);
    });

    it('ignores comments and indentation', () => {
        const ir = parseIr('; why\n\n    v0 = const.i32 7 ; seven\n  set.i32 rax, v0\n');
        assert.equal(printIr(ir), 'v0 = const.i32 7\nset.i32 rax, v0\n');
    });

    const broken: ReadonlyArray<readonly [text: string, message: RegExp]> = [
        ['v0 = const.i32 7\nv1 = i32.frobnicate v0', /line 2: unknown operation i32\.frobnicate/],
        ['v0 = const.i64 7\ncarries.multiply #8, v0', /line 2: unknown operation carries\.multiply/],
        ['v1 = const.i32 7', /line 1: v1 must be named v0/],
        ['v0 = get.i64 rzz', /line 1: unknown state field 'rzz'/],
        ['v0 = get.i65 rax', /line 1: unknown state access 'i65'/],
        ['v0 = i32.eqz x', /line 1: 'x' is not a value/],
        ['v0 = const.i32 7\nv1 = i32.add v0', /line 2: i32\.add needs operand 2/],
        ['loop.end v0', /line 1: loop\.end without loop/],
        ['?', /line 1: '\?' is not an operation/],
    ];
    for (const [text, message] of broken) {
        it(`names line and reason: ${text.split('\n').at(-1)}`, () => {
            assert.throws(
                () => parseIr(text),
                (error: unknown) => error instanceof IrSyntaxError && message.test(error.message),
            );
        });
    }
});
