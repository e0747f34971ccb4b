import assert from 'node:assert/strict';
import { LinuxError } from '../../../src/linux/errors';
import { commandLine, memoryMap } from '../../../src/linux/memory-map';
import { openFiles } from '../../../src/linux/open-files';
import { taskRegisters, taskStack } from '../../../src/linux/task-stack';
import { taskState, stateNames } from '../../../src/linux/task-state';
import { listTasks } from '../../../src/linux/tasks';
import { Random } from '../../support/random';
import { array, BASE, char, pointer, u32, u64, u8 } from './synthetic-kernel';
import { PF_KTHREAD, SyntheticTasks } from './synthetic-tasks';

const PF_WQ_WORKER = 0x20;

describe('tasks of a kernel', () => {
    for (const old of [false, true]) {
        it(`lists processes with their threads${old ? ', as old kernels keep them' : ''}`, () => {
            const kernel = new SyntheticTasks(old);
            const mm = kernel.make('mm_struct', { pgd: kernel.allocate(4096, undefined, 4096) });
            const init = kernel.task({ pid: 1, name: 'init', state: 1, mm });
            kernel.task({ pid: 2, name: 'kthreadd', state: 1, flags: PF_KTHREAD });
            const server = kernel.task({ pid: 50, name: 'server', state: 1, parent: init, mm });
            const worker = kernel.task({ pid: 51, tgid: 50, name: 'worker', state: 2, parent: init, mm });
            kernel.threads(server, [worker]);
            const { processes, idle, problems } = listTasks(kernel.reader);

            assert.deepEqual(problems, []);
            assert.deepEqual(
                processes.map(({ pid, ppid, name, state, isKernelThread, threads }) => [
                    ...[pid, ppid, name, state.letter, isKernelThread],
                    threads.map(thread => [thread.pid, thread.tgid, thread.name, thread.state.letter]),
                ]),
                [
                    [1, 1, 'init', 'S', false, []],
                    [2, 2, 'kthreadd', 'S', true, []],
                    [50, 1, 'server', 'S', false, [[51, 50, 'worker', 'D']]],
                ],
            );
            assert.deepEqual(
                idle.map(({ name, running }) => [name, running]),
                [['swapper/0', true]],
            );
            assert.equal(processes[0].cr3, BigInt(kernel.physical(kernel.reader.at('mm_struct', mm).big('pgd'))!));
        });
    }

    it('tells states by the letters of ps', () => {
        const kernel = new SyntheticTasks();
        const letter = (state: number, exit = 0): string => {
            const task = kernel.task({ pid: 9, name: 'x', state, exit });
            return taskState(kernel.reader.at('task_struct', task), stateNames(kernel.reader)).letter;
        };
        assert.deepEqual(
            [0, 1, 2, 4, 8, 0x40, 0x402, 0x102, 0x104, 0x1000, 0x8000].map(state => letter(state)),
            ['R', 'S', 'D', 'T', 't', 'P', 'I', 'D', 'T', 'D', 'D'],
        );
        assert.deepEqual([letter(0x80, 0x20), letter(0x80, 0x10), letter(0x200)], ['Z', 'X', 'R']);
    });

    it('tells states by the words of the kernel itself, where their bits meant something else', () => {
        const kernel = new SyntheticTasks(true);
        kernel.stateNames(['R (running)', 'S (sleeping)', 'D (disk sleep)', 'T (stopped)', 't (tracing stop)']);
        assert.equal(stateNames(kernel.reader).length, 9, 'too few to be believed');
        kernel.stateNames([
            ...['R (running)', 'S (sleeping)', 'D (disk sleep)', 'T (stopped)', 't (tracing stop)'],
            ...['Z (zombie)', 'X (dead)'],
        ]);
        const task = kernel.task({ pid: 9, name: 'x', state: 0x40, exit: 0x10 });
        const state = taskState(kernel.reader.at('task_struct', task), stateNames(kernel.reader));
        assert.deepEqual(state, { letter: 'Z', name: 'zombie' });
    });

    it('says what workers of work queues work on', () => {
        const kernel = new SyntheticTasks();
        kernel.struct('kthread', { flags: u64, data: u64 });
        kernel.struct('worker', { current_work: u64, pool: pointer(u8), desc: array(char, 24), id: u32 });
        const task = kernel.task({ pid: 7, name: 'kworker/0:1', flags: PF_KTHREAD | PF_WQ_WORKER });
        const name = (): string => listTasks(kernel.reader).processes[0].name;
        assert.equal(name(), 'kworker/0:1');
        const worker = kernel.make('worker', { desc: 'events', pool: 0x1000 });
        kernel.set('task_struct', task, { worker_private: kernel.make('kthread', { data: worker }) });
        assert.equal(name(), 'kworker/0:1-events');
        kernel.set('worker', worker, { current_work: 1 });
        assert.equal(name(), 'kworker/0:1+events');
    });

    it('shows what is readable of a list that is not, and says so', () => {
        const kernel = new SyntheticTasks();
        kernel.task({ pid: 1, name: 'init' });
        const second = kernel.task({ pid: 2, name: 'second' });
        kernel.task({ pid: 3, name: 'third' });
        kernel.number(kernel.reader.at('task_struct', second).addressOf('tasks'), 0x30n, 8);
        kernel.set('task_struct', second, { signal: 0xffffffff00000000n });
        const { processes, problems } = listTasks(kernel.reader);

        assert.deepEqual(
            processes.map(({ name }) => name),
            ['init', 'second'],
        );
        assert.equal(problems.length, 2);
        assert.match(problems[0], /^tasks: the list leads to 0x30, which is no kernel address/);
        assert.match(problems[1], /^threads of the task at 0x\w+: the list cannot be read: 0xffffffff00000008 /);
    });

    it('ends on memory that anything may stand in', () => {
        const random = new Random(5);
        let listed = 0;
        for (let round = 0; round < 300; round++) {
            const kernel = new SyntheticTasks(round % 2 === 0);
            const mm = kernel.make('mm_struct');
            const all = [1, 2, 3].map(pid => kernel.task({ pid, name: `task ${pid}`, mm }));
            kernel.threads(all[0], [kernel.task({ pid: 9, tgid: 1, name: 'thread', mm })]);
            for (let count = 0; count < 40; count++) {
                // Numbers, and pointers into the midst of things.
                const at = BASE + BigInt(random.below(0x2000)) * 8n;
                const value =
                    random.below(2) === 0 ? BASE + BigInt(random.below(0x10000)) : BigInt(random.below(1 << 30));
                if (kernel.read(at, 8).bytes.length === 8) kernel.number(at, value, 8);
            }
            const { processes, problems } = listTasks(kernel.reader);
            assert.ok(processes.length <= 1000 && problems.length <= 1000);
            for (const { address } of processes.slice(0, 3)) {
                for (const read of [
                    () => memoryMap(kernel.reader, address),
                    () => openFiles(kernel.reader, address),
                    () => commandLine(kernel.reader, address),
                    () => taskRegisters(kernel.reader.at('task_struct', address), false),
                    () => taskStack(kernel.reader, address),
                ]) {
                    try {
                        read();
                        listed++;
                    } catch (error) {
                        assert.ok(error instanceof LinuxError, String(error));
                    }
                }
            }
        }
        assert.ok(listed > 0);
    });

    it('finds the current task where kernels from 6.2 to 6.14 keep it, and idle tasks of several CPUs', () => {
        const kernel = new SyntheticTasks();
        kernel.struct('pcpu_hot', { count: u64, current_task: u64 });
        kernel.struct('rq', { lock: u64, idle: pointer(kernel.forward('task_struct')) });
        kernel.struct('cpumask', { bits: array(u64, 1) });
        kernel.symbols.delete('current_task');
        kernel.number(kernel.allocate(8, '__cpu_online_mask'), 0b11n, 8);
        const offsets = kernel.allocate(16, '__per_cpu_offset');
        const idle = kernel.task({ pid: 0, name: 'swapper/1', flags: PF_KTHREAD });
        const init = kernel.task({ pid: 1, name: 'init' });
        kernel.symbols.set('pcpu_hot', 0x0n);
        kernel.symbols.set('runqueues', 0x40n);
        for (const [cpu, current, idleTask] of [
            [0, init, kernel.first],
            [1, idle, idle],
        ] as const) {
            const area = kernel.allocate(0x80);
            kernel.number(offsets + BigInt(cpu * 8), area, 8);
            kernel.number(area + 8n, current, 8);
            kernel.number(area + 0x48n, idleTask, 8);
        }
        const list = listTasks(kernel.reader);

        assert.deepEqual(list.problems, []);
        assert.deepEqual(
            list.idle.map(({ name, cpu, running }) => [name, cpu, running]),
            [
                ['swapper/0', 0, false],
                ['swapper/1', 1, true],
            ],
        );
        assert.equal(list.processes[0].running, true);
    });
});
