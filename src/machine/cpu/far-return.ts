/** RETF (SDM Vol. 3, 5.8.6; Vol. 2, RET). */

import { type Instruction, Segment } from '../../isa/x86/instruction';
import { SegmentAttribute } from '../state';
import type { Cpu } from './cpu';
import { checkReturnSegment, checkTarget, commitCode, commitRealCode } from './code-segment';
import { Descriptor, isNullSelector } from './descriptor';
import { raise, Vector } from './fault';
import { checkStackSegment, commitSegment, dropInnerSegments, loadNullStackSegment } from './segmentation';
import { currentStack, newStack } from './stack';

const code = new Descriptor();
const stackSegment = new Descriptor();

export function farReturn(cpu: Cpu, instruction: Instruction): void {
    const size = instruction.operandSize / 8;
    const release = instruction.operands.length > 0 ? instruction.immediate & 0xffff : 0;
    const stack = currentStack.useCurrent(cpu);
    const lo = stack.pop(cpu, size);
    const hi = stack.valueHi;
    const selector = stack.pop(cpu, size) & 0xffff;
    if (!cpu.protectedMode) {
        if (lo > cpu.segmentLimit(Segment.Cs)) raise(Vector.GP);
        stack.move(release);
        stack.commit(cpu);
        commitRealCode(cpu, selector);
        cpu.setRip(lo, 0);
        cpu.updateMode();
        return;
    }
    checkReturnSegment(cpu, selector, code);
    checkTarget(cpu, code, lo, hi);
    const level = selector & 3;
    stack.move(release);
    if (level === cpu.cpl) {
        stack.commit(cpu);
        commitCode(cpu, code, level);
        cpu.setRip(lo, hi);
        cpu.updateMode();
        return;
    }
    const pointerLo = stack.pop(cpu, size);
    const pointerHi = stack.valueHi;
    const stackSelector = stack.pop(cpu, size) & 0xffff;
    checkOuterStack(cpu, stackSelector, level, code, stackSegment);
    commitOuterStack(cpu, stackSelector, level, stackSegment);
    commitCode(cpu, code, level);
    cpu.setRip(lo, hi);
    cpu.updateMode();
    setOuterPointer(cpu, pointerLo, pointerHi);
    newStack.move(release);
    newStack.commit(cpu);
    dropInnerSegments(cpu, level);
    cpu.updateMode();
}

/** The SS that a return to another level pops: null is fine for 64-bit code inside level 3. */
export function checkOuterStack(
    cpu: Cpu,
    selector: number,
    level: number,
    target: Descriptor,
    descriptor: Descriptor,
): void {
    if (isNullSelector(selector)) {
        if (!cpu.longMode || !target.long || level === 3 || (selector & 3) !== level) raise(Vector.GP);
        return;
    }
    checkStackSegment(cpu, selector, level, Vector.GP, 0, descriptor);
}

/** Loads SS after {@link checkOuterStack}; from here on CPL is `level`. */
export function commitOuterStack(cpu: Cpu, selector: number, level: number, descriptor: Descriptor): void {
    if (isNullSelector(selector)) loadNullStackSegment(cpu, selector, level);
    else commitSegment(cpu, Segment.Ss, selector, descriptor);
}

/** Prepares {@link newStack} with a popped stack pointer, as wide as the stack segment that is loaded now. */
export function setOuterPointer(cpu: Cpu, lo: number, hi: number): void {
    newStack.useCurrent(cpu);
    const big = cpu.code64 || (cpu.segmentAttributes(Segment.Ss) & SegmentAttribute.Big) !== 0;
    // With a 16-bit stack segment only SP is loaded, whatever was popped.
    newStack.lo = big ? lo : ((newStack.lo & ~0xffff) | (lo & 0xffff)) >>> 0;
    newStack.hi = cpu.code64 ? hi : 0;
}
