/** Saved machine state as a file: `--save` and `--restore`. */
import { closeSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { SnapshotError } from '../common/errors';
import type { Machine } from '../machine/machine';
import { UsageError } from './usage';

/** Where a run saves its machine. An earlier state stays until the new one is complete. */
export class StateFile {
    private readonly partial: string;
    private requested = false;

    /** @throws UsageError if nothing can be written there */
    constructor(private readonly path: string) {
        this.partial = `${path}.partial`;
        this.writing(() => {
            closeSync(openSync(this.partial, 'w'));
            rmSync(this.partial);
        });
    }

    /** Has the machine saved as soon as it is between two slices. */
    request(): void {
        this.requested = true;
    }

    saveIfRequested(machine: Machine): void {
        if (this.requested) {
            this.requested = false;
            this.save(machine);
        }
    }

    /** Not while the machine runs. */
    save(machine: Machine): void {
        this.writing(() => {
            const file = openSync(this.partial, 'w');
            try {
                for (const piece of machine.saveState()) {
                    for (let at = 0; at < piece.length;) {
                        at += writeSync(file, piece, at);
                    }
                }
            } finally {
                closeSync(file);
            }
            renameSync(this.partial, this.path);
        });
        process.stderr.write(`hyperscope: saved to ${this.path}\n`);
    }

    private writing(action: () => void): void {
        try {
            action();
        } catch (error) {
            const { code } = error as NodeJS.ErrnoException;
            if (code === undefined) {
                throw error;
            }
            throw new UsageError(`--save ${this.path}: cannot be written (${code})`);
        }
    }
}

/** @throws UsageError naming the file and what is wrong with it, or with the machine that it shall continue in */
export function restoreFrom(path: string, machine: Machine): void {
    let file: Uint8Array;
    try {
        file = readFileSync(path);
    } catch (error) {
        throw new UsageError(`--restore ${path}: cannot be read (${(error as NodeJS.ErrnoException).code})`);
    }
    try {
        machine.restoreState(file);
    } catch (error) {
        if (error instanceof SnapshotError) {
            throw new UsageError(`--restore ${path}: ${error.message}`);
        }
        throw error;
    }
}
