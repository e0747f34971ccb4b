/** Reads the names of large programs in the background, or from what an earlier session has kept. */
import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { decodeIndex } from '../symbols/dwarf/index-file';
import { whatIsReadable } from '../debug/source/program-lines';
import type { Program } from '../symbols/program';
import type { IndexerMessage, IndexerTask } from './symbol-indexer';

/** Programs with less debugging information are read when somebody asks for a name: that takes no time. */
const LARGE = 8 * 2 ** 20;
/** The same for what stands for split files, which are a thousand times larger. */
const LARGE_SPLIT = 0x4000;

export interface IndexProgress {
    /** @param share from 0 to 1 */
    progress(share: number): void;
    /** @param problem why there are no names; absent if there are */
    ended(problem?: string): void;
}

export class BackgroundIndex {
    private worker: Worker | undefined;
    private share = 0;
    private listener: IndexProgress | undefined;
    private settle: () => void = () => undefined;
    /** Fulfilled when it has ended, in whatever way. */
    readonly ended = new Promise<void>(resolve => (this.settle = resolve));

    private constructor(readonly program: Program) {}

    /**
     * Begins where that is worth it; undefined if the names are at hand, or will be as soon as they are asked for.
     * @param directories in which files that the program shares with others may be
     */
    static start(program: Program, directories: readonly string[] = []): BackgroundIndex | undefined {
        const { elf, dwarf } = program.info;
        const size = dwarf.sections.get('info')?.size ?? 0;
        if (size < LARGE_SPLIT || (size < LARGE && whatIsReadable(() => dwarf.isSplit) !== true)) {
            return undefined;
        }
        const cache = cacheFile(program);
        const kept = cache === undefined ? undefined : readKept(cache);
        if (kept !== undefined) {
            program.adoptIndex(kept);
            return undefined;
        }
        const index = new BackgroundIndex(program);
        index.run({ file: elf.name, directories, cache });
        return index;
    }

    get isRunning(): boolean {
        return this.worker !== undefined;
    }

    /** Tells how far it is, from now on; once it has ended, nothing. */
    listen(listener: IndexProgress): void {
        this.listener = listener;
        if (this.isRunning) listener.progress(this.share);
    }

    /** Gives up; names are then known only as far as the program's units at hand tell. */
    cancel(): void {
        const { worker } = this;
        this.end('cancelled');
        void worker?.terminate();
    }

    private run(task: IndexerTask): void {
        this.program.isIndexing = true;
        const worker = new Worker(path.join(__dirname, 'symbol-indexer.js'), { workerData: task });
        this.worker = worker;
        worker.unref();
        worker.on('message', (message: IndexerMessage) => this.receive(message));
        worker.on('error', error => this.end(error.message));
        worker.on('exit', () => this.end('the thread has ended'));
    }

    private receive(message: IndexerMessage): void {
        switch (message.kind) {
            case 'progress':
                this.share = message.share;
                this.listener?.progress(message.share);
                return;
            case 'failed':
                this.end(message.problem);
                return;
            case 'done': {
                const index = decodeIndex(message.index);
                if (this.worker !== undefined && index !== undefined) this.program.adoptIndex(index);
                this.end(index === undefined ? 'the index is damaged' : undefined);
            }
        }
    }

    private end(problem: string | undefined): void {
        if (this.worker === undefined) {
            return;
        }
        this.worker = undefined;
        this.settle();
        this.listener?.ended(problem);
    }
}

/** By build-id; without one, by what tells one state of a file from another. */
function cacheFile({ info: { elf } }: Program): string | undefined {
    let key = elf.buildId;
    if (key === undefined) {
        try {
            const { size, mtimeMs } = statSync(elf.name);
            key = createHash('sha256')
                .update(`${path.resolve(elf.name)}\n${size}\n${mtimeMs}`)
                .digest('hex');
        } catch {
            return undefined;
        }
    }
    const base = process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache');
    return path.join(base, 'hyperscope', 'symbols', `${key}.index`);
}

function readKept(file: string): ReturnType<typeof decodeIndex> {
    try {
        return decodeIndex(readFileSync(file));
    } catch {
        return undefined;
    }
}
