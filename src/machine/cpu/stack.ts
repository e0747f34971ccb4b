import { Gpr, Segment } from '../../isa/x86/instruction';
import { ModeKey, type MmuMode, SegmentAttribute } from '../state';
import type { Cpu } from './cpu';
import { raise, Vector } from './fault';
import { withinLimit } from './operands';

/**
 * A stack being pushed to or popped from, the current one or one about to be switched to. Registers change only with
 * {@link commit}: what faults half-way leaves the guest as it was.
 */
export class GuestStack {
    /** Stack pointer. */
    lo = 0;
    hi = 0;
    /** What the last pop popped. */
    valueLo = 0;
    valueHi = 0;

    private base = 0;
    private limit = 0;
    private attributes = 0;
    /** 16, 32 or 64 bits of the stack pointer count. */
    private width = 32;
    private mode: MmuMode = 0;
    /** Error code of #SS. */
    private errorCode = 0;

    /** SS:rSP as it is, accessed at the current privilege. */
    useCurrent(cpu: Cpu, errorCode = 0): this {
        const size = (cpu.mode >> ModeKey.StackSizeShift) & 3;
        this.base = cpu.segmentBase(Segment.Ss);
        this.limit = cpu.segmentLimit(Segment.Ss);
        this.attributes = cpu.segmentAttributes(Segment.Ss);
        this.lo = cpu.gpr(Gpr.Rsp);
        this.hi = cpu.gprHi(Gpr.Rsp);
        this.width = 16 << size;
        this.mode = cpu.mmuModeOf(cpu.cpl);
        this.errorCode = errorCode;
        return this;
    }

    /** A stack in a segment that is not loaded yet. */
    use(pointer: number, base: number, limit: number, attributes: number, mode: MmuMode, errorCode: number): this {
        this.base = base;
        this.limit = limit;
        this.attributes = attributes;
        this.lo = pointer;
        this.hi = 0;
        this.width = attributes & SegmentAttribute.Big ? 32 : 16;
        this.mode = mode;
        this.errorCode = errorCode;
        return this;
    }

    /** A stack of 64-bit mode: no segment at all. */
    use64(lo: number, hi: number, mode: MmuMode, errorCode: number): this {
        this.lo = lo;
        this.hi = hi;
        this.width = 64;
        this.mode = mode;
        this.errorCode = errorCode;
        return this;
    }

    /** Pushes 2, 4 or 8 bytes. */
    push(cpu: Cpu, size: number, lo: number, hi = 0): void {
        this.move(-size);
        const address = this.address(cpu, size);
        if (size === 2) cpu.memory.write16(address, this.addressHi, lo, this.mode);
        else if (size === 4) cpu.memory.write32(address, this.addressHi, lo, this.mode);
        else cpu.memory.write64(address, this.addressHi, lo, hi, this.mode);
    }

    /** Pops 2, 4 or 8 bytes; returns the low doubleword, the rest is in `valueHi`. */
    pop(cpu: Cpu, size: number): number {
        const address = this.address(cpu, size);
        this.valueHi = 0;
        if (size === 2) this.valueLo = cpu.memory.read16(address, this.addressHi, this.mode);
        else this.valueLo = cpu.memory.read32(address, this.addressHi, this.mode);
        if (size === 8) {
            const next = (address + 4) >>> 0;
            const nextHi = next < address ? (this.addressHi + 1) >>> 0 : this.addressHi;
            this.valueHi = cpu.memory.read32(next, nextHi, this.mode);
        }
        this.move(size);
        return this.valueLo;
    }

    /** Adds to the stack pointer, within its width. */
    move(distance: number): void {
        if (this.width === 16) {
            this.lo = ((this.lo & ~0xffff) | ((this.lo + distance) & 0xffff)) >>> 0;
            return;
        }
        const sum = this.lo + distance;
        this.lo = sum >>> 0;
        if (this.width === 64) this.hi = (this.hi + Math.floor(sum / 0x100000000)) >>> 0;
    }

    /** Checks that `size` bytes can be pushed, before anything is. @throws GuestFault #SS, #PF */
    reserve(cpu: Cpu, size: number): void {
        const { lo, hi } = this;
        this.move(-size);
        const address = this.address(cpu, size);
        cpu.memory.probeWrite(address, this.addressHi, size, this.mode);
        this.lo = lo;
        this.hi = hi;
    }

    /** Makes the stack pointer RSP, as far as the stack's width reaches. */
    commit(cpu: Cpu): void {
        if (this.width === 64) cpu.setGpr(Gpr.Rsp, this.lo, this.hi);
        else if (this.width === 32) cpu.setGpr32(Gpr.Rsp, this.lo);
        else cpu.setGpr16(Gpr.Rsp, this.lo);
    }

    private addressHi = 0;

    /** Low half of the linear address of `size` bytes at the stack pointer; the high half is in `addressHi`. */
    private address(cpu: Cpu, size: number): number {
        if (this.width === 64) {
            if (!cpu.memory.isCanonical(this.lo, this.hi)) raise(Vector.SS, this.errorCode);
            if (cpu.mode & ModeKey.AlignmentCheck && this.lo & (size - 1)) raise(Vector.AC);
            this.addressHi = this.hi;
            return this.lo;
        }
        const offset = this.width === 16 ? this.lo & 0xffff : this.lo;
        if (!withinLimit(offset, size, this.limit, this.attributes)) raise(Vector.SS, this.errorCode);
        const address = (this.base + offset) >>> 0;
        if (cpu.mode & ModeKey.AlignmentCheck && address & (size - 1) && this.mode === 2) raise(Vector.AC);
        this.addressHi = 0;
        return address;
    }
}

/** For operations on the stack that is current, and for the one it is switched to. */
export const currentStack = new GuestStack();
export const newStack = new GuestStack();
