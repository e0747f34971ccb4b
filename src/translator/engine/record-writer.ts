/** Writes the decoded-instruction records of the interpreter tier (`codegen/record.ts`). */
import { BASE_RIP, type Instruction, NO_REGISTER, OperandKind } from '../../isa/x86/instruction';
import { SegmentOffset, StateOffset, gprOffset, segmentOffset, vectorOffset } from '../../machine/state';
import { ABSENT_REGISTER, hasOneConstant, RecordOffset } from '../codegen/record';
import { segmentBaseOffset } from '../lift/handler-context';
import { type Handler } from './handlers';

/** Where an instruction stands in its block. */
export interface RecordPlace {
    /** Bytes from the block's first instruction to this one. */
    readonly ipOffset: number;
    readonly ordinal: number;
    /** Instructions of the block from this one on. */
    readonly left: number;
}

/** @param at address of the record in the shared memory */
export function writeRecord(
    view: DataView,
    at: number,
    instruction: Instruction,
    handler: Handler,
    { ipOffset, ordinal, left }: RecordPlace,
): void {
    view.setUint32(at + RecordOffset.handler, handler.index, true);
    view.setUint16(at + RecordOffset.ipOffset, ipOffset, true);
    view.setUint8(at + RecordOffset.length, instruction.length);
    view.setUint8(at + RecordOffset.ordinal, ordinal);
    view.setUint8(at + RecordOffset.left, left);
    view.setUint8(at + RecordOffset.modrm, instruction.modrm & 0xff);
    instruction.operands.forEach((operand, i) => {
        let offset = 0;
        switch (operand.kind) {
            case OperandKind.Gpr:
                offset = gprOffset(operand.register) + (operand.highByte ? 1 : 0);
                break;
            case OperandKind.Xmm:
                offset = vectorOffset(operand.register);
                break;
            case OperandKind.Mmx:
                offset = StateOffset.x87 + operand.register * 16;
                break;
            case OperandKind.Segment:
                offset = segmentOffset(operand.register) + SegmentOffset.selector;
                break;
            case OperandKind.St:
                offset = operand.register;
                break;
        }
        if (i < 4) {
            view.setUint16(at + RecordOffset.register + 2 * i, offset, true);
        }
    });
    const { base, index } = instruction;
    let displacement = instruction.displacement;
    let indexOffset = index === NO_REGISTER ? ABSENT_REGISTER : gprOffset(index);
    let scale = instruction.scale;
    if (base === BASE_RIP) {
        displacement += ipOffset + instruction.length;
        if (displacement > 0x7fffffff) {
            indexOffset = StateOffset.one;
            scale = 32;
        }
    }
    const baseOffset =
        base === BASE_RIP ? StateOffset.blockRip : base === NO_REGISTER ? ABSENT_REGISTER : gprOffset(base);
    view.setUint16(at + RecordOffset.base, baseOffset, true);
    view.setUint16(at + RecordOffset.index, indexOffset, true);
    view.setUint8(at + RecordOffset.scale, scale);
    view.setUint8(at + RecordOffset.segmentBase, segmentBaseOffset(instruction.segment) >> 3);
    writeConstants(view, at, instruction, displacement);
}

function writeConstants(view: DataView, at: number, instruction: Instruction, displacement: number): void {
    const { operands, immediate, immediateHigh } = instruction;
    if (!hasOneConstant(instruction)) {
        view.setInt32(at + RecordOffset.displacement, displacement, true);
        view.setInt32(at + RecordOffset.immediate, immediate, true);
        return;
    }
    const isOffset = operands.some(({ kind }) => kind === OperandKind.Memory);
    view.setInt32(at + RecordOffset.constant, isOffset ? displacement : immediate, true);
    view.setInt32(at + RecordOffset.constant + 4, isOffset ? instruction.displacementHigh : immediateHigh, true);
    if (operands.some(({ kind }) => kind === OperandKind.Immediate2)) {
        view.setUint32(at + RecordOffset.immediate2, instruction.immediate2, true);
    }
}
