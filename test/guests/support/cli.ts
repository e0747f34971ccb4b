import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import path from 'node:path';
import { projectRoot } from '../../support/project';

/** The command line's program. */
export const PROGRAM = path.join(projectRoot, 'out', 'src', 'cli', 'main.js');

/** How a run of the command line ended. */
export interface CliResult {
    /** Exit status; the number of the signal above 128, as shells tell it, where one ended the process. */
    readonly status: number;
    readonly output: string;
    readonly errors: string;
}

/** A running command line, for tests that type or send signals. */
export interface CliProcess {
    readonly result: Promise<CliResult>;
    /** Resolves when the output holds `text`; rejects if the process ends before. */
    outputHas(text: string): Promise<void>;
    /** The same for what is written to standard error. */
    errorsHave(text: string): Promise<void>;
    type(text: string): void;
    signal(signal: NodeJS.Signals): void;
}

/** Text that comes in pieces. */
class Waitable {
    text = '';
    private readonly waiting = new Set<{ text: string; resolve: () => void; reject: (error: Error) => void }>();

    add(piece: string): void {
        this.text += piece;
        for (const waiter of this.waiting) {
            if (this.text.includes(waiter.text)) {
                this.waiting.delete(waiter);
                waiter.resolve();
            }
        }
    }

    has(text: string): Promise<void> {
        return new Promise((resolve, reject) => {
            this.waiting.add({ text, resolve, reject });
            this.add('');
        });
    }

    /** No more will come. */
    end(alsoPrinted: string): void {
        for (const { text, reject } of this.waiting) {
            reject(new Error(`ended without '${text}':\n${this.text}\n${alsoPrinted}`));
        }
    }
}

/**
 * Starts the command line in a process of its own, as users do.
 * @param node options of Node
 */
export function startCli(args: readonly string[], node: readonly string[] = []): CliProcess {
    const child = spawn(process.execPath, [...node, PROGRAM, ...args], { stdio: 'pipe' });
    const output = new Waitable();
    const errors = new Waitable();
    child.stdout.on('data', (data: Buffer) => output.add(data.toString('latin1')));
    child.stderr.on('data', (data: Buffer) => errors.add(data.toString('utf8')));
    child.stdin.on('error', () => undefined); // the process may end before it has read everything
    const result = new Promise<CliResult>((resolve, reject) => {
        child.on('error', reject);
        child.on('close', (code, signal) => {
            output.end(errors.text);
            errors.end(output.text);
            resolve({ status: code ?? 128 + constants.signals[signal!], output: output.text, errors: errors.text });
        });
    });
    return {
        result,
        outputHas: text => output.has(text),
        errorsHave: text => errors.has(text),
        type: text => child.stdin.write(text),
        signal: signal => child.kill(signal),
    };
}

/** Runs the command line to its end. */
export function runCli(args: readonly string[], node: readonly string[] = []): Promise<CliResult> {
    return startCli(args, node).result;
}
