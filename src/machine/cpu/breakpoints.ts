/**
 * Matching of the guest's own breakpoints, DR0–DR3 as DR7 enables them (SDM Vol. 3, 18.2). All functions return bits
 * B0–B3 of DR6, 0 when nothing matches.
 */

import { Segment } from '../../isa/x86/instruction';
import { Flag, StateOffset } from '../state';
import { Cr4, type CpuState } from './cpu-state';

/** DR6 (SDM Vol. 3, 18.2.3). */
export const enum DebugStatus {
    /** B0–B3. */
    Breakpoints = 0xf,
    /** A MOV to or from a debug register while DR7.GD was set. */
    GeneralDetect = 1 << 13,
    /** RFLAGS.TF. */
    SingleStep = 1 << 14,
    /** The T flag of the TSS that a task switch loaded. */
    TaskSwitch = 1 << 15,
    /** Bits that read 1: 31–16 and 11–4. */
    Fixed = 0xffff0ff0,
}

/** DR7 (SDM Vol. 3, 18.2.4). */
export const enum DebugControl {
    GeneralDetect = 1 << 13,
    /** Bit 10 reads 1. */
    Fixed = 1 << 10,
    /** Any of L0–G3. */
    AnyEnabled = 0xff,
}

const enum Kind {
    Execute,
    Write,
    Io,
    ReadWrite,
}

const DR0 = StateOffset.dr;
const DR7 = StateOffset.dr + 7 * 8;
/** LEN field to bytes; 10b is 8 bytes. */
const LENGTHS = [1, 2, 8, 4] as const;

/** Kinds that DR7 enables, as a bit set of 1 << R/W field. */
export function enabledKinds(dr7: number): number {
    let kinds = 0;
    for (let index = 0; index < 4; index++) {
        if ((dr7 >> (index * 2)) & 3) kinds |= 1 << ((dr7 >> (16 + index * 4)) & 3);
    }
    return kinds;
}

/** Whether DR7 enables a breakpoint on data. */
export function watchesData(dr7: number): boolean {
    return (enabledKinds(dr7) & ((1 << Kind.Write) | (1 << Kind.ReadWrite))) !== 0;
}

/** Whether DR7 enables a breakpoint on instructions: the run loop then asks before each one. */
export function watchesCode(dr7: number): boolean {
    return (enabledKinds(dr7) & (1 << Kind.Execute)) !== 0;
}

/** Data breakpoints that `size` bytes at a linear address touch. */
export function matchDataBreakpoints(state: CpuState, lo: number, hi: number, size: number, write: boolean): number {
    const dr7 = state.lo(DR7);
    let status = 0;
    for (let index = 0; index < 4; index++) {
        if (((dr7 >> (index * 2)) & 3) === 0) continue;
        const kind = (dr7 >> (16 + index * 4)) & 3;
        if (kind !== Kind.ReadWrite && !(kind === Kind.Write && write)) continue;
        const length = LENGTHS[(dr7 >> (18 + index * 4)) & 3];
        const address = (state.lo(DR0 + index * 8) & -length) >>> 0;
        const distance = (hi - state.hi(DR0 + index * 8)) * 0x100000000 + (lo - address);
        if (distance < length && distance + size > 0) status |= 1 << index;
    }
    return status;
}

/** Sets bits, 32 to an element, for the pages of enabled data breakpoints, by their numbers modulo 64. */
export function dataBreakpointPages(state: CpuState, bits: number[]): void {
    const dr7 = state.lo(DR7);
    for (let index = 0; index < 4; index++) {
        if (((dr7 >> (index * 2)) & 3) !== 0) {
            const page = (state.lo(DR0 + index * 8) >>> 12) & 63;
            bits[page >> 5] |= 1 << (page & 31);
        }
    }
}

/**
 * Breakpoints on the instruction at RIP. They are faults that come before the instruction; RFLAGS.RF suppresses them
 * (SDM Vol. 3, 18.3.1.1).
 */
export function matchCodeBreakpoints(state: CpuState): number {
    const dr7 = state.lo(DR7);
    if ((dr7 & DebugControl.AnyEnabled) === 0 || state.systemFlags & Flag.RF) return 0;
    // CS.base is 0 in 64-bit code and 32 bits wide elsewhere, so only the low halves have to be added.
    const lo = state.code64 ? state.ripLo : (state.segmentBase(Segment.Cs) + state.ripLo) >>> 0;
    const hi = state.code64 ? state.ripHi : 0;
    let status = 0;
    for (let index = 0; index < 4; index++) {
        if (((dr7 >> (index * 2)) & 3) === 0 || ((dr7 >> (16 + index * 4)) & 3) !== Kind.Execute) continue;
        if (state.lo(DR0 + index * 8) === lo && state.hi(DR0 + index * 8) === hi) status |= 1 << index;
    }
    return status;
}

/** Breakpoints on I/O ports, which CR4.DE turns on. They are traps. */
export function matchIoBreakpoints(state: CpuState, port: number, size: number): number {
    const dr7 = state.lo(DR7);
    if ((dr7 & DebugControl.AnyEnabled) === 0 || (state.cr4 & Cr4.DE) === 0) return 0;
    let status = 0;
    for (let index = 0; index < 4; index++) {
        if (((dr7 >> (index * 2)) & 3) === 0 || ((dr7 >> (16 + index * 4)) & 3) !== Kind.Io) continue;
        const length = LENGTHS[(dr7 >> (18 + index * 4)) & 3];
        const first = (state.lo(DR0 + index * 8) & -length) >>> 0;
        if (port < first + length && port + size > first) status |= 1 << index;
    }
    return status;
}
