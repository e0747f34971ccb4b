/** Where a vCPU is, as far as stepping from line to line has to know. */
import { entryOf } from '../../symbols/dwarf/blocks';
import type { Program } from '../../symbols/program';
import { whatIsReadable } from './program-lines';

export interface StepPlace {
    /** The line, and whose. */
    readonly line: string;
    /** The instruction is the first of a statement. */
    readonly isStart: boolean;
    /** The function whose code it is, whatever was inlined there. */
    readonly func: string;
    /** Calls that were inlined around the instruction. */
    readonly inlined: number;
    /** At the entry of a function: linear address at which its arguments are in place. */
    readonly body?: bigint;
}

/** Undefined where no line is known. */
export function stepPlace(program: Program, pc: bigint): StepPlace | undefined {
    const { info } = program;
    const linked = program.linked(pc);
    return whatIsReadable(() => {
        const found = info.rowAt(linked);
        if (found === undefined || found.table.lines[found.row] === 0) {
            return undefined;
        }
        const { table, row } = found;
        const chain = info.blocksAt(linked);
        const root = chain.at(0);
        const body = root !== undefined && entryOf(root) === linked ? info.bodyOf(root) : undefined;
        return {
            line: `${info.sources.pathOf(table.header, table.files[row])}:${table.lines[row]}`,
            isStart: table.isStatement(row) && table.addresses[row] === linked,
            func: `${program.name}:${root?.die.offset ?? ''}`,
            inlined: chain.filter(({ kind }) => kind === 'inlined').length,
            body: body === undefined || body === linked ? undefined : program.linear(body),
        };
    });
}
