/** Modules, as lsmod tells them. */
import { hex } from '../inspect/hex';
import type { Structure } from './structure';
import { rowsOf, type TableReader, type TableRow } from './table';
import { optional } from './tasks';

/** `enum module_state`: of one that is being set up not even the name is sure. */
const STATES = ['live', 'coming', 'going'];

export const moduleTable: TableReader = reader => {
    const { items, problem } = reader.list(reader.address('modules'), 'module', 'list');
    return { columns: ['Name', 'Size', 'Used', 'By', 'State', 'Base'], ...rowsOf(items, moduleRow, problem) };
};

function moduleRow(module: Structure): TableRow | undefined {
    if (module.number('state') >= STATES.length) {
        return undefined;
    }
    const users = optional(() => module.list('source_list', 'module_use', 'source_list').items) ?? [];
    const names = users.map(use => optional(() => use.pointer('source', 'module')?.string('name')) ?? '?');
    const base = moduleBase(module);
    // One is the module's own.
    const references = optional(() => module.number('refcnt.counter') - 1);
    return {
        cells: [
            module.string('name'),
            String(moduleSize(module)),
            references === undefined ? '' : String(references),
            names.join(','),
            STATES[module.number('state')],
            base === undefined ? '' : hex(base),
        ],
        address: base,
    };
}

/** Where its code lies: members have moved twice. */
export function moduleBase(module: Structure): bigint | undefined {
    return optional(() => module.big(module.either('core_layout.base', 'mem[0].base', 'module_core')));
}

function moduleSize(module: Structure): number {
    if (!module.has('mem')) {
        return module.number(module.either('core_layout.size', 'core_size'));
    }
    const all = module.field('mem').size;
    const one = module.field('mem[1]').offset - module.field('mem[0]').offset;
    return Array.from({ length: all / one }, (_, index) => module.number(`mem[${index}].size`)).reduce(
        (sum, size) => sum + size,
        0,
    );
}
