/** What is seen of Linux from outside, held against what Linux itself says. */
import assert from 'node:assert/strict';
import { regionNames } from '../../src/linux/regions';
import { SymbolFiles } from '../../src/dap/symbol-files';
import { MachineInspection } from '../../src/debug/machine-inspection';
import { KernelLocator } from '../../src/debug/source/kernel-locator';
import { LinearMemory } from '../../src/inspect/linear-memory';
import type { KernelFinder } from '../../src/linux/kernel';
import { RunningKernel } from '../../src/linux/kernel-source';
import { commandLine, memoryMap } from '../../src/linux/memory-map';
import { logLines, readLog } from '../../src/linux/log';
import { MemoryKernels } from '../../src/linux/memory-kernel';
import { openFiles } from '../../src/linux/open-files';
import { ProgramKernels } from '../../src/linux/program-kernel';
import type { KernelReader } from '../../src/linux/structure';
import { TABLES } from '../../src/linux/tables';
import { taskStack } from '../../src/linux/task-stack';
import { listTasks, type Process } from '../../src/linux/tasks';
import { debugKernel, guestsDirectory, needs, type Requirement } from '../support/requirements';
import { LinuxGuest, linuxFiles } from './support/linux';

/** Some processes, one of them dead and not waited for, one with a file and a pipe; then `ps`, as often as Enter is pressed. */
const COMMAND = [
    'mkdir /mnt; mount -t tmpfs none /mnt; cp /bin/busybox /mnt/other',
    'sleep 1000 3>/mnt/file & sleep 1001 </dev/null | cat &',
    'sh -c "sleep 0 & exec sleep 1002" &',
    'cat /proc/$$/maps; ip link set lo up; cat /proc/mounts /proc/interrupts /proc/slabinfo; echo LOG; dmesg; echo LOG',
    'for f in /proc/[0-9]*; do echo STACK ${f#/proc/}; cat $f/stack 2>/dev/null; done',
    'for f in /proc/[0-9]*; do echo SYSCALL ${f#/proc/} $(cat $f/syscall 2>/dev/null); done',
    'while :; do ps -o pid,ppid,stat,comm; echo READY; read line; done',
].join('\n');

interface Line {
    readonly pid: number;
    readonly ppid: number;
    readonly letter: string;
    readonly name: string;
}

/** busybox cuts names off here. */
const NAME = 15;

class Guest {
    readonly guest = new LinuxGuest({
        commandLine: `console=ttyS0 pti=on hs.cmd=${encodeURIComponent(COMMAND)}`,
        cpus: 2,
    });
    private from = 0;

    /** What is printed until the next `READY`. */
    next(): string {
        const { guest } = this;
        while (!guest.console.includes('READY\r\n', this.from)) {
            const { reason } = guest.machine.run({ instructions: 1_000_000 });
            assert.equal(reason, 'budget', guest.console.slice(-2000));
        }
        const end = guest.console.indexOf('READY\r\n', this.from);
        const text = guest.console.slice(this.from, end).replaceAll('\r', '');
        this.from = end + 7;
        return text;
    }
}

function readPs(text: string): Map<number, Line> {
    const lines = [...text.matchAll(/^ *(\d+) +(\d+) (\S)\S* +(\S.*)$/gm)].map(([, pid, ppid, letter, name]) => ({
        ...{ pid: Number(pid), ppid: Number(ppid), letter },
        name: name.trim(),
    }));
    return new Map(lines.filter(({ name }) => name !== 'ps').map(line => [line.pid, line]));
}

/** Whether the same is true of a task in two listings: workers come and go, and work, between them. */
function same(one: Line | undefined, other: Line | undefined): boolean {
    return one?.ppid === other?.ppid && one?.letter === other?.letter && one?.name === other?.name;
}

const lineOf = ({ pid, ppid, state, name }: Process): Line => ({
    pid,
    ppid,
    letter: state.letter,
    name: name.slice(0, NAME),
});

/** A worker is also named after what it does or did last, which may be something else between two listings. */
function withoutWork(line: Line): Line {
    return { ...line, name: line.name.replace(/^(kworker\/[^-+]*)[-+].*/, '$1') };
}

interface Case {
    readonly title: string;
    readonly needs: Requirement;
    finders(guest: LinuxGuest): Promise<KernelFinder[]>;
}

const withSymbols: Case = {
    title: 'with its symbol file',
    needs: debugKernel,
    async finders({ machine }) {
        const files = new SymbolFiles();
        files.add('symbols', `${guestsDirectory}/vmlinux-cloud`);
        const [program] = files.programs.programs;
        while (program.isIndexing) await new Promise(resolve => setTimeout(resolve, 100));
        const memory = new LinearMemory(new MachineInspection(machine, files.table, 0));
        const [place] = new KernelLocator(files.programs, (at, length) => memory.read(at, length).bytes).find();
        program.slide = place.slide;
        return [new ProgramKernels(files.programs)];
    },
};

const fromMemory: Case = {
    title: 'by what it keeps of itself in memory',
    needs: linuxFiles,
    finders: async () => [new MemoryKernels()],
};

for (const kind of [fromMemory, withSymbols]) {
    describe(`Linux seen from outside, ${kind.title}`, function () {
        this.timeout(400_000);
        let guest: Guest;
        let kernel: RunningKernel;
        let first: string;
        const reader = (): KernelReader => kernel.reader(new MachineInspection(guest.guest.machine, files, 0));
        const files = new SymbolFiles().table;

        before(async function () {
            needs(this, linuxFiles, kind.needs);
            guest = new Guest();
            first = guest.next();
            kernel = new RunningKernel(await kind.finders(guest.guest));
        });

        it('has the tasks that ps prints, at several stops', () => {
            let before = readPs(first);
            for (let round = 0; round < 4; round++) {
                const { processes, problems } = listTasks(reader());
                const found = new Map(processes.map(process => [process.pid, process]));
                guest.guest.type('\n');
                const after = readPs(guest.next());
                assert.deepEqual(problems, []);
                for (const [pid, line] of before) {
                    if (!same(line, after.get(pid))) continue;
                    const process = found.get(pid);
                    assert.ok(process !== undefined, `${pid} (${line.name}) is missing`);
                    // Threads of the kernel may be at work at any time.
                    const working = process.isKernelThread && process.state.letter === 'R';
                    const own = lineOf(process);
                    const compared = working ? { ...own, letter: line.letter, name: line.name } : own;
                    assert.deepEqual(withoutWork(compared), withoutWork(line));
                }
                for (const process of processes) {
                    const known = before.has(process.pid) || after.has(process.pid);
                    assert.ok(known || process.isKernelThread, `${process.pid} (${process.name}) is nobody`);
                }
                assert.ok(before.size > 40 && found.size > 40);
                assert.ok(
                    [...before.values()].some(({ letter }) => letter === 'Z'),
                    'there is a zombie',
                );
                before = after;
            }
        });

        const shell = (): Process => {
            const found = listTasks(reader()).processes.find(process =>
                commandLine(reader(), process.address)?.includes('/mnt/other'),
            );
            assert.ok(found !== undefined, 'the shell');
            return found;
        };

        it('has the memory map and the open files that /proc tells', () => {
            const own = memoryMap(reader(), shell().address);
            assert.equal(own.problem, undefined);
            const lines = own.items.map(({ first: start, end, rights, offset, name }) =>
                `${start.toString(16).padStart(8, '0')}-${end.toString(16).padStart(8, '0')} ${rights} ${offset.toString(16).padStart(8, '0')} ${name}`.trim(),
            );
            const maps = [...first.matchAll(/^([0-9a-f]+-[0-9a-f]+ \S+ [0-9a-f]+) \S+ \d+ *(.*)$/gm)].map(
                ([, head, name]) => `${head} ${name}`.trim(),
            );
            assert.ok(maps.length >= 8, first);
            assert.deepEqual(lines, maps);
            const sleeper = listTasks(reader()).processes.find(
                ({ address }) => commandLine(reader(), address) === 'sleep 1000',
            );
            const names = openFiles(reader(), sleeper!.address).items.map(
                ({ number, name, access }) => `${number} ${name} ${access}`,
            );
            assert.deepEqual(names.slice(1), [
                '1 /dev/console read and write',
                '2 /dev/console read and write',
                '3 /mnt/file write',
            ]);
            const pipe = listTasks(reader()).processes.find(({ name }) => name === 'cat');
            assert.match(openFiles(reader(), pipe!.address).items[0].name, /^pipe:\[\d+\]$/);
        });

        const rows = (name: keyof typeof TABLES): string[] => {
            const { rows: all, problem } = TABLES[name](reader());
            assert.equal(problem, undefined, name);
            return all.map(({ cells }) => cells.join(' | '));
        };

        it('has the log that dmesg prints', () => {
            const { items, problem } = readLog(reader());
            assert.equal(problem, undefined);
            const printed = first.split('LOG\n')[1].trimEnd().split('\n');
            assert.ok(printed.length > 200);
            const own = items.flatMap(logLines);
            assert.deepEqual(own.slice(0, printed.length), printed);
        });

        it('has the mounts, devices, interrupts and slab caches that /proc tells', () => {
            const mounts = [...first.matchAll(/^(\S+) (\/\S*) (\S+) (r[ow])\b.* 0 0$/gm)].map(
                ([, device, at, type, rights]) => [at, type, device, rights].join(' | '),
            );
            assert.ok(mounts.length >= 5);
            assert.deepEqual(
                rows('mounts').map(row => row.replace(/,.*/, '')),
                mounts,
            );
            assert.match(
                rows('network').join('\n'),
                /^lo \| up \| 65536 \| 00:00:00:00:00:00 \| 127\.0\.0\.1\/8 \| loopback_ops/,
            );
            const interrupts = [...first.matchAll(/^ *(\d+): +(\d+) +(\d+) +(\S+) +(\S+) +(\S+)$/gm)];
            assert.ok(interrupts.length >= 5);
            const own = rows('interrupts').map(row => row.split(' | '));
            for (const [, irq, , , chip, flow, name] of interrupts) {
                const row = own.find(cells => cells[0] === irq);
                assert.equal(row?.[3], `${chip} ${flow}`);
                assert.equal(row?.[4].split(' ')[0], name);
            }
            const slabs = [...first.matchAll(/^(\S+) +\d+ +(\d+) +\d+ .*: slabdata +\d+ +(\d+) /gm)];
            assert.ok(slabs.length > 50);
            const caches = new Map(rows('slabs').map(row => [row.split(' | ')[0], row.split(' | ')]));
            // Most hold as much as before, and all are there.
            const equal = slabs.filter(([, name, objects]) => caches.get(name)?.[1] === objects);
            assert.ok(slabs.every(([, name]) => caches.has(name)));
            assert.ok(equal.length > slabs.length / 2, `${equal.length} of ${slabs.length}`);
        });

        it('has timers, modules and the areas of the vmalloc space', () => {
            assert.match(rows('timers').join('\n'), /high resolution \| at \d+\.\d+ s \| hrtimer_wakeup/);
            assert.match(rows('timers').join('\n'), /wheel \| [+-]\d+ ticks \| \w+/);
            assert.deepEqual(rows('modules'), []);
            assert.match(rows('vmalloc').join('\n'), /0x\w+-0x\w+ \| 20480 \| vmalloc \| kernel_clone\+0x/);
        });

        it('names the regions of memory', () => {
            const { processes } = listTasks(reader());
            const own = processes.find(({ state, name }) => state.letter === 'S' && name === 'sleep')!;
            const name = regionNames(reader(), own.cr3!);
            const page = (first: bigint): string | undefined => name(first, first + 0xfffn);
            for (const process of processes) {
                // What is dead has given its stack back.
                if (process.state.letter === 'Z') continue;
                const stack = reader().at('task_struct', process.address).big('stack');
                assert.equal(name(stack, stack + 0x3fffn), `stack of ${process.name} (${process.pid})`);
            }
            const symbol = (text: string): bigint => reader().address(text);
            assert.deepEqual([symbol('_text'), symbol('linux_banner'), symbol('init_task')].map(page), [
                ...['kernel text', 'kernel read-only data', 'kernel data'],
            ]);
            const direct = reader().globalPointer('page_offset_base');
            assert.equal(name(direct, direct + 0x1000000n), 'direct map');
            assert.match(page(own.address & ~0xfffn) ?? '', /^slab cache task_struct$/);
            assert.equal(page(reader().globalPointer('vmemmap_base')), 'struct page of all frames');
            for (const [, start, end, kind, caller] of rows('vmalloc').map(row =>
                /^(0x\w+)-(0x\w+) \| \d+ \| (\w*).* \| (\w*)/.exec(row)!,
            )) {
                if (caller === 'kernel_clone' || kind === 'vm_map_ram') continue;
                assert.equal(name(BigInt(start), BigInt(end) - 1n), `vmalloc by ${caller}`);
            }
            const { items } = memoryMap(reader(), own.address);
            for (const { first: start, end, name: file } of items) {
                assert.equal(name(start, end - 1n), file || `memory of sleep (${own.pid})`);
            }
            assert.equal(page(0x10000n), undefined);
            assert.equal(regionNames(reader(), own.cr3! | 0x1000n)(items[0].first, items[0].first), items[0].name);
        });

        it('has the kernel stacks that /proc tells', () => {
            const stacks = [...first.matchAll(/^STACK (\d+)\n((?:\[<0>\] .*\n)*)/gm)];
            let compared = 0;
            for (const process of listTasks(reader()).processes) {
                const text = stacks.find(([, pid]) => Number(pid) === process.pid)?.[2] ?? '';
                if (process.running || text === '' || process.state.letter === 'R') continue;
                const places = [...text.matchAll(/^\[<0>\] (\S+)\/0x/gm)].map(([, place]) => place);
                const own = taskStack(reader(), process.address)
                    .filter(({ inlined }) => inlined !== true)
                    .map(({ pc }) => reader().kernel.symbol(pc) ?? '');
                // It leaves out the scheduler's functions, and names the last one by its second symbol.
                const ends = own.filter(place => place !== '').slice(-places.length);
                const plain = (all: readonly string[]): string =>
                    all.map(place => (place.startsWith('entry_SYSCALL_64') ? 'entry' : place)).join();
                // Those that have woken up since are elsewhere now.
                if (plain(ends) === plain(places)) compared++;
                else
                    assert.ok(
                        process.isKernelThread || ['sh', 'init'].includes(process.name),
                        `${process.name}: ${own.join()}, but\n${text}`,
                    );
            }
            assert.ok(compared > 20, `${compared} stacks are equal`);
        });

        it('follows them to the user code that /proc tells, and on to its callers', () => {
            const calls = [...first.matchAll(/^SYSCALL (\d+) \d+ .*(0x[0-9a-f]+) (0x[0-9a-f]+)$/gm)];
            let compared = 0;
            let callers = 0;
            for (const process of listTasks(reader()).processes) {
                const [, , sp, pc] = calls.find(([, pid]) => Number(pid) === process.pid) ?? [];
                if (process.state.letter !== 'S' || !/^(?:sleep|cat)$/.test(process.name)) continue;
                const frames = taskStack(reader(), process.address);
                const user = frames.findIndex(({ symbol }) => symbol?.startsWith('user mode: '));
                assert.deepEqual([frames[user].pc, frames[user].stackPointer], [BigInt(pc), BigInt(sp)]);
                assert.match(frames[user].symbol ?? '', /^user mode: busybox\+0x[0-9a-f]+$/);
                assert.equal(frames[user].origin, 'orc', 'without a gap');
                compared++;
                const memory = reader().memory.space(process.cr3!);
                // What calls a function that the inner frame is in: CALL rel32, and some of them are.
                for (const [index, { pc: back }] of frames.slice(user + 1).entries()) {
                    const call = Buffer.from(memory.read(back - 5n, 5).bytes);
                    if (call[0] !== 0xe8) continue;
                    const into = frames[user + index].pc - (back + BigInt(call.readInt32LE(1)));
                    assert.ok(into >= 0n && into < 0x400n, `${frames[user + index].symbol}: 0x${into.toString(16)}`);
                    callers++;
                }
            }
            assert.ok(compared >= 4, `${compared} processes`);
            assert.ok(callers >= 4, `${callers} callers`);
        });
    });
}
