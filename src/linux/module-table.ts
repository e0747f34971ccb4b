/** Modules, as lsmod tells them. */
import { hex } from '../inspect/hex';
import { optional } from './errors';
import { type KernelModule, readModules } from './modules';
import type { Structure } from './structure';
import type { TableReader, TableRow } from './table';

export const moduleTable: TableReader = reader => {
    const { items, problem } = readModules(reader);
    // Of one that is being put together not even the name is sure.
    const rows = items.filter(({ state }) => state !== 'unformed').map(moduleRow);
    return { columns: ['Name', 'Size', 'Used', 'By', 'State', 'Base'], rows, problem };
};

function moduleRow({ name, state, base, size, structure }: KernelModule): TableRow {
    const users = optional(() => structure.list('source_list', 'module_use', 'source_list').items) ?? [];
    const names = users.map(use => optional(() => use.pointer('source', 'module')?.string('name')) ?? '?');
    // One is the module's own.
    const references = optional(() => structure.number('refcnt.counter') - 1);
    return {
        cells: [
            name,
            String(optional(() => wholeSize(structure)) ?? size),
            references === undefined ? '' : String(references),
            names.join(','),
            state,
            hex(base),
        ],
        address: base,
    };
}

/** Bytes of all of its kinds of memory, which are told apart since 6.4. */
function wholeSize(module: Structure): number | undefined {
    if (!module.has('mem')) {
        return undefined;
    }
    const count = module.field('mem').size / (module.field('mem[1]').offset - module.field('mem[0]').offset);
    return Array.from({ length: count }, (_, index) => module.number(`mem[${index}].size`)).reduce(
        (sum, size) => sum + size,
        0,
    );
}
