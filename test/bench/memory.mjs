/**
 * Host memory after Debian's cloud kernel has booted: what is resident, less the guest RAM that is in use. RAM pages that
 * the guest only read, or left zero, count as ours: the figure is an upper bound.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { runGuest } from './engines.mjs';
import { median } from './statistics.mjs';

const MB = 1e6;

export async function run({ runs, cpus, memory }) {
    const folder = mkdtempSync(path.join(tmpdir(), 'hyperscope-bench-'));
    const stats = path.join(folder, 'stats.json');
    const beyond = [];
    try {
        for (let run = 1; run <= runs; run++) {
            await runGuest('hyperscope', {
                initrd: 'initrd-busybox.cpio.gz',
                append: `console=ttyS0 hs.cmd=${encodeURIComponent('ls / && cat /proc/cpuinfo')}`,
                marker: 'HYPERSCOPE-CMD-DONE 0',
                memory,
                cpus,
                options: ['--stats', stats],
            });
            const { residentBytes, guestBytesInUse, heapBytes } = JSON.parse(readFileSync(stats, 'utf8'));
            beyond.push(residentBytes - guestBytesInUse);
            console.log(
                `run ${run}: resident ${(residentBytes / MB).toFixed(0)} MB, guest RAM in use ` +
                    `${(guestBytesInUse / MB).toFixed(0)} MB, JavaScript heap ${(heapBytes / MB).toFixed(0)} MB`,
            );
        }
    } finally {
        rmSync(folder, { recursive: true });
    }
    console.log(`MEMORY beyond guest RAM, median of ${runs}: ${(median(beyond) / MB).toFixed(0)} MB (at most 400)`);
}
