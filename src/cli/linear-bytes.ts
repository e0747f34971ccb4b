/** Guest memory at RIP as a debugger reads it: through the page tables, without any effect on the guest. */
import type { Cpu } from '../machine/cpu/cpu';
import { walkPages } from '../machine/cpu/page-walk';
import { SegmentOffset, StateOffset } from '../machine/state';

const CS_BASE = StateOffset.segments + SegmentOffset.size;

/** The linear address of CS:RIP. */
export function linearRip(cpu: Cpu): bigint {
    return BigInt.asUintN(64, ((BigInt(cpu.ripHi) << 32n) | BigInt(cpu.ripLo)) + cpu.get64(CS_BASE));
}

/** Up to `count` bytes from CS:RIP; fewer where the next byte is not mapped or not memory. */
export function walkLinear(cpu: Cpu, count: number): Uint8Array {
    const bytes: number[] = [];
    const start = linearRip(cpu);
    for (let i = 0; i < count; i++) {
        const address = BigInt.asUintN(64, start + BigInt(i));
        const { mapping } = walkPages(cpu, cpu.port, Number(address & 0xffffffffn), Number(address >> 32n));
        if (mapping === undefined) {
            break;
        }
        const page = mapping.physical - (mapping.physical % 0x1000);
        if (cpu.port.physical.ramAddress(page) < 0) {
            break;
        }
        bytes.push(cpu.port.read(mapping.physical, 1));
    }
    return Uint8Array.from(bytes);
}
