/** The x87 and SSE state as FXSAVE and XSAVE lay it out in memory (SDM Vol. 1, 10.5.1, 13.4.1, table 13-1). */

import { StateOffset } from '../state';
import type { Cpu } from './cpu';

/** Writable bits of MXCSR, as the image's MXCSR_MASK says. */
export const MXCSR_MASK = 0xffff;
export const MXCSR_INITIAL = 0x1f80;

const FCW_INITIAL = 0x37f;
/** Exception flags, and the summary bits that follow from them: ES (7) and B (15). */
const FSW_EXCEPTIONS = 0x3f;
const FSW_SUMMARY = 0x8080;
const FSW_TOP = 0x3800;

/** Doubleword indices within the 512-byte area. */
const MXCSR_AT = 6;
const MXCSR_MASK_AT = 7;
const ST0_AT = 8;
const XMM0_AT = 40;

/** The 512-byte area; what an instruction does not cover stays as it was read. */
export const image = new Uint32Array(128);

/** Doublewords of the x87 part: control words and pointers, then the registers (MXCSR lies between them). */
export const X87_HEAD = 6;
export const X87_REGISTERS: readonly [from: number, to: number] = [ST0_AT, XMM0_AT];

/** Doublewords of the XMM registers that the mode shows: 16 of them in 64-bit mode, else 8. */
export function sseRange(cpu: Cpu): readonly [from: number, to: number] {
    return [XMM0_AT, XMM0_AT + (cpu.code64 ? 64 : 32)];
}

export const MXCSR_RANGE: readonly [from: number, to: number] = [MXCSR_AT, MXCSR_MASK_AT + 1];

/** @param wide the instruction has REX.W: 64-bit pointers without selectors */
export function composeX87(cpu: Cpu, wide: boolean): void {
    const top = cpu.lo(StateOffset.ftop) & 7;
    const fsw = (cpu.lo(StateOffset.fsw) & ~FSW_TOP) | (top << 11);
    let tags = 0;
    for (let register = 0; register < 8; register++) {
        if (cpu.bytes[StateOffset.fempty + register] === 0) tags |= 1 << register;
        const source = (StateOffset.x87 + ((top + register) & 7) * 16) >> 2;
        const target = ST0_AT + register * 4;
        image[target] = cpu.u32[source];
        image[target + 1] = cpu.u32[source + 1];
        image[target + 2] = cpu.u32[source + 2] & 0xffff;
        image[target + 3] = 0;
    }
    image[0] = (cpu.lo(StateOffset.fcw) & 0xffff) | (fsw << 16);
    image[1] = tags | ((cpu.lo(StateOffset.fop) & 0x7ff) << 16);
    image[2] = cpu.lo(StateOffset.fip);
    image[3] = wide ? cpu.hi(StateOffset.fip) : cpu.lo(StateOffset.fcs) & 0xffff;
    image[4] = cpu.lo(StateOffset.fdp);
    image[5] = wide ? cpu.hi(StateOffset.fdp) : cpu.lo(StateOffset.fds) & 0xffff;
}

export function composeMxcsr(cpu: Cpu): void {
    image[MXCSR_AT] = cpu.lo(StateOffset.mxcsr);
    image[MXCSR_MASK_AT] = MXCSR_MASK;
}

export function composeSse(cpu: Cpu): void {
    const count = cpu.code64 ? 16 : 8;
    for (let register = 0; register < count; register++) {
        const source = (StateOffset.vector + register * 64) >> 2;
        for (let index = 0; index < 4; index++) image[XMM0_AT + register * 4 + index] = cpu.u32[source + index];
    }
}

export function loadX87(cpu: Cpu, wide: boolean): void {
    const fcw = (image[0] & 0xffff & ~0xe080) | 0x40;
    let fsw = image[0] >>> 16;
    const top = (fsw >> 11) & 7;
    fsw &= ~(FSW_TOP | FSW_SUMMARY);
    if (fsw & ~fcw & FSW_EXCEPTIONS) fsw |= FSW_SUMMARY;
    cpu.setLo(StateOffset.fcw, fcw);
    cpu.setLo(StateOffset.fsw, fsw);
    cpu.setLo(StateOffset.ftop, top);
    for (let register = 0; register < 8; register++) {
        cpu.bytes[StateOffset.fempty + register] = (image[1] >> register) & 1 ? 0 : 1;
        const target = (StateOffset.x87 + ((top + register) & 7) * 16) >> 2;
        const source = ST0_AT + register * 4;
        cpu.u32[target] = image[source];
        cpu.u32[target + 1] = image[source + 1];
        cpu.u32[target + 2] = image[source + 2] & 0xffff;
    }
    cpu.setLo(StateOffset.fop, (image[1] >>> 16) & 0x7ff);
    cpu.set(StateOffset.fip, image[2], wide ? image[3] : 0);
    cpu.setLo(StateOffset.fcs, wide ? 0 : image[3] & 0xffff);
    cpu.set(StateOffset.fdp, image[4], wide ? image[5] : 0);
    cpu.setLo(StateOffset.fds, wide ? 0 : image[5] & 0xffff);
}

/** Whether the MXCSR in the image can be loaded; #GP(0) if not. */
export function isMxcsrValid(): boolean {
    return (image[MXCSR_AT] & ~MXCSR_MASK) === 0;
}

export function loadMxcsr(cpu: Cpu): void {
    cpu.setLo(StateOffset.mxcsr, image[MXCSR_AT]);
}

export function loadSse(cpu: Cpu): void {
    const count = cpu.code64 ? 16 : 8;
    for (let register = 0; register < count; register++) {
        const target = (StateOffset.vector + register * 64) >> 2;
        for (let index = 0; index < 4; index++) cpu.u32[target + index] = image[XMM0_AT + register * 4 + index];
    }
}

/** As FNINIT, with the registers cleared (SDM Vol. 1, 13.6). */
export function initializeX87(cpu: Cpu): void {
    image.fill(0, 0, X87_HEAD);
    image.fill(0, ST0_AT, XMM0_AT);
    image[0] = FCW_INITIAL;
    loadX87(cpu, true);
}

export function initializeSse(cpu: Cpu): void {
    image.fill(0, XMM0_AT);
    loadSse(cpu);
}

/** Whether the x87 state differs from its initial configuration (XINUSE[0]). */
export function isX87InUse(cpu: Cpu): boolean {
    composeX87(cpu, true);
    if (image[0] !== FCW_INITIAL) return true;
    for (let index = 1; index < X87_HEAD; index++) if (image[index] !== 0) return true;
    for (let index = ST0_AT; index < XMM0_AT; index++) if (image[index] !== 0) return true;
    return false;
}

/** Whether any XMM register that the mode shows is not zero (XINUSE[1]; MXCSR does not count). */
export function isSseInUse(cpu: Cpu): boolean {
    composeSse(cpu);
    const [from, to] = sseRange(cpu);
    for (let index = from; index < to; index++) if (image[index] !== 0) return true;
    return false;
}
