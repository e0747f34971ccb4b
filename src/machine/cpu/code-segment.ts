/** What far transfers, returns and gates share: checks of code segments, loading CS, inner stacks from the TSS. */

import { Segment } from '../../isa/x86/instruction';
import { SegmentAttribute, SystemSegment } from '../state';
import type { Cpu } from './cpu';
import { type Descriptor, fetchDescriptor, isNullSelector, markAccessed } from './descriptor';
import { raise, Vector } from './fault';
import { loadRealSegment, loadVirtual8086Segment } from './segmentation';

/**
 * The checks of a code segment that control returns to, at the privilege of the selector's RPL (SDM Vol. 3, 5.8.6):
 * RETF and IRET.
 */
export function checkReturnSegment(cpu: Cpu, selector: number, target: Descriptor): void {
    if (isNullSelector(selector)) raise(Vector.GP);
    const code = selector & 0xfffc;
    if (!fetchDescriptor(cpu, selector, target) || !target.isCode || target.rpl < cpu.cpl) raise(Vector.GP, code);
    if (target.isConforming ? target.dpl > target.rpl : target.dpl !== target.rpl) raise(Vector.GP, code);
    if (cpu.longMode && target.long && target.big) raise(Vector.GP, code);
    if (!target.present) raise(Vector.NP, code);
    markAccessed(cpu, target);
}

/**
 * Checks that the new instruction pointer lies in the code segment: #GP(`ext`) if not.
 * @param ext EXT bit, for event delivery
 */
export function checkTarget(cpu: Cpu, target: Descriptor, lo: number, hi: number, ext = 0): void {
    if (cpu.longMode && target.long) {
        if (!cpu.memory.isCanonical(lo, hi)) raise(Vector.GP, ext);
    } else if (hi !== 0 || lo > target.limit) {
        raise(Vector.GP, ext);
    }
}

/** Loads CS from a checked descriptor, with `cpl` as RPL. CPL itself follows SS, which the caller loads. */
export function commitCode(cpu: Cpu, target: Descriptor, cpl: number): void {
    const selector = (target.selector & 0xfffc) | cpl;
    cpu.setSegment(Segment.Cs, selector, target.base, 0, target.limit, target.attributes);
}

/** CS in real or virtual-8086 mode. */
export function commitRealCode(cpu: Cpu, selector: number): void {
    if (cpu.virtual8086) loadVirtual8086Segment(cpu, Segment.Cs, selector);
    else loadRealSegment(cpu, Segment.Cs, selector);
}

/** The privileged stack pointer that {@link readInnerStack} read. */
export const innerStack = { selector: 0, pointer: 0, pointerHi: 0 };

/** Whether the current TSS is a 32-bit one (or the 64-bit one of long mode). */
export function hasTss32(cpu: Cpu): boolean {
    return (cpu.segmentAttributes(SystemSegment.Tr) & 8) !== 0;
}

/** Linear address within the current TSS; the high half is 0 outside long mode. */
export function tssAddressLo(cpu: Cpu, offset: number): number {
    return (cpu.segmentBase(SystemSegment.Tr) + offset) >>> 0;
}

export function tssAddressHi(cpu: Cpu, offset: number): number {
    const hi = cpu.segmentBaseHi(SystemSegment.Tr);
    return cpu.longMode && cpu.segmentBase(SystemSegment.Tr) + offset > 0xffffffff ? (hi + 1) >>> 0 : hi;
}

/** SS:ESP for privilege level `level` from a 16- or 32-bit TSS (SDM Vol. 3, 7.2.1, 7.6). */
export function readInnerStack(cpu: Cpu, level: number, ext: number): void {
    const wide = hasTss32(cpu);
    const offset = wide ? 4 + level * 8 : 2 + level * 4;
    const last = wide ? 5 : 3;
    checkTssLimit(cpu, offset + last, ext);
    const mode = cpu.implicitMmuMode;
    const lo = tssAddressLo(cpu, offset);
    innerStack.pointer = wide ? cpu.memory.read32(lo, 0, mode) : cpu.memory.read16(lo, 0, mode);
    innerStack.pointerHi = 0;
    innerStack.selector = cpu.memory.read16(tssAddressLo(cpu, offset + last - 1), 0, mode);
}

/** A stack pointer of the 64-bit TSS: offset 4 + 8 × level for RSP0–RSP2, 36 + 8 × (n − 1) for ISTn (7.7). */
export function readLongStack(cpu: Cpu, offset: number, ext: number): void {
    checkTssLimit(cpu, offset + 7, ext);
    const mode = cpu.implicitMmuMode;
    innerStack.pointer = cpu.memory.read32(tssAddressLo(cpu, offset), tssAddressHi(cpu, offset), mode);
    innerStack.pointerHi = cpu.memory.read32(tssAddressLo(cpu, offset + 4), tssAddressHi(cpu, offset + 4), mode);
    if (!cpu.memory.isCanonical(innerStack.pointer, innerStack.pointerHi)) raise(Vector.SS, ext);
}

function checkTssLimit(cpu: Cpu, last: number, ext: number): void {
    const unusable = cpu.segmentAttributes(SystemSegment.Tr) & SegmentAttribute.Unusable;
    if (unusable || last > cpu.segmentLimit(SystemSegment.Tr)) {
        raise(Vector.TS, (cpu.selector(SystemSegment.Tr) & 0xfffc) | ext);
    }
}
