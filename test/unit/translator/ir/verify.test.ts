import assert from 'node:assert/strict';
import { IrBuilder } from '../../../../src/translator/ir/builder';
import { NONE } from '../../../../src/translator/ir/function';
import { MemoryAccess, Op, StateAccess, Type } from '../../../../src/translator/ir/opcodes';
import { parseIr } from '../../../../src/translator/ir/text';
import { verifyIr } from '../../../../src/translator/ir/verify';

function messages(text: string): string[] {
    return verifyIr(parseIr(text)).map(({ message }) => message);
}

describe('IR verifier', () => {
    it('accepts structured control flow with variables and side exits', () => {
        const text = `
            v0 = get.i64 rax
            exit 0, #16, #0
              set.i64 flagResult, v0
            exit.end
            v4 = load.m32 v0, exit 0
            v5 = var v4
            if v4
              loop
                v8 = var.get v5
                var.set v5, v8
              loop.end v8
            else
              var.set v5, v4
            end
            v14 = var.get v5
            set.i32 flagAux, v14`;
        assert.deepEqual(messages(text), []);
    });

    const broken: ReadonlyArray<readonly [name: string, text: string, message: RegExp]> = [
        ['a use before the value', 'v0 = i32.eqz v1\nv1 = const.i32 1', /v1 is not computed before its use/],
        ['a use of an operation without value', 'v0 = const.i32 1\nset.i32 rax, v0\nv2 = i32.eqz v1', /v1 is not a value/],
        [
            'a value of a block that has ended',
            'v0 = const.i32 1\nif v0\nv2 = const.i32 2\nend\nset.i32 rax, v2',
            /v2 is computed in a block that has ended/,
        ],
        ['an operand of another type', 'v0 = const.i64 1\nv1 = i32.eqz v0', /v0 is i64, not i32/],
        ['a condition that is not i32', 'v0 = const.i64 1\nif v0\nend', /v0 is i64, not i32/],
        ['a state write of another type', 'v0 = const.i32 1\nset.i64 rax, v0', /v0 is i32, not i64/],
        ['carries of a strange width', 'v0 = const.i64 1\ncarries.add #24, v0', /no operations of 24 bits/],
        ['an end without if', 'end', /end without if/],
        ['an else without if', 'else', /else without if/],
        ['a block that is never closed', 'v0 = const.i32 1\nif v0', /is never closed/],
        ['an assignment to what is no variable', 'v0 = const.i32 1\nvar.set v0, v0', /v0 is not a variable/],
        ['an assignment of another type', 'v0 = const.i32 1\nv1 = var v0\nv2 = const.i64 1\nvar.set v1, v2', /v2 is i64/],
        ['a side exit out of order', 'exit 1, #0, #0\nexit.end', /side exits are numbered in order/],
        ['a side exit that stands nowhere', 'v0 = const.i64 1\nv1 = load.m8 v0, exit 0', /side exit 0 does not stand/],
        ['a load in a side exit', 'v0 = const.i64 1\nexit 0, #0, #0\nv2 = load.m8 v0, exit -1\nexit.end', /does not belong/],
    ]; // prettier-ignore
    for (const [name, text, message] of broken) {
        it(`reports ${name}`, () => {
            const found = messages(text);
            assert.ok(
                found.some(each => message.test(each)),
                `found ${JSON.stringify(found)}`,
            );
        });
    }

    it('reports arguments that do not match the helper', () => {
        const ir = new IrBuilder();
        ir.call({ name: 'one', parameters: [Type.I32], result: Type.Void }, []);
        assert.match(verifyIr(ir.ir)[0].message, /arguments do not match/);
    });

    it('reports vector constants and lanes that do not exist', () => {
        const ir = new IrBuilder();
        const vector = ir.v128(new Uint8Array(4));
        ir.lane('i32x4.extract_lane', vector, 16);
        assert.deepEqual(
            verifyIr(ir.ir).map(({ index }) => index),
            [0, 1],
        );
    });

    it('checks addresses and values of stores', () => {
        const ir = new IrBuilder();
        ir.store(MemoryAccess.M64, ir.i32(1), ir.get(0, StateAccess.I64), NONE);
        ir.ir.append(Op.HostAddress, Type.I32, ir.i32(1));
        assert.equal(verifyIr(ir.ir).length, 2);
    });
});
