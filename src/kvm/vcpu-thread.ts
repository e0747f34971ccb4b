/**
 * The threads that vCPUs execute on, a vCPU each, seen from the machine's thread. All that such a thread does is KVM_RUN
 * (`vcpu-worker.ts`): what an exit asks for is done by the machine's thread, which also looks at and changes a vCPU's state
 * as long as it is not in the guest. They talk through a few words of shared memory.
 */
import { existsSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { HyperscopeError } from '../common/errors';
import { signalThread, threadTime } from './libc';
import { afterCommand, BELL, END_THREAD, FAILED_THREAD, ThreadCell, type ThreadTask } from './vcpu-thread-cells';

/** Threads that do not come back within so many host milliseconds are looked for. */
const PATIENCE = 200;
/** A thread that has yet to begin, on a host that is busy with everything else. */
const START_PATIENCE = 30_000;
/** The guest gets somewhere in so many milliseconds of a processor. */
const SHORTEST_STAY = 0.05;
/** A thread has had a processor for that within so many milliseconds, or has to try again. */
const LONG_STAY = 20;
/** Looks at a word before a thread sleeps, some 10 µs, where there are processors for it: to be woken takes as long. */
const LOOKS = 1000;
/** Bytes for why a thread cannot begin. */
const PROBLEM_SIZE = 1024;
/** What the threads execute: beside this file, or beside the bundle that it is part of. */
const PROGRAM = path.join(__dirname, 'vcpu-worker.js');

/** The thread of a vCPU has ended, or never began. */
export class VcpuThreadError extends HyperscopeError {
    constructor(
        readonly vcpu: number,
        what: string,
        reason: string | undefined,
    ) {
        super(
            `the thread of vCPU ${vcpu} ${what}${reason === undefined ? '' : ` (${reason})`}; ` +
                'the guest can go on on the translator',
        );
    }
}

/** Room for the threads of a machine's vCPUs, and the bell that they share. */
export class ThreadBoard {
    readonly words: Int32Array;
    /** vCPUs that are in the guest. */
    running = 0;
    private readonly processors = os.availableParallelism();

    /** @param program a file: what the threads execute */
    constructor(
        vcpus: number,
        readonly program = PROGRAM,
    ) {
        const bytes = (vcpus + 1) * ThreadCell.size * Int32Array.BYTES_PER_ELEMENT;
        this.words = new Int32Array(new SharedArrayBuffer(bytes));
    }

    /** What {@link sleep} has to be given: to be read before looking for what is done. */
    get bell(): number {
        return Atomics.load(this.words, BELL);
    }

    /** Until a thread has done something since the bell was read, or some milliseconds have passed. */
    sleep(bell: number, milliseconds: number): void {
        for (let looks = this.looks; looks > 0; looks--) {
            if (Atomics.load(this.words, BELL) !== bell) return;
        }
        Atomics.wait(this.words, BELL, bell, milliseconds);
    }

    /** Who looks takes a processor from those that are in the guest, unless there are more. */
    get looks(): number {
        return this.processors > this.running ? LOOKS : 0;
    }
}

export class VcpuThread {
    private readonly worker: Worker;
    private readonly words: Int32Array;
    private readonly at: number;
    private command = 0;
    private thread = 0;
    private signalled = false;
    /** Host milliseconds. */
    private started = 0;
    private problem: string | undefined;
    private readonly beginProblem = new SharedArrayBuffer(PROBLEM_SIZE);

    /**
     * The thread is to be waited for by {@link begun}: others can be made meanwhile.
     * @throws VcpuThreadError
     */
    constructor(
        private readonly board: ThreadBoard,
        readonly vcpu: number,
        descriptor: number,
    ) {
        this.words = board.words;
        this.at = (vcpu + 1) * ThreadCell.size;
        const task: ThreadTask = {
            words: this.words.buffer as SharedArrayBuffer,
            at: this.at,
            vcpu: descriptor,
            problem: this.beginProblem,
        };
        const { program } = board;
        if (!existsSync(program)) {
            // Nobody could tell of it: what goes wrong with a thread's program arrives in messages, for which nobody looks here.
            throw new VcpuThreadError(vcpu, 'cannot begin', `${program} is missing: install Hyperscope again`);
        }
        this.worker = new Worker(program, { workerData: task, execArgv: [] });
        this.worker.unref();
        this.worker.on('error', error => (this.problem = error.message));
    }

    /** @throws VcpuThreadError */
    begun(): void {
        const { words, at } = this;
        Atomics.wait(words, at + ThreadCell.thread, 0, START_PATIENCE);
        this.thread = Atomics.load(words, at + ThreadCell.thread);
        if (this.thread === FAILED_THREAD) {
            const problem = Buffer.from(this.beginProblem).toString().replace(/\0+$/, '');
            throw new VcpuThreadError(this.vcpu, 'cannot begin', problem);
        }
        if (this.thread === 0) {
            throw new VcpuThreadError(this.vcpu, 'does not begin', this.problem);
        }
    }

    /** Begins a KVM_RUN. */
    start(): void {
        const { words, at } = this;
        Atomics.store(words, at + ThreadCell.drain, this.signalled ? 1 : 0);
        Atomics.store(words, at + ThreadCell.patience, this.board.looks);
        this.signalled = false;
        this.started = performance.now();
        this.command = afterCommand(this.command);
        Atomics.store(words, at + ThreadCell.command, this.command);
        Atomics.notify(words, at + ThreadCell.command);
    }

    /** The KVM_RUN that was begun has come back. */
    get isDone(): boolean {
        return Atomics.load(this.words, this.at + ThreadCell.done) === this.command;
    }

    /** Error number of the KVM_RUN that came back last, or 0. */
    get errno(): number {
        return Atomics.load(this.words, this.at + ThreadCell.errno);
    }

    /** Gives the guest time to get somewhere before {@link interrupt}, however busy the host is. */
    letRun(): void {
        const start = performance.now();
        if (start - this.started >= LONG_STAY || this.isDone) {
            return;
        }
        const { words, at } = this;
        const before = threadTime(this.thread);
        do {
            // Not by looking all the time: the processor that does so may be the one that it needs.
            Atomics.wait(words, at + ThreadCell.never, 0, SHORTEST_STAY);
        } while (
            !this.isDone &&
            threadTime(this.thread) - before < SHORTEST_STAY * 1e6 &&
            performance.now() - start < LONG_STAY
        );
    }

    /** Makes the KVM_RUN in progress come back; one that has yet to begin may take no notice (`KvmVcpu.interrupt`). */
    interrupt(): void {
        if (!this.signalled) {
            this.signalled = true;
            signalThread(this.thread);
        }
    }

    /** Waits for the KVM_RUN that was begun. @throws VcpuThreadError */
    finish(): void {
        const { board } = this;
        for (;;) {
            const { bell } = board;
            if (this.isDone) return;
            const start = performance.now();
            board.sleep(bell, PATIENCE);
            if (performance.now() - start >= PATIENCE) {
                this.requireAlive();
                if (this.signalled) signalThread(this.thread);
            }
        }
    }

    /** @throws VcpuThreadError */
    private requireAlive(): void {
        if (!this.isDone && !signalThread(this.thread, true)) {
            throw new VcpuThreadError(this.vcpu, 'has ended', this.problem);
        }
    }

    dispose(): void {
        const { words, at } = this;
        Atomics.store(words, at + ThreadCell.command, END_THREAD);
        Atomics.notify(words, at + ThreadCell.command);
    }
}
