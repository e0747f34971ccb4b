/** RAM and ROM at linear addresses, by the page tables of a vCPU and without any effect on it. */
import type { Cpu } from '../machine/cpu/cpu';
import { mappingAt } from '../machine/cpu/page-walk';
import type { GuestMemory } from '../machine/memory';

export interface Place {
    readonly physical: number;
    /** Address in the shared memory. */
    readonly at: number;
}

/** Where a linear address leads; undefined where that is no plain memory. */
export function locate(cpu: Cpu, memory: GuestMemory, linear: bigint): Place | undefined {
    const physical = mappingAt(cpu, linear)?.physical;
    if (physical === undefined) return undefined;
    const offset = physical % 0x1000;
    const page = memory.ramAddress(physical - offset);
    return page < 0 ? undefined : { physical, at: page + offset };
}
