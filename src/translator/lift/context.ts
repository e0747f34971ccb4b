/**
 * What the semantics of an instruction are written against. One semantic function serves every tier: the context decides
 * whether registers are constants of a region or fields of a decoded-instruction record.
 *
 * Conventions for values of guest width w: 64 bits are i64; 8, 16 and 32 bits are i32, zero-extended; 128 bits are v128.
 *
 * Precise faults: an instruction does all accesses that may fault before its first write of a register or flag.
 * (String instructions may write registers between iterations: each iteration is complete by itself.)
 */
import { Gpr, type Instruction, type Operand, OperandKind, Segment } from '../../isa/x86/instruction';
import { Vector } from '../../machine/cpu/fault';
import {
    ModeKey,
    SegmentAttribute,
    SegmentOffset,
    StateOffset,
    gprOffset,
    segmentOffset,
    vectorOffset,
} from '../../machine/state';
import { type IrBuilder } from '../ir/builder';
import { type Helper, NONE, type Value } from '../ir/function';
import { MemoryAccess, Op, StateAccess, Type } from '../ir/opcodes';
import { FlagContext } from './flag-context';
import { type Width } from './flags';

export { Vector };

/** Linear addresses have 57 bits instead of 48. */
const CR4_LA57 = 1 << 12;

export function memoryAccess(bits: number): MemoryAccess {
    switch (bits) {
        case 8:
            return MemoryAccess.M8;
        case 16:
            return MemoryAccess.M16;
        case 32:
            return MemoryAccess.M32;
        case 64:
            return MemoryAccess.M64;
        case 128:
            return MemoryAccess.M128;
    }
    throw new Error(`no memory access of ${bits} bits`);
}

export abstract class LiftContext extends FlagContext {
    instruction!: Instruction;
    private addressOf = NONE;

    constructor(
        ir: IrBuilder,
        /** ModeKey of the code being lifted. */
        readonly mode: number,
    ) {
        super(ir);
    }

    /** Starts the next instruction. */
    begin(instruction: Instruction): void {
        this.instruction = instruction;
        this.addressOf = NONE;
    }

    // --- mode --------------------------------------------------------------------------------------------------------

    get is64(): boolean {
        return (this.mode & ModeKey.CodeSizeMask) === 2;
    }

    get isProtected(): boolean {
        return (this.mode & ModeKey.Protected) !== 0 && (this.mode & ModeKey.Virtual8086) === 0;
    }

    get cpl(): number {
        return (this.mode >> ModeKey.CplShift) & 3;
    }

    /** Width of the stack pointer: 16, 32 or 64. */
    get stackWidth(): 16 | 32 | 64 {
        return (16 << ((this.mode >> ModeKey.StackSizeShift) & 3)) as 16 | 32 | 64;
    }

    /** Operand size of this instruction in bits. */
    get operandWidth(): 16 | 32 | 64 {
        return this.instruction.operandSize;
    }

    /** Width in bits of operand i. */
    widthOf(i: number): Width {
        return (this.instruction.operands[i].size * 8) as Width;
    }

    isMemory(i: number): boolean {
        return this.instruction.operands[i].kind === OperandKind.Memory;
    }

    // --- registers ---------------------------------------------------------------------------------------------------

    /** GPR by number at a width (low part). */
    gpr(register: number, width: Width): Value {
        const full = this.ir.get(gprOffset(register), StateAccess.I64);
        return width === 64 ? full : this.truncate(width, this.ir.wrap(full));
    }

    /** Writes a GPR: 32-bit writes zero the upper half, 8- and 16-bit writes keep the rest. */
    setGpr(register: number, width: Width, value: Value): void {
        const offset = gprOffset(register);
        if (width === 64) {
            this.ir.set(offset, StateAccess.I64, value);
        } else if (width === 32) {
            this.ir.set(offset, StateAccess.I64, this.ir.extendU(value));
        } else {
            this.setPartialGpr(register, width, 0, value);
        }
    }

    /** Writes bits [shift, shift + width) of a GPR. */
    protected setPartialGpr(register: number, width: 8 | 16, shift: 0 | 8, value: Value): void {
        const ir = this.ir;
        const offset = gprOffset(register);
        const mask = ((1 << width) - 1) << shift;
        const kept = ir.op('i64.and', ir.get(offset, StateAccess.I64), ir.i64(~mask, -1));
        let inserted = ir.extendU(this.truncate(width, value));
        if (shift !== 0) {
            inserted = ir.op('i64.shl', inserted, ir.i64(shift));
        }
        ir.set(offset, StateAccess.I64, ir.op('i64.or', kept, inserted));
    }

    xmm(register: number): Value {
        return this.ir.get(vectorOffset(register), StateAccess.V128);
    }

    setXmm(register: number, value: Value): void {
        this.ir.set(vectorOffset(register), StateAccess.V128, value);
    }

    /** True when operands i and j are known to be the same register (`xor eax,eax`). Unknown in the interpreter tier. */
    abstract sameRegister(i: number, j: number): boolean;

    /** Number of the x87 stack register that operand i names, ST(0)–ST(7); i32. */
    abstract stackRegister(i: number): Value;
    /** The ModRM byte (i32), for x87's last-opcode register: the interpreter tier does not know it at lift time. */
    abstract modrm(): Value;
    /** Reads register operand i (GPR, XMM, MMX, segment selector). */
    protected abstract readRegister(i: number, operand: Operand): Value;
    protected abstract writeRegister(i: number, operand: Operand, value: Value): void;
    /** Immediate at guest width `width` (i32, or i64 for 64). */
    abstract immediate(width: Width): Value;
    abstract immediate2(): Value;
    /** Effective address (offset in the segment) of the ModRM or moffs memory operand, cut to the address size; i64. */
    abstract effectiveAddress(): Value;
    /** Base of the memory operand's segment: i64. Not called where it is known to be zero. */
    protected abstract segmentBaseOfOperand(): Value;
    /** Selector of the memory operand's segment: i32. */
    abstract segmentSelectorOfOperand(): Value;
    /** Instructions of the running block from this one on, which `StateOffset.remaining` counts as done; i64. */
    abstract unexecuted(): Value;
    /** `more` (i32), or 0 if a repeated string instruction has to end after the present element. */
    abstract unlessStopped(more: Value): Value;
    /** Leaves translated code before this instruction has done anything; the dispatcher finds out what is wrong. */
    abstract leave(): void;
    /**
     * Has the interpreter tier execute this instruction while the i32 value `condition` is not zero, before it has done
     * anything: for what must not be begun in a region and then, after a fault, be repeated from its start. Does nothing
     * in the interpreter tier.
     */
    abstract interpretWhen(condition: Value): void;
    /**
     * Number of a side exit for an access that may fault now. In a region it brings lazily kept flags up to date;
     * the interpreter tier needs none.
     */
    abstract sideExit(): number;
    /** Address of the current instruction, i64. */
    abstract rip(): Value;
    /** Address of the current instruction's successor, i64. */
    abstract nextRip(): Value;

    // --- operands ----------------------------------------------------------------------------------------------------

    /** Reads operand i at its own width. */
    read(i: number): Value {
        return this.readOperand(i, false);
    }

    /** Reads operand i, which `write(i, …)` will overwrite: a fault is reported as a write, as CPUs do. */
    readForWrite(i: number): Value {
        return this.readOperand(i, true);
    }

    private readOperand(i: number, forWrite: boolean): Value {
        const operand = this.instruction.operands[i];
        switch (operand.kind) {
            case OperandKind.Memory:
                return this.load(operand.size * 8, this.memoryOperand(operand.size, forWrite), forWrite);
            case OperandKind.Immediate:
                return this.immediate((operand.size * 8) as Width);
            case OperandKind.Immediate2:
                return this.immediate2();
            case OperandKind.Constant:
                return this.constant((operand.size * 8) as Width, operand.register);
        }
        return this.readRegister(i, operand);
    }

    /** Writes operand i at its own width. */
    write(i: number, value: Value): void {
        const operand = this.instruction.operands[i];
        if (operand.kind === OperandKind.Memory) {
            this.store(operand.size * 8, this.memoryOperand(operand.size, true), value);
        } else {
            this.writeRegister(i, operand, value);
        }
    }

    /**
     * Linear address (i64) of the memory operand for an access of `bytes`, segment checks included. Computed once an
     * instruction: a read-modify-write shares it.
     */
    memoryOperand(bytes: number, forWrite: boolean): Value {
        if (this.addressOf === NONE) {
            this.addressOf = this.linear(this.effectiveAddress(), bytes, forWrite);
        }
        return this.addressOf;
    }

    /**
     * The linear address to check the alignment of, which CPUs do before they check the segment: with SS, #GP(0) for a
     * misaligned operand comes before #SS(0).
     */
    addressForAlignment(bytes: number, forWrite: boolean): Value {
        if (this.is64 || this.isFlatOperand(forWrite)) {
            return this.memoryOperand(bytes, forWrite);
        }
        return this.ir.op('i64.add', this.effectiveAddress(), this.segmentBaseOfOperand());
    }

    /** Cuts an offset (i64) to the instruction's address size. */
    cutToAddressSize(offset: Value): Value {
        switch (this.instruction.addressSize) {
            case 16:
                return this.ir.op('i64.and', offset, this.ir.i64(0xffff, 0));
            case 32:
                return this.ir.op('i64.and', offset, this.ir.i64(-1, 0));
        }
        return offset;
    }

    /** Linear address of offset (i64, cut to the address size) in the memory operand's segment, with checks. */
    linear(offset: Value, bytes: number, forWrite: boolean): Value {
        const segment = this.instruction.segment;
        if (this.is64) {
            if (segment !== Segment.Fs && segment !== Segment.Gs) {
                return offset;
            }
            return this.ir.op('i64.add', offset, this.segmentBaseOfOperand());
        }
        if (this.isFlatOperand(forWrite)) {
            return offset;
        }
        return this.segmented(segment, offset, bytes, forWrite);
    }

    /** Outside 64-bit mode: the memory operand's segment is known to start at 0 and to end at 4 GiB. */
    private isFlatOperand(forWrite: boolean): boolean {
        switch (this.instruction.segment) {
            case Segment.Fs:
            case Segment.Gs:
                return false;
            case Segment.Cs:
                return (this.mode & ModeKey.FlatCode) !== 0 && !forWrite;
        }
        return (this.mode & ModeKey.Flat) !== 0;
    }

    /**
     * Legacy modes: checks the access against segment number `segment` and adds its base. The common case (expand-up,
     * present, right type, within the limit) is decided inline; anything else leaves to the dispatcher.
     */
    segmented(segment: number, offset: Value, bytes: number, forWrite: boolean): Value {
        const ir = this.ir;
        const base = segmentOffset(segment);
        const limit = ir.get(base + SegmentOffset.limit, StateAccess.U32AsI64);
        const last = bytes > 1 ? ir.op('i64.add', offset, ir.i64(bytes - 1)) : offset;
        let bad = ir.op('i64.gt_u', last, limit);
        const attributes = ir.get(base + SegmentOffset.attributes, StateAccess.I32);
        if (this.isProtected) {
            // Writable data, or readable code or data; expand-down limits are the dispatcher's.
            const data = SegmentAttribute.Present | SegmentAttribute.NonSystem;
            const mask = data | SegmentAttribute.Unusable | SegmentAttribute.WritableOrReadable;
            const masked = ir.op('i32.and', attributes, ir.i32(mask | (forWrite ? SegmentAttribute.Code : 0)));
            if (forWrite) {
                bad = ir.op('i32.or', bad, ir.op('i32.ne', masked, ir.i32(data | SegmentAttribute.WritableOrReadable)));
            } else {
                // Read-only data (not code) is readable too.
                const writableBit = ir.op('i32.or', masked, ir.i32(SegmentAttribute.WritableOrReadable));
                const unreadable = ir.op(
                    'i32.eq',
                    ir.op('i32.and', attributes, ir.i32(SegmentAttribute.Code | SegmentAttribute.WritableOrReadable)),
                    ir.i32(SegmentAttribute.Code),
                );
                const wrong = ir.op('i32.ne', writableBit, ir.i32(data | SegmentAttribute.WritableOrReadable));
                bad = ir.op('i32.or', bad, ir.op('i32.or', wrong, unreadable));
            }
            const kind = ir.op(
                'i32.and',
                attributes,
                ir.i32(SegmentAttribute.Code | SegmentAttribute.ExpandDownOrConforming),
            );
            bad = ir.op('i32.or', bad, ir.op('i32.eq', kind, ir.i32(SegmentAttribute.ExpandDownOrConforming)));
        }
        ir.if(bad, () => this.segmentViolation(segment, offset, bytes, forWrite));
        const sum = ir.op('i64.add', offset, ir.get(base + SegmentOffset.base, StateAccess.I64));
        return ir.op('i64.and', sum, ir.i64(-1, 0));
    }

    /** An access the inline check could not pass: raises, or lets an unusual but legal one (expand-down) through. */
    protected abstract segmentViolation(segment: number, offset: Value, bytes: number, forWrite: boolean): void;

    // --- memory ------------------------------------------------------------------------------------------------------

    /** Loads `bits` at a linear address. */
    load(bits: number, linear: Value, forWrite = false): Value {
        this.checkNaturalAlignment(bits, linear, forWrite);
        return this.ir.load(memoryAccess(bits), linear, this.sideExit(), forWrite);
    }

    store(bits: number, linear: Value, value: Value): void {
        this.checkNaturalAlignment(bits, linear, true);
        this.ir.store(memoryAccess(bits), linear, value, this.sideExit());
    }

    /** #AC(0) at level 3 with CR0.AM and RFLAGS.AC set (SDM Vol. 3, 6.15, interrupt 17): such code is lifted apart. */
    checkNaturalAlignment(bits: number, linear: Value, forWrite: boolean): void {
        if ((this.mode & ModeKey.AlignmentCheck) !== 0 && bits > 8) {
            const misaligned = this.ir.op('i32.and', this.ir.wrap(linear), this.ir.i32(bits / 8 - 1));
            this.ir.if(misaligned, () => this.alignmentViolation(linear, bits / 8, forWrite));
        }
    }

    /** A misaligned access: raises #AC(0), or what comes before it. */
    protected abstract alignmentViolation(linear: Value, bytes: number, forWrite: boolean): void;

    /** Loads `bits` at a linear address whose alignment is never checked. */
    loadUnaligned(bits: number, linear: Value): Value {
        return this.ir.load(memoryAccess(bits), linear, this.sideExit(), false);
    }

    storeUnaligned(bits: number, linear: Value, value: Value): void {
        this.ir.store(memoryAccess(bits), linear, value, this.sideExit());
    }

    /** Linear address of `offset` (i64, already cut) in the stack segment. */
    stackAddress(offset: Value, bytes: number, forWrite: boolean): Value {
        if (this.is64 || (this.mode & ModeKey.Flat) !== 0) {
            return offset;
        }
        return this.segmented(Segment.Ss, offset, bytes, forWrite);
    }

    /** RSP plus a displacement, cut to the stack width; i64. */
    stackPointer(displacement: number): Value {
        const ir = this.ir;
        const rsp = ir.get(gprOffset(Gpr.Rsp), StateAccess.I64);
        const sum = ir.op('i64.add', rsp, ir.i64(displacement));
        return this.cutToStack(sum);
    }

    cutToStack(value: Value): Value {
        switch (this.stackWidth) {
            case 16:
                return this.ir.op('i64.and', value, this.ir.i64(0xffff, 0));
            case 32:
                return this.ir.op('i64.and', value, this.ir.i64(-1, 0));
        }
        return value;
    }

    /** Writes the stack pointer (i64 value already cut to the stack width), keeping RSP's upper bits as the mode does. */
    setStackPointer(value: Value): void {
        if (this.stackWidth === 16) {
            this.setPartialGpr(Gpr.Rsp, 16, 0, this.ir.wrap(value));
        } else {
            this.ir.set(gprOffset(Gpr.Rsp), StateAccess.I64, value);
        }
    }

    /** Pushes a value of guest width (16, 32 or 64). */
    push(width: Width, value: Value): void {
        const bytes = width / 8;
        const pointer = this.stackPointer(-bytes);
        this.store(width, this.stackAddress(pointer, bytes, true), value);
        this.setStackPointer(pointer);
    }

    /** Loads the top of the stack without moving the stack pointer. */
    peek(width: Width, displacement = 0): Value {
        return this.load(width, this.stackAddress(this.stackPointer(displacement), width / 8, false));
    }

    /** Pops a value of guest width. The stack pointer is written after the load. */
    pop(width: Width): Value {
        const value = this.peek(width);
        this.setStackPointer(this.stackPointer(width / 8));
        return value;
    }

    // --- control -----------------------------------------------------------------------------------------------------

    raise(vector: Vector, errorCode: Value = NONE): void {
        this.ir.ir.append(Op.Raise, Type.Void, vector, errorCode, this.sideExit());
    }

    /** Goes to next instruction + immediate, cut to the operand size. `slot`: 0 fall-through, 1 taken. */
    abstract jumpToImmediate(): void;
    /** Goes to the next instruction. */
    abstract jumpToNext(): void;
    /** Goes to this same instruction again (the next chunk of a repeated string instruction). */
    abstract jumpToSelf(): void;

    /** Conditional near branch: to the immediate if the i32 value is not zero, else to the next instruction. */
    branchIf(condition: Value): void {
        this.flushFlags();
        this.ir.if(condition, () => {
            this.checkRelativeTarget();
            this.jumpToImmediate();
        });
        this.jumpToNext();
    }

    /**
     * Raises #GP(0) for a branch to `target` (of guest width `width`) that is not canonical or lies beyond the limit of
     * CS: a fault of the branch itself, so to be called before it changes anything. `before` emits what raises faults
     * that come first.
     */
    checkTarget(width: Width, target: Value, before: () => void = () => {}): void {
        const { ir } = this;
        const fault = (): void => {
            before();
            this.raise(Vector.GP, ir.i32(0));
        };
        const isExtendedFrom = (bits: number): Value => {
            const shift = ir.i64(64 - bits);
            return ir.op('i64.ne', ir.op('i64.shr_s', ir.op('i64.shl', target, shift), shift), target);
        };
        if (this.is64) {
            if (width === 64) {
                ir.if(isExtendedFrom(48), () => {
                    const la57 = ir.op('i32.and', ir.get(StateOffset.cr4, StateAccess.I32), ir.i32(CR4_LA57));
                    ir.if(ir.select(la57, isExtendedFrom(57), ir.i32(1)), fault);
                });
            }
        } else if ((this.mode & ModeKey.FlatCode) === 0) {
            const limit = ir.get(segmentOffset(Segment.Cs) + SegmentOffset.limit, StateAccess.I32);
            ir.if(ir.op('i32.gt_u', target, limit), fault);
        }
    }

    /** {@link checkTarget} for the next instruction + immediate. */
    checkRelativeTarget(): void {
        const width = this.operandWidth;
        // 16-bit targets outside of protected mode never exceed the limit, and anything goes in 64-bit code.
        if (this.is64 || (this.mode & ModeKey.FlatCode) !== 0 || (width === 16 && !this.isProtected)) {
            return;
        }
        const { ir } = this;
        const target = ir.wrap(ir.op('i64.add', this.nextRip(), this.immediate(64)));
        this.checkTarget(width, this.truncate(width as Width, target));
    }

    /** Goes to the RIP in `target` (value of guest width `width`), which has been checked. */
    jumpTo(width: Width, target: Value): void {
        this.flushFlags();
        const rip = width === 64 ? target : this.ir.extendU(target);
        this.ir.ir.append(Op.JumpIndirect, Type.Void, rip);
    }

    /** Ends the block: the dispatcher runs the system operation of this instruction. */
    system(): void {
        this.flushFlags();
        this.ir.ir.append(Op.System, Type.Void, 0, 0, this.sideExit());
    }

    call(helper: Helper, args: readonly Value[]): Value {
        return this.ir.call(helper, args);
    }
}
