/** The compute suite of test/guests/initrd/init-bench.sh: each item's time by the guest's own clock. */
import { presentEngines, runInTurns } from './engines.mjs';
import { geometricMean, median } from './statistics.mjs';

/** Milliseconds of each item that the guest printed. */
function itemTimes(output) {
    return Object.fromEntries(
        [...output.matchAll(/^BENCH (\S+) ([\d.]+)\r?$/gm)].map(([, name, ms]) => [name, Number(ms)]),
    );
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
    const times = engines.map(engine => results[engine].map(({ output }) => itemTimes(output)));
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
