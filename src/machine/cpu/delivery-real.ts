/** Events through the interrupt vector table of real mode and of VME (SDM Vol. 3, 20.1.4, 20.3.3). */

import { Segment } from '../../isa/x86/instruction';
import { Flag, StateOffset, SystemSegment } from '../state';
import { commitRealCode, hasTss32, tssAddressLo } from './code-segment';
import type { Cpu } from './cpu';
import { Cr4 } from './cpu-state';
import { type Event, idtErrorCode } from './event';
import { raise, Vector } from './fault';
import { currentStack } from './stack';

/** Pushes FLAGS, CS and IP and goes where the vector table says. */
function enterVector(cpu: Cpu, event: Event, tableLo: number, mode: number, flags: number, cleared: number): void {
    const at = (tableLo + event.vector * 4) >>> 0;
    const vector = cpu.memory.read32(at, 0, mode);
    const ip = vector & 0xffff;
    const stack = currentStack.useCurrent(cpu);
    stack.push(cpu, 2, flags & 0xffff);
    stack.push(cpu, 2, cpu.selector(Segment.Cs));
    stack.push(cpu, 2, (cpu.ripLo + event.length) & 0xffff);
    if (ip > cpu.segmentLimit(Segment.Cs)) raise(Vector.GP);
    stack.commit(cpu);
    commitRealCode(cpu, vector >>> 16);
    cpu.setRip(ip, 0);
    cpu.writeFlags(cpu.rflags & ~cleared);
    cpu.updateMode();
}

export function deliverReal(cpu: Cpu, event: Event): void {
    if (event.vector * 4 + 3 > cpu.lo(StateOffset.idtrLimit)) raise(Vector.GP, idtErrorCode(event));
    const cleared = Flag.IF | Flag.TF | Flag.AC | Flag.RF;
    enterVector(cpu, event, cpu.lo(StateOffset.idtrBase), cpu.implicitMmuMode, event.flags, cleared);
}

/** Where INT n goes in virtual-8086 mode (SDM Vol. 3, table 20-2). */
const enum Redirection {
    ProtectedMode,
    Virtual8086,
}

/** Bit of the software interrupt redirection bitmap, the 32 bytes below the I/O permission bitmap. */
function redirection(cpu: Cpu, vector: number): Redirection {
    const limit = cpu.segmentLimit(SystemSegment.Tr);
    if (!hasTss32(cpu) || limit < 0x67) raise(Vector.GP);
    const mode = cpu.implicitMmuMode;
    const ioBase = cpu.memory.read16(tssAddressLo(cpu, 0x66), 0, mode);
    const offset = ioBase - 32 + (vector >> 3);
    if (ioBase < 32 || offset > limit) raise(Vector.GP);
    const byte = cpu.memory.read8(tssAddressLo(cpu, offset), 0, mode);
    return (byte >> (vector & 7)) & 1 ? Redirection.ProtectedMode : Redirection.Virtual8086;
}

/**
 * INT n in virtual-8086 mode.
 * @returns whether it was handled within the virtual-8086 task; if not it goes through the IDT
 */
export function interruptVirtual8086(cpu: Cpu, event: Event): boolean {
    const iopl3 = cpu.iopl === 3;
    if ((cpu.cr4 & Cr4.VME) === 0) {
        if (!iopl3) raise(Vector.GP);
        return false;
    }
    if (redirection(cpu, event.vector) === Redirection.ProtectedMode) {
        if (!iopl3) raise(Vector.GP);
        return false;
    }
    // The vector table lies at linear address 0, read with the task's own privilege.
    const mode = cpu.mmuModeOf(3);
    if (iopl3) {
        enterVector(cpu, event, 0, mode, event.flags, Flag.IF | Flag.TF);
    } else {
        const virtualIf = event.flags & Flag.VIF ? Flag.IF : 0;
        const flags = (event.flags & ~Flag.IF) | virtualIf | Flag.IOPL;
        enterVector(cpu, event, 0, mode, flags, Flag.VIF | Flag.TF);
    }
    return true;
}
