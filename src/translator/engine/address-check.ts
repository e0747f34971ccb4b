/**
 * What translated code leaves to the slow path of an access: non-canonical addresses, and accesses beyond 4 GiB through
 * a flat segment (Intel SDM Vol. 1, 3.3.7.1; Vol. 3, 5.3, 5.3.1).
 */
import { type Instruction, Segment } from '../../isa/x86/instruction';
import type { Cpu } from '../../machine/cpu/cpu';
import { raise, Vector } from '../../machine/cpu/fault';
import { ModeKey } from '../../machine/state';

const PUSHES = new Set(['PUSH', 'CALL']);
const POPS = new Set(['POP', 'RET', 'LEAVE']);
const STACK_ONLY = new Set(['ENTER', 'PUSHA', 'PUSHAD', 'POPA', 'POPAD', 'PUSHF', 'PUSHFD', 'PUSHFQ']);

/** Whether this access of the instruction goes through SS: #SS(0) then stands for #GP(0). */
function isStackAccess({ row: { mnemonic }, segment }: Instruction, write: boolean): boolean {
    if ((write ? PUSHES : POPS).has(mnemonic) || STACK_ONLY.has(mnemonic)) {
        return true;
    }
    return segment === Segment.Ss;
}

/**
 * Checks the linear address of an access of `size` bytes that the running instruction makes.
 * @param running tells which one that is. It may have to be decoded again, which costs more than all the rest, so it
 * is asked only where it decides something.
 * @throws GuestFault #SS(0), #GP(0)
 */
export function checkAddress(
    cpu: Cpu,
    running: (cpu: Cpu) => Instruction,
    lo: number,
    hi: number,
    size: number,
    write: boolean,
): void {
    const { mode } = cpu;
    const last = lo + size - 1;
    let legal = true;
    if ((mode & ModeKey.CodeSizeMask) === 2) {
        const lastHi = last > 0xffffffff ? (hi + 1) >>> 0 : hi;
        legal = cpu.memory.isCanonical(lo, hi) && cpu.memory.isCanonical(last >>> 0, lastHi);
    } else if (last > 0xffffffff && (mode & ModeKey.Flat) !== 0) {
        // Offset and linear address are the same. Other segments have been checked against their limits.
        legal = running(cpu).segment >= Segment.Fs;
    }
    if (!legal) {
        raise(isStackAccess(running(cpu), write) ? Vector.SS : Vector.GP);
    }
}
