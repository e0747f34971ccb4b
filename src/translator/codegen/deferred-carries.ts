/**
 * flagAux in a region. Most blocks end with a comparison whose carries nobody looks at before the next one, but any access
 * to memory in between might fault and show them: so a block's end keeps only what they follow from, and whoever reads
 * flagAux, or leaves the region, computes them.
 */
import { StateOffset } from '../../machine/state';
import { Wasm } from '../../wasm/module';
import { StateAccess } from '../ir/opcodes';
import { type FunctionWriter } from './function-writer';

/** What is deferred, in an i32; 0: nothing, flagAux is known. */
const enum Deferred {
    Carries = 1,
    Subtract = 2,
}
/** Above them: how far the operation's sign bit is from bit 63. */
const DISTANCE_SHIFT = 2;

export class DeferredCarries {
    /** Whether flagAux may be another than on entry. */
    isWritten = false;

    /**
     * @param writer of the region, to which this adds code
     * @param value local (i64): flagAux, or the operation's first operand
     * @param deferred local (i32), 0 on entry: see {@link Deferred}
     * @param result local (i64) of flagResult
     * @param scratch a local (i64) that is free
     */
    constructor(
        private readonly writer: FunctionWriter,
        private readonly value: number,
        private readonly deferred: number,
        private readonly result: number,
        private readonly scratch: number,
    ) {}

    /** Takes flagAux from the state: for the region's start. */
    load(): void {
        this.writer.loadState(StateOffset.flagAux, StateAccess.U32AsI64);
        this.writer.localSet(this.value);
    }

    /** Writes flagAux to the state: for the region's end. */
    store(): void {
        this.writer.storeState(StateOffset.flagAux, StateAccess.I32, () => this.get());
    }

    /** Leaves flagAux on the stack (i32). */
    get(): void {
        const { writer } = this;
        writer.localGet(this.deferred);
        writer.openIf();
        this.compute();
        writer.close();
        writer.localGet(this.value);
        writer.opcode(Wasm.I32WrapI64);
    }

    /** `aux()` emits flagAux (i32). */
    set(aux: () => void): void {
        aux();
        this.writer.opcode(Wasm.I64ExtendI32U);
        this.keep(0);
    }

    /** See the IR's SetCarries; `first()` emits the first operand (i64). */
    defer(isSubtraction: boolean, width: number, first: () => void): void {
        first();
        this.keep(Deferred.Carries | (isSubtraction ? Deferred.Subtract : 0) | ((64 - width) << DISTANCE_SHIFT));
    }

    private keep(deferred: number): void {
        this.writer.localSet(this.value);
        this.writer.i32Const(deferred);
        this.writer.localSet(this.deferred);
        this.isWritten = true;
    }

    /**
     * The borrows of a − b = r are the carries of r + b = a. Those of x + y = s: both bits are set, or either is and the
     * sum's is clear.
     */
    private compute(): void {
        const { writer, value, deferred, result, scratch } = this;
        const isSubtraction = (): void => {
            writer.localGet(deferred);
            writer.i32Const(Deferred.Subtract);
            writer.opcode(Wasm.I32And);
        };
        const sum = (): void => {
            writer.localGet(value);
            writer.localGet(result);
            isSubtraction();
            writer.opcode(Wasm.Select);
        };
        const x = (): void => {
            writer.localGet(result);
            writer.localGet(value);
            isSubtraction();
            writer.opcode(Wasm.Select);
        };
        const y = (): void => {
            sum();
            x();
            writer.opcode(Wasm.I64Sub);
        };
        const both = (opcode: number): void => {
            x();
            y();
            writer.opcode(opcode);
        };
        both(Wasm.I64And);
        both(Wasm.I64Or);
        sum();
        writer.i64Const(-1, -1);
        writer.opcode(Wasm.I64Xor);
        writer.opcode(Wasm.I64And);
        writer.opcode(Wasm.I64Or);
        writer.localTee(scratch);
        writer.localGet(deferred);
        writer.i32Const(DISTANCE_SHIFT);
        writer.opcode(Wasm.I32ShrU);
        writer.opcode(Wasm.I64ExtendI32U);
        writer.opcode(Wasm.I64Shl);
        writer.i64Const(32, 0);
        writer.opcode(Wasm.I64ShrU);
        writer.i64Const(0xc0000000 | 0, 0);
        writer.opcode(Wasm.I64And);
        writer.localGet(scratch);
        writer.i64Const(8, 0);
        writer.opcode(Wasm.I64And);
        writer.opcode(Wasm.I64Or);
        writer.localSet(value);
        writer.i32Const(0);
        writer.localSet(deferred);
    }
}
