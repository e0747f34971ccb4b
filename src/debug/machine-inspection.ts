/** A machine in this process as views look at it. */
import { PHYSICAL_ADDRESS_BITS } from '../machine/cpu/physical';
import type { Cpu } from '../machine/cpu/cpu';
import type { Machine } from '../machine/machine';
import { StateOffset, SystemSegment } from '../machine/state';
import type { SymbolTable } from '../symbols/symbol-table';
import type { InspectionSource, PhysicalRegion, SegmentState, SystemState } from './inspection-source';
import { programCounter } from './stack';

const PAGE = 0x1000;

function segmentState(cpu: Cpu, segment: number): SegmentState {
    return {
        selector: cpu.selector(segment) & 0xffff,
        base: (BigInt(cpu.segmentBaseHi(segment)) << 32n) | BigInt(cpu.segmentBase(segment)),
        limit: cpu.segmentLimit(segment),
        attributes: cpu.segmentAttributes(segment),
    };
}

export function systemState(cpu: Cpu): SystemState {
    return {
        cr0: cpu.cr0 >>> 0,
        cr3: cpu.get64(StateOffset.cr3),
        cr4: cpu.cr4 >>> 0,
        efer: cpu.efer >>> 0,
        rflags: cpu.rflags >>> 0,
        cpl: cpu.cpl,
        pc: programCounter(cpu),
        segments: [0, 1, 2, 3, 4, 5].map(segment => segmentState(cpu, segment)),
        ldtr: segmentState(cpu, SystemSegment.Ldtr),
        tr: segmentState(cpu, SystemSegment.Tr),
        gdtr: { base: cpu.get64(StateOffset.gdtrBase), limit: cpu.lo(StateOffset.gdtrLimit) },
        idtr: { base: cpu.get64(StateOffset.idtrBase), limit: cpu.lo(StateOffset.idtrLimit) },
        pdptes: [0, 1, 2, 3].map(index => cpu.get64(StateOffset.pdpte + index * 8)),
        physicalBits: PHYSICAL_ADDRESS_BITS,
    };
}

export class MachineInspection implements InspectionSource {
    readonly vcpus: number;
    readonly system: SystemState;
    private physicalMap: readonly PhysicalRegion[] | undefined;

    constructor(
        readonly machine: Machine,
        private readonly symbols: SymbolTable,
        readonly vcpu: number,
    ) {
        this.vcpus = machine.processors.length;
        this.system = systemState(machine.processors[vcpu].cpu);
    }

    page(physical: number): Uint8Array | undefined {
        const { memory } = this.machine;
        const address = memory.ramAddress(physical);
        return address < 0 ? undefined : memory.bytes.subarray(address, address + PAGE);
    }

    get regions(): readonly PhysicalRegion[] {
        this.physicalMap ??= this.machine.memory.list().map(({ name, base, size, kind }) => ({
            name,
            first: base,
            last: base + size - 1,
            kind,
        }));
        return this.physicalMap;
    }

    symbol(linear: bigint): string | undefined {
        return this.symbols.format(linear);
    }
}
