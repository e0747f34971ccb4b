/**
 * The real gdb on our server and on QEMU's, with the sample guest: how fast it steps and reads memory. Times
 * are those between two lines that gdb prints.
 */
import { spawn, spawnSync } from 'node:child_process';
import net from 'node:net';
import path from 'node:path';
import { median } from './statistics.mjs';

const ROOT = path.resolve(import.meta.dirname, '..', '..');
const SAMPLE = path.join(ROOT, 'media', 'sample-guest', 'sample.elf');
const PROGRAM = path.join(ROOT, 'dist', 'cli.js');

const STEPS = 5000;
const READ_BYTES = 0x1000000;
const READ_FROM = 0x100000;
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
    'maint packet Qqemu.PhyMemMode:0',
    'kill',
];

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
        const commands = [`target remote 127.0.0.1:${port}`, ...SCRIPT].flatMap(command => ['-ex', command]);
        const gdb = spawn('gdb', ['-nx', '-q', '-batch', SAMPLE, ...commands], { stdio: ['ignore', 'pipe', 'ignore'] });
        const begun = {};
        const times = {};
        let rest = '';
        gdb.stdout.setEncoding('latin1');
        gdb.stdout.on('data', text => {
            const lines = (rest + text).split('\n');
            rest = lines.pop();
            for (const [, mark] of lines.map(line => /MARK (\w+)/.exec(line)).filter(Boolean)) {
                if (mark in begun) times[mark] = (performance.now() - begun[mark]) / 1000;
                else begun[mark] = performance.now();
            }
        });
        await new Promise(resolve => gdb.on('close', resolve));
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
    const results = Object.fromEntries(engines.map(engine => [engine, []]));
    for (let run = 0; run < runs; run++) {
        for (const engine of engines) results[engine].push(await measure(engine));
    }
    const figure = (engine, mark) => median(results[engine].map(times => times[mark]));
    for (const engine of engines) {
        console.log(
            `GDB ${engine.padEnd(10)} ${(STEPS / figure(engine, 'steps')).toFixed(0)} steps/s, ` +
                `16 MB read in ${figure(engine, 'read').toFixed(3)} s`,
        );
    }
    if (engines.length === 2) {
        console.log(
            `GDB hyperscope / qemu: step rate ${(figure('qemu', 'steps') / figure('hyperscope', 'steps')).toFixed(2)} ` +
                `(at least 1.0), reading time ${(figure('hyperscope', 'read') / figure('qemu', 'read')).toFixed(2)} (at most 1.5)`,
        );
    }
}
