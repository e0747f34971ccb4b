/** Guests behind gdb stubs, waiting at their first instruction: QEMU's and those of our own server. */
import { type ChildProcess, spawn } from 'node:child_process';
import net, { type AddressInfo } from 'node:net';
import path from 'node:path';
import { projectRoot } from '../support/project';

const OWN_PROGRAM = path.join(projectRoot, 'out', 'src', 'cli', 'main.js');
const QEMU = 'qemu-system-x86_64';

export type StubKind = 'QEMU' | 'our own server';

export interface StubGuest {
    readonly port: number;
    /** Settles when its process has ended. */
    readonly ended: Promise<number | null>;
    kill(): Promise<void>;
}

export async function freePort(): Promise<number> {
    const server = net.createServer();
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise(resolve => server.close(resolve));
    return port;
}

export interface StubGuestOptions {
    readonly cpus?: number;
    readonly port?: number;
    /** More of QEMU's own. */
    readonly qemu?: readonly string[];
}

/** @param kernel an ELF file, PVH or Multiboot */
export async function startStub(kind: StubKind, kernel: string, options: StubGuestOptions = {}): Promise<StubGuest> {
    const port = options.port ?? (await freePort());
    const { cpus = 1, qemu = [] } = options;
    const child: ChildProcess =
        kind === 'QEMU'
            ? spawn(QEMU, [
                  ...['-machine', 'pc', '-accel', 'tcg', '-m', '64', '-smp', String(cpus), '-kernel', kernel, '-S'],
                  ...['-display', 'none', '-nodefaults', '-serial', 'null', '-gdb', `tcp:127.0.0.1:${port}`],
                  ...['-device', 'isa-debug-exit,iobase=0xf4,iosize=1', ...qemu],
              ])
            : spawn(process.execPath, [
                  ...[OWN_PROGRAM, 'run', '--kernel', kernel, '--memory', '64M', '--cpus', String(cpus)],
                  ...['--serial', 'none', '--gdb', String(port), '--wait', '--timeout', '100'],
              ]);
    const ended = new Promise<number | null>(resolve => child.once('exit', code => resolve(code)));
    let said = '';
    child.stderr?.on('data', (text: Buffer) => (said += text.toString()));
    let isOver = false;
    void ended.then(() => (isOver = true));
    const kill = async (): Promise<void> => {
        if (!isOver) child.kill('SIGKILL');
        await ended;
    };
    // QEMU says nothing when it listens; a connection would be a debugger's, so it is asked in another way.
    for (let tries = 0; !(await isTaken(port)); tries++) {
        if (isOver || tries > 200) {
            await kill();
            throw new Error(`${kind} does not listen: ${said}`);
        }
        await new Promise(resolve => setTimeout(resolve, 50));
    }
    return { port, ended, kill };
}

/** Whether somebody listens at a port, found out without talking to them. */
function isTaken(port: number): Promise<boolean> {
    const server = net.createServer();
    return new Promise(resolve => {
        server.once('error', () => resolve(true));
        server.listen(port, '127.0.0.1', () => server.close(() => resolve(false)));
    });
}
