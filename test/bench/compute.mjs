/**
 * The compute suite of test/guests/initrd/init-bench.sh. Each item is timed from outside, by when its line appears on the
 * console after the one before it: the guest's own clock counts instructions in the deterministic mode.
 */
import { presentEngines, runInTurns } from './engines.mjs';
import { geometricMean, median } from './statistics.mjs';

/** Host milliseconds of each item. */
function itemTimes(lines) {
    const times = {};
    let before;
    for (const { text, at } of lines) {
        const name = /BENCH (\S+) [\d.]+/.exec(text)?.[1];
        if (name !== undefined) times[name] = (at - before) * 1000;
        if (name !== undefined || text.includes('HYPERSCOPE-BOOT-OK')) before = at;
    }
    return times;
}

function printRow(cells) {
    console.log(cells.map((cell, column) => (column === 0 ? cell.padEnd(14) : cell.padStart(14))).join(''));
}

export async function run({ runs, only, cpus, memory }) {
    const engines = presentEngines(only);
    const results = await runInTurns(engines, runs, {
        initrd: 'initrd-bench.cpio.gz',
        append: 'console=ttyS0 quiet',
        marker: 'HYPERSCOPE-BENCH-DONE',
        memory,
        cpus,
    });
    const times = engines.map(engine => results[engine].map(({ lines }) => itemTimes(lines)));
    const ratios = [];
    printRow(['item', ...engines.map(engine => `${engine} ms`), ...(engines.length === 2 ? ['ratio'] : [])]);
    for (const item of Object.keys(times[0][0])) {
        const medians = times.map(measured => median(measured.map(run => run[item])));
        const row = [item, ...medians.map(ms => ms.toFixed(1))];
        if (engines.length === 2) {
            ratios.push(medians[1] / medians[0]);
            row.push(ratios.at(-1).toFixed(2));
        }
        printRow(row);
    }
    if (ratios.length > 0) console.log(`COMPUTE geometric mean hyperscope / qemu: ${geometricMean(ratios).toFixed(2)}`);
}
