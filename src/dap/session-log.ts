/** What a session has done: in a file if asked for, and the last part of it in the report of a defect. */
import { appendFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { RequestError } from './request-error';

/** Lines that a report of a defect has. */
const KEPT_LINES = 400;
const LONGEST_LINE = 2000;
/** Lines of the file are written in pieces: after so many milliseconds, or so many characters. */
const PATIENCE = 200;
/** Of one session; a defect rarely comes alone. */
const MOST_REPORTS = 5;
const LARGEST_PIECE = 64 * 1024;

export class SessionLog {
    private readonly recent: string[] = [];
    private file: string | undefined;
    private pending = '';
    private reports = 0;
    private timer: NodeJS.Timeout | undefined;

    /**
     * Begins to write to a file, with what has happened so far.
     * @throws RequestError if it cannot be written
     */
    open(file: string): void {
        this.close();
        try {
            writeFileSync(file, `${this.recent.join('\n')}\n`);
        } catch (error) {
            const { code, message } = error as NodeJS.ErrnoException;
            throw new RequestError(`logFile: ${file}: cannot be written (${code ?? message})`);
        }
        this.file = file;
    }

    /** Somebody reads it: what is said is worth its length. Otherwise only the requests and the outcomes are kept. */
    get isOpen(): boolean {
        return this.file !== undefined;
    }

    close(): void {
        this.flush();
        this.file = undefined;
    }

    note(text: string): void {
        const line = `${new Date().toISOString()} ${text.length > LONGEST_LINE ? `${text.slice(0, LONGEST_LINE)}…` : text}`;
        if (this.recent.push(line) > 2 * KEPT_LINES) {
            this.recent.splice(0, KEPT_LINES);
        }
        if (this.file !== undefined) {
            this.pending += `${line}\n`;
            if (this.pending.length > LARGEST_PIECE) {
                this.flush();
            } else {
                this.timer ??= setTimeout(() => this.flush(), PATIENCE);
            }
        }
    }

    /**
     * Writes what is known about a defect to a file of its own.
     * @param state of the guest, in lines
     * @returns the file's path, or undefined if it could not be written
     */
    report(error: unknown, state: readonly string[]): string | undefined {
        this.note(`defect: ${describeError(error)}`);
        this.flush();
        if (++this.reports > MOST_REPORTS) {
            return undefined;
        }
        const name = `hyperscope-defect-${process.pid}-${Date.now()}-${this.reports}.log`;
        const file = path.join(this.file === undefined ? os.tmpdir() : path.dirname(this.file), name);
        const parts = [
            `Hyperscope has met a defect of its own. Node ${process.version}, ${process.platform} ${process.arch}`,
            describeError(error),
            ['The guest:', ...state].join('\n'),
            ['The last messages:', ...this.recent.slice(-KEPT_LINES)].join('\n'),
        ];
        try {
            writeFileSync(file, `${parts.join('\n\n')}\n`);
            return file;
        } catch {
            return undefined;
        }
    }

    private flush(): void {
        clearTimeout(this.timer);
        this.timer = undefined;
        const { file, pending } = this;
        this.pending = '';
        if (file !== undefined && pending !== '') {
            try {
                appendFileSync(file, pending);
            } catch {
                // A full disk ends the log, not the session.
                this.file = undefined;
            }
        }
    }
}

export function describeError(error: unknown): string {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
