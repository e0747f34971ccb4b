/** Test programs, compiled on the spot: what compilers write is what the debugger has to read. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { ByteSource } from '../../src/symbols/byte-source';
import { projectRoot } from './project';

/** Where the sources of the fixtures are. */
export const fixturesDirectory = path.join(projectRoot, 'test', 'unit', 'symbols', 'fixtures');

const scratchDirectories: string[] = [];

/** A folder of its own, removed when the process ends. */
export function scratchDirectory(): string {
    const directory = mkdtempSync(path.join(tmpdir(), 'hyperscope-test-'));
    if (scratchDirectories.push(directory) === 1) {
        process.on('exit', () => scratchDirectories.forEach(name => rmSync(name, { recursive: true, force: true })));
    }
    return directory;
}

export function run(directory: string, command: string, ...args: string[]): string {
    const output = execFileSync(command, args, {
        cwd: directory,
        encoding: 'utf8',
        env: { ...process.env, LC_ALL: 'C' },
        maxBuffer: 1 << 30,
        stdio: ['ignore', 'pipe', 'pipe'],
    });
    return output;
}

const compiled = new Map<string, string>();
let directory: string | undefined;

/** Compiles the fixture program; returns the path of the program, or of the object with `-c`. */
export function compileProgram(...options: string[]): string {
    const key = options.join(' ');
    let output = compiled.get(key);
    if (output === undefined) {
        directory ??= scratchDirectory();
        output = path.join(directory, `program-${compiled.size}`);
        const link = options.includes('-c') ? [] : ['-nostdlib', '-static', '-no-pie'];
        run(
            directory,
            'gcc',
            ...['-ffreestanding', '-fno-stack-protector', '-fcf-protection=none', '-std=gnu11', ...link, ...options],
            ...[path.join(fixturesDirectory, 'program.c'), '-o', output],
        );
        compiled.set(key, output);
    }
    return output;
}

/** 1-based number of the first line of a fixture that holds a text. */
export function lineOf(fixture: string, text: string): number {
    const lines = readFileSync(path.join(fixturesDirectory, fixture), 'utf8').split('\n');
    const index = lines.findIndex(line => line.includes(text));
    assert.ok(index >= 0, `${fixture} has no line with '${text}'`);
    return index + 1;
}

/** A file on disk, read piece by piece. */
export function fileSource(name: string): ByteSource & { close(): void } {
    const descriptor = openSync(name, 'r');
    const { size } = fstatSync(descriptor);
    return {
        name,
        size,
        read(offset, length) {
            const bytes = new Uint8Array(Math.max(0, Math.min(length, size - offset)));
            readSync(descriptor, bytes, 0, bytes.length, offset);
            return bytes;
        },
        close: () => closeSync(descriptor),
    };
}

/** A row as `readelf --debug-dump=decodedline` prints it. */
export interface ReadelfRow {
    readonly file: string;
    /** Undefined at the end of a sequence. */
    readonly line: number | undefined;
    readonly address: bigint;
    readonly statement: boolean;
}

const ROW = /^(\S.*?)\s+(\d+|-)\s+(0x[0-9a-f]+|0)(?:\[\d+\])?\s*(?:\d+\s*)?(x)?(?:\s*END)?\s*$/;

/** Each row of all line tables, in the order of the section. */
export async function* readelfRows(file: string): AsyncGenerator<ReadelfRow> {
    const child = spawn('readelf', ['-W', '--debug-dump=decodedline', file], {
        stdio: ['ignore', 'pipe', 'ignore'],
        env: { ...process.env, LC_ALL: 'C' },
    });
    for await (const text of createInterface({ input: child.stdout })) {
        const match = ROW.exec(text);
        if (match === null) continue;
        const [, name, line, address, statement] = match;
        yield {
            file: name,
            line: line === '-' ? undefined : Number(line),
            address: BigInt(address),
            statement: statement === 'x',
        };
    }
}
