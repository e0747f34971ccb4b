/**
 * KVM steps a guest by setting RFLAGS.TF behind its back. Where the instruction faults, the processor pushes RFLAGS with
 * that TF, and the guest would trace itself after its handler returns. This finds the frame and clears the flag.
 */
import type { Cpu } from '../machine/cpu/cpu';
import { readRflags } from '../machine/cpu/flags';
import { mappingAt } from '../machine/cpu/page-walk';
import type { GuestMemory } from '../machine/memory';
import { Flag, ModeKey } from '../machine/state';

const RSP = 4;
const CS = 1;
const SS = 2;
/** How far above the stack pointer the frame may be: the handler's first instruction has been executed. */
const SLOTS = 12;
/** Longest instruction: RIP beyond that has not got there by falling through. */
const MOST_BYTES = 15;

/** A vCPU before a step. */
export interface BeforeStep {
    readonly rip: number;
    readonly ripHi: number;
    readonly selector: number;
    readonly flags: number;
}

export function beforeStep(cpu: Cpu): BeforeStep {
    return { rip: cpu.ripLo, ripHi: cpu.ripHi, selector: cpu.selector(CS), flags: readRflags(cpu) };
}

/** To be called when the state after the step has been taken over. */
export function clearPushedTrapFlag(cpu: Cpu, memory: GuestMemory, before: BeforeStep): void {
    const distance = cpu.ripLo - before.rip;
    const fellThrough = cpu.selector(CS) === before.selector && distance >= 0 && distance <= MOST_BYTES;
    if (before.flags & Flag.TF || fellThrough) {
        return;
    }
    const width = cpu.longMode ? 8 : cpu.mode & ModeKey.Protected ? 4 : 2;
    const base = cpu.code64 ? 0n : BigInt(cpu.segmentBase(SS));
    const sp = cpu.code64 ? cpu.gpr64(RSP) : BigInt(cpu.gpr(RSP));
    const slot = (index: number): number => slotAddress(cpu, memory, base + sp + BigInt(index * width), width);
    const read = (at: number): number =>
        width === 2 ? memory.view.getUint16(at, true) : memory.view.getUint32(at, true);
    for (let index = 0; index < SLOTS; index++) {
        const [rip, cs, flags] = [slot(index), slot(index + 1), slot(index + 2)];
        if (rip < 0 || cs < 0 || flags < 0) {
            return;
        }
        const mask = width === 2 ? 0xffff : 0xffffffff;
        const sameRip = read(rip) === (before.rip & mask) >>> 0 && (width < 8 || read(rip + 4) === before.ripHi);
        const expected = (before.flags | Flag.TF) & ~Flag.RF & mask;
        if (sameRip && (read(cs) & 0xffff) === before.selector && (read(flags) & ~Flag.RF & mask) === expected) {
            memory.bytes[flags + 1] &= ~(Flag.TF >> 8);
            return;
        }
    }
}

/** Address in the shared memory of a stack slot, or -1: also if it lies in two pages. */
function slotAddress(cpu: Cpu, memory: GuestMemory, linear: bigint, width: number): number {
    const mapping = mappingAt(cpu, BigInt.asUintN(cpu.code64 ? 64 : 32, linear));
    if (mapping === undefined) {
        return -1;
    }
    const offset = mapping.physical % 0x1000;
    const page = memory.writableAddress(mapping.physical - offset);
    return page < 0 || offset + width > 0x1000 ? -1 : page + offset;
}
