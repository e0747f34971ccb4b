/** Timers that will go off: of the timer wheel, in ticks, and high resolution ones, in nanoseconds. */
import { hex } from '../inspect/hex';
import { treeNodes } from './containers';
import type { KernelReader, Structure } from './structure';
import type { TableReader, TableRow } from './table';
import { onlineCpus } from './tasks';

const MOST_TIMERS = 10_000;

export const timerTable: TableReader = reader => {
    const rows: TableRow[] = [];
    const problems: string[] = [];
    for (const cpu of onlineCpus(reader)) {
        wheel(reader, cpu, rows, problems);
        highResolution(reader, cpu, rows, problems);
    }
    return { columns: ['CPU', 'Kind', 'Expires', 'Function'], rows, problem: problems.at(0) };
};

function wheel(reader: KernelReader, cpu: number, rows: TableRow[], problems: string[]): void {
    const base = reader.layout.required('timer_base');
    const first = reader.perCpu('timer_bases', cpu);
    const vectors = reader.layout.field(base, 'vectors');
    const now = reader.number(reader.address('jiffies'), 8);
    // One for work that may wait, and one or two for what may not.
    for (let index = 0; index < basesOf(reader); index++) {
        const at = first + BigInt(index * base.size);
        const heads = reader.at(base, at).addressOf('vectors');
        const bytes = reader.bytes(heads, vectors?.size ?? 0);
        const view = new DataView(bytes.buffer, bytes.byteOffset);
        for (let vector = 0; vector + 8 <= bytes.length; vector += 8) {
            const head = view.getBigUint64(vector, true);
            if (head === 0n) continue;
            const { items, problem } = reader.chain(
                head,
                'timer_list',
                'entry',
                Math.max(1, MOST_TIMERS - rows.length),
            );
            if (problem !== undefined) problems.push(problem);
            for (const timer of items) {
                const ticks = BigInt.asIntN(64, timer.big('expires') - now);
                rows.push(timerRow(timer, cpu, 'wheel', `${ticks < 0n ? '' : '+'}${ticks} ticks`));
            }
        }
    }
}

/** How many wheels a CPU has: the array's size tells, where its type is known. */
function basesOf(reader: KernelReader): number {
    return reader.kernel.address('tick_nohz_active') !== undefined ||
        reader.kernel.address('timers_nohz_active') !== undefined
        ? 2
        : 1;
}

function highResolution(reader: KernelReader, cpu: number, rows: TableRow[], problems: string[]): void {
    const base = reader.at('hrtimer_cpu_base', reader.perCpu('hrtimer_bases', cpu));
    const clock = reader.layout.required('hrtimer_clock_base');
    const clocks = base.field('clock_base').size / clock.size;
    for (let index = 0; index < clocks; index++) {
        const at = base.inner(`clock_base[${index}]`);
        const root = at.addressOf(at.either('active.rb_root.rb_root', 'active.head'));
        const { items, problem } = treeNodes(reader, root);
        if (problem !== undefined) problems.push(problem);
        for (const node of items) {
            const timer = reader.at('rb_node', node).container('hrtimer', 'node.node');
            rows.push(timerRow(timer, cpu, 'high resolution', `at ${seconds(timer.big('node.expires'))}`));
        }
    }
}

function timerRow(timer: Structure, cpu: number, kind: string, expires: string): TableRow {
    const called = timer.big('function');
    return {
        cells: [String(cpu), kind, expires, timer.reader.kernel.symbol(called) ?? hex(called)],
        address: timer.address,
    };
}

function seconds(nanoseconds: bigint): string {
    return `${(Number(nanoseconds / 1000n) / 1e6).toFixed(6)} s`;
}
