/** Far JMP and CALL (SDM Vol. 3, 5.8; Vol. 2, CALL, JMP). */

import { type Instruction, OperandKind, Segment } from '../../isa/x86/instruction';
import type { Cpu } from './cpu';
import { checkTarget, commitCode, commitRealCode, innerStack, readInnerStack, readLongStack } from './code-segment';
import { Descriptor, fetchDescriptor, isNullSelector, markAccessed, readUpperHalf, SystemType } from './descriptor';
import { raise, Vector } from './fault';
import { linear, memoryOperand, readMemory, value } from './operands';
import { checkStackSegment, commitSegment, loadNullStackSegment } from './segmentation';
import { currentStack, newStack } from './stack';
import { switchTask, TaskSwitchReason } from './task';

const target = new Descriptor();
const gateTarget = new Descriptor();
const stackSegment = new Descriptor();

/** Parameters of a call gate, at most 31. */
const parameters = new Uint32Array(31);

/** The far pointer that {@link readPointer} read. */
const pointer = { selector: 0, lo: 0, hi: 0 };

/** The selector and offset of the operand: immediate, or in memory with the offset first. */
function readPointer(cpu: Cpu, instruction: Instruction): void {
    const operand = instruction.operands[0];
    const size = instruction.operandSize / 8;
    if (operand.kind === OperandKind.FarPointer) {
        pointer.lo = size === 2 ? instruction.immediate & 0xffff : instruction.immediate >>> 0;
        pointer.hi = 0;
        pointer.selector = instruction.immediate2 & 0xffff;
        return;
    }
    memoryOperand(cpu, instruction, size + 2, false);
    const mode = cpu.mmuModeOf(cpu.cpl);
    const { lo, hi } = linear;
    const sum = lo + size;
    const selectorHi = sum > 0xffffffff && cpu.longMode ? (hi + 1) >>> 0 : hi;
    pointer.selector = cpu.memory.read16(sum >>> 0, selectorHi, mode);
    readMemory(cpu, lo, hi, size, mode);
    pointer.lo = value.lo;
    pointer.hi = value.hi;
}

export function farJump(cpu: Cpu, instruction: Instruction): void {
    readPointer(cpu, instruction);
    const { selector, lo, hi } = pointer;
    if (!cpu.protectedMode) {
        if (lo > cpu.segmentLimit(Segment.Cs)) raise(Vector.GP);
        commitRealCode(cpu, selector);
        cpu.setRip(lo, 0);
        cpu.updateMode();
        return;
    }
    fetchTarget(cpu, selector);
    if (!target.isSystem) {
        checkDirect(cpu, target);
        const targetHi = cpu.longMode && target.long ? hi : 0;
        checkTarget(cpu, target, lo, targetHi);
        markAccessed(cpu, target);
        commitCode(cpu, target, cpu.cpl);
        cpu.setRip(lo, targetHi);
        cpu.updateMode();
        return;
    }
    checkGatePrivilege(cpu);
    switch (target.type) {
        case SystemType.CallGate16:
        case SystemType.CallGate32:
            jumpThroughGate(cpu);
            break;
        case SystemType.TaskGate:
            taskGate(cpu, TaskSwitchReason.Jump, instruction.length);
            break;
        default:
            switchTask(cpu, target, TaskSwitchReason.Jump, instruction.length);
    }
}

export function farCall(cpu: Cpu, instruction: Instruction): void {
    readPointer(cpu, instruction);
    const { selector, lo, hi } = pointer;
    const size = instruction.operandSize / 8;
    const returnLo = (cpu.ripLo + instruction.length) >>> 0;
    const returnHi = returnLo < cpu.ripLo && cpu.code64 ? (cpu.ripHi + 1) >>> 0 : cpu.ripHi;
    const stack = currentStack.useCurrent(cpu);
    if (!cpu.protectedMode) {
        if (lo > cpu.segmentLimit(Segment.Cs)) raise(Vector.GP);
        stack.reserve(cpu, 2 * size);
        stack.push(cpu, size, cpu.selector(Segment.Cs));
        stack.push(cpu, size, returnLo);
        stack.commit(cpu);
        commitRealCode(cpu, selector);
        cpu.setRip(lo, 0);
        cpu.updateMode();
        return;
    }
    fetchTarget(cpu, selector);
    if (!target.isSystem) {
        checkDirect(cpu, target);
        const targetHi = cpu.longMode && target.long ? hi : 0;
        stack.push(cpu, size, cpu.selector(Segment.Cs));
        stack.push(cpu, size, returnLo, returnHi);
        checkTarget(cpu, target, lo, targetHi);
        markAccessed(cpu, target);
        stack.commit(cpu);
        commitCode(cpu, target, cpu.cpl);
        cpu.setRip(lo, targetHi);
        cpu.updateMode();
        return;
    }
    checkGatePrivilege(cpu);
    switch (target.type) {
        case SystemType.CallGate16:
        case SystemType.CallGate32:
            callThroughGate(cpu, returnLo, returnHi);
            break;
        case SystemType.TaskGate:
            taskGate(cpu, TaskSwitchReason.Call, instruction.length);
            break;
        default:
            switchTask(cpu, target, TaskSwitchReason.Call, instruction.length);
    }
}

function fetchTarget(cpu: Cpu, selector: number): void {
    if (isNullSelector(selector)) raise(Vector.GP);
    if (!fetchDescriptor(cpu, selector, target)) raise(Vector.GP, selector & 0xfffc);
}

/** A code segment named by the instruction itself (SDM Vol. 3, 5.8.1). */
function checkDirect(cpu: Cpu, descriptor: Descriptor): void {
    const code = descriptor.errorCode;
    const cpl = cpu.cpl;
    if (!descriptor.isCode) raise(Vector.GP, code);
    if (descriptor.isConforming) {
        if (descriptor.dpl > cpl) raise(Vector.GP, code);
    } else if (descriptor.rpl > cpl || descriptor.dpl !== cpl) {
        raise(Vector.GP, code);
    }
    if (cpu.longMode && descriptor.long && descriptor.big) raise(Vector.GP, code);
    if (!descriptor.present) raise(Vector.NP, code);
}

/** Type, DPL and presence of the gate or TSS that the instruction names (SDM Vol. 3, 5.8.4, 7.3). */
function checkGatePrivilege(cpu: Cpu): void {
    const code = target.errorCode;
    const type = target.type;
    const allowed = cpu.longMode
        ? type === SystemType.CallGate32
        : type === SystemType.CallGate16 ||
          type === SystemType.CallGate32 ||
          type === SystemType.TaskGate ||
          type === SystemType.Tss16Available ||
          type === SystemType.Tss32Available;
    if (!allowed || target.dpl < cpu.cpl || target.dpl < target.rpl) raise(Vector.GP, code);
    if (!target.present) raise(Vector.NP, code);
    if (cpu.longMode) {
        // A 64-bit gate takes two entries; the second one's type field is 0.
        const last = readUpperHalf(cpu, target);
        if (last & 0x1f00) raise(Vector.GP, code);
    }
}

/** The code segment behind a call gate. @returns whether it is more privileged, so that the stack has to change */
function checkGateTarget(cpu: Cpu, call: boolean): boolean {
    const selector = target.gateSelector;
    if (isNullSelector(selector)) raise(Vector.GP);
    const code = selector & 0xfffc;
    if (!fetchDescriptor(cpu, selector, gateTarget) || !gateTarget.isCode) raise(Vector.GP, code);
    const cpl = cpu.cpl;
    const same = gateTarget.isConforming || gateTarget.dpl === cpl;
    if (gateTarget.dpl > cpl || (!call && !same)) raise(Vector.GP, code);
    if (cpu.longMode && (!gateTarget.long || gateTarget.big)) raise(Vector.GP, code);
    if (!gateTarget.present) raise(Vector.NP, code);
    return !same;
}

function jumpThroughGate(cpu: Cpu): void {
    checkGateTarget(cpu, false);
    const hi = cpu.longMode ? target.upper : 0;
    checkTarget(cpu, gateTarget, target.gateOffset, hi);
    markAccessed(cpu, gateTarget);
    commitCode(cpu, gateTarget, cpu.cpl);
    cpu.setRip(target.gateOffset, hi);
    cpu.updateMode();
}

/** CALL through a call gate (SDM Vol. 3, 5.8.4–5.8.5.1). */
function callThroughGate(cpu: Cpu, returnLo: number, returnHi: number): void {
    const inner = checkGateTarget(cpu, true);
    const long = cpu.longMode;
    const size = long ? 8 : target.type === SystemType.CallGate32 ? 4 : 2;
    const offset = target.gateOffset;
    const offsetHi = long ? target.upper : 0;
    const code = cpu.selector(Segment.Cs);
    if (!inner) {
        const stack = currentStack.useCurrent(cpu);
        stack.push(cpu, size, code);
        stack.push(cpu, size, returnLo, returnHi);
        checkTarget(cpu, gateTarget, offset, offsetHi);
        markAccessed(cpu, gateTarget);
        stack.commit(cpu);
        commitCode(cpu, gateTarget, cpu.cpl);
        cpu.setRip(offset, offsetHi);
        cpu.updateMode();
        return;
    }
    const level = gateTarget.dpl;
    const oldStack = currentStack.useCurrent(cpu);
    const oldLo = oldStack.lo;
    const oldHi = oldStack.hi;
    const oldSelector = cpu.selector(Segment.Ss);
    const mode = cpu.mmuModeOf(level);
    let count = 0;
    if (long) {
        readLongStack(cpu, 4 + level * 8, 0);
        newStack.use64(innerStack.pointer, innerStack.pointerHi, mode, 0);
    } else {
        readInnerStack(cpu, level, 0);
        checkStackSegment(cpu, innerStack.selector, level, Vector.TS, 0, stackSegment);
        const { base, limit, attributes, errorCode } = stackSegment;
        newStack.use(innerStack.pointer, base, limit, attributes, mode, errorCode);
        count = target.gateCount;
        for (let index = 0; index < count; index++) parameters[index] = oldStack.pop(cpu, size);
    }
    newStack.push(cpu, size, oldSelector);
    newStack.push(cpu, size, oldLo, oldHi);
    while (count > 0) newStack.push(cpu, size, parameters[--count]);
    newStack.push(cpu, size, code);
    newStack.push(cpu, size, returnLo, returnHi);
    checkTarget(cpu, gateTarget, offset, offsetHi);
    markAccessed(cpu, gateTarget);
    if (long) loadNullStackSegment(cpu, level, level);
    else commitSegment(cpu, Segment.Ss, innerStack.selector, stackSegment);
    commitCode(cpu, gateTarget, level);
    newStack.commit(cpu);
    cpu.setRip(offset, offsetHi);
    cpu.updateMode();
}

/** A task gate leads to a TSS in the GDT (SDM Vol. 3, 7.2.5). */
function taskGate(cpu: Cpu, reason: TaskSwitchReason, length: number): void {
    const selector = target.gateSelector;
    const code = selector & 0xfffc;
    if (selector & 4 || !fetchDescriptor(cpu, selector, target)) raise(Vector.GP, code);
    const type = target.type;
    const available = type === SystemType.Tss16Available || type === SystemType.Tss32Available;
    if (!target.isSystem || !available) raise(Vector.GP, code);
    if (!target.present) raise(Vector.NP, code);
    switchTask(cpu, target, reason, length);
}
