/** Events through the IDT of protected mode, from virtual-8086 mode too (SDM Vol. 3, 6.11–6.13, 20.3). */

import { Segment } from '../../isa/x86/instruction';
import { Flag, StateOffset } from '../state';
import { checkTarget, commitCode, innerStack, readInnerStack } from './code-segment';
import type { Cpu } from './cpu';
import { Descriptor, fetchDescriptor, isNullSelector, markAccessed, readDescriptorAt, SystemType } from './descriptor';
import { checksGateDpl, type Event, extOf, idtErrorCode } from './event';
import { raise, Vector } from './fault';
import { checkStackSegment, commitSegment, loadNullSegment } from './segmentation';
import { currentStack, type GuestStack, newStack } from './stack';
import { interruptThroughTaskGate } from './task';

const gate = new Descriptor();
const code = new Descriptor();
const stackSegment = new Descriptor();

/** Flags that every gate clears; an interrupt gate clears IF as well. */
const CLEARED = Flag.TF | Flag.VM | Flag.RF | Flag.NT;

export function deliverProtected(cpu: Cpu, event: Event): void {
    const ext = extOf(event);
    const idtCode = idtErrorCode(event);
    if (event.vector * 8 + 7 > cpu.lo(StateOffset.idtrLimit)) raise(Vector.GP, idtCode);
    readDescriptorAt(cpu, cpu.lo(StateOffset.idtrBase), cpu.hi(StateOffset.idtrBase), event.vector * 8, gate);
    const type = gate.type;
    const isGate =
        type === SystemType.TaskGate ||
        type === SystemType.InterruptGate16 ||
        type === SystemType.TrapGate16 ||
        type === SystemType.InterruptGate32 ||
        type === SystemType.TrapGate32;
    if (!gate.isSystem || !isGate) raise(Vector.GP, idtCode);
    if (checksGateDpl(event) && gate.dpl < cpu.cpl) raise(Vector.GP, idtCode);
    if (!gate.present) raise(Vector.NP, idtCode);
    if (type === SystemType.TaskGate) {
        interruptThroughTaskGate(cpu, gate.gateSelector, event.length, ext, event.errorCode, event.flags);
        return;
    }
    const level = checkHandler(cpu, ext);
    const size = type & 8 ? 4 : 2;
    const cleared = CLEARED | (type & 1 ? 0 : Flag.IF);
    if (level < cpu.cpl) enterInner(cpu, event, level, size, ext);
    else enterSame(cpu, event, size, ext);
    cpu.setRip(gate.gateOffset, 0);
    cpu.writeFlags(cpu.rflags & ~cleared);
    cpu.updateMode();
}

/** The code segment of the handler. @returns the privilege level that it runs at */
function checkHandler(cpu: Cpu, ext: number): number {
    const selector = gate.gateSelector;
    if (isNullSelector(selector)) raise(Vector.GP, ext);
    const error = (selector & 0xfffc) | ext;
    if (!fetchDescriptor(cpu, selector, code) || !code.isCode || code.dpl > cpu.cpl) raise(Vector.GP, error);
    if (!code.present) raise(Vector.NP, error);
    const inner = !code.isConforming && code.dpl < cpu.cpl;
    // A virtual-8086 task can only be left for level 0.
    if (cpu.virtual8086 && (!inner || code.dpl !== 0)) raise(Vector.GP, error);
    return inner ? code.dpl : cpu.cpl;
}

function pushFrame(cpu: Cpu, stack: GuestStack, event: Event, size: number): void {
    stack.push(cpu, size, event.flags);
    stack.push(cpu, size, cpu.selector(Segment.Cs));
    stack.push(cpu, size, (cpu.ripLo + event.length) >>> 0);
    if (event.errorCode >= 0) stack.push(cpu, size, event.errorCode);
}

function enterSame(cpu: Cpu, event: Event, size: number, ext: number): void {
    const stack = currentStack.useCurrent(cpu, ext);
    pushFrame(cpu, stack, event, size);
    checkTarget(cpu, code, gate.gateOffset, 0, ext);
    markAccessed(cpu, code);
    stack.commit(cpu);
    commitCode(cpu, code, cpu.cpl);
}

function enterInner(cpu: Cpu, event: Event, level: number, size: number, ext: number): void {
    readInnerStack(cpu, level, ext);
    const stackSelector = innerStack.selector;
    checkStackSegment(cpu, stackSelector, level, Vector.TS, ext, stackSegment);
    const { base, limit, attributes, errorCode } = stackSegment;
    const stack = newStack.use(innerStack.pointer, base, limit, attributes, cpu.mmuModeOf(level), errorCode | ext);
    const virtual = cpu.virtual8086;
    if (virtual) {
        for (const segment of [Segment.Gs, Segment.Fs, Segment.Ds, Segment.Es]) {
            stack.push(cpu, size, cpu.selector(segment));
        }
    }
    const old = currentStack.useCurrent(cpu);
    stack.push(cpu, size, cpu.selector(Segment.Ss));
    stack.push(cpu, size, old.lo);
    pushFrame(cpu, stack, event, size);
    checkTarget(cpu, code, gate.gateOffset, 0, ext);
    markAccessed(cpu, code);
    if (virtual) {
        for (const segment of [Segment.Gs, Segment.Fs, Segment.Ds, Segment.Es]) loadNullSegment(cpu, segment, 0);
    }
    commitSegment(cpu, Segment.Ss, stackSelector, stackSegment);
    stack.commit(cpu);
    commitCode(cpu, code, level);
}
