import { SegmentAttribute, StateOffset, SystemSegment } from '../state';
import type { Cpu } from './cpu';

/** Types of system descriptors (SDM Vol. 3, table 3-2). */
export const enum SystemType {
    Tss16Available = 1,
    Ldt = 2,
    Tss16Busy = 3,
    CallGate16 = 4,
    TaskGate = 5,
    InterruptGate16 = 6,
    TrapGate16 = 7,
    /** Also the 64-bit TSS and gates in long mode. */
    Tss32Available = 9,
    Tss32Busy = 11,
    CallGate32 = 12,
    InterruptGate32 = 14,
    TrapGate32 = 15,
}

/** Selector bits. */
export const SELECTOR_INDEX = 0xfffc;
export const SELECTOR_TI = 4;
export const SELECTOR_RPL = 3;

export function isNullSelector(selector: number): boolean {
    return (selector & SELECTOR_INDEX) === 0;
}

/** A segment or gate descriptor as read from a table (SDM Vol. 3, 3.4.5, 5.8.3, 6.11). Instances are reused. */
export class Descriptor {
    selector = 0;
    /** The two doublewords, and the third of a 16-byte descriptor. */
    lo = 0;
    hi = 0;
    upper = 0;
    /** Linear address in the table. */
    addressLo = 0;
    addressHi = 0;

    get type(): number {
        return (this.hi >>> 8) & 0xf;
    }

    get isSystem(): boolean {
        return (this.hi & 0x1000) === 0;
    }

    get isCode(): boolean {
        return (this.hi & 0x1800) === 0x1800;
    }

    get isConforming(): boolean {
        return (this.hi & 0x400) !== 0;
    }

    /** A data segment that can be written: what SS needs. */
    get isWritableData(): boolean {
        return (this.hi & 0x1a00) === 0x1200;
    }

    /** A data segment, or a code segment that can be read. */
    get isReadable(): boolean {
        return (this.hi & 0x1000) !== 0 && (this.hi & 0xa00) !== 0x800;
    }

    get dpl(): number {
        return (this.hi >>> 13) & 3;
    }

    get rpl(): number {
        return this.selector & SELECTOR_RPL;
    }

    get present(): boolean {
        return (this.hi & 0x8000) !== 0;
    }

    get long(): boolean {
        return (this.hi & 0x200000) !== 0;
    }

    get big(): boolean {
        return (this.hi & 0x400000) !== 0;
    }

    get base(): number {
        return ((this.lo >>> 16) | ((this.hi & 0xff) << 16) | (this.hi & 0xff000000)) >>> 0;
    }

    get limit(): number {
        const limit = (this.lo & 0xffff) | (this.hi & 0xf0000);
        return this.hi & 0x800000 ? ((limit << 12) | 0xfff) >>> 0 : limit;
    }

    /** As `SegmentAttribute` has them. */
    get attributes(): number {
        return (this.hi >>> 8) & 0xf0ff;
    }

    /** Error code that names this selector. */
    get errorCode(): number {
        return this.selector & SELECTOR_INDEX;
    }

    // Gates.

    get gateSelector(): number {
        return this.lo >>> 16;
    }

    /** Bits 31–0 of the target offset; 16-bit gates have 16. */
    get gateOffset(): number {
        const wide = this.type & 8;
        return wide ? ((this.hi & 0xffff0000) | (this.lo & 0xffff)) >>> 0 : this.lo & 0xffff;
    }

    /** Parameters that a call gate copies. */
    get gateCount(): number {
        return this.hi & 0x1f;
    }

    get gateIst(): number {
        return this.hi & 7;
    }
}

/**
 * Reads the 8-byte descriptor that a selector names in the GDT or LDT.
 * @returns false if the selector lies outside the table, or there is no LDT
 * @throws GuestFault #PF
 */
export function fetchDescriptor(cpu: Cpu, selector: number, target: Descriptor): boolean {
    const index = selector & 0xfff8;
    let baseLo: number;
    let baseHi: number;
    let limit: number;
    if (selector & SELECTOR_TI) {
        if (cpu.segmentAttributes(SystemSegment.Ldtr) & SegmentAttribute.Unusable) return false;
        baseLo = cpu.segmentBase(SystemSegment.Ldtr);
        baseHi = cpu.segmentBaseHi(SystemSegment.Ldtr);
        limit = cpu.segmentLimit(SystemSegment.Ldtr);
    } else {
        baseLo = cpu.lo(StateOffset.gdtrBase);
        baseHi = cpu.hi(StateOffset.gdtrBase);
        limit = cpu.lo(StateOffset.gdtrLimit);
    }
    if (index + 7 > limit) return false;
    target.selector = selector & 0xffff;
    readDescriptorAt(cpu, baseLo, baseHi, index, target);
    return true;
}

/** Reads the 8 bytes at `index` of a table. */
export function readDescriptorAt(cpu: Cpu, baseLo: number, baseHi: number, index: number, target: Descriptor): void {
    const mode = cpu.implicitMmuMode;
    const sum = baseLo + index;
    const lo = sum >>> 0;
    const hi = sum > 0xffffffff && cpu.longMode ? (baseHi + 1) >>> 0 : baseHi;
    target.addressLo = lo;
    target.addressHi = hi;
    target.lo = cpu.memory.read32(lo, hi, mode);
    const next = (lo + 4) >>> 0;
    target.hi = cpu.memory.read32(next, next < lo && cpu.longMode ? (hi + 1) >>> 0 : hi, mode);
    target.upper = 0;
}

/**
 * Reads the second half of a 16-byte system descriptor of long mode (SDM Vol. 3, 7.2.3).
 * @returns false if it lies outside the table
 */
export function fetchUpperHalf(cpu: Cpu, target: Descriptor): boolean {
    const inLdt = (target.selector & SELECTOR_TI) !== 0;
    const limit = inLdt ? cpu.segmentLimit(SystemSegment.Ldtr) : cpu.lo(StateOffset.gdtrLimit);
    if ((target.selector & 0xfff8) + 15 > limit) return false;
    readUpperHalf(cpu, target);
    return true;
}

/** The doubleword behind the 8 bytes of the descriptor; returns the one after it, which gates keep zero. */
export function readUpperHalf(cpu: Cpu, target: Descriptor): number {
    const mode = cpu.implicitMmuMode;
    const sum = target.addressLo + 8;
    const lo = sum >>> 0;
    const hi = sum > 0xffffffff ? (target.addressHi + 1) >>> 0 : target.addressHi;
    target.upper = cpu.memory.read32(lo, hi, mode);
    const next = (lo + 4) >>> 0;
    return cpu.memory.read32(next, next < lo ? (hi + 1) >>> 0 : hi, mode);
}

/** Sets the accessed bit of a code or data descriptor in its table, if it is not set. */
export function markAccessed(cpu: Cpu, descriptor: Descriptor): void {
    if (descriptor.hi & 0x100) return;
    writeType(cpu, descriptor, descriptor.hi | 0x100);
}

/** Sets or clears the busy bit of a TSS descriptor in its table. */
export function markBusy(cpu: Cpu, descriptor: Descriptor, busy: boolean): void {
    writeType(cpu, descriptor, busy ? descriptor.hi | 0x200 : descriptor.hi & ~0x200);
}

function writeType(cpu: Cpu, descriptor: Descriptor, hi: number): void {
    descriptor.hi = hi >>> 0;
    const sum = descriptor.addressLo + 5;
    const at = sum >>> 0;
    const atHi = sum > 0xffffffff && cpu.longMode ? (descriptor.addressHi + 1) >>> 0 : descriptor.addressHi;
    cpu.memory.write8(at, atHi, (hi >>> 8) & 0xff, cpu.implicitMmuMode);
}
