/** Whether a guest runs Linux, and memory as its kernel sees it. */
import type { InspectionSource } from '../debug/inspection-source';
import { LinearMemory } from '../inspect/linear-memory';
import { isolatedHalves } from '../inspect/paging/address-spaces';
import { pageTables } from '../inspect/paging/paging-format';
import { LinuxError } from './errors';
import type { KernelFinder } from './kernel';
import { Layout } from './layout';
import { type KernelMemory, KernelReader } from './structure';

const BANNER = 'Linux version ';
/** Name of the first task, and of each further CPU's idle task. */
const IDLE_TASK = 'swapper';

/**
 * The same machine with the kernel's half of the page tables, where a vCPU that runs user code uses the other half
 * (page table isolation).
 */
export function kernelSource(source: InspectionSource): InspectionSource {
    const halves = isolatedHalves(source, pageTables(source.system));
    if (halves?.which !== 'user') {
        return source;
    }
    const { vcpu, vcpus, system, regions, machine } = source;
    // The PCID of the other half is of no matter here.
    const cr3 = BigInt(halves.kernel);
    return {
        vcpu,
        vcpus,
        system: { ...system, cr3 },
        regions,
        machine,
        page: physical => source.page(physical),
        symbol: linear => source.symbol(linear),
    };
}

/** @param source with the kernel's page tables */
export function kernelMemory(source: InspectionSource): KernelMemory {
    const memory = new LinearMemory(source);
    return {
        read: (address, length) => memory.read(address, length),
        physical: address => memory.physical(address),
        isExecutable: address => memory.isExecutable(address),
        isUserCode: address => memory.isUserCode(address),
        space: cr3 => new LinearMemory(source, pageTables(source.system, cr3)),
    };
}

/** Whether what stands in memory is the kernel that is known; if not, what was found instead. */
export function kernelProblem(reader: KernelReader): string | undefined {
    const { kernel } = reader;
    const banner = kernel.address('linux_banner');
    if (banner === undefined) {
        return `${kernel.origin}: has no linux_banner: is it a Linux kernel?`;
    }
    try {
        if (!reader.string(banner, BANNER.length).startsWith(BANNER)) {
            return `${kernel.origin}: this kernel is not the one that runs, or has not started yet: there is no banner in memory`;
        }
        const name = reader.global('init_task', 'task_struct').string('comm');
        if (!name.startsWith(IDLE_TASK)) {
            return `${kernel.origin}: this kernel is not the one that runs: its first task is called '${name}'`;
        }
    } catch (error) {
        if (!(error instanceof LinuxError)) throw error;
        return `the kernel's memory is not there yet: ${error.message}`;
    }
    return undefined;
}

const OFFERED_OF_32_BITS =
    '; of a 32-bit kernel only its symbol files are offered, with lines, stacks and variables, not its tasks and tables';

function isIn64BitMode({ system }: InspectionSource): boolean {
    return (system.efer & 0x400) !== 0 && system.cr0 >>> 31 !== 0;
}

/** The kernel that a guest runs, found in one of several ways; found once, it is only checked again. */
export class RunningKernel {
    private layout: Layout | undefined;

    constructor(private readonly finders: readonly KernelFinder[]) {}

    /** The guest begins anew. */
    restart(): void {
        this.layout = undefined;
        for (const finder of this.finders) finder.restart?.();
    }

    /** The kernel that was found before, as long as it runs; without a search. */
    known(source: InspectionSource): KernelReader | undefined {
        if (this.layout === undefined || !isIn64BitMode(source)) {
            return undefined;
        }
        const reader = new KernelReader(this.layout, kernelMemory(kernelSource(source)));
        return kernelProblem(reader) === undefined ? reader : undefined;
    }

    /** @throws LinuxError if no running kernel is known: the message says why, for each way to know one */
    reader(source: InspectionSource): KernelReader {
        if (!isIn64BitMode(source)) {
            // A 64-bit kernel gets to 64-bit mode before it turns paging on for good: this may be one of 32 bits.
            const is32Bit = source.system.cr0 >>> 31 !== 0;
            throw new LinuxError(
                `no Linux kernel runs: vCPU ${source.vcpu} is not in 64-bit mode${is32Bit ? OFFERED_OF_32_BITS : ''}`,
            );
        }
        const known = this.known(source);
        if (known !== undefined) {
            return known;
        }
        const kernels = kernelSource(source);
        const memory = kernelMemory(kernels);
        const problems: string[] = [];
        for (const finder of this.finders) {
            const found = finder.find(kernels);
            if (typeof found === 'string') {
                problems.push(found);
                continue;
            }
            const layout = this.layout?.kernel === found ? this.layout : new Layout(found);
            const reader = new KernelReader(layout, memory);
            const problem = kernelProblem(reader);
            if (problem === undefined) {
                this.layout = layout;
                return reader;
            }
            problems.push(problem);
        }
        throw new LinuxError(`no running Linux kernel is known: ${problems.join('; ')}`);
    }
}
