/** Compares line tables with what `readelf` decodes. */
import { toAddress } from '../../src/symbols/cursor';
import type { DebugInfo } from '../../src/symbols/debug-info';
import { baseName } from '../../src/symbols/paths';
import { readelfRows } from './compiled';

interface Comparison {
    readonly rows: number;
    /** The first few. */
    readonly differences: readonly string[];
}

/** @param file that `info` was read from */
export async function compareWithReadelf(file: string, info: DebugInfo): Promise<Comparison> {
    const ours = ourRows(info);
    const differences: string[] = [];
    let rows = 0;
    for await (const { file: name, line, address, statement } of readelfRows(file)) {
        const theirs = describe(baseName(name), line, address, statement && line !== undefined);
        const next = ours.next();
        rows++;
        if (next.done || next.value !== theirs) {
            differences.push(`row ${rows}: ${next.done ? 'none' : next.value}, readelf has ${theirs}`);
            if (differences.length >= 10) break;
        }
    }
    if (differences.length < 10 && !ours.next().done) differences.push('rows that readelf does not have');
    return { rows, differences };
}

function describe(name: string, line: number | undefined, address: bigint, statement: boolean): string {
    return `${name}:${line ?? 'end'} 0x${address.toString(16)}${statement ? ' statement' : ''}`;
}

function* ourRows({ sources }: DebugInfo): Generator<string> {
    for (const header of sources.headers()) {
        const table = sources.table(header.offset);
        for (let row = 0; row < table.count; row++) {
            const ends = table.endsSequence(row);
            yield describe(
                baseName(table.header.fileNames[table.files[row]] ?? ''),
                ends ? undefined : table.lines[row],
                toAddress(table.addresses[row]),
                !ends && table.isStatement(row),
            );
        }
    }
}
