/** Events through the 16-byte gates of long mode (SDM Vol. 3, 6.14). */

import { Gpr, Segment } from '../../isa/x86/instruction';
import { Flag, StateOffset } from '../state';
import { checkTarget, commitCode, innerStack, readLongStack } from './code-segment';
import type { Cpu } from './cpu';
import {
    Descriptor,
    fetchDescriptor,
    isNullSelector,
    markAccessed,
    readDescriptorAt,
    readUpperHalf,
    SystemType,
} from './descriptor';
import { checksGateDpl, type Event, extOf, idtErrorCode } from './event';
import { raise, Vector } from './fault';
import { loadNullStackSegment } from './segmentation';
import { newStack } from './stack';

const gate = new Descriptor();
const code = new Descriptor();

const CLEARED = Flag.TF | Flag.RF | Flag.NT | Flag.VM;
/** IST1 in the 64-bit TSS. */
const TSS_IST1 = 0x24;
const TSS_RSP0 = 4;

export function deliverLong(cpu: Cpu, event: Event): void {
    const ext = extOf(event);
    const idtCode = idtErrorCode(event);
    if (event.vector * 16 + 15 > cpu.lo(StateOffset.idtrLimit)) raise(Vector.GP, idtCode);
    readDescriptorAt(cpu, cpu.lo(StateOffset.idtrBase), cpu.hi(StateOffset.idtrBase), event.vector * 16, gate);
    const type = gate.type;
    if (!gate.isSystem || (type !== SystemType.InterruptGate32 && type !== SystemType.TrapGate32)) {
        raise(Vector.GP, idtCode);
    }
    if (checksGateDpl(event) && gate.dpl < cpu.cpl) raise(Vector.GP, idtCode);
    if (!gate.present) raise(Vector.NP, idtCode);
    readUpperHalf(cpu, gate);
    checkHandler(cpu, ext);

    const cpl = cpu.cpl;
    const level = code.isConforming ? cpl : code.dpl;
    const inner = level < cpl;
    const mode = cpu.mmuModeOf(level);
    const oldLo = cpu.gpr(Gpr.Rsp);
    // RSP has 32 bits in compatibility mode.
    const oldHi = cpu.code64 ? cpu.gprHi(Gpr.Rsp) : 0;
    if (gate.gateIst !== 0) {
        readLongStack(cpu, TSS_IST1 + (gate.gateIst - 1) * 8, ext);
        newStack.use64(innerStack.pointer, innerStack.pointerHi, mode, ext);
    } else if (inner) {
        readLongStack(cpu, TSS_RSP0 + level * 8, ext);
        newStack.use64(innerStack.pointer, innerStack.pointerHi, mode, ext);
    } else {
        newStack.use64(oldLo, oldHi, mode, ext);
    }
    newStack.lo = (newStack.lo & ~0xf) >>> 0;

    const ripLo = cpu.ripLo + event.length;
    const ripHi = ripLo > 0xffffffff && cpu.code64 ? (cpu.ripHi + 1) >>> 0 : cpu.ripHi;
    newStack.push(cpu, 8, cpu.selector(Segment.Ss));
    newStack.push(cpu, 8, oldLo, oldHi);
    newStack.push(cpu, 8, event.flags);
    newStack.push(cpu, 8, cpu.selector(Segment.Cs));
    newStack.push(cpu, 8, ripLo >>> 0, ripHi);
    if (event.errorCode >= 0) newStack.push(cpu, 8, event.errorCode);
    checkTarget(cpu, code, gate.gateOffset, gate.upper, ext);
    markAccessed(cpu, code);

    if (inner) loadNullStackSegment(cpu, level, level);
    newStack.commit(cpu);
    commitCode(cpu, code, level);
    cpu.setRip(gate.gateOffset, gate.upper);
    cpu.writeFlags(cpu.rflags & ~(CLEARED | (type & 1 ? 0 : Flag.IF)));
    cpu.updateMode();
}

/** The handler must be 64-bit code, not less privileged than what it interrupts. */
function checkHandler(cpu: Cpu, ext: number): void {
    const selector = gate.gateSelector;
    if (isNullSelector(selector)) raise(Vector.GP, ext);
    const error = (selector & 0xfffc) | ext;
    if (!fetchDescriptor(cpu, selector, code) || !code.isCode || code.dpl > cpu.cpl) raise(Vector.GP, error);
    if (!code.long || code.big) raise(Vector.GP, error);
    if (!code.present) raise(Vector.NP, error);
}
