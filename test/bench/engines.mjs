/** The two programs that the benchmarks compare, running the same guest with the same machine size. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';

const ROOT = path.resolve(import.meta.dirname, '..', '..');
const GUESTS = path.join(ROOT, '.cache', 'guests');
const HYPERSCOPE = path.join(ROOT, 'dist', 'cli.js');

/** A run that takes longer has hung. */
const LIMIT_SECONDS = 600;

/**
 * @typedef {object} Guest
 * @property {string} initrd file of the guest cache
 * @property {string} append kernel command line
 * @property {number} memory MiB
 * @property {number} cpus
 * @property {string} marker what its console shows when it has done its work
 * @property {string[]} [options] more options for our own command line
 */

/** What each engine is started with to run a {@link Guest} whose console is its standard output. */
const COMMANDS = {
    qemu: ({ initrd, append, memory, cpus }) => [
        'qemu-system-x86_64',
        ...['-accel', 'tcg', '-cpu', 'qemu64', '-m', `${memory}`, '-smp', `${cpus}`, '-nographic', '-no-reboot'],
        ...['-kernel', path.join(GUESTS, 'vmlinuz-cloud'), '-initrd', path.join(GUESTS, initrd), '-append', append],
    ],
    hyperscope: ({ initrd, append, memory, cpus, options = [] }) => [
        process.execPath,
        ...[HYPERSCOPE, 'run', '--memory', `${memory}M`, '--cpus', `${cpus}`, '--serial', 'stdio'],
        ...['--kernel', path.join(GUESTS, 'vmlinuz-cloud'), '--initrd', path.join(GUESTS, initrd), '--append', append],
        ...options,
    ],
};

/**
 * The engines to measure, of those that are there.
 * @param {string | undefined} only name of the one that is wanted
 */
export function presentEngines(only) {
    if (only !== undefined && !(only in COMMANDS)) throw new Error(`no engine is named '${only}': qemu or hyperscope`);
    const absent = {
        qemu: spawnSync('qemu-system-x86_64', ['--version']).error && 'install Debian’s qemu-system-x86',
        hyperscope: !existsSync(HYPERSCOPE) && 'run npm run build',
    };
    const wanted = only === undefined ? Object.keys(COMMANDS) : [only];
    for (const name of wanted.filter(engine => absent[engine])) console.log(`${name} is not here: ${absent[name]}`);
    const present = wanted.filter(engine => !absent[engine]);
    if (present.length === 0) throw new Error('nothing to measure');
    return present;
}

/**
 * Runs a guest until its engine's process ends.
 * @param {string} engine
 * @param {Guest} guest
 * @returns {Promise<{ seconds: number, markerSeconds: number, output: string, lines: { text: string, at: number }[] }>}
 *     wall time, of which until the marker, and the console's lines with the second at which each was complete
 * @throws {Error} with the end of the console output, if the guest did not show its marker and power off
 */
export async function runGuest(engine, guest) {
    for (const file of ['vmlinuz-cloud', guest.initrd]) {
        if (!existsSync(path.join(GUESTS, file)))
            throw new Error(`.cache/guests/${file} is missing: run npm run guests`);
    }
    const [program, ...args] = COMMANDS[engine](guest);
    const started = performance.now();
    const elapsed = () => (performance.now() - started) / 1000;
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: LIMIT_SECONDS * 1000 });
    let output = '';
    let markerSeconds;
    let unfinished = '';
    const lines = [];
    for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('latin1');
        stream.on('data', text => {
            output += text;
            const pieces = (unfinished + text).split('\n');
            unfinished = pieces.pop();
            for (const line of pieces) lines.push({ text: line, at: elapsed() });
            if (markerSeconds === undefined && output.includes(guest.marker)) markerSeconds = elapsed();
        });
    }
    const ending = await new Promise((resolve, reject) => {
        child.on('error', reject);
        child.on('close', (status, signal) => resolve(signal ?? status));
    });
    if (ending !== 0 || markerSeconds === undefined) {
        const reason = markerSeconds === undefined ? `without showing '${guest.marker}'` : `(${ending})`;
        throw new Error(`${engine} ended ${reason}; its last lines:\n${output.split('\n').slice(-15).join('\n')}`);
    }
    return { seconds: elapsed(), markerSeconds, output, lines };
}

/** Runs the engines in turns, so that a change in the machine's load meets all of them. */
export async function runInTurns(engines, runs, guest) {
    const results = Object.fromEntries(engines.map(engine => [engine, []]));
    for (let run = 1; run <= runs; run++) {
        for (const engine of engines) {
            const result = await runGuest(engine, guest);
            console.log(`run ${run}: ${engine.padEnd(10)} ${result.seconds.toFixed(2)} s`);
            results[engine].push(result);
        }
    }
    return results;
}
