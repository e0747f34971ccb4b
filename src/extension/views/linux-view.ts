/** The Linux view: processes with what they consist of, the log, and what else the guest's kernel keeps lists of. */
import { existsSync } from 'node:fs';
import * as vscode from 'vscode';
import type {
    LinuxFrame,
    LinuxMemoryArea,
    LinuxPart,
    LinuxProcessItem,
    LinuxRegister,
    LinuxTableName,
    LinuxTaskItem,
} from '../../messages/linux';
import { padAddress } from '../address-target';
import { ask } from '../client';
import { formatSize } from '../format';
import type { GuestSession, GuestSessions } from '../guest-sessions';
import { type Entry, GuestTree, type TreeNode } from '../guest-tree';
import { openListing } from '../listings';

const TABLES: ReadonlyArray<readonly [table: LinuxTableName, label: string, icon: string]> = [
    ['modules', 'Modules', 'extensions'],
    ['mounts', 'Mounts', 'database'],
    ['network', 'Network', 'globe'],
    ['interrupts', 'Interrupts', 'zap'],
    ['timers', 'Timers', 'watch'],
    ['slabs', 'Slab caches', 'layers'],
    ['vmalloc', 'Vmalloc', 'map'],
];

/** Records of the log that are shown: the last ones, which are those that matter. */
const LOG_RECORDS = 1000;
/** Levels of the log up to this one are warnings or worse. */
const WARNING = 4;
const ERROR = 3;

/** What a row of a task carries for commands. */
interface TaskData {
    readonly cr3?: string;
    readonly frame?: LinuxFrame;
    readonly area?: { readonly cr3: string; readonly address: string };
}

export class LinuxView extends GuestTree {
    private about: string | undefined;

    constructor(sessions: GuestSessions) {
        super('linux', sessions);
    }

    protected override describe(): string | undefined {
        return this.about;
    }

    protected async entries(guest: GuestSession): Promise<readonly Entry[]> {
        this.about = undefined;
        const { banner, origin, processes, idle, problems } = await ask(guest, 'hyperscope/linuxTasks', {});
        this.about = /^Linux version (\S+)/.exec(banner)?.[1];
        const user = processes.filter(({ kernelThread }) => !kernelThread);
        const kernel = processes.filter(({ kernelThread }) => kernelThread);
        return [
            ...notes(problems),
            group('processes', 'Processes', 'account', user.map(processEntry), true),
            group('kernelThreads', 'Kernel threads', 'server-process', kernel.map(processEntry)),
            group('idle', 'Idle tasks', 'debug-pause', idle.map(taskEntry)),
            {
                ...{ key: 'log', label: 'Log', value: `last ${LOG_RECORDS} records`, icon: 'output', unmarked: true },
                children: async from => {
                    const { items, problem } = await ask(from, 'hyperscope/linuxLog', { last: LOG_RECORDS });
                    const rows = items.flatMap(({ lines, level, levelName }, record) =>
                        lines.map((line, number): Entry => ({
                            key: `${record}.${number}`,
                            // The kernel fills its numbers up with blanks, of which a side bar has none to spare.
                            label: line.replace(/^\[ +/, '['),
                            tooltip: `${levelName}: ${line}`,
                            icon: level <= ERROR ? 'error' : level <= WARNING ? 'warning' : undefined,
                            unmarked: true,
                        })),
                    );
                    // What happened last stands first.
                    return [...note(problem), ...rows.reverse()];
                },
            },
            ...TABLES.map(([table, label, icon]): Entry => ({
                ...{ key: table, label, icon, unmarked: true },
                children: from => tableEntries(from, table),
            })),
            { key: 'origin', label: 'Known by', value: origin, tooltip: banner, icon: 'info', unmarked: true },
        ];
    }

    /** Opens the code of a stack frame: its source, where that is here, or its disassembly. */
    async openFrame(node: TreeNode | LinuxFrame | undefined): Promise<void> {
        const guest = this.sessions.live;
        const frame = node !== undefined && 'entry' in node ? dataOf(node).frame : node;
        if (guest === undefined || frame === undefined) return;
        const { source, pc } = frame;
        if (source === undefined || !existsSync(source.path)) {
            await openListing(guest, { address: pc });
            return;
        }
        const at = new vscode.Position(Math.max(0, source.line - 1), 0);
        const document = await vscode.workspace.openTextDocument(source.path);
        await vscode.window.showTextDocument(document, { preview: true, selection: new vscode.Range(at, at) });
    }

    /** Physical address of a row's memory: other processes' linear addresses mean nothing in the address space in use. */
    async physicalOf(node: TreeNode | undefined): Promise<string | undefined> {
        const guest = this.sessions.live;
        const area = node && dataOf(node).area;
        if (guest === undefined || area === undefined) return undefined;
        const { mapping, summary } = await ask(guest, 'hyperscope/pageWalk', area);
        if (mapping === undefined) {
            throw new Error(`${area.address} is not in memory: ${summary}`);
        }
        return mapping.physical;
    }
}

/** The page tables that a row stands for. */
export function tablesOf(node: TreeNode | undefined): string | undefined {
    return node && dataOf(node).cr3;
}

function dataOf({ entry }: TreeNode): TaskData {
    return (entry.data ?? {}) as TaskData;
}

function note(problem: string | undefined): Entry[] {
    return problem === undefined
        ? []
        : [{ key: '!', label: problem, tooltip: problem, icon: 'warning', unmarked: true }];
}

function notes(problems: readonly string[]): Entry[] {
    return problems.map((problem, index) => ({ ...note(problem)[0], key: `!${index}` }));
}

function group(key: string, label: string, icon: string, children: readonly Entry[], expanded = false): Entry {
    return { key, label, icon, value: String(children.length), unmarked: true, expanded, children };
}

function processEntry(process: LinuxProcessItem): Entry {
    const entry = taskEntry(process);
    const { threads } = process;
    if (threads.length === 0) return entry;
    return {
        ...entry,
        value: `${entry.value}  ${threads.length + 1} threads`,
        children: async guest => [
            ...(await taskParts(guest, process)),
            group('threads', 'Threads', 'list-tree', threads.map(taskEntry)),
        ],
    };
}

function taskEntry(item: LinuxTaskItem): Entry {
    const { task, pid, ppid, name, state, stateName, cpu, running, cr3, uid, command, problem } = item;
    return {
        key: `${pid}.${task}`,
        label: `${pid} ${name}`,
        value: `${state}${running ? `  runs on CPU ${cpu}` : ''}${problem === undefined ? '' : `  ${problem}`}`,
        tooltip: [
            `${name}: ${stateName}, pid ${pid}, parent ${ppid}, CPU ${cpu}${uid === undefined ? '' : `, uid ${uid}`}`,
            ...(command === undefined ? [] : [command]),
            `task_struct at ${task}`,
            ...(cr3 === undefined ? [] : [`CR3 ${cr3}`]),
        ].join('\n'),
        icon: problem !== undefined ? 'warning' : running ? 'play' : state === 'Z' ? 'circle-slash' : 'circle-outline',
        context: cr3 === undefined ? ['task'] : ['task', 'process'],
        target: { space: 'linear', address: task },
        data: { cr3 } satisfies TaskData,
        children: guest => taskParts(guest, item),
    };
}

async function taskParts(guest: GuestSession, { task, cr3 }: LinuxTaskItem): Promise<readonly Entry[]> {
    const { stack, registers, userRegisters, memory, files } = await ask(guest, 'hyperscope/linuxTask', { task });
    return [
        partEntry('stack', 'Stack', 'call-outgoing', stack, (frame, depth) => frameEntry(frame, depth, cr3)),
        partEntry('registers', 'Saved registers', 'symbol-variable', registers, registerEntry),
        partEntry('user', 'User registers', 'symbol-variable', userRegisters, registerEntry),
        partEntry('memory', 'Memory map', 'layers', memory, area => areaEntry(area, cr3)),
        partEntry('files', 'Open files', 'files', files, ({ number, name, access, file, position }) => ({
            key: String(number),
            label: `${number} ${name}`,
            value: access,
            tooltip: `${name}, ${access}${position === undefined ? '' : ` at ${position}`}\nstruct file at ${file}`,
            target: { space: 'linear', address: file },
        })),
    ];
}

function partEntry<T>(
    key: string,
    label: string,
    icon: string,
    { items, problem }: LinuxPart<T>,
    row: (item: T, index: number) => Entry,
): Entry {
    const children = [...note(problem), ...items.map(row)];
    return { key, label, icon, value: String(items.length), unmarked: true, children };
}

function frameEntry(frame: LinuxFrame, depth: number, cr3: string | undefined): Entry {
    const { pc, stackPointer, symbol, origin, inlined, user, source } = frame;
    const where = source === undefined ? '' : `${source.path.replace(/^.*\//, '')}:${source.line}`;
    return {
        key: String(depth),
        label: symbol ?? pc,
        value: [where, inlined === true ? 'inlined' : ''].filter(Boolean).join('  '),
        tooltip: [
            `${pc}${source === undefined ? '' : ` ${source.path}:${source.line}`}`,
            `stack pointer ${stackPointer}`,
            ...(origin === undefined ? [] : [`found by ${ORIGINS[origin] ?? origin}`]),
        ].join('\n'),
        icon: 'debug-stackframe',
        unmarked: true,
        // In the address space in use there may be something else: such code is shown as the memory that it is.
        ...(user === true && source === undefined
            ? { context: ['area'], data: cr3 === undefined ? undefined : { area: { cr3, address: pc } } }
            : {
                  target: { space: 'linear', address: pc, symbol },
                  data: { frame } satisfies TaskData,
                  command: { command: 'hyperscope.openTaskFrame', title: 'Open', arguments: [frame] },
              }),
    };
}

const ORIGINS: Readonly<Record<string, string>> = {
    cfi: 'call frame information',
    orc: 'ORC tables',
    framePointer: 'frame pointers',
    return: 'a return that its callee goes straight on to',
    saved: 'the registers saved on entry to the kernel',
    guessed: 'looking through the stack',
};

function registerEntry({ name, value }: LinuxRegister): Entry {
    return { key: name, label: name, value, target: { space: 'linear', address: value } };
}

function areaEntry({ first, last, rights, offset, name }: LinuxMemoryArea, cr3: string | undefined): Entry {
    const size = formatSize(BigInt(last) - BigInt(first) + 1n);
    return {
        key: first,
        label: `${padAddress(first, 12)} ${rights}`,
        value: `${name}  ${size}`.trim(),
        tooltip: `${first} – ${last}\n${rights}, ${size}\n${name === '' ? 'no name' : `${name} from ${offset}`}`,
        context: ['area'],
        data: cr3 === undefined ? undefined : ({ area: { cr3, address: first } } satisfies TaskData),
        unmarked: true,
    };
}

async function tableEntries(guest: GuestSession, table: LinuxTableName): Promise<readonly Entry[]> {
    const { columns, items, problem } = await ask(guest, 'hyperscope/linuxTable', { table });
    const rows = items.map(({ cells: [label, ...others], address }, index): Entry => ({
        key: `${label}.${index}`,
        label,
        value: others.filter(Boolean).join('  '),
        tooltip: columns.map((column, number) => `${column}: ${number === 0 ? label : others[number - 1]}`).join('\n'),
        target: address === undefined ? undefined : { space: 'linear', address },
        unmarked: true,
    }));
    const none: Entry = { key: 'none', label: 'none', unmarked: true };
    return [...note(problem), ...(rows.length === 0 && problem === undefined ? [none] : rows)];
}
