/** Control and debug registers (SDM Vol. 3, 2.5, 4.1, 9.8.5, 18.2; Vol. 2, MOV—Move to/from Control Registers). */

import { type Instruction, OperandKind } from '../../isa/x86/instruction';
import { SegmentAttribute, StateOffset, SystemSegment } from '../state';
import { DebugControl, DebugStatus } from './breakpoints';
import type { Cpu } from './cpu';
import { Cr0, Cr4, Efer } from './cpu-state';
import { raise, raiseDebug, Vector } from './fault';
import { advance, readOperand32, requireCpl0, writeOperand } from './operands';
import type { OperationTable } from './operation';
import { Entry } from './paging';
import { PHYSICAL_ADDRESS_HIGH_MASK } from './physical';
import { moveToSegment, checkUmip } from './segment-instructions';
import { Segment } from '../../isa/x86/instruction';
import { SystemType } from './descriptor';

const CR0_DEFINED = Cr0.PE | Cr0.MP | Cr0.EM | Cr0.TS | Cr0.NE | Cr0.WP | Cr0.AM | Cr0.NW | Cr0.CD | Cr0.PG;

const CR4_DEFINED =
    Cr4.VME |
    Cr4.PVI |
    Cr4.TSD |
    Cr4.DE |
    Cr4.PSE |
    Cr4.PAE |
    Cr4.MCE |
    Cr4.PGE |
    Cr4.PCE |
    Cr4.OSFXSR |
    Cr4.OSXMMEXCPT |
    Cr4.UMIP |
    Cr4.LA57 |
    Cr4.FSGSBASE |
    Cr4.PCIDE |
    Cr4.OSXSAVE |
    Cr4.SMEP |
    Cr4.SMAP;

/** Bits whose change may make cached translations wrong, global ones included (SDM Vol. 3, 4.10.4.1). */
const CR4_TRANSLATION = Cr4.PSE | Cr4.PAE | Cr4.PGE | Cr4.LA57 | Cr4.PCIDE | Cr4.SMEP | Cr4.SMAP;

/** PDPTE bits that must be 0: 2–1 and 8–5 in the low doubleword (SDM Vol. 3, table 4-8). */
const PDPTE_RESERVED = 0x1e6;

/** Bits of CR3 that address the tables in PAE paging. */
const PAE_BASE = 0xffffffe0;

const pdptes = new Uint32Array(8);

/**
 * Reads the PDPTEs of PAE paging into a buffer and checks them; {@link commitPdptes} makes them current.
 * @throws GuestFault #GP(0) for reserved bits
 */
function readPdptes(cpu: Cpu, cr3: number): void {
    const base = (cr3 & PAE_BASE) >>> 0;
    for (let index = 0; index < 8; index += 2) {
        const lo = cpu.port.read(base + index * 4, 4);
        const hi = cpu.port.read(base + index * 4 + 4, 4);
        if (lo & Entry.Present && (lo & PDPTE_RESERVED || hi & ~PHYSICAL_ADDRESS_HIGH_MASK)) raise(Vector.GP);
        pdptes[index] = lo;
        pdptes[index + 1] = hi;
    }
}

function commitPdptes(cpu: Cpu): void {
    cpu.u32.set(pdptes, StateOffset.pdpte >> 2);
}

/** The same for a task switch's CR3. */
export function loadPdptes(cpu: Cpu, cr3: number): void {
    readPdptes(cpu, cr3);
    commitPdptes(cpu);
}

export function usesPae(cr0: number, cr4: number, efer: number): boolean {
    return (cr0 & Cr0.PG) !== 0 && (cr4 & Cr4.PAE) !== 0 && (efer & Efer.LMA) === 0;
}

/** MOV to CR0, LMSW, CLTS. @throws GuestFault #GP(0) for a combination that cannot be */
export function writeCr0(cpu: Cpu, lo: number, hi: number): void {
    const old = cpu.cr0;
    const next = ((lo & CR0_DEFINED) | Cr0.ET) >>> 0;
    if (hi !== 0) raise(Vector.GP);
    if ((next & Cr0.PG && !(next & Cr0.PE)) || (next & Cr0.NW && !(next & Cr0.CD))) raise(Vector.GP);
    const changed = old ^ next;
    let efer = cpu.efer;
    if (changed & Cr0.PG) {
        if (next & Cr0.PG) {
            if (efer & Efer.LME) {
                // Activation of IA-32e mode (SDM Vol. 3, 9.8.5).
                const tr = cpu.segmentAttributes(SystemSegment.Tr) & 0xf;
                const tss16 = tr === SystemType.Tss16Available || tr === SystemType.Tss16Busy;
                const loadedTss16 = tss16 && cpu.selector(SystemSegment.Tr) !== 0;
                const longCode = cpu.segmentAttributes(Segment.Cs) & SegmentAttribute.Long;
                if (!(cpu.cr4 & Cr4.PAE) || longCode || loadedTss16) raise(Vector.GP);
                efer |= Efer.LMA;
            }
        } else {
            if (cpu.code64 || cpu.cr4 & Cr4.PCIDE) raise(Vector.GP);
            efer &= ~Efer.LMA;
        }
    }
    if (changed & (Cr0.PG | Cr0.CD | Cr0.NW) && usesPae(next, cpu.cr4, efer)) {
        readPdptes(cpu, cpu.cr3Lo);
        commitPdptes(cpu);
    }
    cpu.setLo(StateOffset.efer, efer);
    cpu.setLo(StateOffset.cr0, next);
    if (changed & (Cr0.PG | Cr0.WP | Cr0.PE)) cpu.mmu.flushAll();
    cpu.updateMode();
}

/** MOV to CR3. With CR4.PCIDE bit 63 asks to keep the new PCID's translations (SDM Vol. 3, 4.10.4.1). */
export function writeCr3(cpu: Cpu, lo: number, hi: number): void {
    const keep = (cpu.cr4 & Cr4.PCIDE) !== 0 && (hi & 0x80000000) !== 0;
    if (keep) hi &= 0x7fffffff;
    if (hi & ~PHYSICAL_ADDRESS_HIGH_MASK) raise(Vector.GP);
    if (usesPae(cpu.cr0, cpu.cr4, cpu.efer)) {
        readPdptes(cpu, lo);
        commitPdptes(cpu);
    }
    // The soft TLB does not know PCIDs: only a return to the address space it holds can keep it.
    const same = keep && cpu.cr3Lo === lo >>> 0 && cpu.cr3Hi === hi;
    cpu.set(StateOffset.cr3, lo, hi);
    if (!same) cpu.mmu.flushNonGlobal();
}

/** MOV to CR4. */
export function writeCr4(cpu: Cpu, lo: number, hi: number): void {
    if (hi !== 0 || lo & ~CR4_DEFINED) raise(Vector.GP);
    const old = cpu.cr4;
    const changed = old ^ lo;
    const long = cpu.longMode;
    if (long && !(lo & Cr4.PAE)) raise(Vector.GP);
    if (changed & Cr4.LA57 && long) raise(Vector.GP);
    if (changed & lo & Cr4.PCIDE && (!long || cpu.cr3Lo & 0xfff)) raise(Vector.GP);
    if (changed & (Cr4.PAE | Cr4.PGE | Cr4.PSE | Cr4.SMEP) && usesPae(cpu.cr0, lo, cpu.efer)) {
        readPdptes(cpu, cpu.cr3Lo);
        commitPdptes(cpu);
    }
    cpu.setLo(StateOffset.cr4, lo);
    if (changed & CR4_TRANSLATION) cpu.mmu.flushAll();
    cpu.updateMode();
}

/** MOV to CR8: the task priority. */
export function writeCr8(cpu: Cpu, lo: number, hi: number): void {
    if (hi !== 0 || lo & ~0xf) raise(Vector.GP);
    cpu.setLo(StateOffset.cr8, lo);
    cpu.hooks.apic.writeTaskPriority(lo << 4);
    cpu.hooks.attention();
}

function moveToControl(cpu: Cpu, instruction: Instruction): void {
    const [control, source] = instruction.operands;
    requireCpl0(cpu);
    const lo = cpu.gpr(source.register);
    const hi = cpu.code64 ? cpu.gprHi(source.register) : 0;
    const { register } = control;
    const field = register === 8 ? StateOffset.cr8 : controlField(register);
    const oldLo = register === 8 ? cpu.hooks.apic.readTaskPriority() >>> 4 : cpu.lo(field);
    const oldHi = cpu.hi(field);
    switch (register) {
        case 0:
            writeCr0(cpu, lo, hi);
            break;
        case 2:
            cpu.set(StateOffset.cr2, lo, hi);
            break;
        case 3:
            writeCr3(cpu, lo, hi);
            break;
        case 4:
            writeCr4(cpu, lo, hi);
            break;
        case 8:
            writeCr8(cpu, lo, hi);
            break;
        default:
            raise(Vector.UD);
    }
    cpu.hooks.observer?.controlWritten(cpu, register, oldLo, oldHi, cpu.lo(field), cpu.hi(field));
    advance(cpu, instruction);
}

/** Where CR0 and CR2–CR4 are kept. */
function controlField(register: number): number {
    return StateOffset.cr0 + (register === 0 ? 0 : register - 1) * 8;
}

/** LMSW and CLTS: `next` is legal for {@link writeCr0}. */
function changeCr0(cpu: Cpu, next: number): void {
    const old = cpu.cr0;
    writeCr0(cpu, next, 0);
    cpu.hooks.observer?.controlWritten(cpu, 0, old, 0, cpu.cr0, 0);
}

function moveFromControl(cpu: Cpu, instruction: Instruction): void {
    const [destination, control] = instruction.operands;
    requireCpl0(cpu);
    const number = control.register;
    if (number === 8) {
        writeOperand(cpu, instruction, destination, cpu.hooks.apic.readTaskPriority() >>> 4, 0);
    } else if (number === 0 || (number >= 2 && number <= 4)) {
        const offset = controlField(number);
        writeOperand(cpu, instruction, destination, cpu.lo(offset), cpu.hi(offset));
    } else {
        raise(Vector.UD);
    }
    advance(cpu, instruction);
}

/** DR4 and DR5 are DR6 and DR7 until CR4.DE makes them undefined; then DR7.GD guards them all (18.2.2, 18.2.4). */
function debugRegister(cpu: Cpu, number: number): number {
    if (number === 4 || number === 5) {
        if (cpu.cr4 & Cr4.DE) raise(Vector.UD);
        number += 2;
    }
    if (number > 7) raise(Vector.UD);
    requireCpl0(cpu);
    const dr7 = StateOffset.dr + 7 * 8;
    if (cpu.lo(dr7) & DebugControl.GeneralDetect) raiseDebug(DebugStatus.GeneralDetect);
    return number;
}

function moveToDebug(cpu: Cpu, instruction: Instruction): void {
    const [debug, source] = instruction.operands;
    const number = debugRegister(cpu, debug.register);
    let lo = cpu.gpr(source.register);
    const hi = cpu.code64 ? cpu.gprHi(source.register) : 0;
    if (number >= 6) {
        if (hi !== 0) raise(Vector.GP);
        lo = number === 6 ? writableDr6(lo) : writableDr7(lo);
    }
    cpu.set(StateOffset.dr + number * 8, lo, hi);
    if (number !== 6) cpu.debugRegistersChanged();
    advance(cpu, instruction);
}

export function writableDr6(lo: number): number {
    const status =
        DebugStatus.Breakpoints | DebugStatus.GeneralDetect | DebugStatus.SingleStep | DebugStatus.TaskSwitch;
    return (lo & status) | DebugStatus.Fixed;
}

export function writableDr7(lo: number): number {
    return (lo & 0xffff23ff) | DebugControl.Fixed;
}

function moveFromDebug(cpu: Cpu, instruction: Instruction): void {
    const [destination, debug] = instruction.operands;
    const offset = StateOffset.dr + debugRegister(cpu, debug.register) * 8;
    writeOperand(cpu, instruction, destination, cpu.lo(offset), cpu.hi(offset));
    advance(cpu, instruction);
}

export const CONTROL_INSTRUCTIONS: OperationTable = {
    MOV: (cpu, instruction) => {
        const [destination, source] = instruction.operands;
        if (destination.kind === OperandKind.Control) moveToControl(cpu, instruction);
        else if (source.kind === OperandKind.Control) moveFromControl(cpu, instruction);
        else if (destination.kind === OperandKind.Debug) moveToDebug(cpu, instruction);
        else if (source.kind === OperandKind.Debug) moveFromDebug(cpu, instruction);
        else moveToSegment(cpu, instruction);
    },
    SMSW: (cpu, instruction) => {
        checkUmip(cpu);
        writeOperand(cpu, instruction, instruction.operands[0], cpu.cr0, 0);
        advance(cpu, instruction);
    },
    LMSW: (cpu, instruction) => {
        requireCpl0(cpu);
        const source = readOperand32(cpu, instruction, instruction.operands[0]);
        // PE can be set this way but not cleared.
        const affected = Cr0.MP | Cr0.EM | Cr0.TS;
        changeCr0(cpu, (cpu.cr0 & ~affected) | (source & (affected | Cr0.PE)));
        advance(cpu, instruction);
    },
    CLTS: (cpu, instruction) => {
        requireCpl0(cpu);
        changeCr0(cpu, cpu.cr0 & ~Cr0.TS);
        advance(cpu, instruction);
    },
};
