import assert from 'node:assert/strict';
import { logLines, readLog } from '../../../src/linux/log';
import { arrayEntries, treeNodes } from '../../../src/linux/containers';
import { TABLES } from '../../../src/linux/tables';
import { array, char, i32, pointer, SyntheticKernel, u16, u32, u64, u8 } from './synthetic-kernel';

const FINALIZED = 2n << 62n;
const REUSABLE = 3n << 62n;

/** A ring buffer of 8 records and 128 bytes of text. */
class LogKernel extends SyntheticKernel {
    readonly ring: bigint;
    readonly data: bigint;
    private readonly descriptors: bigint;
    private readonly infos: bigint;

    constructor() {
        super();
        const counter = this.struct('atomic_long_t', { counter: u64 });
        const lpos = this.struct('prb_data_blk_lpos', { begin: u64, next: u64 });
        this.struct('prb_desc', { state_var: counter, text_blk_lpos: lpos });
        this.struct('printk_info', { seq: u64, ts_nsec: u64, text_len: u16, facility: u8, level: u8 });
        const descRing = { count_bits: u32, descs: u64, infos: u64, head_id: counter, tail_id: counter };
        const dataRing = { size_bits: u32, data: u64, head_lpos: counter, tail_lpos: counter };
        this.struct('printk_ringbuffer', {
            desc_ring: this.struct('prb_desc_ring', descRing),
            text_data_ring: this.struct('prb_data_ring', dataRing),
        });
        this.descriptors = this.allocate(8 * 24);
        this.infos = this.allocate(8 * 24);
        this.data = this.allocate(128);
        this.ring = this.make('printk_ringbuffer', {
            ...{ 'desc_ring.count_bits': 3, 'desc_ring.descs': this.descriptors, 'desc_ring.infos': this.infos },
            ...{ 'text_data_ring.size_bits': 7, 'text_data_ring.data': this.data },
        });
        this.number(this.allocate(8, 'prb'), this.ring, 8);
    }

    ids(tail: bigint, head: bigint): void {
        this.set('printk_ringbuffer', this.ring, {
            'desc_ring.tail_id.counter': tail,
            'desc_ring.head_id.counter': head,
        });
    }

    record(id: bigint, message: string, begin: bigint, next: bigint, state = FINALIZED): void {
        const index = id % 8n;
        this.set('prb_desc', this.descriptors + index * 24n, {
            'state_var.counter': state | id,
            'text_blk_lpos.begin': begin,
            'text_blk_lpos.next': next,
        });
        this.set('printk_info', this.infos + index * 24n, {
            seq: id + 100n,
            ts_nsec: id * 1_500_000_000n,
            text_len: message.length,
            level: 6,
        });
        if (begin % 2n === 1n) return;
        const wraps = begin / 128n !== (next - 1n) / 128n;
        const at = this.data + (wraps ? 0n : begin % 128n);
        this.number(at, id, 8);
        this.write(at + 8n, new TextEncoder().encode(message));
    }
}

describe("the kernel's log", () => {
    const texts = (kernel: SyntheticKernel): string[] => readLog(kernel.reader).items.flatMap(logLines);

    it('is what its ring buffer holds, also where that has wrapped', () => {
        const kernel = new LogKernel();
        // Blocks: 32 bytes each, the one at the end does not fit and stands at the beginning.
        kernel.ids(6n, 11n);
        kernel.record(6n, 'six', 64n, 80n);
        kernel.record(7n, 'seven\nlines', 80n, 104n);
        kernel.record(8n, 'eight is too long for it', 104n, 160n);
        kernel.record(9n, 'reserved', 160n, 184n, 0n);
        kernel.record(10n, '', 1n, 1n);
        kernel.record(11n, 'to the end.....', 232n, 256n);
        assert.deepEqual(texts(kernel), [
            '[    9.000000] six',
            '[   10.500000] seven',
            '[   10.500000] lines',
            '[   12.000000] eight is too long for it',
            '[   15.000000] ',
            '[   16.500000] to the end.....',
        ]);
        assert.deepEqual(readLog(kernel.reader).items.map(({ sequence, level }) => [sequence, level])[0], [106n, 6]);
    });

    it('leaves out what is over, says what is lost, and refuses a ring that is none', () => {
        const kernel = new LogKernel();
        kernel.ids(0n, 2n);
        kernel.record(0n, 'gone', 0n, 16n, REUSABLE);
        kernel.record(1n, 'first', 16n, 32n);
        kernel.number(kernel.data + 16n, 77n, 8);
        kernel.record(10n, 'of another round', 32n, 64n);
        assert.deepEqual(texts(kernel), ['[    1.500000] <lost>']);
        kernel.ids(0n, 100n);
        assert.throws(() => readLog(kernel.reader), /more than there is room for/);
        kernel.set('printk_ringbuffer', kernel.ring, { 'desc_ring.count_bits': 60 });
        assert.throws(() => readLog(kernel.reader), /2\^60 records: it is corrupt/);
    });

    it('is read from where it is not too long', () => {
        const kernel = new LogKernel();
        kernel.set('printk_ringbuffer', kernel.ring, { 'desc_ring.count_bits': 18 });
        kernel.ids(0n, 0x20004n);
        kernel.record(0x20004n, 'last', 16n, 32n);
        // Elsewhere are descriptors of nothing.
        const read = kernel.read.bind(kernel);
        kernel.read = (address, length) => {
            const found = read(address, length);
            return found.problem === undefined ? found : { bytes: new Uint8Array(length) };
        };
        const ring = kernel.reader.at('printk_ringbuffer', kernel.ring).inner('desc_ring');
        for (const member of ['descs', 'infos']) {
            const at = ring.big(member);
            kernel.set('printk_ringbuffer', kernel.ring, { [`desc_ring.${member}`]: at - (0x20004n - 4n) * 24n });
        }
        const { items, problem } = readLog(kernel.reader);
        assert.deepEqual(items.map(logLines), [['[196614.000000] last']]);
        assert.equal(problem, '5 older records are left out');
    });

    it('is a list of records in older kernels', () => {
        const kernel = new SyntheticKernel();
        kernel.struct('printk_log', { ts_nsec: u64, len: u16, text_len: u16, dict_len: u16, facility: u8, level: u8 });
        const buffer = kernel.allocate(96);
        const record = (at: number, message: string, length: number): void => {
            kernel.set('printk_log', buffer + BigInt(at), {
                ts_nsec: at * 1e6,
                len: length,
                text_len: message.length,
                level: 4,
            });
            kernel.write(buffer + BigInt(at) + 16n, new TextEncoder().encode(message));
        };
        const variable = (name: string, value: bigint, size: number): void =>
            kernel.number(kernel.allocate(size, name), value, size);
        variable('log_buf', buffer, 8);
        variable('log_buf_len', 96n, 4);
        variable('log_first_idx', 40n, 4);
        variable('log_next_idx', 40n, 4);
        variable('log_first_seq', 5n, 8);
        variable('log_next_seq', 7n, 8);
        record(40, 'before', 32);
        record(0, 'after', 40);
        assert.deepEqual(texts(kernel), ['[    0.040000] before', '[    0.000000] after']);
        record(40, 'before', 90);
        assert.match(readLog(kernel.reader).problem ?? '', /leads to byte 130 of a buffer of 96/);
    });
});

describe('trees of a kernel', () => {
    it('red-black trees in their order, and what is wrong with them', () => {
        const kernel = new SyntheticKernel();
        kernel.struct('rb_node', { __rb_parent_color: u64, rb_right: u64, rb_left: u64 });
        const [low, high] = [kernel.make('rb_node'), kernel.make('rb_node')];
        const top = kernel.make('rb_node', { rb_left: low, rb_right: high });
        const root = kernel.allocate(8);
        kernel.number(root, top, 8);
        assert.deepEqual(treeNodes(kernel.reader, root), { items: [low, top, high], problem: undefined });
        kernel.set('rb_node', high, { rb_left: top });
        assert.match(treeNodes(kernel.reader, root).problem ?? '', /the tree is corrupt at 0x/);
    });

    /** Where an XArray begins that holds this. */
    const xarray = (kernel: SyntheticKernel, xa_head: bigint): bigint => kernel.make('xarray', { xa_head });
    const xarrays = (): SyntheticKernel => {
        const kernel = new SyntheticKernel();
        kernel.struct('xarray', { xa_flags: u32, xa_head: u64 });
        kernel.struct('xa_node', { shift: u8, slots: array(u64, 4) });
        return kernel;
    };

    it('XArrays: entries in nodes of nodes', () => {
        const kernel = xarrays();
        const leaf = kernel.make('xa_node', { 'slots[1]': 0x100, 'slots[2]': 0x16, 'slots[3]': 0x200 });
        const top = kernel.make('xa_node', { 'slots[0]': leaf | 2n, 'slots[2]': 0x300 });
        const root = xarray(kernel, top | 2n);
        assert.deepEqual(arrayEntries(kernel.reader, root).items, [0x100n, 0x200n, 0x300n]);
        assert.deepEqual(arrayEntries(kernel.reader, xarray(kernel, 0x40n)).items, [0x40n]);
        kernel.set('xa_node', leaf, { 'slots[0]': top | 2n });
        assert.match(arrayEntries(kernel.reader, root).problem ?? '', /the array is corrupt/);
    });

    it('XArrays: ends where they are deeper than any', () => {
        const kernel = xarrays();
        let top = kernel.make('xa_node', { 'slots[1]': 0x100 });
        for (let level = 0; level < 20; level++) {
            top = kernel.make('xa_node', { 'slots[0]': 0x200 + level * 16, 'slots[1]': top | 2n });
        }
        const { items, problem } = arrayEntries(kernel.reader, xarray(kernel, top | 2n));
        assert.match(problem ?? '', /the array is corrupt/);
        assert.equal(items.length, 17);
    });

    for (const [version, height] of [
        ['from 4.7 to 4.19', undefined],
        ['before 4.7', u32],
    ] as const) {
        it(`radix trees, as kernels ${version} have them`, () => {
            const kernel = new SyntheticKernel();
            kernel.struct('radix_tree_root', { ...(height && { height }), gfp_mask: u32, rnode: u64 });
            kernel.struct('radix_tree_node', { count: u32, slots: array(u64, 4) });
            const mark = height === undefined ? 1n : 0n;
            const leaf = kernel.make('radix_tree_node', { 'slots[1]': 0x100, 'slots[3]': 0x200 });
            const other = kernel.make('radix_tree_node', { 'slots[0]': 0x300, 'slots[2]': 0x16 });
            const top = kernel.make('radix_tree_node', { 'slots[0]': leaf | mark, 'slots[2]': other | mark });
            const tree = (rnode: bigint, levels: number): ReturnType<typeof arrayEntries> => {
                const values = { rnode, ...(height && { height: levels }) };
                return arrayEntries(kernel.reader, kernel.make('radix_tree_root', values));
            };
            assert.deepEqual(tree(top | 1n, 2), { items: [0x100n, 0x200n, 0x300n], problem: undefined });
            assert.deepEqual(tree(0x40n, 0).items, [0x40n]);
            assert.deepEqual(tree(0n, 0).items, []);
            kernel.set('radix_tree_node', leaf, { 'slots[0]': top | mark });
            assert.match(tree(top | 1n, 40).problem ?? '', /the array is corrupt/);
        });
    }
});

describe('modules of a kernel', () => {
    for (const [title, members, values, size] of [
        [
            'since 6.4',
            { mem: 'array' },
            { 'mem[0].base': 0xffffffffc0000000n, 'mem[0].size': 100, 'mem[1].size': 20 },
            '120',
        ],
        ['before', { core: 'layout' }, { 'core_layout.base': 0xffffffffc0000000n, 'core_layout.size': 77 }, '77'],
    ] as const) {
        it(`as kernels ${title} keep them; one that is corrupt leaves the others`, () => {
            const kernel = new SyntheticKernel();
            const list = kernel.struct('list_head', { next: u64, prev: u64 });
            const memory = kernel.struct('module_memory', { base: u64, size: u32 });
            kernel.struct('module_use', { source_list: list, source: pointer(kernel.forward('module')) });
            kernel.struct('module', {
                ...{ state: u32, list, name: array(char, 56) },
                ...('mem' in members ? { mem: array(memory, 2) } : { core_layout: memory }),
                ...{ source_list: list, refcnt: kernel.struct(undefined, { counter: i32 }) },
            });
            const head = kernel.allocate(16, 'modules');
            const make = (name: string, state: number): bigint => {
                const at = kernel.make('module', { name, state, 'refcnt.counter': 2, ...values });
                const used = kernel.reader.at('module', at).addressOf('source_list');
                kernel.link(used, []);
                return at;
            };
            const [first, second, unformed] = [make('virtio_net', 0), make('failover', 1), make('half', 3)];
            const use = kernel.make('module_use', { source: first });
            kernel.link(kernel.reader.at('module', second).addressOf('source_list'), [use]);
            kernel.link(
                head,
                [first, second, unformed].map(at => kernel.reader.at('module', at).addressOf('list')),
            );
            assert.deepEqual(
                TABLES.modules(kernel.reader).rows.map(({ cells }) => cells.join(' ')),
                [
                    `virtio_net ${size} 1  live 0xffffffffc0000000`,
                    `failover ${size} 1 virtio_net coming 0xffffffffc0000000`,
                ],
            );
            kernel.number(kernel.reader.at('module', second).addressOf('list'), 0x10n, 8);
            const { rows, problem } = TABLES.modules(kernel.reader);
            assert.equal(rows.length, 2);
            assert.match(problem ?? '', /the list leads to 0x10/);
        });
    }
});
