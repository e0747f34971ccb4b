/**
 * A sequence of IR operations in single-assignment form, kept in parallel arrays: a value is the index of the operation
 * that computes it. Control flow inside a sequence is structured (if/else, do-while); values merge through variables.
 */
import { FIRST_PURE, Op, PURE_OPERATIONS, STATE_ACCESS_TYPE, type Type } from './opcodes';

/** Index of the operation that computes a value. */
export type Value = number;

/** "No value": an absent operand. */
export const NONE = -1;

/** A routine outside the translated code that IR may call. */
export interface Helper {
    /** Import name; unique. */
    readonly name: string;
    readonly parameters: readonly Type[];
    readonly result: Type;
    /** Result depends on the arguments only: a call without uses may be dropped. */
    readonly pure?: boolean;
}

/** The arrays of a sequence, in one piece of memory: there is a sequence a block of a region, most of them short. */
class Columns {
    readonly a: Int32Array;
    readonly b: Int32Array;
    readonly c: Int32Array;
    readonly d: Int32Array;
    readonly op: Uint16Array;
    readonly type: Uint8Array;

    constructor(readonly size: number) {
        const memory = new ArrayBuffer(size * (4 * 4 + 2 + 1));
        this.a = new Int32Array(memory, 0, size);
        this.b = new Int32Array(memory, 4 * size, size);
        this.c = new Int32Array(memory, 8 * size, size);
        this.d = new Int32Array(memory, 12 * size, size);
        this.op = new Uint16Array(memory, 16 * size, size);
        this.type = new Uint8Array(memory, 18 * size, size);
    }

    /** The same with room for twice as many. */
    grown(): Columns {
        const larger = new Columns(2 * this.size);
        for (const column of ['a', 'b', 'c', 'd', 'op', 'type'] as const) larger[column].set(this[column]);
        return larger;
    }
}

export class IrFunction {
    private columns = new Columns(128);
    op = this.columns.op;
    type = this.columns.type;
    a = this.columns.a;
    b = this.columns.b;
    c = this.columns.c;
    d = this.columns.d;
    length = 0;
    /** Arguments of calls. */
    readonly extra: Value[] = [];
    /** 16-byte constants. */
    readonly vectors: Uint8Array[] = [];
    readonly helpers: Helper[] = [];

    append(op: number, type: Type, a = 0, b = 0, c = 0, d = 0): Value {
        const index = this.length;
        if (index === this.op.length) {
            this.grow();
        }
        this.op[index] = op;
        this.type[index] = type;
        this.a[index] = a;
        this.b[index] = b;
        this.c[index] = c;
        this.d[index] = d;
        this.length = index + 1;
        return index;
    }

    helperIndex(helper: Helper): number {
        let index = this.helpers.indexOf(helper);
        if (index < 0) {
            index = this.helpers.push(helper) - 1;
        }
        return index;
    }

    private grow(): void {
        this.columns = this.columns.grown();
        ({ op: this.op, type: this.type, a: this.a, b: this.b, c: this.c, d: this.d } = this.columns);
    }
}

/** Calls `visit` with each value that operation `index` uses. */
export function forEachOperand(ir: IrFunction, index: number, visit: (value: Value) => void): void {
    const op = ir.op[index];
    if (op >= FIRST_PURE) {
        const count = PURE_OPERATIONS[op - FIRST_PURE].operands.length;
        visit(ir.a[index]);
        if (count > 1) {
            visit(ir.b[index]);
        }
        if (count > 2) {
            visit(ir.c[index]);
        }
        return;
    }
    switch (op) {
        case Op.Select:
            visit(ir.a[index]);
            visit(ir.b[index]);
            visit(ir.c[index]);
            break;
        case Op.Shuffle:
            visit(ir.a[index]);
            visit(ir.b[index]);
            break;
        case Op.Set:
        case Op.SetCarries:
        case Op.GetIndexed:
            visit(ir.c[index]);
            break;
        case Op.SetIndexed:
            visit(ir.c[index]);
            visit(ir.d[index]);
            break;
        case Op.Variable:
        case Op.If:
        case Op.LoopEnd:
        case Op.Load:
        case Op.HostAddress:
        case Op.JumpIndirect:
            visit(ir.a[index]);
            break;
        case Op.VariableSet:
            visit(ir.b[index]);
            break;
        case Op.Store:
            visit(ir.a[index]);
            visit(ir.c[index]);
            break;
        case Op.MemoryCopy:
        case Op.MemoryFill:
            visit(ir.a[index]);
            visit(ir.b[index]);
            visit(ir.c[index]);
            break;
        case Op.Call:
            for (let i = 0; i < ir.c[index]; i++) {
                visit(ir.extra[ir.b[index] + i]);
            }
            break;
        case Op.Raise:
            if (ir.b[index] >= 0) {
                visit(ir.b[index]);
            }
            break;
    }
}

/** The side exit that operation `index` may take, or -1. */
export function sideExitOf(ir: IrFunction, index: number): number {
    switch (ir.op[index]) {
        case Op.Load:
        case Op.Raise:
        case Op.System:
            return ir.c[index];
        case Op.Store:
        case Op.Call:
            return ir.d[index];
    }
    return -1;
}

/** True if the operation only computes a value: it may be dropped when unused and computed later than written. */
export function isPure(ir: IrFunction, index: number): boolean {
    const op = ir.op[index];
    return (
        op >= FIRST_PURE ||
        op === Op.Const32 ||
        op === Op.Const64 ||
        op === Op.ConstV128 ||
        op === Op.Select ||
        op === Op.Shuffle ||
        op === Op.Rip
    );
}

/** Type of the value read by a state access. */
export function accessType(access: number): Type {
    return STATE_ACCESS_TYPE[access];
}
