/**
 * Checks an IR sequence. The invariants:
 *
 *  1. A value is used only after the operation that computes it, inside the block (if, else, loop, side exit) in which
 *     that operation stands or one nested in it.
 *  2. Operand types are those the operation takes; conditions are i32; state and memory accesses have their type.
 *  3. if/else/end, loop/loop.end and exit/exit.end nest; an else belongs to an if.
 *  4. Variable operations name a `var`; the assigned value has its type.
 *  5. Side exits are numbered from 0 in order of appearance, do not nest, and hold only values and state writes.
 *     A faulting operation names an exit that stands before it, or -1.
 *  6. Call arguments match the helper's parameters.
 *  7. Indices of constants, shuffles and lanes are in range.
 */
import { type IrFunction, NONE, type Value, forEachOperand, sideExitOf } from './function';
import { FIRST_PURE, MEMORY_ACCESS_TYPE, Op, PURE_OPERATIONS, STATE_ACCESS_TYPE, TYPE_NAMES, Type } from './opcodes';
import { printOperation } from './text';

/** A broken invariant. */
export interface IrViolation {
    readonly index: number;
    readonly message: string;
}

/** All violations, in order; empty for a well-formed sequence. */
export function verifyIr(ir: IrFunction): IrViolation[] {
    return new Verifier(ir).run();
}

/** Only values and state writes. */
function mayStandInExit(op: number): boolean {
    return op >= FIRST_PURE || op <= Op.Set || op === Op.Rip || op === Op.SetCarries;
}

class Verifier {
    private readonly violations: IrViolation[] = [];
    /** Open blocks: the operation that opened each. */
    private readonly open: number[] = [];
    /** Innermost open block where each value stands, as its index, or -1. */
    private readonly home: Int32Array;
    private readonly visible: Uint8Array;
    private exits = 0;
    private index = 0;

    constructor(private readonly ir: IrFunction) {
        this.home = new Int32Array(ir.length).fill(-1);
        this.visible = new Uint8Array(ir.length);
    }

    run(): IrViolation[] {
        const { ir } = this;
        for (this.index = 0; this.index < ir.length; this.index++) {
            const i = this.index;
            this.operands(i);
            this.structure(i);
            this.types(i);
            this.home[i] = this.open.length > 0 ? this.open[this.open.length - 1] : -1;
            this.visible[i] = 1;
        }
        if (this.open.length > 0) {
            this.index = this.open[this.open.length - 1];
            this.fail('is never closed');
        }
        return this.violations;
    }

    private fail(message: string): void {
        this.violations.push({ index: this.index, message: `${printOperation(this.ir, this.index)}: ${message}` });
    }

    private operands(i: number): void {
        forEachOperand(this.ir, i, value => {
            if (value < 0 || value >= i) {
                this.fail(`v${value} is not computed before its use`);
            } else if (this.ir.type[value] === Type.Void) {
                this.fail(`v${value} is not a value`);
            } else if (this.visible[value] === 0) {
                this.fail(`v${value} is computed in a block that has ended`);
            }
        });
    }

    private structure(i: number): void {
        const op = this.ir.op[i];
        const top = this.open.length > 0 ? this.ir.op[this.open[this.open.length - 1]] : NONE;
        switch (op) {
            case Op.SideExit:
                if (this.ir.a[i] !== this.exits++) {
                    this.fail('side exits are numbered in order');
                }
                if (this.open.some(index => this.ir.op[index] === Op.SideExit)) {
                    this.fail('side exits do not nest');
                }
                this.open.push(i);
                break;
            case Op.If:
            case Op.Loop:
                this.open.push(i);
                break;
            case Op.Else:
                if (top !== Op.If) {
                    this.fail('else without if');
                } else {
                    this.leave();
                    this.open.push(i);
                }
                break;
            case Op.End:
                this.closes(top === Op.If || top === Op.Else, 'end without if');
                break;
            case Op.LoopEnd:
                this.closes(top === Op.Loop, 'loop.end without loop');
                break;
            case Op.SideExitEnd:
                this.closes(top === Op.SideExit, 'exit.end without exit');
                break;
            default:
                if (top === Op.SideExit && !mayStandInExit(op)) {
                    this.fail('does not belong in a side exit');
                }
        }
    }

    private closes(matches: boolean, message: string): void {
        if (matches) {
            this.leave();
        } else {
            this.fail(message);
        }
    }

    /** The innermost block ends: its values are no longer visible. */
    private leave(): void {
        const block = this.open.pop()!;
        for (let i = block; i < this.index; i++) {
            if (i > block) {
                this.visible[i] = 0;
            }
        }
    }

    private types(i: number): void {
        const { ir } = this;
        const op = ir.op[i];
        if (op >= FIRST_PURE) {
            const operation = PURE_OPERATIONS[op - FIRST_PURE];
            const values = [ir.a[i], ir.b[i], ir.c[i]];
            operation.operands.forEach((type, k) => this.expect(values[k], type));
            if (operation.hasLane && (ir.d[i] < 0 || ir.d[i] > 15)) {
                this.fail(`lane ${ir.d[i]} does not exist`);
            }
            return;
        }
        switch (op) {
            case Op.ConstV128:
                this.vector(ir.a[i]);
                break;
            case Op.Shuffle:
                this.vector(ir.c[i]);
                this.expect(ir.a[i], Type.V128);
                this.expect(ir.b[i], Type.V128);
                break;
            case Op.Select:
                this.expect(ir.c[i], Type.I32);
                this.expect(ir.b[i], ir.type[ir.a[i]]);
                break;
            case Op.Set:
                this.expect(ir.c[i], STATE_ACCESS_TYPE[ir.b[i]]);
                break;
            case Op.GetIndexed:
                this.expect(ir.c[i], Type.I32);
                break;
            case Op.SetIndexed:
                this.expect(ir.c[i], Type.I32);
                this.expect(ir.d[i], STATE_ACCESS_TYPE[ir.b[i]]);
                break;
            case Op.SetCarries:
                this.expect(ir.c[i], Type.I64);
                if (![8, 16, 32, 64].includes(ir.b[i])) {
                    this.fail(`there are no operations of ${ir.b[i]} bits`);
                }
                break;
            case Op.If:
            case Op.LoopEnd:
                this.expect(ir.a[i], Type.I32);
                break;
            case Op.VariableGet:
                this.variable(ir.a[i]);
                break;
            case Op.VariableSet:
                this.variable(ir.a[i]);
                this.expect(ir.b[i], ir.type[ir.a[i]]);
                break;
            case Op.Load:
            case Op.HostAddress:
            case Op.JumpIndirect:
                this.expect(ir.a[i], Type.I64);
                break;
            case Op.Store:
                this.expect(ir.a[i], Type.I64);
                this.expect(ir.c[i], MEMORY_ACCESS_TYPE[ir.b[i]]);
                break;
            case Op.MemoryCopy:
            case Op.MemoryFill:
                [ir.a[i], ir.b[i], ir.c[i]].forEach(value => this.expect(value, Type.I32));
                break;
            case Op.Call:
                this.call(i);
                break;
        }
        const exit = sideExitOf(ir, i);
        if (exit !== NONE && exit >= this.exits) {
            this.fail(`side exit ${exit} does not stand before it`);
        }
    }

    private call(i: number): void {
        const { ir } = this;
        const helper = ir.helpers[ir.a[i]];
        if (helper === undefined || ir.c[i] !== helper.parameters.length) {
            this.fail('arguments do not match the helper');
            return;
        }
        helper.parameters.forEach((type, k) => this.expect(ir.extra[ir.b[i] + k], type));
    }

    private variable(value: Value): void {
        if (this.ir.op[value] !== Op.Variable) {
            this.fail(`v${value} is not a variable`);
        } else if (this.visible[value] === 0) {
            this.fail(`variable v${value} belongs to a block that has ended`);
        }
    }

    private vector(index: number): void {
        if (this.ir.vectors[index]?.length !== 16) {
            this.fail('has no 16-byte constant');
        }
    }

    private expect(value: Value, type: Type): void {
        if (value >= 0 && value < this.index && this.ir.type[value] !== type) {
            this.fail(`v${value} is ${TYPE_NAMES[this.ir.type[value]]}, not ${TYPE_NAMES[type]}`);
        }
    }
}
