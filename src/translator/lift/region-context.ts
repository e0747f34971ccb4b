/** Lift context of translated regions: operands are constants, flags stay symbolic through a block. */
import { BASE_RIP, type Instruction, NO_REGISTER, type Operand, OperandKind } from '../../isa/x86/instruction';
import { SegmentOffset, StateOffset, segmentOffset } from '../../machine/state';
import { IrBuilder } from '../ir/builder';
import { NONE, type Value } from '../ir/function';
import { Op, StateAccess, Type } from '../ir/opcodes';
import { LiftContext } from './context';
import { FlagSource, type PendingFlags, type Width } from './flags';

export class RegionContext extends LiftContext {
    /** Offset in the page of the current instruction. */
    private offset = 0;
    /** Ordinal of the current instruction in its block. */
    private ordinal = 0;
    private exits = 0;
    private exitFlags: PendingFlags | undefined;
    private exit = NONE;

    constructor(
        mode: number,
        /** Instructions in the block. */
        private readonly blockLength = 1,
    ) {
        super(new IrBuilder(), mode);
    }

    /** Starts the instruction at `offset` in the page, number `ordinal` of its block. */
    beginAt(instruction: Instruction, offset: number, ordinal: number): void {
        this.offset = offset;
        this.ordinal = ordinal;
        this.exit = NONE;
        this.begin(instruction);
    }

    sameRegister(i: number, j: number): boolean {
        const x = this.instruction.operands[i];
        const y = this.instruction.operands[j];
        return x.kind === y.kind && x.register === y.register && x.size === y.size && x.highByte === y.highByte;
    }

    stackRegister(i: number): Value {
        return this.ir.i32(this.instruction.operands[i].register);
    }

    modrm(): Value {
        return this.ir.i32(this.instruction.modrm);
    }

    protected readRegister(_i: number, operand: Operand): Value {
        switch (operand.kind) {
            case OperandKind.Gpr:
                if (operand.highByte) {
                    const full = this.gpr(operand.register, 32);
                    return this.ir.op('i32.and', this.ir.op('i32.shr_u', full, this.ir.i32(8)), this.ir.i32(0xff));
                }
                return this.gpr(operand.register, (operand.size * 8) as Width);
            case OperandKind.Xmm:
                return this.xmm(operand.register);
            case OperandKind.Mmx:
                return this.ir.get(StateOffset.x87 + 16 * operand.register, StateAccess.I64);
            case OperandKind.Segment:
                return this.ir.get(segmentOffset(operand.register) + SegmentOffset.selector, StateAccess.U16);
        }
        throw new Error(`register operand of kind ${operand.kind} has no value`);
    }

    protected writeRegister(_i: number, operand: Operand, value: Value): void {
        switch (operand.kind) {
            case OperandKind.Gpr:
                if (operand.highByte) {
                    this.setPartialGpr(operand.register, 8, 8, value);
                } else {
                    this.setGpr(operand.register, (operand.size * 8) as Width, value);
                }
                return;
            case OperandKind.Xmm:
                this.setXmm(operand.register, value);
                return;
            case OperandKind.Mmx:
                this.ir.set(StateOffset.x87 + 16 * operand.register, StateAccess.I64, value);
                // Sign and exponent of the x87 register become ones (SDM Vol. 1, 9.5.1).
                this.ir.set(StateOffset.x87 + 16 * operand.register + 8, StateAccess.U16, this.ir.i32(0xffff));
                return;
        }
        throw new Error(`register operand of kind ${operand.kind} cannot be written`);
    }

    immediate(width: Width): Value {
        const { immediate, immediateHigh } = this.instruction;
        return width === 64 ? this.ir.i64(immediate, immediateHigh) : this.constant(width, immediate);
    }

    immediate2(): Value {
        return this.ir.i32(this.instruction.immediate2);
    }

    effectiveAddress(): Value {
        const ir = this.ir;
        const { base, index, scale, displacement, displacementHigh, addressSize, length } = this.instruction;
        let sum = NONE;
        const add = (value: Value): void => {
            sum = sum === NONE ? value : ir.op('i64.add', sum, value);
        };
        if (base === BASE_RIP) {
            const total = displacement + length;
            return this.cutAddress(this.ripPlus(total), addressSize);
        }
        if (base !== NO_REGISTER) {
            add(this.gpr(base, 64));
        }
        if (index !== NO_REGISTER) {
            const register = this.gpr(index, 64);
            add(scale === 0 ? register : ir.op('i64.shl', register, ir.i64(scale)));
        }
        if (sum === NONE || displacement !== 0 || displacementHigh !== 0) {
            add(ir.i64(displacement, displacementHigh));
        }
        return this.cutAddress(sum, addressSize);
    }

    private cutAddress(sum: Value, addressSize: number): Value {
        switch (addressSize) {
            case 16:
                return this.ir.op('i64.and', sum, this.ir.i64(0xffff, 0));
            case 32:
                return this.ir.op('i64.and', sum, this.ir.i64(-1, 0));
        }
        return sum;
    }

    protected segmentBaseOfOperand(): Value {
        return this.ir.get(segmentOffset(this.instruction.segment) + SegmentOffset.base, StateAccess.I64);
    }

    segmentSelectorOfOperand(): Value {
        return this.ir.get(segmentOffset(this.instruction.segment) + SegmentOffset.selector, StateAccess.U16);
    }

    unexecuted(): Value {
        return this.ir.i64(this.blockLength - this.ordinal);
    }

    /** Watched accesses leave the region before they are made. */
    unlessStopped(more: Value): Value {
        return more;
    }

    leave(): void {
        this.ir.ir.append(Op.System, Type.Void, this.offset, this.ordinal, this.sideExit());
    }

    interpretWhen(condition: Value): void {
        if (!this.ir.isConstEqual(condition, 0)) {
            this.ir.if(condition, () => this.leave());
        }
    }

    override system(): void {
        this.leave();
    }

    override raise(): void {
        this.leave();
    }

    protected alignmentViolation(): void {
        this.leave();
    }

    protected segmentViolation(): void {
        this.leave();
    }

    /** One side exit serves an instruction: its flags are those before it. */
    sideExit(): number {
        if (this.exit === NONE || this.exitFlags !== this.flags) {
            this.exitFlags = this.flags;
            this.exit = this.exits++;
            const { ir } = this.ir;
            ir.append(Op.SideExit, Type.Void, this.exit, this.offset, this.ordinal);
            if (this.flags.source !== FlagSource.State) {
                this.storeFlags();
            }
            ir.append(Op.SideExitEnd, Type.Void);
        }
        return this.exit;
    }

    /** Few are looked at of the flags with which a block ends: their carries wait until somebody does. */
    protected override storeFlags(): void {
        const { source, width, a, result, withCarry } = this.flags;
        if (withCarry || (source !== FlagSource.Add && source !== FlagSource.Subtract)) {
            super.storeFlags();
            return;
        }
        const first = width === 64 ? a : this.ir.extendU(a);
        this.ir.set(StateOffset.flagResult, StateAccess.I64, this.flagResultOf(width, result));
        this.ir.ir.append(Op.SetCarries, Type.Void, source === FlagSource.Subtract ? 1 : 0, width, first);
    }

    rip(): Value {
        return this.ripPlus(0);
    }

    nextRip(): Value {
        return this.ripPlus(this.instruction.length);
    }

    jumpToImmediate(): void {
        this.flushFlags();
        const { length, immediate, operandSize } = this.instruction;
        if (operandSize === 16) {
            const target = this.ir.op('i64.and', this.ripPlus(length + immediate), this.ir.i64(0xffff, 0));
            this.ir.ir.append(Op.JumpIndirect, Type.Void, target);
            return;
        }
        this.jumpWithin(this.offset + length + immediate);
    }

    jumpToNext(): void {
        this.flushFlags();
        this.jumpWithin(this.offset + this.instruction.length);
    }

    jumpToSelf(): void {
        this.flushFlags();
        this.ir.ir.append(Op.JumpIndirect, Type.Void, this.ripPlus(0));
    }

    /** RIP of the current instruction plus a displacement. */
    private ripPlus(displacement: number): Value {
        const total = this.offset + displacement;
        return this.ir.ir.append(Op.Rip, Type.I64, total | 0, Math.floor(total / 0x100000000));
    }

    /** Goes to an offset relative to the start of the page (maybe outside of it). */
    private jumpWithin(target: number): void {
        this.ir.ir.append(Op.JumpRelative, Type.Void, target | 0, Math.floor(target / 0x100000000));
    }
}
