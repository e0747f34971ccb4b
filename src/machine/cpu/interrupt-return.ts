/** IRET (SDM Vol. 2, IRET/IRETD; Vol. 3, 5.8.6, 6.14.3, 20.2.3). */

import { type Instruction, Segment } from '../../isa/x86/instruction';
import { Flag, StateOffset } from '../state';
import { checkReturnSegment, checkTarget, commitCode, commitRealCode } from './code-segment';
import type { Cpu } from './cpu';
import { Cr4 } from './cpu-state';
import { Descriptor } from './descriptor';
import { checkOuterStack, commitOuterStack, setOuterPointer } from './far-return';
import { raise, Vector } from './fault';
import { dropInnerSegments, loadVirtual8086Segment } from './segmentation';
import { currentStack, newStack } from './stack';
import { returnToLinkedTask } from './task';

const code = new Descriptor();
const stackSegment = new Descriptor();

/** Flags that any IRET may change; those above bit 15 need an operand size of 32 or 64. */
const ALWAYS = Flag.Arithmetic | Flag.TF | Flag.DF | Flag.NT;
const WIDE = Flag.RF | Flag.AC | Flag.ID;

export function interruptReturn(cpu: Cpu, instruction: Instruction): void {
    // NMIs are unblocked even if IRET faults (SDM Vol. 3, 6.7.1).
    if (cpu.lo(StateOffset.nmiBlocked) !== 0) {
        cpu.setLo(StateOffset.nmiBlocked, 0);
        cpu.hooks.attention();
    }
    const size = instruction.operandSize / 8;
    if (cpu.virtual8086) returnVirtual8086(cpu, size);
    else if (!cpu.protectedMode) returnReal(cpu, size);
    else if (cpu.systemFlags & Flag.NT) {
        if (cpu.longMode) raise(Vector.GP);
        returnToLinkedTask(cpu, instruction.length);
    } else returnProtected(cpu, size);
}

function mergeFlags(cpu: Cpu, flags: number, changed: number): void {
    cpu.writeFlags((cpu.rflags & ~changed) | (flags & changed));
}

function returnReal(cpu: Cpu, size: number): void {
    const stack = currentStack.useCurrent(cpu);
    const ip = stack.pop(cpu, size);
    const selector = stack.pop(cpu, size) & 0xffff;
    const flags = stack.pop(cpu, size);
    if (ip > cpu.segmentLimit(Segment.Cs)) raise(Vector.GP);
    stack.commit(cpu);
    commitRealCode(cpu, selector);
    cpu.setRip(ip, 0);
    mergeFlags(cpu, flags, ALWAYS | Flag.IF | Flag.IOPL | (size === 4 ? WIDE : 0));
    cpu.updateMode();
}

/** With IOPL < 3 only VME makes it work, on VIF instead of IF (SDM Vol. 3, 20.3.3). */
function returnVirtual8086(cpu: Cpu, size: number): void {
    const virtualIf = cpu.iopl < 3;
    if (virtualIf && ((cpu.cr4 & Cr4.VME) === 0 || size !== 2)) raise(Vector.GP);
    const stack = currentStack.useCurrent(cpu);
    const ip = stack.pop(cpu, size);
    const selector = stack.pop(cpu, size) & 0xffff;
    let flags = stack.pop(cpu, size);
    if (ip > cpu.segmentLimit(Segment.Cs)) raise(Vector.GP);
    let changed = ALWAYS | (size === 4 ? WIDE : 0);
    if (virtualIf) {
        const enables = (flags & Flag.IF) !== 0;
        if (flags & Flag.TF || (enables && cpu.systemFlags & Flag.VIP)) raise(Vector.GP);
        changed |= Flag.VIF;
        flags = (flags & ~Flag.VIF) | (enables ? Flag.VIF : 0);
    } else {
        changed |= Flag.IF;
    }
    stack.commit(cpu);
    commitRealCode(cpu, selector);
    cpu.setRip(ip, 0);
    mergeFlags(cpu, flags, changed);
    cpu.updateMode();
}

function returnProtected(cpu: Cpu, size: number): void {
    const stack = currentStack.useCurrent(cpu);
    const ipLo = stack.pop(cpu, size);
    const ipHi = stack.valueHi;
    const selector = stack.pop(cpu, size) & 0xffff;
    const flags = stack.pop(cpu, size);
    const cpl = cpu.cpl;
    if (flags & Flag.VM && cpl === 0 && size === 4 && !cpu.longMode) {
        returnToVirtual8086(cpu, ipLo, selector, flags);
        return;
    }
    checkReturnSegment(cpu, selector, code);
    const level = selector & 3;
    const changed =
        ALWAYS |
        (size > 2 ? WIDE : 0) |
        (cpl <= cpu.iopl ? Flag.IF : 0) |
        (cpl === 0 ? Flag.IOPL | (size > 2 ? Flag.VIF | Flag.VIP : 0) : 0);
    if (level === cpl && !cpu.code64) {
        checkTarget(cpu, code, ipLo, ipHi);
        stack.commit(cpu);
        commitCode(cpu, code, level);
        cpu.setRip(ipLo, ipHi);
        mergeFlags(cpu, flags, changed);
        cpu.updateMode();
        return;
    }
    // 64-bit mode pops SS:RSP whatever the level.
    const pointerLo = stack.pop(cpu, size);
    const pointerHi = stack.valueHi;
    const stackSelector = stack.pop(cpu, size) & 0xffff;
    checkOuterStack(cpu, stackSelector, level, code, stackSegment);
    checkTarget(cpu, code, ipLo, ipHi);
    commitOuterStack(cpu, stackSelector, level, stackSegment);
    commitCode(cpu, code, level);
    cpu.setRip(ipLo, ipHi);
    cpu.updateMode();
    setOuterPointer(cpu, pointerLo, pointerHi);
    newStack.commit(cpu);
    if (level > cpl) dropInnerSegments(cpu, level);
    mergeFlags(cpu, flags, changed);
    cpu.updateMode();
}

/** To a virtual-8086 task: level 0 pops all its segments and flags (SDM Vol. 3, 20.2.3). */
function returnToVirtual8086(cpu: Cpu, ip: number, selector: number, flags: number): void {
    const stack = currentStack;
    const pointer = stack.pop(cpu, 4);
    const selectors = [0, selector, 0, 0, 0, 0];
    for (const segment of [Segment.Ss, Segment.Es, Segment.Ds, Segment.Fs, Segment.Gs]) {
        selectors[segment] = stack.pop(cpu, 4) & 0xffff;
    }
    if (ip > 0xffff) raise(Vector.GP);
    for (let segment = 0; segment < 6; segment++) loadVirtual8086Segment(cpu, segment, selectors[segment]);
    cpu.setGpr32(4, pointer);
    cpu.setRip(ip, 0);
    cpu.writeFlags(flags);
    cpu.updateMode();
}
