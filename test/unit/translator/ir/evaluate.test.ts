import assert from 'node:assert/strict';
import { IrBuilder } from '../../../../src/translator/ir/builder';
import { evaluateIr, type IrEnvironment, type IrValue } from '../../../../src/translator/ir/evaluate';
import { NONE } from '../../../../src/translator/ir/function';
import { MemoryAccess, Op, PURE_OPERATIONS, StateAccess, Type } from '../../../../src/translator/ir/opcodes';
import { Random } from '../../../support/random';
import { putVector } from '../../../differential/instructions/operands';
import { PureOperations, type Variant, variantsOf } from './pure-operations';

const ROUNDS = 60;
const SHARED_BASE = 0x1000n;

/** Memory of 256 bytes at linear address 1000h, and a state of as many. */
function environment(): IrEnvironment & { readonly state: DataView } {
    const shared = new Uint8Array(256);
    return {
        state: new DataView(new ArrayBuffer(256)),
        rip: 0x400000n,
        shared,
        access: (linear, bytes) =>
            linear >= SHARED_BASE && linear + BigInt(bytes) <= SHARED_BASE + 256n ? Number(linear - SHARED_BASE) : -1,
        hostAddress: linear => Number(linear - SHARED_BASE),
        call: (helper, args) => (helper.name === 'sum' ? (args[0] as number) + (args[1] as number) : undefined),
    };
}

/** Evaluates one pure operation on constants: through state fields, so that nothing is folded. */
function evaluate({ operation, lane }: Variant, operands: readonly IrValue[]): IrValue {
    const { ir } = new IrBuilder();
    const env = environment();
    const access = (type: Type): StateAccess =>
        [NaN, StateAccess.I32, StateAccess.I64, StateAccess.F32, StateAccess.F64, StateAccess.V128][type];
    const values = operands.map((value, i) => {
        put(env.state, 16 * i, value);
        return ir.append(Op.Get, operation.operands[i], 16 * i, access(operation.operands[i]));
    });
    const result = ir.append(operation.code, operation.result, values[0], values[1] ?? NONE, values[2] ?? NONE, lane);
    ir.append(Op.Set, Type.Void, 64, access(operation.result), result);
    evaluateIr(ir, env);
    return get(env.state, 64, operation.result);
}

function put(view: DataView, at: number, value: IrValue): void {
    if (typeof value === 'number') {
        view.setInt32(at, value, true);
    } else if (typeof value === 'bigint') {
        view.setBigUint64(at, value, true);
    } else {
        new Uint8Array(view.buffer).set(value, at);
    }
}

function get(view: DataView, at: number, type: Type): IrValue {
    switch (type) {
        case Type.I32:
        case Type.F32:
            return view.getInt32(at, true);
        case Type.I64:
        case Type.F64:
            return view.getBigUint64(at, true);
    }
    return new Uint8Array(view.buffer, at, 16).slice();
}

/** Replaces NaN, whose payload WebAssembly leaves open, in what arithmetic of floating-point numbers returns. */
function withoutPayloads(value: IrValue, { name, result }: Variant['operation']): IrValue {
    const isFloat =
        /^f(32|64)/.test(name) && !/reinterpret|abs|neg|copysign|lane|splat|pmin|pmax|\.[egln][qte]$/.test(name);
    if (!isFloat) {
        return value;
    }
    const bytes = new Uint8Array(16);
    const view = new DataView(bytes.buffer);
    put(view, 0, value);
    for (let i = 0; i < 16; i += 4) {
        if (name.startsWith('f32') && Number.isNaN(view.getFloat32(i, true))) {
            view.setUint32(i, 0x7fc00000, true);
        } else if (name.startsWith('f64') && i % 8 === 0 && Number.isNaN(view.getFloat64(i, true))) {
            view.setBigUint64(i, 0x7ff8000000000000n, true);
        }
    }
    return get(view, 0, result);
}

/** Division traps on these. */
function traps({ name }: Variant['operation'], operands: readonly IrValue[]): boolean {
    return /\.(div|rem)_/.test(name) && [0, 0n, -1, 0xffffffffffffffffn].includes(operands[1] as number | bigint);
}

describe('IR evaluator', () => {
    it('computes every pure operation as WebAssembly does', () => {
        const variants = PURE_OPERATIONS.flatMap(variantsOf);
        const wasm = new PureOperations(variants);
        const random = new Random(11);
        const wrong: string[] = [];
        variants.forEach((variant, index) => {
            const { operation } = variant;
            for (let round = 0; round < ROUNDS; round++) {
                const bytes = new Uint8Array(48);
                const view = new DataView(bytes.buffer);
                [0, 16, 32].forEach(at => putVector(random, view, at));
                const probe = operation.operands.map((type, i) => get(view, 16 * i, type));
                if (traps(operation, probe)) {
                    continue;
                }
                const { operands, result } = wasm.run(index, variant, bytes);
                const ours = withoutPayloads(evaluate(variant, operands), operation);
                if (String(ours) !== String(withoutPayloads(result, operation))) {
                    wrong.push(
                        `${operation.name} ${variant.lane}: ${String(operands)} = ${String(result)}, not ${String(ours)}`,
                    );
                    break;
                }
            }
        });
        assert.deepEqual(wrong, []);
    });

    it('takes the branch that a condition chooses, and merges through variables', () => {
        for (const [condition, expected] of [[1, 10], [0, 20], [-5, 10]]) {
            const ir = new IrBuilder();
            const env = environment();
            env.state.setInt32(0, condition, true);
            const result = ir.variable(ir.i32(0));
            ir.if(
                ir.get(0, StateAccess.I32),
                () => ir.setVariable(result, ir.i32(10)),
                () => ir.setVariable(result, ir.i32(20)),
            );
            ir.set(4, StateAccess.I32, ir.getVariable(result));
            assert.deepEqual(evaluateIr(ir.ir, env), { kind: 'end' });
            assert.equal(env.state.getInt32(4, true), expected);
        } // prettier-ignore
    });

    it('repeats a loop while its condition holds', () => {
        const ir = new IrBuilder();
        const env = environment();
        const count = ir.variable(ir.i32(0));
        ir.loop(() => {
            const next = ir.op('i32.add', ir.getVariable(count), ir.i32(3));
            ir.setVariable(count, next);
            return ir.op('i32.lt_s', next, ir.i32(10));
        });
        ir.set(0, StateAccess.U8, ir.getVariable(count));
        evaluateIr(ir.ir, env);
        assert.equal(env.state.getUint8(0), 12);
    });

    it('runs the side exit of an access that misses, and nothing after it', () => {
        const ir = new IrBuilder();
        const env = environment();
        ir.ir.append(Op.SideExit, Type.Void, 0, 0, 0);
        ir.set(0, StateAccess.U16, ir.i32(0xbeef));
        ir.ir.append(Op.SideExitEnd, Type.Void);
        const load = ir.load(MemoryAccess.M32, ir.i64(0x9000), 0, false);
        ir.set(4, StateAccess.I32, ir.i32(1));
        assert.deepEqual(evaluateIr(ir.ir, env), { kind: 'miss', index: load });
        assert.equal(env.state.getUint16(0, true), 0xbeef);
        assert.equal(env.state.getInt32(4, true), 0);
    });

    it('loads what it stored, in every width', () => {
        const ir = new IrBuilder();
        const env = environment();
        ir.store(MemoryAccess.M64, ir.i64(0x1010), ir.i64(0x55667788, 0x11223344), NONE);
        ir.set(0, StateAccess.I32, ir.load(MemoryAccess.M16, ir.i64(0x1012), NONE, false));
        ir.set(16, StateAccess.V128, ir.load(MemoryAccess.M128, ir.i64(0x1011), NONE, false));
        evaluateIr(ir.ir, env);
        assert.equal(env.state.getInt32(0, true), 0x5566);
        assert.equal(env.state.getBigUint64(16, true), 0x11223344556677n);
    });

    it('calls helpers and hands their results on', () => {
        const ir = new IrBuilder();
        const env = environment();
        const sum = { name: 'sum', parameters: [Type.I32, Type.I32], result: Type.I32 };
        ir.set(0, StateAccess.I32, ir.call(sum, [ir.i32(30), ir.i32(12)]));
        evaluateIr(ir.ir, env);
        assert.equal(env.state.getInt32(0, true), 42);
    });
});
