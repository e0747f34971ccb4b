/** Things of the kernel as rows of words. */
import { hex } from '../inspect/hex';
import { LinuxError } from './errors';
import type { KernelReader, Structure } from './structure';

export interface TableRow {
    readonly cells: readonly string[];
    /** Linear address of what the row is about. */
    readonly address?: bigint;
}

export interface Table {
    readonly columns: readonly string[];
    readonly rows: readonly TableRow[];
    /** What is wrong behind the last row. */
    readonly problem?: string;
}

/** @throws LinuxError if this kernel keeps these things in a way that is not known */
export type TableReader = (reader: KernelReader) => Table;

/** A row an item; of the first one that cannot be read it is said why, and the others are shown. */
export function rowsOf(
    items: readonly Structure[],
    row: (item: Structure) => TableRow | undefined,
    listProblem: string | undefined,
): Pick<Table, 'rows' | 'problem'> {
    const rows: TableRow[] = [];
    let problem = listProblem;
    for (const item of items) {
        try {
            const one = row(item);
            if (one !== undefined) rows.push(one);
        } catch (error) {
            if (!(error instanceof LinuxError)) throw error;
            problem ??= `struct ${item.type.name ?? '{…}'} at ${hex(item.address)}: ${error.message}`;
        }
    }
    return { rows, problem };
}
