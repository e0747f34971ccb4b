/**
 * IR → WebAssembly function body. What differs between interpreter handlers and regions (where registers live, what an
 * access does when it misses the soft TLB, how control leaves) is left to subclasses.
 */
import { Tlb } from '../../machine/state';
import { Wasm } from '../../wasm/module';
import { type IrFunction, type Value } from '../ir/function';
import {
    FIRST_PURE,
    MEMORY_ACCESS_BYTES,
    type MemoryAccess,
    Op,
    PURE_OPERATIONS,
    type StateAccess,
    Type,
    WASM_TYPE,
} from '../ir/opcodes';
import { type Placement, placeValues } from './analysis';
import {
    FunctionWriter,
    LOCAL_CPU,
    LOCAL_RECORD,
    MEMORY_LOAD,
    MEMORY_STORE,
    STATE_LOAD,
    STATE_STORE,
} from './function-writer';

export abstract class Emitter extends FunctionWriter {
    protected ir!: IrFunction;
    protected placement!: Placement;
    /** Local of each materialised value or variable, or -1. */
    private localOf = new Int32Array(0);
    /** Values whose local is released after operation i. */
    private expiring = new Map<number, Value[]>();
    /** Where the operations of each side exit stand: [start, end). */
    protected exitRanges: [number, number][] = [];

    // --- subclass responsibilities -------------------------------------------------------------------------------

    protected abstract mayDelayGet(offset: number): boolean;
    protected abstract emitGet(offset: number, access: StateAccess): void;
    /** Emits a write; `value()` emits the value. */
    protected abstract emitSet(offset: number, access: StateAccess, value: () => void): void;
    /** {@link Op.SetCarries}; `first()` emits the first operand. flagResult has just been set. */
    protected abstract emitSetCarries(subtract: boolean, width: number, first: () => void): void;
    /** After a fast-path miss of a load. The linear address is in local `linear`. Leaves the loaded value. */
    protected abstract emitLoadMiss(index: number, access: MemoryAccess, linear: number): void;
    /** After a fast-path miss of a store: the value is in local `value`. */
    protected abstract emitStoreMiss(index: number, access: MemoryAccess, linear: number, value: number): void;
    /** True if a missing load yields a host address to load from rather than the value. */
    protected abstract readonly missYieldsAddress: boolean;
    protected abstract emitJumpRelative(index: number): void;
    protected abstract emitJumpIndirect(index: number): void;
    protected abstract emitNext(): void;
    protected abstract emitSystem(index: number): void;
    protected abstract emitRaise(index: number): void;
    protected abstract emitRip(low: number, high: number): void;
    /** WebAssembly function index of a helper. */
    protected abstract helperFunction(helper: number): number;
    protected abstract emitTlbBase(): void;

    // --- driving ---------------------------------------------------------------------------------------------------

    /** Emits a whole IR sequence. */
    emitSequence(ir: IrFunction): void {
        this.ir = ir;
        this.placement = placeValues(ir, offset => this.mayDelayGet(offset));
        this.localOf = new Int32Array(ir.length).fill(-1);
        this.exitRanges = [];
        this.expiring = new Map();
        for (let i = 0; i < ir.length; i++) {
            if (ir.op[i] === Op.SideExit) {
                const start = i + 1;
                while (ir.op[i] !== Op.SideExitEnd) {
                    i++;
                }
                this.exitRanges[ir.a[start - 1]] = [start, i];
                continue;
            }
            this.beginOperation(i);
            this.emitOperation(i);
            this.release(i);
        }
        // Whatever is still held (a loop's values when the sequence ends early) is free for the next sequence.
        for (const values of this.expiring.values()) {
            values.forEach(value => this.releaseLocal(value));
        }
    }

    /** A hook for those who want to know where an operation's code begins. */
    protected beginOperation(_index: number): void {}

    /** Emits another sequence in the middle of this one, whose state is kept. */
    protected nested(emit: () => void): void {
        const { ir, placement, localOf, expiring } = this;
        const ranges = this.exitRanges;
        this.exitRanges = [];
        emit();
        this.ir = ir;
        this.placement = placement;
        this.localOf = localOf;
        this.expiring = expiring;
        this.exitRanges = ranges;
    }

    /** Emits the operations of side exit `exit` (none for -1). */
    protected emitSideExit(exit: number): void {
        if (exit < 0) {
            return;
        }
        const [start, end] = this.exitRanges[exit];
        const locals: number[] = [];
        for (let i = start; i < end; i++) {
            this.emitOperation(i);
            // The same exit may be emitted at several sites: its own values get new locals each time.
            if (this.localOf[i] >= 0) {
                locals.push(i);
            }
        }
        for (const value of locals) {
            this.releaseLocal(value);
        }
    }

    // --- values ----------------------------------------------------------------------------------------------------

    /** Emits code that leaves value v on the stack. */
    protected value(v: Value): void {
        const local = this.localOf[v];
        if (local >= 0) {
            this.localGet(local);
            return;
        }
        this.compute(v);
    }

    private compute(v: Value): void {
        const { ir } = this;
        const op = ir.op[v];
        if (op >= FIRST_PURE) {
            const operation = PURE_OPERATIONS[op - FIRST_PURE];
            const operands = operation.operands.length;
            this.value(ir.a[v]);
            if (operands > 1) {
                this.value(ir.b[v]);
            }
            if (operands > 2) {
                this.value(ir.c[v]);
            }
            this.opcode(operation.wasm);
            if (operation.hasLane) {
                this.out.byte(ir.d[v]);
            }
            return;
        }
        switch (op) {
            case Op.Const32:
                this.i32Const(ir.a[v]);
                return;
            case Op.Const64:
                this.i64Const(ir.a[v], ir.b[v]);
                return;
            case Op.ConstV128:
                this.opcode(Wasm.V128Const);
                this.out.append(ir.vectors[ir.a[v]]);
                return;
            case Op.Select:
                this.value(ir.a[v]);
                this.value(ir.b[v]);
                this.value(ir.c[v]);
                if (ir.type[v] === Type.V128) {
                    this.out.byte(Wasm.SelectTyped);
                    this.out.byte(1);
                    this.out.byte(WASM_TYPE[Type.V128]);
                } else {
                    this.out.byte(Wasm.Select);
                }
                return;
            case Op.Shuffle:
                this.value(ir.a[v]);
                this.value(ir.b[v]);
                this.opcode(Wasm.I8x16Shuffle);
                this.out.append(ir.vectors[ir.c[v]]);
                return;
            case Op.Get:
                this.emitGet(ir.a[v], ir.b[v]);
                return;
            case Op.Rip:
                this.emitRip(ir.a[v], ir.b[v]);
                return;
        }
        throw new Error(`IR value ${v} (operation ${op}) is used where it was not computed`);
    }

    /** Keeps the value on the stack in a local if it is used, else drops it. */
    private keep(i: number): void {
        if (this.placement.uses[i] === 0) {
            this.out.byte(Wasm.Drop);
            return;
        }
        this.localSet(this.assign(i));
    }

    private assign(i: number): number {
        const local = this.takeLocal(this.ir.type[i]);
        this.localOf[i] = local;
        const last = this.placement.lastUse[i];
        const list = this.expiring.get(last);
        if (list === undefined) {
            this.expiring.set(last, [i]);
        } else {
            list.push(i);
        }
        return local;
    }

    private release(i: number): void {
        const values = this.expiring.get(i);
        if (values !== undefined) {
            values.forEach(value => this.releaseLocal(value));
            this.expiring.delete(i);
        }
    }

    private releaseLocal(value: Value): void {
        const local = this.localOf[value];
        if (local >= 0) {
            this.freeLocal(local);
            this.localOf[value] = -1;
        }
    }

    // --- operations --------------------------------------------------------------------------------------------------

    private emitOperation(i: number): void {
        const { ir } = this;
        const op = ir.op[i];
        if (op >= FIRST_PURE || op <= Op.Shuffle || op === Op.Rip) {
            if (!this.placement.delayed[i] && this.placement.uses[i] > 0) {
                if (op <= Op.Const64) {
                    return; // constants are emitted at every use
                }
                this.compute(i);
                this.keep(i);
            }
            return;
        }
        switch (op) {
            case Op.Get:
                if (!this.placement.delayed[i] && this.placement.uses[i] > 0) {
                    this.emitGet(ir.a[i], ir.b[i]);
                    this.keep(i);
                }
                return;
            case Op.Set:
                this.emitSet(ir.a[i], ir.b[i], () => this.value(ir.c[i]));
                return;
            case Op.SetCarries:
                this.emitSetCarries(ir.a[i] !== 0, ir.b[i], () => this.value(ir.c[i]));
                return;
            case Op.GetIndexed:
                this.localGet(LOCAL_CPU);
                this.value(ir.c[i]);
                this.opcode(Wasm.I32Add);
                this.memory(STATE_LOAD[ir.b[i]], ir.a[i]);
                this.keep(i);
                return;
            case Op.SetIndexed:
                this.localGet(LOCAL_CPU);
                this.value(ir.c[i]);
                this.opcode(Wasm.I32Add);
                this.value(ir.d[i]);
                this.memory(STATE_STORE[ir.b[i]], ir.a[i]);
                return;
            case Op.Record:
                this.localGet(LOCAL_RECORD);
                this.memory(STATE_LOAD[ir.b[i]], ir.a[i]);
                this.keep(i);
                return;
            case Op.RecordAddress:
                this.localGet(LOCAL_RECORD);
                this.keep(i);
                return;
            case Op.Variable:
                this.value(ir.a[i]);
                this.localSet(this.assign(i));
                return;
            case Op.VariableGet:
                if (this.placement.uses[i] > 0) {
                    this.localGet(this.localOf[ir.a[i]]);
                    this.keep(i);
                }
                return;
            case Op.VariableSet:
                this.value(ir.b[i]);
                this.localSet(this.localOf[ir.a[i]]);
                return;
            case Op.If:
                this.value(ir.a[i]);
                this.openIf();
                return;
            case Op.Else:
                this.else();
                return;
            case Op.End:
                this.close();
                return;
            case Op.Loop:
                this.out.byte(Wasm.Loop);
                this.out.byte(0x40);
                this.depth++;
                return;
            case Op.LoopEnd:
                this.value(ir.a[i]);
                this.out.byte(Wasm.BrIf);
                this.out.u32(0);
                this.close();
                return;
            case Op.Load:
                this.emitLoad(i);
                return;
            case Op.Store:
                this.emitStore(i);
                return;
            case Op.HostAddress:
                this.emitHostAddress(i);
                return;
            case Op.MemoryCopy:
            case Op.MemoryFill:
                this.value(ir.a[i]);
                this.value(ir.b[i]);
                this.value(ir.c[i]);
                this.opcode(op === Op.MemoryCopy ? 0xfc0a : 0xfc0b);
                this.out.byte(0);
                if (op === Op.MemoryCopy) {
                    this.out.byte(0);
                }
                return;
            case Op.Call:
                this.emitCall(i);
                return;
            case Op.Raise:
                this.emitRaise(i);
                return;
            case Op.JumpRelative:
                this.emitJumpRelative(i);
                return;
            case Op.JumpIndirect:
                this.emitJumpIndirect(i);
                return;
            case Op.Next:
                this.emitNext();
                return;
            case Op.System:
                this.emitSystem(i);
                return;
        }
        throw new Error(`IR operation ${op} cannot be emitted`);
    }

    private emitCall(i: number): void {
        const { ir } = this;
        if (ir.helpers[ir.a[i]].pure && this.placement.uses[i] === 0) {
            return;
        }
        this.localGet(LOCAL_CPU);
        for (let k = 0; k < ir.c[i]; k++) {
            this.value(ir.extra[ir.b[i] + k]);
        }
        this.out.byte(Wasm.Call);
        this.out.u32(this.helperFunction(ir.a[i]));
        if (ir.type[i] !== Type.Void) {
            this.keep(i);
        }
    }

    /**
     * The soft TLB's fast path: leaves 1 on the stack if the page of the last byte of the access matches the entry of
     * the first byte's page (so a page crossing misses). `linear` holds the address, `entry` receives the entry.
     */
    protected emitTlbCompare(bytes: number, forWrite: boolean, linear: number, entry: number): void {
        const indexMask = (Tlb.entries - 1) * Tlb.entrySize;
        this.localGet(linear);
        this.i64Const(12 - Math.log2(Tlb.entrySize), 0);
        this.opcode(Wasm.I64ShrU);
        this.opcode(Wasm.I32WrapI64);
        this.i32Const(indexMask);
        this.opcode(Wasm.I32And);
        this.emitTlbBase();
        this.opcode(Wasm.I32Add);
        this.localTee(entry);
        this.memory(Wasm.I64Load, Tlb.tag + (forWrite ? Tlb.writeTable : 0));
        this.localGet(linear);
        if (bytes > 1) {
            this.i64Const(bytes - 1, 0);
            this.opcode(Wasm.I64Add);
        }
        this.i64Const(-0x1000, -1);
        this.opcode(Wasm.I64And);
        this.opcode(Wasm.I64Eq);
    }

    protected emitHostFromEntry(forWrite: boolean, linear: number, entry: number): void {
        this.localGet(linear);
        this.opcode(Wasm.I32WrapI64);
        this.localGet(entry);
        this.memory(Wasm.I32Load, Tlb.addend + (forWrite ? Tlb.writeTable : 0));
        this.opcode(Wasm.I32Add);
    }

    private emitLoad(i: number): void {
        const { ir } = this;
        const access = ir.b[i] as MemoryAccess;
        const forWrite = ir.d[i] !== 0;
        const linear = this.takeLocal(Type.I64);
        const entry = this.takeLocal(Type.I32);
        this.value(ir.a[i]);
        this.localSet(linear);
        this.emitTlbCompare(MEMORY_ACCESS_BYTES[access], forWrite, linear, entry);
        if (this.missYieldsAddress) {
            this.openIf(WASM_TYPE[Type.I32]);
            this.emitHostFromEntry(forWrite, linear, entry);
            this.else();
            this.emitLoadMiss(i, access, linear);
            this.close();
            this.memory(MEMORY_LOAD[access], 0);
        } else {
            this.openIf(WASM_TYPE[ir.type[i]]);
            this.emitHostFromEntry(forWrite, linear, entry);
            this.memory(MEMORY_LOAD[access], 0);
            this.else();
            this.emitLoadMiss(i, access, linear);
            this.close();
        }
        this.freeLocal(linear);
        this.freeLocal(entry);
        this.keep(i);
    }

    private emitStore(i: number): void {
        const { ir } = this;
        const access = ir.b[i] as MemoryAccess;
        const linear = this.takeLocal(Type.I64);
        const entry = this.takeLocal(Type.I32);
        const type = ir.type[ir.c[i]];
        const value = this.takeLocal(type);
        this.value(ir.a[i]);
        this.localSet(linear);
        this.value(ir.c[i]);
        this.localSet(value);
        this.emitTlbCompare(MEMORY_ACCESS_BYTES[access], true, linear, entry);
        this.openIf();
        this.emitHostFromEntry(true, linear, entry);
        this.localGet(value);
        this.memory(MEMORY_STORE[access], 0);
        this.else();
        this.emitStoreMiss(i, access, linear, value);
        this.close();
        this.freeLocal(linear);
        this.freeLocal(entry);
        this.freeLocal(value);
    }

    private emitHostAddress(i: number): void {
        const { ir } = this;
        const forWrite = ir.b[i] !== 0;
        const linear = this.takeLocal(Type.I64);
        const entry = this.takeLocal(Type.I32);
        this.value(ir.a[i]);
        this.localSet(linear);
        this.emitTlbCompare(1, forWrite, linear, entry);
        this.openIf(WASM_TYPE[Type.I32]);
        this.emitHostFromEntry(forWrite, linear, entry);
        this.else();
        this.i32Const(0);
        this.close();
        this.freeLocal(linear);
        this.freeLocal(entry);
        this.keep(i);
    }
}
