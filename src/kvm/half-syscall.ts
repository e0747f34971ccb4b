/**
 * KVM without hardware beneath it may do SYSCALL by halves: RIP, RCX, R11 and RFLAGS are as they should be, but the vCPU
 * stays in the program's CS and SS, at CPL 3. The kernel's entry is not the user's to execute, so that a page fault
 * follows. `ExceptionTraps` stops at its handler, and what is here puts the vCPU back to before its SYSCALL, for somebody
 * else to execute it. Nothing is lost: of what SYSCALL overwrites, it keeps RIP in RCX and RFLAGS in R11.
 */
import type { Cpu } from '../machine/cpu/cpu';
import { Efer } from '../machine/cpu/cpu-state';
import type { GuestMemory } from '../machine/memory';
import { StateOffset } from '../machine/state';
import { locate } from './linear-memory';

const SYSCALL = [0x0f, 0x05];
const RCX = 1;
const RSP = 4;
const R11 = 11;
const USER = 3;
/** Bits of a page fault's error code: user mode, and a fetch. */
const FETCH_BY_USER = 0x14;
/** A handler's frame in 64-bit mode. */
const enum Frame {
    errorCode = 0,
    cs = 16,
}

/** Whether the instruction before the address in RCX is SYSCALL, as after a SYSCALL. */
function followsSyscall(cpu: Cpu, memory: GuestMemory): boolean {
    const start = cpu.gpr64(RCX) - BigInt(SYSCALL.length);
    return SYSCALL.every((byte, offset) => {
        const place = locate(cpu, memory, BigInt.asUintN(64, start + BigInt(offset)));
        return place !== undefined && memory.bytes[place.at] === byte;
    });
}

/** Whether half a SYSCALL may have led a vCPU to its handler of page faults. It says no for nearly all others. */
export function maybeFromHalfSyscall(cpu: Cpu, memory: GuestMemory): boolean {
    const byte = (offset: number): number => {
        const place = locate(cpu, memory, BigInt.asUintN(64, cpu.gpr64(RSP) + BigInt(offset)));
        return place === undefined ? 0 : memory.bytes[place.at];
    };
    return (
        cpu.code64 &&
        (byte(Frame.errorCode) & FETCH_BY_USER) === FETCH_BY_USER &&
        (byte(Frame.cs) & 3) === USER &&
        followsSyscall(cpu, memory)
    );
}

/**
 * Puts a vCPU that is at the kernel's entry, with all of its state at hand, back to before its SYSCALL.
 * @returns false if it is somewhere else
 */
export function undoHalfSyscall(cpu: Cpu, memory: GuestMemory): boolean {
    const isAtEntry =
        cpu.cpl === USER &&
        cpu.code64 &&
        (cpu.efer & Efer.SCE) !== 0 &&
        cpu.ripLo === cpu.lo(StateOffset.lstar) &&
        cpu.ripHi === cpu.hi(StateOffset.lstar);
    if (!isAtEntry || !followsSyscall(cpu, memory)) return false;
    const rip = cpu.gpr64(RCX) - BigInt(SYSCALL.length);
    cpu.setRip(Number(rip & 0xffffffffn), Number((rip >> 32n) & 0xffffffffn));
    cpu.writeFlags(cpu.gpr(R11));
    return true;
}
