/** Tasks of a kernel that a test puts together, in the layout of recent and of old kernels. */
import { type CType } from '../../../src/symbols/types';
import { array, char, i32, i64, pointer, SyntheticKernel, u32, u64 } from './synthetic-kernel';

export interface TaskValues {
    readonly pid: number;
    readonly tgid?: number;
    readonly name: string;
    readonly state?: number;
    readonly exit?: number;
    readonly flags?: number;
    readonly parent?: bigint;
    readonly mm?: bigint;
}

export const PF_KTHREAD = 0x200000;

export class SyntheticTasks extends SyntheticKernel {
    readonly first: bigint;
    private readonly leaders: bigint[] = [];

    /** @param old as kernels were before 3.14: threads in a ring, `state`, areas on a list, one processor */
    constructor(private readonly old = false) {
        super();
        const list = this.struct('list_head', { next: u64, prev: u64 });
        const node: CType = this.struct('hlist_node', { next: u64, pprev: u64 });
        this.struct('hlist_bl_node', { next: u64, pprev: u64 });
        this.struct('signal_struct', old ? { live: i32 } : { live: i32, thread_head: list });
        const threadInfo = this.struct('thread_info', { flags: u64, cpu: u32 });
        const thread = this.struct('thread_struct', { tls: u64, sp: u64 });
        this.struct('cred', { uid: this.struct(undefined, { val: u32 }) });
        const tree = this.struct('maple_tree', { ma_flags: u32, ma_root: u64 });
        const addresses = { brk: u64, start_brk: u64, start_stack: u64, arg_start: u64, arg_end: u64, pgd: u64 };
        this.struct('mm_struct', old ? { mmap: u64, ...addresses } : { mm_mt: tree, ...addresses });
        this.struct('task_struct', {
            ...(old ? {} : { thread_info: threadInfo }),
            [old ? 'state' : '__state']: old ? i64 : u32,
            stack: u64,
            flags: u32,
            exit_state: i32,
            ...(old ? { cpu: u32, thread_group: list } : { thread_node: list }),
            worker_private: u64,
            set_child_tid: u64,
            tasks: list,
            mm: pointer(this.forward('mm_struct')),
            files: pointer(this.forward('files_struct')),
            pid: i32,
            tgid: i32,
            real_parent: pointer(this.forward('task_struct')),
            signal: pointer(this.forward('signal_struct')),
            cred: pointer(this.forward('cred')),
            start_time: u64,
            comm: array(char, 16),
            thread,
        });
        this.struct('vm_area_struct', {
            ...{ vm_start: u64, vm_end: u64, vm_next: u64, vm_mm: u64, vm_flags: u64, vm_pgoff: u64, vm_ops: u64 },
            ...{ vm_file: pointer(this.forward('file')), vm_private_data: u64 },
        });
        this.struct('maple_range_64', { parent: u64, pivot: array(u64, 15), slot: array(u64, 16) });
        this.struct('maple_arange_64', {
            parent: u64,
            pivot: array(u64, 9),
            slot: array(u64, 10),
            gap: array(u64, 10),
        });
        void node;
        this.first = this.task({ pid: 0, name: 'swapper/0', flags: PF_KTHREAD }, 'init_task');
        const current = this.allocate(8, 'current_task');
        this.number(current, this.first, 8);
    }

    task(values: TaskValues, name?: string): bigint {
        const { old } = this;
        const at = this.make('task_struct', {}, name);
        const signal = this.make('signal_struct');
        this.set('task_struct', at, {
            ...{
                pid: values.pid,
                tgid: values.tgid ?? values.pid,
                comm: values.name,
                flags: values.flags ?? 0,
                signal,
            },
            ...{ [old ? 'state' : '__state']: values.state ?? 0, exit_state: values.exit ?? 0 },
            ...{ real_parent: values.parent ?? at, mm: values.mm ?? 0 },
        });
        const isLeader = values.tgid === undefined || values.tgid === values.pid;
        if (isLeader && values.pid !== 0) this.leaders.push(at);
        if (isLeader) this.threads(at, []);
        this.relink();
        return at;
    }

    /** Gives a process further threads. */
    threads(leader: bigint, threads: readonly bigint[]): void {
        const task = this.reader.at('task_struct', leader);
        if (this.old) {
            const nodes = threads.map(at => this.reader.at('task_struct', at).addressOf('thread_group'));
            this.link(task.addressOf('thread_group'), nodes);
            return;
        }
        const head = task.pointer('signal')!.addressOf('thread_head');
        this.link(
            head,
            [leader, ...threads].map(at => this.reader.at('task_struct', at).addressOf('thread_node')),
        );
    }

    private relink(): void {
        const { reader } = this;
        const node = (at: bigint): bigint => reader.at('task_struct', at).addressOf('tasks');
        const first = this.first as bigint | undefined;
        if (first !== undefined) this.link(node(first), this.leaders.map(node));
        else this.link(reader.global('init_task', 'task_struct').addressOf('tasks'), []);
    }

    /** `task_state_array` with these strings. */
    stateNames(names: readonly string[]): void {
        const at = this.allocate(names.length * 8 + 8, 'task_state_array');
        names.forEach((name, index) => this.number(at + BigInt(index * 8), this.text(name), 8));
    }

    text(value: string): bigint {
        const bytes = new TextEncoder().encode(`${value}\0`);
        const at = this.allocate(bytes.length);
        this.write(at, bytes);
        return at;
    }
}
