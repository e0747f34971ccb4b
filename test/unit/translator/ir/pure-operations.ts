/** Pure IR operations as WebAssembly executes them: one exported function each, over operands in memory. */

import { type PureOperation, Type } from '../../../../src/translator/ir/opcodes';
import { ByteWriter } from '../../../../src/wasm/bytes';
import { WasmModule } from '../../../../src/wasm/module';
import type { IrValue } from '../../../../src/translator/ir/evaluate';

/** Where operands and result lie in the memory. */
const RESULT = 48;

const LOADS: Readonly<Record<number, readonly number[]>> = {
    [Type.I32]: [0x28],
    [Type.I64]: [0x29],
    [Type.F32]: [0x2a],
    [Type.F64]: [0x2b],
    [Type.V128]: [0xfd, 0x00],
};
const STORES: Readonly<Record<number, readonly number[]>> = {
    [Type.I32]: [0x36],
    [Type.I64]: [0x37],
    [Type.F32]: [0x38],
    [Type.F64]: [0x39],
    [Type.V128]: [0xfd, 0x0b],
};

/** An operation on one lane, or on all. */
export interface Variant {
    readonly operation: PureOperation;
    readonly lane: number;
}

export function variantsOf(operation: PureOperation): Variant[] {
    const lanes = operation.hasLane ? Number(/x(\d+)\./.exec(operation.name)![1]) : 1;
    return Array.from({ length: lanes }, (_, lane) => ({ operation, lane }));
}

/** Executes variants in WebAssembly. */
export class PureOperations {
    private readonly memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    private readonly view = new DataView(this.memory.buffer);
    private readonly exports: WebAssembly.Exports;

    constructor(variants: readonly Variant[]) {
        const module = new WasmModule();
        module.importMemory('env', 'memory', 1, 1);
        const type = module.type([], []);
        variants.forEach((variant, i) => module.addFunction(type, bodyOf(variant), `f${i}`));
        const compiled = new WebAssembly.Module(module.encode());
        this.exports = new WebAssembly.Instance(compiled, { env: { memory: this.memory } }).exports;
    }

    /** Runs variant `index` on the 16-byte operands; gives the operands and the result as the evaluator has them. */
    run(index: number, { operation }: Variant, operands: Uint8Array): { operands: IrValue[]; result: IrValue } {
        new Uint8Array(this.memory.buffer).set(operands);
        (this.exports[`f${index}`] as () => void)();
        return {
            operands: operation.operands.map((type, i) => this.valueAt(16 * i, type)),
            result: this.valueAt(RESULT, operation.result),
        };
    }

    private valueAt(at: number, type: Type): IrValue {
        switch (type) {
            case Type.I32:
            case Type.F32:
                return this.view.getInt32(at, true);
            case Type.I64:
            case Type.F64:
                return this.view.getBigUint64(at, true);
        }
        return new Uint8Array(this.memory.buffer, at, 16).slice();
    }
}

function bodyOf({ operation, lane }: Variant): Uint8Array {
    const out = new ByteWriter();
    const bytes = (values: readonly number[]): void => values.forEach(value => out.byte(value));
    const i32Const = (value: number): void => {
        out.byte(0x41);
        out.s32(value);
    };
    out.u32(0);
    i32Const(RESULT);
    operation.operands.forEach((type, i) => {
        i32Const(16 * i);
        bytes([...LOADS[type], 0, 0]);
    });
    if (operation.wasm > 0xff) {
        out.byte(operation.wasm >> 8);
        out.u32(operation.wasm & 0xff);
    } else {
        out.byte(operation.wasm);
    }
    if (operation.hasLane) {
        out.byte(lane);
    }
    bytes([...STORES[operation.result], 0, 0]);
    out.byte(0x0b);
    return out.bytes.slice(0, out.length);
}
