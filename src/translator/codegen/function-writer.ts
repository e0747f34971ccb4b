/**
 * Writes the body of a translated function: locals, instructions, accesses to the vCPU's state.
 *
 * Parameters of every translated function: local 0 = address of the vCPU's state, local 1 = address of the record being
 * executed. Result: why it came back (ExitReason).
 */
import { StateOffset, type Tier } from '../../machine/state';
import { ByteWriter } from '../../wasm/bytes';
import { Wasm } from '../../wasm/module';
import { StateAccess, type Type, WASM_TYPE } from '../ir/opcodes';

export const LOCAL_CPU = 0;
export const LOCAL_RECORD = 1;
const PARAMETERS = 2;

/** Loads and stores of state fields, by StateAccess. V128 is a SIMD opcode. */
export const STATE_LOAD: readonly number[] = [
    Wasm.I32Load8U,
    Wasm.I32Load16U,
    Wasm.I32Load,
    Wasm.I64Load,
    Wasm.F32Load,
    Wasm.F64Load,
    Wasm.V128Load,
    Wasm.I64Load32U,
    Wasm.I64Load32S,
    Wasm.I64Load8U,
    Wasm.I64Load16U,
];
export const STATE_STORE: readonly number[] = [
    Wasm.I32Store8,
    Wasm.I32Store16,
    Wasm.I32Store,
    Wasm.I64Store,
    Wasm.F32Store,
    Wasm.F64Store,
    Wasm.V128Store,
    Wasm.I64Store32,
    Wasm.I64Store32,
    Wasm.I64Store8,
    Wasm.I64Store16,
];
/** Loads and stores by size (`MemoryAccess`): narrow loads extend to 32 bits. */
export const MEMORY_LOAD: readonly number[] = [
    Wasm.I32Load8U,
    Wasm.I32Load16U,
    Wasm.I32Load,
    Wasm.I64Load,
    Wasm.V128Load,
];
export const MEMORY_STORE: readonly number[] = [
    Wasm.I32Store8,
    Wasm.I32Store16,
    Wasm.I32Store,
    Wasm.I64Store,
    Wasm.V128Store,
];

export class FunctionWriter {
    readonly out = new ByteWriter();
    private readonly localTypes: Type[] = [];
    private readonly free: number[][] = [[], [], [], [], [], []];
    /** Number of enclosing blocks opened by structured IR at the point of emission. */
    protected depth = 0;

    /** The function body: locals, then what was emitted, then end. */
    finish(): Uint8Array {
        const body = new ByteWriter();
        // Runs of equal types are one declaration.
        const runs: [number, Type][] = [];
        for (const type of this.localTypes) {
            const last = runs[runs.length - 1];
            if (last !== undefined && last[1] === type) {
                last[0]++;
            } else {
                runs.push([1, type]);
            }
        }
        body.u32(runs.length);
        for (const [count, type] of runs) {
            body.u32(count);
            body.byte(WASM_TYPE[type]);
        }
        body.append(this.out.bytes, this.out.length);
        body.byte(Wasm.End);
        return body.finish();
    }

    /** Takes a local of that type until {@link freeLocal}. */
    takeLocal(type: Type): number {
        return this.free[type].pop() ?? this.newLocal(type);
    }

    /** A local that no code emitted before uses: for what lives through the whole function. */
    protected newLocal(type: Type): number {
        return this.localTypes.push(type) - 1 + PARAMETERS;
    }

    freeLocal(local: number): void {
        this.free[this.localTypes[local - PARAMETERS]].push(local);
    }

    opcode(code: number): void {
        if (code > 0xff) {
            this.out.byte(code >> 8);
            this.out.u32(code & 0xff);
        } else {
            this.out.byte(code);
        }
    }

    localGet(local: number): void {
        this.out.byte(Wasm.LocalGet);
        this.out.u32(local);
    }

    localSet(local: number): void {
        this.out.byte(Wasm.LocalSet);
        this.out.u32(local);
    }

    localTee(local: number): void {
        this.out.byte(Wasm.LocalTee);
        this.out.u32(local);
    }

    i32Const(value: number): void {
        this.out.byte(Wasm.I32Const);
        this.out.s32(value);
    }

    i64Const(low: number, high: number): void {
        this.out.byte(Wasm.I64Const);
        this.out.s64(low, high);
    }

    /** A load or store opcode with its immediate; the alignment hint is always 1 byte. */
    memory(code: number, offset: number): void {
        this.opcode(code);
        this.out.u32(0);
        this.out.u32(offset);
    }

    /** Loads a state field of the vCPU in local 0. */
    loadState(offset: number, access: StateAccess): void {
        this.localGet(LOCAL_CPU);
        this.memory(STATE_LOAD[access], offset);
    }

    /** For samplers of where time goes. */
    noteTier(tier: Tier): void {
        this.storeState(StateOffset.tier, StateAccess.I32, () => this.i32Const(tier));
    }

    /** Stores what `value` emits to a state field. */
    storeState(offset: number, access: StateAccess, value: () => void): void {
        this.localGet(LOCAL_CPU);
        value();
        this.memory(STATE_STORE[access], offset);
    }

    /** Opens an `if` with a block type (0x40 for none, or a value type byte). */
    openIf(blockType = 0x40): void {
        this.out.byte(Wasm.If);
        this.out.byte(blockType);
        this.depth++;
    }

    else(): void {
        this.out.byte(Wasm.Else);
    }

    close(): void {
        this.out.byte(Wasm.End);
        this.depth--;
    }
}
