/** Requests about what a kernel has besides tasks: its log, tables, page frames. */
import { hex } from '../inspect/hex';
import { LinuxError } from '../linux/errors';
import { LOG_LEVELS, logLines, MOST_RECORDS, readLog } from '../linux/log';
import { pageFrame } from '../linux/page';
import { TABLES } from '../linux/tables';
import type { LinuxLogBody, LinuxPageBody, LinuxTableBody, LinuxTableName } from '../messages/linux';
import { choice } from './inspection-context';
import type { LinuxContext } from './linux-context';
import type { RequestHandlers } from './protocol-session';
import { RequestError } from './request-error';

const NAMES = Object.keys(TABLES) as LinuxTableName[];

export function linuxTableRequests(context: LinuxContext): RequestHandlers {
    return {
        'hyperscope/linuxLog': args => log(context, args.optionalInteger('last', MOST_RECORDS, 1, MOST_RECORDS)),
        'hyperscope/linuxTable': args => {
            const name = choice(args, 'table', NAMES);
            if (name === undefined) {
                throw new RequestError(`table has to be one of ${NAMES.join(', ')}`);
            }
            return table(context, name);
        },
        'hyperscope/linuxPage': args => page(context, args.string('address')),
    };
}

/** @param last how many of the last records */
export async function log(context: LinuxContext, last = MOST_RECORDS): Promise<LinuxLogBody> {
    return context.read(reader => {
        const { items, problem } = readLog(reader);
        return {
            items: items.slice(-last).map(record => ({
                time: record.time.toString(),
                level: record.level,
                levelName: LOG_LEVELS.at(record.level) ?? `level ${record.level}`,
                lines: logLines(record),
            })),
            problem,
        };
    });
}

export async function table(context: LinuxContext, name: LinuxTableName): Promise<LinuxTableBody> {
    return context.read(reader => {
        const { columns, rows, problem } = TABLES[name](reader);
        return {
            columns,
            items: rows.map(({ cells, address }) => ({
                cells,
                address: address === undefined ? undefined : hex(address),
            })),
            problem,
        };
    });
}

export async function page(context: LinuxContext, text: string): Promise<LinuxPageBody> {
    const { inspection } = context;
    const { space, offset } = await inspection.address(inspection.session.focus, text);
    return context.read(reader => {
        const physical = space === 'physical' ? offset : reader.memory.physical(offset);
        if (physical === undefined) {
            throw new LinuxError(`${hex(offset)} is not mapped: give a physical address, such as phys:0x1000`);
        }
        const { number, page: at, mapping, ...others } = pageFrame(reader, BigInt(physical) >> 12n);
        return {
            ...{ frame: hex(number), page: hex(at), ...others },
            mapping: mapping === undefined || mapping === 0n ? undefined : hex(mapping),
        };
    });
}
