/** Lift context of the interpreter tier: operands are fields of the decoded-instruction record. */
import { type Instruction, type Operand, OperandKind } from '../../isa/x86/instruction';
import { SegmentOffset, StateOffset } from '../../machine/state';
import { hasOneConstant, RecordOffset } from '../codegen/record';
import { IrBuilder } from '../ir/builder';
import { type Helper, NONE, type Value } from '../ir/function';
import { Op, StateAccess, Type } from '../ir/opcodes';
import { LiftContext } from './context';
import { type Width } from './flags';

/** Raises the segment violation, or returns if the access is legal after all. Offset in `accessAddress`. */
export const SEGMENT_CHECK: Helper = {
    name: 'segmentCheck',
    parameters: [Type.I32, Type.I32, Type.I32],
    result: Type.Void,
};

/** Raises what a misaligned access of so many bytes deserves. Linear address in `accessAddress`. */
export const ALIGNMENT_FAULT: Helper = {
    name: 'alignmentFault',
    parameters: [Type.I32, Type.I32],
    result: Type.Void,
};

export class HandlerContext extends LiftContext {
    constructor(mode: number) {
        super(new IrBuilder(), mode);
    }

    /** Ends the handler: flags are in the state, control goes to the next record. */
    finish(): void {
        this.flushFlags();
        this.ir.ir.append(Op.Next, Type.Void);
    }

    sameRegister(): boolean {
        return false;
    }

    stackRegister(i: number): Value {
        return this.registerOffset(i);
    }

    modrm(): Value {
        return this.ir.record(RecordOffset.modrm, StateAccess.U8);
    }

    protected readRegister(i: number, operand: Operand): Value {
        return this.ir.getIndexed(0, this.registerOffset(i), registerAccess(operand));
    }

    protected writeRegister(i: number, operand: Operand, value: Value): void {
        const offset = this.registerOffset(i);
        if (operand.kind === OperandKind.Gpr && operand.size === 4) {
            this.ir.setIndexed(0, offset, StateAccess.I64, this.ir.extendU(value));
        } else {
            this.ir.setIndexed(0, offset, registerAccess(operand), value);
        }
        if (operand.kind === OperandKind.Mmx) {
            // Sign and exponent of the x87 register become ones (SDM Vol. 1, 9.5.1).
            this.ir.setIndexed(8, offset, StateAccess.U16, this.ir.i32(0xffff));
        }
    }

    private registerOffset(i: number): Value {
        return this.ir.record(RecordOffset.register + 2 * i, StateAccess.U16);
    }

    immediate(width: Width): Value {
        if (width === 64) {
            return this.immediate64();
        }
        const access = width === 32 ? StateAccess.I32 : width === 16 ? StateAccess.U16 : StateAccess.U8;
        return this.ir.record(this.hasOneConstant ? RecordOffset.constant : RecordOffset.immediate, access);
    }

    private immediate64(): Value {
        return this.hasOneConstant
            ? this.ir.record(RecordOffset.constant, StateAccess.I64)
            : this.ir.record(RecordOffset.immediate, StateAccess.S32AsI64);
    }

    private get hasOneConstant(): boolean {
        return hasOneConstant(this.instruction);
    }

    immediate2(): Value {
        return this.ir.record(RecordOffset.immediate2, StateAccess.I32);
    }

    effectiveAddress(): Value {
        const ir = this.ir;
        const base = ir.getIndexed(0, ir.record(RecordOffset.base, StateAccess.U16), StateAccess.I64);
        const index = ir.getIndexed(0, ir.record(RecordOffset.index, StateAccess.U16), StateAccess.I64);
        const scale = ir.record(RecordOffset.scale, StateAccess.U8AsI64);
        const sum = ir.op(
            'i64.add',
            ir.op('i64.add', base, ir.op('i64.shl', index, scale)),
            this.hasOneConstant
                ? ir.record(RecordOffset.constant, StateAccess.I64)
                : ir.record(RecordOffset.displacement, StateAccess.S32AsI64),
        );
        switch (this.instruction.addressSize) {
            case 16:
                return ir.op('i64.and', sum, ir.i64(0xffff, 0));
            case 32:
                return ir.op('i64.and', sum, ir.i64(-1, 0));
        }
        return sum;
    }

    protected segmentBaseOfOperand(): Value {
        return this.ir.getIndexed(0, this.segmentOffset(), StateAccess.I64);
    }

    segmentSelectorOfOperand(): Value {
        return this.ir.getIndexed(SegmentOffset.selector - SegmentOffset.base, this.segmentOffset(), StateAccess.U16);
    }

    private segmentOffset(): Value {
        return this.ir.op('i32.shl', this.ir.record(RecordOffset.segmentBase, StateAccess.U8), this.ir.i32(3));
    }

    unexecuted(): Value {
        return this.ir.record(RecordOffset.left, StateAccess.U8AsI64);
    }

    unlessStopped(more: Value): Value {
        const stop = this.ir.get(StateOffset.repeatStop, StateAccess.I32);
        return this.ir.select(stop, this.ir.i32(0), more);
    }

    leave(): void {
        this.system();
    }

    interpretWhen(): void {}

    protected segmentViolation(segment: number, offset: Value, bytes: number, forWrite: boolean): void {
        this.ir.set(StateOffset.accessAddress, StateAccess.I64, offset);
        const constant = (value: number): Value => this.ir.i32(value);
        this.call(SEGMENT_CHECK, [constant(segment), constant(bytes), constant(forWrite ? 1 : 0)]);
    }

    protected alignmentViolation(linear: Value, bytes: number, forWrite: boolean): void {
        this.ir.set(StateOffset.accessAddress, StateAccess.I64, linear);
        this.call(ALIGNMENT_FAULT, [this.ir.i32(bytes), this.ir.i32(forWrite ? 1 : 0)]);
    }

    sideExit(): number {
        return NONE;
    }

    nextRip(): Value {
        const ir = this.ir;
        const length = ir.record(RecordOffset.length, StateAccess.U8AsI64);
        return this.cutToCode(ir.op('i64.add', this.rip(), length));
    }

    jumpToImmediate(): void {
        const ir = this.ir;
        const target = ir.op('i64.add', this.nextRip(), this.immediate64());
        const width = this.instruction.operandSize;
        const cut = width === 64 ? target : ir.op('i64.and', target, width === 32 ? ir.i64(-1, 0) : ir.i64(0xffff, 0));
        ir.ir.append(Op.JumpIndirect, Type.Void, cut);
    }

    jumpToNext(): void {
        this.ir.ir.append(Op.JumpIndirect, Type.Void, this.nextRip());
    }

    jumpToSelf(): void {
        this.flushFlags();
        this.ir.ir.append(Op.JumpIndirect, Type.Void, this.rip());
    }

    /** Any helper may throw: the dispatcher must know which instruction was running. */
    override call(helper: Helper, args: readonly Value[]): Value {
        this.ir.ir.append(Op.Set, Type.Void, StateOffset.currentRecord, StateAccess.I32, this.recordAddress());
        return super.call(helper, args);
    }

    private recordAddress(): Value {
        return this.ir.ir.append(Op.RecordAddress, Type.I32);
    }

    rip(): Value {
        return this.ir.ir.append(Op.Rip, Type.I64);
    }

    private cutToCode(rip: Value): Value {
        return this.is64 ? rip : this.ir.op('i64.and', rip, this.ir.i64(-1, 0));
    }
}

function registerAccess(operand: Operand): StateAccess {
    switch (operand.kind) {
        case OperandKind.Xmm:
            return StateAccess.V128;
        case OperandKind.Mmx:
            return StateAccess.I64;
        case OperandKind.Segment:
            return StateAccess.U16;
    }
    switch (operand.size) {
        case 1:
            return StateAccess.U8;
        case 2:
            return StateAccess.U16;
        case 4:
            return StateAccess.I32;
    }
    return StateAccess.I64;
}

/** Operand sizes in bytes, as small numbers. */
const SIZE_NUMBERS: Readonly<Record<number, number>> = {
    1: 1,
    2: 2,
    4: 3,
    6: 4,
    8: 5,
    10: 6,
    16: 7,
    14: 8,
    28: 9,
    32: 10,
};
const WIDTH_NUMBERS: Readonly<Record<number, number>> = { 16: 0, 32: 1, 64: 2 };

/**
 * What distinguishes handlers of one mode, as an integer below 2^41: everything a semantic function may look at.
 * Registers, immediates and displacements are not in it; kinds of operands follow from the row, but for register or
 * memory.
 */
export function shapeNumber(instruction: Instruction): number {
    // In 64-bit code only FS and GS have a base.
    const segment = instruction.codeSize === 64 ? (instruction.segment >= 4 ? 4 : 0) : instruction.segment;
    let shape = instruction.row.id;
    shape = shape * 4 + WIDTH_NUMBERS[instruction.operandSize];
    shape = shape * 4 + WIDTH_NUMBERS[instruction.addressSize];
    shape = shape * 8 + segment;
    shape = shape * 8 + instruction.repeat * 2 + (instruction.lock ? 1 : 0);
    for (let i = 0; i < 4; i++) {
        const operand = instruction.operands[i];
        const size = operand === undefined ? 0 : (SIZE_NUMBERS[operand.size] ?? 0);
        shape = shape * 32 + size * 2 + (operand?.kind === OperandKind.Memory ? 1 : 0);
    }
    return shape;
}

/** Offset of a segment's base, for the record. */
export function segmentBaseOffset(segment: number): number {
    return StateOffset.segments + segment * SegmentOffset.size + SegmentOffset.base;
}
