/**
 * What x87 instructions have in common around their operation: the error of an earlier instruction that they deliver
 * first, memory operands, and the pointers to the last instruction (Intel SDM Vol. 1, 8.1.8, 8.6, 8.7).
 */

import { Segment } from '../../../isa/x86/instruction';
import { SegmentOffset, StateOffset, segmentOffset } from '../../../machine/state';
import { type Helper, NONE, type Value } from '../../ir/function';
import { StateAccess, Type } from '../../ir/opcodes';
import { type LiftContext, Vector } from '../context';
import { type Semantic } from '../semantics';
import { Status } from './registers';

const CR0_NE = 1 << 5;
const CS_SELECTOR = segmentOffset(Segment.Cs) + SegmentOffset.selector;

/**
 * With CR0.NE clear an unmasked exception is not a fault but the pin FERR#, which PCs wire to IRQ 13 (SDM Vol. 1, 8.7.2).
 * The instruction then runs as if IGNNE# were asserted; the interrupt is taken as soon as the engine looks for one.
 */
export const FERR: Helper = { name: 'x87Ferr', parameters: [], result: Type.Void };

/** A memory operand: its offset in the segment, for FDP, and its linear address; i64 both. */
export interface MemoryOperand {
    readonly offset: Value;
    readonly linear: Value;
}

/** Delivers the exception that an earlier instruction left pending: #MF, or FERR#. */
export function deliverPending(c: LiftContext): void {
    const { ir } = c;
    const status = ir.get(StateOffset.fsw, StateAccess.I32);
    ir.if(ir.op('i32.and', status, ir.i32(Status.ErrorSummary)), () => {
        const native = ir.op('i32.and', ir.get(StateOffset.cr0, StateAccess.I32), ir.i32(CR0_NE));
        ir.if(native, () => c.raise(Vector.MF));
        c.call(FERR, []);
    });
}

/** The ModRM operand with an access of `bytes`, its segment checked. To be computed once an instruction. */
export function memoryOperand(c: LiftContext, bytes: number, forWrite: boolean): MemoryOperand {
    const offset = c.effectiveAddress();
    return { offset, linear: c.linear(offset, bytes, forWrite) };
}

/** The linear address `displacement` bytes on. Outside 64-bit mode, linear addresses have 32 bits. */
export function addressAfter(c: LiftContext, linear: Value, displacement: number): Value {
    return wrapLinear(c, c.ir.op('i64.add', linear, c.ir.i64(displacement)));
}

export function wrapLinear(c: LiftContext, linear: Value): Value {
    return c.is64 ? linear : c.ir.op('i64.and', linear, c.ir.i64(-1, 0));
}

/** Raises the page fault that storing `bytes` would, if they cross a page boundary: a store in pieces must not stop half-way. */
export function probeCrossing(c: LiftContext, linear: Value, bytes: number): void {
    const { ir } = c;
    const offset = ir.op('i32.and', ir.wrap(linear), ir.i32(0xfff));
    ir.if(ir.op('i32.gt_u', offset, ir.i32(0x1000 - bytes)), () => {
        c.load(8, linear, true);
        const last = addressAfter(c, linear, bytes - 1);
        c.load(8, ir.op('i64.and', last, ir.i64(~0xfff)), true);
    });
}

/**
 * Records FOP, FCS:FIP and, for a memory operand, FDS:FDP. Every instruction but the control ones does (SDM Vol. 1,
 * 8.1.8), whether or not it raises an exception: the CPU advertises neither FDP_EXCPTN_ONLY nor the deprecation of FCS
 * and FDS, and FOP is kept up as with the "fopcode compatibility mode" (8.1.9.1) that AMD's processors always have.
 * FIP addresses the first prefix.
 */
export function recordPointers(c: LiftContext, offset: Value = NONE): void {
    const { ir } = c;
    const high = (parseInt(c.instruction.row.opcode, 16) & 7) << 8;
    ir.set(StateOffset.fop, StateAccess.I32, ir.op('i32.or', c.modrm(), ir.i32(high)));
    ir.set(StateOffset.fip, StateAccess.I64, c.rip());
    ir.set(StateOffset.fcs, StateAccess.I32, ir.get(CS_SELECTOR, StateAccess.U16));
    if (offset !== NONE) {
        ir.set(StateOffset.fdp, StateAccess.I64, offset);
        ir.set(StateOffset.fds, StateAccess.I32, c.segmentSelectorOfOperand());
    }
}

/** An instruction without a memory operand that delivers pending errors and records the pointers. */
export function waiting(emit: Semantic): Semantic {
    return c => {
        deliverPending(c);
        recordPointers(c);
        emit(c);
    };
}

/** True if operand i of the row is written `STi`: any stack register, as opposed to a fixed ST0. */
export function isStackOperand(c: LiftContext, i: number): boolean {
    return c.instruction.row.operands[i] === 'STi';
}

/** The number of the instruction's STi operand, wherever it stands. */
export function stackOperand(c: LiftContext): Value {
    return c.stackRegister(isStackOperand(c, 0) ? 0 : 1);
}
