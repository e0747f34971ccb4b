import { MAX_INSTRUCTION_LENGTH } from '../../isa/x86';
import type { Cpu } from './cpu';
import { mappingAt } from './page-walk';

/**
 * The bytes of the instruction at a linear address, fewer where the next one is not mapped or not memory. As a debugger
 * reads them: through the page tables, without any effect on the guest.
 */
export function codeAt(cpu: Cpu, address: bigint): Uint8Array {
    const { port } = cpu;
    const bytes: number[] = [];
    for (let index = 0; index < MAX_INSTRUCTION_LENGTH; index++) {
        const mapping = mappingAt(cpu, BigInt.asUintN(64, address + BigInt(index)));
        if (mapping === undefined || port.physical.ramAddress(mapping.physical - (mapping.physical % 0x1000)) < 0) {
            break;
        }
        bytes.push(port.read(mapping.physical, 1));
    }
    return Uint8Array.from(bytes);
}
