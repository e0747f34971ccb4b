/** FXSAVE and XSAVE families, XCR0, MXCSR (SDM Vol. 1, 10.5, chapter 13). */

import { Gpr, type Instruction } from '../../isa/x86/instruction';
import { StateOffset } from '../state';
import type { Cpu } from './cpu';
import { Cr0, Cr4 } from './cpu-state';
import { raise, Vector } from './fault';
import {
    composeMxcsr,
    composeSse,
    composeX87,
    image,
    initializeSse,
    initializeX87,
    isMxcsrValid,
    isSseInUse,
    isX87InUse,
    loadMxcsr,
    loadSse,
    loadX87,
    MXCSR_INITIAL,
    MXCSR_MASK,
    MXCSR_RANGE,
    sseRange,
    X87_HEAD,
    X87_REGISTERS,
} from './fpu-image';
import { advance, linear, memoryOperand, readOperand32, requireCpl0, writeOperand } from './operands';
import type { OperationTable, SystemOperation } from './operation';
import {
    LEGACY_AREA_SIZE,
    XSAVE_HEADER_SIZE,
    XSAVE_SSE,
    XSAVE_SUPPORTED,
    XSAVE_X87,
    xsaveAreaSize,
} from './xsave-layout';

/** The area of the instruction in progress. */
const area = { lo: 0, hi: 0, mode: 0 };
/** XSTATE_BV, XCOMP_BV and the reserved rest of the header. */
const header = new Uint32Array(XSAVE_HEADER_SIZE / 4);
/** XCOMP_BV bit 63: compacted format. */
const COMPACTED_HI = 0x80000000;

function findArea(cpu: Cpu, instruction: Instruction, size: number, write: boolean, alignment: number): void {
    memoryOperand(cpu, instruction, size, write);
    if (linear.lo & (alignment - 1)) raise(Vector.GP);
    area.lo = linear.lo;
    area.hi = linear.hi;
    area.mode = cpu.mmuModeOf(cpu.cpl);
    if (write) cpu.memory.probeWrite(area.lo, area.hi, size, area.mode);
    else cpu.memory.probeRead(area.lo, area.hi, size, area.mode);
}

/** Linear address at a byte offset within the area: low half; the high half comes from {@link areaHi}. */
function areaLo(offset: number): number {
    return (area.lo + offset) >>> 0;
}

function areaHi(cpu: Cpu, offset: number): number {
    return area.lo + offset > 0xffffffff && cpu.longMode ? (area.hi + 1) >>> 0 : area.hi;
}

function store(cpu: Cpu, words: Uint32Array, from: number, to: number, at = 0): void {
    for (let index = from; index < to; index++) {
        const offset = at + index * 4;
        cpu.memory.write32(areaLo(offset), areaHi(cpu, offset), words[index], area.mode);
    }
}

function load(cpu: Cpu, words: Uint32Array, from: number, to: number, at = 0): void {
    for (let index = from; index < to; index++) {
        const offset = at + index * 4;
        words[index] = cpu.memory.read32(areaLo(offset), areaHi(cpu, offset), area.mode);
    }
}

/** Instructions with REX.W have 64 as operand size and a mnemonic that ends in 64. */
function isWide(instruction: Instruction): boolean {
    return instruction.operandSize === 64;
}

function storeX87(cpu: Cpu, wide: boolean): void {
    composeX87(cpu, wide);
    store(cpu, image, 0, X87_HEAD);
    store(cpu, image, ...X87_REGISTERS);
}

function storeSse(cpu: Cpu): void {
    composeSse(cpu);
    store(cpu, image, ...sseRange(cpu));
}

function storeMxcsr(cpu: Cpu): void {
    composeMxcsr(cpu);
    store(cpu, image, ...MXCSR_RANGE);
}

function fxsave(cpu: Cpu, instruction: Instruction): void {
    if (cpu.cr0 & (Cr0.EM | Cr0.TS)) raise(Vector.NM);
    findArea(cpu, instruction, LEGACY_AREA_SIZE, true, 16);
    storeX87(cpu, isWide(instruction));
    storeMxcsr(cpu);
    storeSse(cpu);
    advance(cpu, instruction);
}

function fxrstor(cpu: Cpu, instruction: Instruction): void {
    if (cpu.cr0 & (Cr0.EM | Cr0.TS)) raise(Vector.NM);
    findArea(cpu, instruction, LEGACY_AREA_SIZE, false, 16);
    load(cpu, image, 0, image.length);
    if (!isMxcsrValid()) raise(Vector.GP);
    loadX87(cpu, isWide(instruction));
    loadMxcsr(cpu);
    loadSse(cpu);
    advance(cpu, instruction);
}

/** The state components that the instruction asks for: RFBM. */
function requested(cpu: Cpu): number {
    if ((cpu.cr4 & Cr4.OSXSAVE) === 0) raise(Vector.UD);
    if (cpu.cr0 & Cr0.TS) raise(Vector.NM);
    return cpu.gpr(Gpr.Rax) & cpu.lo(StateOffset.xcr0);
}

function inUse(cpu: Cpu): number {
    return (isX87InUse(cpu) ? XSAVE_X87 : 0) | (isSseInUse(cpu) ? XSAVE_SSE : 0);
}

/** XSAVE writes what is requested; XSAVEOPT only what is not in its initial configuration (13.7, 13.9). */
function xsave(cpu: Cpu, instruction: Instruction, optimize: boolean): void {
    const components = requested(cpu);
    findArea(cpu, instruction, xsaveAreaSize(cpu.lo(StateOffset.xcr0)), true, 64);
    load(cpu, header, 0, 2, LEGACY_AREA_SIZE);
    const used = inUse(cpu);
    const written = optimize ? components & used : components;
    if (written & XSAVE_X87) storeX87(cpu, isWide(instruction));
    if (components & XSAVE_SSE) storeMxcsr(cpu);
    if (written & XSAVE_SSE) storeSse(cpu);
    header[0] = (header[0] & ~components) | (components & used);
    store(cpu, header, 0, 2, LEGACY_AREA_SIZE);
    advance(cpu, instruction);
}

/** XSAVEC: compacted format, initial components left out (13.10). */
function xsavec(cpu: Cpu, instruction: Instruction): void {
    const components = requested(cpu);
    findArea(cpu, instruction, xsaveAreaSize(components), true, 64);
    let used = components & inUse(cpu);
    // MXCSR travels with the SSE component here.
    if (components & XSAVE_SSE && cpu.lo(StateOffset.mxcsr) !== MXCSR_INITIAL) used |= XSAVE_SSE;
    if (used & XSAVE_X87) storeX87(cpu, isWide(instruction));
    if (used & XSAVE_SSE) {
        storeMxcsr(cpu);
        storeSse(cpu);
    }
    header[0] = used;
    header[1] = 0;
    header[2] = components;
    header[3] = COMPACTED_HI;
    store(cpu, header, 0, 4, LEGACY_AREA_SIZE);
    advance(cpu, instruction);
}

/** XRSTOR from either format (13.8). Everything is checked before anything is loaded. */
function xrstor(cpu: Cpu, instruction: Instruction): void {
    const components = requested(cpu);
    findArea(cpu, instruction, xsaveAreaSize(cpu.lo(StateOffset.xcr0)), false, 64);
    load(cpu, header, 0, header.length, LEGACY_AREA_SIZE);
    const xcr0 = cpu.lo(StateOffset.xcr0);
    const compacted = (header[3] & COMPACTED_HI) !== 0;
    const saved = header[0];
    const valid = compacted
        ? (header[2] & ~xcr0) === 0 && (header[3] & ~COMPACTED_HI) === 0 && (saved & ~header[2]) === 0
        : (saved & ~xcr0) === 0 && (header[2] | header[3] | header[4] | header[5]) === 0;
    if (!valid || header[1] !== 0) raise(Vector.GP);
    if (compacted && header.subarray(4).some(word => word !== 0)) raise(Vector.GP);
    load(cpu, image, 0, image.length);
    const restoresMxcsr = (components & XSAVE_SSE) !== 0 && (!compacted || (saved & XSAVE_SSE) !== 0);
    if (restoresMxcsr && !isMxcsrValid()) raise(Vector.GP);
    if (restoresMxcsr) loadMxcsr(cpu);
    else if (components & XSAVE_SSE) cpu.setLo(StateOffset.mxcsr, MXCSR_INITIAL);
    if (components & XSAVE_SSE) {
        if (saved & XSAVE_SSE) loadSse(cpu);
        else initializeSse(cpu);
    }
    if (components & XSAVE_X87) {
        if (saved & XSAVE_X87) loadX87(cpu, isWide(instruction));
        else initializeX87(cpu);
    }
    advance(cpu, instruction);
}

function requireXsave(cpu: Cpu): void {
    if ((cpu.cr4 & Cr4.OSXSAVE) === 0) raise(Vector.UD);
}

/** XGETBV: XCR0, or with ECX = 1 the part of it that is in use. */
function xgetbv(cpu: Cpu, instruction: Instruction): void {
    requireXsave(cpu);
    const index = cpu.gpr(Gpr.Rcx);
    if (index > 1) raise(Vector.GP);
    const xcr0 = cpu.lo(StateOffset.xcr0);
    cpu.setGpr32(Gpr.Rax, index === 0 ? xcr0 : xcr0 & inUse(cpu));
    cpu.setGpr32(Gpr.Rdx, 0);
    advance(cpu, instruction);
}

function xsetbv(cpu: Cpu, instruction: Instruction): void {
    requireXsave(cpu);
    requireCpl0(cpu);
    const lo = cpu.gpr(Gpr.Rax);
    const valid = (lo & XSAVE_X87) !== 0 && (lo & ~XSAVE_SUPPORTED) === 0 && cpu.gpr(Gpr.Rdx) === 0;
    if (cpu.gpr(Gpr.Rcx) !== 0 || !valid) raise(Vector.GP);
    cpu.setLo(StateOffset.xcr0, lo);
    advance(cpu, instruction);
}

function requireSse(cpu: Cpu): void {
    if (cpu.cr0 & Cr0.EM || (cpu.cr4 & Cr4.OSFXSR) === 0) raise(Vector.UD);
    if (cpu.cr0 & Cr0.TS) raise(Vector.NM);
}

const undefinedInstruction: SystemOperation = () => raise(Vector.UD);
const plainXsave: SystemOperation = (cpu, instruction) => xsave(cpu, instruction, false);
const optimizedXsave: SystemOperation = (cpu, instruction) => xsave(cpu, instruction, true);

export const EXTENDED_STATE_INSTRUCTIONS: OperationTable = {
    FXSAVE: fxsave,
    FXSAVE64: fxsave,
    FXRSTOR: fxrstor,
    FXRSTOR64: fxrstor,
    XSAVE: plainXsave,
    XSAVE64: plainXsave,
    XSAVEOPT: optimizedXsave,
    XSAVEOPT64: optimizedXsave,
    XSAVEC: xsavec,
    XSAVEC64: xsavec,
    XRSTOR: xrstor,
    XRSTOR64: xrstor,
    // CPUID does not enumerate XSAVES and IA32_XSS.
    XSAVES: undefinedInstruction,
    XSAVES64: undefinedInstruction,
    XRSTORS: undefinedInstruction,
    XRSTORS64: undefinedInstruction,
    XGETBV: xgetbv,
    XSETBV: xsetbv,
    LDMXCSR: (cpu, instruction) => {
        requireSse(cpu);
        const value = readOperand32(cpu, instruction, instruction.operands[0]);
        if (value & ~MXCSR_MASK) raise(Vector.GP);
        cpu.setLo(StateOffset.mxcsr, value);
        advance(cpu, instruction);
    },
    STMXCSR: (cpu, instruction) => {
        requireSse(cpu);
        writeOperand(cpu, instruction, instruction.operands[0], cpu.lo(StateOffset.mxcsr), 0);
        advance(cpu, instruction);
    },
};
