import assert from 'node:assert/strict';
import { commandLine, memoryMap } from '../../../src/linux/memory-map';
import { mapleEntries } from '../../../src/linux/maple-tree';
import { openFiles } from '../../../src/linux/open-files';
import { taskRegisters, taskStack } from '../../../src/linux/task-stack';
import { array, char, pointer, type SyntheticKernel, u32, u64 } from './synthetic-kernel';
import { UserCode } from '../../../src/linux/user-code';
import { SyntheticTasks } from './synthetic-tasks';

/** Address of a maple node as parents keep it. */
const encoded = (node: bigint, kind: number): bigint => node | BigInt((kind << 3) | 2);

describe('maple trees', () => {
    let kernel: SyntheticTasks;
    beforeEach(() => {
        kernel = new SyntheticTasks();
    });

    const node = (type: string, slots: readonly bigint[], pivots: readonly bigint[]): bigint => {
        const at = kernel.allocate(256, undefined, 256);
        kernel.set(type, at, {
            ...Object.fromEntries(slots.map((slot, index) => [`slot[${index}]`, slot])),
            ...Object.fromEntries(pivots.map((pivot, index) => [`pivot[${index}]`, pivot])),
        });
        return at;
    };
    const entries = (root: bigint): ReturnType<typeof mapleEntries> =>
        mapleEntries(kernel.reader.at('maple_tree', kernel.make('maple_tree', { ma_root: root })));

    it('give their entries in order: none, one, a leaf, nodes over leaves', () => {
        assert.deepEqual(entries(0n).items, []);
        assert.deepEqual(entries(0xffffffff81000000n).items, [0xffffffff81000000n]);
        const first = node('maple_range_64', [0n, 0xa0n, 0n, 0xb0n], [0xfffn, 0x1fffn, 0x2fffn, 0x3fffn]);
        const full = Array.from({ length: 16 }, (_, index) => BigInt(0x1000 + index * 16));
        const second = node(
            'maple_range_64',
            full,
            full.slice(0, 15).map((_, index) => BigInt(0x4000 + index)),
        );
        const root = node('maple_arange_64', [encoded(first, 1), encoded(second, 1)], [0x3fffn]);

        assert.deepEqual(entries(encoded(first, 1)).items, [0xa0n, 0xb0n]);
        assert.deepEqual(entries(encoded(root, 3)), { items: [0xa0n, 0xb0n, ...full], problem: undefined });
    });

    it('end with what is wrong with them', () => {
        const loop = node('maple_range_64', [], []);
        kernel.set('maple_range_64', loop, { 'slot[0]': encoded(loop, 2), 'pivot[0]': 5 });
        assert.match(entries(encoded(loop, 2)).problem ?? '', /comes back to the node/);
        assert.match(entries(encoded(0xffff900000000000n, 2)).problem ?? '', /cannot be read/);
        assert.match(entries(encoded(0x10000n, 1)).problem ?? '', /no kernel address/);
        assert.match(entries(encoded(loop, 9)).problem ?? '', /is of kind 9/);
    });

    it('end where nodes lead to ever more nodes', () => {
        // Memory in which every slot leads to a node of its own, six levels down.
        const levels = new Map([[0xffff888000000000n, 0]]);
        const root = kernel.make('maple_tree', { ma_root: encoded(0xffff888000000000n, 2) });
        const { reader } = kernel;
        const slots = BigInt(reader.layout.field(reader.layout.required('maple_range_64'), 'slot')!.offset);
        const read = kernel.read.bind(kernel);
        kernel.read = (address, length) => {
            const at = address & ~0xffn;
            const level = levels.get(at);
            if (level === undefined) return read(address, length);
            let value = level < 6 ? BigInt(1000 * (6 - level)) + (address - at) : 0n;
            if (level < 6 && address - at >= slots) {
                const child = 0xffff888000000000n + BigInt(levels.size) * 0x100n;
                levels.set(child, level + 1);
                value = encoded(child, 2);
            }
            const bytes = new Uint8Array(8);
            new DataView(bytes.buffer).setBigUint64(0, value, true);
            return { bytes };
        };
        assert.match(mapleEntries(reader.at('maple_tree', root)).problem ?? '', /the tree is too large/);
        assert.ok(levels.size < 0x11000, `${levels.size} nodes`);
    });
});

describe('the memory, files and registers of a task', () => {
    const files = (kernel: SyntheticKernel): void => {
        kernel.struct('file_system_type', { name: pointer(char) });
        kernel.struct('super_block', { s_type: pointer(kernel.forward('file_system_type')) });
        kernel.struct('inode', { i_ino: u64 });
        const name = kernel.struct('qstr', { hash: u64, name: pointer(char) });
        kernel.struct('dentry', {
            d_hash: kernel.struct(undefined, { next: u64, pprev: u64 }),
            d_parent: pointer(kernel.forward('dentry')),
            d_name: name,
            d_inode: pointer(kernel.forward('inode')),
            d_sb: pointer(kernel.forward('super_block')),
        });
        const vfsmount = kernel.struct('vfsmount', { mnt_root: pointer(kernel.forward('dentry')) });
        kernel.struct('mount', { mnt_parent: u64, mnt_mountpoint: u64, mnt: vfsmount });
        const path = kernel.struct('path', {
            mnt: pointer(kernel.forward('vfsmount')),
            dentry: pointer(kernel.forward('dentry')),
        });
        kernel.struct('file', { f_path: path, f_flags: u32, f_pos: u64 });
        kernel.struct('fdtable', { max_fds: u32, fd: u64, open_fds: u64 });
        kernel.struct('files_struct', { fdt: pointer(kernel.forward('fdtable')) });
    };

    it('is its map, with files across mount points, and what it was called with', () => {
        for (const old of [false, true]) {
            const kernel = new SyntheticTasks(old);
            files(kernel);
            const type = kernel.make('file_system_type', { name: kernel.text('ext4') });
            const d_sb = kernel.make('super_block', { s_type: type });
            const dentry = (name: string, parent?: bigint): bigint => {
                const at = kernel.make('dentry', { 'd_name.name': kernel.text(name), d_sb, 'd_hash.pprev': 1 });
                kernel.set('dentry', at, { d_parent: parent ?? at });
                return at;
            };
            const mount = (root: bigint, parent?: bigint, mountpoint = 0n): bigint => {
                const at = kernel.make('mount', { 'mnt.mnt_root': root, mnt_mountpoint: mountpoint });
                kernel.set('mount', at, { mnt_parent: parent ?? at });
                return at;
            };
            const root = dentry('/');
            const rootMount = mount(root);
            const usr = dentry('usr', root);
            const other = dentry('/');
            const otherMount = mount(other, rootMount, usr);
            const bin = dentry('bin', other);
            const shell = dentry('sh', bin);
            const file = kernel.make('file', {
                'f_path.dentry': shell,
                'f_path.mnt': kernel.reader.at('mount', otherMount).addressOf('mnt'),
                f_flags: 2,
            });
            const words = new TextEncoder().encode('sh\0-c\0true\0');
            const argStart = kernel.allocate(words.length);
            kernel.write(argStart, words);
            const mm = kernel.make('mm_struct', {
                ...{ start_brk: 0x30000, brk: 0x31000, start_stack: 0x7f0800 },
                ...{ arg_start: argStart, arg_end: argStart + BigInt(words.length), pgd: argStart },
            });
            const area = (vm_start: number, vm_end: number, vm_flags: number, vm_file = 0n): bigint =>
                kernel.make('vm_area_struct', { vm_start, vm_end, vm_flags, vm_file, vm_mm: mm, vm_pgoff: 1 });
            const all = [
                area(0x10000, 0x20000, 5, file),
                area(0x30000, 0x31000, 3),
                area(0x40000, 0x50000, 0x81),
                area(0x7f0000, 0x7f1000, 3),
            ];
            if (old) {
                kernel.set('mm_struct', mm, { mmap: all[0] });
                all.forEach((at, index) => kernel.set('vm_area_struct', at, { vm_next: all[index + 1] ?? 0n }));
            } else {
                const leaf = kernel.allocate(256, undefined, 256);
                all.forEach((at, index) =>
                    kernel.set('maple_range_64', leaf, {
                        [`slot[${index}]`]: at,
                        [`pivot[${index}]`]: 0x20000 * (index + 1),
                    }),
                );
                kernel.set('mm_struct', mm, { 'mm_mt.ma_root': encoded(leaf, 1) });
            }
            const task = kernel.task({ pid: 1, name: 'sh', mm });
            const { items, problem } = memoryMap(kernel.reader, task);

            assert.equal(problem, undefined);
            assert.deepEqual(
                items.map(({ first, end, rights, offset, name }) => [first, end, rights, offset, name]),
                [
                    [0x10000n, 0x20000n, 'r-xp', 0x1000n, '/usr/bin/sh'],
                    [0x30000n, 0x31000n, 'rw-p', 0n, '[heap]'],
                    [0x40000n, 0x50000n, 'r--s', 0n, ''],
                    [0x7f0000n, 0x7f1000n, 'rw-p', 0n, '[stack]'],
                ],
            );
            assert.equal(commandLine(kernel.reader, task), 'sh -c true');
            const code = new UserCode(kernel.reader, task);
            assert.deepEqual(
                [0x10123n, 0x2ffffn, 0x30010n, 0x40000n].map(address => code.name(address)),
                ['sh+0x1123', undefined, '[heap]+0x10', undefined],
            );
            kernel.set('vm_area_struct', all[0], { vm_pgoff: 0 });
            kernel.set('vm_area_struct', all[2], { vm_pgoff: 0x77, vm_file: file });
            assert.equal(new UserCode(kernel.reader, task).name(0x40000n), 'sh+0x30000', 'from its first byte');
            kernel.set('vm_area_struct', all[2], { vm_pgoff: 1, vm_file: 0 });

            kernel.set('dentry', shell, { 'd_hash.pprev': 0 });
            assert.equal(memoryMap(kernel.reader, task).items[0].name, '/usr/bin/sh (deleted)');
            const bits = kernel.allocate(8);
            kernel.number(bits, 0b101n, 8);
            const table = kernel.allocate(64);
            kernel.number(table + 16n, file, 8);
            const fdt = kernel.make('fdtable', { max_fds: 8, fd: table, open_fds: bits });
            kernel.set('task_struct', task, { files: kernel.make('files_struct', { fdt }) });
            assert.deepEqual(openFiles(kernel.reader, task), {
                items: [
                    { number: 2, address: file, name: '/usr/bin/sh (deleted)', access: 'read and write', position: 0n },
                ],
                problem: undefined,
            });
            // Directories that lead to each other.
            kernel.set('dentry', bin, { d_parent: shell });
            assert.equal(memoryMap(kernel.reader, task).items[0].name.split('/').length, 257);
            // A file system that is mounted on nothing.
            kernel.set('dentry', bin, { d_parent: other });
            kernel.set('mount', otherMount, { mnt_mountpoint: 0 });
            assert.equal(openFiles(kernel.reader, task).items[0].name, '/bin/sh (deleted)');
            kernel.set('fdtable', fdt, { fd: 0x1000 });
            assert.match(openFiles(kernel.reader, task).problem ?? '', /0x1000 cannot be read/);
        }
    });

    it('are what it saved when it gave up its CPU, and when it entered the kernel', () => {
        const kernel = new SyntheticTasks();
        const registers = ['r15', 'r14', 'r13', 'r12', 'bx', 'bp'];
        const all = (names: readonly string[]): Record<string, typeof u64> =>
            Object.fromEntries(names.map(name => [name, u64]));
        kernel.struct('inactive_task_frame', all([...registers, 'ret_addr']));
        kernel.struct('pt_regs', all([...registers, 'ax', 'ip', 'cs', 'flags', 'sp', 'ss']));
        kernel.struct('thread_union', { stack: array(u64, 0x200) }, 'union');
        const stack = kernel.allocate(0x1000, undefined, 0x1000);
        const code = kernel.allocate(0x100, 'schedule');
        const frame = stack + 0xe00n;
        const caller = frame + 0x80n;
        kernel.set('inactive_task_frame', frame, { bx: 7, bp: caller, ret_addr: code + 0x10n });
        kernel.number(caller + 8n, code + 0x20n, 8);
        const size = BigInt(kernel.reader.layout.required('pt_regs').size);
        kernel.set('pt_regs', stack + 0x1000n - size, { ip: 0x401000, sp: 0x7ffe0000, cs: 0x33, bx: 9 });
        const task = kernel.task({ pid: 1, name: 'sh', mm: kernel.make('mm_struct') });
        kernel.set('task_struct', task, { stack, 'thread.sp': frame });
        const structure = kernel.reader.at('task_struct', task);

        const { kernel: saved, user } = taskRegisters(structure, false);
        const value = (list: typeof saved | undefined, name: string): bigint | undefined =>
            list?.find(register => register.name === name)?.value;
        assert.deepEqual(
            ['rip', 'rsp', 'rbx', 'rbp', 'rax'].map(name => value(saved, name)),
            [code + 0x10n, frame + 56n, 7n, caller, undefined],
        );
        assert.deepEqual(
            ['rip', 'rsp', 'cs', 'rbx'].map(name => value(user, name)),
            [0x401000n, 0x7ffe0000n, 0x33n, 9n],
        );
        assert.deepEqual(taskRegisters(structure, true).kernel, [], 'those of a running task are its vCPU’s');
        assert.deepEqual(
            taskStack(kernel.reader, task).map(({ pc, origin }) => [pc, origin]),
            [
                [code + 0x10n, undefined],
                [code + 0x20n, 'framePointer'],
                [0x401000n, 'saved'],
            ],
        );
        // RET, and what called the stub, with a frame pointer to its own caller.
        kernel.write(0x401000n, [0xc3]);
        kernel.write(0x401100n, [0xe8, 0, 0, 0, 0, 0xe8]);
        kernel.number(0x7ffe0000n, 0x401105n, 8);
        kernel.number(0x7ffe0020n, 0n, 8);
        kernel.number(0x7ffe0028n, 0x401105n, 8);
        kernel.set('pt_regs', stack + 0x1000n - size, { bp: 0x7ffe0020 });
        const frames = (): unknown[] =>
            taskStack(kernel.reader, task)
                .slice(2)
                .map(({ pc, stackPointer, symbol, origin }) => [pc, stackPointer, symbol, origin]);
        assert.deepEqual(frames(), [
            [0x401000n, 0x7ffe0000n, 'user mode: 0x401000', 'saved'],
            [0x401105n, 0x7ffe0008n, 'user mode: 0x401105', 'return'],
            [0x401105n, 0x7ffe0030n, 'user mode: 0x401105', 'framePointer'],
        ]);
        kernel.set('pt_regs', stack + 0x1000n - size, { cs: 0x23 });
        // In 32-bit code words have 32 bits: what the frame pointer leads to is none then.
        assert.deepEqual(frames(), [
            [0x401000n, 0x7ffe0000n, 'user mode: 0x401000', 'saved'],
            [0x401105n, 0x7ffe0004n, 'user mode: 0x401105', 'return'],
        ]);
        kernel.set('pt_regs', stack + 0x1000n - size, { cs: 0x10 });
        assert.deepEqual(frames(), [], 'it has never been in user mode');

        kernel.set('task_struct', task, { 'thread.sp': stack - 8n });
        assert.throws(() => taskStack(kernel.reader, task), /saved stack pointer 0x\w+ is not in the task's stack/);
    });
});
