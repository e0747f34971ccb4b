/** What translated code calls for accesses that the soft TLB does not serve: devices, page walks, faults. */
import type { Instruction } from '../../isa/x86/instruction';
import type { Cpu } from '../../machine/cpu/cpu';
import { raise, Vector } from '../../machine/cpu/fault';
import { segmentLinear } from '../../machine/cpu/operands';
import { Access } from '../../machine/cpu/paging';
import { CpuArea, type MmuMode, StateOffset, Tlb } from '../../machine/state';
import { LOAD_MISS, RAISE, STORE_MISS } from '../codegen/handler-emitter';
import { REGION_MISS } from '../codegen/region-emitter';
import { ALIGNMENT_FAULT, SEGMENT_CHECK } from '../lift/handler-context';
import { checkAddress } from './address-check';
import type { HelperFunctions } from './handlers';

/** Bytes of the access kinds of the interpreter tier. */
const SIZES = [1, 2, 4, 8, 16];
/** Bit of an access kind: it will be written as well. */
const FOR_WRITE = 8;

export interface SlowPathContext {
    /** The vCPU whose state is at this address of the shared memory. */
    cpuAt(base: number): Cpu;
    /** The instruction that the vCPU executes in the interpreter tier. */
    readonly running: (cpu: Cpu) => Instruction;
    /** A region begins, or ends, to ask for a page: no record says which instruction is running. */
    regionAsks(asks: boolean): void;
}

export function slowPaths(context: SlowPathContext): HelperFunctions {
    return {
        [LOAD_MISS.name]: (base, kind) => {
            const cpu = context.cpuAt(base);
            const size = SIZES[kind & 7];
            const forWrite = (kind & FOR_WRITE) !== 0;
            const lo = cpu.lo(StateOffset.accessAddress);
            const hi = cpu.hi(StateOffset.accessAddress);
            const mode = mmuMode(cpu);
            checkAddress(cpu, context.running, lo, hi, size, forWrite);
            if (forWrite) {
                cpu.memory.probeWrite(lo, hi, size, mode);
            }
            cpu.setLo(StateOffset.scratch, 0); // narrow loads zero-extend
            cpu.memory.readInto(base + StateOffset.scratch, lo, hi, size, mode);
        },
        [STORE_MISS.name]: (base, access) => {
            const cpu = context.cpuAt(base);
            const lo = cpu.lo(StateOffset.accessAddress);
            const hi = cpu.hi(StateOffset.accessAddress);
            checkAddress(cpu, context.running, lo, hi, SIZES[access], true);
            cpu.memory.writeFrom(base + StateOffset.scratch, lo, hi, SIZES[access], mmuMode(cpu));
        },
        [REGION_MISS.name]: (base, kind) =>
            regionMiss(context, context.cpuAt(base), kind & 7, (kind & FOR_WRITE) !== 0),
        [RAISE.name]: (_base, vector, errorCode) => raise(vector, Math.max(errorCode, 0)),
        [ALIGNMENT_FAULT.name]: (base, bytes, forWrite) => {
            const cpu = context.cpuAt(base);
            const lo = cpu.lo(StateOffset.accessAddress);
            const hi = cpu.hi(StateOffset.accessAddress);
            checkAddress(cpu, context.running, lo, hi, bytes, forWrite !== 0);
            raise(Vector.AC);
        },
        [SEGMENT_CHECK.name]: (base, segment, bytes, forWrite) => {
            const cpu = context.cpuAt(base);
            const lo = cpu.lo(StateOffset.accessAddress);
            const hi = cpu.hi(StateOffset.accessAddress);
            segmentLinear(cpu, segment, lo, hi, bytes, forWrite !== 0);
        },
    };
}

/** Fills the soft TLB for a region. 0: the access faults or needs more than plain memory. */
function regionMiss(context: SlowPathContext, cpu: Cpu, access: number, forWrite: boolean): number {
    const lo = cpu.lo(StateOffset.accessAddress);
    const hi = cpu.hi(StateOffset.accessAddress);
    if ((lo & 0xfff) + (1 << access) > 0x1000 || !cpu.memory.isCanonical(lo, hi)) {
        return 0;
    }
    const mode = mmuMode(cpu);
    context.regionAsks(true);
    try {
        cpu.mmu.translate(lo, hi, forWrite ? Access.Write : Access.Read, mode);
    } catch {
        return 0; // the interpreter tier meets the same fault and delivers it
    } finally {
        context.regionAsks(false);
    }
    return cpu.mmu.entered(lo, hi, forWrite, mode);
}

/** MMU mode of the current code's ordinary data accesses: the one whose soft TLB is selected. */
function mmuMode(cpu: Cpu): MmuMode {
    return (cpu.lo(StateOffset.tlb) - cpu.base - CpuArea.tlb) / Tlb.modeSize;
}
