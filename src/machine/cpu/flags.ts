/**
 * RFLAGS as one register, from and to the parts it is kept in: `StateOffset.rflags` holds the system flags,
 * `flagResult` and `flagAux` the arithmetic ones (see state.ts for the equations).
 */

import { Flag, FlagAux, StateOffset } from '../state';
import type { CpuState } from './cpu-state';

const RESULT = StateOffset.flagResult >> 2;
const AUX = StateOffset.flagAux >> 2;

/** RFLAGS bit 1 always reads 1; 3, 5, 15 and those from 22 up read 0 (SDM Vol. 1, 3.4.3). */
const FIXED_ONE = 2;
const DEFINED =
    Flag.Arithmetic |
    Flag.TF |
    Flag.IF |
    Flag.DF |
    Flag.IOPL |
    Flag.NT |
    Flag.RF |
    Flag.VM |
    Flag.AC |
    Flag.VIF |
    Flag.VIP |
    Flag.ID;
const SYSTEM = DEFINED & ~Flag.Arithmetic;

/** PF of a byte: set when the number of ones is even. */
function evenParity(byte: number): boolean {
    const folded = byte ^ (byte >> 4);
    return ((0x9669 >> (folded & 15)) & 1) !== 0;
}

/** CF, PF, AF, ZF, SF and OF in their RFLAGS positions. */
export function arithmeticFlags(state: CpuState): number {
    const lo = state.u32[RESULT] | 0;
    const hi = state.u32[RESULT + 1] | 0;
    const aux = state.u32[AUX] | 0;
    let flags = 0;
    if (aux < 0) flags |= Flag.CF;
    if (((aux >>> 31) ^ (aux >>> 30)) & 1) flags |= Flag.OF;
    if (aux & FlagAux.AF) flags |= Flag.AF;
    if ((lo | hi) === 0) flags |= Flag.ZF;
    if (((hi >>> 31) ^ aux) & FlagAux.SignCorrection) flags |= Flag.SF;
    if (evenParity((lo ^ (aux >> FlagAux.ParityShift)) & 0xff)) flags |= Flag.PF;
    return flags;
}

/** Takes over the arithmetic flags of `flags`; every combination can be represented. */
export function setArithmeticFlags(state: CpuState, flags: number): void {
    const sign = (flags & Flag.SF) !== 0;
    const parity = (flags & Flag.PF) !== 0;
    let lo = 0;
    let hi = 0;
    let aux = 0;
    if (flags & Flag.ZF) {
        // A zero result is positive and of even parity: what deviates goes into the corrections.
        if (sign) aux |= FlagAux.SignCorrection;
        if (!parity) aux |= 1 << FlagAux.ParityShift;
    } else {
        lo = parity ? 3 : 1;
        hi = sign ? 0x80000000 : 0;
    }
    if (flags & Flag.CF) aux |= FlagAux.CF;
    if (((flags & Flag.CF) !== 0) !== ((flags & Flag.OF) !== 0)) aux |= FlagAux.CarryIn;
    if (flags & Flag.AF) aux |= FlagAux.AF;
    state.u32[RESULT] = lo;
    state.u32[RESULT + 1] = hi;
    state.u32[AUX] = aux;
}

/** RFLAGS, low 32 bits (the upper half is always 0). */
export function readRflags(state: CpuState): number {
    return (state.systemFlags & SYSTEM) | arithmeticFlags(state) | FIXED_ONE;
}

/**
 * Replaces RFLAGS; bits that do not exist are ignored. `Cpu.writeFlags` is what instructions use: it also recomputes
 * what depends on the flags.
 */
export function storeRflags(state: CpuState, value: number): void {
    setArithmeticFlags(state, value);
    state.systemFlags = (value & SYSTEM) | FIXED_ONE;
}

/** Sets or clears ZF and leaves the other arithmetic flags (LAR, LSL, VERR, VERW, ARPL). */
export function setZeroFlag(state: CpuState, zero: boolean): void {
    setArithmeticFlags(state, (arithmeticFlags(state) & ~Flag.ZF) | (zero ? Flag.ZF : 0));
}
