/** Loading of segment registers (SDM Vol. 3, 3.4, 5.6–5.8.1; Vol. 2, MOV). */

import { Segment } from '../../isa/x86/instruction';
import { SegmentAttribute, SystemSegment } from '../state';
import type { Cpu } from './cpu';
import { REAL_MODE_DATA } from './cpu-state';
import { isStorableAddress } from './cpuid';
import {
    Descriptor,
    fetchDescriptor,
    fetchUpperHalf,
    isNullSelector,
    markAccessed,
    markBusy,
    SELECTOR_RPL,
    SELECTOR_TI,
    SystemType,
} from './descriptor';
import { raise, Vector } from './fault';

const loaded = new Descriptor();

/** Attributes of a segment in virtual-8086 mode: writable data of DPL 3 (SDM Vol. 3, 20.1.1). */
export const VIRTUAL_8086_SEGMENT = REAL_MODE_DATA | (3 << SegmentAttribute.DplShift);

/** Loads ES, SS, DS, FS or GS from a selector, as the current mode prescribes. @throws GuestFault */
export function loadSegment(cpu: Cpu, segment: number, selector: number): void {
    if (cpu.virtual8086) loadVirtual8086Segment(cpu, segment, selector);
    else if (!cpu.protectedMode) loadRealSegment(cpu, segment, selector);
    else if (segment === Segment.Ss) loadStackSegment(cpu, selector);
    else loadDataSegment(cpu, segment, selector);
    if (segment < Segment.Fs) cpu.updateMode();
}

/**
 * Real mode replaces the base and leaves the limit: a limit loaded in protected mode stays in force ("unreal mode").
 */
export function loadRealSegment(cpu: Cpu, segment: number, selector: number): void {
    const old = cpu.segmentAttributes(segment);
    const code = segment === Segment.Cs ? SegmentAttribute.Code : 0;
    const attributes = (old & (SegmentAttribute.Big | SegmentAttribute.Granularity)) | REAL_MODE_DATA | code;
    const limit = old & SegmentAttribute.Unusable ? 0xffff : cpu.segmentLimit(segment);
    cpu.setSegment(segment, selector, (selector & 0xffff) << 4, 0, limit, attributes);
}

export function loadVirtual8086Segment(cpu: Cpu, segment: number, selector: number): void {
    cpu.setSegment(segment, selector, (selector & 0xffff) << 4, 0, 0xffff, VIRTUAL_8086_SEGMENT);
}

/** A null selector in ES, DS, FS or GS: usable for nothing, and in 64-bit mode a base of 0. */
export function loadNullSegment(cpu: Cpu, segment: number, selector: number): void {
    cpu.setSegment(segment, selector, 0, 0, 0, SegmentAttribute.Unusable);
}

/** Copies a checked descriptor into a segment register. */
export function commitSegment(cpu: Cpu, segment: number, selector: number, descriptor: Descriptor): void {
    cpu.setSegment(segment, selector, descriptor.base, 0, descriptor.limit, descriptor.attributes);
}

function loadDataSegment(cpu: Cpu, segment: number, selector: number): void {
    if (isNullSelector(selector)) {
        loadNullSegment(cpu, segment, selector);
        return;
    }
    checkDataSegment(cpu, selector, cpu.cpl, Vector.GP, 0, loaded);
    commitSegment(cpu, segment, selector, loaded);
}

/**
 * The checks of a data segment register's load; fetches the descriptor and marks it accessed.
 * @param vector #GP, or #TS during a task switch
 * @param ext EXT bit of the error code
 */
export function checkDataSegment(
    cpu: Cpu,
    selector: number,
    cpl: number,
    vector: Vector,
    ext: number,
    target: Descriptor,
): void {
    const code = (selector & 0xfffc) | ext;
    if (!fetchDescriptor(cpu, selector, target)) raise(vector, code);
    if (!target.isReadable) raise(vector, code);
    if (!(target.isCode && target.isConforming) && (target.rpl > target.dpl || cpl > target.dpl)) raise(vector, code);
    if (!target.present) raise(Vector.NP, code);
    markAccessed(cpu, target);
}

function loadStackSegment(cpu: Cpu, selector: number): void {
    const cpl = cpu.cpl;
    if (isNullSelector(selector)) {
        // 64-bit mode lets inner levels run with a null SS.
        if (!cpu.code64 || cpl === 3 || (selector & SELECTOR_RPL) !== cpl) raise(Vector.GP);
        loadNullStackSegment(cpu, selector, cpl);
        return;
    }
    checkStackSegment(cpu, selector, cpl, Vector.GP, 0, loaded);
    commitSegment(cpu, Segment.Ss, selector, loaded);
}

/** A null SS keeps the DPL field: it is where CPL lives. */
export function loadNullStackSegment(cpu: Cpu, selector: number, cpl: number): void {
    cpu.setSegment(Segment.Ss, selector, 0, 0, 0, SegmentAttribute.Unusable | (cpl << SegmentAttribute.DplShift));
}

/** The checks of a load of SS for privilege level `cpl`. @param vector #GP, or #TS for stacks that a TSS names */
export function checkStackSegment(
    cpu: Cpu,
    selector: number,
    cpl: number,
    vector: Vector,
    ext: number,
    target: Descriptor,
): void {
    const code = (selector & 0xfffc) | ext;
    if (isNullSelector(selector)) raise(vector, ext);
    if (!fetchDescriptor(cpu, selector, target)) raise(vector, code);
    if (target.rpl !== cpl || !target.isWritableData || target.dpl !== cpl) raise(vector, code);
    if (!target.present) raise(Vector.SS, code);
    markAccessed(cpu, target);
}

/** LLDT, and the LDT of a task switch. @param vector #GP, or #TS during a task switch */
export function loadLdtr(cpu: Cpu, selector: number, vector: Vector = Vector.GP, ext = 0): void {
    if (isNullSelector(selector)) {
        cpu.setSegment(SystemSegment.Ldtr, selector, 0, 0, 0, SegmentAttribute.Unusable);
        return;
    }
    const code = (selector & 0xfffc) | ext;
    if (selector & SELECTOR_TI || !fetchDescriptor(cpu, selector, loaded)) raise(vector, code);
    if (!loaded.isSystem || loaded.type !== SystemType.Ldt) raise(vector, code);
    if (!loaded.present) raise(vector === Vector.TS ? Vector.TS : Vector.NP, code);
    const baseHi = longBase(cpu, code);
    cpu.setSegment(SystemSegment.Ldtr, selector, loaded.base, baseHi, loaded.limit, loaded.attributes);
}

/** LTR. */
export function loadTr(cpu: Cpu, selector: number): void {
    if (isNullSelector(selector)) raise(Vector.GP);
    const code = selector & 0xfffc;
    if (selector & SELECTOR_TI || !fetchDescriptor(cpu, selector, loaded)) raise(Vector.GP, code);
    const type = loaded.type;
    const available = type === SystemType.Tss32Available || (type === SystemType.Tss16Available && !cpu.longMode);
    if (!loaded.isSystem || !available) raise(Vector.GP, code);
    if (!loaded.present) raise(Vector.NP, code);
    const baseHi = longBase(cpu, code);
    markBusy(cpu, loaded, true);
    cpu.setSegment(SystemSegment.Tr, selector, loaded.base, baseHi, loaded.limit, loaded.attributes);
}

/** Upper half of the base of an LDT or TSS descriptor: those take 16 bytes in long mode. */
function longBase(cpu: Cpu, code: number): number {
    if (!cpu.longMode) return 0;
    if (!fetchUpperHalf(cpu, loaded)) raise(Vector.GP, code);
    if (!isStorableAddress(cpu, loaded.upper)) raise(Vector.GP, code);
    return loaded.upper;
}

/**
 * On a return to an outer level, data segments that the outer level may not use become null (SDM Vol. 3, 5.8.6).
 */
export function dropInnerSegments(cpu: Cpu, cpl: number): void {
    for (const segment of [Segment.Es, Segment.Ds, Segment.Fs, Segment.Gs]) {
        const attributes = cpu.segmentAttributes(segment);
        const conforming = SegmentAttribute.Code | SegmentAttribute.ExpandDownOrConforming;
        const dpl = (attributes >> SegmentAttribute.DplShift) & 3;
        if (attributes & SegmentAttribute.Unusable || dpl >= cpl) continue;
        if ((attributes & conforming) === conforming) continue;
        // In 64-bit mode FS and GS keep the base only where the selector was null already.
        cpu.setSegment(segment, 0, 0, 0, 0, SegmentAttribute.Unusable);
    }
}
