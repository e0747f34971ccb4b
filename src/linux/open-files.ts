/** Files that a process has open. */
import { LinuxError, optional } from './errors';
import { fileName } from './paths';
import type { KernelReader, Listed } from './structure';

/** `f_flags`: the two bits that say what the file is open for. */
const ACCESS = ['read', 'write', 'read and write', 'path only'];
/** More than any process has by default. */
const MOST_FILES = 0x10000;

export interface OpenFile {
    readonly number: number;
    /** Address of the `struct file`. */
    readonly address: bigint;
    readonly name: string;
    readonly access: string;
    /** Where the next read or write goes. */
    readonly position: bigint | undefined;
}

/** @param task address of the `task_struct` */
export function openFiles(reader: KernelReader, task: bigint): Listed<OpenFile> {
    const table = reader.at('task_struct', task).pointer('files')?.pointer('fdt');
    if (table === undefined) {
        return { items: [] };
    }
    const size = table.number('max_fds');
    const count = Math.min(size, MOST_FILES);
    const items: OpenFile[] = [];
    try {
        const open = reader.bytes(table.big('open_fds'), Math.ceil(count / 8));
        const files = table.big('fd');
        for (let number = 0; number < count; number++) {
            if ((open[number >> 3] & (1 << (number & 7))) === 0) continue;
            const address = reader.number(files + BigInt(number * 8), 8);
            // A number that is taken, for a file that is still being opened.
            if (address === 0n) continue;
            const file = reader.at('file', address);
            items.push({
                ...{ number, address },
                name: optional(() => fileName(file)) ?? '?',
                access: ACCESS[optional(() => file.number('f_flags') & 3) ?? 0],
                position: optional(() => file.big('f_pos')),
            });
        }
    } catch (error) {
        if (!(error instanceof LinuxError)) throw error;
        return { items, problem: error.message };
    }
    return {
        items,
        problem: size > MOST_FILES ? `the table has ${size} files: the first ${MOST_FILES} are read` : undefined,
    };
}
