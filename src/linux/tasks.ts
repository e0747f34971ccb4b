/** Processes and threads. */
import { hex } from '../inspect/hex';
import { LinuxError, optional } from './errors';
import type { KernelReader, Structure } from './structure';
import { stateNames, type TaskState, taskState } from './task-state';

const PF_WQ_WORKER = 0x20;
const PF_KTHREAD = 0x200000;
/** More CPUs than any kernel is built for. */
const MOST_CPUS = 8192;
const NAME_LENGTH = 64;

/** More threads than any machine runs: corrupt lists that all lead to each other end there. */
const MOST_THREADS = 0x10000;

/** A process, a thread or an idle task. */
export interface Task {
    /** Address of its `task_struct`, by which it is named everywhere. */
    readonly address: bigint;
    /** Number of the thread; 0 for idle tasks. */
    readonly pid: number;
    /** Number of the process: the pid of its first thread. */
    readonly tgid: number;
    /** Number of the process that waits for this one; 0 for none. */
    readonly ppid: number;
    /** As `ps` calls it: workers tell what they work on. */
    readonly name: string;
    readonly state: TaskState;
    readonly isKernelThread: boolean;
    /** The CPU that it runs on, or ran on last. */
    readonly cpu: number;
    /** Whether it is what its CPU executes. */
    readonly running: boolean;
    /** As it would stand in CR3 while the task runs in the kernel; absent for kernel threads, which have no memory. */
    readonly cr3?: bigint;
    /** User that it acts as (`cred.uid`); absent where it cannot be read. */
    readonly uid?: number;
    /** Nanoseconds since the start of the machine. */
    readonly startTime?: bigint;
    /** What is wrong with its structure. */
    readonly problem?: string;
}

/** A process with its threads. */
export interface Process extends Task {
    /** All of its threads but the first, which is the process itself. */
    readonly threads: readonly Task[];
}

export interface TaskList {
    /** In the order of the kernel's list: by age. */
    readonly processes: readonly Process[];
    /** One a CPU: what it executes where there is nothing to do. */
    readonly idle: readonly Task[];
    /** Where lists end before they should. */
    readonly problems: readonly string[];
}

/** @throws LinuxError if the kernel has no tasks as this knows them */
export function listTasks(reader: KernelReader): TaskList {
    const list = new TaskLister(reader);
    return list.list();
}

/** One task by the address of its structure. @throws LinuxError if there is none */
export function taskAt(reader: KernelReader, address: bigint): Task {
    return new TaskLister(reader).task(reader.at('task_struct', address));
}

/** CPUs that this kernel has areas for: those that have run. */
export function onlineCpus(reader: KernelReader): number[] {
    // A kernel for one processor has no mask.
    const mask = reader.kernel.address('__cpu_online_mask') ?? reader.kernel.address('cpu_online_bits');
    const type = reader.layout.record('cpumask');
    if (mask === undefined || type === undefined) {
        return [0];
    }
    const bytes = reader.bytes(mask, Math.min(type.size, MOST_CPUS / 8));
    return [...bytes].flatMap((byte, index) =>
        [0, 1, 2, 3, 4, 5, 6, 7].filter(bit => (byte & (1 << bit)) !== 0).map(bit => index * 8 + bit),
    );
}

/** Address of the task that a CPU executes. @throws LinuxError if it cannot be told */
export function currentTask(reader: KernelReader, cpu: number): bigint {
    // From 6.2 to 6.14 it was in a structure with other often used things.
    const hot = reader.layout.record('pcpu_hot');
    const field = hot && reader.layout.field(hot, 'current_task');
    const at =
        field === undefined
            ? reader.perCpu('current_task', cpu)
            : reader.perCpu('pcpu_hot', cpu) + BigInt(field.offset);
    return reader.number(at, 8);
}

class TaskLister {
    private readonly names: readonly string[];
    private readonly running = new Map<bigint, number>();
    private readonly problems: string[] = [];
    private readonly cpus: readonly number[];
    private threadsLeft = MOST_THREADS;

    constructor(private readonly reader: KernelReader) {
        this.names = stateNames(reader);
        this.cpus = this.readable('the CPUs', () => onlineCpus(reader)) ?? [0];
        for (const cpu of this.cpus) {
            const current = this.readable(`the current task of CPU ${cpu}`, () => currentTask(reader, cpu));
            if (current !== undefined) this.running.set(current, cpu);
        }
    }

    list(): TaskList {
        const { reader, problems } = this;
        const first = reader.global('init_task', 'task_struct');
        const leaders = reader.list(first.addressOf('tasks'), 'task_struct', 'tasks');
        if (leaders.problem !== undefined) problems.push(`tasks: ${leaders.problem}`);
        const processes = leaders.items.map(leader => ({ ...this.task(leader), threads: this.threads(leader) }));
        return { processes, idle: this.idle(first), problems };
    }

    task(task: Structure): Task {
        try {
            return this.read(task);
        } catch (error) {
            if (!(error instanceof LinuxError)) throw error;
            const state = { letter: '?', name: 'unreadable' };
            const unknown = { pid: -1, tgid: -1, ppid: 0, name: `task_struct at ${hex(task.address)}`, cpu: -1 };
            const { address } = task;
            return { address, ...unknown, state, isKernelThread: false, running: false, problem: error.message };
        }
    }

    private read(task: Structure): Task {
        const flags = task.number('flags');
        const isKernelThread = (flags & PF_KTHREAD) !== 0;
        const running = this.running.get(task.address);
        const parent = task.pointer('real_parent');
        const mm = isKernelThread ? undefined : task.pointer('mm');
        const comm = task.string('comm');
        return {
            address: task.address,
            pid: task.number('pid'),
            tgid: task.number('tgid'),
            ppid: parent === undefined ? 0 : parent.number('tgid'),
            name: comm + ((flags & PF_WQ_WORKER) === 0 ? '' : (optional(() => work(task)) ?? '')),
            state: taskState(task, this.names),
            isKernelThread,
            cpu: running ?? optional(() => task.number(task.either('thread_info.cpu', 'cpu'))) ?? 0,
            running: running !== undefined,
            cr3: mm && optional(() => pageTableRoot(mm)),
            uid: optional(() => task.pointer('cred')?.number('uid.val')),
            startTime: optional(() => task.big(task.either('start_boottime', 'real_start_time', 'start_time'))),
        };
    }

    private threads(leader: Structure): Task[] {
        const all = this.readable(`the threads of the task at ${hex(leader.address)}`, () => {
            // Since 3.14 they hang on what threads share, before they formed a ring.
            const shared = leader.pointer('signal');
            if (shared?.has('thread_head') !== true) {
                return leader.has('thread_group')
                    ? leader.list('thread_group', 'task_struct', 'thread_group', this.threadsLeft)
                    : undefined;
            }
            return shared.list('thread_head', 'task_struct', 'thread_node', this.threadsLeft);
        });
        if (all?.problem !== undefined) {
            this.problems.push(`threads of the task at ${hex(leader.address)}: ${all.problem}`);
        }
        this.threadsLeft -= Math.min(this.threadsLeft - 1, all?.items.length ?? 0);
        return (all?.items ?? []).filter(({ address }) => address !== leader.address).map(thread => this.task(thread));
    }

    private idle(first: Structure): Task[] {
        const type = this.reader.layout.record('rq');
        if (type === undefined || this.reader.kernel.address('runqueues') === undefined) {
            return [this.task(first)];
        }
        return this.cpus.flatMap(cpu => {
            const task = this.readable(`the idle task of CPU ${cpu}`, () =>
                this.reader.at(type, this.reader.perCpu('runqueues', cpu)).pointer('idle'),
            );
            return task === undefined ? [] : [this.task(task)];
        });
    }

    private readable<T>(what: string, read: () => T): T | undefined {
        try {
            return read();
        } catch (error) {
            if (!(error instanceof LinuxError)) throw error;
            this.problems.push(`${what}: ${error.message}`);
            return undefined;
        }
    }
}

/** What a worker of a work queue works on (`+`), or has worked on last (`-`). */
function work(task: Structure): string {
    // Until 5.16 threads of the kernel kept their data where processes keep the address of their thread's number.
    const thread = task.pointer(task.either('worker_private', 'set_child_tid'), 'kthread');
    const worker = thread?.pointer('data', 'worker');
    const description = worker === undefined || worker.big('pool') === 0n ? '' : worker.string('desc', NAME_LENGTH);
    return description === '' ? '' : `${worker!.big('current_work') === 0n ? '-' : '+'}${description}`;
}

/** What CR3 holds for an address space, apart from the identifier of its translations. */
export function pageTableRoot(mm: Structure): bigint | undefined {
    const physical = mm.reader.memory.physical(mm.big('pgd'));
    return physical === undefined ? undefined : BigInt(physical);
}
