import { spawn } from 'node:child_process';
import path from 'node:path';
import { projectRoot } from '../../support/project';

const PROGRAM = path.join(projectRoot, 'out', 'src', 'cli', 'main.js');

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
    type(text: string): void;
    signal(signal: NodeJS.Signals): void;
}

/** Starts the command line in a process of its own, as users do. */
export function startCli(args: readonly string[]): CliProcess {
    const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: 'pipe' });
    let output = '';
    let errors = '';
    const waiting = new Set<{ text: string; resolve: () => void; reject: (error: Error) => void }>();
    const look = (): void => {
        for (const waiter of waiting) {
            if (output.includes(waiter.text)) {
                waiting.delete(waiter);
                waiter.resolve();
            }
        }
    };
    child.stdout.on('data', (data: Buffer) => {
        output += data.toString('latin1');
        look();
    });
    child.stderr.on('data', (data: Buffer) => (errors += data.toString('utf8')));
    child.stdin.on('error', () => undefined); // the process may end before it has read everything
    const result = new Promise<CliResult>((resolve, reject) => {
        child.on('error', reject);
        child.on('close', (code, signal) => {
            for (const { text, reject: fail } of waiting) {
                fail(new Error(`ended without printing '${text}':\n${output}\n${errors}`));
            }
            resolve({ status: code ?? (signal === 'SIGKILL' ? 137 : 143), output, errors });
        });
    });
    return {
        result,
        outputHas: text =>
            new Promise((resolve, reject) => {
                waiting.add({ text, resolve, reject });
                look();
            }),
        type: text => child.stdin.write(text),
        signal: signal => child.kill(signal),
    };
}

/** Runs the command line to its end. */
export function runCli(args: readonly string[]): Promise<CliResult> {
    return startCli(args).result;
}
