/** Hardware task switches (SDM Vol. 3, chapter 7). They do not exist in long mode. */

import { Gpr, Segment } from '../../isa/x86/instruction';
import { Flag, SegmentAttribute, StateOffset, SystemSegment } from '../state';
import { DebugStatus } from './breakpoints';
import { hasTss32, tssAddressLo } from './code-segment';
import { loadPdptes, usesPae } from './control';
import type { Cpu } from './cpu';
import { Cr0 } from './cpu-state';
import { Descriptor, fetchDescriptor, isNullSelector, markAccessed, markBusy, SystemType } from './descriptor';
import { raise, Vector } from './fault';
import {
    checkDataSegment,
    checkStackSegment,
    commitSegment,
    loadLdtr,
    loadNullSegment,
    loadVirtual8086Segment,
} from './segmentation';
import { currentStack } from './stack';

export const enum TaskSwitchReason {
    Jump,
    Call,
    /** An interrupt or exception through a task gate: nests as a call does. */
    Interrupt,
    Return,
}

/** Where a TSS keeps what (SDM Vol. 3, figures 7-2 and 7-10). */
interface TssFormat {
    readonly size: 2 | 4;
    readonly minimumLimit: number;
    readonly ip: number;
    readonly flags: number;
    /** First of the 8 general registers, in encoding order. */
    readonly registers: number;
    /** First of the segment selectors, in encoding order. */
    readonly segments: number;
    readonly segmentCount: number;
    readonly ldt: number;
}

const TSS32: TssFormat = {
    size: 4,
    minimumLimit: 0x67,
    ip: 0x20,
    flags: 0x24,
    registers: 0x28,
    segments: 0x48,
    segmentCount: 6,
    ldt: 0x60,
};
const TSS32_CR3 = 0x1c;
const TSS32_TRAP = 0x64;
const TSS16: TssFormat = {
    size: 2,
    minimumLimit: 0x2b,
    ip: 0x0e,
    flags: 0x10,
    registers: 0x12,
    segments: 0x22,
    segmentCount: 4,
    ldt: 0x2a,
};

/** DR7.L0–L3 and LE: local to the task (SDM Vol. 3, 18.2.4). */
const DR7_LOCAL = 0x155;

const oldTss = new Descriptor();
const loaded = new Descriptor();
const registers = new Uint32Array(8);
const selectors = new Uint16Array(6);

function read(cpu: Cpu, base: number, offset: number, size: number): number {
    const at = (base + offset) >>> 0;
    return size === 4 ? cpu.memory.read32(at, 0, cpu.implicitMmuMode) : cpu.memory.read16(at, 0, cpu.implicitMmuMode);
}

function write(cpu: Cpu, base: number, offset: number, size: number, value: number): void {
    const at = (base + offset) >>> 0;
    if (size === 4) cpu.memory.write32(at, 0, value, cpu.implicitMmuMode);
    else cpu.memory.write16(at, 0, value, cpu.implicitMmuMode);
}

/**
 * Switches to the task of a TSS descriptor whose type and presence the caller has checked.
 *
 * Faults up to the commit point leave the old task as it was. Later ones belong to the new task: they are thrown with
 * its state loaded, so that they are delivered there (SDM Vol. 3, 7.3).
 * @param length bytes to the instruction at which the old task will go on
 * @param ext EXT bit of error codes
 * @param flags RFLAGS as the old task gets them back
 */
export function switchTask(
    cpu: Cpu,
    tss: Descriptor,
    reason: TaskSwitchReason,
    length: number,
    ext = 0,
    flags = cpu.rflags,
): void {
    const code = tss.errorCode | ext;
    const format = tss.type & 8 ? TSS32 : TSS16;
    if (tss.limit < format.minimumLimit) raise(Vector.TS, code);
    const oldFormat = hasTss32(cpu) ? TSS32 : TSS16;
    const oldBase = tssAddressLo(cpu, 0);
    const oldSelector = cpu.selector(SystemSegment.Tr);
    const base = tss.base;

    // Whatever can fault in the old task does so before anything changes.
    cpu.memory.probeWrite(oldBase, 0, oldFormat.minimumLimit + 1, cpu.implicitMmuMode);
    cpu.memory.probeWrite(base, 0, format.minimumLimit + 1, cpu.implicitMmuMode);
    const leavesBusy = reason === TaskSwitchReason.Call || reason === TaskSwitchReason.Interrupt;
    const clearsOld = !leavesBusy && fetchDescriptor(cpu, oldSelector, oldTss) && oldTss.isSystem;
    saveTask(cpu, oldBase, oldFormat, reason === TaskSwitchReason.Return ? flags & ~Flag.NT : flags, length);

    const ip = read(cpu, base, format.ip, format.size);
    let newFlags = read(cpu, base, format.flags, format.size) | 2;
    for (let index = 0; index < 8; index++) {
        registers[index] = read(cpu, base, format.registers + index * format.size, format.size);
    }
    selectors.fill(0);
    for (let index = 0; index < format.segmentCount; index++) {
        selectors[index] = read(cpu, base, format.segments + index * format.size, 2);
    }
    const ldt = read(cpu, base, format.ldt, 2);
    const cr3 = format === TSS32 ? read(cpu, base, TSS32_CR3, 4) : 0;
    const trap = format === TSS32 && (read(cpu, base, TSS32_TRAP, 2) & 1) !== 0;

    if (clearsOld) markBusy(cpu, oldTss, false);
    if (leavesBusy) {
        write(cpu, base, 0, 2, oldSelector);
        newFlags |= Flag.NT;
    }
    if (reason !== TaskSwitchReason.Return) markBusy(cpu, tss, true);

    // Commit point.
    const busy = tss.attributes | 2;
    cpu.setSegment(SystemSegment.Tr, tss.selector, base, 0, tss.limit, busy);
    cpu.setLo(StateOffset.cr0, cpu.cr0 | Cr0.TS);
    if (format === TSS32 && cpu.cr0 & Cr0.PG && cpu.cr3Lo !== cr3) {
        const old = cpu.cr3Lo;
        cpu.set(StateOffset.cr3, cr3, 0);
        cpu.mmu.flushNonGlobal();
        cpu.hooks.observer?.controlWritten(cpu, 3, old, 0, cr3, 0);
    }
    const dr7 = StateOffset.dr + 7 * 8;
    cpu.setLo(dr7, cpu.lo(dr7) & ~DR7_LOCAL);
    cpu.debugRegistersChanged();
    for (let index = 0; index < 8; index++) cpu.setGpr32(index, registers[index]);
    cpu.setRip(ip, 0);
    const virtual = format === TSS32 && (newFlags & Flag.VM) !== 0;
    const cpl = virtual ? 3 : selectors[Segment.Cs] & 3;
    for (let segment = 0; segment < 6; segment++) invalidate(cpu, segment, selectors[segment], cpl);
    cpu.setSegment(SystemSegment.Ldtr, ldt, 0, 0, 0, SegmentAttribute.Unusable);
    cpu.writeFlags(newFlags);
    cpu.updateMode();
    if (format === TSS32 && usesPae(cpu.cr0, cpu.cr4, cpu.efer)) loadPdptes(cpu, cpu.cr3Lo);
    loadLdtr(cpu, ldt, Vector.TS, ext);
    if (virtual) {
        for (let segment = 0; segment < 6; segment++) loadVirtual8086Segment(cpu, segment, selectors[segment]);
        cpu.updateMode();
    } else {
        loadTaskSegments(cpu, cpl, ext);
    }
    if (trap) cpu.pendDebug(DebugStatus.TaskSwitch);
    if (ip > cpu.segmentLimit(Segment.Cs)) raise(Vector.GP, ext);
}

function saveTask(cpu: Cpu, base: number, format: TssFormat, flags: number, length: number): void {
    const { size } = format;
    write(cpu, base, format.ip, size, (cpu.ripLo + length) >>> 0);
    write(cpu, base, format.flags, size, flags);
    for (let index = 0; index < 8; index++) {
        write(cpu, base, format.registers + index * size, size, cpu.gpr(Gpr.Rax + index));
    }
    for (let index = 0; index < format.segmentCount; index++) {
        write(cpu, base, format.segments + index * size, 2, cpu.selector(index));
    }
}

/** Until its descriptor has been checked a segment register holds its selector only. */
function invalidate(cpu: Cpu, segment: number, selector: number, cpl: number): void {
    const code = segment === Segment.Cs ? SegmentAttribute.Code | SegmentAttribute.NonSystem : 0;
    const attributes = SegmentAttribute.Unusable | (cpl << SegmentAttribute.DplShift) | code;
    cpu.setSegment(segment, selector, 0, 0, 0, attributes);
}

/** The segments of the new task, checked as far as they go; failures are #TS (SDM Vol. 3, table 7-1). */
function loadTaskSegments(cpu: Cpu, cpl: number, ext: number): void {
    const cs = selectors[Segment.Cs];
    const code = (cs & 0xfffc) | ext;
    if (isNullSelector(cs)) raise(Vector.TS, ext);
    if (!fetchDescriptor(cpu, cs, loaded) || !loaded.isCode) raise(Vector.TS, code);
    if (loaded.isConforming ? loaded.dpl > loaded.rpl : loaded.dpl !== loaded.rpl) raise(Vector.TS, code);
    if (!loaded.present) raise(Vector.NP, code);
    markAccessed(cpu, loaded);
    commitSegment(cpu, Segment.Cs, cs, loaded);
    checkStackSegment(cpu, selectors[Segment.Ss], cpl, Vector.TS, ext, loaded);
    commitSegment(cpu, Segment.Ss, selectors[Segment.Ss], loaded);
    cpu.updateMode();
    for (const segment of [Segment.Es, Segment.Ds, Segment.Fs, Segment.Gs]) {
        const selector = selectors[segment];
        if (isNullSelector(selector)) {
            loadNullSegment(cpu, segment, selector);
        } else {
            checkDataSegment(cpu, selector, cpl, Vector.TS, ext, loaded);
            commitSegment(cpu, segment, selector, loaded);
        }
    }
    cpu.updateMode();
}

/** IRET with NT set: back to the task that the link field names (SDM Vol. 3, 7.4). */
export function returnToLinkedTask(cpu: Cpu, length: number): void {
    const selector = read(cpu, tssAddressLo(cpu, 0), 0, 2);
    const code = selector & 0xfffc;
    if (selector & 4 || !fetchDescriptor(cpu, selector, loaded)) raise(Vector.TS, code);
    const type = loaded.type;
    if (!loaded.isSystem || (type !== SystemType.Tss16Busy && type !== SystemType.Tss32Busy)) raise(Vector.TS, code);
    if (!loaded.present) raise(Vector.NP, code);
    const target = Object.assign(new Descriptor(), loaded);
    switchTask(cpu, target, TaskSwitchReason.Return, length);
}

/** A task gate in the IDT (SDM Vol. 3, 6.14.1.1): nests, and pushes the error code on the new task's stack. */
export function interruptThroughTaskGate(
    cpu: Cpu,
    selector: number,
    returnOffset: number,
    ext: number,
    errorCode: number,
    flags: number,
): void {
    const code = (selector & 0xfffc) | ext;
    const tss = new Descriptor();
    if (selector & 4 || !fetchDescriptor(cpu, selector, tss)) raise(Vector.GP, code);
    const available = tss.type === SystemType.Tss16Available || tss.type === SystemType.Tss32Available;
    if (!tss.isSystem || !available) raise(Vector.GP, code);
    if (!tss.present) raise(Vector.NP, code);
    switchTask(cpu, tss, TaskSwitchReason.Interrupt, returnOffset, ext, flags);
    if (errorCode >= 0) {
        const stack = currentStack.useCurrent(cpu, ext);
        stack.push(cpu, tss.type & 8 ? 4 : 2, errorCode);
        stack.commit(cpu);
    }
}
