/** Areas of the vmalloc space, as /proc/vmallocinfo tells them. */
import { bitNames, hex } from '../inspect/hex';
import { optional } from './errors';
import type { KernelReader, Listed, Structure } from './structure';
import { rowsOf, type TableReader, type TableRow } from './table';

/** `vm_struct.flags`. */
const FLAGS: ReadonlyArray<readonly [name: string, bit: number]> = [
    ['ioremap', 0],
    ['vmalloc', 1],
    ['vmap', 2],
    ['user', 3],
    ['dma-coherent', 4],
];
const MOST_NODES = 1024;

export const vmallocTable: TableReader = reader => {
    const { items, problem } = vmallocAreas(reader);
    const found = rowsOf(items, areaRow, problem);
    const rows = [...found.rows].sort((one, other) => (one.address! < other.address! ? -1 : 1));
    return { columns: ['Area', 'Size', 'Kind', 'Caller'], rows, problem: found.problem };
};

/** On one list until 6.8, on one a node since. */
export function vmallocAreas(reader: KernelReader): Listed<Structure> {
    const list = reader.kernel.address('vmap_area_list');
    if (list !== undefined) {
        return reader.list(list, 'vmap_area', 'list');
    }
    const type = reader.layout.required('vmap_node');
    const first = reader.globalPointer('vmap_nodes');
    const count = Math.min(Number(reader.number(reader.address('nr_vmap_nodes'), 4)), MOST_NODES);
    const lists = Array.from({ length: count }, (_, index) =>
        reader.at(type, first + BigInt(index * type.size)).list('busy.head', 'vmap_area', 'list'),
    );
    return {
        items: lists.flatMap(one => one.items),
        problem: lists.find(one => one.problem !== undefined)?.problem,
    };
}

function areaRow(area: Structure): TableRow {
    const [start, end] = [area.big('va_start'), area.big('va_end')];
    const vm = optional(() => area.pointer('vm', 'vm_struct'));
    const flags = (vm && optional(() => vm.big('flags'))) ?? 0n;
    const physical = (vm && optional(() => vm.big('phys_addr'))) ?? 0n;
    const caller = vm && optional(() => vm.big('caller'));
    return {
        cells: [
            `${hex(start)}-${hex(end)}`,
            String(end - start),
            [vm === undefined ? 'vm_map_ram' : bitNames(flags, FLAGS), physical === 0n ? '' : `phys=${hex(physical)}`]
                .filter(Boolean)
                .join(' '),
            caller === undefined || caller === 0n ? '' : (area.reader.kernel.symbol(caller) ?? hex(caller)),
        ],
        address: start,
    };
}
