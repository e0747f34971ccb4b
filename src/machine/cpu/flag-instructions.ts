/** Instructions on IF and the other system flags (SDM Vol. 2, CLI, STI, POPF, PUSHF; Vol. 3, 20.3–20.4). */

import type { Instruction } from '../../isa/x86/instruction';
import { Flag, ModeKey, StateOffset } from '../state';
import type { Cpu } from './cpu';
import { Cr4 } from './cpu-state';
import { raise, Vector } from './fault';
import { advance } from './operands';
import type { OperationTable } from './operation';
import { currentStack } from './stack';

/** Bit 0 of `StateOffset.interruptShadow`: interrupts wait for the instruction after STI. */
const SHADOW_STI = 1;

/** Whether CLI and STI act on VIF: virtual-8086 mode with VME, or level 3 with PVI, where IOPL forbids IF itself. */
function usesVirtualIf(cpu: Cpu): boolean {
    if (cpu.virtual8086) return (cpu.cr4 & Cr4.VME) !== 0;
    return cpu.cpl === 3 && (cpu.cr4 & Cr4.PVI) !== 0;
}

function mayChangeIf(cpu: Cpu): boolean {
    return (cpu.mode & ModeKey.Protected) === 0 || cpu.iopl >= cpu.cpl;
}

function clearInterruptFlag(cpu: Cpu, instruction: Instruction): void {
    if (mayChangeIf(cpu)) cpu.systemFlags &= ~Flag.IF;
    else if (usesVirtualIf(cpu)) cpu.systemFlags &= ~Flag.VIF;
    else raise(Vector.GP);
    advance(cpu, instruction);
}

function setInterruptFlag(cpu: Cpu, instruction: Instruction): void {
    if (mayChangeIf(cpu)) {
        if ((cpu.systemFlags & Flag.IF) === 0) {
            cpu.systemFlags |= Flag.IF;
            cpu.setLo(StateOffset.interruptShadow, cpu.lo(StateOffset.interruptShadow) | SHADOW_STI);
            cpu.hooks.attention();
        }
    } else if (usesVirtualIf(cpu) && (cpu.systemFlags & Flag.VIP) === 0) {
        cpu.systemFlags |= Flag.VIF;
    } else {
        raise(Vector.GP);
    }
    advance(cpu, instruction);
}

function pushFlags(cpu: Cpu, instruction: Instruction): void {
    const size = instruction.operandSize / 8;
    let flags = cpu.rflags & ~(Flag.RF | Flag.VM);
    if (cpu.virtual8086 && cpu.iopl < 3) {
        if ((cpu.cr4 & Cr4.VME) === 0 || size !== 2) raise(Vector.GP);
        flags = (flags & ~Flag.IF) | Flag.IOPL | (flags & Flag.VIF ? Flag.IF : 0);
    }
    const stack = currentStack.useCurrent(cpu);
    stack.push(cpu, size, flags);
    stack.commit(cpu);
    advance(cpu, instruction);
}

function popFlags(cpu: Cpu, instruction: Instruction): void {
    const size = instruction.operandSize / 8;
    const virtualIf = cpu.virtual8086 && cpu.iopl < 3;
    if (virtualIf && ((cpu.cr4 & Cr4.VME) === 0 || size !== 2)) raise(Vector.GP);
    const stack = currentStack.useCurrent(cpu);
    let flags = stack.pop(cpu, size);
    // RF is cleared whatever was popped.
    let changed = Flag.Arithmetic | Flag.TF | Flag.DF | Flag.NT | Flag.RF;
    flags &= ~Flag.RF;
    if (size > 2) changed |= Flag.AC | Flag.ID;
    if (virtualIf) {
        const enables = (flags & Flag.IF) !== 0;
        if (flags & Flag.TF || (enables && cpu.systemFlags & Flag.VIP)) raise(Vector.GP);
        flags = (flags & ~Flag.VIF) | (enables ? Flag.VIF : 0);
        changed |= Flag.VIF;
    } else {
        if (mayChangeIf(cpu)) changed |= Flag.IF;
        if (cpu.cpl === 0) changed |= Flag.IOPL;
    }
    stack.commit(cpu);
    cpu.writeFlags((cpu.rflags & ~changed) | (flags & changed));
    advance(cpu, instruction);
}

/** CLAC and STAC: level 0 only, #UD elsewhere. */
function setAc(cpu: Cpu, instruction: Instruction, set: boolean): void {
    if (cpu.cpl !== 0) raise(Vector.UD);
    cpu.systemFlags = set ? cpu.systemFlags | Flag.AC : cpu.systemFlags & ~Flag.AC;
    cpu.updateMode();
    advance(cpu, instruction);
}

export const FLAG_INSTRUCTIONS: OperationTable = {
    CLI: clearInterruptFlag,
    STI: setInterruptFlag,
    PUSHF: pushFlags,
    PUSHFD: pushFlags,
    PUSHFQ: pushFlags,
    POPF: popFlags,
    POPFD: popFlags,
    POPFQ: popFlags,
    CLAC: (cpu, instruction) => setAc(cpu, instruction, false),
    STAC: (cpu, instruction) => setAc(cpu, instruction, true),
};
