/** Guests behind gdb stubs, waiting at their first instruction: QEMU's and those of our own server. */
import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { freePort, listening } from '../support/ports';
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
    // QEMU says nothing when it listens.
    if (!(await listening(port, () => isOver))) {
        await kill();
        throw new Error(`${kind} does not listen: ${said}`);
    }
    return { port, ended, kill };
}
