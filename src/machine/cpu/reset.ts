/** Processor state after power-on, INIT and start-up IPI (SDM Vol. 3, 9.1.1, table 9-1; 8.4). */

import { Gpr, Segment } from '../../isa/x86/instruction';
import { ActivityState, SegmentAttribute, StateOffset, SystemSegment } from '../state';
import { DebugControl, DebugStatus } from './breakpoints';
import type { Cpu } from './cpu';
import { Cr0, REAL_MODE_CODE, REAL_MODE_DATA } from './cpu-state';
import { PROCESSOR_SIGNATURE } from './cpuid';
import { storeRflags } from './flags';

/** Type field of an LDT descriptor and of a busy 16-bit TSS: what the hidden parts hold after power-on. */
const LDT_TYPE = 2;
const TSS16_BUSY_TYPE = 3;

/** IA32_APIC_BASE after power-on: enabled, at its usual address (SDM Vol. 3, 10.4.4). */
const APIC_BASE = 0xfee00800;
const APIC_BOOTSTRAP = 0x100;

export function powerOn(cpu: Cpu): void {
    clear(cpu, StateOffset.segments, StateOffset.size);
    cpu.setLo(StateOffset.apicId, cpu.options.apicId);
    // The x87 tags read "zero", not "empty", until FNINIT.
    cpu.setLo(StateOffset.fcw, 0x40);
    cpu.setLo(StateOffset.mxcsr, 0x1f80);
    cpu.setLo(StateOffset.xcr0, 1);
    cpu.set(StateOffset.pat, 0x00070406, 0x00070406);
    // Fast strings and MONITOR are on.
    cpu.setLo(StateOffset.miscEnable, 0x40001);
    cpu.setLo(StateOffset.apicBase, APIC_BASE | (cpu.options.apicId === 0 ? APIC_BOOTSTRAP : 0));
    commonReset(cpu, Cr0.CD | Cr0.NW);
}

/** INIT keeps the caches' bits of CR0, the x87 and SSE state, and the MSRs except EFER and the debug ones. */
export function initialize(cpu: Cpu): void {
    const cache = cpu.cr0 & (Cr0.CD | Cr0.NW);
    const xcr0 = cpu.lo(StateOffset.xcr0);
    clear(cpu, StateOffset.segments, StateOffset.star);
    clear(cpu, StateOffset.debugControl, StateOffset.debugControl + 8);
    clear(cpu, StateOffset.pdpte, StateOffset.pdpte + 4 * 8);
    cpu.setLo(StateOffset.xcr0, xcr0);
    commonReset(cpu, cache);
}

export function startUp(cpu: Cpu, vector: number): void {
    cpu.setSegment(Segment.Cs, vector << 8, vector << 12, 0, 0xffff, REAL_MODE_CODE);
    cpu.setRip(0, 0);
    cpu.activity = ActivityState.Active;
}

function commonReset(cpu: Cpu, cache: number): void {
    clear(cpu, StateOffset.gpr, StateOffset.zero);
    clear(cpu, StateOffset.interruptShadow, StateOffset.apicId);
    clear(cpu, StateOffset.pendingDebug, StateOffset.mcgStatus);
    storeRflags(cpu, 2);
    cpu.setRip(0xfff0, 0);
    cpu.setGpr32(Gpr.Rdx, PROCESSOR_SIGNATURE);
    cpu.setLo(StateOffset.cr0, Cr0.ET | cache);
    cpu.setSegment(Segment.Cs, 0xf000, 0xffff0000, 0, 0xffff, REAL_MODE_CODE);
    for (const segment of [Segment.Es, Segment.Ss, Segment.Ds, Segment.Fs, Segment.Gs]) {
        cpu.setSegment(segment, 0, 0, 0, 0xffff, REAL_MODE_DATA);
    }
    cpu.setSegment(SystemSegment.Ldtr, 0, 0, 0, 0xffff, SegmentAttribute.Present | LDT_TYPE);
    cpu.setSegment(SystemSegment.Tr, 0, 0, 0, 0xffff, SegmentAttribute.Present | TSS16_BUSY_TYPE);
    cpu.setLo(StateOffset.gdtrLimit, 0xffff);
    cpu.setLo(StateOffset.idtrLimit, 0xffff);
    cpu.setLo(StateOffset.dr + 6 * 8, DebugStatus.Fixed);
    cpu.setLo(StateOffset.dr + 7 * 8, DebugControl.Fixed);
    const bootstrap = (cpu.lo(StateOffset.apicBase) & APIC_BOOTSTRAP) !== 0;
    cpu.activity = bootstrap ? ActivityState.Active : ActivityState.WaitForSipi;
}

/** Zeroes a range of the state; the fields that belong to the engine lie between the ranges that reset clears. */
function clear(cpu: Cpu, from: number, to: number): void {
    cpu.u32.fill(0, from >> 2, to >> 2);
}
