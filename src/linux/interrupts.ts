/** Interrupts and who handles them, as /proc/interrupts tells it. */
import { arrayEntries } from './containers';
import { optional } from './errors';
import { mapleEntries } from './maple-tree';
import type { KernelReader, Listed, Structure } from './structure';
import { rowsOf, type TableReader, type TableRow } from './table';
import { onlineCpus } from './tasks';

const MOST_ACTIONS = 64;

export const interruptTable: TableReader = reader => {
    const cpus = onlineCpus(reader);
    const { items, problem } = descriptors(reader);
    const all = items.map(address => reader.at('irq_desc', address));
    const rows = rowsOf(all, descriptor => interruptRow(descriptor, cpus), problem);
    return { columns: ['IRQ', ...cpus.map(cpu => `CPU${cpu}`), 'Chip', 'Handlers'], ...rows };
};

/** In a maple tree since 6.5, in a radix tree before, in an array where they are few. */
function descriptors(reader: KernelReader): Listed<bigint> {
    const { kernel } = reader;
    const tree = kernel.address('sparse_irqs');
    if (tree !== undefined) {
        return mapleEntries(reader.at('maple_tree', tree));
    }
    const radix = kernel.address('irq_desc_tree');
    if (radix !== undefined) {
        return arrayEntries(reader, radix);
    }
    const size = BigInt(reader.layout.required('irq_desc').size);
    const first = reader.address('irq_desc');
    const count = Number(reader.number(reader.address('nr_irqs'), 4));
    return { items: Array.from({ length: Math.min(count, 4096) }, (_, index) => first + BigInt(index) * size) };
}

function interruptRow(descriptor: Structure, cpus: readonly number[]): TableRow | undefined {
    const { reader } = descriptor;
    const counts = cpus.map(cpu => optional(() => countOn(descriptor, cpu)));
    const first = descriptor.big('action');
    const actions = optional(() => reader.linked(first, 'irqaction', 'next', MOST_ACTIONS).items) ?? [];
    // As the kernel does: what nobody handles, and has not come, is left out.
    if (actions.length === 0 && counts.every(count => count === undefined || count === 0n)) {
        return undefined;
    }
    const chip = optional(() => descriptor.inner('irq_data').pointer('chip')?.string('name', 64)) ?? '';
    const flow = optional(() => descriptor.string('name', 64)) ?? '';
    const handlers = actions.map(action => {
        const name = optional(() => action.string('name', 64)) ?? '?';
        const handler = reader.kernel.symbol(action.big('handler'));
        return handler === undefined ? name : `${name} (${handler})`;
    });
    return {
        cells: [
            String(descriptor.number('irq_data.irq')),
            ...counts.map(count => (count === undefined ? '?' : String(count))),
            `${chip} ${descriptor.number('irq_data.hwirq')}${flow === '' ? '' : `-${flow}`}`,
            handlers.join(', '),
        ],
        address: descriptor.address,
    };
}

function countOn(descriptor: Structure, cpu: number): bigint {
    const at = descriptor.reader.perCpuAddress(descriptor.big('kstat_irqs'), cpu);
    return descriptor.reader.number(at, 4);
}
