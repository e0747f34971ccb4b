/** Slab caches (SLUB), as /proc/slabinfo names them. */
import { LinuxError, optional } from './errors';
import type { Structure } from './structure';
import { rowsOf, type TableReader, type TableRow } from './table';

const MOST_NODES = 64;

export const slabTable: TableReader = reader => {
    if (reader.layout.record('kmem_cache') === undefined) {
        throw new LinuxError('this kernel has no slab caches with a struct kmem_cache');
    }
    const { items, problem } = reader.list(reader.address('slab_caches'), 'kmem_cache', 'list');
    return {
        columns: ['Name', 'Objects', 'Object size', 'Slabs', 'Bytes'],
        ...rowsOf(items, slabRow, problem),
    };
};

function slabRow(cache: Structure): TableRow {
    const nodes = optional(() => nodesOf(cache)) ?? [];
    // Counted only where the kernel can check its slabs (CONFIG_SLUB_DEBUG).
    const sum = (member: string): bigint | undefined =>
        nodes.every(node => node.has(member)) && nodes.length > 0
            ? nodes.reduce((total, node) => total + node.big(member), 0n)
            : undefined;
    const objects = sum('total_objects.counter');
    const size = cache.big('size');
    return {
        cells: [
            cache.string('name', 128),
            objects === undefined ? '' : String(objects),
            String(cache.number('object_size')),
            String(sum('nr_slabs.counter') ?? ''),
            objects === undefined ? '' : String(objects * size),
        ],
        address: cache.address,
    };
}

function nodesOf(cache: Structure): Structure[] {
    // The array is declared longer than it is: it ends with the memory nodes that there are.
    const known = cache.reader.kernel.address('nr_node_ids');
    const present = known === undefined ? 1 : Number(cache.reader.number(known, 4));
    const count = Math.min(cache.field('node').size / 8, present, MOST_NODES);
    const nodes: Structure[] = [];
    for (let index = 0; index < count; index++) {
        const node = cache.pointer(`node[${index}]`, 'kmem_cache_node');
        if (node !== undefined) nodes.push(node);
    }
    return nodes;
}
