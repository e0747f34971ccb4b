/**
 * Executes IR over plain memory, one operation at a time: slow and simple, the oracle of the code generator.
 *
 * Values are as in evaluate-scalar.ts and evaluate-vector.ts.
 */
import { StateOffset } from '../../machine/state';
import { type Helper, type IrFunction, NONE } from './function';
import { type Scalar, SCALAR_OPERATIONS } from './evaluate-scalar';
import { VECTOR_OPERATIONS } from './evaluate-vector';
import { FIRST_PURE, MemoryAccess, Op, PURE_OPERATIONS, StateAccess } from './opcodes';

/** The value of an operation. */
export type IrValue = Scalar | Uint8Array;

/** What IR runs on. */
export interface IrEnvironment {
    /** The vCPU's state. */
    readonly state: DataView;
    /** The decoded-instruction record, for IR of the interpreter tier. */
    readonly record?: DataView;
    /** Address of that record. */
    readonly recordAddress?: number;
    /** What the displacement of a Rip operation is added to. */
    readonly rip: bigint;
    /** The memory that host addresses point into. */
    readonly shared: Uint8Array;
    /** Address in `shared` of `bytes` at a linear address, or -1 if they cannot be accessed: the side exit is taken. */
    access(linear: bigint, bytes: number, forWrite: boolean): number;
    /** As the HostAddress operation. */
    hostAddress(linear: bigint, forWrite: boolean): number;
    /** Calls a helper. May throw. */
    call(helper: Helper, args: readonly IrValue[]): IrValue | undefined;
}

/** How IR ended. */
export type IrOutcome =
    | { readonly kind: 'end' }
    | { readonly kind: 'next' }
    /** To RIP + displacement. */
    | { readonly kind: 'jumpRelative'; readonly displacement: bigint }
    | { readonly kind: 'jump'; readonly rip: bigint }
    | { readonly kind: 'system' }
    | { readonly kind: 'raise'; readonly vector: number; readonly errorCode: IrValue | undefined }
    /** An access could not be done, by operation number `index`. */
    | { readonly kind: 'miss'; readonly index: number };

const ACCESS_BYTES: readonly number[] = [1, 2, 4, 8, 16];

/** See {@link Op.SetCarries}. A sum has carried out of a bit if, up to there, it is less than what was added to. */
function setCarries(state: DataView, isSubtraction: boolean, width: number, first: bigint): void {
    const result = state.getBigUint64(StateOffset.flagResult, true);
    const carryOutOf = (bit: number): boolean => {
        const low = (value: bigint): bigint => BigInt.asUintN(bit + 1, value);
        return isSubtraction ? low(first) < low(result) : low(result) < low(first);
    };
    const aux = (carryOutOf(width - 1) ? 1 << 31 : 0) | (carryOutOf(width - 2) ? 1 << 30 : 0) | (carryOutOf(3) ? 8 : 0);
    state.setInt32(StateOffset.flagAux, aux, true);
}

/** @throws what a helper throws */
export function evaluateIr(ir: IrFunction, environment: IrEnvironment): IrOutcome {
    return new Evaluator(ir, environment).run(0, ir.length);
}

class Evaluator {
    private readonly values: IrValue[];
    /** Of If: its Else or End; of Else and SideExit: the end. */
    private readonly ends: Int32Array;
    /** First operation of each side exit. */
    private readonly exits: number[] = [];

    constructor(
        private readonly ir: IrFunction,
        private readonly environment: IrEnvironment,
    ) {
        this.values = new Array<IrValue>(ir.length);
        this.ends = new Int32Array(ir.length);
        this.findEnds();
    }

    run(from: number, to: number): IrOutcome {
        const { ir } = this;
        for (let i = from; i < to; i++) {
            const op = ir.op[i];
            if (op >= FIRST_PURE) {
                this.values[i] = this.pure(i);
                continue;
            }
            switch (op) {
                case Op.If:
                    if (this.i32(ir.a[i]) === 0) {
                        i = this.ends[i];
                    }
                    break;
                case Op.Else:
                case Op.SideExit:
                    i = this.ends[i];
                    break;
                case Op.LoopEnd:
                    if (this.i32(ir.a[i]) !== 0) {
                        i = ir.b[i];
                    }
                    break;
                case Op.End:
                case Op.Loop:
                    break;
                default: {
                    const outcome = this.execute(i, op);
                    if (outcome !== undefined) {
                        return outcome;
                    }
                }
            }
        }
        return { kind: 'end' };
    }

    private execute(i: number, op: number): IrOutcome | undefined {
        const { ir, values, environment } = this;
        const { a, b, c, d } = { a: ir.a[i], b: ir.b[i], c: ir.c[i], d: ir.d[i] };
        switch (op) {
            case Op.Const32:
                values[i] = a;
                return undefined;
            case Op.Const64:
                values[i] = wide(a, b);
                return undefined;
            case Op.ConstV128:
                values[i] = ir.vectors[a];
                return undefined;
            case Op.Select:
                values[i] = this.i32(c) !== 0 ? values[a] : values[b];
                return undefined;
            case Op.Shuffle: {
                const both = [...this.v128(a), ...this.v128(b)];
                values[i] = ir.vectors[c].map(lane => both[lane]);
                return undefined;
            }
            case Op.Get:
                values[i] = read(environment.state, a, b);
                return undefined;
            case Op.Set:
                write(environment.state, a, b, values[c]);
                return undefined;
            case Op.GetIndexed:
                values[i] = read(environment.state, a + this.i32(c), b);
                return undefined;
            case Op.SetIndexed:
                write(environment.state, a + this.i32(c), b, values[d]);
                return undefined;
            case Op.SetCarries:
                setCarries(environment.state, a !== 0, b, values[c] as bigint);
                return undefined;
            case Op.Record:
                values[i] = read(environment.record!, a, b);
                return undefined;
            case Op.RecordAddress:
                values[i] = environment.recordAddress!;
                return undefined;
            case Op.Variable:
                values[i] = values[a];
                return undefined;
            case Op.VariableGet:
                values[i] = values[a];
                return undefined;
            case Op.VariableSet:
                values[a] = values[b];
                return undefined;
            case Op.Rip:
                values[i] = BigInt.asUintN(64, environment.rip + wide(a, b));
                return undefined;
            case Op.Load:
                return this.load(i);
            case Op.Store:
                return this.store(i);
            case Op.HostAddress:
                values[i] = environment.hostAddress(this.i64(a), b !== 0) | 0;
                return undefined;
            case Op.MemoryCopy: {
                const [to, from, count] = [a, b, c].map(operand => this.i32(operand) >>> 0);
                environment.shared.copyWithin(to, from, from + count);
                return undefined;
            }
            case Op.MemoryFill: {
                const [to, byte, count] = [a, b, c].map(operand => this.i32(operand) >>> 0);
                environment.shared.fill(byte, to, to + count);
                return undefined;
            }
            case Op.Call: {
                const args = ir.extra.slice(b, b + c).map(operand => values[operand]);
                const result = environment.call(ir.helpers[a], args);
                if (result !== undefined) {
                    values[i] = result;
                }
                return undefined;
            }
            case Op.Raise:
                return this.leave(c, { kind: 'raise', vector: a, errorCode: b === NONE ? undefined : values[b] });
            case Op.System:
                return this.leave(c, { kind: 'system' });
            case Op.JumpRelative:
                return { kind: 'jumpRelative', displacement: BigInt.asIntN(64, wide(a, b)) };
            case Op.JumpIndirect:
                return { kind: 'jump', rip: this.i64(a) };
            case Op.Next:
                return { kind: 'next' };
        }
        throw new Error(`the evaluator does not know operation ${op}`);
    }

    private load(i: number): IrOutcome | undefined {
        const { ir, environment } = this;
        const access = ir.b[i];
        const at = environment.access(this.i64(ir.a[i]), ACCESS_BYTES[access], ir.d[i] !== 0);
        if (at < 0) {
            return this.leave(ir.c[i], { kind: 'miss', index: i });
        }
        this.values[i] = read(viewOf(environment.shared), at, ofMemory(access));
        return undefined;
    }

    private store(i: number): IrOutcome | undefined {
        const { ir, environment } = this;
        const access = ir.b[i];
        const at = environment.access(this.i64(ir.a[i]), ACCESS_BYTES[access], true);
        if (at < 0) {
            return this.leave(ir.d[i], { kind: 'miss', index: i });
        }
        write(viewOf(environment.shared), at, ofMemory(access), this.values[ir.c[i]]);
        return undefined;
    }

    /** Runs a side exit, if there is one, and ends. */
    private leave(exit: number, outcome: IrOutcome): IrOutcome {
        if (exit !== NONE) {
            const start = this.exits[exit];
            this.run(start + 1, this.ends[start]);
        }
        return outcome;
    }

    private pure(i: number): IrValue {
        const { ir, values } = this;
        const { name, operands } = PURE_OPERATIONS[ir.op[i] - FIRST_PURE];
        const scalar = SCALAR_OPERATIONS.get(name);
        if (scalar !== undefined) {
            return scalar(values[ir.a[i]] as never, values[ir.b[i]] as never);
        }
        const vector = VECTOR_OPERATIONS.get(name)!;
        return vector([values[ir.a[i]], values[ir.b[i]], values[ir.c[i]]].slice(0, operands.length), ir.d[i]);
    }

    private i32(value: number): number {
        return this.values[value] as number;
    }

    private i64(value: number): bigint {
        return this.values[value] as bigint;
    }

    private v128(value: number): Uint8Array {
        return this.values[value] as Uint8Array;
    }

    private findEnds(): void {
        const { ir } = this;
        const open: number[] = [];
        for (let i = 0; i < ir.length; i++) {
            switch (ir.op[i]) {
                case Op.If:
                    open.push(i);
                    break;
                case Op.Else:
                case Op.End:
                    this.ends[open.pop()!] = i;
                    if (ir.op[i] === Op.Else) {
                        open.push(i);
                    }
                    break;
                case Op.SideExit:
                    this.exits[ir.a[i]] = i;
                    open.push(i);
                    break;
                case Op.SideExitEnd:
                    this.ends[open.pop()!] = i;
                    break;
            }
        }
    }
}

function wide(low: number, high: number): bigint {
    return BigInt.asUintN(64, (BigInt(high) << 32n) | BigInt(low >>> 0));
}

function viewOf(bytes: Uint8Array): DataView {
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function ofMemory(access: MemoryAccess): StateAccess {
    switch (access) {
        case MemoryAccess.M8:
            return StateAccess.U8;
        case MemoryAccess.M16:
            return StateAccess.U16;
        case MemoryAccess.M32:
            return StateAccess.I32;
        case MemoryAccess.M64:
            return StateAccess.I64;
        default:
            return StateAccess.V128;
    }
}

function read(view: DataView, at: number, access: StateAccess): IrValue {
    switch (access) {
        case StateAccess.U8:
            return view.getUint8(at);
        case StateAccess.U16:
            return view.getUint16(at, true);
        case StateAccess.I32:
        case StateAccess.F32:
            return view.getInt32(at, true);
        case StateAccess.I64:
        case StateAccess.F64:
            return view.getBigUint64(at, true);
        case StateAccess.V128:
            return new Uint8Array(view.buffer, view.byteOffset + at, 16).slice();
        case StateAccess.U32AsI64:
            return BigInt(view.getUint32(at, true));
        case StateAccess.S32AsI64:
            return BigInt.asUintN(64, BigInt(view.getInt32(at, true)));
        case StateAccess.U8AsI64:
            return BigInt(view.getUint8(at));
        case StateAccess.U16AsI64:
            return BigInt(view.getUint16(at, true));
    }
}

function write(view: DataView, at: number, access: StateAccess, value: IrValue): void {
    switch (access) {
        case StateAccess.U8:
        case StateAccess.U8AsI64:
            view.setUint8(at, Number(BigInt.asUintN(8, BigInt(value as Scalar))));
            break;
        case StateAccess.U16:
        case StateAccess.U16AsI64:
            view.setUint16(at, Number(BigInt.asUintN(16, BigInt(value as Scalar))), true);
            break;
        case StateAccess.I32:
        case StateAccess.F32:
            view.setInt32(at, value as number, true);
            break;
        case StateAccess.U32AsI64:
        case StateAccess.S32AsI64:
            view.setInt32(at, Number(BigInt.asIntN(32, value as bigint)), true);
            break;
        case StateAccess.I64:
        case StateAccess.F64:
            view.setBigUint64(at, value as bigint, true);
            break;
        case StateAccess.V128:
            new Uint8Array(view.buffer, view.byteOffset + at, 16).set(value as Uint8Array);
            break;
    }
}
