/**
 * Interpreter handlers: one function per shape of instruction. State lives in memory; the operands come from the record;
 * a handler ends by jumping to the next record's handler. Faults are thrown by the JavaScript slow paths, which is safe
 * because everything a handler has changed is in memory and it changes nothing before its last access.
 */
import { CpuArea, JumpCache, StateOffset, Tier } from '../../machine/state';
import { Wasm, WasmModule } from '../../wasm/module';
import { type Helper } from '../ir/function';
import { type MemoryAccess, StateAccess, Type, WASM_TYPE } from '../ir/opcodes';
import { Emitter } from './emitter';
import { LOCAL_CPU, LOCAL_RECORD } from './function-writer';
import { ExitReason } from './exit';
import { emitLookup } from './lookup-emitter';
import { HeaderOffset, RecordOffset } from './record';

const I32 = 0x7f;

/** A module under construction that holds translated functions: the imports they all share. */
export class TranslatedModule {
    readonly module = new WasmModule();
    readonly functionType = this.module.type([I32, I32], [I32]);
    private readonly helpers = new Map<string, number>();

    constructor(memoryPages: number, maximumPages: number, tableSize: number) {
        this.module.importMemory('env', 'memory', memoryPages, maximumPages);
        this.module.importTable('env', 'table', tableSize);
    }

    /** Names of the imported helpers, by function index. */
    get helperNames(): ReadonlyMap<number, string> {
        return new Map([...this.helpers].map(([name, index]) => [index, name]));
    }

    /** Index of the imported helper; must be called before the first function is added (see {@link declare}). */
    helper(helper: Helper): number {
        let index = this.helpers.get(helper.name);
        if (index === undefined) {
            const parameters = [I32, ...helper.parameters.map(type => WASM_TYPE[type])];
            const results = helper.result === Type.Void ? [] : [WASM_TYPE[helper.result]];
            index = this.module.importFunction('helpers', helper.name, this.module.type(parameters, results));
            this.helpers.set(helper.name, index);
        }
        return index;
    }
}

export const LOAD_MISS: Helper = { name: 'loadMiss', parameters: [Type.I32], result: Type.Void };
export const STORE_MISS: Helper = { name: 'storeMiss', parameters: [Type.I32], result: Type.Void };
export const RAISE: Helper = { name: 'raise', parameters: [Type.I32, Type.I32], result: Type.Void };

const SCRATCH_STORE: readonly StateAccess[] = [
    StateAccess.I32,
    StateAccess.I32,
    StateAccess.I32,
    StateAccess.I64,
    StateAccess.V128,
];

/**
 * Emits a look-up of RIP (in local `rip`, and stored in blockRip) in the jump cache and a tail call of the block's code,
 * or of the handler that looks further.
 */
export function emitDispatch(emitter: Emitter, functionType: number, rip: number, codeIsFlat: boolean): void {
    const { out } = emitter;
    const entry = emitter.takeLocal(Type.I32);
    const linear = codeIsFlat ? rip : emitter.takeLocal(Type.I64);
    if (!codeIsFlat) {
        emitter.localGet(rip);
        emitter.loadState(CS_BASE, StateAccess.I64);
        emitter.opcode(Wasm.I64Add);
        emitter.i64Const(-1, 0);
        emitter.opcode(Wasm.I64And);
        emitter.localSet(linear);
    }
    emitJumpCacheSlot(emitter, linear, entry);
    emitter.localTee(entry);
    emitter.memory(Wasm.I64Load, CpuArea.jumpCache + JumpCache.rip);
    emitter.localGet(linear);
    emitter.opcode(Wasm.I64Eq);
    emitter.localGet(entry);
    emitter.memory(Wasm.I32Load, CpuArea.jumpCache + JumpCache.mode);
    emitter.loadState(StateOffset.mode, StateAccess.I32);
    emitter.opcode(Wasm.I32Eq);
    emitter.opcode(Wasm.I32And);
    emitter.openIf();
    emitter.localGet(LOCAL_CPU);
    emitter.localGet(entry);
    emitter.memory(Wasm.I32Load, CpuArea.jumpCache + JumpCache.record);
    emitter.localTee(entry);
    emitter.localGet(entry);
    emitter.memory(Wasm.I32Load, RecordOffset.handler);
    out.byte(Wasm.ReturnCallIndirect);
    out.u32(functionType);
    out.byte(0);
    emitter.close();
    if (codeIsFlat) {
        emitter.localGet(LOCAL_CPU);
        emitter.i32Const(0);
        emitter.i32Const(FixedHandler.Lookup);
        out.byte(Wasm.ReturnCallIndirect);
        out.u32(functionType);
        out.byte(0);
    } else {
        emitter.i32Const(ExitReason.Miss);
        out.byte(Wasm.Return);
    }
    emitter.freeLocal(entry);
    if (!codeIsFlat) {
        emitter.freeLocal(linear);
    }
}

/**
 * Leaves the address, relative to `CpuArea.jumpCache`, of the slot for a linear address on the stack.
 * @param scratch an i32 local
 */
export function emitJumpCacheSlot(emitter: Emitter, linear: number, scratch: number): void {
    emitter.localGet(linear);
    emitter.opcode(Wasm.I32WrapI64);
    emitter.localTee(scratch);
    emitter.localGet(scratch);
    emitter.i32Const(12);
    emitter.opcode(Wasm.I32ShrU);
    emitter.opcode(Wasm.I32Xor);
    emitter.i32Const(JumpCache.entries - 1);
    emitter.opcode(Wasm.I32And);
    emitter.i32Const(Math.log2(JumpCache.entrySize));
    emitter.opcode(Wasm.I32Shl);
    emitter.localGet(LOCAL_CPU);
    emitter.opcode(Wasm.I32Add);
}

const CS_BASE: number = StateOffset.segments + 32;

export class HandlerEmitter extends Emitter {
    protected readonly missYieldsAddress = false;

    constructor(
        private readonly target: TranslatedModule,
        private readonly codeIsFlat: boolean,
    ) {
        super();
    }

    protected mayDelayGet(): boolean {
        return false; // indexed writes may alias any register
    }

    protected emitGet(offset: number, access: StateAccess): void {
        this.loadState(offset, access);
    }

    protected emitSet(offset: number, access: StateAccess, value: () => void): void {
        this.storeState(offset, access, value);
    }

    protected emitTlbBase(): void {
        this.loadState(StateOffset.tlb, StateAccess.I32);
    }

    protected emitLoadMiss(index: number, access: MemoryAccess, linear: number): void {
        this.beginSlowPath(linear);
        this.localGet(LOCAL_CPU);
        this.i32Const(access | (this.ir.d[index] !== 0 ? 8 : 0));
        this.call(LOAD_MISS);
        this.loadState(StateOffset.scratch, SCRATCH_STORE[access]);
    }

    protected emitStoreMiss(_index: number, access: MemoryAccess, linear: number, value: number): void {
        this.beginSlowPath(linear);
        this.storeState(StateOffset.scratch, SCRATCH_STORE[access], () => this.localGet(value));
        this.localGet(LOCAL_CPU);
        this.i32Const(access);
        this.call(STORE_MISS);
    }

    protected emitRaise(index: number): void {
        this.saveRecord();
        this.localGet(LOCAL_CPU);
        this.i32Const(this.ir.a[index]);
        if (this.ir.b[index] >= 0) {
            this.value(this.ir.b[index]);
        } else {
            this.i32Const(-1);
        }
        this.call(RAISE);
        this.out.byte(Wasm.Unreachable);
    }

    protected emitJumpRelative(): void {
        throw new Error('interpreter handlers compute their jump targets');
    }

    protected emitJumpIndirect(index: number): void {
        const rip = this.takeLocal(Type.I64);
        this.value(this.ir.a[index]);
        this.localSet(rip);
        this.emitJumpTo(rip);
        this.freeLocal(rip);
    }

    /** Goes to the block at the RIP in local `rip`. */
    emitJumpTo(rip: number): void {
        this.storeState(StateOffset.blockRip, StateAccess.I64, () => this.localGet(rip));
        emitDispatch(this, this.target.functionType, rip, this.codeIsFlat);
    }

    protected emitSetCarries(): void {
        throw new Error('handlers keep no carries for later');
    }

    protected emitNext(): void {
        this.localGet(LOCAL_CPU);
        this.localGet(LOCAL_RECORD);
        this.i32Const(RecordOffset.size);
        this.opcode(Wasm.I32Add);
        this.localGet(LOCAL_RECORD);
        this.memory(Wasm.I32Load, RecordOffset.size + RecordOffset.handler);
        this.out.byte(Wasm.ReturnCallIndirect);
        this.out.u32(this.target.functionType);
        this.out.byte(0);
    }

    protected emitSystem(): void {
        this.saveRecord();
        this.i32Const(ExitReason.System);
        this.out.byte(Wasm.Return);
    }

    protected emitRip(low: number, high: number): void {
        this.loadState(StateOffset.blockRip, StateAccess.I64);
        this.localGet(LOCAL_RECORD);
        this.memory(Wasm.I64Load16U, RecordOffset.ipOffset);
        this.opcode(Wasm.I64Add);
        if (low !== 0 || high !== 0) {
            this.i64Const(low, high);
            this.opcode(Wasm.I64Add);
        }
    }

    protected helperFunction(helper: number): number {
        // Any helper may raise or look at the record.
        return this.target.helper(this.ir.helpers[helper]);
    }

    saveRecord(): void {
        this.storeState(StateOffset.currentRecord, StateAccess.I32, () => this.localGet(LOCAL_RECORD));
    }

    /** Returns to the dispatcher with this reason. */
    emitExit(reason: ExitReason): void {
        this.i32Const(reason);
        this.out.byte(Wasm.Return);
    }

    emitGoOn(): void {
        this.emitNext();
    }

    private beginSlowPath(linear: number): void {
        this.saveRecord();
        this.storeState(StateOffset.accessAddress, StateAccess.I64, () => this.localGet(linear));
    }

    private call(helper: Helper): void {
        this.out.byte(Wasm.Call);
        this.out.u32(this.target.helper(helper));
    }
}

/** The three handlers that are not instructions. */
export const enum FixedHandler {
    /** First record of a block: accounts for its instructions and counts its heat. */
    Header = 1,
    /** After the last instruction of a block that just ends, 64-bit code / other code. */
    End64,
    End32,
    /** Overwritten code: leave, to be decoded again. */
    Stale,
    StaleHeader,
    /**
     * Entry from the dispatcher: runs the given record, or looks blockRip up if it is 0; while the code segment is flat
     * (as in 64-bit code) / otherwise.
     */
    EnterFlat,
    EnterSegmented,
    /** Looks the block at blockRip up by physical address, if the code segment is flat; the record does not matter. */
    Lookup,
    /** First record of a block at a breakpoint that only the dispatcher can decide on. */
    Breakpoint,
    First,
}

/** What fixed handlers depend on. */
export interface FixedParameters {
    /** Heat at which a block asks to be translated. */
    readonly hotThreshold: number;
    /** Address of the block table in the shared memory, if there is one. */
    readonly blockTable: number | undefined;
    /** Blocks note that the interpreter tier runs ({@link StateOffset.tier}). */
    readonly notesTier?: boolean;
}

/** Emits the body of a fixed handler. */
export function fixedHandler(
    target: TranslatedModule,
    which: FixedHandler,
    { hotThreshold, blockTable, notesTier }: FixedParameters,
): Uint8Array {
    const emitter = new HandlerEmitter(target, which === FixedHandler.End64);
    switch (which) {
        case FixedHandler.Header:
            if (notesTier === true) {
                emitter.noteTier(Tier.Interpreter);
            }
            emitHeader(emitter, hotThreshold);
            break;
        case FixedHandler.End64:
        case FixedHandler.End32: {
            const rip = emitter.takeLocal(Type.I64);
            emitter.loadState(StateOffset.blockRip, StateAccess.I64);
            emitter.localGet(LOCAL_RECORD);
            emitter.memory(Wasm.I64Load16U, RecordOffset.ipOffset);
            emitter.opcode(Wasm.I64Add);
            if (which === FixedHandler.End32) {
                emitter.i64Const(-1, 0);
                emitter.opcode(Wasm.I64And);
            }
            emitter.localSet(rip);
            emitter.emitJumpTo(rip);
            break;
        }
        case FixedHandler.Stale:
            emitter.saveRecord();
            emitter.emitExit(ExitReason.Stale);
            break;
        case FixedHandler.StaleHeader:
            emitter.emitExit(ExitReason.Miss);
            break;
        case FixedHandler.Lookup:
            if (blockTable === undefined) {
                emitter.emitExit(ExitReason.Miss);
            } else {
                emitLookup(emitter, blockTable, target.functionType);
            }
            break;
        case FixedHandler.Breakpoint:
            emitBudgetCheck(emitter, emitter.takeLocal(Type.I64));
            emitter.emitExit(ExitReason.Breakpoint);
            break;
        case FixedHandler.EnterFlat:
        case FixedHandler.EnterSegmented: {
            emitter.localGet(LOCAL_RECORD);
            emitter.openIf();
            emitter.localGet(LOCAL_CPU);
            emitter.localGet(LOCAL_RECORD);
            emitter.localGet(LOCAL_RECORD);
            emitter.memory(Wasm.I32Load, RecordOffset.handler);
            emitter.out.byte(Wasm.ReturnCallIndirect);
            emitter.out.u32(target.functionType);
            emitter.out.byte(0);
            emitter.close();
            const rip = emitter.takeLocal(Type.I64);
            emitter.loadState(StateOffset.blockRip, StateAccess.I64);
            emitter.localSet(rip);
            emitDispatch(emitter, target.functionType, rip, which === FixedHandler.EnterFlat);
            break;
        }
    }
    return withUnreachableEnd(emitter);
}

/** Body of a function whose code never falls off its end. */
export function withUnreachableEnd(emitter: Emitter): Uint8Array {
    emitter.out.byte(Wasm.Unreachable);
    return emitter.finish();
}

/** Leaves if less remains than the block of the header record takes; local `left` receives what remains after it. */
export function emitBudgetCheck(emitter: HandlerEmitter, left: number): void {
    emitter.loadState(StateOffset.remaining, StateAccess.I64);
    emitter.localGet(LOCAL_RECORD);
    emitter.memory(Wasm.I64Load32U, HeaderOffset.count);
    emitter.opcode(Wasm.I64Sub);
    emitter.localTee(left);
    emitter.i64Const(0, 0);
    emitter.opcode(Wasm.I64LtS);
    emitter.openIf();
    emitter.emitExit(ExitReason.Budget);
    emitter.close();
}

function emitHeader(emitter: HandlerEmitter, hotThreshold: number): void {
    const left = emitter.takeLocal(Type.I64);
    const heat = emitter.takeLocal(Type.I32);
    emitBudgetCheck(emitter, left);
    emitter.localGet(LOCAL_RECORD);
    emitter.localGet(LOCAL_RECORD);
    emitter.memory(Wasm.I32Load, HeaderOffset.heat);
    emitter.i32Const(1);
    emitter.opcode(Wasm.I32Add);
    emitter.localTee(heat);
    emitter.memory(Wasm.I32Store, HeaderOffset.heat);
    emitter.localGet(heat);
    emitter.i32Const(hotThreshold);
    emitter.opcode(Wasm.I32Eq);
    emitter.openIf();
    emitter.emitExit(ExitReason.Hot);
    emitter.close();
    emitter.storeState(StateOffset.remaining, StateAccess.I64, () => emitter.localGet(left));
    emitter.emitGoOn();
}
