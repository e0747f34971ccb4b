/** The real gdb, our server for it, and QEMU's for the same guest. */
import { spawn } from 'node:child_process';
import net from 'node:net';
import { ReplyReader } from '../../../src/gdb/client/reply-reader';
import { encodePacket } from '../../../src/gdb/packet';
import { fromLatin1, latin1 } from '../../../src/gdb/text';
import { freePort, listening } from '../../support/ports';
import { sampleElf, sampleRom } from '../../support/sample';
import { type CliProcess, startCli } from './cli';

const PREAMBLE = [
    ...['set pagination off', 'set confirm off', 'set style enabled off', 'set width 0'],
    ...['set architecture i386:x86-64', `file ${sampleElf}`],
];

/** What gdb prints of these commands, errors among them, attached there. */
export function gdb(
    endpoint: string,
    commands: readonly string[],
    { preamble = PREAMBLE, seconds = 60 }: { preamble?: readonly string[]; seconds?: number } = {},
): Promise<string> {
    const args = [...preamble, `target remote ${endpoint}`].flatMap(command => ['-ex', command]);
    return runGdb(['-nx', '-q', ...args], [...commands, 'quit'], seconds);
}

/** The same through gdb's machine interface, as front ends use it; `commands` are MI's. */
export function gdbMi(endpoint: string, commands: readonly string[]): Promise<string> {
    return runGdb(
        ['-nx', '-q', '--interpreter=mi3'],
        [
            ...['-gdb-set confirm off', '-gdb-set architecture i386:x86-64', `-file-exec-and-symbols ${sampleElf}`],
            ...[`-target-select remote ${endpoint}`, ...commands, '-gdb-exit'],
        ],
        60,
    );
}

function runGdb(args: readonly string[], lines: readonly string[], seconds: number): Promise<string> {
    return new Promise(resolve => {
        // One stream, so that errors stand where they were said.
        const child = spawn('sh', ['-c', 'exec gdb "$@" 2>&1', 'gdb', ...args], { timeout: seconds * 1000 });
        let output = '';
        child.stdout.setEncoding('utf8');
        child.stdout.on('data', (text: string) => (output += text));
        child.stdin.on('error', () => undefined); // it may have ended before
        // An error ends a sourced script, but not what is typed.
        child.stdin.end(`${lines.join('\n')}\n`);
        child.on('close', () => resolve(output));
    });
}

/** A client that says exactly what a test wants said. */
export class RawClient {
    private readonly replies: string[] = [];
    private waiting: ((reply: string) => void) | undefined;
    private readonly reader = new ReplyReader({
        packet: payload => {
            const reply = latin1(payload);
            if (this.waiting === undefined) this.replies.push(reply);
            else this.waiting(reply);
            this.waiting = undefined;
        },
        damaged: () => undefined,
        rejected: () => undefined,
        tooLong: () => undefined,
    });

    private constructor(private readonly socket: net.Socket) {
        socket.on('data', bytes => this.reader.push(bytes));
        socket.on('error', () => undefined);
    }

    static connect(port: number): Promise<RawClient> {
        return new Promise((resolve, reject) => {
            const socket = net.connect(port, '127.0.0.1', () => resolve(new RawClient(socket)));
            socket.on('error', reject);
        });
    }

    /** Sends bytes as they are. */
    write(bytes: string): void {
        this.socket.write(Buffer.from(bytes, 'latin1'));
    }

    send(payload: string): void {
        this.socket.write(encodePacket(fromLatin1(payload)));
    }

    /** The next packet of the server. */
    reply(): Promise<string> {
        const reply = this.replies.shift();
        return reply === undefined ? new Promise(resolve => (this.waiting = resolve)) : Promise.resolve(reply);
    }

    ask(payload: string): Promise<string> {
        this.send(payload);
        return this.reply();
    }

    close(): void {
        this.socket.destroy();
    }
}

/** Our machine with its server for gdb; `arguments` say what it runs, the sample guest unless told. */
export async function startOurs(...options: string[]): Promise<{ cli: CliProcess; port: number }> {
    const port = await freePort();
    const guest = options.includes('--kernel') || options.includes('--firmware') ? [] : ['--sample'];
    const quiet = options.includes('--serial') ? [] : ['--serial', 'none'];
    const cli = startCli(['run', ...guest, '--gdb', String(port), ...quiet, '--timeout', '120', ...options]);
    await cli.errorsHave(`127.0.0.1:${port}`);
    return { cli, port };
}

/** What `session` makes of our machine, which waits at its first instruction. */
export async function onOurs<T>(session: (endpoint: string) => Promise<T>, ...options: string[]): Promise<T> {
    const { cli, port } = await startOurs('--wait', ...options);
    try {
        return await session(`127.0.0.1:${port}`);
    } finally {
        cli.signal('SIGTERM');
        await cli.result;
    }
}

/** What `session` makes of QEMU with the sample guest, which waits at its first instruction. */
export async function onQemu<T>(session: (endpoint: string) => Promise<T>, ...options: string[]): Promise<T> {
    const port = await freePort();
    const qemu = spawn(
        'qemu-system-x86_64',
        [
            ...['-accel', 'tcg', '-m', '256M', '-display', 'none', '-serial', 'null', '-no-reboot'],
            // Time is instructions there too: else its timer interrupts whatever gdb is at.
            ...['-icount', 'shift=0,sleep=off'],
            ...['-bios', sampleRom, '-gdb', `tcp:127.0.0.1:${port}`, '-S', ...options],
        ],
        { stdio: 'ignore' },
    );
    try {
        if (!(await listening(port))) throw new Error(`nothing listens at port ${port}`);
        return await session(`127.0.0.1:${port}`);
    } finally {
        qemu.kill('SIGKILL');
    }
}
