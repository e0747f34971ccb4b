/** Requests of the Linux view. */
import { hex } from '../inspect/hex';
import { LinuxError } from '../linux/errors';
import { commandLine, memoryMap } from '../linux/memory-map';
import { openFiles } from '../linux/open-files';
import type { KernelReader, Listed } from '../linux/structure';
import { type TaskFrame, taskRegisters, taskStack } from '../linux/task-stack';
import { listTasks, type Task, taskAt } from '../linux/tasks';
import type {
    LinuxFrame,
    LinuxPart,
    LinuxRegister,
    LinuxTaskBody,
    LinuxTaskItem,
    LinuxTasksBody,
} from '../messages/linux';
import { LinuxContext } from './linux-context';
import { linuxTableRequests } from './linux-tables';
import type { InspectionContext } from './inspection-context';
import type { RequestHandlers } from './protocol-session';

const LONGEST_BANNER = 512;

export function linuxRequests(inspection: InspectionContext): RequestHandlers {
    const context = new LinuxContext(inspection);
    return {
        'hyperscope/linuxTasks': () => tasks(context),
        'hyperscope/linuxTask': args => task(context, args.string('task')),
        ...linuxTableRequests(context),
    };
}

export async function tasks(context: LinuxContext): Promise<LinuxTasksBody> {
    return context.read(reader => {
        const { processes, idle, problems } = listTasks(reader);
        return {
            banner: reader.string(reader.address('linux_banner'), LONGEST_BANNER).trimEnd(),
            origin: reader.kernel.origin,
            processes: processes.map(process => ({
                ...taskItem(reader, process),
                threads: process.threads.map(thread => taskItem(reader, thread)),
            })),
            idle: idle.map(one => taskItem(reader, one)),
            problems,
        };
    });
}

function taskItem(reader: KernelReader, found: Task): LinuxTaskItem {
    const { address, pid, tgid, ppid, name, state, isKernelThread, cpu, running, cr3, uid, problem } = found;
    return {
        ...{ task: hex(address), pid, tgid, ppid, name, state: state.letter, stateName: state.name },
        ...{ kernelThread: isKernelThread, cpu, running, uid, problem },
        cr3: cr3 === undefined ? undefined : hex(cr3),
        command: cr3 === undefined ? undefined : commandLine(reader, address),
    };
}

/** @param name an address, or the number of a thread */
export async function task(context: LinuxContext, name: string): Promise<LinuxTaskBody> {
    const found = await context.read(reader => taskItem(reader, findTask(reader, name)));
    const address = BigInt(found.task);
    const { toLocal } = context.linux;
    const running = found.running ? await runningStack(context, found.cpu) : undefined;
    return context.read(reader => {
        const structure = reader.at('task_struct', address);
        const registers = readable(() => taskRegisters(structure, found.running));
        return {
            item: found,
            stack:
                running ?? part(() => ({ items: taskStack(reader, address).map(frame => frameItem(frame, toLocal)) })),
            registers: {
                items: (registers.value?.kernel ?? []).map(registerItem),
                problem:
                    registers.problem ?? (found.running ? `it runs: vCPU ${found.cpu} has its registers` : undefined),
            },
            userRegisters: {
                items: (registers.value?.user ?? []).map(registerItem),
                problem: found.kernelThread ? 'a thread of the kernel has no user code' : registers.problem,
            },
            memory: part(() => {
                const { items, problem } = memoryMap(reader, address);
                const none = found.cr3 === undefined ? 'it has no memory of its own' : undefined;
                return {
                    items: items.map(({ first, end, rights, offset, name: file }) => ({
                        ...{ first: hex(first), last: hex(end - 1n), rights, offset: hex(offset), name: file },
                    })),
                    problem: problem ?? none,
                };
            }),
            files: part(() => {
                const { items, problem } = openFiles(reader, address);
                return {
                    items: items.map(({ number, address: file, name: path, access, position }) => ({
                        ...{ number, file: hex(file), name: path, access },
                        position: position === undefined ? undefined : hex(position),
                    })),
                    problem,
                };
            }),
        };
    });
}

/** @throws LinuxError if there is none of that name */
function findTask(reader: KernelReader, name: string): Task {
    if (/^0x[0-9a-f]{1,16}$/i.test(name)) {
        return taskAt(reader, BigInt(name));
    }
    const { processes, idle } = listTasks(reader);
    const number = Number(name);
    const all = [...processes.flatMap(process => [process, ...process.threads]), ...idle];
    const found = all.find(({ pid }) => pid === number);
    if (!/^\d+$/.test(name) || found === undefined) {
        throw new LinuxError(`there is no task '${name}': give its number or the address of its task_struct`);
    }
    return found;
}

async function runningStack({ inspection }: LinuxContext, vcpu: number): Promise<LinuxPart<LinuxFrame>> {
    const { target } = inspection;
    if (vcpu >= target.vcpus) {
        return { items: [], problem: `there is no vCPU ${vcpu}` };
    }
    const frames = await target.stack(vcpu);
    return {
        items: frames.map(({ pc, stackPointer, symbol, origin, inlined, guessed, source }) => ({
            ...{ pc: hex(pc), stackPointer: hex(stackPointer), symbol, inlined },
            origin: guessed === true ? 'guessed' : origin,
            source: source && { path: source.path, line: source.line },
        })),
    };
}

function frameItem(frame: TaskFrame, toLocal: ((path: string) => string | undefined) | undefined): LinuxFrame {
    const { pc, stackPointer, symbol, origin, inlined, user, source } = frame;
    return {
        ...{ pc: hex(pc), stackPointer: hex(stackPointer), symbol, origin, inlined, user },
        source: source && { path: toLocal?.(source.path) ?? source.path, line: source.line },
    };
}

function registerItem({ name, value }: { readonly name: string; readonly value: bigint }): LinuxRegister {
    return { name, value: hex(value) };
}

/** One thing that cannot be read leaves the others. */
export function part<T>(read: () => Listed<T>): LinuxPart<T> {
    const { value, problem } = readable(read);
    return value ?? { items: [], problem };
}

function readable<T>(read: () => T): { readonly value?: T; readonly problem?: string } {
    try {
        return { value: read() };
    } catch (error) {
        if (!(error instanceof LinuxError)) throw error;
        return { problem: error.message };
    }
}
