import assert from 'node:assert/strict';
import type { InspectionSource } from '../../../src/debug/inspection-source';
import { LinuxError } from '../../../src/linux/errors';
import { RunningKernel } from '../../../src/linux/kernel-source';
import { array, BASE, char, i32, pointer, SyntheticKernel, u32, u64 } from './synthetic-kernel';

describe('structures of a kernel in memory', () => {
    let kernel: SyntheticKernel;

    beforeEach(() => {
        kernel = new SyntheticKernel();
        const listHead = kernel.struct('list_head', { next: u64, prev: u64 });
        const inner = kernel.struct(undefined, { hidden: u32, code: i32 });
        kernel.struct('mm', { pgd: u64 });
        kernel.struct('node', {
            name: array(char, 8),
            link: listHead,
            next: u64,
            $anonymous: inner,
            slots: array(inner, 3),
            mm: pointer(kernel.forward('mm')),
            label: pointer(char),
        });
    });

    const nodes = (count: number): bigint[] =>
        Array.from({ length: count }, (_, index) => kernel.make('node', { name: `n${index}` }));
    const linkOf = (node: bigint): bigint => node + 8n;

    it('reads members by their paths, through anonymous structures and arrays', () => {
        const mm = kernel.make('mm', { pgd: 0x1234 });
        const label = kernel.allocate(8);
        kernel.write(label, new TextEncoder().encode('hello\0xx'));
        const at = kernel.make('node', { name: 'first', code: -5, 'slots[2].hidden': 7, mm, label });
        const node = kernel.reader.at('node', at);

        assert.equal(node.string('name'), 'first');
        assert.equal(node.number('code'), -5);
        assert.equal(node.number('slots[2].hidden'), 7);
        assert.equal(node.pointer('mm')?.big('pgd'), 0x1234n, 'the type that is only declared is found');
        assert.equal(node.string('label'), 'hello');
        assert.equal(node.inner('slots[2]').container('node', 'slots[2]').address, at);
        assert.equal(node.has('slots[2].nothing'), false);
        assert.equal(node.either('__code', 'code'), 'code');
    });

    it('says what a kernel lacks, and what is not in memory', () => {
        const node = kernel.reader.at('node', BASE - 0x100000n);
        assert.throws(() => node.number('code'), /0xffffffff80f00024 cannot be read: not mapped/);
        assert.throws(() => node.either('a', 'b'), /struct node has no a, and no b in this kernel \(a test\)/);
        assert.throws(() => node.number('name'), /name of struct node is no number/);
        assert.throws(() => kernel.reader.at('other', BASE), /this kernel has no struct other \(a test\)/);
        assert.throws(() => kernel.reader.address('jiffies'), LinuxError);
    });

    it('walks lists', () => {
        const head = kernel.allocate(16);
        const all = nodes(3);
        kernel.link(head, all.map(linkOf));
        const { items, problem } = kernel.reader.list(head, 'node', 'link');

        assert.deepEqual(
            items.map(node => node.string('name')),
            ['n0', 'n1', 'n2'],
        );
        assert.equal(problem, undefined);
        kernel.link(head, []);
        assert.deepEqual(kernel.reader.list(head, 'node', 'link'), { items: [] });
    });

    it('ends corrupt lists with what is wrong: circles, foreign addresses, holes, endless ones', () => {
        const head = kernel.allocate(16);
        const all = nodes(4);
        const listed = (most?: number): [number, string | undefined] => {
            const { items, problem } = kernel.reader.list(head, 'node', 'link', most);
            return [items.length, problem];
        };
        kernel.link(head, all.map(linkOf));
        assert.deepEqual(listed(2), [2, 'the list goes on after 2 elements']);
        kernel.number(linkOf(all[3]), linkOf(all[1]), 8);
        assert.match(listed()[1] ?? '', /runs in a circle/);
        assert.equal(listed()[0], 4);
        kernel.number(linkOf(all[1]), 0xffff888000000000n, 8);
        assert.deepEqual(listed(), [
            2,
            'the list leads to memory that is not there: 0xffff888000000000 cannot be read: not mapped',
        ]);
        kernel.number(linkOf(all[1]), 0x1000n, 8);
        assert.deepEqual(listed(), [2, 'the list leads to 0x1000, which is no kernel address']);
        assert.match(kernel.reader.list(0x10n, 'node', 'link').problem ?? '', /the list cannot be read: 0x10 /);
    });

    it('walks chains that end with NULL, or with an odd number', () => {
        const all = nodes(3);
        const nextOf = (node: bigint): bigint => node + 24n;
        kernel.number(nextOf(all[0]), nextOf(all[2]), 8);
        kernel.number(nextOf(all[2]), 0x21n, 8);
        const { items } = kernel.reader.chain(nextOf(all[0]), 'node', 'next');

        assert.deepEqual(
            items.map(node => node.address),
            [all[0], all[2]],
        );
    });

    it('finds variables of a CPU', () => {
        const table = kernel.allocate(16, '__per_cpu_offset');
        kernel.number(table + 8n, 0xffff888000000000n, 8);
        kernel.symbols.set('current_task', 0x1fb80n);

        assert.equal(kernel.reader.perCpu('current_task', 1), 0xffff88800001fb80n);
        kernel.symbols.delete('__per_cpu_offset');
        assert.equal(kernel.reader.perCpu('current_task', 0), 0x1fb80n, 'one processor');
    });

    it('are offered of 64-bit kernels only, which is said', () => {
        const refusal = (cr0: number): string => {
            const source = { vcpu: 1, system: { efer: 0, cr0 } } as InspectionSource;
            try {
                new RunningKernel([]).reader(source);
            } catch (error) {
                if (error instanceof LinuxError) return error.message;
            }
            return assert.fail('was not refused');
        };
        assert.equal(refusal(0x11), 'no Linux kernel runs: vCPU 1 is not in 64-bit mode');
        assert.match(refusal(0x80000011), /not in 64-bit mode; of a 32-bit kernel only its symbol files are offered/);
    });
});
