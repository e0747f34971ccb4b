/** What views show of Linux besides its own: the page tables of its processes. */
import type { GuestNaming } from '../inspect/naming';
import { optional } from './errors';
import type { RunningKernel } from './kernel-source';
import { regionNames } from './regions';
import { listTasks } from './tasks';

export function linuxNaming(kernel: RunningKernel): GuestNaming {
    return {
        addressSpaces: source =>
            (optional(() => listTasks(kernel.reader(source)).processes) ?? []).flatMap(({ cr3, name, pid }) =>
                cr3 === undefined ? [] : [{ cr3, label: `${name} (${pid})` }],
            ),
        // Not before somebody has looked for the kernel: memory is shown often, also of guests without one.
        regions: (source, root) =>
            optional(() => {
                const reader = kernel.known(source);
                return reader && regionNames(reader, BigInt(root));
            }),
    };
}
