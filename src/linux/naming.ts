/** What views show of Linux besides its own: the page tables of its processes. */
import type { GuestNaming } from '../inspect/naming';
import { LinuxError } from './errors';
import type { RunningKernel } from './kernel-source';
import { listTasks } from './tasks';

export function linuxNaming(kernel: RunningKernel): GuestNaming {
    return {
        addressSpaces: source => {
            try {
                return listTasks(kernel.reader(source)).processes.flatMap(({ cr3, name, pid }) =>
                    cr3 === undefined ? [] : [{ cr3, label: `${name} (${pid})` }],
                );
            } catch (error) {
                if (error instanceof LinuxError) return [];
                throw error;
            }
        },
    };
}
