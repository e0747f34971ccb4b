/** Wall time of Debian's cloud kernel from the start of the emulator's process to its end. */
import { presentEngines, runInTurns } from './engines.mjs';
import { median } from './statistics.mjs';

export async function run({ runs, only, cpus, memory }) {
    const results = await runInTurns(presentEngines(only), runs, {
        initrd: 'initrd-busybox.cpio.gz',
        append: `console=ttyS0 hs.cmd=${encodeURIComponent('ls / && cat /proc/cpuinfo')}`,
        marker: 'HYPERSCOPE-CMD-DONE 0',
        memory,
        cpus,
    });
    const medians = {};
    for (const [engine, measured] of Object.entries(results)) {
        medians[engine] = median(measured.map(({ seconds }) => seconds));
        const untilCommand = median(measured.map(({ markerSeconds }) => markerSeconds));
        console.log(
            `BOOT ${engine.padEnd(10)} median of ${runs}: ${medians[engine].toFixed(2)} s, ` +
                `shell command done after ${untilCommand.toFixed(2)} s`,
        );
    }
    if (medians.qemu && medians.hyperscope) {
        console.log(`BOOT ratio hyperscope / qemu: ${(medians.hyperscope / medians.qemu).toFixed(2)}`);
    }
}
