/**
 * The real gdb on our server and on QEMU's, with the sample guest: how fast it steps, reads memory, and passes a
 * breakpoint whose condition is false. Times are those between two lines that gdb prints.
 */
import { spawn, spawnSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { median } from './statistics.mjs';

const ROOT = path.resolve(import.meta.dirname, '..', '..');
const SAMPLE = path.join(ROOT, 'media', 'sample-guest', 'sample.elf');
const PROGRAM = path.join(ROOT, 'dist', 'cli.js');

const STEPS = 5000;
const READ_BYTES = 0x1000000;
/** The kernel and what it has used, which is mostly zeros, as memory is. */
const READ_FROM = 0x100000;
/** Memory that nobody uses, for random bytes. */
const WRITE_TO = 0x2000000;
/** What breakpoints on a function that moves a tower of disks ask, as gdb's user writes it. */
const CONDITIONS = {
    register: '$rdi == 99',
    variables: 'disks == 99 && to == 1',
    memory: 'queue.written > 1000000',
};
/** Disks of the tower: gdb decides for QEMU, some hundred times a second. */
const DISKS = { qemu: 8, hyperscope: 20 };
/** Calls of the function that moves a tower. */
const calls = disks => 2 ** (disks + 1) - 1;

const FOLDER = mkdtempSync(path.join(tmpdir(), 'hyperscope-'));
process.on('exit', () => rmSync(FOLDER, { recursive: true, force: true }));
const RANDOM_FILE = path.join(FOLDER, 'random');
const READ_BACK = path.join(FOLDER, 'back');
const ENGINES = {
    qemu: port => [
        'qemu-system-x86_64',
        ...['-accel', 'tcg', '-m', '64M', '-display', 'none', '-serial', 'null', '-no-reboot'],
        ...['-kernel', SAMPLE, '-gdb', `tcp:127.0.0.1:${port}`, '-S'],
    ],
    hyperscope: port => [
        process.execPath,
        ...[PROGRAM, 'run', '--kernel', SAMPLE, '--memory', '64M', '--serial', 'none'],
        ...['--gdb', `${port}`, '--wait', '--timeout', '300'],
    ],
};

const SCRIPT = [
    'set pagination off',
    'set confirm off',
    'break kernel_main',
    'continue',
    'delete',
    'echo MARK steps\\n',
    `stepi ${STEPS}`,
    'echo MARK steps\\n',
    'maint packet Qqemu.PhyMemMode:1',
    'echo MARK read\\n',
    `dump binary memory /dev/null ${READ_FROM} ${READ_FROM + READ_BYTES}`,
    'echo MARK read\\n',
    'echo MARK write\\n',
    `restore ${RANDOM_FILE} binary ${WRITE_TO}`,
    'echo MARK write\\n',
    'echo MARK random\\n',
    `dump binary memory ${READ_BACK} ${WRITE_TO} ${WRITE_TO + READ_BYTES}`,
    'echo MARK random\\n',
    'maint packet Qqemu.PhyMemMode:0',
];

/** The guest moves a tower once for each condition, from the call in run_recursion to where it returns. */
function conditionScript(engine) {
    const tower = Object.entries(CONDITIONS).flatMap(([name, condition]) => [
        'set var $rip = (long)$call',
        `set var $rdi = ${DISKS[engine]}`,
        'set var $rsi = 0',
        'set var $rdx = 2',
        'set var moves = 0',
        `break *hanoi if ${condition}`,
        'tbreak *$after',
        `echo MARK ${name}\\n`,
        'continue',
        `echo MARK ${name}\\n`,
        'printf "MOVED %u\\n", moves',
        'delete',
    ]);
    return [
        'tbreak *hanoi',
        'continue',
        'set var $after = *(long *)$rsp',
        // A call with a 32-bit displacement.
        'set var $call = $after - 5',
        'tbreak *$after',
        'continue',
        ...tower,
        'kill',
    ];
}

async function freePort() {
    const server = net.createServer();
    await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address();
    await new Promise(resolve => server.close(resolve));
    return port;
}

async function connectable(port) {
    for (let tries = 0; tries < 400; tries++) {
        const up = await new Promise(resolve => {
            const socket = net.connect(port, '127.0.0.1', () => resolve(socket.destroy() && true));
            socket.on('error', () => resolve(false));
        });
        if (up) return new Promise(resolve => setTimeout(resolve, 300));
        await new Promise(resolve => setTimeout(resolve, 25));
    }
    throw new Error('the server does not listen');
}

/** Seconds of each marked part of the script. */
async function measure(engine) {
    const port = await freePort();
    const [program, ...args] = ENGINES[engine](port);
    const guest = spawn(program, args, { stdio: 'ignore' });
    try {
        await connectable(port);
        const commands = [`target remote 127.0.0.1:${port}`, ...SCRIPT, ...conditionScript(engine)].flatMap(command => [
            '-ex',
            command,
        ]);
        const gdb = spawn('gdb', ['-nx', '-q', '-batch', SAMPLE, ...commands], { stdio: ['ignore', 'pipe', 'ignore'] });
        const begun = {};
        const times = {};
        const moved = [];
        let rest = '';
        gdb.stdout.setEncoding('latin1');
        gdb.stdout.on('data', text => {
            const lines = (rest + text).split('\n');
            rest = lines.pop();
            for (const [, mark] of lines.map(line => /MARK (\w+)/.exec(line)).filter(Boolean)) {
                if (mark in begun) times[mark] = (performance.now() - begun[mark]) / 1000;
                else begun[mark] = performance.now();
            }
            for (const [, count] of lines.map(line => /MOVED (\d+)/.exec(line)).filter(Boolean)) {
                moved.push(Number(count));
            }
        });
        await new Promise(resolve => gdb.on('close', resolve));
        const moves = 2 ** DISKS[engine] - 1;
        if (moved.length !== Object.keys(CONDITIONS).length || moved.some(count => count !== moves)) {
            throw new Error(`the guest on ${engine} has made ${moved.join(', ')} moves, each time of ${moves}`);
        }
        if (!readFileSync(READ_BACK).equals(readFileSync(RANDOM_FILE))) {
            throw new Error(`the guest on ${engine} does not hold what was written to it`);
        }
        return times;
    } finally {
        guest.kill('SIGKILL');
    }
}

export async function run({ runs, only }) {
    for (const tool of ['gdb', 'qemu-system-x86_64']) {
        if (spawnSync(tool, ['--version']).error) throw new Error(`${tool} is not here: install Debian’s`);
    }
    const engines = Object.keys(ENGINES).filter(engine => only === undefined || engine === only);
    writeFileSync(RANDOM_FILE, randomFillSync(new Uint8Array(READ_BYTES)));
    const results = Object.fromEntries(engines.map(engine => [engine, []]));
    for (let run = 0; run < runs; run++) {
        for (const engine of engines) results[engine].push(await measure(engine));
    }
    const figure = (engine, mark) => median(results[engine].map(times => times[mark]));
    for (const engine of engines) {
        console.log(
            `GDB ${engine.padEnd(10)} ${(STEPS / figure(engine, 'steps')).toFixed(0)} steps/s, ` +
                `16 MB read in ${figure(engine, 'read').toFixed(3)} s, of random bytes written in ` +
                `${figure(engine, 'write').toFixed(3)} s and read in ${figure(engine, 'random').toFixed(3)} s`,
        );
        for (const [name, condition] of Object.entries(CONDITIONS)) {
            const rate = calls(DISKS[engine]) / figure(engine, name);
            console.log(`GDB ${engine.padEnd(10)} ${rate.toFixed(0)} checks/s of 'if ${condition}'`);
        }
    }
    if (engines.length === 2) {
        const ratio = mark => (figure('hyperscope', mark) / figure('qemu', mark)).toFixed(2);
        console.log(
            `GDB hyperscope / qemu: step rate ${(figure('qemu', 'steps') / figure('hyperscope', 'steps')).toFixed(2)} ` +
                `(at least 1.0), reading time ${ratio('read')} (at most 1.5), of random bytes ${ratio('random')}, ` +
                `writing them ${ratio('write')}`,
        );
        const checks = Object.keys(CONDITIONS).map(name => calls(DISKS.hyperscope) / figure('hyperscope', name));
        console.log(
            `GDB hyperscope: at least ${Math.min(...checks).toFixed(0)} checks/s of a false condition (at least 100000)`,
        );
    }
}
