/** `linux …` in the debug console. */
import type { LinuxFrame, LinuxPart, LinuxTableName, LinuxTaskItem } from '../messages/linux';
import { columns, type ConsoleCommand } from './console-commands';
import { LinuxContext } from './linux-context';
import { task, tasks } from './linux-requests';
import { RequestError } from './request-error';
import { log, page, table } from './linux-tables';
import type { InspectionContext } from './inspection-context';

export function linuxCommand(inspection: InspectionContext): ConsoleCommand {
    const context = new LinuxContext(inspection);
    return {
        name: 'linux',
        help: 'looks at the Linux that the guest runs',
        subcommands: [
            { name: 'ps', help: 'the processes, as ps prints them', run: () => ps(context, false) },
            { name: 'threads', help: 'all threads, and the idle tasks', run: () => ps(context, true) },
            {
                ...{ name: 'stack', takes: 'PID', help: "a task's kernel stack" },
                run: async ([name]) => withProblem((await task(context, name)).stack, frames),
            },
            {
                ...{ name: 'regs', takes: 'PID', help: "a task's saved registers" },
                run: async ([name]) => {
                    const { registers, userRegisters } = await task(context, name);
                    const list = (items: typeof registers.items): string =>
                        items.map(({ name: register, value }) => `  ${register.padEnd(9)}${value}`).join('\n');
                    return [
                        'kernel:',
                        withProblem(registers, list),
                        'user code:',
                        withProblem(userRegisters, list),
                    ].join('\n');
                },
            },
            {
                ...{ name: 'maps', takes: 'PID', help: "a process's memory map" },
                run: async ([name]) =>
                    withProblem((await task(context, name)).memory, items =>
                        items
                            .map(({ first, last, rights, offset, name: file }) =>
                                `${digits(first)}-${digits(last)} ${rights} ${digits(offset)} ${file}`.trimEnd(),
                            )
                            .join('\n'),
                    ),
            },
            {
                ...{ name: 'files', takes: 'PID', help: 'the files that a process has open' },
                run: async ([name]) =>
                    withProblem((await task(context, name)).files, items =>
                        columns(
                            ['FD', 'ACCESS', 'NAME'],
                            items.map(({ number, access, name: file }) => [String(number), access, file]),
                        ),
                    ),
            },
            {
                ...{ name: 'dmesg', takes: '[RECORDS]', help: "the kernel's log, or its last records" },
                run: async ([last]) => {
                    if (last !== undefined && !/^[1-9]\d{0,5}$/.test(last)) {
                        throw new RequestError(`'${last}' is no number of records`);
                    }
                    const found = await log(context, last === undefined ? undefined : Number(last));
                    return withProblem(found, records => records.flatMap(({ lines }) => lines).join('\n'));
                },
            },
            ...TABLES.map(([name, help]) => ({
                ...{ name, help },
                run: async () => {
                    const { columns: heads, ...found } = await table(context, name);
                    return withProblem(found, rows =>
                        columns(
                            heads.map(head => head.toUpperCase()),
                            rows.map(({ cells }) => cells),
                        ),
                    );
                },
            })),
            {
                ...{
                    name: 'page',
                    takes: 'ADDRESS',
                    help: 'what the kernel keeps of a page frame: linear, or phys:0x…',
                },
                run: async ([address]) => {
                    const found = await page(context, address);
                    const { mappings, cache, mapping } = found;
                    return [
                        `page frame ${found.frame}: struct page at ${found.page}`,
                        `flags: ${found.flags.join(' ') || 'none'}`,
                        `references: ${found.references}${mappings === undefined ? '' : `, mapped ${mappings} times`}`,
                        ...(cache === undefined ? [] : [`slab cache: ${cache}`]),
                        ...(mapping === undefined ? [] : [`mapping: ${mapping}`]),
                    ].join('\n');
                },
            },
        ],
    };
}

const TABLES: ReadonlyArray<readonly [name: LinuxTableName, help: string]> = [
    ['modules', 'modules, with where they are loaded'],
    ['mounts', 'mounted file systems'],
    ['network', 'network devices and their addresses'],
    ['interrupts', 'interrupts, how often they came, who handles them'],
    ['timers', 'timers that will go off'],
    ['slabs', 'slab caches'],
    ['vmalloc', 'areas of the vmalloc space'],
];

async function ps(context: LinuxContext, withThreads: boolean): Promise<string> {
    const { processes, idle, problems } = await tasks(context);
    const all: readonly LinuxTaskItem[] = withThreads
        ? [...idle, ...processes.flatMap(process => [process, ...process.threads])]
        : processes;
    const rows = all.map(({ pid, tgid, ppid, state, cpu, running, kernelThread, name, command }) => [
        ...[String(pid), ...(withThreads ? [String(tgid)] : []), String(ppid), state, `${cpu}${running ? '*' : ''}`],
        kernelThread ? `[${name}]` : (command ?? name),
    ]);
    const heads = ['PID', ...(withThreads ? ['TGID'] : []), 'PPID', 'S', 'CPU', 'COMMAND'];
    return [columns(heads, rows), ...problems.map(problem => `! ${problem}`)].join('\n');
}

function frames(items: readonly LinuxFrame[]): string {
    return items
        .map(({ pc, symbol, source, origin, inlined }) => {
            const how = inlined === true ? 'inlined' : origin;
            const where = source === undefined ? '' : `  ${source.path}:${source.line}`;
            return `${digits(pc, 16)}  ${symbol ?? '?'}${where}${how === undefined ? '' : `  (${how})`}`;
        })
        .join('\n');
}

/** What there is, and why not more. */
export function withProblem<T>({ items, problem }: LinuxPart<T>, write: (items: readonly T[]) => string): string {
    const text = items.length === 0 ? [] : [write(items)];
    return [...text, ...(problem === undefined ? [] : [`! ${problem}`])].join('\n') || 'none';
}

function digits(number: string, width = 8): string {
    return number.slice(2).padStart(width, '0');
}
