/** Breakpoints on source lines, and the line table, in processes of their own: time and memory from nothing. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { clearInterval, setInterval } from 'node:timers';
import { compiledFile, load, report, VMLINUX } from './project.mjs';

const FILE = 'fs/read_write.c';
const LINE = 450;

/** Between looks at gdb's memory. */
const SAMPLE_MS = 100;

/** Run by `node -e`: the program with its symbols, then the line; as a session does it. */
const SCRIPT = `
const { SymbolFiles } = require(process.argv[1]);
const started = performance.now();
const files = new SymbolFiles();
files.add('symbols', process.argv[2]);
const opened = performance.now();
const [program] = files.programs.programs;
const [found] = program.info.locate(process.argv[3], Number(process.argv[4]));
console.log(JSON.stringify({
    line: found.line,
    address: found.addresses[0].toString(16),
    opening: (opened - started) / 1000,
    seconds: (performance.now() - started) / 1000,
    processor: (process.cpuUsage().user + process.cpuUsage().system) / 1e6,
    peak: process.resourceUsage().maxRSS / 1024,
}));
const indexing = files.indexing.filter(index => index.isRunning);
if (process.argv[5] !== 'wait' || indexing.length === 0) process.exit(0);
setInterval(() => undefined, 1000);
indexing[0].listen({ progress() {}, ended() {
    console.log(JSON.stringify({ indexed: (performance.now() - started) / 1000, peak: process.resourceUsage().maxRSS / 1024 }));
    process.exit(0);
} });
`;

function locate(cache, mode = '') {
    const started = performance.now();
    const args = ['-e', SCRIPT, compiledFile('src/dap/symbol-files'), VMLINUX, FILE, String(LINE), mode];
    const { stdout, stderr } = spawnSync(process.execPath, args, {
        encoding: 'utf8',
        env: { ...process.env, XDG_CACHE_HOME: cache },
    });
    const [answer, later] = stdout.trim().split('\n');
    if (answer === '') throw new Error(stderr);
    return {
        ...JSON.parse(answer),
        later: later === undefined ? undefined : JSON.parse(later),
        wall: (performance.now() - started) / 1000,
    };
}

/** What gdb needs for the same breakpoint on the same file; undefined where there is no gdb. */
async function locateWithGdb() {
    const started = performance.now();
    const gdb = spawn('gdb', ['-nx', '-batch', '-ex', `break ${FILE}:${LINE}`, VMLINUX]);
    let output = '';
    for (const stream of [gdb.stdout, gdb.stderr]) stream.setEncoding('utf8').on('data', text => (output += text));
    let peak = 0;
    const sampling = setInterval(() => (peak = Math.max(peak, peakOf(gdb.pid))), SAMPLE_MS);
    const isThere = await new Promise(resolve => {
        gdb.on('error', () => resolve(false));
        gdb.on('close', () => resolve(true));
    });
    clearInterval(sampling);
    return isThere && /^Breakpoint 1 at/m.test(output)
        ? { wall: (performance.now() - started) / 1000, peak }
        : undefined;
}

/** The most memory that a process has had so far, in megabytes (proc(5), VmHWM). */
function peakOf(pid) {
    try {
        return Number(/^VmHWM:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
    } catch {
        return 0;
    }
}

export async function measureLookups(runs) {
    const cache = mkdtempSync(path.join(tmpdir(), 'hyperscope-cache-'));
    const megabytes = value => `${value.toFixed(0)} MB`;
    const figure = ({ wall, processor, opening, seconds, peak }) =>
        `${wall.toFixed(2)} s from the start of the process (${processor.toFixed(2)} s of processor; opening ` +
        `${opening.toFixed(2)} s, the line ${(seconds - opening).toFixed(2)} s), ${megabytes(peak)}`;
    const best = measure => Array.from({ length: runs }, measure).sort((a, b) => a.wall - b.wall)[0];
    try {
        const cold = best((_, run) => locate(path.join(cache, `empty${run}`)));
        const isMet = cold.wall <= 5 && cold.peak <= 600;
        report(`${FILE}:${LINE} without a cache`, figure(cold), 'at most 5 s and 600 MB', isMet);
        const { later } = locate(cache, 'wait');
        const indexed = `${later?.indexed.toFixed(1)} s, ${megabytes(later?.peak ?? 0)}`;
        console.log(`       names read in the background after ${indexed}`);
        const warm = best(() => locate(cache));
        report(`${FILE}:${LINE} with the cache`, figure(warm), 'at most 0.5 s', warm.wall <= 0.5);
        const gdb = await locateWithGdb();
        const reference = gdb === undefined ? 'not here' : `${gdb.wall.toFixed(2)} s, ${megabytes(gdb.peak)}`;
        console.log(`       gdb, for the same breakpoint: ${reference}`);
    } finally {
        rmSync(cache, { recursive: true });
    }
}

export async function compareLines() {
    const { DebugInfo } = load('src/symbols/debug-info');
    const { ElfFile } = load('src/symbols/elf-file');
    const { openFile } = load('src/dap/symbol-files');
    const { compareWithReadelf } = load('test/support/line-rows');
    const { rows, differences } = await compareWithReadelf(VMLINUX, new DebugInfo(new ElfFile(openFile(VMLINUX))));
    report('line table equal to readelf', `${rows} rows`, 'all', rows > 0 && differences.length === 0);
    for (const difference of differences) console.log(`       ${difference}`);
}
