/** Breakpoints on source lines, and the line table, in processes of their own: time and memory from nothing. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { compiledFile, load, report, VMLINUX } from './project.mjs';

const FILE = 'fs/read_write.c';
const LINE = 450;

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

export function measureLookups(runs) {
    const cache = mkdtempSync(path.join(tmpdir(), 'hyperscope-cache-'));
    const megabytes = value => `${value.toFixed(0)} MB`;
    try {
        const empty = path.join(cache, 'empty');
        const cold = Array.from({ length: runs }, () => locate(empty)).sort((a, b) => a.wall - b.wall)[0];
        report(
            `${FILE}:${LINE} without a cache`,
            `${cold.wall.toFixed(2)} s from the start of the process (${cold.processor.toFixed(2)} s of processor), ${megabytes(cold.peak)}`,
            'at most 5 s and 600 MB',
            cold.wall <= 5 && cold.peak <= 600,
        );
        const { later } = locate(cache, 'wait');
        console.log(
            `       names read in the background after ${later?.indexed.toFixed(1)} s, ${megabytes(later?.peak ?? 0)}`,
        );
        const warm = Array.from({ length: runs }, () => locate(cache)).sort((a, b) => a.seconds - b.seconds)[0];
        report(
            `${FILE}:${LINE} with the cache`,
            `${warm.wall.toFixed(2)} s from the start of the process (${warm.processor.toFixed(2)} s of processor, of it the line ${(warm.seconds - warm.opening).toFixed(2)} s), ${megabytes(warm.peak)}`,
            'at most 0.5 s',
            warm.wall <= 0.5,
        );
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
