/** What the kernel keeps of a page frame: its `struct page`. */
import { hex } from '../inspect/hex';
import { LinuxError, optional } from './errors';
import type { KernelReader, Structure } from './structure';

export interface PageFrame {
    /** Physical address of the frame divided by the size of a page. */
    readonly number: bigint;
    /** Address of its `struct page`. */
    readonly page: bigint;
    /** Names of the flags that are set, as the kernel has them: `uptodate`, `lru`. */
    readonly flags: readonly string[];
    readonly references: number;
    /** How often it is mapped; absent for pages that are not mapped into processes. */
    readonly mappings?: number;
    /** The slab cache that it belongs to. */
    readonly cache?: string;
    /** What its contents belong to: address of a `struct address_space` or `anon_vma`. */
    readonly mapping?: bigint;
}

/** @throws LinuxError if there is none */
export function pageFrame(reader: KernelReader, number: bigint): PageFrame {
    const type = reader.layout.required('page');
    // Chosen at random at each start (CONFIG_RANDOMIZE_MEMORY); without that it is where the manual has it.
    const table = reader.kernel.address('vmemmap_base');
    const base = table === undefined ? 0xffffea0000000000n : reader.number(table, 8);
    const address = base + number * BigInt(type.size);
    const page = reader.at(type, address);
    const flags = optional(() => page.big('flags'));
    if (flags === undefined) {
        throw new LinuxError(`the kernel keeps nothing of page frame ${hex(number)}: it is no memory of its own`);
    }
    const names = flagNames(reader, flags);
    // Pages of the kernel's own keep their type in the same place: a number far below.
    const mappings = optional(() => page.number('_mapcount.counter') + 1);
    return {
        number,
        page: address,
        flags: names,
        references: page.number('_refcount.counter'),
        mappings: mappings === undefined || mappings < 0 ? undefined : mappings,
        cache: cacheOf(headOf(page)),
        mapping: optional(() => page.big('mapping')),
    };
}

/** By the kernel's own enumeration: the bits differ by version and configuration. */
function flagNames(reader: KernelReader, flags: bigint): string[] {
    const all = reader.layout.enumerators('pageflags');
    const count = all.get('__NR_PAGEFLAGS') ?? 24n;
    const names = new Map<bigint, string>();
    for (const [name, bit] of all) {
        if (!name.startsWith('PG_') || bit < 0n || bit >= count || ((flags >> bit) & 1n) === 0n) continue;
        // Of several names of a bit the first one is the general one.
        if (!names.has(bit)) names.set(bit, name.slice(3));
    }
    return [...names.values()];
}

/** Of several frames that were allocated as one the first tells about all; the others lead to it. */
function headOf(page: Structure): Structure {
    const head = optional(() => page.big('compound_head')) ?? 0n;
    return (head & 1n) === 0n ? page : page.reader.at(page.type, head - 1n);
}

function cacheOf(page: Structure): string | undefined {
    const { reader } = page;
    return optional(() => {
        if (!flagNames(reader, page.big('flags')).includes('slab')) return undefined;
        const slab = reader.layout.record('slab') === undefined ? page : reader.at('slab', page.address);
        return slab.pointer('slab_cache', 'kmem_cache')?.string('name', 128);
    });
}
