/**
 * Appends IR operations, folding constants and identities on the way. Semantics of instructions are written against
 * this and the lift context; neither knows whether the result becomes an interpreter handler or part of a region.
 */
import { type Helper, IrFunction, NONE, type Value } from './function';
import {
    MEMORY_ACCESS_TYPE,
    type MemoryAccess,
    Op,
    STATE_ACCESS_TYPE,
    type StateAccess,
    Type,
    pureOperation,
} from './opcodes';

export class IrBuilder {
    constructor(readonly ir: IrFunction = new IrFunction()) {}

    typeOf(value: Value): Type {
        return this.ir.type[value];
    }

    i32(number: number): Value {
        return this.ir.append(Op.Const32, Type.I32, number | 0);
    }

    /** An i64 constant from its halves; `high` defaults to the sign extension of `low`. */
    i64(low: number, high: number = (low | 0) < 0 ? -1 : 0): Value {
        return this.ir.append(Op.Const64, Type.I64, low | 0, high | 0);
    }

    /** A v128 constant from 16 bytes. */
    v128(bytes: ArrayLike<number>): Value {
        return this.ir.append(Op.ConstV128, Type.V128, this.ir.vectors.push(Uint8Array.from(bytes)) - 1);
    }

    isConst(value: Value): boolean {
        const op = this.ir.op[value];
        return op === Op.Const32 || op === Op.Const64;
    }

    /** Low 32 bits of a constant, signed. Only for values with {@link isConst}. */
    constLow(value: Value): number {
        return this.ir.a[value];
    }

    /** True if value is the integer constant `number` (a small one, sign-extended to its type). */
    isConstEqual(value: Value, number: number): boolean {
        const op = this.ir.op[value];
        if (op === Op.Const32) {
            return this.ir.a[value] === (number | 0);
        }
        return op === Op.Const64 && this.ir.a[value] === (number | 0) && this.ir.b[value] === (number < 0 ? -1 : 0);
    }

    /**
     * A pure operation by its WebAssembly name: `op('i64.add', x, y)`. SIMD lane operations take the lane number last:
     * `op('i32x4.extract_lane', v, NONE, 2)` — see {@link lane} for the readable form.
     */
    op(name: string, x: Value, y: Value = NONE, z: Value = NONE): Value {
        const operation = pureOperation(name);
        const folded = this.fold(name, x, y);
        if (folded !== NONE) {
            return folded;
        }
        return this.ir.append(operation.code, operation.result, x, y, z);
    }

    /** Lane access: `lane('i16x8.extract_lane_u', v, 3)`, `lane('i64x2.replace_lane', v, 1, x)`. */
    lane(name: string, vector: Value, laneNumber: number, replacement: Value = NONE): Value {
        const operation = pureOperation(name);
        return this.ir.append(operation.code, operation.result, vector, replacement, 0, laneNumber);
    }

    shuffle(x: Value, y: Value, lanes: ArrayLike<number>): Value {
        return this.ir.append(Op.Shuffle, Type.V128, x, y, this.ir.vectors.push(Uint8Array.from(lanes)) - 1);
    }

    /** condition ? ifTrue : ifFalse; condition is i32 (any non-zero is true). Both are computed. */
    select(condition: Value, ifTrue: Value, ifFalse: Value): Value {
        if (this.ir.op[condition] === Op.Const32) {
            return this.ir.a[condition] !== 0 ? ifTrue : ifFalse;
        }
        return this.ir.append(Op.Select, this.typeOf(ifTrue), ifTrue, ifFalse, condition);
    }

    get(offset: number, access: StateAccess): Value {
        return this.ir.append(Op.Get, STATE_ACCESS_TYPE[access], offset, access);
    }

    set(offset: number, access: StateAccess, value: Value): void {
        this.ir.append(Op.Set, Type.Void, offset, access, value);
    }

    /** State at byte offset `offset + index` (index: an i32 value, never from the guest unmasked). */
    getIndexed(offset: number, index: Value, access: StateAccess): Value {
        return this.ir.append(Op.GetIndexed, STATE_ACCESS_TYPE[access], offset, access, index);
    }

    setIndexed(offset: number, index: Value, access: StateAccess, value: Value): void {
        this.ir.append(Op.SetIndexed, Type.Void, offset, access, index, value);
    }

    /** Field of the decoded-instruction record; interpreter tier only. */
    record(offset: number, access: StateAccess): Value {
        return this.ir.append(Op.Record, STATE_ACCESS_TYPE[access], offset, access);
    }

    /** A mutable variable: for values that merge after an if or in a loop. */
    variable(initial: Value): Value {
        return this.ir.append(Op.Variable, this.typeOf(initial), initial);
    }

    getVariable(variable: Value): Value {
        return this.ir.append(Op.VariableGet, this.ir.type[variable], variable);
    }

    setVariable(variable: Value, value: Value): void {
        this.ir.append(Op.VariableSet, Type.Void, variable, value);
    }

    if(condition: Value, then: () => void, otherwise?: () => void): void {
        this.ir.append(Op.If, Type.Void, condition);
        then();
        if (otherwise !== undefined) {
            this.ir.append(Op.Else, Type.Void);
            otherwise();
        }
        this.ir.append(Op.End, Type.Void);
    }

    /** do { body } while (the i32 value that body returns). */
    loop(body: () => Value): void {
        const start = this.ir.append(Op.Loop, Type.Void);
        const condition = body();
        this.ir.append(Op.LoopEnd, Type.Void, condition, start);
    }

    load(access: MemoryAccess, linear: Value, sideExit: number, forWrite: boolean): Value {
        return this.ir.append(Op.Load, MEMORY_ACCESS_TYPE[access], linear, access, sideExit, forWrite ? 1 : 0);
    }

    store(access: MemoryAccess, linear: Value, value: Value, sideExit: number): void {
        this.ir.append(Op.Store, Type.Void, linear, access, value, sideExit);
    }

    hostAddress(linear: Value, forWrite: boolean): Value {
        return this.ir.append(Op.HostAddress, Type.I32, linear, forWrite ? 1 : 0);
    }

    memoryCopy(to: Value, from: Value, bytes: Value): void {
        this.ir.append(Op.MemoryCopy, Type.Void, to, from, bytes);
    }

    memoryFill(to: Value, byte: Value, bytes: Value): void {
        this.ir.append(Op.MemoryFill, Type.Void, to, byte, bytes);
    }

    call(helper: Helper, args: readonly Value[], sideExit = NONE): Value {
        const first = this.ir.extra.length;
        this.ir.extra.push(...args);
        return this.ir.append(Op.Call, helper.result, this.ir.helperIndex(helper), first, args.length, sideExit);
    }

    // --- conveniences over `op` -----------------------------------------------------------------------------------

    wrap(value: Value): Value {
        return this.op('i32.wrap_i64', value);
    }

    extendU(value: Value): Value {
        return this.op('i64.extend_i32_u', value);
    }

    extendS(value: Value): Value {
        return this.op('i64.extend_i32_s', value);
    }

    /** Logical not of an i32 truth value. */
    not(value: Value): Value {
        return this.op('i32.eqz', value);
    }

    private fold(name: string, x: Value, y: Value): Value {
        const ir = this.ir;
        const opX = ir.op[x];
        if (y === NONE) {
            if (opX === Op.Const32) {
                switch (name) {
                    case 'i64.extend_i32_u':
                        return this.i64(ir.a[x], 0);
                    case 'i64.extend_i32_s':
                        return this.i64(ir.a[x]);
                    case 'i32.eqz':
                        return this.i32(ir.a[x] === 0 ? 1 : 0);
                    case 'i32.extend8_s':
                        return this.i32((ir.a[x] << 24) >> 24);
                    case 'i32.extend16_s':
                        return this.i32((ir.a[x] << 16) >> 16);
                }
            } else if (opX === Op.Const64 && name === 'i32.wrap_i64') {
                return this.i32(ir.a[x]);
            } else if (name === 'i32.wrap_i64' && opX === EXTEND_U) {
                return ir.a[x];
            } else if (name === 'i32.wrap_i64' && opX === EXTEND_S) {
                return ir.a[x];
            }
            return NONE;
        }
        const constX = opX === Op.Const32 || opX === Op.Const64;
        const constY = ir.op[y] === Op.Const32 || ir.op[y] === Op.Const64;
        if (opX === Op.Const32 && ir.op[y] === Op.Const32) {
            const result = foldI32(name, ir.a[x], ir.a[y]);
            if (result !== undefined) {
                return this.i32(result);
            }
        }
        if (constY) {
            switch (name) {
                case 'i32.add': case 'i64.add': case 'i32.sub': case 'i64.sub': case 'i32.or': case 'i64.or':
                case 'i32.xor': case 'i64.xor': case 'i32.shl': case 'i64.shl': case 'i32.shr_u': case 'i64.shr_u':
                case 'i32.shr_s': case 'i64.shr_s':
                    if (this.isConstEqual(y, 0)) {
                        return x;
                    }
                    break;
                case 'i32.and': case 'i64.and':
                    if (this.isConstEqual(y, -1)) {
                        return x;
                    }
                    if (this.isConstEqual(y, 0)) {
                        return y;
                    }
                    break;
            } // prettier-ignore
        } else if (constX && this.isConstEqual(x, 0)) {
            switch (name) {
                case 'i32.add': case 'i64.add': case 'i32.or': case 'i64.or': case 'i32.xor': case 'i64.xor':
                    return y;
            } // prettier-ignore
        }
        if (opX === Op.Const64 && ir.op[y] === Op.Const64 && name === 'i64.add') {
            const low = (ir.a[x] >>> 0) + (ir.a[y] >>> 0);
            return this.i64(low | 0, ir.b[x] + ir.b[y] + (low > 0xffffffff ? 1 : 0));
        }
        return NONE;
    }
}

const EXTEND_U = pureOperation('i64.extend_i32_u').code;
const EXTEND_S = pureOperation('i64.extend_i32_s').code;

function foldI32(name: string, x: number, y: number): number | undefined {
    switch (name) {
        case 'i32.add':
            return (x + y) | 0;
        case 'i32.sub':
            return (x - y) | 0;
        case 'i32.and':
            return x & y;
        case 'i32.or':
            return x | y;
        case 'i32.xor':
            return x ^ y;
        case 'i32.shl':
            return x << y;
        case 'i32.shr_u':
            return (x >>> y) | 0;
        case 'i32.shr_s':
            return x >> y;
        case 'i32.eq':
            return x === y ? 1 : 0;
        case 'i32.ne':
            return x !== y ? 1 : 0;
        case 'i32.lt_u':
            return x >>> 0 < y >>> 0 ? 1 : 0;
        case 'i32.lt_s':
            return x < y ? 1 : 0;
        case 'i32.gt_u':
            return x >>> 0 > y >>> 0 ? 1 : 0;
    }
    return undefined;
}
