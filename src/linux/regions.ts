/**
 * What lies where in the kernel's half of linear memory (Documentation/arch/x86/x86_64/mm.rst), and in a process: names
 * for the views of memory and page tables.
 */
import type { RegionName } from '../inspect/naming';
import { partitionPoint } from '../common/search';
import { optional } from './errors';
import { pageFrame } from './page';
import { plainAreas } from './memory-map';
import { readModules } from './modules';
import type { KernelReader } from './structure';
import { stackOf } from './task-stack';
import { listTasks, type Process, type TaskList } from './tasks';
import { IMAGE_END, IMAGE_FIRST } from '../symbols/kernel-range';
import { USER_END } from '../symbols/unwind';
import { vmallocAreas } from './vmalloc';

/** A part of linear memory; `end` is exclusive. */
interface Region {
    readonly first: bigint;
    readonly end: bigint;
    readonly name: string;
}

const PAGE = 0x1000n;
const TERABYTE = 1n << 40n;
/** Sections of the kernel's image, by the symbols that stand around them. */
const SECTIONS: ReadonlyArray<readonly [name: string, first: string, end: string]> = [
    ['kernel text', '_text', '_etext'],
    ['kernel read-only data', '__start_rodata', '__end_rodata'],
    ['kernel data', '_sdata', '_edata'],
    ['kernel initialization', '__init_begin', '__init_end'],
    ['kernel data (zeroed)', '__bss_start', '__bss_stop'],
    ['kernel image', '_text', '_end'],
];
/** Regions that are at the same place in 64-bit kernels since 4.16. */
const FIXED: readonly Region[] = [
    { first: 0xfffffe0000000000n, end: 0xfffffe8000000000n, name: 'CPU entry area' },
    { first: 0xffffff0000000000n, end: 0xffffff8000000000n, name: 'espfix stacks' },
    { first: 0xffffffef00000000n, end: 0xffffffff00000000n, name: 'EFI run-time services' },
    { first: IMAGE_FIRST, end: 0xffffffffa0000000n, name: 'kernel image' },
    // Kernels that may move (CONFIG_RANDOMIZE_BASE) have twice the room for their image.
    { first: 0xffffffffa0000000n, end: IMAGE_END, name: 'kernel image or modules' },
    { first: IMAGE_END, end: 0xffffffffff000000n, name: 'modules' },
    { first: 0xffffffffff000000n, end: 0xffffffffff600000n, name: 'fixmap' },
    { first: 0xffffffffff600000n, end: 0xffffffffff601000n, name: '[vsyscall]' },
];

/**
 * Names of regions.
 * @param root physical address of the page tables that the addresses are of: whose user space it is
 */
export function regionNames(reader: KernelReader, root: bigint): RegionName {
    const names = new RegionNames(reader, root);
    return (first, last) => names.name(first, last);
}

class RegionNames {
    private knownTasks: TaskList | undefined;
    private knownUser: readonly Region[] | undefined;
    private knownParts: readonly (readonly Region[])[] | undefined;
    private knownWhole: readonly Region[] | undefined;

    constructor(
        private readonly reader: KernelReader,
        private readonly root: bigint,
    ) {}

    name(first: bigint, last: bigint): string | undefined {
        if (first < USER_END) {
            this.knownUser ??= this.user();
            return containing(this.knownUser, first, last);
        }
        this.knownParts ??= [this.stacks(), this.modules(), this.vmalloc(), ...this.sections()];
        for (const part of this.knownParts) {
            const name = containing(part, first, last);
            if (name !== undefined) return name;
        }
        this.knownWhole ??= this.whole();
        const whole = this.knownWhole.find(region => first >= region.first && first < region.end)?.name;
        const cache = whole === DIRECT_MAP && last - first < PAGE ? this.cache(first) : undefined;
        return cache === undefined ? whole : `slab cache ${cache}`;
    }

    private get tasks(): TaskList {
        this.knownTasks ??= optional(() => listTasks(this.reader)) ?? { processes: [], idle: [], problems: [] };
        return this.knownTasks;
    }

    private stacks(): Region[] {
        const { processes, idle } = this.tasks;
        const all = [...processes.flatMap(process => [process, ...process.threads]), ...idle];
        const found = all.flatMap(({ address, name, pid }) => {
            const stack = optional(() => stackOf(this.reader.at('task_struct', address)));
            return stack === undefined || stack.start === 0n
                ? []
                : [{ first: stack.start, end: stack.end, name: `stack of ${name} (${pid})` }];
        });
        return sorted(found);
    }

    private modules(): Region[] {
        const modules = optional(() => readModules(this.reader).items) ?? [];
        return sorted(
            modules.map(({ name, base, size }) => ({ first: base, end: base + BigInt(size), name: `module ${name}` })),
        );
    }

    private vmalloc(): Region[] {
        const areas = optional(() => vmallocAreas(this.reader).items) ?? [];
        const found = areas.flatMap(area => {
            const region = optional((): Region => {
                const vm = area.pointer('vm', 'vm_struct');
                const caller = vm === undefined ? 0n : vm.big('caller');
                const by = caller === 0n ? undefined : this.reader.kernel.symbol(caller)?.replace(/\+0x.*/, '');
                const name = by === undefined ? 'vmalloc' : `vmalloc by ${by}`;
                return { first: area.big('va_start'), end: area.big('va_end'), name };
            });
            return region === undefined ? [] : [region];
        });
        return sorted(found);
    }

    /** One list each: the last holds the others. */
    private sections(): Region[][] {
        const { kernel } = this.reader;
        return SECTIONS.map(([name, from, to]) => {
            const [first, end] = [kernel.address(from), kernel.address(to)];
            return first === undefined || end === undefined ? [] : [{ first, end, name }];
        });
    }

    /** Where regions begin that a kernel may put elsewhere at each start (CONFIG_RANDOMIZE_MEMORY). */
    private whole(): Region[] {
        const { reader } = this;
        const base = (name: string): bigint | undefined => optional(() => reader.globalPointer(name));
        const pages = optional(() => reader.number(reader.address('max_pfn'), 8)) ?? 0n;
        const direct = base('page_offset_base') ?? this.directMap();
        const vmalloc = base('vmalloc_base') ?? 0xffffc90000000000n;
        const vmemmap = base('vmemmap_base') ?? 0xffffea0000000000n;
        return [
            ...(direct === undefined ? [] : [{ first: direct, end: direct + pages * PAGE, name: DIRECT_MAP }]),
            { first: vmemmap, end: vmemmap + TERABYTE, name: 'struct page of all frames' },
            // Up to where the frames' structures begin at the latest: 32 TiB, or more with five levels of tables.
            { first: vmalloc, end: vmemmap, name: 'vmalloc space' },
            ...FIXED,
        ];
    }

    /** Since 4.20 and before: where physical memory shows that it is mapped. */
    private directMap(): bigint | undefined {
        return [0xffff888000000000n, 0xffff880000000000n].find(
            base => this.reader.memory.physical(base + TRIED) === Number(TRIED),
        );
    }

    /** The slab cache that a page is of. */
    private cache(address: bigint): string | undefined {
        const physical = this.reader.memory.physical(address);
        return physical === undefined
            ? undefined
            : optional(() => pageFrame(this.reader, BigInt(physical) / PAGE).cache);
    }

    private user(): Region[] {
        const ownerOf = (root: bigint): Process | undefined =>
            this.tasks.processes.find(({ cr3 }) => cr3 !== undefined && cr3 / PAGE === root / PAGE);
        // The user's half of isolated page tables lies one page behind the kernel's.
        const owner = ownerOf(this.root) ?? ownerOf(this.root & ~PAGE);
        const areas = owner === undefined ? [] : plainAreas(this.reader, owner.address);
        return sorted(areas.map(area => new NamedArea(area.first, area.end, () => area.name() ?? '', owner!)));
    }
}

/** Its name takes some time: it is looked up when it is asked for. */
class NamedArea implements Region {
    private known: string | undefined;

    constructor(
        readonly first: bigint,
        readonly end: bigint,
        private readonly find: () => string,
        private readonly owner: Process,
    ) {}

    get name(): string {
        this.known ??= this.find() || `memory of ${this.owner.name} (${this.owner.pid})`;
        return this.known;
    }
}

const DIRECT_MAP = 'direct map';
/** Physical memory that every machine has. */
const TRIED = 0x100000n;

function sorted(regions: readonly Region[]): Region[] {
    return [...regions].sort((one, other) => (one.first < other.first ? -1 : one.first > other.first ? 1 : 0));
}

function containing(regions: readonly Region[], first: bigint, last: bigint): string | undefined {
    const index = partitionPoint(regions.length, at => regions[at].first <= first) - 1;
    const found = index < 0 ? undefined : regions[index];
    return found !== undefined && last < found.end ? found.name : undefined;
}
