/**
 * The check in front of a block at which breakpoints stand, compiled from what they ask: it goes on to the block as long
 * as all of them say no, without leaving translated code. What it cannot decide it leaves to the dispatcher.
 */
import type { BreakpointProgram, HitTest } from '../../machine/breakpoint';
import type { ByteSize, Condition, ConditionOperator } from '../../machine/condition';
import { Flag, FlagAux, ModeKey, StateOffset } from '../../machine/state';
import { Wasm } from '../../wasm/module';
import { StateAccess, Type } from '../ir/opcodes';
import { LOCAL_CPU, LOCAL_RECORD } from './function-writer';
import { ExitReason } from './exit';
import { emitBudgetCheck, HandlerEmitter, type TranslatedModule } from './handler-emitter';
import { HeaderOffset } from './record';

export const enum Verdict {
    No,
    Yes,
    /** The dispatcher has to ask. */
    Unknown,
}

export interface CheckedBreakpoint {
    /** Linear address it stands at; undefined: any that leads here. */
    readonly linear: { readonly lo: number; readonly hi: number } | undefined;
    /** Absent: has to be asked each time. */
    readonly program: BreakpointProgram | undefined;
    /** Address of the {@link Verdict} of the last check (u32); 0 without a program. */
    readonly verdict: number;
    /** Address of the count of how often the condition has held (u32), which several breakpoints may share. */
    readonly counter: number;
}

const EMPTY = 0x40;

const enum I32 {
    Eqz = 0x45,
    Eq = 0x46,
    LtU = 0x49,
    GtU = 0x4b,
    LeU = 0x4d,
    GeU = 0x4f,
    Popcnt = 0x69,
    Add = 0x6a,
    RemU = 0x70,
    And = 0x71,
    Or = 0x72,
    Xor = 0x73,
    Shl = 0x74,
    ShrU = 0x76,
    WrapI64 = 0xa7,
}

const enum I64 {
    Eqz = 0x50,
    Eq = 0x51,
    Ne = 0x52,
    GtU = 0x56,
    Add = 0x7c,
    Sub = 0x7d,
    And = 0x83,
    Shl = 0x86,
    ShrS = 0x87,
    ShrU = 0x88,
    ExtendI32U = 0xad,
    Extend8S = 0xc2,
    Extend16S = 0xc3,
    Extend32S = 0xc4,
}

/** Opcode of an operator that is one instruction. */
const OPCODES: Readonly<Partial<Record<ConditionOperator, number>>> = {
    add: I64.Add,
    sub: I64.Sub,
    mul: 0x7e,
    bitAnd: I64.And,
    bitOr: 0x84,
    bitXor: 0x85,
};

/** Opcodes whose result is an i32. */
const COMPARISONS: Readonly<Partial<Record<ConditionOperator, number>>> = {
    eq: I64.Eq,
    ne: I64.Ne,
    ltS: 0x53,
    ltU: 0x54,
    leS: 0x57,
    leU: 0x58,
};

const DIVISIONS: Readonly<Partial<Record<ConditionOperator, number>>> = {
    divS: 0x7f,
    divU: 0x80,
    remS: 0x81,
    remU: 0x82,
};

const HIT_OPCODES: Readonly<Record<Exclude<HitTest['operator'], '%'>, number>> = {
    '==': I32.Eq,
    '>=': I32.GeU,
    '>': I32.GtU,
    '<=': I32.LeU,
    '<': I32.LtU,
};

const STATE_ACCESS: Readonly<Record<ByteSize, StateAccess>> = {
    1: StateAccess.U8AsI64,
    2: StateAccess.U16AsI64,
    4: StateAccess.U32AsI64,
    8: StateAccess.I64,
};
const LOADS: Readonly<Record<ByteSize, number>> = {
    1: Wasm.I64Load8U,
    2: Wasm.I64Load16U,
    4: Wasm.I64Load32U,
    8: Wasm.I64Load,
};

/** Body of the check of a block with these breakpoints. */
export function breakpointCheck(target: TranslatedModule, breakpoints: readonly CheckedBreakpoint[]): Uint8Array {
    return new CheckEmitter(target).emitCheck(breakpoints);
}

class CheckEmitter extends HandlerEmitter {
    /** Linear address of the block. */
    private readonly linear = this.takeLocal(Type.I64);
    /** Whether any breakpoint wants to stop or to be asked. */
    private readonly any = this.takeLocal(Type.I32);
    /** Depth of the block whose end means that the condition cannot be decided here. */
    private undecided = 0;

    constructor(private readonly module: TranslatedModule) {
        super(module, false);
    }

    emitCheck(breakpoints: readonly CheckedBreakpoint[]): Uint8Array {
        const left = this.takeLocal(Type.I64);
        emitBudgetCheck(this, left);
        this.freeLocal(left);
        this.emitPc();
        this.localSet(this.linear);
        this.i32Const(0);
        this.localSet(this.any);
        for (const breakpoint of breakpoints) {
            this.emitBreakpoint(breakpoint);
        }
        this.storeState(StateOffset.checkedAt, StateAccess.I64, () =>
            this.loadState(StateOffset.remaining, StateAccess.I64),
        );
        this.localGet(this.any);
        this.openIf();
        this.emitExit(ExitReason.Breakpoint);
        this.close();
        this.localGet(LOCAL_CPU);
        this.localGet(LOCAL_RECORD);
        this.localGet(LOCAL_RECORD);
        this.memory(Wasm.I32Load, HeaderOffset.unchecked);
        this.out.byte(Wasm.ReturnCallIndirect);
        this.out.u32(this.module.functionType);
        this.out.byte(0);
        this.out.byte(Wasm.Unreachable);
        return this.finish();
    }

    // --- one breakpoint ----------------------------------------------------------------------------------------------

    private emitBreakpoint({ linear, program, verdict, counter }: CheckedBreakpoint): void {
        if (program !== undefined) {
            this.storeWord(verdict, () => this.i32Const(Verdict.No));
        }
        const next = this.openBlock();
        if (linear !== undefined) {
            this.localGet(this.linear);
            this.i64Const(linear.lo | 0, linear.hi | 0);
            this.opcode(I64.Ne);
            this.branchIf(next);
        }
        if (program !== undefined) {
            this.undecided = this.openBlock();
            if (program.condition !== undefined) {
                this.emitCondition(program.condition);
                this.opcode(I64.Eqz);
                this.branchIf(next);
            }
            this.emitHitTest(counter, program.hitTest, next);
            this.storeWord(verdict, () => this.i32Const(Verdict.Yes));
            this.i32Const(1);
            this.localSet(this.any);
            this.out.byte(Wasm.Br);
            this.out.u32(this.depth - next);
            this.close();
            this.storeWord(verdict, () => this.i32Const(Verdict.Unknown));
        }
        this.i32Const(1);
        this.localSet(this.any);
        this.close();
    }

    private emitHitTest(counter: number, test: HitTest | undefined, next: number): void {
        const count = this.takeLocal(Type.I32);
        this.i32Const(counter | 0);
        this.memory(Wasm.I32Load, 0);
        this.i32Const(1);
        this.opcode(I32.Add);
        this.localSet(count);
        this.storeWord(counter, () => this.localGet(count));
        if (test?.operator === '%') {
            // A count is never a multiple of 0.
            if (test.number === 0) {
                this.i32Const(1);
            } else {
                this.localGet(count);
                this.i32Const(test.number);
                this.opcode(I32.RemU);
            }
            this.branchIf(next);
        } else if (test !== undefined) {
            this.localGet(count);
            this.i32Const(test.number);
            this.opcode(HIT_OPCODES[test.operator]);
            this.opcode(I32.Eqz);
            this.branchIf(next);
        }
        this.freeLocal(count);
    }

    private storeWord(address: number, value: () => void): void {
        this.i32Const(address | 0);
        value();
        this.memory(Wasm.I32Store, 0);
    }

    private openBlock(): number {
        this.out.byte(Wasm.Block);
        this.out.byte(EMPTY);
        return ++this.depth;
    }

    /** Branches out of a block that {@link openBlock} opened if the i32 on the stack is not 0. */
    private branchIf(block: number): void {
        this.out.byte(Wasm.BrIf);
        this.out.u32(this.depth - block);
    }

    // --- conditions --------------------------------------------------------------------------------------------------

    /** Leaves the value on the stack (i64). */
    private emitCondition(node: Condition): void {
        switch (node.kind) {
            case 'constant':
                this.i64Const(Number(BigInt.asIntN(32, node.value)), Number(BigInt.asIntN(32, node.value >> 32n)));
                return;
            case 'state':
                this.loadState(node.offset, STATE_ACCESS[node.bytes]);
                return;
            case 'rip':
                this.loadState(StateOffset.blockRip, StateAccess.I64);
                return;
            case 'pc':
                this.localGet(this.linear);
                return;
            case 'rflags':
                this.emitRflags();
                return;
            case 'load':
                this.emitMemoryRead(node.address, node.bytes);
                return;
            case 'extend':
                this.emitCondition(node.operand);
                this.emitExtend(node.bytes, node.signed);
                return;
            case 'not':
                this.emitCondition(node.operand);
                this.opcode(I64.Eqz);
                this.opcode(I64.ExtendI32U);
                return;
            case 'and':
            case 'or':
                this.emitTruth(node.left);
                this.openIf(0x7e);
                if (node.kind === 'or') {
                    this.i64Const(1, 0);
                } else {
                    this.emitTruth(node.right);
                    this.opcode(I64.ExtendI32U);
                }
                this.else();
                if (node.kind === 'and') {
                    this.i64Const(0, 0);
                } else {
                    this.emitTruth(node.right);
                    this.opcode(I64.ExtendI32U);
                }
                this.close();
                return;
            case 'binary':
                this.emitBinary(node.operator, node.left, node.right);
        }
    }

    /** Leaves an i32. */
    private emitTruth(node: Condition): void {
        this.emitCondition(node);
        this.i64Const(0, 0);
        this.opcode(I64.Ne);
    }

    private emitExtend(bytes: ByteSize, signed: boolean): void {
        if (bytes === 8) {
            return;
        }
        if (signed) {
            this.opcode(bytes === 1 ? I64.Extend8S : bytes === 2 ? I64.Extend16S : I64.Extend32S);
        } else {
            this.i64Const(bytes === 1 ? 0xff : bytes === 2 ? 0xffff : -1, 0);
            this.opcode(I64.And);
        }
    }

    private emitBinary(operator: ConditionOperator, left: Condition, right: Condition): void {
        this.emitCondition(left);
        this.emitCondition(right);
        const opcode = OPCODES[operator];
        const comparison = COMPARISONS[operator];
        const division = DIVISIONS[operator];
        if (opcode !== undefined) {
            this.opcode(opcode);
        } else if (comparison !== undefined) {
            this.opcode(comparison);
            this.opcode(I64.ExtendI32U);
        } else if (division !== undefined) {
            this.emitDivision(operator, division);
        } else {
            this.emitShift(operator);
        }
    }

    /** Division of what is on the stack: undecided for a divisor of 0. */
    private emitDivision(operator: ConditionOperator, opcode: number): void {
        const divisor = this.takeLocal(Type.I64);
        this.localTee(divisor);
        this.opcode(I64.Eqz);
        this.branchIf(this.undecided);
        if (operator === 'divS') {
            // The one quotient that does not fit would trap.
            const dividend = this.takeLocal(Type.I64);
            this.localSet(dividend);
            this.localGet(divisor);
            this.i64Const(-1, -1);
            this.opcode(I64.Eq);
            this.openIf(0x7e);
            this.i64Const(0, 0);
            this.localGet(dividend);
            this.opcode(I64.Sub);
            this.else();
            this.localGet(dividend);
            this.localGet(divisor);
            this.opcode(opcode);
            this.close();
            this.freeLocal(dividend);
        } else {
            this.localGet(divisor);
            this.opcode(opcode);
        }
        this.freeLocal(divisor);
    }

    /** WebAssembly takes shift counts modulo 64. */
    private emitShift(operator: ConditionOperator): void {
        const count = this.takeLocal(Type.I64);
        const value = this.takeLocal(Type.I64);
        this.localSet(count);
        this.localSet(value);
        if (operator === 'shrS') {
            this.localGet(value);
            this.i64Const(63, 0);
            this.localGet(count);
            this.localGet(count);
            this.i64Const(63, 0);
            this.opcode(I64.GtU);
            this.out.byte(Wasm.Select);
            this.opcode(I64.ShrS);
        } else {
            this.i64Const(0, 0);
            this.localGet(value);
            this.localGet(count);
            this.opcode(operator === 'shl' ? I64.Shl : I64.ShrU);
            this.localGet(count);
            this.i64Const(63, 0);
            this.opcode(I64.GtU);
            this.out.byte(Wasm.Select);
        }
        this.freeLocal(count);
        this.freeLocal(value);
    }

    /** Reads through the soft TLB of the present mode: undecided where the page is not entered. */
    private emitMemoryRead(address: Condition, bytes: ByteSize): void {
        const linear = this.takeLocal(Type.I64);
        const entry = this.takeLocal(Type.I32);
        this.emitCondition(address);
        this.localSet(linear);
        this.emitTlbCompare(bytes, false, linear, entry);
        this.opcode(I32.Eqz);
        this.branchIf(this.undecided);
        this.emitHostFromEntry(false, linear, entry);
        this.memory(LOADS[bytes], 0);
        this.freeLocal(linear);
        this.freeLocal(entry);
    }

    /** RIP plus the base of CS, which is 0 in 64-bit code and 32 bits wide elsewhere. */
    private emitPc(): void {
        this.loadState(StateOffset.mode, StateAccess.I32);
        this.i32Const(ModeKey.FlatCode);
        this.opcode(I32.And);
        this.openIf(0x7e);
        this.loadState(StateOffset.blockRip, StateAccess.I64);
        this.else();
        this.loadState(StateOffset.blockRip, StateAccess.I64);
        this.loadState(CS_BASE, StateAccess.I64);
        this.opcode(I64.Add);
        this.emitExtend(4, false);
        this.close();
    }

    /** RFLAGS from the parts it is kept in; see `arithmeticFlags` for the equations. */
    private emitRflags(): void {
        const aux = this.takeLocal(Type.I32);
        const bit = (from: number, to: number): void => {
            this.localGet(aux);
            this.i32Const(from);
            this.opcode(I32.ShrU);
            this.placeBit(to);
        };
        this.loadState(StateOffset.flagAux, StateAccess.I32);
        this.localSet(aux);
        this.loadState(StateOffset.rflags, StateAccess.I32);
        this.i32Const(SYSTEM_FLAGS);
        this.opcode(I32.And);
        bit(31, 0); // CF
        bit(3, 4); // AF
        // OF: CF differs from the carry into the top bit, which is kept as their difference.
        this.localGet(aux);
        this.localGet(aux);
        this.i32Const(1);
        this.opcode(I32.Shl);
        this.opcode(I32.Xor);
        this.i32Const(31);
        this.opcode(I32.ShrU);
        this.placeBit(11);
        // SF: the sign of the result, corrected.
        this.loadState(StateOffset.flagResult, StateAccess.I64);
        this.i64Const(63, 0);
        this.opcode(I64.ShrU);
        this.opcode(I32.WrapI64);
        this.localGet(aux);
        this.opcode(I32.Xor);
        this.placeBit(7);
        this.loadState(StateOffset.flagResult, StateAccess.I64);
        this.opcode(I64.Eqz);
        this.placeBit(6);
        // PF: whether the corrected low byte has an even number of ones.
        this.loadState(StateOffset.flagResult, StateAccess.I32);
        this.localGet(aux);
        this.i32Const(FlagAux.ParityShift);
        this.opcode(I32.ShrU);
        this.opcode(I32.Xor);
        this.i32Const(0xff);
        this.opcode(I32.And);
        this.opcode(I32.Popcnt);
        this.i32Const(1);
        this.opcode(I32.Xor);
        this.placeBit(2);
        this.opcode(I64.ExtendI32U);
        this.freeLocal(aux);
    }

    /** Adds bit 0 of the i32 on the stack, as bit `position`, to the i32 below it. */
    private placeBit(position: number): void {
        this.i32Const(1);
        this.opcode(I32.And);
        this.i32Const(position);
        this.opcode(I32.Shl);
        this.opcode(I32.Or);
    }
}

const CS_BASE: number = StateOffset.segments + 32;

/** Everything of `StateOffset.rflags` that RFLAGS shows: all but the arithmetic flags, with bit 1. */
const SYSTEM_FLAGS =
    Flag.TF | Flag.IF | Flag.DF | Flag.IOPL | Flag.NT | Flag.RF | Flag.VM | Flag.AC | Flag.VIF | Flag.VIP | Flag.ID | 2;
